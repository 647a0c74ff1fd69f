# Made the .orc files beside it, with pyarrow 26.0.1 (the C++ writer) and Spark 3.5.7 (the Java writer), and the .meta files, which are what Apache's
# orc-tools 1.9.5 says of them: ORC_TOOLS names its jar. Run in this folder. presto_*.orc are of Presto 0.287's own writer, which leaves the magic out at
# the file's end: go test -tags fixtures -run TestORCFixtures ./itest, before this.
import glob
import os
import random
import re
import shutil
import string
import subprocess

import pyarrow as pa
from pyarrow import orc
from pyspark.sql import SparkSession

random.seed(1)


def batch(n):
    return pa.table({
        "id": pa.array(range(n)),
        "s": ["".join(random.choices(string.ascii_letters, k=12)) for _ in range(n)],
        "c": [random.choice("abcdefgh") * 5 for _ in range(n)],
        "l": [[i % 7] * (i % 3) for i in range(n)],
        "d": [random.random() for _ in range(n)],
        "n": pa.nulls(n, pa.int32()),
    })


for compression in "uncompressed", "zlib", "snappy", "lz4", "zstd":
    with orc.ORCWriter(f"pyarrow_{compression}.orc", compression=compression, stripe_size=16 << 10, row_index_stride=500,
                       bloom_filter_columns=[0, 1] if compression in ("zlib", "zstd") else None) as w:
        for _ in range(3):  # stripes end where a column's buffer of 64 KiB is full
            w.write(batch(6000).select(["id", "s"]) if compression == "zstd" else batch(1000))
orc.write_table(pa.table({"a": pa.array([], pa.int64())}), "pyarrow_empty.orc")
with orc.ORCWriter("pyarrow_large.orc", compression="uncompressed", stripe_size=128 << 10, batch_size=9000) as w:  # two stripes, larger than what is cached as one page
    for start in 0, 9000:
        w.write(pa.table({"n": list(range(9000)), "s": ["%012d" % i for i in range(start, start + 9000)], "t": ["%08d" % i for i in range(start, start + 9000)]}))
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
for compression in "zlib", "snappy", "lzo":
    (spark.range(4000).selectExpr("id", "concat('v', id % 50) as s", "(id * 7919) % 100 as k", "rand(1) as d", "array(id, id + 1) as l").coalesce(1)
     .write.mode("overwrite").option("compression", compression).option("orc.stripe.size", "20000").option("orc.row.index.stride", "1000")
     .option("orc.bloom.filter.columns", "id,s").orc("out"))
    shutil.move(glob.glob("out/*.orc")[0], f"spark_{compression}.orc")
shutil.rmtree("out")
spark.stop()
for file in glob.glob("*.orc"):
    text = subprocess.run(["java", "-jar", os.environ["ORC_TOOLS"], "meta", file], capture_output=True, text=True, check=True).stdout
    with open(file + ".meta", "w") as out:
        for line in re.findall(r"^\s*(?:Stripe: offset:|Stream:|Compression:|File length:).*$", text, re.M):
            out.write(line.strip() + "\n")
