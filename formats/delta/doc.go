// Package delta knows the files of a Delta Lake table: what a path is (Parse), and what the files that point to others say (ReadHint, Sidecars).
// It is no Delta reader: it replays no log. The format is that of PROTOCOL.md of delta-io/delta, with what deltalake (Rust), Delta on Spark and
// Trino are seen to write.
package delta
