package cache

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/alio-lake/alio/origin"
)

// viewOf makes a View or ends the test.
func viewOf(t testing.TB, obj *origin.Object, layout Layout) *View {
	t.Helper()
	v, err := NewView(obj, layout)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// pageOf is a View's page at an offset, or the test's end.
func pageOf(t testing.TB, v *View, off int64) Page {
	t.Helper()
	pg, err := v.PageAt(off)
	if err != nil {
		t.Fatal(err)
	}
	return pg
}

// TestView finds the same pages as a read does, and says what is wrong with an object or an offset.
func TestView(t *testing.T) {
	obj, _ := object("view", 5*testPage+1)
	obj.Parts = []origin.Part{{ID: "a", Length: 2*testPage + 10}, {ID: "b", Offset: 2*testPage + 10, Length: 3*testPage - 9}}
	v, geo := viewOf(t, obj, grid{size: testPage, class: 3}), newGeometry(obj, grid{size: testPage, class: 3})
	for off := int64(0); off < obj.Size; {
		got := pageOf(t, v, off)
		want, err := geo.pageAt(off, 0)
		if err != nil || got != (Page{Start: want.start, End: want.end, Key: want.key, Class: 3}) || got.Start != off {
			t.Errorf("page at %d: %+v, want %+v, %v", off, got, want, err)
		}
		off = got.End
	}
	for _, off := range []int64{-1, obj.Size, obj.Size + 1, math.MinInt64, math.MaxInt64} {
		if pg, err := v.PageAt(off); !errors.Is(err, origin.ErrInvalid) {
			t.Errorf("page at %d: %+v, %v", off, pg, err)
		}
	}
	if p := v.Parts(); len(p) != 2 || p[0] != HashPart("a") || p[1] != HashPart("b") || v.Object() != obj {
		t.Errorf("parts %x", p)
	}
	beyond := *obj // its parts reach over its end
	beyond.Size = 3 * testPage
	if pg, err := viewOf(t, &beyond, grid{size: testPage}).PageAt(4 * testPage); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("a byte past the end: %+v, %v", pg, err)
	}
	short := *obj
	short.Parts = obj.Parts[1:]
	if _, err := viewOf(t, &short, grid{size: testPage}).PageAt(5); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("a byte that no part holds: %v", err)
	}
	for name, tt := range map[string]struct {
		obj    *origin.Object
		layout Layout
		kind   error
	}{
		"no object":  {nil, grid{size: 1}, origin.ErrInvalid},
		"no version": {&origin.Object{Size: 1, Parts: obj.Parts}, grid{size: 1}, origin.ErrUnsupported},
		"no parts":   {&origin.Object{Size: 1, Version: "v"}, grid{size: 1}, origin.ErrUnsupported},
		"no layout":  {obj, nil, origin.ErrInvalid},
	} {
		if _, err := NewView(tt.obj, tt.layout); !errors.Is(err, tt.kind) {
			t.Errorf("%s: %v, want %v", name, err, tt.kind)
		}
	}
}

// TestViewHashesPartsOnce changes a part's id under a View: reads through the View do not look at it, so they still find the pages.
func TestViewHashesPartsOnce(t *testing.T) {
	c := newCache(t, Options{})
	obj, data := object("once", 4*testPage)
	v := viewOf(t, obj, grid{size: testPage})
	src := &fakeSource{data: data}
	mustRead(t, c, Request{View: v, Source: src, Length: obj.Size}, data)
	obj.Parts[0].ID = "another"
	if s := mustRead(t, c, Request{View: v, Source: src, Offset: 100, Length: 3 * testPage}, data); s.Memory != 3*testPage {
		t.Errorf("stats %+v", s)
	}
	pg := pageOf(t, v, testPage)
	if _, ok := c.ReadPage(context.Background(), &pg, 0, testPage); !ok || len(src.asked()) != 1 {
		t.Errorf("a resident page was not read; fetched %v", src.asked())
	}
	if _, err := c.Open(context.Background(), Request{View: v, Source: src, Offset: 1, Length: obj.Size}); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("a range past the end: %v", err)
	}
}

