package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// holder is a client of another process: it keeps descriptors of segments, and the places of pages in them, for as long as it likes.
type holder struct {
	t     *testing.T
	dir   cache.Directory
	files map[cache.SegmentID]*os.File
	pages map[cache.SegmentID]held
	maps  [][]byte
}

type held struct {
	key   cache.Key
	place cache.Place
	data  []byte
}

// hold opens the page's segment, unless it has, and maps every fourth.
func (c *holder) hold(h *harness, k cache.Key, data []byte) {
	c.t.Helper()
	p, ok := h.Place(k)
	if !ok || c.files[p.Segment] != nil {
		return
	}
	f, err := os.Open(filepath.Join(c.dir.Path, segmentsDir, segfile.Name(p.Segment.Instance, p.Segment.Seq)))
	need(c.t, err)
	c.files[p.Segment], c.pages[p.Segment] = f, held{k, p, data}
	if len(c.files)%4 == 0 {
		m, err := unix.Mmap(int(f.Fd()), 0, int(p.Off)+int(segfile.RecordSize(p.Length)), unix.PROT_READ, unix.MAP_SHARED)
		need(c.t, err)
		c.maps = append(c.maps, m)
	}
}

// unlinked is how many of the segments held are gone from the directory, and the bytes of the device that these still take.
func (c *holder) unlinked() (n int, bytes int64) {
	for _, f := range c.files {
		var st unix.Stat_t
		need(c.t, unix.Fstat(int(f.Fd()), &st))
		if st.Nlink == 0 {
			n, bytes = n+1, bytes+st.Blocks*512
		}
	}
	return n, bytes
}

func (c *holder) close() {
	for _, f := range c.files {
		need(c.t, f.Close())
	}
	for _, m := range c.maps {
		need(c.t, unix.Munmap(m))
	}
}

// TestForeignHolders: somebody else keeps over 100 removed segments open, some of them mapped. The directory and what is held stay within the
// limit together, as du and, on a device of its own, df count. What is read late is right or fails its check.
func TestForeignHolders(t *testing.T) {
	onDevice(t, "64m", func(t *testing.T, dir string, own bool) {
		o := testOptions(vfs.OS)
		o.Dir, o.Sync, o.Grace = filepath.Join(dir, "cache"), SyncNever, 50*time.Millisecond
		o.Protected = nil
		h := openTier(t, o)
		c := &holder{t: t, dir: h.Directories()[0], files: map[cache.SegmentID]*os.File{}, pages: map[cache.SegmentID]held{}}
		defer c.close()
		free := deviceFree(t, dir)
		most, used, removed := int64(0), int64(0), 0
		for n := uint64(0); removed < 110; n++ {
			if n > 5000 {
				t.Fatal("too few segments are removed")
			}
			k, data := sizedPage(n%50, 60_000)
			k[0], k[1] = byte(n), byte(n>>8) // new pages with old bytes: making bytes is slow
			if !h.put(k, 0, data) {
				t.Fatalf("not stored: %+v", h.Stats())
			}
			c.hold(h, k, data)
			var bytes int64
			removed, bytes = c.unlinked()
			most = max(most, diskUsage(t, o.Dir)+bytes)
			if own {
				used = max(used, free-deviceFree(t, dir))
			}
			if open := openFiles(t, o.Dir) - len(c.files); open > o.mostSegments()+8 {
				t.Fatalf("%d descriptors are open", open)
			}
		}
		if most > o.Size || used > o.Size || most < o.Size/2 {
			t.Fatalf("at most %d bytes by du, %d by df; the limit is %d", most, used, o.Size)
		}
		t.Logf("%d segments are held, %d of them removed: at most %d bytes by du, %d by df (own device: %v), of %d", len(c.files), removed, most, used, own, o.Size)
		c.readLate(h, removed)
		h.stop()
		// A tmpfs makes a page of what is read through a mapping of a hole; a disk's file system does not.
		if n, bytes := c.unlinked(); bytes > 4096*int64(len(c.maps)) {
			t.Errorf("after Close %d removed segments take %d bytes", n, bytes)
		}
	})
}

