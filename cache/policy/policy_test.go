package policy

import (
	"container/list"
	"math/rand/v2"
	"sync"
	"testing"
)

// lru is the yardstick: least recently used, weighed in the same bytes.
type lru struct {
	limit, used int64
	order       *list.List
	at          map[uint64]*list.Element
}

type lruEntry struct {
	k      uint64
	weight int64
}

func newLRU(limit int64) *lru {
	return &lru{limit: limit, order: list.New(), at: map[uint64]*list.Element{}}
}

func (l *lru) access(k uint64, weight int64) bool {
	if e, ok := l.at[k]; ok {
		l.order.MoveToFront(e)
		return true
	}
	weight += Overhead
	for l.used+weight > l.limit {
		old := l.order.Remove(l.order.Back()).(lruEntry)
		l.used -= old.weight
		delete(l.at, old.k)
	}
	l.used += weight
	l.at[k] = l.order.PushFront(lruEntry{k, weight})
	return false
}

// TestScanResistance replays a skewed workload that scans interrupt: the hit ratio of S3-FIFO is well above that of LRU with as many bytes.
func TestScanResistance(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 2))
	const keys, limit = 20_000, 64 << 20
	zipf := rand.NewZipf(rnd, 1.1, 1, keys-1)
	weight := func(k uint64) int64 { return 4<<10 + int64(k*2654435761%(120<<10)) }
	p, l := NewS3FIFO[uint64, struct{}](limit), newLRU(limit)
	var asked, fifoHits, lruHits int
	access := func(k uint64, count bool) {
		w := weight(k)
		_, hit := p.Get(k)
		if !hit {
			p.Add(k, struct{}{}, w)
		}
		lruHit := l.access(k, w)
		if count {
			asked++
			if hit {
				fifoHits++
			}
			if lruHit {
				lruHits++
			}
		}
	}
	scanned := uint64(1 << 40)
	for range 300 {
		for range 500 {
			access(zipf.Uint64(), true)
		}
		for range 500 { // a scan reads about half the limit, once
			scanned++
			access(scanned, false)
		}
	}
	fifo, lru := float64(fifoHits)/float64(asked), float64(lruHits)/float64(asked)
	t.Logf("hit ratio under scans: S3-FIFO %.3f, LRU %.3f, of %d accesses", fifo, lru, asked)
	if fifo < lru*1.05 {
		t.Errorf("S3-FIFO hits %.3f, LRU %.3f: scans push out what is asked for again", fifo, lru)
	}
}

// TestProtectedShare floods a full cache with data: metadata within its share all stays, and beyond its share it gives way.
func TestProtectedShare(t *testing.T) {
	const limit = 1 << 20
	p := NewProtected[int, int](limit, 0.5)
	const metaPages = 40
	for k := range metaPages {
		if !p.Add(k, k, 10<<10, true) { // 400 KiB and overhead: within the half
			t.Fatalf("metadata page %d was refused", k)
		}
	}
	for k := range 5000 {
		p.Add(1000+k, k, 10<<10, false)
		if p.Bytes() > limit {
			t.Fatalf("%d bytes over the limit of %d", p.Bytes(), limit)
		}
	}
	for k := range metaPages {
		if !p.Has(k) {
			t.Errorf("data pushed out metadata page %d, within the protected share", k)
		}
	}
	for k := range 5000 { // metadata fills everything when data leaves it free
		p.Add(10_000+k, k, 10<<10, true)
	}
	if got := p.MetadataBytes(); got > limit/2+11<<10 {
		t.Errorf("metadata took %d bytes from data, its share is %d", got, limit/2)
	}
	if p.Add(1, 1, limit*6/10, false) {
		t.Error("a data page larger than what metadata leaves was added")
	}
}

// TestProtectedBorrows shows that metadata uses room which data leaves free, and that data takes it back.
func TestProtectedBorrows(t *testing.T) {
	const limit = 1 << 20
	p := NewProtected[int, int](limit, 0.25)
	for k := range 60 {
		p.Add(k, k, 10<<10, true)
	}
	if got := p.MetadataBytes(); got < 600<<10 {
		t.Fatalf("metadata could use only %d of %d free bytes", got, limit)
	}
	for k := range 500 {
		p.Add(1000+k, k, 10<<10, false)
	}
	if got := p.MetadataBytes(); got > limit/4 || got < limit/4-30<<10 {
		t.Errorf("under a flood of data, metadata keeps %d bytes, want about its share of %d", got, limit/4)
	}
}

// TestProtectedLimit adds random weights of both kinds: the limit holds at every step.
func TestProtectedLimit(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 3))
	for range 30 {
		limit := 1 + rnd.Int64N(1<<20)
		p := NewProtected[int, int](limit, rnd.Float64())
		for range 2000 {
			k := rnd.IntN(500)
			switch meta := k%3 == 0; {
			case rnd.IntN(8) == 0:
				p.Remove(k)
			default:
				p.Get(k)
				if held := p.Add(k, k, rnd.Int64N(limit), meta); held != p.Has(k) {
					t.Fatalf("Add answers %v, Has %v", held, p.Has(k))
				}
			}
			if p.Bytes() > limit {
				t.Fatalf("%d bytes over the limit of %d", p.Bytes(), limit)
			}
		}
	}
}

// TestArraysShrink shows that a flood of small entries leaves no uncounted arrays behind.
func TestArraysShrink(t *testing.T) {
	p := NewS3FIFO[int, int](64 << 20)
	for k := range 400_000 {
		p.Add(k, k, 1)
	}
	for k := range 2000 {
		p.Add(1_000_000+k, k, 1<<20)
	}
	if held := p.Len() + p.Ghosts(); len(p.all) > 1024 && len(p.all) > 4*held+1 {
		t.Errorf("%d slots are kept for %d keys", len(p.all), held)
	}
	if v, ok := p.Get(1_001_999); !ok || v != 1999 {
		t.Errorf("after shrinking, the last key answers %d, %v", v, ok)
	}
}

// TestParallelHits lets readers hit under a shared lock while a writer works under the exclusive one (run with -race).
func TestParallelHits(t *testing.T) {
	var mu sync.RWMutex
	p := NewS3FIFO[int, int](1 << 20)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				k := (i * (g + 1)) % 200
				mu.RLock()
				v, ok := p.Get(k)
				mu.RUnlock()
				if ok && v != k {
					t.Errorf("key %d answers %d", k, v)
				}
				if !ok {
					mu.Lock()
					p.Add(k, k, 8<<10)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	p := NewS3FIFO[int, int](1 << 30)
	for k := range 10_000 {
		p.Add(k, k, 64<<10)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Get(i % 10_000)
	}
}
