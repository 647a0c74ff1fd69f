package disk

import (
	"bytes"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// faultyTier opens a tier in memory, whose faults and metrics the test holds.
func faultyTier(t *testing.T, change func(*Options)) (*harness, *vfs.Faulty, *vfs.Mem, *prometheus.Registry) {
	t.Helper()
	m := vfs.NewMem()
	ff := vfs.NewFaulty(m)
	r := prometheus.NewRegistry()
	o := testOptions(ff)
	o.Registerer = r
	if change != nil {
		change(&o)
	}
	return openTier(t, o), ff, m, r
}

// TestHungReadKeepsTheDeadline: a device that never answers costs each caller the deadline, then nothing; the pool bounds how many reads are
// stuck in it; when it comes back, a probe finds out.
func TestHungReadKeepsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, _, r := faultyTier(t, func(o *Options) { o.Readers, o.FailAfter = 3, 3 })
		k, data := testPage(4)
		h.put(k, 0, data)
		release := make(chan struct{})
		ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
		ff.Add(vfs.Rule{Op: vfs.OpRead, Hang: release})

		const callers = 8
		start := time.Now()
		errs := make(chan error, callers)
		for range callers {
			go func() { errs <- h.get(k, data) }()
		}
		synctest.Wait()
		if n := len(h.slow); n != 3 {
			t.Fatalf("%d reads are in the device, 3 may be", n)
		}
		for range callers {
			if err := <-errs; !errors.Is(err, cache.ErrSick) {
				t.Fatalf("a hung read answered %v", err)
			}
		}
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Fatalf("callers waited %v", took)
		}
		// Set aside: answers at once, and sheds.
		if err := h.get(k, data); !errors.Is(err, cache.ErrSick) || time.Since(start) != 500*time.Millisecond {
			t.Fatalf("a read of a device set aside: %v after %v", err, time.Since(start))
		}
		if k2, d2 := testPage(5); h.Write(k2, 0, d2, nil) {
			t.Fatal("a write to a device set aside was taken")
		}
		if counter(t, r, "alio_disk_set_aside", "") != 1 || counter(t, r, "alio_disk_reads_total", "sick") != callers+1 {
			t.Fatal("the metrics do not say so")
		}
		// A probe goes out, hangs as well, and nobody waits for it.
		wait(firstBackoff)
		if err := h.get(k, data); !errors.Is(err, cache.ErrSick) {
			t.Fatal(err)
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		need(t, h.get(k, data))
		if n := len(h.slow); n != 0 {
			t.Fatalf("%d tokens were lost", n)
		}
	})
}

// TestAbandonedBufferIsNotReused: when a hung read ends at last, it writes into a buffer that nobody else has got meanwhile.
func TestAbandonedBufferIsNotReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, _, _ := faultyTier(t, func(o *Options) { o.FailAfter = 1000 })
		k, data := sizedPage(1, 65536)
		h.put(k, 0, data)
		k2, data2 := sizedPage(2, 65536)
		h.put(k2, 0, data2)
		for range 50 {
			release := make(chan struct{})
			ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
			ff.Add(vfs.Rule{Op: vfs.OpRead, Hang: release})
			if err := h.get(k, data); !errors.Is(err, cache.ErrSick) {
				t.Fatal(err)
			}
			ff.Clear()
			var held []cache.Buf
			for range 4 {
				b, err := h.Read(t.Context(), k2, len(data2), 0, len(data2))
				need(t, err)
				held = append(held, b)
			}
			close(release)
			synctest.Wait()
			for _, b := range held {
				if !bytes.Equal(b.B, data2) {
					t.Fatal("a hung read wrote into bytes on loan")
				}
				b.Free()
			}
		}
	})
}

