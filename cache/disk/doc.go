// Package disk is the disk tier of the page cache: one directory of immutable segment files, each an append-only log of pages that ends in
// an index of itself. It implements cache.Disk and knows nothing of origins, policies of admission or the wire. It never answers a
// byte that it has not checked, never lets a read wait beyond its deadline whatever the device does, and never takes more of the
// device than it was given. FORMAT.md draws the bytes. Start at Tier, then read.go and writer.go.
//
// # Memory
//
// The index takes 35 to 44 bytes a page (an entry of 28 bytes in an open-addressing table that is 64 to 80 % full); Stats.IndexBytes
// says how much it is. A segment takes about 300 bytes and a file descriptor. The pages of the up to three active segments are
// listed in memory until they are sealed: 48 bytes each. The write queue holds at most Options.WriteQueue bytes of pages, the writer a
// buffer of 2 MiB, a read one buffer of the blocks that it touches, and each of at most Options.Readers hung reads keeps its own.
package disk
