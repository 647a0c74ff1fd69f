# Made delta_rs, with deltalake 1.6.6 and pyarrow 26.0.1: partitions, a delete, a checkpoint, a compacted log, commits after it, and the same path born again
# (delta_rs_again has the names of delta_rs's first commits and other bytes under them). Run in this folder.
import shutil

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake


def rows(start, n):
    ids = list(range(start, start + n))
    return pa.table({"id": ids, "p": ["ab"[i % 2] for i in ids], "v": [i * 1.5 for i in ids]})


for name, commits in ("delta_rs", 4), ("delta_rs_again", 2):
    shutil.rmtree(name, ignore_errors=True)
    for i in range(commits):
        write_deltalake(name, rows(i * 10, 10), mode="append", partition_by=["p"], configuration={"delta.enableChangeDataFeed": "true"})
table = DeltaTable("delta_rs")
table.delete("id = 5")
table.create_checkpoint()
table.compact_logs(1, 3)
table.update(predicate="id = 7", updates={"v": "0.0"})
write_deltalake(table, rows(100, 10), mode="append")