// TestReadPage reads pieces of pages from memory and from disk, and counts them as asked for and as answered.
func TestReadPage(t *testing.T) {
	disk := newFakeDisk()
	for name, o := range map[string]Options{"memory": {}, "disk": {Disk: disk}} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, o)
			obj, data := object("pages", 4*testPage-100)
			v := viewOf(t, obj, grid{size: testPage})
			c.Offer(obj, grid{size: testPage}, 0, data[:3*testPage])
			var sum int64
			for _, s := range []span{{0, testPage}, {5, 1}, {testPage - 1, 1}, {1000, 5000}} {
				for start := int64(0); start < 3*testPage; start += testPage {
					pg := pageOf(t, v, start+s.off)
					buf, ok := c.ReadPage(context.Background(), &pg, s.off, s.n)
					if at := start + s.off; !ok || string(buf.B) != string(data[at:at+s.n]) {
						t.Errorf("%+v of the page at %d: %d bytes, %v", s, start, len(buf.B), ok)
					}
					buf.Free()
					sum += s.n
				}
			}
			missing := pageOf(t, v, 3*testPage)
			if _, ok := c.ReadPage(context.Background(), &missing, 0, 1); ok || c.Has(missing.Key) {
				t.Error("a page that is not there was read")
			}
			if s := c.Stats(); s.RequestedBytes != sum || s.MemoryServed+s.DiskServed != sum || (s.MemoryServed == 0) != (name == "disk") || s.Hits != 12 || s.Misses != 0 {
				t.Errorf("stats %+v, want %d bytes", s, sum)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			pg := pageOf(t, v, 0)
			if _, ok := c.ReadPage(context.Background(), &pg, 0, 1); ok {
				t.Error("a closed cache answers")
			}
		})
	}
	if disk.onLoan != 0 {
		t.Errorf("%d loans were not given back", disk.onLoan)
	}
}

