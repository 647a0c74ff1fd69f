package formats

import (
	"slices"
	"strings"
	"testing"
)

func TestGridSmallProvisional(t *testing.T) {
	for name, c := range map[string]struct {
		l     *Layout
		pages int
	}{
		"empty":          {Small(0, Other), 0},
		"one byte":       {Small(1, Other), 1},
		"small":          {Small(SmallObject, Commit), 1},
		"not so small":   {Small(MaxPage+1, Other), 2},
		"grid":           {Grid(1<<20+1, 64<<10, Column), 17},
		"grid exact":     {Grid(1<<20, 64<<10, Column), 16},
		"grid defaults":  {Grid(1<<20, 0, Column), 4},
		"grid too wide":  {Grid(4<<20, 2<<20, Column), 4},
		"negative":       {Grid(-5, -5, Column), 0},
		"provisional":    {Provisional("a/b", SmallObject), 1},
		"provisional +1": {Provisional("a/b", SmallObject+1), 2},
		"provisional L":  {Provisional("a/b.parquet", 10<<20), 41},
	} {
		t.Run(name, func(t *testing.T) {
			if n := len(pagesOf(t, c.l)); n != c.pages {
				t.Errorf("%d pages, want %d", n, c.pages)
			}
			if c.l.MemoryBytes() > 100 {
				t.Errorf("%d bytes of memory", c.l.MemoryBytes())
			}
		})
	}
}

// TestProvisionalTail: the page that Derive reads first is a page before the format is known.
func TestProvisionalTail(t *testing.T) {
	const size = 10<<20 + 123
	for path, class := range map[string]Class{"t/f.parquet": Footer, "t/f": Other, "t/_delta_log/00000000000000000010.checkpoint.parquet": Checkpoint} {
		start, end, c := Provisional(path, size).PageAt(size - 1)
		if start != size-TailSize || end != size || Class(c) != class {
			t.Errorf("%s: tail is [%d, %d) %v", path, start, end, Class(c))
		}
	}
}

// TestPageAtOutside: an offset outside the object answers the nearest page and never panics.
func TestPageAtOutside(t *testing.T) {
	derived := &Layout{size: 100, cuts: []uint64{uint64(Other), 40<<8 | uint64(Footer)}}
	for _, l := range []*Layout{Grid(100, 40, Other), Small(100, Other), Provisional("x", 1<<30), derived} {
		first, _, _ := l.PageAt(-1)
		_, last, _ := l.PageAt(1 << 62)
		if first != 0 || last != l.Size() {
			t.Errorf("%+v: first page starts at %d, last ends at %d", l, first, last)
		}
	}
	if s, e, _ := Small(0, Other).PageAt(0); s != 0 || e != 0 {
		t.Errorf("a page of an empty object: [%d, %d)", s, e)
	}
}

