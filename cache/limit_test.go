package cache

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// TestMemoryLimit fills the memory tier from many sides with pages of all sizes. What is resident in the end is counted by hand: the limit
// holds for the bytes themselves, not only for what the tier says of itself, and most of the limit is used.
func TestMemoryLimit(t *testing.T) {
	seed := origintest.Seed(t)
	data := make([]byte, 8<<20)
	for _, limit := range []int64{minMemory, 5 << 20, 70 << 20} { // the last is in two shards
		c := newCache(t, Options{Memory: limit, Metadata: isMeta})
		var objects []*origin.Object
		var layouts []Layout
		for i := range 12 {
			name := string(rune('a' + i))
			obj := &origin.Object{Path: name, Version: "v", Size: int64(len(data)), Parts: []origin.Part{{ID: name, Length: int64(len(data))}}}
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			at := []int64{0}
			for off := int64(0); off < obj.Size; at = append(at, off) {
				off = min(off+1+rnd.Int64N(100<<rnd.IntN(13)), obj.Size)
			}
			objects, layouts = append(objects, obj), append(layouts, cuts{at: at, classes: 3})
		}
		var wg sync.WaitGroup
		for i, obj := range objects {
			wg.Go(func() {
				for off := int64(0); off < obj.Size; off += 2 << 20 {
					c.Offer(obj, layouts[i], off, data[off:off+2<<20])
					if s := c.Stats(); s.MemoryBytes > limit {
						t.Errorf("%d bytes in memory, the limit is %d", s.MemoryBytes, limit)
					}
				}
			})
		}
		wg.Wait()
		var held int64
		for i, obj := range objects {
			at := layouts[i].(cuts).at
			for j := range at[1:] {
				if c.Resident(obj, layouts[i], at[j], at[j+1]-at[j]) {
					held += at[j+1] - at[j]
				}
			}
		}
		t.Logf("limit %d: %d bytes of pages held", limit, held)
		if held > limit || held < limit/2 {
			t.Errorf("limit %d: %d bytes of pages held", limit, held)
		}
	}
}

// TestReplanKeepsWhatLanded: when a page that was resident is gone, only it is fetched, not what has landed for this reader meanwhile.
func TestReplanKeepsWhatLanded(t *testing.T) {
	disk := newFakeDisk()
	c := newCache(t, Options{Disk: disk})
	obj, data := object("replan", 3*testPage)
	src := &fakeSource{data: data}
	req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: obj.Size}
	c.Offer(obj, req.Layout, testPage, data[testPage:2*testPage])
	r, err := c.Open(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	<-r.window[2].flight.ready
	disk.mu.Lock()
	clear(disk.pages) // the disk loses the second page, and the third before this reader came to it
	disk.mu.Unlock()
	for off := int64(0); off < obj.Size; off += testPage {
		piece, err := r.Next()
		if err != nil || string(piece) != string(data[off:off+testPage]) {
			t.Fatalf("page at %d: %d bytes, %v", off, len(piece), err)
		}
	}
	if got := src.asked(); len(got) != 2 || got[1] != (span{testPage, testPage}) {
		t.Errorf("fetched %v", got)
	}
}
