package formats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/alio-lake/alio/formats/orc"
)

// orcFiles are the files that real writers wrote.
func orcFiles(t testing.TB) map[string]*object {
	paths, _ := filepath.Glob("testdata/orc/*.orc")
	if len(paths) < 12 {
		t.Fatalf("%d files", len(paths))
	}
	out := map[string]*object{}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = whole(file)
	}
	return out
}

// metaLines reads the numbers of the lines of Apache's tool that begin with a word.
func metaLines(t testing.TB, name, format string, numbers int) (out [][]int64) {
	text, err := os.ReadFile("testdata/orc/" + name + ".meta")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		got := make([]int64, 5)
		var section string
		ptr := []any{&got[0], &got[1], &got[2], &got[3], &got[4]}[:numbers]
		if strings.Contains(format, "%s") {
			ptr = slices.Insert(ptr, 1, any(&section))
		}
		if n, _ := fmt.Sscanf(line, format, ptr...); n == len(ptr) {
			if section == "ROW_INDEX" || strings.HasPrefix(section, "BLOOM") {
				continue
			}
			out = append(out, got)
		}
	}
	return out
}

// TestDeriveORC: in the files of all writers each stripe's index and footer is a page, where Apache's tool says they are; the data of the last stripe is cut
// by columns, of the others on a grid; and what lies in the tail is one page.
func TestDeriveORC(t *testing.T) {
	checked := 0
	for name, o := range orcFiles(t) {
		pages, err := derived(t, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tail := max(0, o.size-TailSize)
		want := []page{{tail, o.size, Footer}}
		stripes := metaLines(t, name, "Stripe: offset: %d data: %d rows: %d tail: %d index: %d", 5)
		if name == "spark_lzo.orc" {
			stripes = nil // its footer cannot be read
		}
		for _, s := range stripes {
			offset, data, footer, index := s[0], s[1], s[3], s[4]
			at := offset + index
			want = append(want, page{offset, at, PageIndex}, page{at + data, at + data + footer, Footer})
			if at+data < tail {
				want = append(want, page{at, min(at+data, at+GridPage), Column})
			} else {
				want = append(want, columnsOf(t, name, at, at+data)...)
			}
		}
		for _, w := range want {
			if w.start > tail || w.start == w.end {
				continue
			}
			if w.end > tail && w.start < tail {
				w.end = tail
			}
			if got, _ := find(pages, w.start); got != w {
				t.Errorf("%s: %v, want %v", name, got, w)
			}
			checked++
		}
	}
	if checked < 30 {
		t.Errorf("only %d pages checked", checked)
	}
}

// columnsOf are the pages of a stripe's data [from, to): the streams of each column are one.
func columnsOf(t *testing.T, name string, from, to int64) (out []page) {
	last := int64(-1)
	for _, s := range metaLines(t, name, "Stream: column %d section %s start: %d length %d", 3) {
		column, start, length := s[0], s[1], s[2]
		if start < from || start >= to || length == 0 {
			continue
		}
		if column == last {
			out[len(out)-1].end = start + length
		} else {
			out = append(out, page{start, start + length, Column})
		}
		last = column
	}
	return out
}

// message is a protobuf message in the making.
type message []byte

func (m message) number(id protowire.Number, v uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, id, protowire.VarintType), v)
}

func (m message) bytes(id protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, id, protowire.BytesType), b)
}

// sealedORC is an object whose uncompressed ORC footer, at end, names stripes (offset, index, data, footer). Stripe footers are blobs of the caller's.
func sealedORC(end int64, stripes [][4]int64) *object {
	return objectORC(end, stripes, message{}.bytes(8000, []byte(orc.Magic)))
}

// objectORC is sealedORC with something else than the magic at the postscript's end.
func objectORC(end int64, stripes [][4]int64, more message) *object {
	var footer message
	for _, s := range stripes {
		var m message
		for i, v := range s {
			m = m.number(protowire.Number(i+1), uint64(v))
		}
		footer = footer.bytes(3, m)
	}
	ps := message{}.number(1, uint64(len(footer))).number(2, 0).number(5, 0)
	ps = append(ps, more...)
	tail := append(append(append([]byte{}, footer...), ps...), byte(len(ps)))
	return &object{size: end + int64(len(tail)), blobs: map[int64][]byte{end: tail}}
}

