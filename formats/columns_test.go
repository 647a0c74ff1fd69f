package formats

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// Every column chunk that arrow's reader finds is an extent of a column of its own name, and there are no others.
func TestReadColumnsFindsWhatArrowFinds(t *testing.T) {
	for _, s := range []parquettest.Spec{
		{Columns: 5, RowGroups: 3, Rows: 9000, ValueSize: 20}, {Columns: 4, RowGroups: 2, Rows: 9000, Nested: true, Dictionary: true, ValueSize: 40},
		{Columns: 200, RowGroups: 20, Rows: 20},
	} {
		data := parquettest.Arrow(t, s)
		c, err := ReadColumns("f", int64(len(data)), bytes.NewReader(data))
		if err != nil {
			t.Fatal(s, err)
		}
		r, err := file.NewParquetReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.names) != r.MetaData().Schema.NumColumns() {
			t.Fatalf("%v: %d names, %d columns", s, len(c.names), r.MetaData().Schema.NumColumns())
		}
		sorted := slices.Sorted(slices.Values(c.names))
		if len(slices.Compact(sorted)) != len(c.names) {
			t.Errorf("%v: two columns have one name", s)
		}
		for i, name := range c.names {
			var want []Extent
			for g := range r.NumRowGroups() {
				k, err := r.MetaData().RowGroup(g).ColumnChunk(i)
				if err != nil {
					t.Fatal(err)
				}
				start := k.DataPageOffset()
				if k.HasDictionaryPage() {
					start = k.DictionaryPageOffset()
				}
				want = append(want, Extent{start, start + k.TotalCompressedSize()})
			}
			if got := c.Extents(func(n uint64) bool { return n == name }); !slices.Equal(got, want) {
				t.Errorf("%v: column %d lies at %v, want %v", s, i, got, want)
			}
			if got := c.Shares(want, nil); len(got) != 1 || got[name] != 1 {
				t.Errorf("%v: column %d: shares %v of its own ranges", s, i, got)
			}
		}
		all := c.Extents(func(uint64) bool { return true })
		if len(all) != 1 || all[0].End != c.DataEnd() || c.MemoryBytes() < 24*s.Columns*s.RowGroups {
			t.Errorf("%v: all columns are %v, data ends at %d", s, all, c.DataEnd())
		}
		if got := c.Shares([]Extent{{all[0].Start, all[0].Start + 1}}, nil); len(got) != 1 {
			t.Errorf("%v: one byte is of %v", s, got)
		}
	}
}

func TestReadColumnsOfWhatHasNone(t *testing.T) {
	small := parquettest.Arrow(t, parquettest.Spec{Columns: 2, RowGroups: 1, Rows: 10})
	text := bytes.Repeat([]byte("no columns "), 50_000)
	for _, data := range [][]byte{small, text, nil} {
		if _, err := ReadColumns("f", int64(len(data)), bytes.NewReader(data)); !errors.Is(err, ErrUnknownFormat) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	data := parquettest.Arrow(t, parquettest.Spec{Columns: 5, RowGroups: 3, Rows: 9000, ValueSize: 20})
	absent := whole(data)
	absent.have = func(int64, int64) bool { return false }
	if _, err := ReadColumns("f", int64(len(data)), absent); !errors.Is(err, ErrAbsent) {
		t.Errorf("nothing at hand: %v", err)
	}
	for i := len(data) - 2000; i < len(data)-8; i++ { // whatever a byte of the footer becomes: columns in the file, or an error
		data[i] ^= 0xff
		checkColumns(t, whole(data))
		data[i] ^= 0xff
	}
}

// checkColumns reads columns of what may be anything.
func checkColumns(t *testing.T, o *object) {
	t.Helper()
	c, err := columnsIn(o.size, o)
	if err != nil {
		if !errors.Is(err, ErrUnknownFormat) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrAbsent) {
			t.Fatalf("an error of no kind: %v", err)
		}
		return
	}
	if more := c.More(o); more != c || len(c.Footers(0, 1)) != 0 {
		t.Fatal("something is lacking, although all is at hand")
	}
	end := int64(0)
	for _, e := range c.Extents(func(uint64) bool { return true }) {
		if e.Start < end || e.End <= e.Start || e.End > o.size {
			t.Fatalf("an extent [%d, %d) after %d in %d bytes", e.Start, e.End, end, o.size)
		}
		end = e.End
	}
	if c.DataEnd() > o.size || end > c.DataEnd() {
		t.Fatalf("data ends at %d, columns at %d of %d", c.DataEnd(), end, o.size)
	}
	for _, share := range c.Shares([]Extent{{0, o.size / 2}}, []Extent{{0, o.size}}) {
		if share <= 0 || share > 1 {
			t.Fatalf("a share of %v", share)
		}
	}
}
