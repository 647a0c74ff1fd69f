package cache

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// isMeta is the class that tests call metadata.
func isMeta(class uint8) bool { return class == 1 }

// TestStoredPageLeavesMemory: a data page stays in memory until the disk has it, metadata stays beside disk.
func TestStoredPageLeavesMemory(t *testing.T) {
	disk := newFakeDisk()
	disk.held = true
	c := newCache(t, Options{Disk: disk, Metadata: isMeta})
	obj, data := object("tiers", 4*testPage)
	layout := cuts{at: []int64{0, testPage, 2 * testPage, 3 * testPage, 4 * testPage}, classes: 2}
	req := Request{Object: obj, Layout: layout, Source: &fakeSource{data: data}, Length: obj.Size}
	mustRead(t, c, req, data)
	if s := mustRead(t, c, req, data); s.Memory != obj.Size {
		t.Errorf("before the disk wrote: %+v", s)
	}
	disk.flush()
	if s := mustRead(t, c, req, data); s.Memory != 2*testPage || s.Disk != 2*testPage {
		t.Errorf("once the disk has the pages: %+v", s)
	}
	if s := c.Stats(); s.MemoryPages != 2 || s.Fills != 1 || s.RefetchedBytes != 0 {
		t.Errorf("stats %+v", s)
	}
	if disk.onLoan != 0 {
		t.Errorf("%d loans were not given back", disk.onLoan)
	}
}

// TestMetadataMovesUp: after a restart metadata is on disk only; its first read brings it back into memory, whole.
func TestMetadataMovesUp(t *testing.T) {
	disk := newFakeDisk()
	obj, data := object("restart", 2*testPage)
	layout := cuts{at: []int64{0, testPage, 2 * testPage}, classes: 2}
	req := Request{Object: obj, Layout: layout, Source: &fakeSource{data: data}, Length: obj.Size}
	mustRead(t, newCache(t, Options{Disk: disk, Metadata: isMeta}), req, data)

	c := newCache(t, Options{Disk: disk, Metadata: isMeta})
	req.Source = &fakeSource{}
	req.Offset, req.Length = testPage-100, 200 // the end of a data page, the start of a metadata page
	if s := mustRead(t, c, req, data); s.Disk != 200 {
		t.Errorf("first read %+v", s)
	}
	if s := mustRead(t, c, req, data); s.Disk != 100 || s.Memory != 100 {
		t.Errorf("second read %+v", s)
	}
	if s := c.Stats(); s.MemoryPages != 1 {
		t.Errorf("stats %+v", s)
	}
}

// TestDiskFallback: whatever the disk answers, the read succeeds, the reason is counted, and the rest travels in one request.
func TestDiskFallback(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		only   int // the page that fails; -1: every one
		short  bool
		reason int
		faults int64
		calls  []span
	}{
		{"one page absent", ErrAbsent, 1, false, reasonAbsent, 1, []span{{testPage, testPage}}},
		{"one page corrupt", ErrCorrupt, 1, false, reasonCorrupt, 1, []span{{testPage, testPage}}},
		{"one page, then sick", ErrSick, 1, false, reasonSick, 1, []span{{testPage, 5 * testPage}}},
		{"every page corrupt", ErrCorrupt, -1, false, reasonCorrupt, 2, []span{{0, testPage}, {testPage, 5 * testPage}}},
		{"sick", ErrSick, -1, false, reasonSick, 1, []span{{0, 6 * testPage}}},
		{"an error nobody knows", errors.New("EIO"), -1, false, reasonSick, 1, []span{{0, 6 * testPage}}},
		{"too few bytes", nil, -1, true, reasonCorrupt, 2, []span{{0, testPage}, {testPage, 5 * testPage}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := newFakeDisk()
			c := newCache(t, Options{Disk: disk})
			obj, data := object("fallback", 6*testPage)
			src := &fakeSource{data: data}
			req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: obj.Size}
			c.Offer(obj, req.Layout, 0, data)
			geo := newGeometry(obj, req.Layout)
			bad, _ := geo.exact(int64(max(tt.only, 0))*testPage, testPage)
			disk.short = tt.short
			disk.fail = func(k Key) error {
				if tt.only < 0 || k == bad {
					return tt.err
				}
				return nil
			}
			mustRead(t, c, req, data)
			if got := src.asked(); !slices.Equal(got, tt.calls) {
				t.Errorf("fetched %v, want %v", got, tt.calls)
			}
			if got := c.count.fallbacks[tt.reason].Load(); got != tt.faults || c.Stats().DiskFallbacks != tt.faults {
				t.Errorf("%d fallbacks, %d of this reason, want %d", c.Stats().DiskFallbacks, got, tt.faults)
			}
			if disk.onLoan != 0 {
				t.Errorf("%d loans were not given back", disk.onLoan)
			}
		})
	}
}