// stripeFooter is an uncompressed footer of streams (kind, column, length).
func stripeFooter(streams ...[3]int64) []byte {
	var m message
	for _, s := range streams {
		m = m.bytes(1, message{}.number(1, uint64(s[0])).number(2, uint64(s[1])).number(3, uint64(s[2])))
	}
	return m
}

const rowIndex, bloom, present, data, dictionary = 6, 8, 0, 1, 3

// TestDeriveORCStreams: large indexes apart by kind, large columns in equal parts, empty streams nowhere.
func TestDeriveORCStreams(t *testing.T) {
	footer := stripeFooter([3]int64{rowIndex, 0, 40 << 10}, [3]int64{rowIndex, 1, 10 << 10}, [3]int64{bloom, 1, 30 << 10}, [3]int64{present, 1, 0},
		[3]int64{data, 1, 100}, [3]int64{dictionary, 1, 50}, [3]int64{present, 2, 10}, [3]int64{data, 2, 3 << 20})
	index, length := int64(80<<10), int64(160+3<<20)
	length = 160 + 3<<20
	end := 3 + index + length + int64(len(footer))
	o := sealedORC(end, [][4]int64{{3, index, length, int64(len(footer))}})
	o.blobs[3+index+length] = footer
	pages, err := derived(t, o)
	if err != nil || len(o.reads) != 1 {
		t.Fatalf("%v, %d reads", err, len(o.reads))
	}
	at := 3 + index
	tail := o.size - TailSize
	quarter := (tail - at - 150) / 3
	want := []page{{0, 3, Other}, {3, 3 + 50<<10, PageIndex}, {3 + 50<<10, at, BloomFilter}, {at, at + 150, Column}}
	if !slices.Equal(pages[:len(want)], want) || len(pages) != 8 || pages[5].start-pages[4].start-quarter > 1 || pages[7] != (page{tail, o.size, Footer}) {
		t.Errorf("%v\nwant %v", pages, want)
	}
	if l, _ := Derive("t/f", o.size, o); l.Format() != ORC {
		t.Errorf("format %v", l.Format())
	}
}

