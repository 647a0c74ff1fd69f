// Package formats says what a file is and how it is cut into pages. From a path alone: the table format, the table's root, the class, and what may become
// of the file under its name (Identify; formats/delta, formats/hudi and formats/iceberg know the names). From its bytes: pages along its own structure
// where that is known (Derive; formats/parquet, formats/orc), one page where it is small, a grid elsewhere; and what a reader of table metadata asks for next,
// as data (Next). It is pure: it sees a path, a size and bytes through an io.ReaderAt, and knows nothing of caches, origins or networks. Whatever the bytes say,
// memory and time are bounded and nothing panics. Start at Identify, then Derive and Layout.
package formats
