package sidecar_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// askAlways is the rule that the origin is asked for a version at every read.
func askAlways(o *sidecar.Options, _ *cache.Options) {
	o.Rules = []freshness.Rule{{Path: "**", MaxAge: 0}}
}

// noise are n bytes that a seed decides.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	rng.Read(b)
	return b
}

// fetched returns which bytes of an object of a size were asked of the origin since the last time: how many, and the first one.
func (r *rig) fetched(size int) (n, first int64) {
	first = int64(size)
	for _, c := range r.origin.Calls(origintest.OpRead) {
		off, length, err := c.Read.Resolve(int64(size))
		if err == nil {
			n, first = n+length, min(first, off)
		}
	}
	r.origin.Forget()
	return n, first
}

// readAll reads a file in ranges, as engines do, and compares.
func (r *rig) readAll(path string, data []byte) {
	r.t.Helper()
	const step = 700_001
	for off := 0; off < len(data); off += step {
		r.want(path, data, int64(off), int64(min(step, len(data)-off)), 0)
	}
}

// must returns what a change of the store returned, which may not fail.
func (r *rig) must(obj origin.Object, err error) origin.Object {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	return obj
}

// An append to a file of ten blocks of odd size fetches the last block again and nothing else, on a grid and where the file was small.
func TestAppendRefetchesOnlyTheLastBlock(t *testing.T) {
	for _, block := range []int{1_000_003, 1 << 20, 25_013} {
		t.Run(fmt.Sprint(block), func(t *testing.T) {
			r := newRig(t, 1, askAlways)
			data := noise(1, 9*block+block/2)
			r.store.PutBlocks("t/log", data, int64(block))
			r.readAll("t/log", data)
			r.readAll("t/log", data)
			r.fetched(len(data))
			r.readAll("t/log", data)
			if n, _ := r.fetched(len(data)); n != 0 {
				t.Errorf("a warm file: %d bytes fetched", n)
			}
			for _, open := range []bool{true, false, false} {
				data = append(data, noise(2, block/7)...)
				obj := r.must(r.store.Append("t/log", data[len(data)-block/7:], open))
				r.readAll("t/log", data)
				n, first := r.fetched(len(data))
				// A page twice at most: the read that reaches the end begins where it begins, not at a page.
				if want := int64(len(data) - 9*block); n < want || n > want+formats.GridPage || first != int64(9*block) {
					t.Errorf("open %v: %d bytes from %d on fetched, want %d from %d on (%d parts)", open, n, first, want, 9*block, len(obj.Parts))
				}
			}
		})
	}
}

// An append that begins a new block leaves the ones before it as they are, but for the pages around the old end.
func TestAppendOfABlockKeepsTheOthers(t *testing.T) {
	const block = 1_000_003
	r := newRig(t, 1, askAlways)
	data := noise(1, 5*block)
	r.store.PutBlocks("t/log", data, block)
	r.readAll("t/log", data)
	r.readAll("t/log", data)
	more := noise(2, block/2)
	data = append(data, more...)
	r.must(r.store.Append("t/log", more, false))
	r.fetched(len(data))
	r.readAll("t/log", data)
	if n, first := r.fetched(len(data)); n < block/2 || n > block/2+formats.GridPage+formats.TailSize || first < 5*block-formats.GridPage-formats.TailSize {
		t.Errorf("%d bytes from %d on fetched", n, first)
	}
}

