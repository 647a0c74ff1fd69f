package client

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// memorySegment is a segment that holds its header only.
type memorySegment struct {
	b      []byte
	closed *atomic.Int64
}

func (m *memorySegment) readNow([]unix.Iovec, int, int64) error { return errWouldBlock }
func (m *memorySegment) stat() (int64, bool, error)             { return int64(len(m.b)), false, nil }
func (m *memorySegment) mmap(int) ([]byte, error)               { return nil, unix.ENODEV }
func (m *memorySegment) Close() error                           { m.closed.Add(1); return nil }
func (m *memorySegment) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, m.b[off:]), nil
}

// openFiles counts this process's descriptors of files below a folder.
func openFiles(t testing.TB, below string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	need(t, err)
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, below) {
			n++
		}
	}
	return n
}

// TestDescriptorsAreBounded: 40 segments, 16 readers, at most 5 descriptors, counted by the kernel, at every moment; none leaks; every byte right,
// mapped or not.
func TestDescriptorsAreBounded(t *testing.T) {
	s := seed(t)
	for _, mapped := range []bool{false, true} {
		r := newRig(t, func(o *Options) { o.OpenSegments, o.Mmap = 5, mapped })
		o := r.object("a", 40*3000, 3000)
		for i := range o.pages() {
			sealSegment(t, r.store(o, i))
		}
		f := r.open("a")
		var wg sync.WaitGroup
		stop := make(chan struct{})
		var most, samples int
		sampled := make(chan struct{})
		go func() {
			defer close(sampled)
			for {
				select {
				case <-stop:
					return
				default:
				}
				most = max(most, openFiles(t, r.dir))
				samples++
			}
		}()
		for g := range 16 {
			wg.Go(func() { r.randomReads(f, o, rand.New(rand.NewPCG(s, uint64(g))), 12) })
		}
		wg.Wait()
		close(stop)
		<-sampled
		if most > 5 || most == 0 || samples < 10 {
			t.Errorf("%d descriptors at once, in %d samples", most, samples)
		}
		if r.local() == 0 {
			t.Error("nothing was read locally")
		}
		need(t, r.Client.Close())
		if n := openFiles(t, r.dir); n != 0 {
			t.Errorf("%d descriptors are left after Close", n)
		}
		maps, err := os.ReadFile("/proc/self/maps")
		need(t, err)
		if n := r.Client.segments.mapped.Load(); n != 0 || strings.Contains(string(maps), r.dir) {
			t.Errorf("%d bytes are left mapped", n)
		}
	}
}

// TestClosedAfterTheLastReader: a descriptor that is dropped while it is read is closed when the reader lets go, not before.
func TestClosedAfterTheLastReader(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 3000, 1000)
	r.storeAll(o)
	f := r.open("a")
	r.want(f, o, 0, 1000)
	seg := f.v.table.Load().segments[0]
	h, err := r.Client.segments.acquire(context.Background(), seg)
	need(t, err)
	if !r.Client.segments.retire(seg.segmentName) || openFiles(t, r.dir) != 1 {
		t.Fatal("closed under its reader")
	}
	if _, _, err := h.file.stat(); err != nil {
		t.Fatal(err)
	}
	h.release()
	eventually(t, "it is closed", func() bool { return openFiles(t, r.dir) == 0 })
	if _, err := r.Client.segments.acquire(context.Background(), seg); err != errRetired {
		t.Fatal(err)
	}
}

// TestBusy: where every descriptor that may be open is in use, a page is asked of the sidecar.
func TestBusy(t *testing.T) {
	r := newRig(t, func(o *Options) { o.OpenSegments = 1 })
	o := r.object("a", 2000, 1000)
	r.store(o, 0)
	r.store(o, 1)
	f := r.open("a")
	r.want(f, o, 0, 1000)
	h, err := r.Client.segments.acquire(context.Background(), f.v.table.Load().segments[0])
	need(t, err)
	r.want(f, o, 1000, 1000)
	if r.remote() != 1000 || r.metric("alio_client_page_reads_total", "result=busy") != 1 {
		t.Fatalf("%v bytes from the sidecar", r.remote())
	}
	h.release()
	before := r.local()
	eventually(t, "the other is opened", func() bool { r.want(f, o, 1000, 1000); return r.local() > before })
	if n := openFiles(t, r.dir); n != 1 {
		t.Fatalf("%d descriptors", n)
	}
}

// TestEvictedUnderTheReader: holes punched into an open segment, its name gone: the read is right, and the segment is not tried again.
func TestEvictedUnderTheReader(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 4000, 1000)
	s := r.storeAll(o)
	f := r.open("a")
	r.want(f, o, 0, 4000)
	r.evict(s, true)
	r.want(f, o, 0, 4000)
	if n := r.metric("alio_client_page_reads_total", "result=corrupt"); n != 1 || r.remote() != 4000 {
		t.Fatalf("%v corrupt pages, %v bytes from the sidecar", n, r.remote())
	}
	if n := r.metric("alio_client_page_reads_total", "result=retired"); n != 3 {
		t.Fatalf("%v pages of the retired segment", n)
	}
	eventually(t, "its descriptor is closed", func() bool { return openFiles(t, r.dir) == 0 })
}

// TestFault: an I/O error under a mapping, which is a fault, ends the read and not the process; so does a file that shrinks.
func TestFault(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Mmap = true })
	o := r.object("a", 1<<20, 1<<20)
	s := r.storeAll(o)
	f := r.open("a")
	r.want(f, o, 0, 1<<20)
	if r.metric("alio_client_mapped_bytes") != 0 {
		t.Fatal("a segment that is being written was mapped")
	}
	sealSegment(t, s)
	f.v.table.Load().segments[0].handle.Load().tryMap.Store(0) // as if it were 2 s later
	r.want(f, o, 0, 1<<20)
	if r.metric("alio_client_mapped_bytes") == 0 || r.remote() != 0 {
		t.Fatal("not mapped")
	}
	need(t, os.Truncate(s.path, 8192)) // what lies beyond it faults now
	r.want(f, o, 0, 1<<20)
	if r.remote() != 1<<20 {
		t.Fatalf("%v bytes from the sidecar", r.remote())
	}
}

// TestWarmReadAllocatesNothing, by pread and mapped.
func TestWarmReadAllocatesNothing(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		r := newRig(t, func(o *Options) { o.Mmap = mapped })
		for i, page := range []int{4096, 65536, 1 << 20} {
			name := string(rune('a' + i))
			o := r.object(name, 2*page, page)
			sealSegment(t, r.storeAll(o))
			f := r.open(name)
			for _, c := range []struct{ off, n int }{{0, page}, {page, page}, {page + page/2, 100}, {page / 4, page / 2}} {
				p := make([]byte, c.n)
				if n := testing.AllocsPerRun(100, func() {
					if _, err := f.ReadAt(p, int64(c.off)); err != nil {
						t.Error(err)
					}
				}); n != 0 {
					t.Errorf("mapped %v, %d bytes at %d of pages of %d: %v allocations", mapped, c.n, c.off, page, n)
				}
			}
		}
		if r.remote() != 0 {
			t.Fatal("not read locally")
		}
	}
}

// TestTasks: Close waits for what runs, and no longer than it may.
func TestTasks(t *testing.T) {
	var k tasks
	if !k.wait(0) {
		t.Fatal("nothing runs")
	}
	gate := make(chan struct{})
	k.Go(func() { <-gate })
	if k.wait(time.Millisecond) {
		t.Fatal("it runs still")
	}
	close(gate)
	if !k.wait(10 * time.Second) {
		t.Fatal("it has ended")
	}
}
