package formats

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/compress"
	xparquet "github.com/xitongsys/parquet-go/parquet"

	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// files are real files: small ones (derived as if they were not), chunks above MaxPage, footers above TailSize, page indexes.
func files(t testing.TB) map[string][]byte {
	made.Do(func() { made.files = makeFiles(t) })
	return made.files
}

var made struct {
	sync.Once
	files map[string][]byte
}

func makeFiles(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	for _, s := range []parquettest.Spec{
		{Columns: 3, RowGroups: 1},
		{Columns: 0, RowGroups: 1},
		{Columns: 5, RowGroups: 3, Rows: 300, Codec: compress.Codecs.Snappy, Nested: true, Dictionary: true, Distinct: 20},
		{Columns: 6, RowGroups: 2, Rows: 5000, Codec: compress.Codecs.Zstd, Dictionary: true, Distinct: 300, ValueSize: 50},
		{Columns: 3, RowGroups: 2, Rows: 6000, ValueSize: 600, PageSize: 20 << 10},
		{Columns: 80, RowGroups: 20, Rows: 20, Dictionary: true},
	} {
		file := parquettest.Arrow(t, s)
		out["arrow_"+s.String()] = file
		out["indexed_"+s.String()], _ = parquettest.WithIndexes(t, file, parquettest.Extras{Bloom: 900, Padding: 100, After: 70 << 10})
		out["tail_"+s.String()], _ = parquettest.WithIndexes(t, file, parquettest.Extras{})
	}
	for _, name := range []string{"duckdb_bloom", "pyarrow_empty", "pyarrow_page_index", "pyarrow_v2"} {
		file, err := os.ReadFile("testdata/" + name + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		out[name] = file
	}
	out["xitongsys"] = parquettest.Xitongsys(t, parquettest.Spec{RowGroups: 2, Rows: 9000, ValueSize: 250, PageSize: 16 << 10}, xparquet.CompressionCodec_SNAPPY)
	return out
}

// TestDeriveFiles: in every file, each chunk that another reader finds is covered by pages of its own, its dictionary by one of
// that class, so that a reader of one chunk fetches exactly its bytes.
func TestDeriveFiles(t *testing.T) {
	chunks := 0
	for name, file := range files(t) {
		t.Run(name, func(t *testing.T) {
			pages, err := derived(t, whole(file))
			if err != nil {
				t.Fatal(err)
			}
			tail := max(0, int64(len(file))-TailSize)
			if last := pages[len(pages)-1]; last != (page{tail, int64(len(file)), Footer}) {
				t.Errorf("the tail is %v", last)
			}
			meta, _ := parquettest.Footer(t, file)
			for g, group := range meta.RowGroups {
				for i, c := range group.Columns {
					if err := checkChunk(pages, c.MetaData, tail); err != nil {
						t.Errorf("row group %d column %d: %v", g, i, err)
					}
					chunks++
				}
			}
		})
	}
	if chunks < 1000 {
		t.Errorf("only %d chunks seen", chunks)
	}
}

// checkChunk checks the pages of one chunk as far as it lies before the tail.
func checkChunk(pages []page, m *xparquet.ColumnMetaData, tail int64) error {
	start, data := m.DataPageOffset, m.DataPageOffset
	if d := m.GetDictionaryPageOffset(); d > 0 && d < start {
		start = d
	}
	end := start + m.TotalCompressedSize
	for at := start; at < min(end, tail); {
		want, from, limit := Column, data, min(end, tail)
		if at < data {
			want, from, limit = Dictionary, start, min(data, tail)
		}
		p, ok := find(pages, at)
		if !ok || p.class != want || p.end > limit {
			return fmt.Errorf("chunk [%d, %d) with data from %d: page %v at %d, want a %v that ends by %d", start, end, data, p, at, want, limit)
		}
		if limit-from <= MaxPage && p.end != limit {
			return fmt.Errorf("[%d, %d) would fit one page, but there is %v", from, limit, p)
		}
		at = p.end
	}
	return nil
}

// TestDeriveFromTail: with nothing but the bytes it asks for by NeedError, Derive agrees with one that has all bytes, unless an offset index
// of a chunk above MaxPage lies before them.
func TestDeriveFromTail(t *testing.T) {
	differ, needed := 0, 0
	for name, file := range files(t) {
		all, err := derived(t, whole(file))
		if err != nil {
			t.Fatal(err)
		}
		o := whole(file)
		from := o.size
		o.have = func(start, _ int64) bool { return start >= from }
		part, err := derived(t, o)
		for range 2 {
			var need *NeedError
			if !errors.As(err, &need) {
				break
			}
			if _, ok := find(all, need.Offset); !ok || need.Offset >= from || !errors.Is(err, ErrAbsent) {
				t.Errorf("%s: %v, which is no page of the layout", name, err)
			}
			needed++
			from = need.Offset
			part, err = derived(t, o)
		}
		if err != nil {
			t.Errorf("%s: with the bytes from %d on: %v", name, from, err)
		}
		if !slices.Equal(all, part) {
			differ++
			if !slices.ContainsFunc(o.reads, func(r [2]int64) bool { return r[0] < from }) {
				t.Errorf("%s: layouts differ although nothing was refused", name)
			}
		}
	}
	if differ == 0 || needed < len(files(t))+2 {
		t.Errorf("%d layouts differed, %d needs: the fixtures prove nothing", differ, needed)
	}
}

// TestDeriveFromPages: a restart. A reader that answers nothing but whole pages of the layout yields the layout again.
func TestDeriveFromPages(t *testing.T) {
	for name, file := range files(t) {
		all, err := derived(t, whole(file))
		if err != nil {
			t.Fatal(err)
		}
		o := whole(file)
		o.have = func(start, end int64) bool {
			p, ok := find(all, start)
			return ok && p.end == end
		}
		if again, err := derived(t, o); err != nil || !slices.Equal(all, again) {
			t.Errorf("%s: %v, equal: %t", name, err, slices.Equal(all, again))
		}
	}
}

// TestDeriveByOffsetIndex: a chunk above MaxPage is cut at data pages, in runs of dataGroup to MaxPage.
func TestDeriveByOffsetIndex(t *testing.T) {
	file, locations := parquettest.WithIndexes(t, parquettest.Arrow(t, parquettest.Spec{Columns: 2, RowGroups: 2, Rows: 6000, ValueSize: 900, PageSize: 20 << 10}),
		parquettest.Extras{After: 100 << 10})
	pages, err := derived(t, whole(file))
	if err != nil {
		t.Fatal(err)
	}
	starts, large, longest := map[int64]bool{}, 0, int64(0)
	for _, chunk := range locations {
		for _, l := range chunk {
			starts[l.Offset], longest = true, max(longest, int64(l.CompressedPageSize))
		}
	}
	for _, p := range pages {
		if p.class != Column {
			continue
		}
		if !starts[p.start] {
			t.Errorf("page %v starts inside a data page", p)
		}
		if n := p.end - p.start; n >= dataGroup {
			large++
			if n >= dataGroup+longest {
				t.Errorf("page %v of %d bytes, although no data page is larger than %d", p, n, longest)
			}
		}
	}
	if large < 20 || longest > dataGroup/2 {
		t.Errorf("%d pages of a group's size, data pages of up to %d", large, longest)
	}
}

// TestDeriveSmall: a small object is one page, whatever it holds, and nothing is read.
func TestDeriveSmall(t *testing.T) {
	o := &object{size: SmallObject}
	l, err := Derive("t/_delta_log/00000000000000000000.json", o.size, o)
	if err != nil || len(o.reads) != 0 || !slices.Equal(pagesOf(t, l), []page{{0, SmallObject, Commit}}) {
		t.Errorf("%v, %v, %d reads", l, err, len(o.reads))
	}
}

// TestDeriveCheckpoint: in a table's metadata the columns are metadata too, and Derive names the path in its errors.
func TestDeriveCheckpoint(t *testing.T) {
	file := parquettest.Arrow(t, parquettest.Spec{Columns: 4, RowGroups: 2, Rows: 9000, Dictionary: true, Distinct: 10, ValueSize: 40})
	path := "t/_delta_log/00000000000000000010.checkpoint.parquet"
	l, err := Derive(path, int64(len(file)), whole(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pagesOf(t, l) {
		if p.class != Checkpoint && p.class != Footer {
			t.Errorf("page %v", p)
		}
	}
	file[len(file)-1] = 'X'
	if _, err := Derive(path, int64(len(file)), whole(file)); !errors.Is(err, ErrUnknownFormat) || err.Error() != `layout of "`+path+`": unknown format` {
		t.Errorf("%v", err)
	}
}
