"""Writes a Delta table to S3: three appends, a delete, a checkpoint, and one more append. Arguments: its address; settings: the environment."""

import os
import sys

import arro3.core as arrow
from deltalake import DeltaTable, write_deltalake

uri = sys.argv[1]
options = {
    "AWS_ENDPOINT_URL": os.environ["S3_ENDPOINT"],
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": os.environ["S3_ACCESS_KEY"],
    "AWS_SECRET_ACCESS_KEY": os.environ["S3_SECRET_KEY"],
    "AWS_REGION": os.environ["S3_REGION"],
    "aws_conditional_put": "etag",
}


def append(commit):
    ids = range(1000 * commit, 1000 * commit + 1000)
    table = arrow.Table.from_pydict({
        "id": arrow.Array(list(ids), arrow.DataType.int64()),
        "price": arrow.Array([i * 0.25 for i in ids], arrow.DataType.float64()),
        "name": arrow.Array([f"name {i % 97}" for i in ids], arrow.DataType.string()),
    })
    write_deltalake(uri, table, mode="append", storage_options=options)


for commit in range(3):
    append(commit)
DeltaTable(uri, storage_options=options).delete("id % 10 = 3")
DeltaTable(uri, storage_options=options).create_checkpoint()
append(3)