// TestFailingProbeBacksOff counts the probes that a broken device gets in ten minutes.
func TestFailingProbeBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, _, _ := faultyTier(t, func(o *Options) { o.FailAfter = 1 })
		k, data := testPage(4)
		h.put(k, 0, data)
		k2, data2 := testPage(11)
		h.put(k2, 0, data2)
		ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
		ff.Add(vfs.Rule{Op: vfs.OpRead, Err: syscall.EIO})
		if err := h.get(k2, data2); !errors.Is(err, cache.ErrSick) || h.Contains(k2) {
			t.Fatalf("%v; the unreadable page must be gone", err)
		}
		probes, last := 0, time.Duration(0)
		for range 600 {
			before := h.health.until.Load()
			if err := h.get(k, data); !errors.Is(err, cache.ErrSick) {
				t.Fatal(err)
			}
			synctest.Wait()
			if until := h.health.until.Load(); until != before {
				probes, last = probes+1, time.Duration(h.health.backoff.Load())
			}
			wait(time.Second)
		}
		if probes < 10 || probes > 20 || last != lastBackoff {
			t.Fatalf("%d probes in ten minutes, the last back-off %v", probes, last)
		}
		ff.Clear()
		wait(lastBackoff)
		_ = h.get(k, data)
		synctest.Wait()
		need(t, h.get(k, data))
	})
}

// TestCallerThatLeaves: a context that ends ends the wait, and is no failure of the device.
func TestCallerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, m, _ := faultyTier(t, nil)
		k, data := testPage(4)
		h.put(k, 0, data)
		release := make(chan struct{})
		ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
		ff.Add(vfs.Rule{Op: vfs.OpRead, Hang: release})
		for range 10 {
			ctx, cancel := contextWithTimeout(10 * time.Millisecond)
			start := time.Now()
			if _, err := h.Read(ctx, k, len(data), 0, 1); !errors.Is(err, ctx.Err()) || time.Since(start) != 10*time.Millisecond {
				t.Fatalf("%v after %v", err, time.Since(start))
			}
			cancel()
		}
		if h.health.aside() {
			t.Fatal("callers that left set the device aside")
		}
		close(release)
		synctest.Wait()
		need(t, h.get(k, data))
		h.stop()
		if n := m.OpenHandles(); n != 0 {
			t.Fatalf("%d files are open after Close", n)
		}
	})
}

// TestFullQueueSheds: with a device that takes no writes, Write answers at once, and what is queued is bounded.
func TestFullQueueSheds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, _, r := faultyTier(t, func(o *Options) { o.WriteQueue = 1 << 20 })
		release := make(chan struct{})
		remove := ff.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.seg", Hang: release})
		start := time.Now()
		taken, done := 0, make(chan bool, 1000)
		for n := range uint64(1000) {
			k, data := sizedPage(n, 4096)
			if h.Write(k, 0, data, func(ok bool) { done <- ok }) {
				taken++
			}
		}
		if limit := (1 << 20) / (4096 + itemCost); taken != limit || time.Since(start) != 0 || h.Stats().QueueBytes > 1<<20 {
			t.Fatalf("%d of 1000 pages were taken, want %d; it took %v", taken, limit, time.Since(start))
		}
		if shed := counter(t, r, "alio_disk_writes_total", "shed"); int(shed) != 1000-taken {
			t.Fatalf("%v counted as shed", shed)
		}
		remove()
		close(release)
		for range taken {
			if !<-done {
				t.Fatal("a queued page was not stored")
			}
		}
		synctest.Wait()
		if q := h.Stats().QueueBytes; q != 0 {
			t.Fatalf("%d bytes are still queued", q)
		}
	})
}

// TestFullDisk: the page is dropped and counted, reads go on, writing pauses, and works again when there is room.
func TestFullDisk(t *testing.T) {
	for name, rule := range map[string]vfs.Rule{
		"write ENOSPC":       {Op: vfs.OpWrite, Glob: "*.seg", Err: syscall.ENOSPC, Short: 100},
		"write EIO":          {Op: vfs.OpWrite, Glob: "*.seg", Err: syscall.EIO},
		"create ENOSPC":      {Op: vfs.OpCreate, Glob: "*.seg", Err: syscall.ENOSPC},
		"preallocate ENOSPC": {Op: vfs.OpPreallocate, Glob: "*.seg", Err: syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, ff, m, r := faultyTier(t, nil)
				k, data := testPage(6)
				if !h.put(k, 0, data) {
					t.Fatal("not stored")
				}
				ff.Add(rule)
				failed := 0
				for n := uint64(100); n < 130; n++ {
					k, data := sizedPage(n, 100_000)
					if !h.put(k, 0, data) {
						failed++
					} else {
						need(t, h.get(k, data))
					}
				}
				if f, s := counter(t, r, "alio_disk_writes_total", "failed"), counter(t, r, "alio_disk_writes_total", "shed"); failed < 20 || f < 1 || int(f+s) != failed {
					t.Fatalf("%d writes failed; %v failed and %v shed are counted", failed, f, s)
				}
				need(t, h.get(k, data))
				ff.Clear()
				wait(firstPause)
				for n := uint64(200); n < 210; n++ {
					k, data := sizedPage(n, 100_000)
					if !h.put(k, 0, data) {
						t.Fatal("not stored after the pause")
					}
					need(t, h.get(k, data))
				}
				h.stop()
				if n := m.OpenHandles(); n != 0 {
					t.Fatalf("%d files are open", n)
				}
				h = openTier(t, h.o) // what was stored before the failure survives a restart, the abandoned segment scanned
				need(t, h.get(k, data))
			})
		})
	}
}

