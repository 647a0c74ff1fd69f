package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		need(t, err)
		return v
	}
}

// each runs a test on every implementation: they must behave alike.
func each(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS, t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		need(t, m.MkdirAll("/d", 0o750))
		test(t, m, "/d")
	})
	t.Run("faulty", func(t *testing.T) { test(t, NewFaulty(OS), t.TempDir()) })
	t.Run("mounts", func(t *testing.T) {
		m, top := NewMem(), NewMounts(NewMem())
		need(t, m.MkdirAll("/mnt/d", 0o750))
		top.Mount("/mnt", m)
		test(t, top, "/mnt/d")
	})
}

func TestFile(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		f := must[File](t)(fsys.Create(name, 0o640))
		if _, err := fsys.Create(name, 0o640); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("a second Create answered %v", err)
		}
		data := bytes.Repeat([]byte("0123456789abcdef"), 1000)
		if n, err := f.WriteAt(data, 100); n != len(data) || err != nil {
			t.Fatal(n, err)
		}
		need(t, f.Sync())
		got := make([]byte, len(data))
		if n, err := f.ReadAt(got, 100); n != len(data) || err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		clear(got)
		if _, err := f.ReadAtNow(got, 100); err != nil && err != ErrWouldBlock || err == nil && !bytes.Equal(got, data) {
			t.Fatalf("ReadAtNow: %v", err)
		}
		if _, err := f.ReadAtNow(got, 15000); err != ErrWouldBlock {
			t.Fatalf("ReadAtNow over the end: %v", err)
		}
		if n, err := f.ReadAt(got, 16000); n != 100 || err != io.EOF {
			t.Fatalf("a read over the end answered %d, %v", n, err)
		}
		need(t, f.Truncate(200))
		if size := must[int64](t)(f.Size()); size != 200 {
			t.Fatalf("size %d after Truncate(200)", size)
		}
		need(t, f.Truncate(300))
		if n, err := f.ReadAt(got[:200], 100); n != 200 || err != nil || !bytes.Equal(got[100:200], make([]byte, 100)) {
			t.Fatalf("what Truncate grew is not zeros: %d, %v", n, err)
		}
		need(t, f.Close())
		for _, err := range []error{f.Close(), f.Sync(), second(f.ReadAt(got, 0)), second(f.WriteAt(got, 0)), second(f.ReadAtNow(got, 0))} {
			if !errors.Is(err, fs.ErrClosed) {
				t.Fatalf("after Close: %v", err)
			}
		}
		r := must[File](t)(fsys.Open(name, false))
		if _, err := r.WriteAt(data, 0); !errors.Is(err, syscall.EBADF) {
			t.Fatalf("a write to a file opened for reading answered %v", err)
		}
		need(t, r.Close())
	})
}

func second[A, B any](_ A, b B) B { return b }

func TestRoom(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		f := must[File](t)(fsys.Create(filepath.Join(dir, "f"), 0o640))
		defer f.Close()
		need(t, f.Preallocate(1<<20))
		if a, s := must[int64](t)(f.Allocated()), must[int64](t)(f.Size()); a < 1<<20 || s != 0 {
			t.Fatalf("preallocated: %d bytes, size %d", a, s)
		}
		data := bytes.Repeat([]byte{1}, 64<<10)
		must[int](t)(f.WriteAt(data, 0))
		need(t, f.Truncate(64<<10))
		need(t, f.Sync())
		if a := must[int64](t)(f.Allocated()); a < 64<<10 || a > 128<<10 {
			t.Fatalf("%d bytes allocated after Truncate to 64 KiB", a)
		}
		if err := f.PunchHole(4096, 32<<10); errors.Is(err, errors.ErrUnsupported) {
			t.Log("this file system cannot punch holes")
			return
		} else if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 64<<10)
		must[int](t)(f.ReadAt(got, 0))
		want := append([]byte(nil), data...)
		clear(want[4096 : 4096+32<<10])
		if !bytes.Equal(got, want) {
			t.Fatal("a hole does not read as zeros, or more was punched")
		}
		if a := must[int64](t)(f.Allocated()); a > 64<<10 {
			t.Fatalf("%d bytes allocated after punching", a)
		}
		info := must[Info](t)(fsys.Stat(filepath.Join(dir, "f")))
		if info.Size != 64<<10 || info.Name != "f" || info.Dir || info.Allocated > 64<<10 {
			t.Fatalf("%+v", info)
		}
	})
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		need(t, fsys.MkdirAll(filepath.Join(dir, "a/b"), 0o750))
		need(t, fsys.MkdirAll(filepath.Join(dir, "a/b"), 0o750))
		for _, n := range []string{"a/y", "a/x"} {
			need(t, must[File](t)(fsys.Create(filepath.Join(dir, n), 0o640)).Close())
		}
		if _, err := fsys.Create(filepath.Join(dir, "none/x"), 0o640); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Create in no directory: %v", err)
		}
		need(t, fsys.Rename(filepath.Join(dir, "a/y"), filepath.Join(dir, "a/z")))
		if err := fsys.Remove(filepath.Join(dir, "a")); !errors.Is(err, syscall.ENOTEMPTY) {
			t.Fatalf("Remove of a full directory: %v", err)
		}
		var names []string
		for _, i := range must[[]Info](t)(fsys.ReadDir(filepath.Join(dir, "a"))) {
			names = append(names, i.Name)
		}
		if got := strings.Join(names, " "); got != "b x z" {
			t.Fatalf("ReadDir: %s", got)
		}
		need(t, fsys.SyncDir(filepath.Join(dir, "a")))
		need(t, fsys.Remove(filepath.Join(dir, "a/x")))
		_, statErr := fsys.Stat(filepath.Join(dir, "a/x"))
		_, openErr := fsys.Open(filepath.Join(dir, "a/x"), false)
		_, dirErr := fsys.ReadDir(filepath.Join(dir, "none"))
		for _, err := range []error{statErr, openErr, dirErr, fsys.Remove(filepath.Join(dir, "a/x")), fsys.Rename(filepath.Join(dir, "a/x"), filepath.Join(dir, "a/w"))} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("a name that is not there: %v", err)
			}
		}
		if u := must[Usage](t)(fsys.Usage(dir)); u.Type == "" || u.Total <= 0 || u.Free < 0 || u.Free > u.Total {
			t.Fatalf("%+v", u)
		}
	})
}

