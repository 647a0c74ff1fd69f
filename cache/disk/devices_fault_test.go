package disk

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// sickFleet is three devices with 90 pages on them; the second is about to fall ill.
func sickFleet(t *testing.T, change func(*DevicesOptions)) (*fleet, []uint64) {
	t.Helper()
	f := newFleet(t, 3, change).start()
	f.fill(0, 90)
	var its []uint64
	for n := range uint64(90) {
		if k, _ := sizedPage(n, 9_000); f.on(k)[0] == 1 {
			its = append(its, n)
		}
	}
	if len(its) < 10 || len(its) > 60 {
		t.Fatalf("the second device has %d of 90 pages", len(its))
	}
	return f, its
}

// hang is for a Rule, and ends with the test at the latest.
func hang(t *testing.T) (release chan struct{}, letGo func()) {
	release = make(chan struct{})
	letGo = sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo)
	return release, letGo
}

// others checks that the pages of the other devices are served, at once, and that the second's share is stored by them.
func (f *fleet) others(its []uint64, first uint64) {
	f.t.Helper()
	start := time.Now()
	skip := map[uint64]bool{}
	for _, n := range its {
		skip[n] = true
	}
	for n := range uint64(90) {
		if k, data := sizedPage(n, 9_000); !skip[n] {
			need(f.t, f.get(k, data))
		}
	}
	if counts := f.fill(first, first+60); counts[0] == 0 || counts[1] != 0 || counts[2] == 0 {
		f.t.Fatalf("pages on devices: %v", counts)
	}
	if took := time.Since(start); took != 0 {
		f.t.Fatalf("it took %v", took)
	}
}

// well waits until the second device takes pages again, and checks that what it held is there.
func (f *fleet) well(its []uint64, first uint64) {
	f.t.Helper()
	wait(2 * time.Minute)
	synctest.Wait()
	for _, n := range its {
		k, data := sizedPage(n, 9_000)
		need(f.t, f.get(k, data))
	}
	if counts := f.fill(first, first+60); counts[1] == 0 {
		f.t.Fatalf("pages on devices: %v", counts)
	}
	if f.metric("alio_disk_set_aside", 1, "") != 0 || f.metric("alio_disk_writes_paused", 1, "") != 0 {
		f.t.Fatal("the metrics do not say so")
	}
}

// gone checks that the second device's pages are said to be absent, at once, and that no place is given.
func (f *fleet) gone(its []uint64) {
	f.t.Helper()
	start := time.Now()
	for _, n := range its {
		k, data := sizedPage(n, 9_000)
		if err := f.get(k, data); !errors.Is(err, cache.ErrSick) && !errors.Is(err, cache.ErrAbsent) {
			f.t.Fatalf("a page of a device that is away: %v", err)
		}
		if _, ok := f.Place(k); ok || f.Contains(k) {
			f.t.Fatal("a page of a device that is away is said to be there")
		}
	}
	for _, d := range f.Directories() {
		if d.Number == 1 {
			f.t.Fatal("clients are told to read the device")
		}
	}
	if took := time.Since(start); took != 0 {
		f.t.Fatalf("it took %v", took)
	}
	if f.metric("alio_disk_set_aside", 1, "") != 1 || f.metric("alio_disk_set_aside", 0, "") != 0 {
		f.t.Fatal("the metrics do not say so")
	}
}

// TestDeviceFailsReads: a device whose reads fail is set aside after FailAfter of them; the others serve and take its share; it comes back.
func TestDeviceFailsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, nil)
		_, moment, _ := f.Retired(0)
		f.faults[1].Add(vfs.Rule{Op: vfs.OpReadNow, Err: syscall.EIO})
		f.faults[1].Add(vfs.Rule{Op: vfs.OpRead, Err: syscall.EIO})
		f.faults[1].Add(vfs.Rule{Op: vfs.OpSync, Err: syscall.EIO})
		for _, n := range its[:4] { // these are dropped: the device cannot read them
			k, data := sizedPage(n, 9_000)
			if err := f.get(k, data); !errors.Is(err, cache.ErrSick) {
				t.Fatal(err)
			}
		}
		f.gone(its)
		if _, _, ok := f.Retired(moment); ok {
			t.Fatal("clients are not told to forget")
		}
		f.others(its, 1000)
		f.faults[1].Clear()
		f.well(its[4:], 2000)
	})
}

