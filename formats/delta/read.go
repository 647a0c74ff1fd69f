package delta

import (
	"bytes"
	"encoding/json"

	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/names"
)

// Ref is a file of the log that another names.
type Ref struct {
	Name string // below the log's folder
	Size int64  // 0: not told
}

// sidecarRef is how a V2 checkpoint, or the hint that names it, tells of a sidecar.
type sidecarRef struct {
	Path string `json:"path"`
	Size int64  `json:"sizeInBytes"`
}

// Last is what _last_checkpoint says.
type Last struct {
	Version int64
	Files   []Ref // the checkpoint's files, then the sidecars that the hint knows of
}

// ReadHint reads _last_checkpoint; of the files that it names at most limit. It is a hint: the checkpoint may be gone, and newer ones may be there.
func ReadHint(b []byte, limit int) (Last, error) {
	var hint struct {
		Version *int64 `json:"version"`
		Parts   int64  `json:"parts"`
		V2      *struct {
			Path     string       `json:"path"`
			Size     int64        `json:"sizeInBytes"`
			Sidecars []sidecarRef `json:"sidecarFiles"`
		} `json:"v2Checkpoint"`
	}
	if err := json.Unmarshal(b, &hint); err != nil {
		return Last{}, faults.Corrupt("_last_checkpoint: %v", err)
	}
	if hint.Version == nil || *hint.Version < 0 {
		return Last{}, faults.Corrupt("_last_checkpoint without a version")
	}
	last := Last{Version: *hint.Version}
	switch {
	case hint.V2 != nil:
		f, ok := numbered(hint.V2.Path)
		if !ok || f.Kind != CheckpointV2 && f.Kind != Checkpoint || f.Version != last.Version {
			return Last{}, faults.Corrupt("_last_checkpoint of version %d names %q", last.Version, hint.V2.Path)
		}
		last.Files = append(last.Files, Ref{hint.V2.Path, max(hint.V2.Size, 0)})
		for _, s := range hint.V2.Sidecars {
			last.Files = appendSidecar(last.Files, s, limit)
		}
	case hint.Parts > 0:
		for _, name := range partNames(last.Version, hint.Parts, 0, limit) {
			last.Files = append(last.Files, Ref{Name: name})
		}
	default:
		last.Files = []Ref{{Name: checkpointName(last.Version)}}
	}
	return last, nil
}

// appendSidecar adds a sidecar, unless there are enough or its name is none. It lies in the table's own folder of sidecars, whatever comes before its name.
func appendSidecar(refs []Ref, s sidecarRef, limit int) []Ref {
	_, name := names.Split(s.Path)
	if f := inLog(sidecarFolder+"/"+name, name); len(refs) >= limit || f.Kind != Sidecar {
		return refs
	}
	return append(refs, Ref{sidecarFolder + "/" + name, max(s.Size, 0)})
}

// Sidecars reads a V2 checkpoint in JSON, one action a line: the sidecars that it names, at most limit. Of a V2 checkpoint in Parquet only the hint
// tells them.
func Sidecars(b []byte, limit int) ([]Ref, error) {
	var refs []Ref
	for line := range bytes.Lines(b) {
		if !bytes.Contains(line, []byte(`"sidecar"`)) { // cheaper than to parse each line
			continue
		}
		var action struct {
			Sidecar *sidecarRef `json:"sidecar"`
		}
		if err := json.Unmarshal(line, &action); err != nil {
			return refs, faults.Corrupt("an action of a checkpoint: %v", err)
		}
		if action.Sidecar != nil {
			refs = appendSidecar(refs, *action.Sidecar, limit)
		}
	}
	return refs, nil
}
