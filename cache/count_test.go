package cache

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/alio-lake/alio/origin"
)

// TestOneMissOneFetch lets many readers miss the same page at once: one origin request.
func TestOneMissOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		obj, data := object("a", 256*kib)
		src := &fakeSource{data: data}
		gate := make(chan struct{})
		src.answer = func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			<-gate
			return src.body(off, n), nil
		}
		for range 50 {
			go func() {
				got, stats, err := read(c, Request{Object: obj, Layout: grid{size: 64 * kib}, Source: src, Offset: 1000, Length: 2000})
				if err != nil || string(got) != string(data[1000:3000]) || stats.Origin != 2000 {
					t.Errorf("stats %+v, error %v", stats, err)
				}
			}()
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if got := src.asked(); !slices.Equal(got, []span{{0, 64 * kib}}) {
			t.Errorf("fetched %v, want one page once", got)
		}
		if s := c.Stats(); s.SharedFills != 49 || s.FetchedBytes != 64*kib || s.OverreadBytes != 62*kib+48 || s.RequestedBytes != 50*2000 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestFetches is a table of what is resident, what is asked, and what that costs.
func TestFetches(t *testing.T) {
	const page = 64 * kib
	for _, tt := range []struct {
		name                        string
		have                        []span // in pages, read before
		ask                         span   // in bytes
		want                        []span
		refetched, overread, memory int64
	}{
		{"one page", nil, span{10, 100}, []span{{0, page}}, 0, page - 100, 0},
		{"whole pages", nil, span{page, 2 * page}, []span{{page, 2 * page}}, 0, 0, 0},
		{"all resident", []span{{0, 8}}, span{5, 7 * page}, nil, 0, 0, 7 * page},
		{"resident at both ends", []span{{0, 1}, {5, 1}}, span{0, 6 * page}, []span{{page, 4 * page}}, 0, 0, 2 * page},
		{"scattered misses go as one", []span{{1, 1}, {3, 2}}, span{0, 7 * page}, []span{{0, 7 * page}}, 3 * page, 0, 3 * page},
		{"ends over-read", []span{{2, 1}}, span{page + 100, 3*page - 200}, []span{{page, 3 * page}}, page, 200, page},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCache(t, Options{})
			obj, data := object("table", 16*page)
			src := &fakeSource{data: data}
			req := Request{Object: obj, Layout: grid{size: page}, Source: src}
			for _, h := range tt.have {
				req.Offset, req.Length = h.off*page, h.n*page
				mustRead(t, c, req, data)
			}
			before, calls := c.Stats(), len(src.asked())
			req.Offset, req.Length = tt.ask.off, tt.ask.n
			stats := mustRead(t, c, req, data)
			after := c.Stats()
			if got := src.asked()[calls:]; !slices.Equal(got, tt.want) {
				t.Errorf("fetched %v, want %v", got, tt.want)
			}
			if got := after.RefetchedBytes - before.RefetchedBytes; got != tt.refetched {
				t.Errorf("%d bytes refetched, want %d", got, tt.refetched)
			}
			if got := after.OverreadBytes - before.OverreadBytes; got != tt.overread {
				t.Errorf("%d bytes over-read, want %d", got, tt.overread)
			}
			if stats.Memory != tt.memory || stats.Fills != len(tt.want) || stats.Fetched != after.FetchedBytes-before.FetchedBytes {
				t.Errorf("stats %+v", stats)
			}
		})
	}
}