// TestDeviceHangsReads: reads that hang cost at most the deadline, and no more than Readers goroutines; then the device is set aside. Its
// probe hangs too, and nothing else does; when it answers, it is used again.
func TestDeviceHangsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, func(o *DevicesOptions) { o.Each.Readers = 3 })
		before := runtime.NumGoroutine()
		release, letGo := hang(t)
		f.faults[1].Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
		f.faults[1].Add(vfs.Rule{Op: vfs.OpRead, Hang: release})
		start := time.Now()
		errs := make(chan error)
		for _, n := range its {
			go func() {
				k, data := sizedPage(n, 9_000)
				errs <- f.get(k, data)
			}()
		}
		for range its {
			if err := <-errs; !errors.Is(err, cache.ErrSick) {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != f.o.Each.withDefaults().ReadDeadline {
			t.Fatalf("it took %v", took)
		}
		synctest.Wait()
		f.gone(its)       // although fewer hang than FailAfter: the others found no reader free, and none came back
		wait(time.Minute) // the probe hangs
		synctest.Wait()
		f.gone(its)
		if n := runtime.NumGoroutine() - before; n > 3+1 {
			t.Fatalf("%d goroutines more than before", n)
		}
		f.others(its, 1000)
		f.faults[1].Clear()
		letGo()
		f.well(its, 2000)
	})
}

// TestDeviceHangsWrites: while a writer hangs, its queue is bounded; after WriteDeadline its share goes to the others; reads go on.
func TestDeviceHangsWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, nil)
		release, letGo := hang(t)
		f.faults[1].Add(vfs.Rule{Op: vfs.OpWrite, Hang: release})
		late := make(chan bool, 10)
		n, waiting := uint64(500), 0
		for ; waiting == 0; n++ {
			k, data := sizedPage(n, 9_000)
			if f.routes.of(&k)[0] == 1 {
				waiting++
				f.Write(k, 0, data, func(ok bool) { late <- ok })
			}
		}
		wait(f.o.Each.withDefaults().WriteDeadline + time.Second)
		f.others(its, 1000)
		for _, n := range its {
			k, data := sizedPage(n, 9_000)
			need(t, f.get(k, data))
		}
		if f.metric("alio_disk_writes_paused", 1, "") != 1 || f.metric("alio_disk_set_aside", 1, "") != 0 {
			t.Fatal("the metrics do not say so")
		}
		f.faults[1].Clear()
		letGo()
		if !<-late {
			t.Fatal("the page that waited was not stored")
		}
		f.well(its, 2000)
	})
}

// TestHungDeviceDoesNotHoldClose: Close and Run return in bounded time, and the other devices are closed as ever.
func TestHungDeviceDoesNotHoldClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := sickFleet(t, nil)
		release, letGo := hang(t)
		f.faults[1].Add(vfs.Rule{Hang: release})
		f.fillHome(1, 500)
		synctest.Wait()
		start := time.Now()
		err := f.Close()
		if took := time.Since(start); err == nil || took > closeWait || !strings.Contains(err.Error(), "/disk1") || strings.Contains(err.Error(), "/disk0") {
			t.Fatalf("Close answered %v after %v", err, took)
		}
		if err := <-f.ran; err == nil || time.Since(start) > 2*closeWait {
			t.Fatalf("Run answered %v after %v", err, time.Since(start))
		}
		for i, want := range []int{0, -1, 0} {
			if n := f.mems[i].OpenHandles(); want >= 0 && n != want {
				t.Errorf("%d files of device %d are open", n, i)
			}
		}
		letGo()
		synctest.Wait()
		if n := f.mems[1].OpenHandles(); n != 0 {
			t.Errorf("%d files are open once the device has answered", n)
		}
		f.cancel()
		f.ran = nil
	})
}

// fillHome offers a page whose home is the device.
func (f *fleet) fillHome(device uint8, n uint64) {
	for ; ; n++ {
		if k, data := sizedPage(n, 9_000); f.routes.of(&k)[0] == device {
			f.Write(k, 0, data, nil)
			return
		}
	}
}

// TestDeviceFull: somebody else fills the device. It is read as before, its share goes to the others, and it takes pages again when there is room.
func TestDeviceFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, nil)
		f.mems[1].SetRoom(1)
		for n := uint64(500); f.devices[1].writable(f.devices[1].tier.Load()); n++ {
			k, data := sizedPage(n, 9_000)
			f.put(k, data)
		}
		f.others(its, 1000)
		for _, n := range its {
			k, data := sizedPage(n, 9_000)
			need(t, f.get(k, data))
		}
		if f.metric("alio_disk_writes_paused", 1, "") != 1 || f.metric("alio_disk_set_aside", 1, "") != 0 {
			t.Fatal("the metrics do not say so")
		}
		f.mems[1].SetRoom(0)
		f.well(its, 2000)
	})
}

