package disk

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// TestHardLimitOnDisk measures what the directory really takes, while random pages are written and read, and over restarts, some with
// another size.
func TestHardLimitOnDisk(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 6))
	o := testOptions(vfs.OS)
	o.Dir = filepath.Join(t.TempDir(), "cache")
	o.Sync = SyncNever // the limit does not depend on it, and the test's device is shared
	for _, size := range []int64{14 << 20, 14 << 20, 6 << 20, 20 << 20} {
		o.Size = size
		h := openTier(t, o)
		most := int64(0)
		for i := range 500 {
			k, data := sizedPage(rng.Uint64N(200), []int{1, 500, 4096, 9000, 30_000, 60_000, 65_537, 120_000}[rng.IntN(8)])
			if !h.put(k, uint8(rng.IntN(3)), data) {
				t.Fatalf("not stored: %+v", h.Stats())
			}
			need(t, h.get(k, data))
			if i%10 == 0 {
				most = max(most, diskUsage(t, o.Dir))
			}
		}
		h.stop()
		if most = max(most, diskUsage(t, o.Dir)); most > size || most < size*6/10 {
			t.Fatalf("at most %d bytes were taken, the limit is %d", most, size)
		}
		t.Logf("at most %d of %d bytes", most, size)
	}
}

func diskUsage(t *testing.T, dir string) int64 {
	var sum int64
	need(t, filepath.Walk(dir, func(path string, info fs.FileInfo, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // just evicted
		}
		need(t, err)
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	}))
	return sum
}

// TestReadersWhileEvicting: readers on many goroutines, a writer that evicts all the time, somebody who measures. Run it with -race.
func TestReadersWhileEvicting(t *testing.T) {
	s := seed(t)
	m := vfs.NewMem()
	ff := vfs.NewFaulty(m)
	h := openTier(t, testOptions(ff))
	var hits, others atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for g := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(g)))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k, data := sizedPage(rng.Uint64N(500), 50_000)
				off := rng.IntN(len(data))
				switch err := h.getPart(k, data, off, min(len(data)-off, 1+rng.IntN(9000))); {
				case err == nil:
					hits.Add(1)
				case errors.Is(err, cache.ErrAbsent):
					others.Add(1)
				default:
					t.Errorf("%v", err)
				}
				if i%50 == 0 {
					if got := m.Allocated(); got > h.o.Size {
						t.Errorf("%d bytes allocated", got)
					}
					h.Stats()
				}
			}
		})
	}
	defer ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock, From: 500, For: 200})() // some of them the slow way
	rng := rand.New(rand.NewPCG(s, 99))
	for range 500 {
		k, data := sizedPage(rng.Uint64N(500), 50_000)
		h.put(k, uint8(rng.IntN(3)), data)
	}
	close(stop)
	readers.Wait()
	if hits.Load() == 0 || others.Load() == 0 || h.Stats().Segments["unlinked"] > 3 {
		t.Fatalf("%d hits, %d absent; %+v", hits.Load(), others.Load(), h.Stats())
	}
	checkLive(t, h.Tier)
}

// checkLive compares the segments' counts with the index.
func checkLive(t *testing.T, tier *Tier) {
	t.Helper()
	live := map[uint16]int64{}
	tier.index.each(func(e entry) { live[e.slot] += segfile.RecordSize(e.length()) })
	for _, s := range tier.segments {
		if got := s.live.Load(); got != live[s.slot] || s.touched.Load() < 0 || s.touched.Load() > got {
			t.Errorf("segment %d: %d live bytes counted, %d in the index, %d touched", s.header.Seq, got, live[s.slot], s.touched.Load())
		}
	}
}

// TestHeldSegmentStaysCounted: a reader that hangs in a segment keeps it on the device after it was evicted. Its bytes count until the reader
// lets go, the limit holds, and writing goes on beside it.
func TestHeldSegmentStaysCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, m, _ := faultyTier(t, nil)
		k, data := sizedPage(0, 50_000)
		h.put(k, 0, data)
		e, _ := h.index.peek(k)
		held := h.table.get(e.slot)
		release := make(chan struct{})
		first := filepath.Base(segmentFiles(t, m, "/cache")[0])
		ff.Add(vfs.Rule{Op: vfs.OpReadNow, Glob: first, Err: vfs.ErrWouldBlock})
		ff.Add(vfs.Rule{Op: vfs.OpRead, Glob: first, Hang: release, For: 1})
		if err := h.get(k, data); !errors.Is(err, cache.ErrSick) {
			t.Fatal(err)
		}
		unlinked := func() int { return h.Stats().Segments["unlinked"] }
		for n := uint64(1); unlinked() == 0; n++ {
			if n > 2000 {
				t.Fatal("the segment is never evicted")
			}
			k, data := sizedPage(n, 50_000)
			if !h.put(k, 0, data) {
				t.Fatal("not stored")
			}
		}
		if unlinked() != 1 || h.dying.Load() == 0 {
			t.Fatalf("%+v", h.Stats())
		}
		for n := uint64(6000); n < 6400; n++ {
			k, data := sizedPage(n, 50_000)
			if !h.put(k, 0, data) {
				t.Fatal("not stored while a reader holds a segment")
			}
			if got := m.Allocated(); got > h.o.Size {
				t.Fatalf("%d bytes allocated", got)
			}
		}
		if h.table.get(e.slot) != held {
			t.Error("the slot of a segment that is still held was given away")
		}
		before := h.used.Load()
		close(release)
		wait(h.o.Grace)
		synctest.Wait()
		if unlinked() != 0 || h.dying.Load() != 0 || h.used.Load() >= before {
			t.Fatalf("after the reader let go: %+v, %d before", h.Stats(), before)
		}
	})
}

