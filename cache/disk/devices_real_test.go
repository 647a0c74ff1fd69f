package disk

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick, end := time.NewTicker(5*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}

// TestRealDevices: two directories of the operating system. One is filled from outside, and then unmounted, with segments open, and mounted again.
// Where a test may not mount, the directory is emptied instead, which is no unmounting: it is made anew.
func TestRealDevices(t *testing.T) {
	onDevice(t, "40m", func(t *testing.T, top string, own bool) {
		f := newFleet(t, 2, func(o *DevicesOptions) {
			o.Each.FS, o.Each.Sync, o.CheckEvery = nil, SyncNever, 10*time.Millisecond // nil: the default
			for i := range o.Dirs {
				o.Dirs[i].Path = filepath.Join(top, []string{"a", "b"}[i])
				need(t, os.MkdirAll(o.Dirs[i].Path, 0o750))
			}
		})
		var away, back func()
		if own {
			away, back = unmounting(t, f.o.Dirs[1].Path)
		}
		f.start()
		counts := f.fill(0, 60)
		if counts[0] == 0 || counts[1] == 0 {
			t.Fatalf("pages on devices: %v", counts)
		}
		if own {
			fillFromOutside(t, f)
			f.throughUnmount(t, away, back)
		} else {
			f.throughEmptying(t)
		}
		if n := f.fill(3000, 3060); n[1] == 0 {
			t.Fatalf("pages on devices: %v", n)
		}
		f.stop()
		for _, d := range f.o.Dirs {
			if n := openFiles(t, d.Path); n != 0 {
				t.Errorf("%d files are open under %s after Close", n, d.Path)
			}
		}
	})
}

// fillFromOutside puts a file on the second device that leaves no room, and takes it away again.
func fillFromOutside(t *testing.T, f *fleet) {
	t.Helper()
	path := filepath.Join(f.o.Dirs[1].Path, "ballast")
	full := f.devices[1]
	ballast, err := os.Create(path)
	need(t, err)
	for size, step := int64(0), int64(1<<20); step >= 4096; { // as much as there is room for
		if unix.Fallocate(int(ballast.Fd()), 0, size, step) == nil {
			size += step
		} else {
			step /= 2
		}
	}
	need(t, ballast.Close())
	for n := uint64(1000); full.writable(full.tier.Load()); n++ {
		if n > 3000 {
			t.Fatal("a full device takes every page")
		}
		k, data := sizedPage(n, 60_000)
		f.put(k, data)
	}
	for n := range uint64(60) {
		k, data := sizedPage(n, 9_000)
		need(t, f.get(k, data))
	}
	if full.tier.Load().health.aside() || f.metric("alio_disk_writes_paused", 1, "") != 1 {
		t.Fatal("a full device is read, and takes no pages")
	}
	need(t, os.Remove(path))
	eventually(t, "the device takes pages again", func() bool { return f.metric("alio_disk_writes_paused", 1, "") == 0 })
}

// throughUnmount has the second device's file system unmounted and mounted again.
func (f *fleet) throughUnmount(t *testing.T, away, back func()) {
	away()
	eventually(t, "the device is set aside", func() bool { return f.metric("alio_disk_set_aside", 1, "") == 1 })
	if counts := f.fill(2000, 2030); counts[1] != 0 || counts[0] != 30 {
		t.Fatalf("pages on devices: %v", counts)
	}
	if entries, err := os.ReadDir(f.o.Dirs[1].Path); err != nil || len(entries) > 0 {
		t.Fatalf("it was written to where the device was: %v, %v", entries, err)
	}
	back()
	eventually(t, "the device is used again", func() bool { return f.metric("alio_disk_writes_paused", 1, "") == 0 })
	for n := range uint64(60) {
		k, data := sizedPage(n, 9_000)
		need(t, f.get(k, data))
	}
}

// throughEmptying removes everything from the second directory.
func (f *fleet) throughEmptying(t *testing.T) {
	before := f.Directories()[1].ID
	need(t, os.RemoveAll(f.o.Dirs[1].Path))
	eventually(t, "the directory is made anew", func() bool {
		dirs := f.Directories()
		return len(dirs) == 2 && dirs[1].ID != before
	})
}

// unmounting gives the directory a file system of its own, and keeps it alive elsewhere while it is unmounted.
func unmounting(t *testing.T, dir string) (away, back func()) {
	keep := filepath.Join(filepath.Dir(dir), "keep")
	need(t, os.MkdirAll(keep, 0o750))
	need(t, unix.Mount("tmpfs", keep, "tmpfs", 0, "size=16m"))
	need(t, unix.Mount(keep, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		need(t, unix.Unmount(dir, unix.MNT_DETACH))
		need(t, unix.Unmount(keep, unix.MNT_DETACH))
	})
	return func() { need(t, unix.Unmount(dir, unix.MNT_DETACH)) }, func() { need(t, unix.Mount(keep, dir, "", unix.MS_BIND, "")) }
}
