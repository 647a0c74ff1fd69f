package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPunchRemoved: a hole over all of a file that is removed and open gives back every block, and what was preallocated; writing into it takes
// room again.
func TestPunchRemoved(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		f := must[File](t)(fsys.Create(name, 0o640))
		defer f.Close()
		need(t, f.Preallocate(256<<10))
		must[int](t)(f.WriteAt(make([]byte, 100_000), 0))
		other := must[File](t)(fsys.Open(name, false))
		defer other.Close()
		need(t, fsys.Remove(name))
		for range 2 { // the second time there is nothing to give back
			if err := f.PunchHole(0, 1<<20); errors.Is(err, errors.ErrUnsupported) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			if a, s := must[int64](t)(other.Allocated()), must[int64](t)(other.Size()); a != 0 || s != 100_000 {
				t.Fatalf("punched: %d bytes allocated, size %d", a, s)
			}
		}
		must[int](t)(f.WriteAt(make([]byte, 8192), 0))
		need(t, f.Sync())
		if a := must[int64](t)(other.Allocated()); a < 8192 || a > 64<<10 {
			t.Fatalf("%d bytes allocated after 8 KiB were written into the hole", a)
		}
	})
}

// TestDevice: everything on one file system has one number; what is mounted has another, and is gone when it is unmounted, but for who has it open.
func TestDevice(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		need(t, must[File](t)(fsys.Create(filepath.Join(dir, "f"), 0o640)).Close())
		file, top := must[Info](t)(fsys.Stat(filepath.Join(dir, "f"))), must[Info](t)(fsys.Stat(dir))
		if file.Device == 0 || file.Device != top.Device {
			t.Fatalf("%d and %d", file.Device, top.Device)
		}
	})
	base, disk := NewMem(), NewMem()
	need(t, base.MkdirAll("/mnt/a", 0o750))
	need(t, disk.MkdirAll("/mnt/a", 0o750))
	m := NewMounts(base)
	m.Mount("/mnt/a/", disk)
	f := must[File](t)(m.Create("/mnt/a/f", 0o640))
	defer f.Close()
	need(t, must[File](t)(m.Create("/mnt/ab", 0o640)).Close())
	mounted, parent := must[Info](t)(m.Stat("/mnt/a")), must[Info](t)(m.Stat("/mnt"))
	if mounted.Device == parent.Device || disk.Clone().device != mounted.Device {
		t.Fatalf("devices %d and %d", mounted.Device, parent.Device)
	}
	if err := m.Rename("/mnt/a/f", "/mnt/f"); !errors.Is(err, syscall.EXDEV) {
		t.Fatalf("a rename across file systems: %v", err)
	}
	m.Unmount("/mnt/a")
	if _, err := m.Stat("/mnt/a/f"); !errors.Is(err, fs.ErrNotExist) || must[Info](t)(m.Stat("/mnt/a")).Device != parent.Device {
		t.Fatalf("after Unmount: %v", err)
	}
	must[int](t)(f.WriteAt([]byte("x"), 0))
}

// TestSmallDevice: a device with little room is full at the byte.
func TestSmallDevice(t *testing.T) {
	m := NewMem()
	need(t, m.MkdirAll("/d", 0o750))
	f := must[File](t)(m.Create("/d/f", 0o640))
	m.SetRoom(m.Allocated() + 3*memBlock)
	must[int](t)(f.WriteAt(make([]byte, 2*memBlock), 0))
	if err := f.Preallocate(4 * memBlock); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Preallocate: %v", err)
	}
	need(t, f.Preallocate(3*memBlock))
	g := must[File](t)(m.Create("/d/g", 0o640))
	if _, err := g.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("WriteAt: %v", err)
	}
	must[int](t)(f.WriteAt(make([]byte, memBlock), 2*memBlock))
	need(t, f.PunchHole(0, memBlock))
	if _, err := g.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal("a hole in the midst of what is preallocated was given to another file")
	}
	need(t, f.Truncate(0))
	must[int](t)(g.WriteAt([]byte("x"), 0))
	m.SetRoom(0)
	must[int](t)(g.WriteAt(make([]byte, 10*memBlock), 0))
	need(t, errors.Join(f.Close(), g.Close()))
}
