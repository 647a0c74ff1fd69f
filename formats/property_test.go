package formats

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/alio-lake/alio/formats/parquet"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// randomObject makes a file of random chunks (0 B to 5 MiB), gaps, bloom filters and page indexes, most with true offset indexes.
func randomObject(rnd *rand.Rand) (*object, []parquet.Chunk) {
	at := int64(4)
	gap := func() {
		if rnd.IntN(4) == 0 {
			at += rnd.Int64N(700 << 10)
		}
	}
	chunks := make([]parquet.Chunk, rnd.IntN(60))
	blobs := map[int64][]byte{}
	for i := range chunks {
		gap()
		c := &chunks[i]
		c.CompressedSize = []int64{0, rnd.Int64N(5000), rnd.Int64N(900 << 10), rnd.Int64N(5 << 20)}[rnd.IntN(4)]
		c.DataPageOffset = at
		if rnd.IntN(2) == 0 {
			c.DictionaryPageOffset = at
			c.DataPageOffset += rnd.Int64N(c.CompressedSize + 1)
		}
		at += c.CompressedSize
		if rnd.IntN(4) == 0 {
			c.BloomFilterOffset, c.BloomFilterLength = at, rnd.Int64N(2)*1000
			at += 1000 + rnd.Int64N(2)<<21
		}
	}
	for i := range chunks {
		if rnd.IntN(4) > 0 {
			gap()
			chunks[i].ColumnIndexOffset, chunks[i].ColumnIndexLength = at, 1+rnd.Int64N(50)<<rnd.IntN(12)
			at += chunks[i].ColumnIndexLength
		}
	}
	for i := range chunks {
		if rnd.IntN(4) > 0 {
			index := randomIndex(rnd, &chunks[i])
			blobs[at] = index
			chunks[i].OffsetIndexOffset, chunks[i].OffsetIndexLength = at, int64(len(index))
			at += int64(len(index))
		}
	}
	gap()
	rnd.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
	o := sealed(at, chunks)
	for offset, blob := range blobs {
		o.blobs[offset] = blob
	}
	return o, chunks
}

// randomIndex is an offset index of data pages of up to 2 MiB; one in eight is garbage.
func randomIndex(rnd *rand.Rand, c *parquet.Chunk) []byte {
	if rnd.IntN(8) == 0 {
		return binary.LittleEndian.AppendUint64(nil, rnd.Uint64())
	}
	offsets, end := []int64{}, c.Start()+c.CompressedSize
	for at := c.DataPageOffset; at < end; at += 1 + rnd.Int64N(int64(4096)<<rnd.IntN(10)) {
		offsets = append(offsets, at)
	}
	return encodeIndex(offsets)
}

// TestRandomLayouts: on random files, whatever is at hand, the layout is sound, every chunk and every dictionary starts a page and
// no page holds bytes of two chunks; and what does not hang on an offset index is the same with all bytes and with few.
func TestRandomLayouts(t *testing.T) {
	rnd := seed(t)
	for range 300 {
		o, chunks := randomObject(rnd)
		all, err := derived(t, o)
		if err != nil {
			t.Fatal(err)
		}
		footer := o.size - 8 - int64(len(encode(chunks)))
		o.have = func(start, _ int64) bool { return start >= min(footer, o.size-TailSize) || rnd.IntN(2) == 0 }
		some, err := derived(t, o)
		if err != nil {
			t.Fatal(err)
		}
		var large []parquet.Chunk
		for _, c := range chunks {
			checkRandomChunk(t, all, &c, o.size-TailSize)
			checkRandomChunk(t, some, &c, o.size-TailSize)
			if c.Start()+c.CompressedSize-c.DataPageOffset > MaxPage {
				large = append(large, c)
			}
		}
		inLarge := func(p page) bool {
			return slices.ContainsFunc(large, func(c parquet.Chunk) bool { return p.start >= c.DataPageOffset && p.end <= c.Start()+c.CompressedSize })
		}
		if !slices.Equal(slices.DeleteFunc(all, inLarge), slices.DeleteFunc(some, inLarge)) {
			t.Fatal("layouts differ outside of chunks above MaxPage")
		}
	}
}

func checkRandomChunk(t *testing.T, pages []page, c *parquet.Chunk, tail int64) {
	t.Helper()
	start, end := c.Start(), c.Start()+c.CompressedSize
	for _, at := range []int64{start, c.DataPageOffset, end} {
		if at >= tail || c.CompressedSize == 0 {
			continue
		}
		want := Column
		if at < c.DataPageOffset {
			want = Dictionary
		}
		if p, ok := find(pages, at); !ok || at < end && p.class != want {
			t.Fatalf("chunk [%d, %d) with data from %d: page %v at %d", start, end, c.DataPageOffset, p, at)
		}
	}
}

// FuzzDerive: whatever a file holds, Derive does not panic, takes memory in proportion to the file, and what it returns is sound.
func FuzzDerive(f *testing.F) {
	for _, file := range files(f) {
		if len(file) < 64<<10 {
			f.Add(file, uint32(0))
		}
	}
	indexed, _ := parquettest.WithIndexes(f, parquettest.Arrow(f, parquettest.Spec{Columns: 2, RowGroups: 1, Rows: 50}), parquettest.Extras{Bloom: 64})
	f.Add(indexed, uint32(3<<20))
	for _, o := range orcFiles(f) {
		if file := o.blobs[0]; len(file) < 60<<10 {
			f.Add(file, uint32(0))
		}
	}
	small := sealedORC(1000, [][4]int64{{3, 100, 500, 30}, {700, 0, 100, 20}})
	f.Add(small.blobs[1000], uint32(1000))
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		o, chunks := randomObject(rnd)
		f.Add(encode(chunks), uint32(o.size))
	}
	f.Fuzz(func(t *testing.T, bytes []byte, before uint32) {
		// The bytes as a file, behind zeros so that chunks may be large; and as a footer, sealed.
		fuzzOne(t, &object{size: int64(before) + int64(len(bytes)), blobs: map[int64][]byte{int64(before): bytes}})
		footer := binary.LittleEndian.AppendUint32(slices.Clone(bytes), uint32(len(bytes)))
		footer = append(footer, parquet.Magic...)
		fuzzOne(t, &object{size: int64(before) + int64(len(footer)), blobs: map[int64][]byte{int64(before): footer}})
	})
}

func fuzzOne(t *testing.T, o *object) {
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	l, err := derive(Other, o.size, o)
	runtime.ReadMemStats(&m1)
	input := int64(len(o.blobs)) * TailSize
	for _, b := range o.blobs {
		input += int64(len(b))
	}
	for _, r := range o.reads {
		input += r[1] - r[0]
	}
	if got := int64(m1.TotalAlloc - m0.TotalAlloc); got > 64*input+o.size/1000+1<<20 {
		t.Errorf("%d bytes allocated for %d read", got, input)
	}
	if err == nil {
		pagesOf(t, l)
	}
	_, err = derived(t, o)
	var need *NeedError
	if errors.As(err, &need) {
		t.Errorf("%v, although all is at hand", err)
	}
	checkColumns(t, &object{size: o.size, blobs: o.blobs})
}