func TestLock(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		l := must[io.Closer](t)(fsys.Lock(name))
		_, err := fsys.Lock(name)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "in use by another process (pid ") {
			t.Fatalf("a second Lock answered %v", err)
		}
		need(t, l.Close())
		need(t, must[io.Closer](t)(fsys.Lock(name)).Close())
	})
}

func TestRemoteKinds(t *testing.T) {
	for magic, want := range map[uint32]Usage{
		0x6969: {Type: "nfs", Remote: true}, 0xff534d42: {Type: "cifs", Remote: true}, 0xfe534d42: {Type: "smb2", Remote: true},
		0x65735546: {Type: "fuse", Remote: true}, 0x01021997: {Type: "9p", Remote: true}, 0xef53: {Type: "ext4"}, 0x58465342: {Type: "xfs"},
		0x12345: {Type: "0x12345"},
	} {
		if got := usageKind(magic); got != want {
			t.Errorf("%#x: %+v, want %+v", magic, got, want)
		}
	}
}

func TestOSFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	need(t, os.WriteFile(filepath.Join(dir, "target"), []byte("x"), 0o640))
	need(t, os.Symlink("target", filepath.Join(dir, "link")))
	if _, err := OS.Open(filepath.Join(dir, "link"), true); !errors.Is(err, syscall.ELOOP) {
		t.Fatalf("a link was followed: %v", err)
	}
}

// TestReadAtNowFallsBack: where the kernel or the file system has no RWF_NOWAIT the caller is told to take the ordinary way.
func TestReadAtNowFallsBack(t *testing.T) {
	f := must[File](t)(OS.Create(filepath.Join(t.TempDir(), "f"), 0o640)).(*osFile)
	defer f.Close()
	must[int](t)(f.WriteAt([]byte("hello"), 0))
	f.noNow.Store(true) // as after EOPNOTSUPP
	if _, err := f.ReadAtNow(make([]byte, 5), 0); err != ErrWouldBlock {
		t.Fatalf("without RWF_NOWAIT: %v", err)
	}
}

func TestReadAtNowAllocatesNothing(t *testing.T) {
	f := must[File](t)(OS.Create(filepath.Join(t.TempDir(), "f"), 0o640))
	defer f.Close()
	must[int](t)(f.WriteAt(make([]byte, 4096), 0))
	p := make([]byte, 4096)
	if n := testing.AllocsPerRun(100, func() { _, _ = f.ReadAtNow(p, 0) }); n != 0 {
		t.Fatalf("%v allocations a read", n)
	}
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	need(t, m.MkdirAll("/d", 0o750))
	need(t, m.SyncDir("/"))
	write := func(name, text string, sync bool) File {
		f := must[File](t)(m.Create(name, 0o640))
		must[int](t)(f.WriteAt([]byte(text), 0))
		if sync {
			need(t, f.Sync())
		}
		return f
	}
	a := write("/d/a", "synced", true)
	need(t, m.SyncDir("/d"))
	must[int](t)(a.WriteAt([]byte("LOST"), 0))
	write("/d/b", "no name", true)
	need(t, m.Remove("/d/a"))

	c := m.CrashClone(nil)
	infos := must[[]Info](t)(c.ReadDir("/d"))
	if len(infos) != 1 || infos[0].Name != "a" {
		t.Fatalf("after the crash: %+v", infos)
	}
	got := make([]byte, 6)
	must[int](t)(must[File](t)(c.Open("/d/a", false)).ReadAt(got, 0))
	if string(got) != "synced" {
		t.Fatalf("after the crash a holds %q", got)
	}
	if k := m.Clone(); must[Info](t)(k.Stat("/d/b")).Size != 7 {
		t.Fatal("a clone lacks what is there now")
	}
}

