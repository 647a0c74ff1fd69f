package metadata

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// sick is a file system that hangs, or refuses to write, when told to.
type sick struct {
	vfs.FS
	full atomic.Bool

	mu   sync.Mutex
	hang chan struct{} // nil: it does not; closed: it does not any more
}

func (f *sick) block() {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
}

func (f *sick) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang = make(chan struct{})
}

func (f *sick) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.hang)
	f.hang = nil
}

func (f *sick) fail(what string) error {
	if f.full.Load() {
		return fmt.Errorf("%s: %w", what, syscall.ENOSPC)
	}
	return nil
}

func (f *sick) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &sickFile{file, f}, nil
}

func (f *sick) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.block()
	if err := f.fail("create"); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.Create(name, c))
}

func (f *sick) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f.block()
	return f.wrap(f.FS.Open(name, o...))
}

func (f *sick) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f.block()
	return f.wrap(f.FS.OpenReadWrite(name, c, o...))
}

func (f *sick) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.block()
	return f.wrap(f.FS.ReuseForWrite(old, name, c))
}

func (f *sick) Rename(old, name string) error {
	f.block()
	return f.FS.Rename(old, name)
}

type sickFile struct {
	vfs.File
	fs *sick
}

func (f *sickFile) Read(p []byte) (int, error) {
	f.fs.block()
	return f.File.Read(p)
}

func (f *sickFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.block()
	return f.File.ReadAt(p, off)
}

func (f *sickFile) Write(p []byte) (int, error) {
	f.fs.block()
	if err := f.fs.fail("write"); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *sickFile) Sync() error {
	f.fs.block()
	return f.File.Sync()
}

func (f *sickFile) SyncData() error { return f.Sync() }

func (f *sickFile) SyncTo(n int64) (bool, error) { return true, f.Sync() }

// A hung device costs answers: look-ups come back by their deadline, and those after them at once; what does not fit the queue is shed; a fence waits
// for its own deadline, and then nothing from before it is found, in this life and in the next.
func TestAHungDevice(t *testing.T) {
	fs := &sick{FS: vfs.NewMem()}
	o := Options{FS: fs}
	s := start(t, o)
	for i := range 5000 {
		path := fmt.Sprint("p/", i)
		until(t, func() bool { return s.Keep(spaceA, path, at(path, i)) })
	}
	s.settle(t)
	if err := s.trees.young.db.Flush(); err != nil {
		t.Fatal(err)
	}
	s.stop()
	o.LookupDeadline, o.FenceDeadline = 50*time.Millisecond, 100*time.Millisecond
	s = start(t, o)
	fs.freeze()
	if _, ok := s.Load(spaceA, "p/7"); ok {
		t.Error("a hung device answered")
	}
	if n := testutil.ToFloat64(s.metrics.late); n != 1 {
		t.Errorf("%v look-ups are counted as late", n)
	}
	for range 1000 {
		s.Load(spaceA, "p/8")
	}
	if n := testutil.ToFloat64(s.metrics.skipped); n != 1000 {
		t.Errorf("%v look-ups were skipped while one was late", n)
	}
	shed := false
	for i := range 100_000 {
		if shed = !s.Keep(spaceA, fmt.Sprint("q/", i), at(fmt.Sprint("q/", i), i)); shed {
			break
		}
	}
	if !shed {
		t.Error("a queue without a device never filled")
	}
	s.Forget(spaceA, "p/7")()
	if n := testutil.ToFloat64(s.metrics.faults.WithLabelValues(faultFence)); n != 1 {
		t.Errorf("%v stores were given up for a fence", n)
	}
	if _, ok := s.Load(spaceA, "q/0"); ok || s.Keep(spaceA, "r", at("r", 1)) {
		t.Error("a store that was given up is used")
	}
	fs.thaw()
	until(t, func() bool { return s.Keep(spaceA, "r", at("r", 1)) }) // begun anew
	s.settle(t)
	s.stop()
	s = start(t, Options{FS: fs})
	for path, want := range map[string]bool{"p/7": false, "p/9": false, "r": true} {
		if _, ok := s.Load(spaceA, path); ok != want {
			t.Errorf("after a restart %s is known: %v", path, ok)
		}
	}
}

// A full disk costs answers, and the store goes on when there is room again.
func TestAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	fs := &sick{FS: mem}
	s := start(t, Options{FS: fs})
	s.Keep(spaceA, "x", at("x", 1))
	s.settle(t)
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20})
	until(t, func() bool { return !s.Keep(spaceA, "y", at("y", 1)) })
	s.Forget(spaceA, "x")() // fences find room
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40})
	until(t, func() bool { return s.Keep(spaceA, "y", at("y", 1)) })
	s.settle(t)
	fs.full.Store(true)
	until(t, func() bool {
		s.Keep(spaceA, "z", at("z", 1))
		s.Forget(spaceA, "y")
		return testutil.ToFloat64(s.metrics.faults.WithLabelValues(faultWrite)) > 0
	})
	if _, ok := s.Load(spaceA, "y"); ok {
		t.Error("a store that was given up answers")
	}
	fs.full.Store(false)
	until(t, func() bool { return s.Keep(spaceA, "z", at("z", 2)) })
}

func TestAnotherProcessDirectoryIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	start(t, Options{FS: fs})
	second, err := New(Options{Dir: "/meta", Size: MinSize, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "directory of its own") {
		t.Errorf("got %v", err)
	}
	second.Opened(t.Context())
	if second.Keep(spaceA, "x", at("x", 1)) {
		t.Error("it takes answers")
	}
	second.Forget(spaceA, "x")()
}

func TestOptionsTellEveryFault(t *testing.T) {
	_, err := New(Options{Size: 1, Memory: 1, FenceDeadline: -1})
	for _, want := range []string{"directory", "size", "memory", "deadline"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
}
