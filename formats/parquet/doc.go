// Package parquet reads the few fields of a Parquet footer and offset index that say where things lie in the file, and skips all else. It
// is not a Parquet reader: it decodes no schema, no statistics and no data. It exists because general readers build the whole footer
// (tens of MB of objects for 1 MB of bytes) and panic on corrupt ones; this one allocates nothing that grows with the input, recurses no deeper than
// four and never panics. What is plain goes a fast way; whatever is not, a careful one, which says what is wrong. Start at Trailer, then ReadFooter. The format is that of parquet.thrift of apache/parquet-format, in Thrift's compact
// protocol (thrift-compact-protocol.md of apache/thrift).
package parquet
