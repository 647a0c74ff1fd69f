package hudi

import (
	"strings"

	"github.com/alio-lake/alio/formats/names"
)

// folder is where a table keeps its metadata.
const folder = ".hoodie"

// Kind is what a file of a table is.
type Kind uint8

// The kinds.
const (
	Unknown           Kind = iota // below .hoodie, of no kind that this build knows: heartbeats, locks, definitions of indexes, unknown actions
	Timeline                      // the timeline's folder, or .hoodie itself
	Properties                    // hoodie.properties: version, layout, keys; and its backup during an update
	Requested                     // S.action.requested
	Inflight                      // S.action.inflight; S.inflight for a commit
	Completed                     // S.action in layout 1, S_C.action in layout 2
	Archived                      // archived/.commits_.archive.N_token: the old instants of layout 1; of a metadata table in history/
	History                       // timeline/history/min_max_level.parquet: the old instants of layout 2, a log-structured merge tree
	HistoryManifest               // timeline/history/manifest_N: which of them are alive
	HistoryVersion                // timeline/history/_version_: the present N
	Marker                        // .temp/…: what an unfinished instant has written
	Index                         // metadata/…: base files of the metadata table, a table of its own
	PartitionMetadata             // .hoodie_partition_metadata
	BaseFile                      // fileId_token_S.parquet, .orc or .hfile
	LogFile                       // .fileId_S.log.N_token: changes to a base file
)

// File is what a path says of a file of a table.
type File struct {
	Kind    Kind
	Root    string // the innermost table's folder, without a slash at its end; "" if it is the mount's own
	Rooted  bool   // Root is known
	Unique  bool   // the name is never used again
	InIndex bool   // of the metadata table, wherever it is the innermost
	Layout  int    // Completed: the timeline's layout, 1 or 2
	Action  string // Requested, Inflight, Completed: one of Actions; "" for S.inflight
	Instant string // when it began: the instants, BaseFile, LogFile
	FileID  string // BaseFile, LogFile
}

// actions are those of a timeline.
var actions = []string{"commit", "deltacommit", "replacecommit", "clustering", "compaction", "logcompaction", "clean", "rollback",
	"restore", "savepoint", "indexing", "schemacommit"}

// Parse tells whether a path is that of a file of a Hudi table, as far as paths can.
func Parse(path string) (File, bool) {
	dir, name := names.Split(path)
	root, rest, ok := names.Below(path, folder)
	if !ok {
		return data(name)
	}
	if partition, ok := strings.CutPrefix(rest, folderOfIndex+"/"); ok && partition != "" {
		f, ok := data(name)
		if !ok {
			f = File{Kind: Index, Unique: names.HasUUID(name)}
		}
		f.Root, f.Rooted, f.InIndex = path[:len(path)-len(partition)-1], true, true
		return f, true
	}
	f := inFolder(strings.TrimPrefix(dir[min(len(dir), len(path)-len(rest)):], "/"), name, rest)
	f.Root, f.Rooted = root, true
	f.InIndex = strings.HasSuffix(root, folder+"/"+folderOfIndex)
	return f, true
}

// folderOfIndex is where the metadata table lies below .hoodie.
const folderOfIndex = "metadata"

// inFolder parses what lies below .hoodie but for the metadata table: in the folder dir of it, "" for .hoodie itself.
func inFolder(dir, name, rest string) File {
	first, _, _ := strings.Cut(rest, "/")
	switch {
	case rest == "" || name == "" || rest == "timeline" || rest == "timeline/history" || rest == "archived":
		return File{Kind: Timeline}
	case first == ".temp":
		return File{Kind: Marker}
	case dir == "" && (name == "hoodie.properties" || strings.HasPrefix(name, "hoodie.properties.")):
		return File{Kind: Properties}
	case (dir == "archived" || dir == "history") && strings.HasPrefix(name, ".commits_.archive."):
		return File{Kind: Archived}
	}
	if below, parent := names.Split(dir); parent == "history" && below != "" {
		return inHistory(name)
	}
	if dir == "" || !strings.Contains(dir, "/") && !strings.HasPrefix(dir, ".") && dir != "archived" {
		return instant(name) // layout 1 below .hoodie, layout 2 in a folder whose name is a property of the table
	}
	return File{}
}