// TestDeviceUnmounted: nothing is written to what lies below, also not in hours; the pages are back when the file system is; and where another, new
// one is mounted instead, that is used.
func TestDeviceUnmounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, nil)
		before := f.base.Allocated()
		for round := range uint64(3) {
			f.top.Unmount("/disk1")
			wait(2 * time.Second)
			f.gone(its)
			f.others(its, 1000+1000*round)
			wait(2 * time.Hour)
			if n := f.mems[1].OpenHandles(); n != 0 || f.base.Allocated() != before {
				t.Fatalf("%d files are open, %d bytes were written below", n, f.base.Allocated()-before)
			}
			if round == 2 {
				break
			}
			f.top.Mount("/disk1", f.faults[1])
			f.well(its, 1500+1000*round)
		}
		fresh := vfs.NewMem()
		need(t, fresh.MkdirAll("/disk1/"+lostFound, 0o700))
		f.top.Mount("/disk1", fresh)
		f.well(nil, 9000)
	})
}

// TestMountedAnew: the file system failed and was mounted again under the same path and number. What is open leads to the failed one; the path works.
// The directory is opened again.
func TestMountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, nil)
		f.faults[1].Add(vfs.Rule{Err: syscall.EIO})
		for range its {
			k, data := sizedPage(its[len(its)-1], 9_000)
			_ = f.get(k, data)
			k, data = sizedPage(its[len(its)-2], 9_000)
			_ = f.get(k, data)
			k, data = sizedPage(its[len(its)-3], 9_000)
			_ = f.get(k, data)
			k, data = sizedPage(its[len(its)-4], 9_000)
			_ = f.get(k, data)
		}
		f.gone(its)
		wait(time.Hour)
		f.gone(its)
		f.top.Mount("/disk1", f.mems[1])
		f.well(its, 2000)
	})
}

// TestDeviceSickAtStart: it is no error, and it is used when it is well. So with one that hangs.
func TestDeviceSickAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, nil)
		f.faults[1].Add(vfs.Rule{Err: syscall.EIO})
		start := time.Now()
		f.start()
		if time.Since(start) != 0 {
			t.Fatalf("Open took %v", time.Since(start))
		}
		f.others(nil1(f), 1000)
		f.faults[1].Clear()
		f.well(nil, 2000)
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, nil)
		release, letGo := hang(t)
		f.faults[1].Add(vfs.Rule{Hang: release})
		start := time.Now()
		f.start()
		if took := time.Since(start); took != f.o.withDefaults().OpenWait {
			t.Fatalf("Open took %v", took)
		}
		f.others(nil1(f), 1000)
		f.faults[1].Clear()
		letGo()
		f.well(nil, 2000)
	})
}

// nil1 is every page: none has been stored.
func nil1(*fleet) (all []uint64) {
	for n := range uint64(90) {
		all = append(all, n)
	}
	return all
}

// TestCheckHangs: a device that hangs when its path is looked at is set aside, although nobody reads.
func TestCheckHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, its := sickFleet(t, nil)
		_, moment, _ := f.Retired(0)
		release, letGo := hang(t)
		f.faults[1].Add(vfs.Rule{Op: vfs.OpStat, Hang: release})
		wait(f.o.withDefaults().CheckDeadline + 3*time.Second)
		f.gone(its)
		if _, _, ok := f.Retired(moment); ok {
			t.Fatal("clients are not told to forget")
		}
		f.faults[1].Clear()
		letGo()
		f.well(its, 2000)
	})
}

// TestCreateOnOtherDevice: a segment that would be made on what lies below an unmounted file system is not, even before that is noticed.
func TestCreateOnOtherDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, func(o *DevicesOptions) { o.CheckEvery = time.Hour }).start()
		need(t, f.base.MkdirAll("/disk0/"+segmentsDir, 0o750))
		f.top.Unmount("/disk0")
		k, data := sizedPage(1, 9_000)
		if f.put(k, data) {
			t.Fatal("stored on another device")
		}
		infos, err := f.base.ReadDir(filepath.Join("/disk0", segmentsDir))
		need(t, err)
		if len(infos) != 0 {
			t.Fatalf("%v", infos)
		}
	})
}
