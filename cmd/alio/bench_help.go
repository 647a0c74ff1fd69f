package main

const benchHelp = `Measure Alio on this machine, with bytes that are made up. Each benchmark makes
one temporary folder, and removes it at the end and on Ctrl-C. Results are a
table on standard output, or JSON with --json; progress goes to standard error.

Run them on an idle machine: what else it does is in the figures.`

const benchReadHelp = `Time reads of a warm cache by every path to its bytes:

  pread  bare preads of the cache's own segment files: no header, no checksum,
         no look-up. What the machine can do, and what the others are held to
  local  the Go client: finds a page, reads its segment itself, checks its sums
  grpc   Read of the gRPC door on its Unix socket, by a client that keeps the
         bytes as they came
  s3     signed ranged GETs of the S3 door on loopback TCP, one connection for
         each reader

"alio sidecar" runs in a process of its own, signatures are checked, and every
page lies in the page cache when the clock starts. Reads are aligned to their
size. A time is from the request to the last byte. Outside of it, but inside of
GB/s, are drawing the range, signing the request, and checking the answer: three
words of each, every byte of one in 64 (and of the first eight of each reader).

allocs/op are the sidecar's for s3 and grpc, the reader's own for pread and
local. CPU s/GB is the sidecar's processor time. Readers and sidecar share the
machine's processors.`

const benchReadExamples = `  # The whole grid, some 12 minutes:
  alio bench read

  # One size, quickly, as JSON:
  alio bench read --bytes 64KiB --readers 1,16 --access uniform --duration 1s --json

  # The S3 door beside pread, on another disk:
  alio bench read --paths pread,s3 --dir /ssd`

const benchWriteHelp = `Time how fast pages are taken, until all of them are durable:

  alio        the disk tier with room for all, in one directory and in several
              (twice the same, unless --also-dir names another disk)
  alio, full  the disk tier at its limit, with room for a quarter of what is asked
              for by zipf: what is there is read, the rest is put, so segments are
              evicted and pages that were re-read are carried forward
  sequential  the same bytes by plain writes into 64 MiB files, each synced
  files       a file for each page in 256 folders, and one sync at the end

Amplification is bytes written to the device for each byte of a page, as the
kernel accounts them to this process: pages, their headers and indexes, what is
carried forward, and whole blocks where a file ends in the middle of one. It does
not hold the file system's journal and inodes, which cost the files most.

Pages are handed over as fast as they are taken; the product sheds instead of
waiting.`

const benchWriteExamples = `  alio bench write --dir /ssd

  # Two disks, pages of 64 KiB:
  alio bench write --dir /ssd1 --also-dir /ssd2 --bytes 64KiB --json`

const benchRecoverHelp = `Fill a cache, and start on it in fresh processes: one of ten thousand pages,
one of --pages. For each, with its segments in the page cache and without:

  open          the disk tier's start: it reads the segments' indexes, no data
  index, RSS    memory a page: as the tier counts its index, and as the process's
                anonymous memory grew
  first hit     from the start of the process to the first page, checked
  hits          read at random all over the cache, after they were read once;
                hot: of 100 pages that lie all over it, again and again; pread:
                the same bytes by a bare pread, what the kernel takes of a hit
  sidecar ready "alio sidecar" on that directory, from its start to ready

Beside it a walk over a file for each page, which is how caches without segments
start; its entries are in the kernel's caches, as they are not after a boot.`

const benchRecoverExamples = `  alio bench recover --dir /ssd

  # Ten million pages: 11 GiB of disk
  alio bench recover --pages 10000000 --dir /ssd --json`

const benchSmallHelp = `Read every object of a data set whole, in random order, by 16 readers at once,
through each door of a sidecar of its own, four times over:

  cold     the cache is empty: each object comes from the origin, an S3 server in
           this process that makes its bytes up
  warm     again, in another order
  restart  kill -9, and a start on the same files until it is ready
  then     again: versions come from the metadata store, bytes from segments

"local" opens each file by the Go client, reads it from its segment and closes it.
"files" is a file for each page in 256 folders: written and synced, read, and
walked, by plain calls; it has no server in between, checks nothing and asks no
origin (one request a file is counted, as such a cache would make).

Every byte of every answer is checked, inside of the time. disk is what du says of
the cache directory but for metadata, payload the objects' bytes. Names are written
once: the rule is max_age forever.`

const benchSmallExamples = `  alio bench small --dir /ssd

  # A quick look:
  alio bench small --objects 10000 --readers 4 --json`

const benchMetadataHelp = `Fill the store of what is known of objects as listings of a bucket would, close it,
take its files out of the page cache, and start on it again:

  written  entries a second, until the last one is in a file or the log
  again    the same, for the second listing of the same objects
  B/entry  what du says of its directory
  cold     look-ups at random, the files not in the page cache at first
  warm     the same look-ups again
  absent   look-ups of paths that are not there
  memory   what the process's anonymous memory grew by, beside the limit

Paths have 100 characters, a thousand to a folder; ETags are random, so 16 bytes
of each entry cannot shrink.`

const benchMetadataExamples = `  alio bench metadata --dir /ssd

  # Ten million: some 1 GiB of disk
  alio bench metadata --entries 1000000,10000000 --dir /ssd --json`