// readLate reads every page that was held, by descriptor and mapping.
func (c *holder) readLate(h *harness, removed int) {
	right, wrong := 0, 0
	for id, p := range c.pages {
		got, ok, err := readPlaceFrom(c.files[id], p.key, p.place, 0, p.place.Length)
		need(c.t, err)
		if ok {
			right++
			if !bytes.Equal(got, p.data) {
				c.t.Errorf("a wrong byte from %v", id)
			}
		} else {
			wrong++
		}
	}
	if wrong < removed-3 || right == 0 {
		c.t.Errorf("%d late reads passed their check, %d did not; %d segments are removed", right, wrong, removed)
	}
	zeros := 0
	for _, m := range c.maps { // a truncated file would be SIGBUS here
		if m[0] == 0 {
			zeros++
		}
	}
	if zeros == 0 {
		c.t.Errorf("none of %d mappings reads as a hole", len(c.maps))
	}
}

func deviceFree(t *testing.T, dir string) int64 {
	var st unix.Statfs_t
	need(t, unix.Statfs(dir, &st))
	return int64(st.Bfree) * st.Frsize
}

// openFiles is how many descriptors of this process lie under a directory.
func openFiles(t *testing.T, dir string) int {
	entries, err := os.ReadDir("/proc/self/fd")
	need(t, err)
	n := 0
	for _, e := range entries {
		if path, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(path, dir) {
			n++
		}
	}
	return n
}

// evictSegment writes until the segment that holds a page is removed.
func evictSegment(h *harness, k cache.Key) {
	h.t.Helper()
	p, _ := h.Place(k)
	_, moment, _ := h.Retired(0)
	for n := uint64(1000); ; n++ {
		k, data := sizedPage(n, 50_000)
		if !h.put(k, 0, data) || n > 3000 {
			h.t.Fatalf("not stored, or never evicted: %+v", h.Stats())
		}
		gone, _, _ := h.Retired(moment)
		for _, id := range gone {
			if id == p.Segment {
				return
			}
		}
	}
}

// TestGrace: a descriptor opened before reads the page until the grace is over or the room is needed; then zeros.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, m, _ := faultyTier(t, nil)
		k, data := sizedPage(1, 50_000)
		for round := range 2 {
			h.put(k, 0, data)
			seg := h.segmentOf(k)
			f, err := m.Open(seg.path, false)
			need(t, err)
			e, _ := h.index.peek(k)
			reads := func() bool {
				p := segfile.PlanRead(e.location(), 0, len(data))
				b := make([]byte, p.Header+p.Data)
				need(t, readPlanned(p, f, false, b))
				return p.Check(seg.seed, b)
			}
			evictSegment(h, k)
			if !reads() {
				t.Fatal("there is no grace")
			}
			if round == 0 {
				wait(h.o.Grace - time.Millisecond)
				synctest.Wait()
				if !reads() {
					t.Fatal("the grace is too short")
				}
				wait(time.Millisecond)
			} else {
				for n := uint64(5000); n < 5020; n++ { // no time passes, and two segments of room are needed
					k, data := sizedPage(n, 50_000)
					if !h.put(k, 0, data) {
						t.Fatal("not stored")
					}
				}
			}
			synctest.Wait()
			if reads() {
				t.Fatal("a removed segment still takes its room")
			}
			if got := m.Allocated(); got > h.o.Size {
				t.Fatalf("%d bytes allocated", got)
			}
			need(t, f.Close())
		}
	})
}

