package parquet

import (
	"bytes"
	"testing"

	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// same: where the fast way has an answer the careful one has the same, of a chunk and of a value of any type, and ends at the same byte.
func same(t *testing.T, b []byte) (fast bool) {
	t.Helper()
	var quick, slow Chunk
	if next := chunkFast(b, 0, &quick, new(column)); next >= 0 {
		d := &decoder{b: b}
		known, err := d.columnChunk(&slow)
		if err != nil || !known || d.pos != next || slow != quick {
			t.Errorf("fast: %+v to %d; careful: %+v to %d, known %t, %v; of % x", quick, next, slow, d.pos, known, err, b)
		}
		fast = true
	}
	for typ := range byte(16) {
		if next := skipFast(b, 0, typ, fastDepth); next >= 0 {
			d := &decoder{b: b}
			if err := d.skipCarefully(typ); err != nil || d.pos != next {
				t.Errorf("a value of type %d: fast to %d; careful to %d, %v; of % x", typ, next, d.pos, err, b)
			}
		}
	}
	return fast
}

// alike: a chunk that is read after another one of its column says what it says alone.
func alike(t *testing.T, before, b []byte) {
	t.Helper()
	both := append(append([]byte(nil), before...), b...)
	var first, quick, slow Chunk
	var like column
	chunkFast(both, 0, &first, &like)
	for range 2 { // by what the other told, and by what it told itself
		quick = Chunk{}
		next := chunkFast(both, len(before), &quick, &like)
		if next < 0 {
			return
		}
		d := &decoder{b: both, pos: len(before)}
		slow = Chunk{}
		if known, err := d.columnChunk(&slow); err != nil || !known || d.pos != next || slow != quick {
			t.Fatalf("after % x, fast: %+v to %d; careful: %+v to %d, known %t, %v; of % x", before, quick, next, slow, d.pos, known, err, b)
		}
	}
}

// chunks are the bytes of the column chunks of a footer, each with what follows it.
func chunks(t testing.TB, footer []byte) (out [][]byte) {
	d := &decoder{b: footer}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.fields(func(id int, typ byte) error {
		if id != 4 {
			return d.skip(typ)
		}
		groups, err := d.structs(typ)
		must(err)
		for range groups {
			must(d.fields(func(id int, typ byte) error {
				if id != 1 {
					return d.skip(typ)
				}
				columns, err := d.structs(typ)
				must(err)
				for range columns {
					out = append(out, footer[d.pos:])
					_, err := d.columnChunk(&Chunk{})
					must(err)
				}
				return nil
			}))
		}
		return nil
	}))
	return out
}

func sampleFooters(t testing.TB) [][]byte {
	plain := parquettest.Arrow(t, parquettest.Spec{Columns: 5, RowGroups: 3, Rows: 300, Nested: true, Dictionary: true, Distinct: 20})
	indexed, _ := parquettest.WithIndexes(t, plain, parquettest.Extras{Bloom: 900})
	synthetic, _ := parquettest.Synthetic(3, 3, 1000)
	out := [][]byte{parquettest.Thrift(t, synthetic)}
	for _, file := range [][]byte{plain, indexed} {
		n, _, _ := Trailer(file)
		out = append(out, file[int64(len(file))-TrailerSize-n:len(file)-TrailerSize])
	}
	return out
}

// TestFastWay: the chunks of real footers all go the fast way; with any byte changed, or cut anywhere, both ways agree.
func TestFastWay(t *testing.T) {
	for _, footer := range sampleFooters(t) {
		for _, b := range chunks(t, footer) {
			if !same(t, b) {
				t.Errorf("a plain chunk goes the careful way: % x", b[:min(len(b), 200)])
			}
		}
		first := append([]byte(nil), chunks(t, footer)[0][:120]...)
		before := append([]byte(nil), first...)
		for i := range first {
			for x := range 256 {
				old := first[i]
				first[i] = byte(x)
				same(t, first)
				alike(t, before, first)
				alike(t, first, before)
				first[i] = old
			}
			same(t, first[:i])
		}
	}
}

// TestShortHead: a column without a codec, the last field of its head, is not taken for one with a codec when its head comes again.
func TestShortHead(t *testing.T) {
	chunk := []byte{0x26, 2, 0x1c, // file_offset, meta_data
		0x15, 2, 0x19, 0x15, 2, 0x19, 0x18, 1, 'a', // 1, 2, 3
		0x26, 2, 0x16, 4, 0x16, 6, 0x16, 8, 0x16, 10, 0, 0} // 5 to 9
	alike(t, chunk, chunk)
	other := append(bytes.Clone(chunk[:12]), 0x16, 2, 0x16, 4, 0x16, 6, 0x26, 8, // 4 to 6, 8: no size and no data page
		0, 0)
	other = append(other, make([]byte, 64)...)
	alike(t, chunk, other)
}

func FuzzFastWay(f *testing.F) {
	for _, footer := range sampleFooters(f) {
		b := chunks(f, footer)[0]
		f.Add(b[:min(len(b), 300)])
	}
	f.Fuzz(func(t *testing.T, b []byte) { same(t, b) })
}

func FuzzAlike(f *testing.F) {
	for _, footer := range sampleFooters(f) {
		for _, b := range chunks(f, footer)[1:] {
			a := chunks(f, footer)[0]
			f.Add(a[:min(len(a), 200)], b[:min(len(b), 200)])
		}
	}
	f.Fuzz(func(t *testing.T, before, b []byte) { alike(t, before, b) })
}