// A client that looks at a file before it reads it, at a rule that has the origin asked each time, has no byte read twice: the look reads the file's end, and
// the read that asks anew, of all that is not resident, leaves it out. After an append that is the last block.
func TestALookReadsNothingTwice(t *testing.T) {
	const block = 1 << 20
	r := newRig(t, 1, askAlways)
	data := noise(1, 3*block+256_000)
	r.store.PutBlocks("t/log", data, block)
	client := func(from int64) {
		t.Helper()
		if _, err := r.Locate(t.Context(), "lake", "t/log", ""); err != nil {
			t.Fatal(err)
		}
		r.want("t/log", data, from, int64(len(data))-from, 0)
		if n, first := r.fetched(len(data)); n != int64(len(data))-from || first != from {
			t.Errorf("%d bytes from %d on fetched, want %d from %d on", n, first, int64(len(data))-from, from)
		}
	}
	client(0)
	more := noise(2, 64_000)
	data = append(data, more...)
	r.must(r.store.Append("t/log", more, false))
	client(3 * block)

	changed := noise(3, len(data)) // under an open file: what the look has read is of no use
	if _, err := r.Locate(t.Context(), "lake", "t/log", ""); err != nil {
		t.Fatal(err)
	}
	r.store.PutBlocks("t/log", changed, block)
	r.want("t/log", changed, 3*block, int64(len(data))-3*block, 0)
}

// What may still change is asked of the origin at every read, at the version that the answer is of, and by that alone; complete blocks come from the cache.
func TestUnfinishedPartsAreReadThrough(t *testing.T) {
	const block = 300_007
	for _, full := range []int{0, 3} {
		for _, maxAge := range []time.Duration{0, freshness.Forever} {
			t.Run(fmt.Sprintf("%d blocks, max_age %v", full, maxAge), func(t *testing.T) {
				r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules = []freshness.Rule{{Path: "**", MaxAge: maxAge}} })
				data := noise(1, full*block+100_000)
				r.store.PutBlocks("f", data[:full*block], block)
				r.must(r.store.Append("f", data[full*block:], true))
				size := int64(len(data))
				for range 2 {
					r.want("f", data, 0, origin.WholeRange, 0)
				}
				r.fetched(len(data))
				for range 2 {
					r.want("f", data, 0, origin.WholeRange, 0)
					r.want("f", data, 0, 0, 150_000)
					n, first := r.fetched(len(data))
					if want := int64(200_000); full > 0 && (n != want || first != int64(full*block)) || n < want {
						t.Errorf("%d bytes from %d on fetched, want %d from %d on", n, first, want, full*block)
					}
				}
				if n := r.cache.Stats().MemoryBytes; n > int64(full*block)+100_000 || full == 0 && r.cache.Stats().MemoryPages != 0 {
					t.Errorf("%d bytes are cached", n)
				}
				if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: "f", Suffix: 10}); ok {
					t.Error("a hit of what may still change")
				}
				found, err := r.Locate(t.Context(), "lake", "f", "")
				if err != nil || found.FreshFor != 0 || found.View == nil || found.Object.Settled() != int64(full*block) {
					t.Errorf("located: %+v, %v", found, err)
				}
				if _, err := found.View.PageAt(size - 1); err == nil {
					t.Error("a place of what may still change")
				}
				if n, err := r.Fill(t.Context(), "lake", &found.Object, 0, size); n != 0 || err != nil {
					t.Errorf("filled %d bytes, %v", n, err)
				}
			})
		}
	}
}

// Whatever was believed of a file that grows, a read that reaches its end is of one version, and of the present one.
func TestReadsOfAGrowingFileFollowIt(t *testing.T) {
	r := newRig(t, 1, forever)
	var data []byte
	r.store.PutBlocks("f", nil, 100_003)
	for i := range 12 {
		more := noise(uint64(i), 37_111)
		data = append(data, more...)
		r.must(r.store.Append("f", more, true))
		r.want("f", data, 0, origin.WholeRange, 0)
		r.want("f", data, 0, 0, 1000)
		r.want("f", data, int64(len(data)-20_000), 20_000, 0)
		r.want("f", data, 0, 50_000, 0)
	}
	r.must(r.store.Append("f", nil, false))
	r.want("f", data, int64(len(data)-20_000), 20_000, 0)
}

