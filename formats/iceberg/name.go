package iceberg

import (
	"strings"

	"github.com/alio-lake/alio/formats/names"
)

// folder is where a table keeps its metadata, unless it was told otherwise.
const folder = "metadata"

// Kind is what a file of a table is.
type Kind uint8

// The kinds.
const (
	Metadata     Kind = iota // NNNNN-<uuid>.metadata.json; vN.metadata.json in a Hadoop catalog; either may be compressed
	ManifestList             // snap-<id>-<attempt>-<uuid>.avro: a snapshot's manifests
	Manifest                 // <uuid>-mN.avro, or another Avro file of the metadata folder
	Statistics               // of the metadata folder: Puffin files (.stats, .puffin), partition-stats-…
	Deletes                  // a Puffin file elsewhere: deletion vectors
	VersionHint              // version-hint.text: a Hadoop catalog's pointer
)

// File is what a path says of a file of a table.
type File struct {
	Kind   Kind
	Root   string // the table's folder, without a slash at its end; "" if it is the mount's own
	Rooted bool   // Root is known: the file lies in a folder named metadata
	Unique bool   // the name is never used again
}

// Parse tells whether a path is that of a metadata file of an Iceberg table. Data files have no names of their own; nor are manifests known
// outside of a folder named metadata by more than the patterns of their names.
func Parse(path string) (File, bool) {
	dir, name := names.Split(path)
	root, parent := names.Split(dir)
	f := File{Unique: names.HasUUID(name)}
	if f.Rooted = parent == folder; f.Rooted {
		f.Root = root
	}
	switch {
	case name == "version-hint.text":
		f.Kind = VersionHint
	case strings.HasSuffix(name, ".metadata.json") || strings.HasSuffix(name, ".metadata.json.gz"):
		f.Kind = Metadata
	case isManifestList(name):
		f.Kind = ManifestList
	case strings.HasSuffix(name, ".avro") && (f.Rooted || isManifest(name)):
		f.Kind = Manifest
	case f.Rooted && (strings.HasSuffix(name, ".stats") || strings.HasSuffix(name, ".puffin") || strings.HasPrefix(name, "partition-stats-")):
		f.Kind = Statistics
	case strings.HasSuffix(name, ".puffin"):
		f.Kind = Deletes
	default:
		return File{}, false
	}
	return f, true
}

// isManifestList recognises snap-<id>-<attempt>-<uuid>.avro.
func isManifestList(name string) bool {
	return strings.HasPrefix(name, "snap-") && strings.HasSuffix(name, ".avro")
}

// isManifest recognises <uuid>-m<n>.avro.
func isManifest(name string) bool {
	name, _ = strings.CutSuffix(name, ".avro")
	i := strings.LastIndex(name, "-m")
	return i >= 0 && names.Digits(name[i+2:]) && names.HasUUID(name[:i])
}
