package formats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/names"
)

// fileAt reads a file of a table; the steps of a plan are paths below testdata/tables, as they would be below a mount.
func fileAt(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/tables/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// planOf is Next for a file of a table, with the checks that hold for all: it reads nothing but whole pages, each once.
func planOf(t testing.TB, path string, file []byte) ([]Step, error) {
	t.Helper()
	o := whole(file)
	steps, err := Next(path, o.size, o)
	l := Provisional(path, o.size)
	for i, r := range o.reads {
		if start, end, _ := l.PageAt(r[0]); start != r[0] || end != r[1] || slices.Contains(o.reads[:i], r) {
			t.Fatalf("%s: read [%d, %d) of %d, which is no page or was read before", path, r[0], r[1], o.size)
		}
	}
	if len(steps) > MaxSteps || err != nil && steps != nil {
		t.Fatalf("%s: %d steps, %v", path, len(steps), err)
	}
	return steps, err
}

// there tells whether a step's path is in the tables: a file of the size that the plan tells, or a folder.
func there(t testing.TB, s Step) bool {
	t.Helper()
	info, err := os.Stat("testdata/tables/" + s.Path)
	if err != nil {
		return false
	}
	if info.IsDir() != strings.HasSuffix(s.Path, "/") || s.Size != 0 && s.Size != info.Size() {
		t.Errorf("%+v: is %d bytes, folder %v", s, info.Size(), info.IsDir())
	}
	return true
}

// TestNextOfTables: in every table that a real writer wrote, what a plan names is there, at its size, unless the plan says that it may be missing, or the
// table's own writer has since cleaned it away; and each step belongs to the same table.
func TestNextOfTables(t *testing.T) {
	steps, cleaned := map[string]int{}, 0
	for _, path := range tablePaths(t) {
		if strings.HasPrefix(path, "hudi_mor6_metadata") || strings.HasSuffix(path, "/") || filepath.Base(path) == "_delta_log" ||
			filepath.Base(path) == ".hoodie" || filepath.Base(path) == "timeline" {
			continue
		}
		plan, err := planOf(t, path, fileAt(t, path))
		if err != nil {
			t.Error(err)
		}
		f := Identify(path)
		for _, s := range plan {
			if !strings.HasPrefix(s.Path, f.Root+"/") {
				t.Errorf("%s leads to %s", path, s.Path)
			}
			if !there(t, s) && !s.Maybe {
				if cleaned++; f.Kind != "completed" && f.Kind != "history-manifest" {
					t.Errorf("%s leads to %s, which is not there", path, s.Path)
				}
				continue
			}
			steps[f.Format.String()+" "+f.Kind]++
		}
	}
	t.Logf("%v, %d cleaned", steps, cleaned)
	for _, kind := range []string{"delta commit", "delta compacted", "delta checkpoint", "delta checkpoint-part", "delta checkpoint-v2", "delta last-checkpoint",
		"hudi properties", "hudi completed", "hudi history-version", "hudi history-manifest",
		"iceberg version-hint", "iceberg metadata", "iceberg manifest-list"} {
		if steps[kind] == 0 {
			t.Errorf("no %s of any table leads anywhere", kind)
		}
	}
}

// TestNext follows each kind of plan by name.
func TestNext(t *testing.T) {
	const log = "_delta_log/000000000000000000"
	for path, want := range map[string][]string{
		"delta_rs/" + log + "04.json":                                {"delta_rs/" + log + "05.json?"},
		"delta_rs/" + log + "01.00000000000000000003.compacted.json": {"delta_rs/" + log + "04.json?"},
		"delta_rs/_delta_log/_last_checkpoint":                       {"delta_rs/" + log + "04.checkpoint.parquet", "delta_rs/" + log + "05.json?"},
		"delta_multipart/" + log + "06.checkpoint.0000000002.0000000003.parquet": {"delta_multipart/" + log + "06.checkpoint.0000000001.0000000003.parquet",
			"delta_multipart/" + log + "06.checkpoint.0000000003.0000000003.parquet", "delta_multipart/" + log + "07.json?"},
		"iceberg_hadoop/metadata/version-hint.text": {"iceberg_hadoop/metadata/v5.metadata.json", "iceberg_hadoop/metadata/v6.metadata.json?"},
		"iceberg_hadoop/metadata/v1.metadata.json":  nil,
		"hudi_cow9/.hoodie/hoodie.properties":       {"hudi_cow9/.hoodie/timeline/"},
		"hudi_cow6/.hoodie/hoodie.properties":       {"hudi_cow6/.hoodie/"},
	} {
		plan, err := planOf(t, path, fileAt(t, path))
		if got := spell(plan); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", path, got, err, want)
		}
	}
}

func spell(plan []Step) (out []string) {
	for _, s := range plan {
		if s.Maybe {
			s.Path += "?"
		}
		out = append(out, s.Path)
	}
	return out
}