// TestReadPageRefuses asks for what cannot be: the answer is no, and nothing is counted.
func TestReadPageRefuses(t *testing.T) {
	for name, o := range map[string]Options{"memory": {}, "disk": {Disk: newFakeDisk()}} {
		c := newCache(t, o)
		obj, data := object("refused", testPage)
		v := viewOf(t, obj, grid{size: testPage})
		c.Offer(obj, grid{size: testPage}, 0, data)
		good := pageOf(t, v, 0)
		for _, s := range []span{{-1, 1}, {0, 0}, {0, -1}, {0, testPage + 1}, {testPage, 1}, {1, testPage}, {math.MaxInt64, math.MaxInt64},
			{math.MinInt64, 1}, {0, math.MinInt64}, {math.MinInt64, math.MinInt64}, {math.MaxInt64, 1}, {1, math.MaxInt64}} {
			if _, ok := c.ReadPage(context.Background(), &good, s.off, s.n); ok {
				t.Errorf("%s: %+v of a page of %d was answered", name, s, testPage)
			}
		}
		for _, b := range []span{{0, 0}, {0, -5}, {0, testPage + 5}, {5, testPage}, {0, MaxPage + 1}, {math.MaxInt64, math.MinInt64}, {math.MinInt64, math.MaxInt64}} {
			pg := good
			pg.Start, pg.End = b.off, b.n
			if _, ok := c.ReadPage(context.Background(), &pg, 0, 1); ok {
				t.Errorf("%s: a page of bounds %+v was answered", name, b)
			}
		}
		if _, ok := c.ReadPage(context.Background(), nil, 0, 1); ok || c.Has(Key{}) {
			t.Errorf("%s: no page was answered", name)
		}
		if s := c.Stats(); s.RequestedBytes != 0 || s.Hits != 0 || s.MemoryServed+s.DiskServed != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestReadPageFallsBack: whatever the disk answers but the bytes is a no, counted by its reason; a reader that left blames nobody.
func TestReadPageFallsBack(t *testing.T) {
	disk := newFakeDisk()
	c := newCache(t, Options{Disk: disk})
	obj, data := object("sick", testPage)
	v := viewOf(t, obj, grid{size: testPage})
	c.Offer(obj, grid{size: testPage}, 0, data)
	pg := pageOf(t, v, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	refused := func(reason int, want int64) {
		t.Helper()
		if _, ok := c.ReadPage(ctx, &pg, 0, 100); ok || c.count.fallbacks[reason].Load() != want || c.Stats().RequestedBytes != 0 {
			t.Errorf("answered %v, %d fallbacks, %+v", ok, c.count.fallbacks[reason].Load(), c.Stats())
		}
	}
	for i, err := range []error{ErrAbsent, ErrCorrupt, ErrSick} {
		disk.fail = func(Key) error { return err }
		refused(i, 1)
	}
	disk.fail, disk.short = nil, true
	refused(reasonCorrupt, 2)
	disk.short = false
	cancel()
	refused(reasonSick, 1)
	if n := c.Stats().DiskFallbacks; n != 4 || disk.onLoan != 0 {
		t.Errorf("%d fallbacks, %d loans", n, disk.onLoan)
	}
}

// TestReadPageMovesMetadataUp: the first read of a metadata page after a restart takes it whole from disk into memory; data stays where it is.
func TestReadPageMovesMetadataUp(t *testing.T) {
	disk := newFakeDisk()
	obj, data := object("restart", 2*testPage)
	layout := cuts{at: []int64{0, testPage, 2 * testPage}, classes: 2}
	newCache(t, Options{Disk: disk, Metadata: isMeta}).Offer(obj, layout, 0, data)

	c := newCache(t, Options{Disk: disk, Metadata: isMeta})
	v := viewOf(t, obj, layout)
	for range 2 {
		for _, off := range []int64{10, testPage + 10} {
			pg := pageOf(t, v, off)
			buf, ok := c.ReadPage(context.Background(), &pg, 10, 100)
			if !ok || string(buf.B) != string(data[off:off+100]) || cap(buf.B) != 100 && pg.Class == 1 {
				t.Errorf("page at %d: %d bytes of %d, %v", off, len(buf.B), cap(buf.B), ok)
			}
			buf.Free()
		}
	}
	if s := c.Stats(); s.MemoryPages != 1 || s.MemoryServed != 100 || s.DiskServed != 300 || disk.onLoan != 0 {
		t.Errorf("stats %+v, %d loans", s, disk.onLoan)
	}
}

// TestHitAllocations: what a hit allocates. Open's one allocation is the Reader, which its caller may keep.
func TestHitAllocations(t *testing.T) {
	for name, o := range map[string]Options{"memory": {}, "disk": {Disk: &lendingDisk{pages: map[Key][]byte{}}}} {
		c := newCache(t, o)
		obj, data := object("allocations", 32*testPage)
		v, src := viewOf(t, obj, grid{size: testPage}), &fakeSource{data: data}
		c.Offer(obj, grid{size: testPage}, 0, data)
		ctx, off := context.Background(), int64(0)
		check := func(what string, want float64, f func()) {
			t.Helper()
			least := math.Inf(1) // the race detector makes sync.Pool lose things on purpose, so not each round counts
			for range 100 {
				least = min(least, testing.AllocsPerRun(5, f))
			}
			if least > want {
				t.Errorf("%s, %s: %v allocations, want %v", name, what, least, want)
			}
		}
		check("ReadPage", 0, func() {
			off = (off + 7*testPage) % obj.Size
			pg, err := v.PageAt(off)
			if err != nil || !c.Has(pg.Key) {
				t.Error(err)
			}
			buf, ok := c.ReadPage(ctx, &pg, 100, 4*kib)
			if !ok || buf.B[0] != data[off+100] {
				t.Error("a resident page was not read")
			}
			buf.Free()
		})
		for _, pages := range []int64{1, 2, 4, 32} {
			check("Open", 1, func() {
				r, err := c.Open(ctx, Request{View: v, Source: src, Length: pages * testPage})
				for err == nil {
					_, err = r.Next()
				}
				r.Close()
			})
		}
	}
}

// TestStripes: what goroutines count in parallel adds up, they do not all count in one place, and copies share no cache line.
func TestStripes(t *testing.T) {
	const counters, readers, each = 20, 64, 1000
	s := newStripes(counters)
	var begun, done sync.WaitGroup
	var mu sync.Mutex
	copies := map[any]bool{}
	begun.Add(readers)
	for range readers {
		done.Go(func() {
			begun.Done()
			begun.Wait() // all have a stack by now
			for i := range each {
				s.mine()[i%counters].Add(int64(i % counters))
			}
			mu.Lock()
			defer mu.Unlock()
			copies[&s.mine()[0]] = true
		})
	}
	done.Wait()
	for i := range counters {
		if got, want := s.sum(i), int64(i*readers*each/counters); got != want {
			t.Errorf("counter %d is %d, want %d", i, got, want)
		}
	}
	if n := len(s.all) / s.width; len(copies) < min(n, readers)/4 {
		t.Errorf("%d goroutines count in %d of %d copies", readers, len(copies), n)
	}
	if s.width < counters || s.width*8%lineBytes != 0 || len(s.all)%s.width != 0 {
		t.Errorf("copies of %d counters for %d", s.width, counters)
	}
}