// TestKilledInGrace: a process that is killed leaves segments removed and not yet punched; the next start gives their room back under whoever
// holds them.
func TestKilledInGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, m, _ := faultyTier(t, nil)
		k, data := sizedPage(1, 50_000)
		h.put(k, 0, data)
		evictSegment(h, k)
		killed := m.Clone()
		var gone []string
		infos, err := killed.ReadDir("/cache/" + segmentsDir)
		need(t, err)
		for _, i := range infos {
			if strings.HasSuffix(i.Name, goneSuffix) {
				gone = append(gone, "/cache/"+segmentsDir+"/"+i.Name)
			}
		}
		if len(gone) == 0 {
			t.Fatal("nothing was in its grace")
		}
		f, err := killed.Open(gone[0], false)
		need(t, err)
		o := h.o
		o.FS, o.Registerer = killed, nil
		next := openTier(t, o)
		if a, err := f.Allocated(); err != nil || a != 0 {
			t.Fatalf("%d bytes are still allocated, %v", a, err)
		}
		need(t, f.Close())
		if _, err := killed.Stat(gone[0]); !errors.Is(err, os.ErrNotExist) {
			t.Fatal("it still has a name")
		}
		next.stop()
	})
}

// TestPunchFails: room that cannot be given back counts, and comes back when the device obeys again. Where holes are not supported a removed
// segment is closed at once.
func TestPunchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ff, m, _ := faultyTier(t, nil)
		ff.Add(vfs.Rule{Op: vfs.OpPunch, Err: syscall.EIO})
		stored := 0
		for n := range uint64(400) {
			if k, data := sizedPage(n, 60_000); h.put(k, 0, data) {
				stored++
			}
			if got := m.Allocated(); got > h.o.Size {
				t.Fatalf("%d bytes allocated", got)
			}
		}
		if s := h.Stats(); s.Segments["unlinked"] == 0 || stored == 400 {
			t.Fatalf("%d stored, %+v", stored, s)
		}
		ff.Clear()
		wait(3 * time.Minute)
		synctest.Wait()
		if k, data := sizedPage(1000, 60_000); !h.put(k, 0, data) || h.Stats().Segments["unlinked"] != 0 {
			t.Fatalf("not stored once holes can be punched again: %+v", h.Stats())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ff := vfs.NewFaulty(vfs.NewMem())
		ff.Add(vfs.Rule{Op: vfs.OpPunch, Err: syscall.EOPNOTSUPP})
		h := openTier(t, testOptions(ff))
		for n := range uint64(400) {
			if k, data := sizedPage(n, 60_000); !h.put(k, 0, data) {
				t.Fatal("not stored")
			}
		}
		synctest.Wait()
		if n := h.Stats().Segments["unlinked"]; n != 0 {
			t.Fatalf("%d segments wait for nothing", n)
		}
	})
}

// TestLazyFileSystem: room that the file system reports as taken after it was punched counts until it does not, and a minute at most.
func TestLazyFileSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := vfs.NewMem()
		o := testOptions(lazyFS{m})
		h := openTier(t, o)
		k, data := sizedPage(1, 50_000)
		h.put(k, 0, data)
		evictSegment(h, k)
		h.put(k, 0, data)
		synctest.Wait()
		wait(o.withDefaults().Grace + regrave)
		synctest.Wait()
		if n := h.Stats().Segments["unlinked"]; n == 0 || h.dying.Load() == 0 {
			t.Fatal("room is counted as free before the file system says so")
		}
		wait(2 * graveLimit)
		synctest.Wait()
		if n := h.Stats().Segments["unlinked"]; n != 0 {
			t.Fatalf("%d segments still wait", n)
		}
	})
}

// lazyFS never reports that a hole is free.
type lazyFS struct{ vfs.FS }

type lazyFile struct{ vfs.File }

func (l lazyFS) Create(name string, perm os.FileMode) (vfs.File, error) {
	f, err := l.FS.Create(name, perm)
	return lazyFile{f}, err
}

func (l lazyFile) Allocated() (int64, error) { return 512 << 10, nil }
