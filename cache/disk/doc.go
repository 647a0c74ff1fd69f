// Package disk is the disk tier of the page cache: directories of immutable segment files, each an append-only log of pages that ends in an
// index of itself. It implements cache.Disk, and cache.Places for clients that read segments themselves, and knows nothing of origins, policies
// of admission or the wire. It never answers a byte that it has not checked, never lets a read wait beyond its deadline whatever the device
// does, and never takes more of a device than it was given. FORMAT.md draws the bytes. A Tier is one directory; Devices is several, one for
// each device. Start at Tier, then read.go and writer.go.
//
// # Memory
//
// The index takes 30 to 38 bytes a page (a cell of 24 bytes in an open-addressing table that is 64 to 80 % full); Stats.IndexBytes says how
// much it is. A segment takes about 350 bytes and a file descriptor. The pages of the up to three active segments are listed in memory
// until they are sealed: 48 bytes each. The write queue holds at most Options.WriteQueue bytes of pages, the writer a buffer of 2 MiB, a read
// one buffer of the blocks that it touches, and each of at most Options.Readers hung reads keeps its own. The log of retired segments takes
// 192 KiB, the routes of keys to n devices 16 n KiB.
//
// # The limit
//
// What is counted is what du and df see, with what other processes keep: active segments at their full size, removed ones until the file system
// reports their blocks as free, the directories, and whatever somebody else put there. Room for the next segment is kept free, so that what is
// worth keeping can be carried into it before the victim goes. At most 2 Size/SegmentSize + 16 segments are open, and those on their way out.
//
// # Sick devices
//
// A read that the page cache cannot answer at once runs on one of at most Readers goroutines and is waited for until ReadDeadline. FailAfter
// failures in a row (errors, deadlines, or a pool in which nothing moves) set the device aside. A write that fails pauses writing, from 100 ms
// to 1 min; a writer that hangs for WriteDeadline counts as paused too. Devices gives the share of a device that is set aside or paused to the
// others, looks every second whether a directory is still where it was, and asks one that is set aside, in the background, from every second
// to every minute. A full or read-only device is read as before.
//
// # Eviction
//
// There are up to three streams of segments: new pages (probation), pages carried forward (hot), and protected classes. In a log whose pages are never
// overwritten nearly all bytes of all segments are live, so "least live bytes" is no more than "oldest". What tells segments apart is what was read
// since it was written: the victim is the segment with the least
//
//	4 (share of its bytes that were read) + (share that is live) - (its age in turnovers of the tier)
//
// and what was read is carried forward, up to half a segment. Measured by BenchmarkEviction: pages of 4 KiB, 100 segments, ten times as many pages;
// hits of all requests, and bytes written to the device for each byte asked for. A quarter of the requests are a scan's where it says so; where it
// drifts, a quarter of the pages changes rank each time as many were asked for as there are.
//
//	                         Zipf 0.9       Zipf 0.9, scan   0.9, scan, drift  Zipf 1.1, scan   1.1, scan, drift
//	                       hits  written    hits  written    hits  written     hits  written    hits  written
//	LRU of pages           .596             .402             .401              .582             .580
//	least live, carry 0    .554   .457      .367   .648      .366   .649       .552   .459      .551   .459
//	least live, 1/8        .569   .497      .383   .680      .382   .682       .563   .473      .563   .474
//	least live, 1/4        .586   .540      .396   .706      .395   .707       .574   .487      .573   .489
//	least live, 1/2        .601   .561      .407   .716      .405   .718       .582   .495      .581   .496
//	read - age, 1/4        .592   .524      .407   .687      .405   .690       .583   .472      .582   .474
//	read - age, 1/2        .607   .537      .417   .694      .415   .698       .591   .475      .589   .480
//	4 read - age, 0        .560   .450      .399   .615      .398   .616       .581   .429      .580   .430
//	4 read - age, 1/8      .591   .458      .423   .630      .420   .635       .596   .434      .592   .438
//	4 read - age, 1/4      .608   .467      .435   .641      .430   .648       .604   .440      .600   .445
//	4 read - age, 1/2      .625   .468      .445   .643      .442   .651       .611   .440      .607   .448
//	8 read - age, 1/2      .600   .453      .452   .620      .446   .630       .624   .416      .615   .430
//	least read, 1/4        .602   .408      .452   .562      .390   .627       .625   .385      .579   .432
//
// Least read alone keeps what was popular once and falls below LRU when that changes; hence the age. With 8 instead of 4 it is better by 0.4 to 1.3
// points where scans are mixed in, and worse by 2.5 in the first column. Carrying half costs the device no more than carrying a quarter, since what is kept need not come again. Write
// amplification (alio_disk_written_bytes_total by alio_disk_stored_bytes_total) of 4 read - age, carry 1/2, in the order of the columns: 1.25, 1.16, 1.17,
// 1.13, 1.14, of which 0.02 are headers and indexes; least live, 1/4: 1.30, 1.17, 1.17, 1.14, 1.14. With 32 segments all hits are 2 to 3 points lower,
// and the order is the same (Zipf 0.9, scan, drift: LRU .373; least live, 1/4: .368; ours .414).
package disk