// inHistory parses the names of layout 2's history.
func inHistory(name string) File {
	if name == "_version_" {
		return File{Kind: HistoryVersion}
	}
	if n, ok := strings.CutPrefix(name, "manifest_"); ok && names.Digits(n) {
		return File{Kind: HistoryManifest}
	}
	if span, ok := strings.CutSuffix(name, ".parquet"); ok {
		from, rest, _ := strings.Cut(span, "_")
		to, level, _ := strings.Cut(rest, "_")
		if isInstant(from) && isInstant(to) && names.Digits(level) {
			return File{Kind: History, Unique: isTime(from) && isTime(to)}
		}
	}
	return File{}
}

// instant parses the names of a timeline.
func instant(name string) File {
	times, action, ok := strings.Cut(name, ".")
	began, ended, two := strings.Cut(times, "_")
	if !ok || !isInstant(began) || two && !isInstant(ended) {
		return File{}
	}
	f := File{Kind: Completed, Instant: began, Layout: 1}
	switch {
	case action == "requested" || strings.HasSuffix(action, ".requested"):
		f.Kind, action = Requested, strings.TrimSuffix(strings.TrimSuffix(action, "requested"), ".")
	case action == "inflight" || strings.HasSuffix(action, ".inflight"):
		f.Kind, action = Inflight, strings.TrimSuffix(strings.TrimSuffix(action, "inflight"), ".")
	}
	f.Action = action
	switch {
	case !known(action) && (action != "" || f.Kind != Inflight):
		return File{}
	case f.Kind != Completed:
		f.Layout = 0
		return f
	case two:
		f.Layout = 2
	}
	// A savepoint may be deleted and made again: in layout 1 under the same name.
	f.Unique = isTime(began) && (two || action != "savepoint")
	return f
}

func known(action string) bool {
	for _, a := range actions {
		if a == action {
			return true
		}
	}
	return false
}

// Writes reports whether a completed instant tells which files it wrote.
func (f *File) Writes() bool {
	switch f.Action {
	case "commit", "deltacommit", "replacecommit":
		return true
	}
	return false
}

// isInstant recognises an instant: yyyyMMddHHmmss, with milliseconds, with the suffix of the metadata table's own actions; or a number that Hudi
// fixes, such as 00000000000001.
func isInstant(s string) bool { return len(s) >= 14 && len(s) <= 24 && names.Digits(s) }

// isTime tells an instant that is a time from one that Hudi fixes, whose files are born again under the same name when a table's index is built anew.
func isTime(instant string) bool { return instant[0] != '0' }

// data parses the names of a partition's files.
func data(name string) (File, bool) {
	if name == ".hoodie_partition_metadata" || strings.HasPrefix(name, ".hoodie_partition_metadata.") {
		return File{Kind: PartitionMetadata}, true
	}
	if strings.HasPrefix(name, ".") {
		return logFile(name)
	}
	stem, extension, ok := strings.Cut(name, ".")
	if !ok || extension != "parquet" && extension != "orc" && extension != "hfile" {
		return File{}, false
	}
	i := strings.LastIndexByte(stem, '_')
	if i < 0 || !isInstant(stem[i+1:]) {
		return File{}, false
	}
	instant := stem[i+1:]
	j := strings.LastIndexByte(stem[:i], '_')
	if j <= 0 || !isToken(stem[j+1:i]) {
		return File{}, false
	}
	return File{Kind: BaseFile, Instant: instant, FileID: stem[:j], Unique: isTime(instant) || names.HasUUID(name)}, true
}

// logFile parses .fileId_S.log.N_token and what comes near it: whatever may grow is better taken for a log than not.
func logFile(name string) (File, bool) {
	stem, _, ok := strings.Cut(name, ".log.")
	if !ok || len(stem) < 2 {
		return File{}, false
	}
	f := File{Kind: LogFile}
	if i := strings.LastIndexByte(stem, '_'); i > 1 && isInstant(stem[i+1:]) {
		f.FileID, f.Instant = stem[1:i], stem[i+1:]
	}
	return f, true
}

// isToken recognises a write token: three numbers, of the partition, the stage and the attempt.
func isToken(s string) bool {
	n := 0
	for {
		number, rest, more := strings.Cut(s, "-")
		if !names.Digits(number) {
			return false
		}
		if n++; !more {
			return n == 3
		}
		s = rest
	}
}
