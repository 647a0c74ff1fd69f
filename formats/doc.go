// Package formats says how a file is cut into pages: along its own structure where the format is known (formats/parquet), as one page where
// it is small, on a grid elsewhere. It is pure: it sees a path, a size and bytes through an io.ReaderAt, and knows nothing of caches,
// origins or networks. Start at Derive, then Layout.
package formats
