package formats

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/parquet"
)

// TestDeriveRefuses: what a footer must not say, and the error it gets.
func TestDeriveRefuses(t *testing.T) {
	const end = 10_000
	chunk := func(start, length int64) parquet.Chunk {
		return parquet.Chunk{DataPageOffset: start, CompressedSize: length}
	}
	with := func(c parquet.Chunk, set func(*parquet.Chunk)) parquet.Chunk { set(&c); return c }
	for name, c := range map[string]struct {
		chunks []parquet.Chunk
		want   string
	}{
		"on the magic":       {[]parquet.Chunk{chunk(3, 10)}, "column chunk of 10 bytes at 3 lies outside [4, 10000)"},
		"negative offset":    {[]parquet.Chunk{chunk(-1, 10)}, "lies outside"},
		"negative length":    {[]parquet.Chunk{chunk(4, -1)}, "lies outside"},
		"into the footer":    {[]parquet.Chunk{chunk(9_000, 1_001)}, "lies outside"},
		"behind the file":    {[]parquet.Chunk{chunk(1<<40, 1)}, "lies outside"},
		"offset overflows":   {[]parquet.Chunk{chunk(math.MaxInt64, 1)}, "lies outside"},
		"length overflows":   {[]parquet.Chunk{chunk(9, math.MaxInt64)}, "lies outside"},
		"no offset at all":   {[]parquet.Chunk{chunk(0, 10)}, "lies outside"},
		"chunks overlap":     {[]parquet.Chunk{chunk(100, 50), chunk(149, 50)}, "a column at 149 overlaps what ends at 150"},
		"same chunk twice":   {[]parquet.Chunk{chunk(100, 50), chunk(100, 50)}, "overlaps"},
		"data after the end": {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.DictionaryPageOffset = 40 })}, "data pages at 100, after the chunk's end at 90"},
		"index in a chunk": {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.OffsetIndexOffset, c.OffsetIndexLength = 120, 5 })},
			"a page_index at 120 overlaps"},
		"index outside": {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.ColumnIndexOffset, c.ColumnIndexLength = 9_999, 2 })},
			"column index of 2 bytes at 9999 lies outside"},
		"index negative": {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.OffsetIndexOffset, c.OffsetIndexLength = 200, -2 })},
			"offset index of -2 bytes"},
		"bloom outside":  {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.BloomFilterOffset = end })}, "bloom filter of 1 bytes at 10000"},
		"bloom negative": {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.BloomFilterOffset, c.BloomFilterLength = 200, -1 })}, "bloom filter of -1 bytes"},
		"bloom in chunk": {[]parquet.Chunk{with(chunk(100, 50), func(c *parquet.Chunk) { c.BloomFilterOffset = 149 })}, "a bloom_filter at 149 overlaps"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := derived(t, sealed(end, c.chunks))
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestDeriveAccepts: what looks odd but is not wrong.
func TestDeriveAccepts(t *testing.T) {
	const end = 200_000
	tail := int64(end) - TailSize // roughly: the footer's bytes come on top
	for name, c := range map[string]struct {
		chunk parquet.Chunk
		want  page
	}{
		"dictionary behind":     {parquet.Chunk{DataPageOffset: 100, CompressedSize: 50, DictionaryPageOffset: 120}, page{100, 150, Column}},
		"dictionary, data at 0": {parquet.Chunk{CompressedSize: 50, DictionaryPageOffset: 100}, page{100, 150, Dictionary}},
		"dictionary alone":      {parquet.Chunk{DataPageOffset: 150, CompressedSize: 50, DictionaryPageOffset: 100}, page{100, 150, Dictionary}},
		"bloom of known length": {parquet.Chunk{DataPageOffset: 4, CompressedSize: 50, BloomFilterOffset: 100, BloomFilterLength: 40}, page{100, 140, BloomFilter}},
		"bloom of unknown length": {parquet.Chunk{DataPageOffset: 4, CompressedSize: 50, BloomFilterOffset: 100, OffsetIndexOffset: 500, OffsetIndexLength: 9},
			page{100, 500, BloomFilter}},
		"index without length": {parquet.Chunk{DataPageOffset: 4, CompressedSize: 50, OffsetIndexOffset: 30}, page{4, 54, Column}},
		"indexes joined": {parquet.Chunk{DataPageOffset: 4, CompressedSize: 50, ColumnIndexOffset: 100, ColumnIndexLength: 30, OffsetIndexOffset: 130, OffsetIndexLength: 9},
			page{100, 139, PageIndex}},
		"no bytes, anywhere": {parquet.Chunk{DataPageOffset: -1, DictionaryPageOffset: 1 << 50}, page{0, tail, Other}},
		"up to the footer":   {parquet.Chunk{DataPageOffset: 4, CompressedSize: end - 4}, page{4, tail, Column}},
	} {
		t.Run(name, func(t *testing.T) {
			o := sealed(end, []parquet.Chunk{c.chunk})
			if c.want.end == tail {
				c.want.end = o.size - TailSize
			}
			pages, err := derived(t, o)
			if got, _ := find(pages, c.want.start); err != nil || got != c.want {
				t.Errorf("%v, %v; want %v", pages, err, c.want)
			}
		})
	}
}

func TestDeriveByTrailer(t *testing.T) {
	trailer := func(size int64, length uint32, magic string) *object {
		b := append(binary.LittleEndian.AppendUint32(nil, length), magic...)
		return &object{size: size, blobs: map[int64][]byte{size - 8: b}}
	}
	for name, c := range map[string]struct {
		o    *object
		want error
	}{
		"no magic":                 {trailer(1<<20, 100, "ORC\x00"), ErrUnknownFormat},
		"encrypted too large":      {trailer(1<<30, MaxFooter+1, "PARE"), ErrTooLarge},
		"encrypted beyond start":   {trailer(1<<20, 1<<20, "PARE"), ErrCorrupt},
		"no bytes":                 {&object{}, ErrUnknownFormat},
		"only a magic":             {&object{size: 4, blobs: map[int64][]byte{0: []byte(parquet.Magic)}}, ErrUnknownFormat},
		"empty footer":             {trailer(1<<20, 0, parquet.Magic), ErrCorrupt},
		"zeros":                    {trailer(1<<20, 100, parquet.Magic), ErrCorrupt},
		"footer on the magic":      {trailer(1<<20, 1<<20-11, parquet.Magic), ErrCorrupt},
		"footer beyond the start":  {trailer(1<<20, 1<<20, parquet.Magic), ErrCorrupt},
		"footer of a negative i32": {trailer(1<<20, 1<<32-1, parquet.Magic), ErrCorrupt},
		"footer too large":         {trailer(1<<30, MaxFooter+1, parquet.Magic), ErrTooLarge},
		"object too large":         {trailer(1<<60, 100, parquet.Magic), ErrTooLarge},
		"gap of too many pages":    {sealed(1<<50, nil), ErrTooLarge},
		"chunk of too many pages":  {sealed(1<<50, []parquet.Chunk{{DataPageOffset: 4, CompressedSize: 1<<50 - 4}}), ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := derived(t, c.o); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestDeriveTooManyChunks: a footer within its cap that names more chunks than a layout may have pages.
func TestDeriveTooManyChunks(t *testing.T) {
	chunks := make([]parquet.Chunk, MaxPages+1)
	for i := range chunks {
		chunks[i] = parquet.Chunk{DataPageOffset: 4 + int64(i), CompressedSize: 1}
	}
	if _, err := derived(t, sealed(4+int64(len(chunks)), chunks)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "extents") {
		t.Errorf("%v", err)
	}
	slices.SortFunc(chunks[:1000], func(a, b parquet.Chunk) int { return cmp.Compare(b.DataPageOffset, a.DataPageOffset) })
	if pages, err := derived(t, sealed(1<<20, chunks[:1000])); err != nil || len(pages) < 1000 {
		t.Errorf("chunks in reverse: %d pages, %v", len(pages), err)
	}
}

// TestDeriveReadFails: what the reader says is passed on, with the range; a short answer is an error too.
func TestDeriveReadFails(t *testing.T) {
	sick := errors.New("disk is sick")
	_, err := Derive("p", 1<<20, readerFunc(func([]byte, int64) (int, error) { return 0, sick }))
	if !errors.Is(err, sick) || !strings.Contains(err.Error(), `"p": reading [983040, 1048576)`) {
		t.Errorf("%v", err)
	}
	if _, err = Derive("p", 1<<20, readerFunc(func(b []byte, _ int64) (int, error) { return len(b) - 1, nil })); err == nil {
		t.Error("a short read passed")
	}
	_, err = Derive("p", 1<<20, readerFunc(func([]byte, int64) (int, error) { return 0, ErrAbsent }))
	var need *NeedError
	if !errors.As(err, &need) || need.Offset != 1<<20-TailSize || !strings.Contains(err.Error(), "needs the bytes from 983040 to the end") {
		t.Errorf("%v", err)
	}
}

type readerFunc func(b []byte, off int64) (int, error)

func (f readerFunc) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }

// TestDeriveBadOffsetIndex: an offset index that makes no sense costs equal parts for its chunk, no more.
func TestDeriveBadOffsetIndex(t *testing.T) {
	const start, length, end = 4, 5 << 20, 6 << 20
	c := parquet.Chunk{DataPageOffset: start, CompressedSize: length, OffsetIndexOffset: 5<<20 + 100} // before the tail
	good := encodeIndex([]int64{start, 200 << 10, 1200 << 10, 4 << 20})
	c.OffsetIndexLength = int64(len(good))
	var have func(start, end int64) bool
	cut := func(index []byte) (starts []int64) {
		o := sealed(end, []parquet.Chunk{c})
		o.blobs[c.OffsetIndexOffset] = index
		o.have = have
		pages, err := derived(t, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			if p.class == Column {
				starts = append(starts, p.start)
			}
		}
		return starts
	}
	equal := []int64{4, 4 + 1<<20, 4 + 2<<20, 4 + 3<<20, 4 + 4<<20}
	if got := cut(nil); !slices.Equal(got, equal) {
		t.Errorf("without an index: %v", got)
	}
	// A data page of 200 KiB does not join the next one of 1000 KiB. [1200 KiB, 4 MiB) and [4 MiB, 5 MiB + 4) are data pages above
	// MaxPage: three and two equal parts.
	want := []int64{4, 200 << 10, 1200 << 10, 1200<<10 + 2896<<10/3 + 1, 1200<<10 + 2*(2896<<10)/3 + 1, 4 << 20, 4<<20 + (1<<20+4)/2}
	if got := cut(good); !slices.Equal(got, want) {
		t.Errorf("with an index: %v, want %v", got, want)
	}
	for name, offsets := range map[string][]int64{"before the chunk": {3, 300 << 10}, "not ascending": {start, 900 << 10, 900 << 10}, "in the footer": {start, end + 10}} {
		bad := encodeIndex(offsets)
		if got := cut(bad); !slices.Equal(got, equal) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := cut(good[:len(good)-3]); !slices.Equal(got, equal) {
		t.Errorf("truncated: %v", got)
	}
	have = func(start, _ int64) bool { return start != c.OffsetIndexOffset }
	if got := cut(good); !slices.Equal(got, equal) {
		t.Errorf("absent: %v", got)
	}
}

// TestPageIndexPages: page indexes that lie side by side share pages of up to indexPage; a larger one has pages of its own.
func TestPageIndexPages(t *testing.T) {
	const end = 4 << 20
	var chunks []parquet.Chunk
	at := int64(1000)
	for i, n := range []int64{30 << 10, 30 << 10, 30 << 10, 70 << 10, 10, 10, 1500 << 10} {
		chunks = append(chunks, parquet.Chunk{DataPageOffset: 4 + int64(i), CompressedSize: 1, ColumnIndexOffset: at, ColumnIndexLength: n})
		at += n
	}
	pages, err := derived(t, sealed(end, chunks))
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, p := range pages {
		if p.class == PageIndex {
			got = append(got, p.end-p.start)
		}
	}
	if want := []int64{60 << 10, 30 << 10, 70 << 10, 20, 750 << 10, 750 << 10}; !slices.Equal(got, want) {
		t.Errorf("pages of %v bytes, want %v", got, want)
	}
}
