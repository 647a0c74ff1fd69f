# Made the .avro files beside it, with fastavro 1.13.1 (cramjam for snappy, zstandard): all forms of value, in every codec that it writes; and the .txt
# files, in which Apache's avro 1.12.1 says what it reads in null.avro and in the Avro files of the tables: every number and text (of a long one its SHA-256)
# with the names that lead to it. Run in this folder.
import glob
import hashlib
import random

import avro.datafile
import avro.io
import fastavro

random.seed(1)
schema = fastavro.parse_schema({
    "type": "record", "name": "R", "namespace": "a.b", "fields": [
        {"name": "i", "type": "int"}, {"name": "l", "type": ["null", "long"]}, {"name": "s", "type": "string"}, {"name": "b", "type": "bytes"},
        {"name": "f", "type": "float"}, {"name": "d", "type": "double"}, {"name": "o", "type": "boolean"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
        {"name": "x", "type": {"type": "fixed", "name": "F", "size": 5}},
        {"name": "in", "type": {"type": "record", "name": "In", "fields": [{"name": "n", "type": "long"}, {"name": "t", "type": ["string", "null"]}]}},
        {"name": "many", "type": {"type": "array", "items": "In"}},
        {"name": "map", "type": {"type": "map", "values": {"type": "array", "items": ["null", "a.b.In", "long"]}}},
        {"name": "e2", "type": "E"}, {"name": "x2", "type": "F"},
    ]})


def inner():
    return {"n": random.randint(-2**63, 2**63 - 1), "t": random.choice([None, "t" * random.randint(0, 9)])}


def record(i):
    return {"i": random.randint(-2**31, 2**31 - 1), "l": random.choice([None, i]), "s": "s%d" % i, "b": bytes(range(i % 7)), "f": 1.5, "d": 2.5, "o": i % 2 == 0,
            "e": "XY"[i % 2], "x": b"12345", "in": inner(), "many": [inner() for _ in range(i % 4)],
            "map": {"k%d" % k: [random.choice([None, inner(), k]) for _ in range(k)] for k in range(i % 3)}, "e2": "X", "x2": b"54321"}


records = [record(i) for i in range(60)]
for codec in "null", "deflate", "snappy", "zstandard", "bzip2":
    with open(codec + ".avro", "wb") as out:
        fastavro.writer(out, schema, records, codec=codec, sync_interval=2000)


class Recorder(avro.io.DatumReader):
    """Reads values, and prints the leaves on the way."""

    def __init__(self, out):
        super().__init__()
        self.out, self.path = out, []

    def read_data(self, writers_schema, readers_schema, decoder):
        kind = writers_schema.type
        if self.path and kind in ("int", "long", "string", "bytes"):
            value = decoder.read_long() if kind in ("int", "long") else decoder.read_bytes()
            if isinstance(value, bytes):
                value = value.decode() if len(value) <= 200 and value.isascii() and value.isalnum() else hashlib.sha256(value).hexdigest()
            print(".".join(self.path), value, file=self.out)
            return value
        return super().read_data(writers_schema, readers_schema, decoder)

    def read_record(self, writers_schema, readers_schema, decoder):
        if writers_schema.fullname == "org.apache.avro.file.Header":
            return super().read_record(writers_schema, readers_schema, decoder)
        for field in writers_schema.fields:
            self.path.append(field.name)
            self.read_data(field.type, field.type, decoder)
            self.path.pop()


def tables():
    return sorted(glob.glob("../tables/iceberg_*/metadata/*.avro") + glob.glob("../tables/hudi_cow9/.hoodie/timeline/*_*.commit") +
                  glob.glob("../tables/hudi_mor9/.hoodie/timeline/*_*.deltacommit"))


for out, files in ("null.txt", ["null.avro"]), ("tables.txt", tables()):
    with open(out, "w") as text:
        for file in files:
            print("file", file, file=text)
            with open(file, "rb") as f:
                for _ in avro.datafile.DataFileReader(f, Recorder(text)):
                    print("end", file=text)
