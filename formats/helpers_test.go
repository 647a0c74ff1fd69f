package formats

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/alio-lake/alio/formats/parquet"
)

// seed returns a generator from ALIO_SEED or a new seed, and prints it.
func seed(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if s := os.Getenv("ALIO_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
	}
	t.Logf("ALIO_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// object is a file of which few bytes matter: zeros but for its blobs. It records what is read of it and answers ErrAbsent for
// what have refuses.
type object struct {
	size  int64
	blobs map[int64][]byte // by offset
	have  func(start, end int64) bool
	reads [][2]int64
}

func (o *object) ReadAt(b []byte, off int64) (int, error) {
	end := off + int64(len(b))
	o.reads = append(o.reads, [2]int64{off, end})
	if off < 0 || end > o.size {
		return 0, io.EOF
	}
	clear(b)
	for at, blob := range o.blobs {
		if from, to := max(at, off), min(at+int64(len(blob)), end); from < to {
			copy(b[from-off:to-off], blob[from-at:])
		}
	}
	if o.have != nil && !o.have(off, end) {
		return 0, ErrAbsent // what was left in b must not be believed
	}
	return len(b), nil
}

// whole is an object of real bytes.
func whole(file []byte) *object {
	return &object{size: int64(len(file)), blobs: map[int64][]byte{0: file}}
}

// sealed is an object whose footer, at end, names chunks.
func sealed(end int64, chunks []parquet.Chunk) *object {
	footer := encode(chunks)
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	footer = append(footer, parquet.Magic...)
	return &object{size: end + int64(len(footer)), blobs: map[int64][]byte{end: footer}}
}

// encode writes a footer of one row group with these chunks and nothing else.
func encode(chunks []parquet.Chunk) []byte {
	b := []byte{0x49, 0x1c, 0x19, 0xfc}
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = append(b, 0x3c) // meta_data
		b = fields(b, 0, 6, []int{7, 9, 11, 14, 15}, []int64{c.CompressedSize, c.DataPageOffset, c.DictionaryPageOffset, c.BloomFilterOffset, c.BloomFilterLength})
		b = fields(b, 3, 6, []int{4, 5, 6, 7}, []int64{c.OffsetIndexOffset, c.OffsetIndexLength, c.ColumnIndexOffset, c.ColumnIndexLength})
	}
	return append(b, 0, 0)
}

// fields writes integer fields and a stop; a zero beyond the first two of the metadata is left out.
func fields(b []byte, last int, typ byte, ids []int, values []int64) []byte {
	for i, id := range ids {
		if values[i] == 0 && id != 7 && id != 9 {
			continue
		}
		b = append(b, byte(id-last)<<4|typ)
		b = binary.AppendVarint(b, values[i])
		last = id
	}
	return append(b, 0)
}

// encodeIndex writes an offset index of data pages at these offsets.
func encodeIndex(offsets []int64) []byte {
	b := binary.AppendUvarint([]byte{0x19, 0xfc}, uint64(len(offsets)))
	for _, at := range offsets {
		b = fields(b, 0, 6, []int{1}, []int64{at})
	}
	return append(b, 0)
}

// page is a page of a layout.
type page struct {
	start, end int64
	class      Class
}

// pagesOf walks a layout and checks it on the way: pages cover [0, size) without gap or overlap, are at most MaxPage, and every
// byte of a page answers the same page.
func pagesOf(t testing.TB, l *Layout) (out []page) {
	t.Helper()
	for off := int64(0); off < l.Size(); {
		start, end, class := l.PageAt(off)
		if start != off || end <= start || end > l.Size() || end-start > MaxPage {
			t.Fatalf("page at %d is [%d, %d) of %d bytes", off, start, end, l.Size())
		}
		for _, at := range []int64{start + (end-start)/2, end - 1} {
			if s, e, c := l.PageAt(at); s != start || e != end || c != class {
				t.Fatalf("byte %d is in page [%d, %d) %d, byte %d in [%d, %d) %d", start, start, end, class, at, s, e, c)
			}
		}
		out = append(out, page{start, end, Class(class)})
		off = end
	}
	if len(out) != l.Pages() {
		t.Fatalf("%d pages, Pages says %d", len(out), l.Pages())
	}
	return out
}

// derived is Derive for files of any size, with the checks that hold for all: the layout is sound, and every read was one of its pages, and none was read twice.
func derived(t testing.TB, o *object) ([]page, error) {
	t.Helper()
	o.reads = nil
	l, err := derive(Other, o.size, o)
	if err != nil {
		if l != nil {
			t.Fatalf("both a layout and %v", err)
		}
		known := []error{ErrAbsent, ErrUnknownFormat, ErrCorrupt, ErrTooLarge}
		if !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
			t.Fatalf("an error of no kind: %v", err)
		}
		return nil, err
	}
	pages := pagesOf(t, l)
	for i, r := range o.reads {
		if slices.Contains(o.reads[:i], r) {
			t.Fatalf("read [%d, %d) twice", r[0], r[1])
		}
		if !slices.ContainsFunc(pages, func(p page) bool { return p.start == r[0] && p.end == r[1] }) {
			t.Fatalf("read [%d, %d), which is no page of the layout", r[0], r[1])
		}
	}
	return pages, nil
}

// find returns the page that starts at off.
func find(pages []page, off int64) (page, bool) {
	i, ok := slices.BinarySearchFunc(pages, off, func(p page, off int64) int { return int(p.start - off) })
	if !ok {
		return page{}, false
	}
	return pages[i], true
}
