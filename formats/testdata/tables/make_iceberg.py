# Made iceberg_sql, with pyiceberg 0.12.0 (its catalog in SQLite, outside of the table) and pyarrow 26.0.1. Iceberg writes the location into its files,
# so the table is written below /lake and moved here. Run in this folder.
import os
import shutil

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

shutil.rmtree("/lake", ignore_errors=True)
os.makedirs("/lake")
catalog = SqlCatalog("c", uri="sqlite:////lake/catalog.db", warehouse="file:///lake")
catalog.create_namespace("db")
rows = pa.table({"id": list(range(10)), "v": [i * 1.5 for i in range(10)]})
table = catalog.create_table("db.iceberg_sql", schema=rows.schema)
for _ in range(3):
    table.append(rows)
table.delete("id = 5")
shutil.rmtree("iceberg_sql", ignore_errors=True)
shutil.move("/lake/db/iceberg_sql", "iceberg_sql")
shutil.rmtree("/lake")
