package hudi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alio-lake/alio/formats/avro"
	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/names"
)

// Ref is a file that another names.
type Ref struct {
	Path string // below the table's root, or, of the history, below its folder
	Size int64  // 0: not told
}

// TimelineFolder reads hoodie.properties: the folder, below the table's root, whose listing is the timeline.
func TimelineFolder(properties []byte) (string, error) {
	values := map[string]string{}
	for line := range strings.Lines(string(properties)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(key, "hoodie.t") {
			values[key] = value
		}
	}
	switch layout := values["hoodie.timeline.layout.version"]; layout {
	case "2":
		path := values["hoodie.timeline.path"]
		if path == "" {
			path = "timeline"
		}
		if strings.Contains(path, "/") || strings.HasPrefix(path, ".") {
			return "", faults.Corrupt("hoodie.properties: the timeline's path is %q", path)
		}
		return folder + "/" + path, nil
	case "0", "1", "":
		if values["hoodie.table.name"] == "" && layout == "" {
			return "", faults.Corrupt("hoodie.properties without a table's name or a timeline's layout")
		}
		return folder, nil
	default:
		return "", faults.Corrupt("hoodie.properties: timeline layout %q", layout)
	}
}

// maxVersion is the most bytes of _version_: a number.
const maxVersion = 32

// HistoryManifestName reads _version_: the name of the manifest beside it.
func HistoryManifestName(b []byte) (string, error) {
	n, ok := int64(0), false
	if len(b) <= maxVersion {
		n, ok = names.Number(strings.TrimSpace(string(b)))
	}
	if !ok {
		return "", faults.Corrupt("_version_ is %q", b[:min(len(b), maxVersion)])
	}
	return fmt.Sprintf("manifest_%d", n), nil
}

// HistoryFiles reads manifest_N: the files of the history that are alive, at most limit.
func HistoryFiles(b []byte, limit int) ([]Ref, error) {
	var m struct {
		Files []struct {
			Name string `json:"fileName"`
			Size int64  `json:"fileLen"`
		} `json:"files"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, faults.Corrupt("manifest of the history: %v", err)
	}
	var refs []Ref
	for _, f := range m.Files {
		if inHistory(f.Name).Kind == History && len(refs) < limit {
			refs = append(refs, Ref{f.Name, max(f.Size, 0)})
		}
	}
	return refs, nil
}

// Written reads a completed instant that writes data (commit, deltacommit, replacecommit), JSON in layout 1 and Avro in layout 2: the files that it
// wrote, at most limit.
func Written(b []byte, limit int) ([]Ref, error) {
	if bytes.HasPrefix(b, []byte(avro.Magic)) {
		return writtenAvro(b, limit)
	}
	var commit struct {
		Partitions map[string][]struct {
			Path string `json:"path"`
			Size int64  `json:"fileSizeInBytes"`
		} `json:"partitionToWriteStats"`
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil // some actions end with an empty file
	}
	if err := json.Unmarshal(b, &commit); err != nil {
		return nil, faults.Corrupt("instant: %v", err)
	}
	var refs []Ref
	for _, partition := range slices.Sorted(maps.Keys(commit.Partitions)) {
		for _, s := range commit.Partitions[partition] {
			refs = appendRef(refs, Ref{s.Path, s.Size}, limit)
		}
	}
	return refs, nil
}

func writtenAvro(b []byte, limit int) ([]Ref, error) {
	const stats = "partitionToWriteStats."
	var refs []Ref
	var r Ref
	err := avro.Read(b, func(v avro.Value) error {
		switch v.Path {
		case stats + "fileId": // the first field of each write
			refs, r = appendRef(refs, r, limit), Ref{}
		case stats + "path":
			r.Path = string(v.Text)
		case stats + "fileSizeInBytes":
			r.Size = v.Int
		case "":
			refs, r = appendRef(refs, r, limit), Ref{}
		}
		return nil
	})
	return refs, err
}

// appendRef adds a file, unless there are enough or its path is none of a base file or log.
func appendRef(refs []Ref, r Ref, limit int) []Ref {
	_, name := names.Split(r.Path)
	if f, ok := data(name); !ok || f.Kind == PartitionMetadata || len(refs) >= limit || !names.Plain(r.Path) {
		return refs
	}
	r.Size = max(r.Size, 0)
	return append(refs, r)
}

// Slice picks from the names in a partition's folder those that make the file slice of a base file, in the order given: the logs of its file group that
// are as new as it, up to a newer base file. A log names the base's instant (layout 1), or its own, which is later (layout 2). Logs that an
// unfinished compaction has begun to replace belong to a slice of their own, whose base is not there yet; they are picked too, since a reader wants both.
func Slice(base string, folder []string, limit int) []string {
	b, ok := data(base)
	if !ok || b.Kind != BaseFile {
		return nil
	}
	newer := "" // the next base file of the group
	for _, name := range folder {
		if f, ok := data(name); ok && f.Kind == BaseFile && f.FileID == b.FileID && later(f.Instant, b.Instant) && (newer == "" || later(newer, f.Instant)) {
			newer = f.Instant
		}
	}
	var logs []string
	for _, name := range folder {
		f, ok := data(name)
		if !ok || f.Kind != LogFile || f.FileID != b.FileID || len(logs) >= limit {
			continue
		}
		if !later(b.Instant, f.Instant) && (newer == "" || later(newer, f.Instant)) {
			logs = append(logs, name)
		}
	}
	return logs
}

// later orders instants, which may have milliseconds or not.
func later(a, b string) bool {
	n := min(len(a), len(b))
	if a[:n] != b[:n] {
		return a[:n] > b[:n]
	}
	return len(a) > len(b)
}