// TestScanLeavesWhatIsRead: pages that are read again survive a scan of many times the tier's size; so do a few pages of protected classes,
// although nobody reads them; the scan's own pages do not.
func TestScanLeavesWhatIsRead(t *testing.T) {
	for name, size := range map[string]int64{"three streams": 14 << 20, "one stream": 5 << 20} {
		t.Run(name, func(t *testing.T) {
			r := prometheus.NewRegistry()
			o := testOptions(vfs.NewMem())
			o.Size, o.Registerer = size, r
			h := openTier(t, o)
			const warm = 20
			for n := range uint64(warm) {
				k, data := sizedPage(n, 5_000)
				h.put(k, uint8(n%2), data) // class 1 is protected
			}
			for n := uint64(100); n < 100+uint64(3*size/50_000); n++ {
				k, data := sizedPage(n, 50_000)
				if !h.put(k, 0, data) {
					t.Fatal("not stored")
				}
				for n := uint64(0); n < warm; n += 2 { // class 0: read again and again
					k, data := sizedPage(n, 5_000)
					_ = h.get(k, data)
				}
			}
			read, protected := 0, 0
			for n := range uint64(warm) {
				if k, _ := sizedPage(n, 5_000); h.Contains(k) {
					if n%2 == 0 {
						read++
					} else {
						protected++
					}
				}
			}
			if read != warm/2 || protected != warm/2 {
				t.Errorf("%d of %d pages that are read, %d of %d protected ones are left", read, warm/2, protected, warm/2)
			}
			if k, _ := sizedPage(100, 50_000); h.Contains(k) {
				t.Error("the scan's first page is still there")
			}
			carried, evicted := counter(t, r, "alio_disk_carried_bytes_total", ""), counter(t, r, "alio_disk_evicted_bytes_total", "")
			if carried == 0 || evicted == 0 || carried > evicted/3 {
				t.Errorf("%v bytes carried, %v evicted", carried, evicted)
			}
			checkLive(t, h.Tier)
		})
	}
}

// TestAllReadIsStillEvicted: when every page is read again, the budget keeps eviction going.
func TestAllReadIsStillEvicted(t *testing.T) {
	h := openTier(t, testOptions(vfs.NewMem()))
	for n := range uint64(1200) {
		k, data := sizedPage(n, 50_000)
		if !h.put(k, uint8(n%2), data) {
			t.Fatal("not stored")
		}
		need(t, h.get(k, data))
	}
	if s := h.Stats(); s.LiveBytes < s.Size/2 {
		t.Fatalf("little of the room is used: %+v", s)
	}
}

// TestOtherFilesCount: what somebody else puts into the directory is left alone, and counts.
func TestOtherFilesCount(t *testing.T) {
	m := vfs.NewMem()
	o := testOptions(m)
	openTier(t, o).stop()
	writeFile(t, m, "/cache/notes.txt", 0, make([]byte, 3<<20))
	writeFile(t, m, "/cache/segments/x.seg", 0, make([]byte, 3<<20))
	h := openTier(t, o)
	for n := range uint64(400) {
		k, data := sizedPage(n, 50_000)
		h.put(k, 0, data)
		if got := m.Allocated(); got > o.Size {
			t.Fatalf("%d bytes allocated", got)
		}
	}
	for _, name := range []string{"/cache/notes.txt", "/cache/segments/x.seg"} {
		if _, err := m.Stat(name); err != nil {
			t.Error(err)
		}
	}
	h.stop()
	writeFile(t, m, "/cache/notes.txt", 0, make([]byte, 12<<20))
	h = openTier(t, o) // no room for anything: it opens, and stores nothing
	if k, data := sizedPage(1, 50_000); h.put(k, 0, data) {
		t.Error("stored beyond the limit")
	}
}

// TestHitsDoNotAllocate counts what a hit costs the garbage collector, and checks that it is one call to the device.
func TestHitsDoNotAllocate(t *testing.T) {
	o := testOptions(vfs.OS)
	o.Dir = filepath.Join(t.TempDir(), "cache")
	h := openTier(t, o)
	k, data := sizedPage(1, 64<<10)
	h.put(k, 0, data)
	ctx := context.Background()
	n := testing.AllocsPerRun(2000, func() { // so many since the race detector empties pools on purpose
		b, err := h.Read(ctx, k, len(data), 0, len(data))
		if err != nil {
			t.Fatal(err)
		}
		b.Free()
	})
	if n > 0.5 { // a collection may empty the pool of buffers
		t.Errorf("%v allocations a hit", n)
	}
	ff := vfs.NewFaulty(vfs.NewMem())
	h = openTier(t, testOptions(ff))
	h.put(k, 0, data)
	ff.Add(vfs.Rule{Op: vfs.OpReadNow, From: 2, Err: syscall.EIO})
	need(t, h.get(k, data))
}

// TestManyRestarts: each restart leaves a small segment; they do not grow in number beyond the bound, and their pages stay.
func TestManyRestarts(t *testing.T) {
	m := vfs.NewMem()
	o := testOptions(m)
	most := o.mostSegments()
	for n := range uint64(3 * most) {
		h := openTier(t, o)
		k, data := sizedPage(n, 100)
		if !h.put(k, 0, data) {
			t.Fatal("not stored")
		}
		need(t, h.get(k, data))
		if c := len(segmentFiles(t, m, "/cache")); c > most {
			t.Fatalf("%d segments, %d are the most", c, most)
		}
		h.stop()
	}
}