// TestNextCounts: how many files of each kind real metadata leads to, which the names of the fixtures cannot tell.
func TestNextCounts(t *testing.T) {
	for pattern, want := range map[string]string{
		"delta_v2_json/_delta_log/_last_checkpoint":                       "1 checkpoint-v2, 3 sidecar, 1 commit",
		"delta_v2_json/_delta_log/00000000000000000003.checkpoint.*.json": "2 sidecar, 1 commit",
		"delta_v2_json/_delta_log/00000000000000000006.checkpoint.*.json": "3 sidecar, 1 commit",
		"delta_v2_parquet/_delta_log/_last_checkpoint":                    "1 checkpoint-v2, 3 sidecar, 1 commit",
		"delta_v2_parquet/_delta_log/00000000000000000006.checkpoint.*":   "1 commit",
		"delta_multipart/_delta_log/_last_checkpoint":                     "3 checkpoint-part, 1 commit",
		"iceberg_hadoop/metadata/v5.metadata.json":                        "1 manifest-list, 1 statistics",
		"iceberg_hadoop/metadata/v4.metadata.json":                        "1 manifest-list",
		"iceberg_sql/metadata/00004-*.metadata.json":                      "1 manifest-list",
		"iceberg_sql/metadata/snap-4697550515610354260-0-*.avro":          "2 manifest",
		"hudi_mor6/.hoodie/*.deltacommit":                                 "1 log-file",
		"hudi_cow9/.hoodie/timeline/history/manifest_2":                   "2 history",
	} {
		paths, _ := filepath.Glob("testdata/tables/" + pattern)
		if len(paths) == 0 {
			t.Errorf("no file is %s", pattern)
		}
		path := strings.TrimPrefix(paths[len(paths)-1], "testdata/tables/")
		plan, err := planOf(t, path, fileAt(t, path))
		if got := count(plan); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
}

// count spells the kinds of a plan's steps in their order.
func count(plan []Step) string {
	var out []string
	for len(plan) > 0 {
		kind := Identify(plan[0].Path).Kind
		n := slices.IndexFunc(plan, func(s Step) bool { return Identify(s.Path).Kind != kind })
		if n < 0 {
			n = len(plan)
		}
		out = append(out, fmt.Sprint(n, " ", kind))
		plan = plan[n:]
	}
	return strings.Join(out, ", ")
}

// TestNextReadsOnlyWhatItNeeds: where the path is enough nothing is read; where it is not, the first page that is not at hand ends it.
func TestNextReadsOnlyWhatItNeeds(t *testing.T) {
	for path, reads := range map[string]int{"t/_delta_log/00000000000000000001.json": 0, "t/_delta_log/00000000000000000001.checkpoint.parquet": 0,
		"t/_delta_log/_last_checkpoint": 1, "t/part-0.parquet": 0, "t/.hoodie/20260101000000000.clean": 0, "t/.hoodie/20260101000000000.commit": 1,
		"t/metadata/v1.metadata.json": 1, "t/metadata/x-m0.avro": 0, "_last_checkpoint": 0, "version-hint.text": 0} {
		o := &object{size: 1 << 20, have: func(int64, int64) bool { return false }}
		_, err := Next(path, o.size, o)
		if len(o.reads) != reads || (reads > 0) != errors.Is(err, ErrAbsent) {
			t.Errorf("%s: %d reads, %v", path, len(o.reads), err)
		}
	}
	if _, err := Next("t/metadata/v1.metadata.json", MaxPlanned+1, &object{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file above MaxPlanned: %v", err)
	}
	if plan, err := Next("t/metadata/v1.metadata.json", -1, &object{}); err == nil {
		t.Errorf("a file of -1 bytes: %v", plan)
	}
}

// TestNextInFolder: the slices of a real merge-on-read table, by the names in its partitions.
func TestNextInFolder(t *testing.T) {
	for _, table := range []string{"hudi_mor6", "hudi_mor9", "hudi_cow9"} {
		logs, bases := 0, 0
		for _, partition := range []string{"p0", "p1"} {
			dir := table + "/" + partition
			var folder []string
			entries, err := os.ReadDir("testdata/tables/" + dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				folder = append(folder, e.Name())
			}
			taken := map[string]bool{}
			for _, name := range folder {
				if Identify(dir+"/"+name).Kind != "base-file" {
					continue
				}
				bases++
				for _, s := range NextInFolder(dir+"/"+name, folder) {
					if taken[s.Path] || !there(t, s) {
						t.Errorf("%s: %s is of two slices or not there", name, s.Path)
					}
					taken[s.Path] = true
					logs++
				}
			}
		}
		t.Logf("%s: %d base files with %d logs", table, bases, logs)
		if (logs > 0) == strings.Contains(table, "cow") || bases == 0 {
			t.Errorf("%s: %d base files with %d logs", table, bases, logs)
		}
	}
	if got := NextInFolder("t/part-0.parquet", []string{".x_20260101000000.log.1_0-0-0"}); got != nil {
		t.Errorf("a plain file has a slice: %v", got)
	}
}

// TestIdentifyIsConsistent: a file's root begins its path, whatever the path.
func TestIdentifyIsConsistent(t *testing.T) {
	rnd := seed(t)
	parts := []string{"_delta_log", ".hoodie", "metadata", "timeline", "history", ".temp", "archived", "_sidecars", "_change_data", "", "a", "p=1", "..",
		"00000000000000000001.json", "00000000000000000001.checkpoint.parquet", "_last_checkpoint", "hoodie.properties", "20260101000000000.commit",
		"20260101000000000_20260101000000001.deltacommit", "v1.metadata.json", "snap-1.avro", ".f_20260101000000000.log.1_0-0-0"}
	for range 20_000 {
		var pick []string
		for range 1 + rnd.IntN(5) {
			pick = append(pick, parts[rnd.IntN(len(parts))])
		}
		path := strings.Join(pick, "/")
		f := Identify(path)
		if f.Rooted && f.Root != "" && !strings.HasPrefix(path, f.Root+"/") || !f.Rooted && f.Root != "" {
			t.Fatalf("%q: %+v", path, f)
		}
		if _, name := names.Split(path); f.Mutability == Immutable && !names.HasUUID(name) && !strings.Contains(name, "2026010100000") {
			t.Fatalf("%q is immutable, and no part of its name says why", path)
		}
	}
}
