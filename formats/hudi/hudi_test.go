package hudi_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/hudi"
	"github.com/alio-lake/alio/formats/names"
)

const (
	id = "5b9ab970-e9dd-439d-83a8-2e1860140dc3"
	s  = "20261128062501938"
	c  = "20261128062504344"
)

func TestParse(t *testing.T) {
	for path, want := range map[string]hudi.File{
		// Layout 1.
		"t/.hoodie/hoodie.properties":                  {Kind: hudi.Properties},
		"t/.hoodie/hoodie.properties.backup":           {Kind: hudi.Properties},
		"t/.hoodie/" + s + ".commit":                   {Kind: hudi.Completed, Action: "commit", Instant: s, Layout: 1, Unique: true},
		"t/.hoodie/" + s[:14] + ".deltacommit":         {Kind: hudi.Completed, Action: "deltacommit", Instant: s[:14], Layout: 1, Unique: true},
		"t/.hoodie/" + s + ".savepoint":                {Kind: hudi.Completed, Action: "savepoint", Instant: s, Layout: 1},
		"t/.hoodie/00000000000000010.deltacommit":      {Kind: hudi.Completed, Action: "deltacommit", Instant: "00000000000000010", Layout: 1},
		"t/.hoodie/" + s + ".inflight":                 {Kind: hudi.Inflight, Instant: s},
		"t/.hoodie/" + s + ".deltacommit.inflight":     {Kind: hudi.Inflight, Action: "deltacommit", Instant: s},
		"t/.hoodie/" + s + ".compaction.requested":     {Kind: hudi.Requested, Action: "compaction", Instant: s},
		"t/.hoodie/archived/.commits_.archive.1_1-0-1": {Kind: hudi.Archived},
		"t/.hoodie":  {Kind: hudi.Timeline},
		"t/.hoodie/": {Kind: hudi.Timeline},
		"t/.hoodie/.temp/" + s + "/p/" + id + ".marker": {Kind: hudi.Marker},
		"t/.hoodie/.heartbeat/" + s:                     {},
		"t/.hoodie/.aux/" + s + ".compaction.requested": {},
		"t/.hoodie/" + s + ".commit.requested.more":     {},
		"t/.hoodie/" + s + ".frobnicate":                {},
		"t/.hoodie/" + s + ".requested":                 {},
		"t/.hoodie/" + s:                                {},
		"t/.hoodie/2026.commit":                         {},
		// Layout 2.
		"t/.hoodie/timeline/" + s + "_" + c + ".commit":                            {Kind: hudi.Completed, Action: "commit", Instant: s, Layout: 2, Unique: true},
		"t/.hoodie/timeline/" + s + "_" + c + ".savepoint":                         {Kind: hudi.Completed, Action: "savepoint", Instant: s, Layout: 2, Unique: true},
		"t/.hoodie/mine/" + s + "_" + c + ".clean":                                 {Kind: hudi.Completed, Action: "clean", Instant: s, Layout: 2, Unique: true},
		"t/.hoodie/timeline/" + s + "_x.commit":                                    {},
		"t/.hoodie/timeline/" + s + "_" + c + ".inflight":                          {Kind: hudi.Inflight, Instant: s},
		"t/.hoodie/timeline/history/_version_":                                     {Kind: hudi.HistoryVersion},
		"t/.hoodie/timeline/history/manifest_12":                                   {Kind: hudi.HistoryManifest},
		"t/.hoodie/timeline/history/manifest_":                                     {},
		"t/.hoodie/timeline/history/" + s + "_" + c + "_0.parquet":                 {Kind: hudi.History, Unique: true},
		"t/.hoodie/timeline/history/00000000000000000_00000000000000002_0.parquet": {Kind: hudi.History},
		"t/.hoodie/timeline/history/x_y_0.parquet":                                 {},
	} {
		want.Root, want.Rooted = "t", true
		if got, ok := hudi.Parse(path); !ok || got != want {
			t.Errorf("%s: %+v, %t; want %+v", path, got, ok, want)
		}
	}
	index := func(f hudi.File) hudi.File { f.Root, f.Rooted, f.InIndex = "t/.hoodie/metadata", true, true; return f }
	for path, want := range map[string]hudi.File{
		"t/.hoodie/metadata/files/files-0000-0_0-0-0_" + s + ".hfile":         index(hudi.File{Kind: hudi.BaseFile, FileID: "files-0000-0", Instant: s, Unique: true}),
		"t/.hoodie/metadata/files/files-0000-0_0-0-0_00000000000000000.hfile": index(hudi.File{Kind: hudi.BaseFile, FileID: "files-0000-0", Instant: "00000000000000000"}),
		"t/.hoodie/metadata/files/.files-0000-0_" + s + ".log.1_0-0-0":        index(hudi.File{Kind: hudi.LogFile, FileID: "files-0000-0", Instant: s}),
		"t/.hoodie/metadata/files/.hoodie_partition_metadata":                 index(hudi.File{Kind: hudi.PartitionMetadata}),
		"t/.hoodie/metadata/files/else":                                       index(hudi.File{Kind: hudi.Index}),
		"t/.hoodie/metadata/.hoodie/" + s + ".clean":                          index(hudi.File{Kind: hudi.Completed, Action: "clean", Instant: s, Layout: 1, Unique: true}),
		"t/.hoodie/metadata/.hoodie/history/.commits_.archive.1_1-0-1":        index(hudi.File{Kind: hudi.Archived}),
		"t/p/" + id + "-0_0-1-2_" + s + ".parquet":                            {Kind: hudi.BaseFile, FileID: id + "-0", Instant: s, Unique: true},
		"t/p/" + id + "-0_0-1-2_00000000000001.orc":                           {Kind: hudi.BaseFile, FileID: id + "-0", Instant: "00000000000001", Unique: true},
		"t/p/." + id + "-0_" + s + ".log.12_0-1-2":                            {Kind: hudi.LogFile, FileID: id + "-0", Instant: s},
		"t/p/." + id + "-0_" + s + ".log.1_0-1-2.cdc":                         {Kind: hudi.LogFile, FileID: id + "-0", Instant: s},
		"t/p/.x.log.1":                         {Kind: hudi.LogFile},
		".hoodie_partition_metadata":           {Kind: hudi.PartitionMetadata},
		"p/.hoodie_partition_metadata.parquet": {Kind: hudi.PartitionMetadata},
	} {
		if got, ok := hudi.Parse(path); !ok || got != want {
			t.Errorf("%s: %+v, %t; want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "t/p/part-0.parquet", "t/p/a_b_" + s + ".parquet", "t/p/a_0-0_" + s + ".parquet", "t/p/_0-0-0_" + s + ".parquet", "t/p/a_0-0-0_2026.parquet",
		"t/p/a_0-0-0_" + s + ".csv", "t/p/.hidden", "t/p/.log.1", "t/x.hoodie/a"} {
		if got, ok := hudi.Parse(path); ok {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestTimelineFolder(t *testing.T) {
	for text, want := range map[string]string{
		"hoodie.table.name=t\nhoodie.timeline.layout.version=1\n":                 ".hoodie",
		"#Updated\r\nhoodie.table.name=t\r\nhoodie.timeline.layout.version=2\r\n": ".hoodie/timeline",
		"hoodie.timeline.layout.version=2\nhoodie.timeline.path=mine":             ".hoodie/mine",
		"hoodie.table.name=t": ".hoodie",
		"hoodie.timeline.layout.version=2\nhoodie.timeline.path=../x": "",
		"hoodie.timeline.layout.version=2\nhoodie.timeline.path=..":   "",
		"hoodie.timeline.layout.version=9":                            "",
		"":                                                            "",
		"garbage":                                                     "",
	} {
		got, err := hudi.TimelineFolder([]byte(text))
		if want == "" && !errors.Is(err, faults.ErrCorrupt) || want != "" && (err != nil || got != want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestWrittenThatLies(t *testing.T) {
	good := `{"path":"p/` + id + `-0_0-0-0_` + s + `.parquet","fileSizeInBytes":7}`
	for text, want := range map[string]int{
		"": 0, " \n": 0, "{}": 0, `{"partitionToWriteStats":null}`: 0,
		`{"partitionToWriteStats":{"p":[` + good + `,` + good + `],"q":[` + good + `]}}`:                                                                                           3,
		`{"partitionToWriteStats":{"p":[` + strings.Repeat(good+",", 30) + good + `]}}`:                                                                                            9,
		`{"partitionToWriteStats":{"p":[{"path":"../p/` + id + `-0_0-0-0_` + s + `.parquet"},{"path":"/p/` + id + `-0_0-0-0_` + s + `.parquet"},{"path":"p/x.txt"},{"path":""}]}}`: 0,
		"{": -1, "[]": -1, `{"partitionToWriteStats":7}`: -1, "Obj\x01": -1, "Obj\x01garbage": -1,
	} {
		refs, err := hudi.Written([]byte(text), 9)
		if want < 0 && !errors.Is(err, faults.ErrCorrupt) || want >= 0 && (err != nil || len(refs) != want) {
			t.Errorf("%q: %v, %v", text, refs, err)
		}
	}
}

func TestHistory(t *testing.T) {
	for text, want := range map[string]string{"3": "manifest_3", "12\n": "manifest_12", "": "", "x": "", "-1": "", strings.Repeat("1", 50): ""} {
		got, err := hudi.HistoryManifestName([]byte(text))
		if want == "" && !errors.Is(err, faults.ErrCorrupt) || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]int{`{"files":[{"fileName":"` + s + `_` + c + `_0.parquet","fileLen":9},{"fileName":"../x"},{"fileName":"_version_"}]}`: 1, `{}`: 0, `[`: -1, ``: -1} {
		refs, err := hudi.HistoryFiles([]byte(text), 9)
		if want < 0 && !errors.Is(err, faults.ErrCorrupt) || want >= 0 && (err != nil || len(refs) != want) {
			t.Errorf("%q: %v, %v", text, refs, err)
		}
	}
}

// TestSlice: in both layouts, which logs belong to which base file of a group, whatever else is in the folder.
func TestSlice(t *testing.T) {
	base := func(group, instant string) string { return group + "_0-0-0_" + instant + ".parquet" }
	log := func(group, instant, rest string) string { return "." + group + "_" + instant + ".log." + rest }
	const t1, t2, t3, t4 = "20260101000000000", "20260102000000000", "20260103000000000", "20260104000000000"
	folder := []string{base("g", t1), base("g", t3), base("h", t2), ".hoodie_partition_metadata", "part-0.parquet",
		log("g", t1, "1_0-0-0"), log("g", t1, "2_0-0-0"), log("g", t2, "1_0-0-0"), log("g", t3, "1_0-0-0"), log("g", t4, "1_0-0-0"), log("h", t2, "1_0-0-0"), ".x.log.1"}
	for name, want := range map[string][]string{
		base("g", t1):           {log("g", t1, "1_0-0-0"), log("g", t1, "2_0-0-0"), log("g", t2, "1_0-0-0")},
		base("g", t3):           {log("g", t3, "1_0-0-0"), log("g", t4, "1_0-0-0")},
		base("h", t2):           {log("h", t2, "1_0-0-0")},
		base("i", t2):           nil,
		"part-0.parquet":        nil,
		log("g", t1, "1_0-0-0"): nil,
	} {
		if got := hudi.Slice(name, folder, 9); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := hudi.Slice(base("g", t1), folder, 2); len(got) != 2 {
		t.Errorf("a limit of 2: %v", got)
	}
	if got := hudi.Slice(base("g", t1[:14]), []string{base("g", t1[:14]), log("g", t1, "1_0-0-0")}, 9); len(got) != 1 {
		t.Errorf("an instant without milliseconds: %v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("t/.hoodie/metadata/files/files-0000-0_0-0-0_" + s + ".hfile")
	f.Add("t/.hoodie/timeline/" + s + "_" + c + ".commit")
	f.Add("t/p/." + id + "-0_" + s + ".log.12_0-1-2")
	f.Fuzz(func(t *testing.T, path string) {
		file, ok := hudi.Parse(path)
		if ok && file.Rooted && file.Root != "" && !strings.HasPrefix(path, file.Root+"/") || !file.Rooted && file.Root != "" {
			t.Errorf("%q: %+v", path, file)
		}
		hudi.Slice(path, []string{path, "." + path}, 9)
	})
}

func FuzzContents(f *testing.F) {
	for _, pattern := range []string{"hudi_cow*/.hoodie/hoodie.properties", "hudi_cow6/.hoodie/*.commit", "hudi_cow9/.hoodie/timeline/*_*.commit", "hudi_cow9/.hoodie/timeline/history/manifest_*"} {
		paths, _ := filepath.Glob("../testdata/tables/" + pattern)
		if len(paths) == 0 {
			f.Fatalf("no file is %s", pattern)
		}
		b, err := os.ReadFile(paths[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		written, err := hudi.Written(b, 20)
		judge(t, written, err)
		files, err := hudi.HistoryFiles(b, 20)
		judge(t, files, err)
		if folder, err := hudi.TimelineFolder(b); err == nil && !names.Plain(folder) {
			t.Errorf("%q", folder)
		}
		_, err = hudi.HistoryManifestName(b)
		judge(t, nil, err)
	})
}

func judge(t *testing.T, refs []hudi.Ref, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) || len(refs) > 20 {
		t.Errorf("%d, %v", len(refs), err)
	}
	for _, r := range refs {
		if !names.Plain(r.Path) || r.Size < 0 {
			t.Errorf("%+v", r)
		}
	}
}
