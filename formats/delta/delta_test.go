package delta_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/delta"
	"github.com/alio-lake/alio/formats/faults"
)

const id = "80a083e8-7026-4e79-81be-64bd76c43a11"

func TestParse(t *testing.T) {
	for path, want := range map[string]delta.File{
		"t/_delta_log/00000000000000000012.json":                                     {Kind: delta.Commit, Version: 12},
		"t/_delta_log/00000000000000000012.crc":                                      {Kind: delta.Checksum, Version: 12},
		"t/_delta_log/00000000000000000004.00000000000000000006.compacted.json":      {Kind: delta.Compacted, Version: 6},
		"t/_delta_log/00000000000000000012.checkpoint.parquet":                       {Kind: delta.Checkpoint, Version: 12},
		"t/_delta_log/00000000000000000012.checkpoint.0000000002.0000000003.parquet": {Kind: delta.CheckpointPart, Version: 12, Part: 2, Parts: 3},
		"t/_delta_log/00000000000000000012.checkpoint." + id + ".json":               {Kind: delta.CheckpointV2, Version: 12, Unique: true},
		"t/_delta_log/00000000000000000012.checkpoint." + id + ".parquet":            {Kind: delta.CheckpointV2, Version: 12, Unique: true, Parquet: true},
		"t/_delta_log/_staged_commits/00000000000000000012." + id + ".json":          {Kind: delta.StagedCommit, Version: 12, Unique: true},
		"t/_delta_log/_commits/00000000000000000012." + id + ".json":                 {Kind: delta.StagedCommit, Version: 12, Unique: true},
		"t/_delta_log/_sidecars/" + id + ".parquet":                                  {Kind: delta.Sidecar, Unique: true},
		"t/_delta_log/_sidecars/plain.parquet":                                       {Kind: delta.Sidecar},
		"t/_delta_log/_last_checkpoint":                                              {Kind: delta.LastCheckpoint},
		"t/_delta_log/":                                                              {Kind: delta.Log},
		"t/_delta_log":                                                               {Kind: delta.Log},
		"t/_delta_log/_sidecars":                                                     {Kind: delta.Log},
		"t/_delta_log/_sidecars/":                                                    {Kind: delta.Log},
		"t/_change_data/p=1/cdc-0-" + id + ".c000.snappy.parquet":                    {Kind: delta.ChangeData, Unique: true},
		"t/_delta_log/12.json":                                                       {},
		"t/_delta_log/99999999999999999999.json":                                     {},
		"t/_delta_log/00000000000000000012":                                          {},
		"t/_delta_log/00000000000000000012.checkpoint.0000000004.0000000003.parquet": {},
		"t/_delta_log/00000000000000000012.checkpoint.0000000000.0000000000.parquet": {},
		"t/_delta_log/00000000000000000012.checkpoint.1.2.parquet":                   {},
		"t/_delta_log/00000000000000000012.checkpoint.orc":                           {},
		"t/_delta_log/00000000000000000012.checkpoint." + id + ".txt":                {Unique: true},
		"t/_delta_log/00000000000000000007.00000000000000000006.compacted.json":      {},
		"t/_delta_log/00000000000000000012." + id + ".json":                          {Unique: true},
		"t/_delta_log/deeper/00000000000000000012.json":                              {},
		"t/_delta_log/_staged_commits/00000000000000000012.json":                     {},
		"t/_delta_log/_commit_" + id + ".json.tmp":                                   {Unique: true},
		"t/_delta_log/.00000000000000000012.json." + id + ".tmp":                     {Unique: true},
		"t/_delta_log/_sidecars/x.json":                                              {},
	} {
		want.Root, want.Rooted = "t", true
		if got, ok := delta.Parse(path); !ok || got != want {
			t.Errorf("%s: %+v, %t; want %+v", path, got, ok, want)
		}
	}
	for path, want := range map[string]delta.File{
		"a/_trino_meta/extended_stats.json":                   {Kind: delta.Statistics, Root: "a", Rooted: true},
		"_starburst_meta/extendeded_stats.json":               {Kind: delta.Statistics, Rooted: true},
		"_last_checkpoint":                                    {Kind: delta.LastCheckpoint},
		"a/b/deletion_vector_" + id + ".bin":                  {Kind: delta.DeletionVector, Unique: true},
		"_delta_log/00000000000000000012.json":                {Kind: delta.Commit, Version: 12, Rooted: true},
		"a/_delta_log/b/_delta_log/00000000000000000012.json": {Kind: delta.Commit, Version: 12, Rooted: true, Root: "a/_delta_log/b"},
	} {
		if got, ok := delta.Parse(path); !ok || got != want {
			t.Errorf("%s: %+v, %t; want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "t/part-0.parquet", "t/_delta_logs/00000000000000000012.json", "t/_change_data", "t/deletion_vector_x.txt", "t/x_last_checkpoint", "t/_trino_meta", "t/_trino_meta/", "t/_trino_meta/a/b"} {
		if got, ok := delta.Parse(path); ok {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// TestHintsThatLie: what a hint must not make anybody do: name files of another version or folder, or more than the limit.
func TestHintsThatLie(t *testing.T) {
	v2 := `"v2Checkpoint":{"path":"00000000000000000003.checkpoint.` + id + `.json"`
	for text, want := range map[string]string{
		`{"version":3}`:             "00000000000000000003.checkpoint.parquet",
		`{"version":3,"parts":2}`:   "00000000000000000003.checkpoint.0000000001.0000000002.parquet 00000000000000000003.checkpoint.0000000002.0000000002.parquet",
		`{"version":3,"parts":-1}`:  "00000000000000000003.checkpoint.parquet",
		`{"version":3,` + v2 + `}}`: "00000000000000000003.checkpoint." + id + ".json",
		`{"version":3,` + v2 + `,"sidecarFiles":[{"path":"../../s.parquet"},{"path":"file:/x/u.parquet","sizeInBytes":-7},{"path":"v.txt"},{"path":""},{"path":"/"}]}}`: "00000000000000000003.checkpoint." + id + ".json _sidecars/s.parquet _sidecars/u.parquet",
		`{"version":4,` + v2 + `}}`: "!",
		`{"version":3,"v2Checkpoint":{"path":"../00000000000000000003.checkpoint.parquet"}}`: "!",
		`{"version":3,"v2Checkpoint":{"path":"00000000000000000003.json"}}`:                  "!",
		`{"version":3,"v2Checkpoint":{}}`:                                                    "!",
		`{"version":-3}`:                                                                     "!",
		`{}`:                                                                                 "!",
		`null`:                                                                               "!",
		``:                                                                                   "!",
		`{"version":3`:                                                                       "!",
		`{"version":1e30}`:                                                                   "!",
		`[3]`:                                                                                "!",
	} {
		last, err := delta.ReadHint([]byte(text), 9)
		got := ""
		for _, r := range last.Files {
			got = strings.TrimSpace(got + " " + r.Name)
			if r.Size < 0 {
				t.Errorf("%s: %+v", text, r)
			}
		}
		if want == "!" {
			if !errors.Is(err, faults.ErrCorrupt) {
				t.Errorf("%s: %q, %v", text, got, err)
			}
		} else if err != nil || got != want || last.Version != 3 {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if last, err := delta.ReadHint([]byte(`{"version":3,"parts":9000000000000000000}`), 9); err != nil || len(last.Files) != 9 {
		t.Errorf("many parts: %d, %v", len(last.Files), err)
	}
}

func TestSidecars(t *testing.T) {
	good := `{"sidecar":{"path":"a.parquet","sizeInBytes":5}}` + "\n"
	for text, want := range map[string]int{
		good + good: 2, "": 0, "\n\n": 0, `{"add":{"path":"x\"sidecar\""}}` + "\n" + good: 1, strings.Repeat(good, 20): 9,
		`{"checkpointMetadata":{"version":3}}` + "\r\n" + good: 1, `{"sidecar":null}`: 0, `{"sidecar":{"path":"a.txt"}}`: 0,
		`{"sidecar":{"path":7}}`: -1, `{"sidecar"`: -1, good + `"sidecar"garbage`: -1,
	} {
		refs, err := delta.Sidecars([]byte(text), 9)
		if want < 0 && !errors.Is(err, faults.ErrCorrupt) || want >= 0 && (err != nil || len(refs) != want) {
			t.Errorf("%q: %v, %v", text, refs, err)
		}
	}
}

// seeds are real files for the fuzz targets.
func seeds(f *testing.F, pattern string) {
	paths, _ := filepath.Glob("../testdata/tables/" + pattern)
	if len(paths) == 0 {
		f.Fatalf("no file is %s", pattern)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzHint(f *testing.F) {
	seeds(f, "delta_*/_delta_log/_last_checkpoint")
	f.Fuzz(func(t *testing.T, b []byte) {
		last, err := delta.ReadHint(b, 20)
		if err != nil && !errors.Is(err, faults.ErrCorrupt) || len(last.Files) > 20 || err == nil && last.Version < 0 {
			t.Errorf("%+v, %v", last, err)
		}
		judge(t, last.Files)
	})
}

func FuzzSidecars(f *testing.F) {
	seeds(f, "delta_v2_json/_delta_log/*.checkpoint.*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		refs, err := delta.Sidecars(b, 20)
		if err != nil && !errors.Is(err, faults.ErrCorrupt) || len(refs) > 20 {
			t.Errorf("%v, %v", refs, err)
		}
		judge(t, refs)
	})
}

// judge: each name is that of a checkpoint or sidecar, in its own folder.
func judge(t *testing.T, refs []delta.Ref) {
	for _, r := range refs {
		f, ok := delta.Parse("t/_delta_log/" + r.Name)
		if !ok || f.Root != "t" || r.Size < 0 || f.Kind != delta.Sidecar && f.Kind != delta.Checkpoint && f.Kind != delta.CheckpointPart && f.Kind != delta.CheckpointV2 {
			t.Errorf("%+v is %+v", r, f)
		}
	}
}