func TestPageAtAllocatesNothing(t *testing.T) {
	l := &Layout{size: 1 << 30}
	for i := range int64(1000) {
		l.cuts = append(l.cuts, uint64(i<<20)<<8)
	}
	off := int64(0)
	if n := testing.AllocsPerRun(100, func() { off += 12345; l.PageAt(off) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestClasses(t *testing.T) {
	names := ClassNames()
	if len(names) != int(Pointer)+1 {
		t.Fatalf("%d names", len(names))
	}
	var metadata []string
	for i, name := range names {
		if Class(i).String() != name || name == "" || strings.ToLower(name) != name {
			t.Errorf("class %d is %q and %q", i, Class(i), name)
		}
		if Metadata(uint8(i)) {
			metadata = append(metadata, name)
		}
	}
	want := []string{"footer", "page_index", "bloom_filter", "commit", "checkpoint", "timeline", "manifest", "pointer"}
	if !slices.Equal(metadata, want) {
		t.Errorf("metadata: %v", metadata)
	}
	if Class(200).String() != "other" || Metadata(200) {
		t.Error("an unknown class is not other")
	}
	if names[0] = "changed"; Other.String() != "other" {
		t.Error("ClassNames lends its own slice")
	}
}

func TestClassOf(t *testing.T) {
	for path, want := range map[string]Class{
		"":                     Other,
		"db/t/part-0.parquet":  Other,
		"db/t/000000_0":        Other,
		"db/t/_delta_log.json": Other,
		"db/t/_delta_log/00000000000000000007.json":                                                   Commit,
		"_delta_log/00000000000000000007.crc":                                                         Commit,
		"t/_delta_log/00000000000000000004.00000000000000000006.compacted.json":                       Commit,
		"t/_delta_log/_staged_commits/00000000000000000001.7d17ac10-5cc3-401b-bd1a-9c82dd2ea032.json": Commit,
		"t/_delta_log/00000000000000000010.checkpoint.parquet":                                        Checkpoint,
		"t/_delta_log/00000000000000000010.checkpoint.0000000001.0000000003.parquet":                  Checkpoint,
		"t/_delta_log/00000000000000000010.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json":      Checkpoint,
		"t/_delta_log/_sidecars/3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet":                         Checkpoint,
		"t/_delta_log/_last_checkpoint":                                                               Pointer,
		"t/_delta_log/.s3-optimization-0":                                                             Other,
		"t/_delta_log/":                                                                               Other,
		"t/x_delta_log/00000000000000000007.json":                                                     Other,
		"t/_trino_meta/extended_stats.json":                                                           Manifest,
		"t/.hoodie/hoodie.properties":                                                                 Timeline,
		"t/.hoodie/20240101000000000.commit":                                                          Timeline,
		"t/.hoodie/timeline/20240101000000000_20240101000001000.deltacommit":                          Timeline,
		"t/.hoodie/archived/.commits_.archive.1_1-0-1":                                                Timeline,
		"t/.hoodie/metadata/files/files-0000-0_0-1-1_001.hfile":                                       Manifest,
		"t/.hoodie/metadata/.hoodie/001.deltacommit":                                                  Timeline,
		"t/p=1/.hoodie_partition_metadata":                                                            Timeline,
		"t/p=1/.f1_001.log.1_0-1-1":                                                                   Other,
		"t/x.hoodie/f":                                                                                Other,
		"t/metadata/00001-ab.metadata.json":                                                           Manifest,
		"t/metadata/v3.gz.metadata.json":                                                              Manifest,
		"t/metadata/snap-123-1-ab.avro":                                                               Manifest,
		"t/metadata/20240101_1-ab.stats":                                                              Manifest,
		"t/metadata/version-hint.text":                                                                Pointer,
		"t/metadata/data.parquet":                                                                     Other,
		"t/mymetadata/x.json":                                                                         Other,
	} {
		if got := ClassOf(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// TestPageInOfPartsThatAreFollowed: on a grid the pages of a part depend on the part alone, however large the object is and whether it still grows, unless
// it is the last.
func TestPageInOfPartsThatAreFollowed(t *testing.T) {
	rnd := seed(t)
	for range 500 {
		n := 1 + rnd.Int64N(1<<rnd.IntN(22))
		type bounds struct{ start, end int64 }
		pages := func(l *Layout, lo int64) (out []bounds) {
			for at := lo; at < lo+n; {
				start, end, _ := l.PageIn(at, lo, lo+n)
				if start != at || end <= at || end > lo+n || end-start > MaxPage {
					t.Fatalf("page of %d in [%d, %d): [%d, %d)", at, lo, lo+n, start, end)
				}
				out = append(out, bounds{start - lo, end - lo})
				at = end
			}
			return out
		}
		lo := rnd.Int64N(1 << rnd.IntN(30))
		size := lo + n + 1 + rnd.Int64N(1<<rnd.IntN(30))
		want := pages(Grid(n, GridPage, Other), 0)
		for name, l := range map[string]*Layout{"provisional": Provisional("x", size), "growing": Growing("x", size), "longer": Provisional("x", size+rnd.Int64N(1<<30))} {
			if got := pages(l, lo); !slices.Equal(got, want) {
				t.Fatalf("%s: the part [%d, %d) of %d is cut %v, want %v", name, lo, lo+n, size, got, want)
			}
		}
		last := pages(Provisional("x", lo+n), lo) // the last part has a tail
		if end := last[len(last)-1]; lo+n > SmallObject && end.start != max(0, n-TailSize) {
			t.Fatalf("the last part, of %d bytes, ends with %v", n, end)
		}
	}
}
