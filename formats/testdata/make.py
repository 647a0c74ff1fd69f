# Made the .parquet files beside it, with pyarrow 26.0.1 and duckdb 2.0.0: writers that the Go fixtures lack. pyarrow_empty has chunks that
# are a dictionary page and no data page (data_page_offset 0); duckdb_bloom tells the lengths of its bloom filters.
import random
import string

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

random.seed(1)


def table(n):
    return pa.table({
        "id": list(range(n)),
        "s": ["".join(random.choices(string.ascii_letters, k=12)) for _ in range(n)],
        "c": [random.choice("abcdefgh") * 5 for _ in range(n)],
        "l": [[i % 7] * (i % 3) for i in range(n)],
        "d": [random.random() for _ in range(n)],
    })


pq.write_table(table(300), "pyarrow_page_index.parquet", row_group_size=100, write_page_index=True)
pq.write_table(table(200), "pyarrow_v2.parquet", data_page_version="2.0", compression="zstd", use_dictionary=["c"])
pq.write_table(table(0), "pyarrow_empty.parquet", write_page_index=True)
con = duckdb.connect()
con.execute("create table t as select i as id, 'v' || (i % 50) as s, (i * 7919) % 100 as k from range(3000) r(i)")
con.execute("copy t to 'duckdb_bloom.parquet' (format parquet, row_group_size 2048, parquet_version 'v2', compression zstd)")
