"""Reads every table of formats/testdata on S3 by a library of its format, and prints for each: its name, how many rows it has, and a hash of them in a fixed order.
Arguments: the endpoint, the bucket, and the prefix below which formats/testdata lies; settings: the environment. What a library cannot read is printed with its error.
"""

import hashlib
import os
import sys

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.orc as orc
import pyarrow.parquet as parquet
from deltalake import DeltaTable, QueryBuilder
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import StaticTable

endpoint, bucket, prefix = sys.argv[1:]
access, secret = os.environ["S3_ACCESS_KEY"], os.environ["S3_SECRET_KEY"]
s3 = fs.S3FileSystem(access_key=access, secret_key=secret, region="us-east-1", scheme="http", endpoint_override=endpoint.removeprefix("http://"))
root = f"{bucket}/{prefix}"


class Moved(PyArrowFileIO):
    """Finds a table's files below the prefix, wherever the table says they lie."""

    @staticmethod
    def parse_location(location, properties={}):
        for table in ("iceberg_sql", "iceberg_hadoop"):
            if f"/{table}/" in location:
                return "s3", bucket, f"{root}/tables/{table}/" + location.split(f"/{table}/", 1)[1]
        return PyArrowFileIO.parse_location(location, properties)


def delta(path):
    options = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}
    table = DeltaTable("s3://" + path, storage_options=options)
    return pa.table(QueryBuilder().register("t", table).execute("select * from t").read_all())


def iceberg(path):
    newest = max(f.path for f in s3.get_file_info(fs.FileSelector(path + "/metadata")) if f.path.endswith(".metadata.json"))
    properties = {"py-io-impl": f"{__name__}.Moved", "s3.endpoint": endpoint, "s3.access-key-id": access, "s3.secret-access-key": secret, "s3.region": "us-east-1"}
    return StaticTable.from_metadata("s3://" + newest, properties).scan().to_arrow()


def orc_file(path):
    with s3.open_input_file(path) as f:
        return orc.ORCFile(f).read()


readers = {"orc": orc_file, "parquet": lambda path: parquet.read_table(path, filesystem=s3, partitioning=None), "delta": delta, "iceberg": iceberg}


def kind(name):
    base = name.rsplit("/", 1)[-1]
    return base.rsplit(".", 1)[-1] if "." in base else base.split("_")[0]


def digest(table):
    rows = sorted(repr(sorted(row.items())) for row in table.to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


names = [f.path for d in ("", "/orc", "/tables") for f in s3.get_file_info(fs.FileSelector(root + d)) if d == "/tables" or f.is_file]
for path in sorted(names):
    reader = readers.get(kind(path))
    if reader is None:
        continue
    try:
        table = reader(path)
        print(path.removeprefix(root + "/"), table.num_rows, digest(table), sep="\t")
    except Exception as e:
        print(path.removeprefix(root + "/"), "error", f"{type(e).__name__}: {str(e).splitlines()[0][:120]}", sep="\t")