// TestPauseGrows: a device that stays full is tried ever less often.
func TestPauseGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, _, r := faultyTier(t, nil)
		ff.Add(vfs.Rule{Op: vfs.OpCreate, Err: syscall.ENOSPC})
		for n := range uint64(6000) {
			k, data := sizedPage(n, 100)
			if h.put(k, 0, data) {
				t.Fatal("stored")
			}
			wait(100 * time.Millisecond)
		}
		if f := counter(t, r, "alio_disk_writes_total", "failed"); f < 10 || f > 25 {
			t.Fatalf("%v attempts in ten minutes", f)
		}
	})
}

// TestHungWriteDoesNotBlockClose: Close gives up with an error that names the directory, and leaves it locked.
func TestHungWriteDoesNotBlockClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := vfs.NewMem()
		ff := vfs.NewFaulty(m)
		tier, err := New(testOptions(ff))
		need(t, err)
		need(t, tier.Open(t.Context()))
		ran := make(chan error, 1)
		go func() { ran <- tier.Run(t.Context()) }()
		release := make(chan struct{})
		ff.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.seg", Hang: release})
		k, data := testPage(4)
		tier.Write(k, 0, data, nil)
		synctest.Wait()
		start := time.Now()
		err = tier.Close()
		if err == nil || time.Since(start) != closeWait || tier.Close() != err {
			t.Fatalf("Close answered %v after %v", err, time.Since(start))
		}
		if err := <-ran; err == nil {
			t.Fatal("Run says that all is well")
		}
		if _, err := m.Lock(filepath.Join("/cache", lockFile)); err == nil {
			t.Fatal("the directory was unlocked under a writer")
		}
		close(release)
		synctest.Wait()
	})
}

// TestRemoveFails: a segment that cannot be removed stays counted, and the limit holds.
func TestRemoveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, m, _ := faultyTier(t, nil)
		ff.Add(vfs.Rule{Op: vfs.OpRemove, Glob: "*.seg*", Err: syscall.EROFS})
		renamed := ff.Add(vfs.Rule{Op: vfs.OpRename, Glob: "*.seg", Err: syscall.EROFS})
		for n := range uint64(400) {
			k, data := sizedPage(n, 60_000)
			if h.put(k, 0, data) {
				need(t, h.get(k, data))
			}
			if got := m.Allocated(); got > h.o.Size {
				t.Fatalf("%d bytes allocated", got)
			}
		}
		if n := h.Stats().Pages; n < 150 {
			t.Fatalf("%d pages are left although no segment could be removed", n)
		}
		renamed() // now they lose their names and their room, and only the last step fails
		wait(2 * removeRetry)
		for n := uint64(2000); n < 2400; n++ {
			k, data := sizedPage(n, 60_000)
			if !h.put(k, 0, data) {
				t.Fatalf("not stored: %+v", h.Stats())
			}
		}
		ff.Clear()
		wait(2 * removeRetry)
		synctest.Wait()
		if infos, err := m.ReadDir("/cache/" + segmentsDir); err != nil || len(infos) > h.o.mostSegments() {
			t.Fatalf("%d files, %v", len(infos), err)
		}
		k, data := sizedPage(1000, 60_000)
		if !h.put(k, 0, data) {
			t.Fatalf("not stored once segments can be removed again: %+v", h.Stats())
		}
	})
}
