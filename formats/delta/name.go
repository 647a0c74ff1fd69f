package delta

import (
	"fmt"
	"strings"

	"github.com/alio-lake/alio/formats/names"
)

// Folder names of a table.
const (
	logFolder     = "_delta_log"
	sidecarFolder = "_sidecars"
	stagedFolder  = "_staged_commits"
	commitsFolder = "_commits" // what it was called before
	changeFolder  = "_change_data"
)

// statisticsFolders are those of Trino and of what it was before.
var statisticsFolders = [...]string{"_trino_meta", "_starburst_meta"}

// Kind is what a file of a table is.
type Kind uint8

// The kinds.
const (
	Unknown        Kind = iota // in the log's folder, under a name that the protocol does not have
	Log                        // the log's folder itself, or one below it
	Commit                     // N.json
	Checksum                   // N.crc
	Compacted                  // N.M.compacted.json
	StagedCommit               // _staged_commits/N.<uuid>.json: a catalog decides whether it becomes version N
	Checkpoint                 // N.checkpoint.parquet
	CheckpointPart             // N.checkpoint.o.p.parquet
	CheckpointV2               // N.checkpoint.<uuid>.json or .parquet
	Sidecar                    // _sidecars/<uuid>.parquet: the files of a V2 checkpoint
	LastCheckpoint             // _last_checkpoint, a hint that may be stale or absent
	ChangeData                 // _change_data/…: what changed, row by row
	DeletionVector             // deletion_vector_<uuid>.bin: which rows of data files are gone
	Statistics                 // _trino_meta/… or _starburst_meta/…: what ANALYZE of Trino found
)

// File is what a path says of a file of a table.
type File struct {
	Kind    Kind
	Root    string // the table's folder, without a slash at its end; "" if it is the mount's own
	Rooted  bool   // Root is known
	Unique  bool   // the name is never used again
	Version int64  // of the table: Commit, Checksum, Compacted (its last), StagedCommit and the checkpoints
	Part    int64  // CheckpointPart: which of Parts, from 1
	Parts   int64
	Parquet bool // CheckpointV2: not in JSON
}

// Parse tells whether a path is that of a file of a Delta table, as far as paths can: of data files only change data and deletion vectors are
// known by their names.
func Parse(path string) (File, bool) {
	_, name := names.Split(path)
	if root, rest, ok := names.Below(path, logFolder); ok {
		f := inLog(rest, name)
		f.Root, f.Rooted = root, true
		f.Unique = names.HasUUID(name)
		return f, true
	}
	if name == "_last_checkpoint" {
		return File{Kind: LastCheckpoint}, true
	}
	if root, rest, ok := names.Below(path, changeFolder); ok && rest != "" {
		return File{Kind: ChangeData, Root: root, Rooted: true, Unique: names.HasUUID(name)}, true
	}
	dir, _ := names.Split(path)
	table, parent := names.Split(dir)
	for _, folder := range statisticsFolders {
		if parent == folder && name != "" {
			return File{Kind: Statistics, Root: table, Rooted: true, Unique: names.HasUUID(name)}, true
		}
	}
	if id, ok := strings.CutPrefix(name, "deletion_vector_"); ok && strings.HasSuffix(id, ".bin") {
		// A table may spread its files over folders of random names, so the folder is not surely the table's.
		return File{Kind: DeletionVector, Unique: names.HasUUID(id)}, true
	}
	return File{}, false
}

// inLog parses what lies below the log's folder.
func inLog(rest, name string) File {
	dir, _ := names.Split(rest)
	switch rest {
	case "", sidecarFolder, stagedFolder, commitsFolder:
		return File{Kind: Log}
	case "_last_checkpoint":
		return File{Kind: LastCheckpoint}
	}
	if name == "" {
		return File{Kind: Log}
	}
	if dir == sidecarFolder {
		if strings.HasSuffix(name, ".parquet") {
			return File{Kind: Sidecar}
		}
		return File{}
	}
	f, ok := numbered(name)
	staged := dir == stagedFolder || dir == commitsFolder
	if !ok || staged != (f.Kind == StagedCommit) || dir != "" && !staged {
		return File{}
	}
	return f
}

// numbered parses the names that begin with a version.
func numbered(name string) (File, bool) {
	number, rest, ok := strings.Cut(name, ".")
	version, good := versionOf(number)
	if !ok || !good {
		return File{}, false
	}
	f := File{Version: version}
	switch rest {
	case "json":
		f.Kind = Commit
		return f, true
	case "crc":
		f.Kind = Checksum
		return f, true
	case "checkpoint.parquet":
		f.Kind = Checkpoint
		return f, true
	}
	if below, ok := strings.CutPrefix(rest, "checkpoint."); ok {
		return checkpoint(f, below)
	}
	if last, ok := strings.CutSuffix(rest, ".compacted.json"); ok {
		f.Kind = Compacted
		f.Version, ok = versionOf(last)
		return f, ok && f.Version >= version
	}
	id, ok := strings.CutSuffix(rest, ".json")
	f.Kind = StagedCommit
	return f, ok && names.IsUUID(id)
}

// checkpoint parses what follows "N.checkpoint.".
func checkpoint(f File, rest string) (File, bool) {
	id, extension, _ := strings.Cut(rest, ".")
	if names.IsUUID(id) {
		f.Kind, f.Parquet = CheckpointV2, extension == "parquet"
		return f, extension == "json" || extension == "parquet"
	}
	rest, parquet := strings.CutSuffix(rest, ".parquet")
	part, parts, ok := strings.Cut(rest, ".")
	if !parquet || !ok || len(part) != partDigits || len(parts) != partDigits {
		return File{}, false
	}
	f.Kind = CheckpointPart
	f.Part, ok = names.Number(part)
	f.Parts, parquet = names.Number(parts)
	return f, ok && parquet && 1 <= f.Part && f.Part <= f.Parts
}

// How many digits the protocol writes a version and the number of a part with.
const (
	versionDigits = 20
	partDigits    = 10
)

func versionOf(s string) (int64, bool) {
	if len(s) != versionDigits {
		return 0, false
	}
	return names.Number(s)
}

// InLog is the path of a file of the table's log.
func (f *File) InLog(name string) string { return names.Join(f.Root, logFolder+"/"+name) }

// CommitName is the name of the commit that makes a version.
func CommitName(version int64) string { return fmt.Sprintf("%0*d.json", versionDigits, version) }

func checkpointName(version int64) string {
	return fmt.Sprintf("%0*d.checkpoint.parquet", versionDigits, version)
}

// Siblings are the names of the other parts of a checkpoint of many parts, at most limit.
func (f *File) Siblings(limit int) []string { return partNames(f.Version, f.Parts, f.Part, limit) }

// partNames names all parts but one; 0 is none of them.
func partNames(version, parts, but int64, limit int) []string {
	var out []string
	for part := int64(1); part <= parts && len(out) < limit; part++ {
		if part != but {
			out = append(out, fmt.Sprintf("%0*d.checkpoint.%0*d.%0*d.parquet", versionDigits, version, partDigits, part, partDigits, parts))
		}
	}
	return out
}