// TestCrashTears checks that random crashes leave every kind of damage that recovery has to survive, and nothing that no disk does.
func TestCrashTears(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 1))
	m := NewMem()
	f := must[File](t)(m.Create("/f", 0o640))
	need(t, m.SyncDir("/"))
	must[int](t)(f.WriteAt(bytes.Repeat([]byte{1}, 4096), 0))
	need(t, f.Sync())
	must[int](t)(f.WriteAt(bytes.Repeat([]byte{2}, 8192), 2048))
	var whole, none, torn, zeros bool
	for range 300 {
		c := m.CrashClone(rng)
		size := must[Info](t)(c.Stat("/f")).Size
		data := make([]byte, size)
		must[int](t)(must[File](t)(c.Open("/f", false)).ReadAt(data, 0))
		if size < 4096 || !bytes.Equal(data[:2048], bytes.Repeat([]byte{1}, 2048)) {
			t.Fatalf("synced bytes were lost: size %d", size)
		}
		n := bytes.Count(data, []byte{2})
		whole, none = whole || n == 8192, none || n == 0 && size == 4096
		torn, zeros = torn || n > 0 && n < 8192, zeros || bytes.IndexByte(data, 0) >= 0
	}
	if !whole || !none || !torn || !zeros {
		t.Fatalf("whole %v, none %v, torn %v, zeros %v", whole, none, torn, zeros)
	}
}

func seed(t *testing.T) uint64 {
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("ALIO_SEED"); v != "" {
		s = must[uint64](t)(strconv.ParseUint(v, 10, 64))
	}
	t.Logf("ALIO_SEED=%d", s)
	return s
}

func TestMemCountsWhatIsOpenButRemoved(t *testing.T) {
	m := NewMem()
	before := m.Allocated()
	f := must[File](t)(m.Create("/f", 0o640))
	must[int](t)(f.WriteAt(make([]byte, 5000), 0))
	need(t, m.Remove("/f"))
	if got := m.Allocated() - before; got != 8192 || m.OpenHandles() != 1 {
		t.Fatalf("%d bytes, %d handles", got, m.OpenHandles())
	}
	need(t, f.Close())
	if got := m.Allocated() - before; got != 0 || m.OpenHandles() != 0 {
		t.Fatalf("%d bytes, %d handles after Close", got, m.OpenHandles())
	}
}

func TestFaults(t *testing.T) {
	m := NewMem()
	ff := NewFaulty(m)
	f := must[File](t)(ff.Create("/a.seg", 0o640))
	g := must[File](t)(ff.Create("/b.txt", 0o640))
	ff.Add(Rule{Op: OpWrite, Glob: "*.seg", From: 2, For: 1, Err: syscall.ENOSPC, Short: 3})
	must[int](t)(f.WriteAt([]byte("abcdef"), 0))
	must[int](t)(g.WriteAt([]byte("abcdef"), 0))
	must[int](t)(g.WriteAt([]byte("abcdef"), 0))
	if n, err := f.WriteAt([]byte("ghijkl"), 6); n != 3 || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/a.seg") {
		t.Fatalf("the second write answered %d, %v", n, err)
	}
	must[int](t)(f.WriteAt([]byte("m"), 9))
	got := make([]byte, 10)
	must[int](t)(f.ReadAt(got, 0))
	if string(got) != "abcdefghim" {
		t.Fatalf("the file holds %q", got)
	}

	remove := ff.Add(Rule{Op: OpRead, Flip: 9})
	must[int](t)(f.ReadAt(got, 0))
	if string(got) != "accdefghim" {
		t.Fatalf("bit 8 flipped: %q", got)
	}
	remove()
	ff.Add(Rule{Op: OpReadNow, Err: ErrWouldBlock})
	if _, err := f.ReadAtNow(got, 0); err != ErrWouldBlock {
		t.Fatal(err)
	}
	ff.Add(Rule{Op: OpSync, Err: syscall.EIO})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	ff.Clear()
	need(t, f.Sync())

	release := make(chan struct{})
	ff.Add(Rule{Op: OpRead, Hang: release})
	done := make(chan error)
	go func() { done <- second(f.ReadAt(got, 0)) }()
	select {
	case err := <-done:
		t.Fatalf("the read did not hang: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	need(t, <-done)
	ff.Add(Rule{Op: OpClose, Err: syscall.EIO})
	if err := f.Close(); !errors.Is(err, syscall.EIO) || m.OpenHandles() != 1 {
		t.Fatalf("Close: %v, %d handles", err, m.OpenHandles())
	}
}

func TestFaultyCoversEveryName(t *testing.T) {
	ff := NewFaulty(NewMem())
	ff.Add(Rule{Err: syscall.EIO})
	_, create := ff.Create("/x", 0o640)
	_, open := ff.Open("/x", false)
	_, readDir := ff.ReadDir("/")
	_, stat := ff.Stat("/")
	_, lock := ff.Lock("/l")
	_, usage := ff.Usage("/")
	for i, err := range []error{create, open, readDir, stat, lock, usage, ff.Remove("/x"), ff.Rename("/x", "/y"), ff.MkdirAll("/m", 0o750), ff.SyncDir("/")} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
