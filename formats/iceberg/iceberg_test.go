package iceberg_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/iceberg"
)

const id = "89c63b5b-2fd3-46ff-8fdd-a81d645a14ef"

func TestParse(t *testing.T) {
	in := func(f iceberg.File) iceberg.File { f.Root, f.Rooted = "db/t", true; return f }
	for path, want := range map[string]iceberg.File{
		"db/t/metadata/00004-" + id + ".metadata.json":       in(iceberg.File{Kind: iceberg.Metadata, Unique: true}),
		"db/t/metadata/00004-" + id + ".gz.metadata.json":    in(iceberg.File{Kind: iceberg.Metadata, Unique: true}),
		"db/t/metadata/v3.metadata.json":                     in(iceberg.File{Kind: iceberg.Metadata}),
		"db/t/metadata/v3.metadata.json.gz":                  in(iceberg.File{Kind: iceberg.Metadata}),
		"db/t/metadata/snap-123-1-" + id + ".avro":           in(iceberg.File{Kind: iceberg.ManifestList, Unique: true}),
		"db/t/metadata/" + id + "-m0.avro":                   in(iceberg.File{Kind: iceberg.Manifest, Unique: true}),
		"db/t/metadata/optimized-m-" + id + ".avro":          in(iceberg.File{Kind: iceberg.Manifest, Unique: true}),
		"db/t/metadata/123-" + id + ".stats":                 in(iceberg.File{Kind: iceberg.Statistics, Unique: true}),
		"db/t/metadata/partition-stats-1-" + id + ".parquet": in(iceberg.File{Kind: iceberg.Statistics, Unique: true}),
		"db/t/metadata/123.puffin":                           in(iceberg.File{Kind: iceberg.Statistics}),
		"db/t/metadata/version-hint.text":                    in(iceberg.File{Kind: iceberg.VersionHint}),
		"metadata/version-hint.text":                         {Kind: iceberg.VersionHint, Rooted: true},
		"version-hint.text":                                  {Kind: iceberg.VersionHint},
		"elsewhere/" + id + "-m12.avro":                      {Kind: iceberg.Manifest, Unique: true},
		"elsewhere/snap-1-1-" + id + ".avro":                 {Kind: iceberg.ManifestList, Unique: true},
		"elsewhere/00004-" + id + ".metadata.json":           {Kind: iceberg.Metadata, Unique: true},
		"db/t/data/00000-1-" + id + "-00001-deletes.puffin":  {Kind: iceberg.Deletes, Unique: true},
	} {
		if got, ok := iceberg.Parse(path); !ok || got != want {
			t.Errorf("%s: %+v, %t; want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "db/t/data/0-" + id + ".parquet", "db/t/metadata/x.json", "db/t/metadata", "db/t/metadata/", "db/x.avro", "db/t/x-m1.avro", "db/t/x.stats"} {
		if got, ok := iceberg.Parse(path); ok {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestHinted(t *testing.T) {
	for text, want := range map[string]string{"5": "v5.metadata.json v6.metadata.json", "12\n": "v12.metadata.json v13.metadata.json", "": "", "x": "", "-1": "", "5 6": "",
		"99999999999999999999999999999999": "", "9223372036854775807": "", "5                                 ": ""} {
		present, next, err := iceberg.Hinted([]byte(text))
		if got := present + " " + next; want == "" && !errors.Is(err, faults.ErrCorrupt) || want != "" && (err != nil || got != want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

// TestSnapshotBelowTheRoot: an address is believed as far as it lies below the table: by its location, or by the folders of its root.
func TestSnapshotBelowTheRoot(t *testing.T) {
	for _, c := range []struct{ location, uri, root, want string }{
		{"s3://lake/db/t", "s3://lake/db/t/metadata/snap.avro", "db/t", "db/t/metadata/snap.avro"},
		{"s3://lake/db/t/", "s3://lake/db/t/metadata/snap.avro", "other/name", "other/name/metadata/snap.avro"},
		{"s3://lake/db/t", "s3a://lake/db/t/metadata/snap.avro", "db/t", "db/t/metadata/snap.avro"},
		{"s3://lake/db/t", "s3://lake/wh/db/t/metadata/snap.avro", "db/t", "db/t/metadata/snap.avro"},
		{"s3://lake/db/t", "s3://lake/db/t2/metadata/snap.avro", "db/t", ""},
		{"s3://lake/db/t", "s3://lake/xdb/t/metadata/snap.avro", "db/t", ""},
		{"", "/db/t/metadata/snap.avro", "db/t", "db/t/metadata/snap.avro"},
		{"s3://lake", "s3://lake/metadata/snap.avro", "", "metadata/snap.avro"},
		{"", "s3://lake/metadata/snap.avro", "", ""},
		{"s3://lake/db/t", "s3://lake/db/t/../u/snap.avro", "db/t", ""},
		{"s3://lake/db/t", "s3a://lake/db/t/../u/snap.avro", "db/t", ""},
		{"s3://lake/db/t", "s3://lake/db/t//snap.avro", "db/t", ""},
		{"s3://lake/db/t", "s3://lake/db/t/", "db/t", ""},
		{"s3://lake/db/t", "", "db/t", ""},
	} {
		b, _ := json.Marshal(map[string]any{"location": c.location, "current-snapshot-id": 7,
			"snapshots": []any{map[string]any{"snapshot-id": 6, "manifest-list": "s3://lake/db/t/no"}, map[string]any{"snapshot-id": 7, "manifest-list": c.uri}}})
		refs, err := iceberg.Snapshot(b, c.root, 9)
		if got := paths(refs); err != nil || c.want == "" && len(got) > 0 || c.want != "" && !slices.Equal(got, []string{c.want}) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func paths(refs []iceberg.Ref) (out []string) {
	for _, r := range refs {
		out = append(out, r.Path)
	}
	return out
}

func TestSnapshot(t *testing.T) {
	file := read(t, "../testdata/tables/iceberg_hadoop/metadata/v5.metadata.json")
	refs, err := iceberg.Snapshot(file, "iceberg_hadoop", 9)
	if err != nil || len(refs) != 2 || refs[1].Size == 0 {
		t.Errorf("%v, %v", refs, err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(file)
	w.Close()
	if got, err := iceberg.Snapshot(zipped.Bytes(), "iceberg_hadoop", 9); err != nil || !slices.Equal(got, refs) {
		t.Errorf("gzip: %v, %v", got, err)
	}
	if got, err := iceberg.Snapshot(file, "iceberg_hadoop", 1); err != nil || len(got) != 1 {
		t.Errorf("a limit of 1: %v, %v", got, err)
	}
	v1 := `{"location":"s3://b/t","current-snapshot-id":7,"snapshots":[{"snapshot-id":7,"manifests":["s3://b/t/metadata/a.avro","s3://b/t/metadata/b.avro"]}]}`
	if got, err := iceberg.Snapshot([]byte(v1), "t", 9); err != nil || len(got) != 2 {
		t.Errorf("version 1: %v, %v", got, err)
	}
	for _, text := range []string{`{}`, `{"current-snapshot-id":-1,"snapshots":[]}`, `{"current-snapshot-id":null}`, `{"current-snapshot-id":5,"snapshots":[{"snapshot-id":5}]}`} {
		if got, err := iceberg.Snapshot([]byte(text), "t", 9); err != nil || got != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `[]`, `{"location":7}`, `{`, "\x1f\x8b", "\x1f\x8bgarbage"} {
		if got, err := iceberg.Snapshot([]byte(text), "t", 9); !errors.Is(err, faults.ErrCorrupt) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestManifestsUpToALimit(t *testing.T) {
	file := list(t)
	refs, err := iceberg.Manifests(file, "iceberg_sql", 9)
	if err != nil || len(refs) < 2 || refs[0].Size == 0 {
		t.Fatalf("%v, %v", refs, err)
	}
	if got, err := iceberg.Manifests(file, "iceberg_sql", 1); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := iceberg.Manifests(file, "another", 9); err != nil || len(got) != 0 {
		t.Errorf("of another table: %v, %v", got, err)
	}
}

func list(t testing.TB) []byte {
	found, _ := filepath.Glob("../testdata/tables/iceberg_sql/metadata/snap-846056057308086460-0-*.avro")
	if len(found) != 1 {
		t.Fatalf("%v", found)
	}
	return read(t, found[0])
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzMetadata(f *testing.F) {
	f.Add(read(f, "../testdata/tables/iceberg_hadoop/metadata/v5.metadata.json"))
	f.Add([]byte(`{"location":"s3://b/iceberg_hadoop","current-snapshot-id":7,"snapshots":[{"snapshot-id":7,"manifests":["s3://b/iceberg_hadoop/m"]}],"statistics":[{"snapshot-id":7,"statistics-path":"/iceberg_hadoop/s","file-size-in-bytes":-3}]}`))
	f.Add([]byte("5\n"))
	f.Add(list(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		const root = "iceberg_hadoop"
		refs, err := iceberg.Snapshot(b, root, 20)
		judge(t, refs, err, root)
		refs, err = iceberg.Manifests(b, root, 20)
		judge(t, refs, err, root)
		if present, next, err := iceberg.Hinted(b); err == nil && (present == "" || next == "" || present == next) {
			t.Errorf("%q and %q", present, next)
		}
	})
}

func judge(t *testing.T, refs []iceberg.Ref, err error, root string) {
	t.Helper()
	if err != nil && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) || len(refs) > 20 {
		t.Errorf("%d, %v", len(refs), err)
	}
	for _, r := range refs {
		if len(r.Path) <= len(root)+1 || r.Path[:len(root)+1] != root+"/" || r.Size < 0 || bytes.Contains([]byte("/"+r.Path+"/"), []byte("/../")) {
			t.Errorf("%+v", r)
		}
	}
}
