package formats

import (
	"github.com/alio-lake/alio/formats/delta"
	"github.com/alio-lake/alio/formats/hudi"
	"github.com/alio-lake/alio/formats/iceberg"
	"github.com/alio-lake/alio/formats/names"
)

// Format is a table format.
type Format uint8

// The table formats.
const (
	NoFormat Format = iota // a path that tells nothing: a data file, or no table's
	Delta
	Hudi
	Iceberg
)

// String is the format's name, "" for none.
func (f Format) String() string { return [...]string{"", "delta", "hudi", "iceberg"}[f] }

// Mutability says what may become of a file under its name. It tells how long an answer about the path can be believed, and never what bytes are
// served: those of a version are its own for ever.
type Mutability uint8

// The mutabilities.
const (
	// Replaceable: a plain name. It may be overwritten in place, or used again by a table that is born anew under the same path, as Delta's
	// commits and checkpoints are.
	Replaceable Mutability = iota
	// Immutable: written once, under a name that is never used again.
	Immutable
	// AppendOnly: it may grow.
	AppendOnly
	// Moving: it is overwritten in place, and names the table's present state; or it is a metadata file of no known kind.
	Moving
	// ListingSensitive: what matters is that it is there. A log's folder, or an instant that has not ended and will be deleted or replaced by another name.
	ListingSensitive
)

// String is the mutability's name.
func (m Mutability) String() string {
	return [...]string{"replaceable", "immutable", "append-only", "moving", "listing-sensitive"}[m]
}

// File is what a path says of a file.
type File struct {
	Format Format
	// Kind is the format's own word for it, as in the table below; "" for a path that tells nothing.
	Kind string
	// Root is the folder of the innermost table that the file surely belongs to, without a slash at its end ("" for the mount's own): Hudi's metadata
	// table is a table of its own. Only Rooted tells whether it is known.
	Root       string
	Rooted     bool
	Class      Class
	Mutability Mutability
}

// kind is what the cache makes of a kind of file. Where the mutability is Replaceable, a name that is never used again makes it Immutable.
type kind struct {
	name       string
	class      Class
	mutability Mutability
}

// What follows is the one place that says what each kind of file is to the cache.
var (
	deltaKinds = [...]kind{
		delta.Unknown:        {"unknown", Other, Moving},
		delta.Log:            {"log", Other, ListingSensitive},
		delta.Commit:         {"commit", Commit, Replaceable},
		delta.Checksum:       {"checksum", Commit, Replaceable},
		delta.Compacted:      {"compacted", Commit, Replaceable},
		delta.StagedCommit:   {"staged-commit", Commit, Replaceable},
		delta.Checkpoint:     {"checkpoint", Checkpoint, Replaceable},
		delta.CheckpointPart: {"checkpoint-part", Checkpoint, Replaceable},
		delta.CheckpointV2:   {"checkpoint-v2", Checkpoint, Replaceable},
		delta.Sidecar:        {"sidecar", Checkpoint, Replaceable},
		delta.LastCheckpoint: {"last-checkpoint", Pointer, Moving},
		delta.ChangeData:     {"change-data", Other, Replaceable},
		delta.DeletionVector: {"deletion-vector", Other, Replaceable},
		delta.Statistics:     {"statistics", Manifest, Replaceable},
	}
	hudiKinds = [...]kind{
		hudi.Unknown:           {"unknown", Timeline, Moving},
		hudi.Timeline:          {"timeline", Timeline, ListingSensitive},
		hudi.Properties:        {"properties", Timeline, Moving},
		hudi.Requested:         {"requested", Timeline, ListingSensitive},
		hudi.Inflight:          {"inflight", Timeline, ListingSensitive},
		hudi.Completed:         {"completed", Timeline, Replaceable},
		hudi.Archived:          {"archived", Timeline, AppendOnly},
		hudi.History:           {"history", Timeline, Replaceable},
		hudi.HistoryManifest:   {"history-manifest", Timeline, Replaceable},
		hudi.HistoryVersion:    {"history-version", Pointer, Moving},
		hudi.Marker:            {"marker", Timeline, ListingSensitive},
		hudi.Index:             {"index", Manifest, Replaceable},
		hudi.PartitionMetadata: {"partition-metadata", Timeline, Replaceable},
		hudi.BaseFile:          {"base-file", Other, Replaceable},
		hudi.LogFile:           {"log-file", Other, AppendOnly},
	}
	icebergKinds = [...]kind{
		iceberg.Metadata:     {"metadata", Manifest, Replaceable},
		iceberg.ManifestList: {"manifest-list", Manifest, Replaceable},
		iceberg.Manifest:     {"manifest", Manifest, Replaceable},
		iceberg.Statistics:   {"statistics", Manifest, Replaceable},
		iceberg.Deletes:      {"deletes", Other, Replaceable},
		iceberg.VersionHint:  {"version-hint", Pointer, Moving},
	}
)

// Identify tells what a path within a mount names, as far as a path can tell. A wrong guess of the class costs a page's priority. The mutability errs
// towards asking more often: a path is Immutable only for what is in its name.
func Identify(path string) File {
	if f, ok := hudi.Parse(path); ok {
		k := hudiKinds[f.Kind]
		if f.InIndex && (f.Kind == hudi.BaseFile || f.Kind == hudi.LogFile || f.Kind == hudi.PartitionMetadata) {
			k.class = Manifest // the metadata table lists files and column statistics: a manifest in all but name
		}
		return k.file(Hudi, f.Root, f.Rooted, f.Unique)
	}
	if f, ok := delta.Parse(path); ok {
		return deltaKinds[f.Kind].file(Delta, f.Root, f.Rooted, f.Unique)
	}
	if f, ok := iceberg.Parse(path); ok {
		return icebergKinds[f.Kind].file(Iceberg, f.Root, f.Rooted, f.Unique)
	}
	_, name := names.Split(path)
	return kind{}.file(NoFormat, "", false, names.HasUUID(name))
}

func (k kind) file(format Format, root string, rooted, unique bool) File {
	f := File{Format: format, Kind: k.name, Root: root, Rooted: rooted, Class: k.class, Mutability: k.mutability}
	if unique && f.Mutability == Replaceable {
		f.Mutability = Immutable
	}
	return f
}

// ClassOf is the class that Identify tells.
func ClassOf(path string) Class { return Identify(path).Class }