// A file that has grown since does not fail the readers of its complete blocks, which are the same in both versions; the answer is of the version that
// was believed.
func TestBlocksOfAnOlderVersionAreStillRead(t *testing.T) {
	const block = 400_009
	r := newRig(t, 1, forever)
	data := noise(1, 3*block)
	old := r.store.PutBlocks("f", data, block)
	r.want("f", data, 100, 1000, 0)
	more := noise(2, 1000)
	r.must(r.store.Append("f", more, true))
	r.calls()
	got, obj, err := r.read("f", block+5, block, 0)
	if err != nil || obj.Version != old.Version || !bytes.Equal(got, data[block+5:2*block+5]) {
		t.Errorf("%d bytes of version %q (%v), want %q", len(got), obj.Version, err, old.Version)
	}
	r.wantCalls("a fill that met another version", "read:2 stat:1")

	r.must(r.store.Truncate("f", 2*block+10))
	data = append(data[:2*block:2*block], data[2*block:2*block+10]...)
	r.want("f", data, 2*block-10, 20, 0)

	for i, change := range []func(data []byte){ // of which no read of the last block may take the bytes for the old version's
		func(data []byte) { r.store.PutBlocks("g", data, block) },
		func(data []byte) {
			r.must(r.store.Truncate("g", 2*block+1))
			r.must(r.store.Append("g", data[2*block+1:], false))
		},
	} {
		data := noise(3, 3*block)
		r.store.PutBlocks("g", data, block)
		r.Invalidate("lake", "g", false)
		r.want("g", data, 100, 1000, 0)
		data = append(data[:2*block+1:2*block+1], noise(uint64(4+i), block-1)...)
		change(data)
		got, obj, err := r.read("g", 2*block+100_000, 1000, 0)
		if now, _ := r.store.Stat(t.Context(), "g"); err != nil || obj.Version != now.Version || !bytes.Equal(got, data[2*block+100_000:][:1000]) {
			t.Errorf("change %d: version %q (%v), the present one is %q", i, obj.Version, err, now.Version)
		}
	}
}

// A range that lies in several blocks is asked for in one request, and no request is longer than the fill span.
func TestFillsCrossParts(t *testing.T) {
	r := newRig(t, 1, forever, func(_ *sidecar.Options, c *cache.Options) { c.FillSpan = 1 << 20 })
	data := noise(1, 8<<20)
	r.store.PutBlocks("f", data, 100_003)
	r.want("f", data, 8<<20-1000, 1000, 0)
	r.calls()
	r.want("f", data, 250_000, 500_000, 0)
	r.wantCalls("six blocks", "read:1")
	r.want("f", data, 1<<20, 6<<20, 0)
	for _, c := range r.origin.Calls(origintest.OpRead) {
		if c.Read.Length > 1<<20 {
			t.Errorf("one request for %d bytes", c.Read.Length)
		}
	}
}

