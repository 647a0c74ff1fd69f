"""Writes and reads Delta tables on S3 as it is told, by the line protocol of hdfsctl.go: "ID COMMAND..." in, "ID OK text" or "ID ERR text" out.

write ENDPOINT URI FROM COUNT TAG [create]   one commit of COUNT rows with ids from FROM on and a tag; answers the version
read ENDPOINT URI FROM                       answers of the rows with ids from FROM on the version, the count, the sum of ids, and the least and greatest tag
settings ENDPOINT ACCESS SECRET              by which an endpoint is asked
"""

import sys

import arro3.core as arrow
from deltalake import DeltaTable, QueryBuilder, write_deltalake

keys = {}


def options(endpoint):
    access, secret = keys[endpoint]
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "aws_conditional_put": "etag",
    }


def write(endpoint, uri, start, count, tag, mode="append"):
    ids = range(int(start), int(start) + int(count))
    table = arrow.Table.from_pydict({
        "id": arrow.Array(list(ids), arrow.DataType.int64()),
        "tag": arrow.Array([tag for _ in ids], arrow.DataType.string()),
    })
    write_deltalake(uri, table, mode="error" if mode == "create" else mode, storage_options=options(endpoint))
    return ""


def read(endpoint, uri, start):
    table = DeltaTable(uri, storage_options=options(endpoint))
    found = QueryBuilder().register("t", table).execute("select count(*) c, sum(id) s, min(tag) a, max(tag) b from t where id >= " + start).read_all()
    row = [str(found.column(i)[0].as_py()) for i in range(4)]
    return " ".join([str(table.version())] + row)


def settings(endpoint, access, secret):
    keys[endpoint] = (access, secret)
    return ""


print("0 READY", flush=True)
for line in sys.stdin:
    number, command, *rest = line.split()
    try:
        answer = "OK " + {"write": write, "read": read, "settings": settings}[command](*rest)
    except Exception as e:
        answer = "ERR " + f"{type(e).__name__}: {e}".replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
    print(number, answer, flush=True)
