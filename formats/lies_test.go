package formats

import (
	"bytes"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/names"
)

// read are the kinds of file that Next reads, with a real file of each.
func readKinds(t testing.TB) map[string]string {
	out := map[string]string{}
	for _, path := range tablePaths(t) {
		f := Identify(path)
		switch kind := f.Format.String() + " " + f.Kind; kind {
		case "delta last-checkpoint", "delta checkpoint-v2", "hudi properties", "hudi completed", "hudi history-version", "hudi history-manifest",
			"iceberg version-hint", "iceberg metadata", "iceberg manifest-list":
			if strings.HasPrefix(path, "hudi_mor6_metadata") || strings.HasSuffix(path, "parquet") || strings.HasSuffix(path, "clean") || strings.HasSuffix(path, "rollback") {
				continue
			}
			if kind == "hudi completed" && strings.Contains(path, "timeline") {
				kind += ", layout 2"
			}
			out[kind] = path
		}
	}
	if len(out) != 10 {
		t.Fatalf("%d kinds: %v", len(out), out)
	}
	return out
}

// TestNextOfDamagedFiles: each file that leads to others, with any byte changed or cut anywhere, leads to no more than a plan may hold, nowhere outside of its
// table, and ends in no error but those of a kind.
func TestNextOfDamagedFiles(t *testing.T) {
	rnd := seed(t)
	for kind, path := range readKinds(t) {
		file := fileAt(t, path)
		for range 400 {
			damaged := bytes.Clone(file)
			for range 1 + rnd.IntN(3) {
				damaged[rnd.IntN(len(damaged))] ^= byte(1 << rnd.IntN(8))
			}
			if rnd.IntN(3) == 0 {
				damaged = damaged[:rnd.IntN(len(damaged))]
			}
			if rnd.IntN(10) == 0 {
				damaged = append(damaged, bytes.Repeat(damaged, 3)...)
			}
			if err := lead(t, path, damaged); err != "" {
				t.Fatalf("%s: %s: %s", kind, path, err)
			}
		}
	}
}

// lead plans for a file, and says what is wrong with the plan.
func lead(t testing.TB, path string, file []byte) (wrong string) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	plan, err := planOf(t, path, file)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(160<<20+100*len(file)) { // the most that a compressed file may expand to, and as it grows
		return "it took too much memory"
	}
	if err != nil {
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) {
			return "an error of no kind: " + err.Error()
		}
		return ""
	}
	root := Identify(path).Root
	for _, s := range plan {
		below, ok := strings.CutPrefix(s.Path, root+"/")
		if root == "" {
			below, ok = s.Path, true
		}
		if !ok || !names.Plain(strings.TrimSuffix(below, "/")) || s.Size < 0 {
			return "it leads to " + s.Path
		}
	}
	return ""
}

// TestNextOfOtherFiles: a file under the name of another kind leads nowhere wrong.
func TestNextOfOtherFiles(t *testing.T) {
	kinds := readKinds(t)
	others := [][]byte{nil, make([]byte, 300<<10), bytes.Repeat([]byte("{"), 300<<10), bytes.Repeat([]byte(`{"a":[`), 100<<10), []byte("Obj\x01"), []byte("null"), []byte("\x1f\x8b")}
	for _, path := range kinds {
		others = append(others, fileAt(t, path))
	}
	for kind, path := range kinds {
		for i, file := range others {
			if err := lead(t, path, file); err != "" {
				t.Errorf("%s with the bytes of %d: %s", kind, i, err)
			}
		}
	}
}

// TestHalfOneTableHalfAnother: what lies in one folder is told apart file by file: a Delta table with Iceberg metadata (UniForm), a Hudi table that was
// converted, a log with a gap, and what is left of another table under the same path.
func TestHalfOneTableHalfAnother(t *testing.T) {
	const id = "80a083e8-7026-4e79-81be-64bd76c43a11"
	for path, want := range map[string]File{
		"t/_delta_log/00000000000000000000.json":                  {Delta, "commit", "t", true, Commit, Replaceable},
		"t/_delta_log/00000000000000000007.json":                  {Delta, "commit", "t", true, Commit, Replaceable}, // 1 to 6 are missing
		"t/_delta_log/00000000000000000009.checkpoint.parquet":    {Delta, "checkpoint", "t", true, Checkpoint, Replaceable},
		"t/metadata/00001-" + id + ".metadata.json":               {Iceberg, "metadata", "t", true, Manifest, Immutable},
		"t/metadata/version-hint.text":                            {Iceberg, "version-hint", "t", true, Pointer, Moving},
		"t/.hoodie/hoodie.properties":                             {Hudi, "properties", "t", true, Timeline, Moving},
		"t/.hoodie/20260101000000000.commit":                      {Hudi, "completed", "t", true, Timeline, Immutable},
		"t/.hoodie/20260101000000000.future":                      {Hudi, "unknown", "t", true, Timeline, Moving},
		"t/part-0-" + id + ".parquet":                             {NoFormat, "", "", false, Other, Immutable},
		"t/part-0.parquet":                                        {},
		"t/.hoodie/metadata/_delta_log/00000000000000000000.json": {Hudi, "index", "t/.hoodie/metadata", true, Manifest, Replaceable},
		"t/_delta_log/_commit_" + id + ".json.tmp":                {Delta, "unknown", "t", true, Other, Moving},
		"t/_delta_log/metadata/v1.metadata.json":                  {Delta, "unknown", "t", true, Other, Moving},
	} {
		if got := Identify(path); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	// A checkpoint that the hint contradicts, and one that is not there: the plan says what the hint says, and whoever asks is told that it is missing.
	hint := []byte(`{"version":9,"size":1,"v2Checkpoint":{"path":"00000000000000000003.checkpoint.` + id + `.json"}}`)
	if plan, err := planOf(t, "t/_delta_log/_last_checkpoint", hint); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a hint that contradicts itself: %v, %v", plan, err)
	}
	// Delta's bytes under the name of an Iceberg file that lies in its log's folder are no commit.
	if plan, err := planOf(t, "t/_delta_log/00000000000000000007.json", []byte("garbage")); err != nil || len(plan) != 1 {
		t.Errorf("a commit of garbage: %v, %v", plan, err)
	}
}

// FuzzNext: any path and any bytes, both as they are and under the names of real files.
func FuzzNext(f *testing.F) {
	paths := []string{}
	for _, path := range readKinds(f) {
		paths = append(paths, path)
		f.Add(path, fileAt(f, path))
	}
	f.Add("_delta_log/00000000000000000012.checkpoint.0000000002.0000000003.parquet", []byte{})
	f.Add("/.hoodie/metadata/x", []byte{})
	slices.Sort(paths)
	f.Fuzz(func(t *testing.T, path string, file []byte) {
		file = file[:min(len(file), 64<<10)]
		if err := lead(t, path, file); err != "" {
			t.Errorf("%q: %s", path, err)
		}
		known := paths[len(file)%len(paths)]
		if err := lead(t, known, file); err != "" {
			t.Errorf("%s: %s", known, err)
		}
		Provisional(path, int64(len(file)))
		NextInFolder(path, []string{filepath.Base(path), path})
	})
}