// What an open tail holds is handed out only if the version still is the one that the read began with: else it begins anew, or fails in the middle.
func TestUnfinishedPartThatChangesUnderARead(t *testing.T) {
	const block = 4 << 20
	r := newRig(t, 1, askAlways)
	data := noise(1, block+1000)
	r.store.PutBlocks("f", data[:block], block)
	r.must(r.store.Append("f", data[block:], true))
	r.want("f", data, 0, block, 0)
	r.want("f", data, 0, block, 0)
	c, err := r.Open(t.Context(), "lake", origin.ReadRequest{Path: "f", Length: origin.WholeRange}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Body.Close()
	r.must(r.store.Append("f", []byte("more"), true))
	got, err := io.ReadAll(c.Body)
	if origin.Kind(err) != origin.ErrVersionChanged || !bytes.HasPrefix(data, got) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// footerOf is the length of a Parquet file's footer with what follows it.
func footerOf(file []byte) int64 {
	return int64(binary.LittleEndian.Uint32(file[len(file)-8:])) + 8
}

// A Parquet file whose tail lies in two blocks is cut by its footer, also from pages alone after a restart.
func TestParquetFooterInTwoBlocks(t *testing.T) {
	for _, last := range []int{100, 40_000, 70_000} {
		for _, file := range [][]byte{lakeFile(t, 10, 1, 50_000), lakeFile(t, 200, 12, 40)} {
			r := newRig(t, 1)
			r.store.PutBlocks("t/f.parquet", file, int64(len(file)-last))
			query := func() {
				r.list("t/")
				r.want("t/f.parquet", file, 0, 0, 48<<10)
				r.want("t/f.parquet", file, 0, 0, footerOf(file))
				r.want("t/f.parquet", file, 4, 300_000, 0)
			}
			query()
			r.calls()
			query()
			r.wantCalls("warm", "list:1")
			r.restart()
			query()
			r.wantCalls("after a restart", "list:1")
		}
	}
}

// A hit of a file of many blocks takes no memory; what the blocks take while the file is hot stays within the layouts' limit.
func TestHitOfManyParts(t *testing.T) {
	r := newRig(t, 1, forever, func(o *sidecar.Options, _ *cache.Options) { o.LayoutMemory = 64 << 10 })
	data := noise(1, 300_000)
	paths := []string{"a", "b", "c", "d"}
	for _, p := range paths {
		r.store.PutBlocks(p, data, 1009) // 298 blocks: some 30 KiB
		for range 3 {
			r.want(p, data, 5000, 20_000, 0)
			r.want(p, data, 299_000, 1000, 0)
		}
	}
	at := origin.ReadRequest{Path: "d", Offset: 5000, Length: 20_000}
	if _, got, ok := r.hit(t.Context(), at); !ok || !bytes.Equal(got, data[5000:25_000]) {
		t.Errorf("hit %v, %d bytes", ok, len(got))
	}
	name, ctx := []byte("lake/d"), t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		h := r.Hit(name, 5000, 20_000, 0, nil)
		for err := error(nil); err == nil; {
			_, err = h.Next(ctx)
		}
		h.Close()
	}); n > 0.1 {
		t.Errorf("%v allocations a hit", n)
	}
}

// Random reads of objects of many parts that are appended to, truncated, rewritten and left open, by an origin that fails in every way: every read that
// succeeds is of exactly one version, and of none that was replaced longer ago than max_age.
func TestSameBytesOfGrowingObjects(t *testing.T) {
	seed := origintest.Seed(t)
	for _, maxAge := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(maxAge.String(), func(t *testing.T) {
			r := newRig(t, seed, func(o *sidecar.Options, c *cache.Options) {
				o.FillSpan, o.RunMemory, o.LayoutMemory, o.MetadataMemory = 1<<20, 2<<20, 16<<10, 64<<10
				o.Rules = []freshness.Rule{{Path: "**", MaxAge: maxAge}}
				c.Memory, c.FillSpan, c.FillMemory = 4<<20, 1<<20, 2<<20
			})
			r.origin.Add(faults()...)
			h := newHistory()
			hammer(t, r, h, []string{"t/a", "t/b", "t/c.parquet", "u/d"}, seed, maxAge, func(rng *rand.Rand, p string) { h.grow(t, r, rng, p) })
		})
	}
}

// grow changes a path as HDFS files change.
func (h *history) grow(t *testing.T, r *rig, rng *rand.Rand, path string) {
	h.change(func() (origin.Object, []byte) {
		data := h.data[h.present[path]]
		switch rng.IntN(8) {
		case 0, 1:
			if len(data) > 0 {
				n := rng.IntN(len(data))
				return r.must(r.store.Truncate(path, int64(n))), data[:n:n]
			}
		case 2, 3, 4, 5, 6:
			if data != nil {
				more := noise(rng.Uint64(), rng.IntN(300_000)>>rng.IntN(12))
				return r.must(r.store.Append(path, more, rng.IntN(2) == 0)), append(data[:len(data):len(data)], more...)
			}
		}
		data = noise(rng.Uint64(), rng.IntN(1_500_000))
		return r.store.PutBlocks(path, data, 20_001+rng.Int64N(400_000)), data
	})
}
