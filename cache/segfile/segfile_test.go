package segfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

func random(t testing.TB) *rand.Rand {
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("ALIO_SEED"); v != "" {
		var err error
		if s, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ALIO_SEED=%d", s)
	return rand.New(rand.NewPCG(s, 1))
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestVectors pins bytes that others write and read too: they change with the format's version only.
func TestVectors(t *testing.T) {
	h := Header{Instance: 0x0102030405060708, Seq: 9, Created: 1_700_000_000, Stream: 2}
	key := HashPart("bucket/object@etag").Page(1<<20, 5)
	file := AppendRecord(h.Encode(), h.Seed(), HeaderSize, key, 3, []byte("hello"))
	file = append(file, EncodeFooter(h, []Location{{Key: key, Off: HeaderSize, Length: 5, Class: 3}}, int64(len(file)))...)
	sum := sha256.Sum256(file)
	for what, c := range map[string][2]string{
		"key":    {hex.EncodeToString(key[:]), "cdd9585ac68003778e05eee633281a22"},
		"header": {hex.EncodeToString(file[:HeaderSize]), "414c494f5345470001000000400000000807060504030201090000000000000000f153650000000002000000000000000000000000000000000000009665fa89"},
		"file":   {hex.EncodeToString(sum[:]), "18cee40c2b222f3f5fb049e5b2847e2fc8d1d8a520fd9764f91df0fc47f1cbe8"},
		"name":   {Name(h.Instance, h.Seq), "0102030405060708-00000009.seg"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %s, was %s", what, c[0], c[1])
		}
	}
}

func TestKey(t *testing.T) {
	p := HashPart("a")
	seen := map[Key]bool{}
	for _, k := range []Key{p.Page(0, 1), p.Page(1, 1), p.Page(0, 2), p.Page(1, 0), HashPart("b").Page(0, 1), HashPart("").Page(0, 1)} {
		if seen[k] {
			t.Error("two pages have one key")
		}
		seen[k] = true
	}
	if p.Page(5, 6) != HashPart("a").Page(5, 6) {
		t.Error("one page has two keys")
	}
}

func TestHeader(t *testing.T) {
	for _, h := range []Header{{}, {Instance: 1, Seq: 2, Created: 3, Stream: 4}, {Instance: math.MaxUint64, Seq: math.MaxUint64, Created: -1, Stream: 255}} {
		b := h.Encode()
		if got, err := ParseHeader(b); err != nil || got != h || len(b) != HeaderSize {
			t.Errorf("%+v becomes %+v, %v", h, got, err)
		}
		for i := range b {
			c := bytes.Clone(b)
			c[i] ^= 0x10
			if _, err := ParseHeader(c); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnknownFormat) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
		for n := range b {
			if _, err := ParseHeader(b[:n]); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
	b := Header{Seq: 1}.Encode()
	b[8] = FormatVersion + 1
	if _, err := ParseHeader(b); !errors.Is(err, ErrUnknownFormat) {
		t.Errorf("another version: %v", err)
	}
	if (Header{Instance: 1, Seq: 2}).Seed() == (Header{Instance: 2, Seq: 1}).Seed() {
		t.Error("two segments have one seed")
	}
}

func TestName(t *testing.T) {
	for _, c := range []struct{ instance, seq uint64 }{{0, 0}, {1, 2}, {math.MaxUint64, 1 << 32}, {7, math.MaxUint64}} {
		if i, s, ok := ParseName(Name(c.instance, c.seq)); !ok || i != c.instance || s != c.seq {
			t.Errorf("%q: %d %d %v", Name(c.instance, c.seq), i, s, ok)
		}
	}
	good := Name(0xabc, 5)
	for _, bad := range []string{"", ".seg", "-.seg", good + "x", good[:len(good)-4], "+" + good[1:], " " + good, "0" + good, "0000000000000ABC-00000005.seg", "0000000000000abc-5.seg",
		"0000000000000abc-000000005.seg", "0000000000000abc_00000005.seg", "0000000000000abc-00000005.seg.gone", "zzzzzzzzzzzzzzzz-00000005.seg", "0000000000000abc-00000005-1.seg"} {
		if _, _, ok := ParseName(bad); ok {
			t.Errorf("%q is taken for a segment's name", bad)
		}
	}
}

// TestRecord writes pages of every number of blocks and reads them back; each byte of header and data that is damaged is found, and a record does
// not fit another place or segment.
func TestRecord(t *testing.T) {
	rng := random(t)
	seed := Header{Instance: rng.Uint64(), Seq: 3}.Seed()
	for _, length := range []int{1, 63, 64, 65, 4096, BlockSize - 1, BlockSize, BlockSize + 1, 8 * BlockSize, 8*BlockSize + 1, MaxPage - 1, MaxPage} {
		data := randomBytes(rng, length)
		key, off := HashPart("r").Page(0, int64(length)), int64(Align*(1+rng.IntN(1<<26)))
		b := AppendRecord([]byte("before"), seed, off, key, 7, data)[len("before"):]
		if int64(len(b)) != RecordSize(length) || len(b)%Align != 0 {
			t.Fatalf("a record of %d takes %d bytes, %d are promised", length, len(b), RecordSize(length))
		}
		hs := RecordHeaderSize(length)
		r, need, err := ParseRecord(b[:Align], seed, off)
		if hs > Align {
			if err != nil || need != hs {
				t.Fatalf("length %d: need %d, %v", length, need, err)
			}
			r, need, err = ParseRecord(b[:need], seed, off)
		}
		if want := (Record{Key: key, Length: length, Class: 7}); err != nil || need != 0 || r != want || !CheckBlocks(b[:hs], 0, b[hs:hs+length]) {
			t.Fatalf("length %d: %+v, need %d, %v", length, r, need, err)
		}
		for i := range hs {
			c := bytes.Clone(b[:hs])
			c[i] ^= 1 << rng.IntN(8)
			if r, need, err := ParseRecord(c, seed, off); err == nil && need == 0 {
				t.Fatalf("byte %d of the header: %+v", i, r)
			}
		}
		at := hs + rng.IntN(length)
		b[at] ^= 1 << rng.IntN(8)
		if CheckBlocks(b[:hs], 0, b[hs:hs+length]) {
			t.Fatalf("byte %d is wrong and passes", at)
		}
		for _, c := range []struct {
			seed uint32
			off  int64
		}{{seed, off + Align}, {seed + 1, off}, {seed, off | 1<<40}} {
			if _, need, err := ParseRecord(b[:hs], c.seed, c.off); err == nil && need == 0 {
				t.Fatal("a record is believed where it does not belong")
			}
		}
	}
}

// TestPlan plans reads and reads as planned: what was asked for is where the plan says, and a damaged byte is found if its block was touched.
func TestPlan(t *testing.T) {
	rng := random(t)
	h := Header{Instance: rng.Uint64(), Seq: rng.Uint64()}
	for _, length := range []int{1, 100, BlockSize, BlockSize + 1, 3*BlockSize + 500, 9*BlockSize + 1, MaxPage} {
		data := randomBytes(rng, length)
		key := HashPart("p").Page(0, int64(length))
		file := AppendRecord(h.Encode(), h.Seed(), HeaderSize, key, 0, data)
		loc := Location{Key: key, Off: HeaderSize, Length: length}
		for range 60 {
			off := rng.IntN(length)
			n := 1 + rng.IntN(length-off)
			p := PlanRead(loc, off, n)
			buf := append(bytes.Clone(file[loc.Off:loc.Off+int64(p.Header)]), file[p.At:p.At+int64(p.Data)]...)
			if !p.Check(h.Seed(), buf) || !bytes.Equal(buf[p.Header+p.Skip:p.Header+p.Skip+n], data[off:off+n]) {
				t.Fatalf("%d+%d of %d: %+v", off, n, length, p)
			}
			if p.First == 0 && p.At != loc.Off+int64(p.Header) || p.Data > (n/BlockSize+2)*BlockSize {
				t.Fatalf("%d+%d of %d reads %+v", off, n, length, p)
			}
			at := rng.IntN(len(buf))
			buf[at] ^= 1 << rng.IntN(8)
			if p.Check(h.Seed(), buf) {
				t.Fatalf("%d+%d of %d: byte %d is wrong and passes", off, n, length, at)
			}
			buf = append(bytes.Clone(file[loc.Off:loc.Off+int64(p.Header)]), file[p.At:p.At+int64(p.Data)]...)
			other := p
			other.Loc.Key[0] ^= 1
			longer := p
			longer.Loc.Length++
			if other.Check(h.Seed(), buf) || longer.Check(h.Seed(), buf) {
				t.Fatal("another page's bytes pass")
			}
		}
	}
}

// sealed makes a segment of pages of random lengths.
func sealed(rng *rand.Rand, pages int) (h Header, list []Location, file []byte) {
	h = Header{Instance: rng.Uint64(), Seq: rng.Uint64()}
	file = h.Encode()
	part := HashPart("s")
	for i := range pages {
		data := randomBytes(rng, 1+rng.IntN(300))
		l := Location{Key: part.Page(int64(i), int64(len(data))), Off: int64(len(file)), Length: len(data), Class: uint8(i)}
		file = AppendRecord(file, h.Seed(), l.Off, l.Key, l.Class, data)
		list = append(list, l)
	}
	return h, list, append(file, EncodeFooter(h, list, int64(len(file)))...)
}

func parse(h Header, file []byte) ([]Location, error) {
	tr, err := ParseTrailer(file[max(0, len(file)-TrailerSize):], h, int64(len(file)))
	if err != nil {
		return nil, err
	}
	return ParseEntries(file[tr.End:len(file)-TrailerSize], tr, h)
}

// TestFooter reads an index back, whole and in pieces; whatever byte is damaged, it is not believed.
func TestFooter(t *testing.T) {
	rng := random(t)
	for _, n := range []int{0, 1, 2, 37} {
		h, list, file := sealed(rng, n)
		got, err := parse(h, file)
		if err != nil || len(got) != n {
			t.Fatalf("%d pages: %d, %v", n, len(got), err)
		}
		end := len(file) - int(FooterSize(n))
		tr, err := ParseTrailer(file[len(file)-TrailerSize:], h, int64(len(file)))
		if err != nil || tr.Pages != n || tr.End != int64(end) {
			t.Fatalf("%+v, %v", tr, err)
		}
		x := tr.Index(h)
		for i := 0; i < n; {
			take := min(1+rng.IntN(5), n-i)
			e, err := x.Add(file[end+i*EntrySize : end+(i+take)*EntrySize])
			if err != nil || e.Len() != take || x.Done() == nil && i+take < n {
				t.Fatalf("piece %d+%d: %v", i, take, err)
			}
			for j := range take {
				if e.At(j) != list[i+j] || got[i+j] != list[i+j] || e.Key(j) != list[i+j].Key || list[i+j].End() > int64(end) {
					t.Fatalf("page %d: %+v, want %+v", i+j, e.At(j), list[i+j])
				}
			}
			i += take
		}
		if err := x.Done(); err != nil {
			t.Fatal(err)
		}
		for i := end; i < len(file); i++ {
			c := bytes.Clone(file)
			c[i] ^= 1 << rng.IntN(8)
			if pages, err := parse(h, c); !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d of the footer: %d pages, %v", i-end, len(pages), err)
			}
		}
		other := h
		other.Seq++
		if _, err := parse(other, file); !errors.Is(err, ErrDamaged) {
			t.Errorf("another segment's index: %v", err)
		}
	}
}

// TestFooterThatLies: whoever can make the sums right still cannot name a page outside of the records, or more pages than fit.
func TestFooterThatLies(t *testing.T) {
	h, list, file := sealed(random(t), 4)
	end := list[3].End()
	for name, l := range map[string]Location{
		"behind the records": {Off: end, Length: 1}, "across the end": {Off: end - Align, Length: 1}, "in the header": {Off: 0, Length: 1},
		"no bytes": {Off: HeaderSize}, "too long": {Off: HeaderSize, Length: MaxPage + 1}, "far outside": {Off: 1 << 37, Length: 1},
	} {
		pages := append(list[:3:3], l)
		if got, err := parse(h, append(bytes.Clone(file[:end]), EncodeFooter(h, pages, end)...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	var crowd []Location
	for range 2*int(end)/Align + 1 {
		crowd = append(crowd, list[0])
	}
	if _, err := parse(h, append(bytes.Clone(file[:end]), EncodeFooter(h, crowd, end)...)); !errors.Is(err, ErrDamaged) {
		t.Errorf("%d pages in %d bytes: %v", len(crowd), end, err)
	}
	for name, lie := range map[string]func(t []byte){
		"a huge count": func(t []byte) { binary.LittleEndian.PutUint32(t[12:], math.MaxUint32) }, "one too many": func(t []byte) { t[12]++ },
		"an end beyond the file": func(t []byte) { binary.LittleEndian.PutUint64(t[16:], 1<<62) }, "a negative end": func(t []byte) { t[23] = 0x80 },
		"an end off the grid": func(t []byte) { t[16]++ }, "another version": func(t []byte) { t[8]++ },
	} {
		c := bytes.Clone(file)
		tr := c[len(c)-TrailerSize:]
		lie(tr)
		binary.LittleEndian.PutUint32(tr[60:], Crc(h.Seed(), tr[:60]))
		if _, err := parse(h, c); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzFooter: no bytes make the parsers panic or promise more pages than the file can hold.
func FuzzFooter(f *testing.F) {
	h, _, file := sealed(rand.New(rand.NewPCG(1, 2)), 3)
	f.Add(file, h.Instance, h.Seq)
	f.Add(file[:len(file)-1], h.Instance, h.Seq)
	f.Add([]byte{}, uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, instance, seq uint64) {
		if got, err := ParseHeader(b); err == nil {
			instance, seq = got.Instance, got.Seq
		}
		pages, err := parse(Header{Instance: instance, Seq: seq}, b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		for _, p := range pages {
			if p.Off < HeaderSize || p.End() > int64(len(b)) || len(pages) > len(b)/(2*Align) {
				t.Fatalf("%d pages, %+v in %d bytes", len(pages), p, len(b))
			}
		}
	})
}

// BenchmarkIndex reads an index of 16,000 pages in pieces, as a start does.
func BenchmarkIndex(b *testing.B) {
	h, _, file := sealed(rand.New(rand.NewPCG(1, 2)), 16_000)
	tr, err := ParseTrailer(file[len(file)-TrailerSize:], h, int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	index := file[tr.End : len(file)-TrailerSize]
	b.ReportAllocs()
	for b.Loop() {
		x := tr.Index(h)
		for i := 0; i < len(index); i += 2000 * EntrySize {
			e, err := x.Add(index[i : i+2000*EntrySize])
			if err != nil {
				b.Fatal(err)
			}
			for j := range e.Len() {
				_ = e.At(j)
			}
		}
		if err := x.Done(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16_000, "ns/page")
}

// BenchmarkRecord encodes and checks pages.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		data := randomBytes(rand.New(rand.NewPCG(1, 2)), size)
		key := HashPart("b").Page(0, int64(size))
		var buf []byte
		b.Run("append-"+strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendRecord(buf[:0], 1, Align, key, 0, data)
			}
		})
		b.Run("check-"+strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			buf = AppendRecord(buf[:0], 1, Align, key, 0, data)
			p := PlanRead(Location{Key: key, Off: Align, Length: size}, 0, size)
			for b.Loop() {
				if !p.Check(1, buf[:p.Header+p.Data]) {
					b.Fatal("it does not hold")
				}
			}
		})
	}
}
