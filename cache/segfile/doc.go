// Package segfile is the bytes of a segment file, as cache/disk/FORMAT.md draws them, and the keys of the pages in it: how they are made,
// found and checked. It is pure: it opens no file and keeps no state, so that a client that reads segments itself shares it with the
// disk tier that writes them. Start at Key, then Plan and AppendRecord.
package segfile
