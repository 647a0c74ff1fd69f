package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// readPlace reads a page as a client does: it opens the segment by name under the directory that it was told, and checks what it read. false: the
// sums do not hold.
func readPlace(d cache.Directory, k cache.Key, p cache.Place, off, n int) ([]byte, bool, error) {
	f, err := os.Open(filepath.Join(d.Path, segmentsDir, segfile.Name(p.Segment.Instance, p.Segment.Seq)))
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	return readPlaceFrom(f, k, p, off, n)
}

func readPlaceFrom(f *os.File, k cache.Key, p cache.Place, off, n int) ([]byte, bool, error) {
	plan := segfile.PlanRead(segfile.Location{Key: k, Off: p.Off, Length: p.Length, Class: p.Class}, off, n)
	b := make([]byte, plan.Header+plan.Data)
	if _, err := f.ReadAt(b[:plan.Header], p.Off); err != nil {
		return nil, false, err
	}
	if _, err := f.ReadAt(b[plan.Header:], plan.At); err != nil {
		return nil, false, err
	}
	seed := segfile.Header{Instance: p.Segment.Instance, Seq: p.Segment.Seq}.Seed()
	if !plan.Check(seed, b) {
		return nil, false, nil
	}
	return b[plan.Header+plan.Skip:][:n], true, nil
}

// TestPlaceIsWhereThePageLies: a page read from its place, by name, is the page, in active and sealed segments; once evicted its segment is in
// the log, and only then.
func TestPlaceIsWhereThePageLies(t *testing.T) {
	o := testOptions(vfs.OS)
	o.Dir = filepath.Join(t.TempDir(), "cache")
	h := openTier(t, o)
	dirs := h.Directories()
	if len(dirs) != 1 || len(dirs[0].ID) != 32 || dirs[0].Path != o.Dir {
		t.Fatalf("directories %+v", dirs)
	}
	_, moment, _ := h.Retired(0)
	first := map[uint64]cache.SegmentID{}
	for n := range uint64(700) {
		k, data := testPage(n)
		if _, ok := h.Place(k); ok {
			t.Fatal("a page that was not written has a place")
		}
		if !h.put(k, uint8(n%3), data) {
			t.Fatal("not stored")
		}
		p, ok := h.Place(k)
		if !ok || p.Length != len(data) || p.Class != uint8(n%3) {
			t.Fatalf("place %+v %v", p, ok)
		}
		first[n] = p.Segment
		for _, r := range [][2]int{{0, len(data)}, {len(data) / 2, 1}} {
			got, right, err := readPlace(dirs[0], k, p, r[0], r[1])
			if err != nil || !right || !bytes.Equal(got, data[r[0]:r[0]+r[1]]) {
				t.Fatalf("page %d from its place: %v %v", n, right, err)
			}
		}
	}
	gone, now, ok := h.Retired(moment)
	if !ok || len(gone) == 0 || now != moment+uint64(len(gone)) {
		t.Fatalf("%d retired, %d to %d, %v", len(gone), moment, now, ok)
	}
	retired := map[cache.SegmentID]bool{}
	for _, id := range gone {
		retired[id] = true
	}
	evicted := 0
	for n, id := range first {
		k, _ := testPage(n)
		p, here := h.Place(k)
		if !here {
			evicted++
		}
		if (!here || p.Segment != id) != retired[id] {
			t.Fatalf("page %d lay in %v, now in %v %v; retired: %v", n, id, p.Segment, here, retired[id])
		}
	}
	if evicted == 0 {
		t.Fatal("nothing was evicted")
	}
	if more, _, ok := h.Retired(now); len(more) != 0 || !ok {
		t.Fatalf("since now: %v %v", more, ok)
	}
}

// TestTouchKeepsAPage: what clients read themselves counts as read, once, and so survives a scan.
func TestTouchKeepsAPage(t *testing.T) {
	h := openTier(t, testOptions(vfs.NewMem()))
	k, data := sizedPage(0, 5_000)
	if _, ok := h.Touch(k); ok {
		t.Fatal("a page that is not there was touched")
	}
	h.put(k, 2, data)
	for n := uint64(100); n < 900; n++ {
		p, ok := h.Touch(k)
		if !ok || p.Length != len(data) || p.Class != 2 {
			t.Fatalf("after %d pages: %+v %v", n, p, ok)
		}
		if here, ok := h.Place(k); !ok || here != p {
			t.Fatalf("Touch says %+v, Place %+v", p, here)
		}
		if seg := h.segmentOf(k); seg.touched.Load() != segfile.RecordSize(len(data)) {
			t.Fatalf("%d bytes are counted as touched", seg.touched.Load())
		}
		k, data := sizedPage(n, 50_000)
		h.put(k, 0, data)
	}
	checkLive(t, h.Tier)
}

func (h *harness) segmentOf(k cache.Key) *segment {
	e, _ := h.index.peek(k)
	return h.table.get(e.slot)
}