// TestDeriveORCRefuses: what a footer must not say; and what a stripe's footer must not say, which costs its streams no more than a grid.
func TestDeriveORCRefuses(t *testing.T) {
	const end = 1 << 20
	for name, stripes := range map[string][][4]int64{
		"on the magic": {{2, 1, 1, 1}}, "negative": {{-1, 1, 1, 1}}, "into the footer": {{3, 10, end, 10}}, "overlap": {{3, 10, 10, 10}, {20, 10, 10, 10}},
		"overflow": {{3, math.MaxInt64, math.MaxInt64, 10}}, "negative length": {{3, 10, -5, 10}}, "behind the file": {{1 << 40, 1, 1, 1}},
	} {
		if _, err := derived(t, sealedORC(end, stripes)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := make([][4]int64, maxStripes+1)
	for i := range many {
		many[i] = [4]int64{3, 0, 0, 0}
	}
	if _, err := derived(t, sealedORC(end, many)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many stripes: %v", err)
	}
	for name, footer := range map[string][]byte{
		"garbage": []byte("garbage, and more of it"), "nothing": make([]byte, 9), "too long": stripeFooter([3]int64{data, 1, 601 << 10}),
		"too short": stripeFooter([3]int64{data, 1, 10}), "index in the data": stripeFooter([3]int64{rowIndex, 0, 100 << 10}, [3]int64{data, 1, 500 << 10}),
		"negative": stripeFooter([3]int64{data, 1, -1}, [3]int64{data, 1, 600<<10 + 1}), "overflow": stripeFooter([3]int64{data, 1, math.MaxInt64}),
	} {
		o := sealedORC(3+600<<10+int64(len(footer)), [][4]int64{{3, 0, 600 << 10, int64(len(footer))}})
		o.blobs[3+600<<10] = footer
		pages, err := derived(t, o)
		if got, _ := find(pages, 3); err != nil || got != (page{3, 3 + GridPage, Column}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestDeriveORCByPostscript: what ends like an ORC file and is none.
func TestDeriveORCByPostscript(t *testing.T) {
	post := func(footer, metadata, codec uint64) *object {
		ps := message{}.number(1, footer).number(2, codec).number(3, 256<<10).number(5, metadata).bytes(8000, []byte(orc.Magic))
		ps = append(ps, byte(len(ps)))
		return &object{size: 1<<30 + int64(len(ps)), blobs: map[int64][]byte{1 << 30: ps}}
	}
	for name, c := range map[string]struct {
		o    *object
		want error
	}{
		"on the magic":   {post(1<<30-2, 0, 0), ErrCorrupt},
		"beyond":         {post(1<<40, 0, 0), ErrCorrupt},
		"overflow":       {post(math.MaxInt64, math.MaxInt64, 0), ErrCorrupt},
		"negative":       {post(math.MaxUint64, 0, 0), ErrCorrupt},
		"zeros":          {post(100, 0, 0), ErrCorrupt},
		"zeros, zlib":    {post(100, 0, 1), ErrCorrupt},
		"no footer":      {post(0, 0, 0), nil},
		"only metadata":  {post(0, 1000, 5), nil},
		"unknown codec":  {post(1000, 0, 77), nil},
		"a text's end":   {&object{size: 1 << 20, blobs: map[int64][]byte{1<<20 - 4: []byte("ORC\x03")}}, ErrUnknownFormat},
		"too large":      {post(MaxFooter+1, 0, 0), ErrTooLarge},
		"a byte too few": {&object{size: 1, blobs: map[int64][]byte{0: {200}}}, ErrUnknownFormat},
	} {
		_, err := derived(t, c.o)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestDeriveORCWithoutMagic: a postscript without the magic, as Presto's writer leaves it, is an ORC file's if it has a version and nothing strange, and the
// stripes end where the footer begins; otherwise nothing is known of the file.
func TestDeriveORCWithoutMagic(t *testing.T) {
	const end = 1 << 20
	version := slices.Clip(message{}.bytes(4, []byte{0, 12})) // what is added goes to a copy
	whole := [][4]int64{{3, 100, end/2 - 100, 0}, {3 + end/2, 0, end/2 - 3 - 200, 200}}
	for name, c := range map[string]struct {
		more    message // of the postscript
		stripes [][4]int64
		want    error
	}{
		"as Presto writes it":    {version.number(6, 6), whole, nil},
		"the version before":     {message{}.bytes(4, []byte{0, 11}), whole, nil},
		"no version":             {message{}.number(6, 6), whole, ErrUnknownFormat},
		"a version that is none": {message{}.bytes(4, []byte{0, 13}), whole, ErrUnknownFormat},
		"a strange field":        {version.number(9, 1), whole, ErrUnknownFormat},
		"another's magic":        {version.bytes(8000, []byte("PAR")), whole, ErrUnknownFormat},
		"no stripes":             {version, nil, ErrUnknownFormat},
		"begins too late":        {version, [][4]int64{{4, 0, end - 4, 0}}, ErrUnknownFormat},
		"ends too early":         {version, [][4]int64{{3, 0, end - 4, 0}}, ErrUnknownFormat},
		"beyond its end":         {version, [][4]int64{{3, 0, end, 0}}, ErrCorrupt},
		"unknown codec":          {version.number(2, 77), whole, ErrUnknownFormat},
	} {
		o := objectORC(end, c.stripes, c.more)
		pages, err := derived(t, o)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := columnsIn(o.size, o); !errors.Is(err, c.want) {
			t.Errorf("%s: columns: %v, want %v", name, err, c.want)
		}
		if at, _ := find(pages, 3); c.want == nil && at != (page{3, 103, PageIndex}) {
			t.Errorf("%s: %v", name, at)
		}
	}
}

// TestEncryptedFooter: where an encrypted Parquet footer lies is known, and nothing else.
func TestEncryptedFooter(t *testing.T) {
	const size, length = 1 << 20, 100 << 10
	end := append(binary.LittleEndian.AppendUint32(nil, length), "PARE"...)
	o := &object{size: size, blobs: map[int64][]byte{size - 8: end}}
	pages, err := derived(t, o)
	if err != nil || len(o.reads) != 1 {
		t.Fatalf("%v, %d reads", err, len(o.reads))
	}
	footer := int64(size - 8 - length)
	if got, _ := find(pages, footer); got != (page{footer, size - TailSize, Footer}) || pages[0] != (page{0, GridPage, Other}) {
		t.Errorf("%v", pages)
	}
}
