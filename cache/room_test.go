package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
)

// TestSlowReadersStopNobody opens more slow readers than fill memory could hold windows of: fill memory keeps its limit, a reader that comes
// then is served, and each slow one gets its bytes in the end, without fetching the whole window again for each page.
func TestSlowReadersStopNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		c := newCache(t, Options{Memory: minMemory, FillSpan: size, FillMemory: 2 * size})
		var slow []*Reader
		var all [][]byte
		for i := range 8 {
			obj, data := object(string(rune('a'+i)), size)
			r, err := c.Open(context.Background(), Request{Object: obj, Layout: grid{size: testPage}, Source: &fakeSource{data: data}, Length: size})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			slow, all = append(slow, r), append(all, data)
			synctest.Wait() // its fill has ended; nobody takes the pages
			if used := c.Stats().FillMemoryBytes; used > 2*size {
				t.Fatalf("%d bytes of fill memory in use, the limit is %d", used, 2*size)
			}
		}
		if s := c.Stats(); s.ReclaimedPages == 0 || s.FillsInFlight != 0 {
			t.Errorf("stats %+v", s)
		}
		for i, r := range slow {
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, all[i]) {
				t.Errorf("slow reader %d: %v, %s", i, err, differ(got, all[i]))
			}
			if s := r.Stats(); s.Fetched > 3*size {
				t.Errorf("slow reader %d fetched %d bytes for %d", i, s.Fetched, size)
			}
		}
		if used := c.Stats().FillMemoryBytes; used != 0 {
			t.Errorf("%d bytes of fill memory stay in use", used)
		}
	})
}

// TestWindowsShrinkUnderPressure lets others take all fill memory and all memory between any two pieces that one slow reader takes: it shrinks
// its windows to what it can take, instead of fetching the rest of a window again for each page.
func TestWindowsShrinkUnderPressure(t *testing.T) {
	const size, page = MaxPage, 16 * kib
	c := newCache(t, Options{Memory: minMemory, FillSpan: size, FillMemory: size})
	obj, data := object("slow", size)
	layout := grid{size: page}
	r, err := c.Open(context.Background(), Request{Object: obj, Layout: layout, Source: &fakeSource{data: data}, Length: size})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for off := int64(0); off < size; off += page {
		piece, err := r.Next()
		if err != nil || !bytes.Equal(piece, data[off:off+page]) {
			t.Fatalf("page at %d: %d bytes, %v", off, len(piece), err)
		}
		hog, hogData := object(fmt.Sprintf("hog%d", off), size)
		mustRead(t, c, Request{Object: hog, Layout: layout, Source: &fakeSource{data: hogData}, Length: size}, hogData)
	}
	if s := r.Stats(); s.Fetched > 8*size {
		t.Errorf("fetched %d bytes for %d", s.Fetched, size)
	} else {
		t.Logf("fetched %.2f times what was asked, in %d requests", float64(s.Fetched)/size, s.Fills)
	}
}

// TestRoomIsFairAndLeavable: fills wait for room in their order; one whose readers left gives up its place.
func TestRoomIsFairAndLeavable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(10)
		ctx, cancel := context.WithCancel(context.Background())
		if err := table.acquire(ctx, 6); err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 3)
		wait := func(ctx context.Context, name string, n int64) {
			go func() {
				if err := table.acquire(ctx, n); err != nil {
					name += " left"
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
				got <- name
			}()
			synctest.Wait()
		}
		wait(ctx, "large", 8)
		wait(context.Background(), "small", 4) // would fit, but comes second
		if len(got) != 0 {
			t.Fatalf("%q did not wait", <-got)
		}
		cancel()
		synctest.Wait()
		if a, b := <-got, <-got; a+b != "large left"+"small" && a+b != "small"+"large left" {
			t.Errorf("%q, %q", a, b)
		}
		wait(context.Background(), "last", 5)
		table.mu.Lock()
		table.releaseLocked(6)
		table.mu.Unlock()
		if name := <-got; name != "last" {
			t.Errorf("%q", name)
		}
		if used, _, _ := table.usage(); used != 9 {
			t.Errorf("%d in use, want 9", used)
		}
	})
}

// TestWaitingReaderKeepsItsPage: a page for which a reader is blocked is not dropped for another fill's room.
func TestWaitingReaderKeepsItsPage(t *testing.T) {
	table := newTable(10)
	f := &fill{cancel: func() {}}
	wants := []want{{page: page{end: 10, key: Key{1}}}}
	if _, _, err := table.board(wants, f); err != nil {
		t.Fatal(err)
	}
	if err := table.acquire(context.Background(), 10); err != nil {
		t.Fatal(err)
	}
	table.hold(f, 10)
	fl := wants[0].flight
	table.mu.Lock()
	fl.waiting++
	table.mu.Unlock()
	table.land(fl, make([]byte, 10), false)
	table.mu.Lock()
	if table.fitsLocked(1) || fl.state != landed {
		t.Error("the page was dropped under its reader")
	}
	fl.waiting--
	table.settleLocked(fl) // it turns to something else without taking the page
	if !table.fitsLocked(1) || fl.state != gone {
		t.Error("the parked page was not dropped")
	}
	table.mu.Unlock()
	table.leave(fl)
	table.finish(f, nil)
	if used, reclaimed, _ := table.usage(); used != 0 || reclaimed != 1 {
		t.Errorf("%d in use, %d reclaimed", used, reclaimed)
	}
}