// TestNoPlaces: no page has a place before Open, after Close, where holes cannot be punched, and while the device is set aside; and setting it
// aside makes clients forget.
func TestNoPlaces(t *testing.T) {
	k, data := testPage(4)
	none := func(t *testing.T, tier *Tier, want bool) {
		t.Helper()
		if _, ok := tier.Place(k); ok != want || (len(tier.Directories()) == 1) != want {
			t.Fatalf("places: %v, %v; want %v", ok, tier.Directories(), want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		h, ff, _, _ := faultyTier(t, func(o *Options) { o.FailAfter = 1 })
		h.put(k, 0, data)
		none(t, h.Tier, true)
		k2, data2 := testPage(5)
		h.put(k2, 0, data2)
		_, moment, _ := h.Retired(0)
		ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: syscall.EIO})
		if err := h.get(k2, data2); !errors.Is(err, cache.ErrSick) {
			t.Fatal(err)
		}
		none(t, h.Tier, false)
		if _, _, ok := h.Retired(moment); ok {
			t.Fatal("clients are not told to forget a device that was set aside")
		}
		ff.Clear()
		wait(firstBackoff)
		_ = h.get(k, data)
		synctest.Wait()
		none(t, h.Tier, true)
		h.stop()
		none(t, h.Tier, false)
		if _, ok := h.Touch(k); ok {
			t.Fatal("a closed tier was touched")
		}
	})
	for err, works := range map[error]bool{syscall.EOPNOTSUPP: false, syscall.ENOSPC: true} {
		ff := vfs.NewFaulty(vfs.NewMem())
		ff.Add(vfs.Rule{Op: vfs.OpPunch, Err: err, For: 1})
		h := openTier(t, testOptions(ff))
		none(t, h.Tier, false)
		h.put(k, 0, data) // makes a segment, and tries again where that may help
		none(t, h.Tier, works)
		need(t, h.get(k, data))
	}
}

// TestRetiredLog: the log remembers the last so many, and knows moments that are too old or another's.
func TestRetiredLog(t *testing.T) {
	l := newRetiredLog()
	_, start, ok := l.since(0)
	if _, again, _ := newRetiredLog().since(0); ok || again == start {
		t.Fatal("two logs start at the same moment, or 0 is one")
	}
	for n := range uint64(2*retiredMost + 5) {
		gone, now, ok := l.since(start + n)
		if !ok || len(gone) != 0 || now != start+n {
			t.Fatalf("%d: %v %d %v", n, gone, now, ok)
		}
		l.add(cache.SegmentID{Seq: n})
		if n%101 != 0 && n != retiredMost && n != retiredMost-1 {
			continue
		}
		for _, back := range []uint64{1, 2, retiredMost, retiredMost + 1} {
			gone, _, ok := l.since(start + n + 1 - back)
			if want := back <= n+1 && back <= retiredMost; ok != want {
				t.Fatalf("%d back from %d: %v, want %v", back, n, ok, want)
			} else if ok && (uint64(len(gone)) != back || gone[0].Seq != n+1-back || gone[back-1].Seq != n) {
				t.Fatalf("%d back from %d: %d ids", back, n, len(gone))
			}
		}
	}
	_, now, _ := l.since(0)
	if _, _, ok := l.since(now + 1); ok {
		t.Fatal("a moment in the future is one")
	}
	l.forget()
	if _, _, ok := l.since(now); ok {
		t.Fatal("forgotten, and yet it knows")
	}
}

// TestPlacesWhileEvicting: places asked for beside eviction are right or fail their check; the log is told before the next moment. With -race.
func TestPlacesWhileEvicting(t *testing.T) {
	o := testOptions(vfs.OS)
	o.Dir, o.Sync = filepath.Join(t.TempDir(), "cache"), SyncNever
	h := openTier(t, o)
	dir := h.Directories()[0]
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var read, late [4]int
	for g := range read {
		clients.Go(func() {
			for n := uint64(g); ; n += 3 {
				select {
				case <-stop:
					return
				default:
				}
				k, data := sizedPage(n%400, 50_000)
				p, ok := h.Place(k)
				if !ok {
					continue
				}
				got, right, err := readPlace(dir, k, p, 0, len(data))
				switch {
				case errors.Is(err, os.ErrNotExist) || err == nil && !right:
					late[g]++
				case err != nil || !bytes.Equal(got, data):
					t.Errorf("page %d: %v", n%400, err)
				default:
					read[g]++
					h.Touch(k)
				}
			}
		})
	}
	for n := range uint64(1200) {
		k, data := sizedPage(n%400, 50_000)
		h.put(k, uint8(n%3), data)
	}
	close(stop)
	clients.Wait()
	checkLive(t, h.Tier)
	if read[0] == 0 {
		t.Fatal("no page was read")
	}
	t.Logf("read %v, too late %v", read, late)
}
