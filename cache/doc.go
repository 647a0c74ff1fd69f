// Package cache is the page cache: it keeps pages (byte extents of immutable parts, at most 1 MiB each) in memory and on disk, and reads
// what is missing from an origin with as few requests as it can. It knows origin's types, but no storage system, no file format and
// no wire protocol: where pages begin and end is told by a Layout, and misses are read through a Source. Key is the heart of it: a
// key names content, so a page can never be wrong, only absent. Start at Cache.Open.
package cache
