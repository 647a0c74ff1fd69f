package formats

// Class says what a page holds. Policies speak of classes; keys do not contain them, so a page whose class was not yet known when it
// was stored is still the same page. The numbers are written into segments on disk: new classes are added at the end, none is renumbered.
type Class uint8

// The classes.
const (
	Other       Class = 0  // unknown, padding, small data files, text
	Footer      Class = 1  // a file's own metadata at its end
	PageIndex   Class = 2  // Parquet column and offset indexes, ORC row indexes
	BloomFilter Class = 3  // bloom filters of Parquet, and of ORC where they are large
	Dictionary  Class = 4  // dictionary pages of column chunks
	Column      Class = 5  // data pages of Parquet column chunks, ORC data streams
	Commit      Class = 6  // Delta log entries
	Checkpoint  Class = 7  // Delta checkpoints and their sidecars
	Timeline    Class = 8  // Hudi instants, their history, table properties
	Manifest    Class = 9  // Iceberg metadata, manifest lists, manifests and statistics; Hudi's metadata table; Trino's statistics of Delta tables
	Pointer     Class = 10 // names of the present state: _last_checkpoint, version-hint.text, _version_
)

var classNames = [...]string{"other", "footer", "page_index", "bloom_filter", "dictionary", "column",
	"commit", "checkpoint", "timeline", "manifest", "pointer"}

// String is the class's name in rules, metrics and logs; "other" for a number that this build does not know.
func (c Class) String() string {
	if int(c) >= len(classNames) {
		return classNames[Other]
	}
	return classNames[c]
}

// ClassNames returns the names of all classes; the index is the class's number. The slice is the caller's own.
func ClassNames() []string { return append([]string(nil), classNames[:]...) }

// Metadata reports whether pages of a class are read to plan or to prune rather than to answer: few bytes, read by every query, so
// worth protecting from scans. Dictionaries are not among them, although Trino probes them to prune row groups: a scan reads every
// dictionary of its columns, they can be as large as the data (a writer gives up on one only at about 1 MiB), and one without its
// chunk saves nothing, so protecting them would let each scan flood the protected room. Unknown numbers are not metadata.
func Metadata(class uint8) bool {
	switch Class(class) {
	case Footer, PageIndex, BloomFilter, Commit, Checkpoint, Timeline, Manifest, Pointer:
		return true
	}
	return false
}
