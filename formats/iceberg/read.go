package iceberg

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/alio-lake/alio/formats/avro"
	"github.com/alio-lake/alio/formats/codec"
	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/names"
)

// Ref is a file that another names.
type Ref struct {
	Path string // within the mount
	Size int64  // 0: not told
}

// maxHint is the most bytes of a version hint: a number, and perhaps a line's end.
const maxHint = 32

// Hinted reads a version hint: the names of the metadata of the version that it tells and of the one after it, which a reader looks for before it believes
// the hint.
func Hinted(hint []byte) (present, next string, err error) {
	version, ok := int64(0), false
	if len(hint) <= maxHint {
		version, ok = names.Number(strings.TrimSpace(string(hint)))
	}
	if !ok || version >= 1<<62 {
		return "", "", faults.Corrupt("a version hint of %q", hint[:min(len(hint), maxHint)])
	}
	return fmt.Sprintf("v%d.metadata.json", version), fmt.Sprintf("v%d.metadata.json", version+1), nil
}

// metadata is what is wanted of a metadata.json.
type metadata struct {
	Location  string `json:"location"`
	Current   *int64 `json:"current-snapshot-id"`
	Snapshots []struct {
		ID           int64    `json:"snapshot-id"`
		ManifestList string   `json:"manifest-list"`
		Manifests    []string `json:"manifests"` // of version 1 tables without lists
	} `json:"snapshots"`
	Statistics []struct {
		ID   int64  `json:"snapshot-id"`
		Path string `json:"statistics-path"`
		Size int64  `json:"file-size-in-bytes"`
	} `json:"statistics"`
}

// maxMetadata is the most bytes that a compressed metadata.json may expand to.
const maxMetadata = 64 << 20

// Snapshot reads table metadata, compressed or not: the manifest list of the present snapshot (or its manifests, where it has none), then its
// statistics. root is the table's folder in the mount; files that do not lie below it are left out, since nothing tells where else in the
// mount they are. A table without a snapshot has none.
func Snapshot(b []byte, root string, limit int) ([]Ref, error) {
	if len(b) >= 2 && b[0] == 0x1f && b[1] == 0x8b {
		var err error
		if b, err = codec.Expand(codec.Gzip, b, maxMetadata); err != nil {
			return nil, err
		}
	}
	var m metadata
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, faults.Corrupt("table metadata: %v", err)
	}
	if m.Current == nil {
		return nil, nil
	}
	var uris []string
	var sizes []int64
	for _, s := range m.Snapshots {
		if s.ID != *m.Current {
			continue
		}
		if s.ManifestList != "" {
			s.Manifests = []string{s.ManifestList}
		}
		uris = append(uris, s.Manifests...)
	}
	sizes = make([]int64, len(uris))
	for _, s := range m.Statistics {
		if s.ID == *m.Current && s.Path != "" {
			uris, sizes = append(uris, s.Path), append(sizes, s.Size)
		}
	}
	var refs []Ref
	for i, uri := range uris {
		if len(refs) == limit {
			break
		}
		if path, ok := within(uri, m.Location, root); ok {
			refs = append(refs, Ref{path, max(sizes[i], 0)})
		}
	}
	return refs, nil
}

// Manifests reads a manifest list: its manifests, at most limit.
func Manifests(b []byte, root string, limit int) ([]Ref, error) {
	var refs []Ref
	var r Ref
	err := avro.Read(b, func(v avro.Value) error {
		switch v.Path {
		case "manifest_path":
			path, ok := within(string(v.Text), "", root)
			if r.Path = ""; ok {
				r.Path = path
			}
		case "manifest_length":
			r.Size = max(v.Int, 0)
		case "":
			if r.Path != "" && len(refs) < limit {
				refs = append(refs, r)
			}
			r = Ref{}
		}
		return nil
	})
	return refs, err
}

// within turns the address of a file into its path in the mount: below the table's root. An address begins with the table's location, where that is known;
// or else it has the root's own folders in it.
func within(uri, location, root string) (string, bool) {
	if location = strings.TrimRight(location, "/"); location != "" {
		if rest, ok := strings.CutPrefix(uri, location+"/"); ok {
			return names.Join(root, rest), names.Plain(rest)
		}
	}
	if root == "" {
		return "", false
	}
	if i := strings.Index(uri, "://"); i >= 0 {
		uri = uri[i+len("://"):]
	}
	i := strings.LastIndex("/"+uri, "/"+root+"/")
	if i < 0 {
		return "", false
	}
	return uri[i:], names.Plain(uri[i:])
}