// TestDiskLosesWhatItPromised: a page that was on disk when the window was planned, and then was not, is fetched.
func TestDiskLosesWhatItPromised(t *testing.T) {
	disk := newFakeDisk()
	c := newCache(t, Options{Disk: disk})
	obj, data := object("lost", 4*testPage)
	req := Request{Object: obj, Layout: grid{size: testPage}, Source: &fakeSource{data: data}, Length: obj.Size}
	c.Offer(obj, req.Layout, 0, data)
	r, err := c.Open(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	disk.mu.Lock()
	clear(disk.pages)
	disk.mu.Unlock()
	for off := int64(0); off < obj.Size; off += testPage {
		piece, err := r.Next()
		if err != nil || string(piece) != string(data[off:off+testPage]) {
			t.Fatalf("page at %d: %d bytes, %v", off, len(piece), err)
		}
	}
	if s := r.Stats(); s.Fills != 1 || s.Disk != testPage || s.Origin != 3*testPage {
		t.Errorf("stats %+v", s)
	}
}

// TestShedPageStaysInMemory: a full write queue costs the disk the page, nothing else.
func TestShedPageStaysInMemory(t *testing.T) {
	disk := newFakeDisk()
	disk.shed = func() bool { return true }
	c := newCache(t, Options{Disk: disk})
	obj, data := object("shed", 4*testPage)
	src := &fakeSource{data: data}
	req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: obj.Size}
	mustRead(t, c, req, data)
	if s := mustRead(t, c, req, data); s.Memory != obj.Size {
		t.Errorf("second read %+v", s)
	}
	if s := c.Stats(); s.ShedPages != 4 || s.MemoryPages != 4 || len(src.asked()) != 1 {
		t.Errorf("stats %+v, fetched %v", s, src.asked())
	}
}

// TestShedPagesAreOfferedAgain: what the disk refused, or took and lost, gets there once it can, and leaves memory.
func TestShedPagesAreOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newFakeDisk()
		full := true
		disk.shed, disk.lose = func() bool { return full }, 1
		c, err := New(Options{Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Run(t.Context()) }()
		obj, data := object("late", 4*testPage)
		c.Offer(obj, grid{size: testPage}, 0, data)
		<-time.After(10 * lateEvery)
		if s := c.Stats(); s.MemoryPages != 4 || s.ShedPages != 4 {
			t.Errorf("while the disk is full: %+v", s)
		}
		disk.mu.Lock()
		full = false
		disk.mu.Unlock()
		<-time.After(3 * lateEvery)
		if s := c.Stats(); s.MemoryPages != 0 || len(disk.pages) != 4 {
			t.Errorf("%d pages on disk, %+v", len(disk.pages), s)
		}
		writes := disk.writes
		<-time.After(10 * lateEvery)
		if disk.writes != writes {
			t.Errorf("%d writes after all was stored", disk.writes-writes)
		}
		c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestReaderEndsInDiskRead: a reader whose context ends while the disk reads is told so, and the disk is not blamed.
func TestReaderEndsInDiskRead(t *testing.T) {
	disk := newFakeDisk()
	c := newCache(t, Options{Disk: disk})
	obj, data := object("ends", testPage)
	req := Request{Object: obj, Layout: grid{size: testPage}, Source: &fakeSource{data: data}, Length: obj.Size}
	c.Offer(obj, req.Layout, 0, data)
	ctx, cancel := context.WithCancel(context.Background())
	disk.fail = func(Key) error { cancel(); return ErrSick }
	if _, _, err := readCtx(ctx, c, req); !errors.Is(err, context.Canceled) || c.Stats().DiskFallbacks != 0 {
		t.Errorf("%v, %+v", err, c.Stats())
	}
}