// TestWindows reads 17 MiB: two requests, none above the span, and the second only once the first has been consumed.
func TestWindows(t *testing.T) {
	c := newCache(t, Options{})
	obj, data := object("long", 20<<20)
	src := &fakeSource{data: data}
	req := Request{Object: obj, Layout: grid{size: 256 * kib}, Source: src, Length: 17 << 20}
	r, err := c.Open(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.CopyN(io.Discard, r, 16<<20); err != nil {
		t.Fatalf("%d bytes: %v", n, err)
	}
	if got := src.asked(); !slices.Equal(got, []span{{0, 16 << 20}}) {
		t.Fatalf("fetched %v before the second window was needed", got)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != string(data[16<<20:17<<20]) {
		t.Fatalf("the second window: %d bytes, %v", len(rest), err)
	}
	if got := src.asked(); !slices.Equal(got, []span{{0, 16 << 20}, {16 << 20, 1 << 20}}) {
		t.Errorf("fetched %v, want two windows", got)
	}
	if s := r.Stats(); s.Fills != 2 || s.Fetched != 17<<20 {
		t.Errorf("stats %+v", s)
	}
}

// TestOverlappingReads begins a read while another's pages are on their way: it asks only for what nobody fetches.
func TestOverlappingReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const page = 64 * kib
		c := newCache(t, Options{})
		obj, data := object("overlap", 16*page)
		src := &fakeSource{data: data}
		gate := make(chan struct{})
		src.answer = func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			<-gate
			return src.body(off, n), nil
		}
		for _, s := range []span{{0, 4 * page}, {2 * page, 4 * page}, {page, 2 * page}} {
			go func() {
				mustRead(t, c, Request{Object: obj, Layout: grid{size: page}, Source: src, Offset: s.off, Length: s.n}, data)
			}()
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		if got := src.asked(); !slices.Equal(got, []span{{0, 4 * page}, {4 * page, 2 * page}}) {
			t.Errorf("fetched %v", got)
		}
	})
}

// TestOffer stores whole pages only, once, and nothing that cannot be right.
func TestOffer(t *testing.T) {
	const page = 64 * kib
	c := newCache(t, Options{})
	obj, data := object("offered", 10*page-100)
	layout := grid{size: page}
	mine := slices.Clone(data[page-1 : 4*page+5])
	c.Offer(obj, layout, page-1, mine)
	clear(mine) // the cache kept no reference
	c.Offer(obj, layout, 9*page, data[9*page:])
	c.Offer(obj, layout, 9*page, append(slices.Clone(data[9*page:]), 1)) // beyond the end
	c.Offer(obj, layout, -1, data[:page])
	c.Offer(&origin.Object{Path: "unversioned", Size: obj.Size, Parts: obj.Parts}, layout, 0, data)
	for i := range int64(10) {
		n := min(page, obj.Size-i*page)
		if got, want := c.Resident(obj, layout, i*page, n), i >= 1 && i <= 3 || i == 9; got != want {
			t.Errorf("page %d resident: %v, want %v", i, got, want)
		}
	}
	src := &fakeSource{data: data}
	mustRead(t, c, Request{Object: obj, Layout: layout, Source: src, Offset: page, Length: 3 * page}, data)
	mustRead(t, c, Request{Object: obj, Layout: layout, Source: src, Offset: 9 * page, Length: page - 100}, data)
	if got := src.asked(); len(got) != 0 {
		t.Errorf("offered pages were fetched: %v", got)
	}
	if s := c.Stats(); s.OfferedBytes != 4*page-100 || s.MemoryPages != 4 {
		t.Errorf("stats %+v", s)
	}
}

// TestLookup finds a page by its exact bounds, in memory and on disk, and nothing else.
func TestLookup(t *testing.T) {
	const page = 64 * kib
	disk := newFakeDisk()
	for _, o := range []Options{{}, {Disk: disk}} {
		c := newCache(t, o)
		obj, data := object("lookup", 4*page)
		c.Offer(obj, grid{size: page}, 0, data[:2*page])
		for _, tt := range []struct {
			off, n int64
			ok     bool
		}{{0, page, true}, {page, page, true}, {2 * page, page, false}, {0, 100, false}, {1, page, false}, {-1, page, false}, {3 * page, 2 * page, false}, {0, 0, false}} {
			buf, ok := c.Lookup(context.Background(), obj, tt.off, tt.n)
			if ok != tt.ok || ok && string(buf.B) != string(data[tt.off:tt.off+tt.n]) {
				t.Errorf("Lookup(%d, %d) = %d bytes, %v, want %v", tt.off, tt.n, len(buf.B), ok, tt.ok)
			}
			buf.Free()
		}
	}
	if disk.onLoan != 0 || disk.reads == 0 {
		t.Errorf("%d loans of %d reads were not given back", disk.onLoan, disk.reads)
	}
}
