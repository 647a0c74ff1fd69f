package cache

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin/origintest"
)

// numbered is the n-th page of a test, whose bytes tell which it is.
func numbered(n uint64, size int) (Key, []byte) {
	data := make([]byte, max(size, 8))
	for i := 0; i+8 <= len(data); i += 512 {
		binary.LittleEndian.PutUint64(data[i:], n)
	}
	return HashPart("numbered").Page(int64(n), int64(len(data))), data
}

func isNumbered(n uint64, data []byte) bool {
	for i := 0; i+8 <= len(data); i += 512 {
		if binary.LittleEndian.Uint64(data[i:]) != n {
			return false
		}
	}
	return true
}

// agree checks that index and policy hold the same pages.
func (m *memory) agree(t *testing.T, keys []Key) {
	t.Helper()
	var found int
	for _, k := range keys {
		s := m.of(&k)
		indexed, held := m.has(&k), s.mu.pages.Has(k)
		if indexed != held {
			t.Errorf("page %x: in the index %v, by the policy %v", k, indexed, held)
		}
		if indexed {
			found++
		}
	}
	if _, pages := m.usage(); pages != found {
		t.Errorf("%d pages found, the policy holds %d", found, pages)
	}
}

// TestMemoryRaces lets readers hit while others bring, remove and evict the same pages: every page found is the one that was asked for, the
// limit holds at every look, and in the end index and policy hold the same.
func TestMemoryRaces(t *testing.T) {
	seed := origintest.Seed(t)
	const limit, pages = 2 << 20, 600
	m := newMemory(limit, 0.5)
	keys := make([]Key, pages)
	size := func(n uint64) int { return 8 + int(n*7919%(40<<10)) }
	for n := range keys {
		keys[n], _ = numbered(uint64(n), size(uint64(n)))
	}
	var workers sync.WaitGroup
	hits := make([]int, 6)
	for w := range hits {
		workers.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for range 6000 {
				n := min(rnd.Uint64N(pages), rnd.Uint64N(pages))
				data, ok := m.get(&keys[n])
				switch {
				case ok && !isNumbered(n, data):
					t.Errorf("page %d holds the bytes of another", n)
				case ok:
					hits[w]++
				}
				if rnd.IntN(50) == 0 {
					m.remove(keys[n])
				}
				if !ok && w%2 == 0 {
					_, data := numbered(n, size(n))
					m.put(keys[n], data, n%3 == 0)
				}
				if used, _ := m.usage(); used > limit {
					t.Errorf("%d bytes used, the limit is %d", used, limit)
				}
			}
		})
	}
	workers.Wait()
	m.agree(t, keys)
	var all int
	for _, n := range hits {
		all += n
	}
	if used, n := m.usage(); all < 1000 || n == pages || used < limit/2 {
		t.Errorf("%d hits, %d of %d pages in %d bytes: this run tested less than it should", all, n, pages, used)
	}
}

// TestHitsKeepPages reads a few pages while a flood of others passes: what is asked for again stays, what is not goes. The policy knows of hits only
// by what the entries counted.
func TestHitsKeepPages(t *testing.T) {
	m := newMemory(minMemory, 0.5)
	var hot []Key
	for n := range uint64(10) {
		k, data := numbered(n, 8<<10)
		hot = append(hot, k)
		m.put(k, data, false)
	}
	var cold int
	for n := uint64(100); n < 3000; n++ {
		for i := range hot {
			m.get(&hot[i])
		}
		k, data := numbered(n, 8<<10)
		m.put(k, data, false)
		if m.has(&k) {
			cold++
		}
	}
	for i := range hot {
		if !m.has(&hot[i]) {
			t.Errorf("page %d was asked for all the time and is gone", i)
		}
	}
	if _, pages := m.usage(); cold < 2900 || pages > 128 {
		t.Errorf("%d of the flood came in, %d pages are held", cold, pages)
	}
}

// TestMemoryIsWhatItSays fills the tier with the smallest of pages, whose overhead is most of what they cost, and asks the Go heap: it holds no
// more than the limit, with the index and the policy.
func TestMemoryIsWhatItSays(t *testing.T) {
	const limit = 4 << 20
	rnd := rand.New(rand.NewPCG(origintest.Seed(t), 1))
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	for _, size := range []int{8, 600} {
		before := heap()
		m := newMemory(limit, 0.5)
		for range 2 * limit / (size + 100) {
			var k Key
			binary.LittleEndian.PutUint64(k[:], rnd.Uint64())
			binary.LittleEndian.PutUint64(k[8:], rnd.Uint64())
			m.put(k, make([]byte, size), false)
		}
		held := heap() - before
		used, pages := m.usage()
		t.Logf("pages of %d bytes: %d held, %d bytes charged, %d on the heap", size, pages, used, held)
		if held > limit || held < limit/3 || used < limit*9/10 {
			t.Errorf("pages of %d bytes: %d bytes on the heap, %d charged, the limit is %d", size, held, used, limit)
		}
	}
}

// within fails a test whose f waits for something.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s waits for a lock", what)
	}
}

// TestHitTakesNoLock holds every lock of the cache and reads what is resident, in every way there is.
func TestHitTakesNoLock(t *testing.T) {
	for name, o := range map[string]Options{"memory": {}, "disk": {Disk: &lendingDisk{pages: map[Key][]byte{}}, UpOdds: 1}} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, o)
			obj, data := object("locked", 8*testPage)
			v, err := NewView(obj, grid{size: testPage})
			if err != nil {
				t.Fatal(err)
			}
			c.Offer(obj, grid{size: testPage}, 0, data)
			pg, err := v.PageAt(3*testPage + 5)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.mem.shards {
				c.mem.shards[i].mu.Lock()
				defer c.mem.shards[i].mu.Unlock()
			}
			c.fills.mu.Lock()
			defer c.fills.mu.Unlock()
			within(t, "ReadPage", func() {
				if buf, ok := c.ReadPage(context.Background(), &pg, 5, 10); !ok || string(buf.B) != string(data[3*testPage+5:3*testPage+15]) {
					t.Error("a resident page was not read")
				}
			})
			within(t, "Has", func() {
				if !c.Has(pg.Key) || !c.Resident(obj, grid{size: testPage}, 0, obj.Size) {
					t.Error("a resident page is not known")
				}
			})
			within(t, "Lookup", func() {
				if _, ok := c.Lookup(context.Background(), obj, 0, testPage); !ok {
					t.Error("a resident page was not found")
				}
			})
			within(t, "Open", func() { mustRead(t, c, Request{View: v, Source: &fakeSource{}, Length: obj.Size}, data) })
		})
	}
}
