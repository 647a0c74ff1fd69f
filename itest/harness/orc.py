"""ORC files by pyarrow. `write FILE ROWS STRIPE`: a file of twelve columns of random numbers in stripes of about so many bytes. `scan ENDPOINT BUCKET COLUMNS KEY...`: reads some
columns (names with commas between) of files on S3, one file after the other, and prints the seconds that it took, the rows, and a hash of all. Settings: the environment.
"""

import hashlib
import os
import sys
import time

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.orc as orc


def write(file, rows, stripe):
    import random

    random.seed(1)
    names = [f"c{i}" for i in range(12)]
    with orc.ORCWriter(file, stripe_size=int(stripe), compression="uncompressed") as w:
        for _ in range(0, int(rows), 10_000):
            w.write(pa.table({n: [random.random() for _ in range(10_000)] for n in names}))
    print(orc.ORCFile(file).nstripes)


def scan(endpoint, bucket, columns, *keys):
    s3 = fs.S3FileSystem(access_key=os.environ["S3_ACCESS_KEY"], secret_key=os.environ["S3_SECRET_KEY"], region="us-east-1", scheme="http",
                         endpoint_override=endpoint.removeprefix("http://"))
    rows, sums = 0, hashlib.sha256()
    begun = time.perf_counter()
    for key in keys:
        with s3.open_input_file(f"{bucket}/{key}") as f:
            file = orc.ORCFile(f)
            for i in range(file.nstripes):
                batch = file.read_stripe(i, columns=columns.split(","))
                rows += batch.num_rows
                for column in batch.columns:
                    sums.update(column.buffers()[-1])
    print(time.perf_counter() - begun, rows, sums.hexdigest()[:16])


{"write": write, "scan": scan}[sys.argv[1]](*sys.argv[2:])
