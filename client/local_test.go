package client

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache/segfile"
)

// brokenFile is a segment file that goes wrong where it is told to.
type brokenFile struct {
	segmentFile
	block   *atomic.Bool    // nothing is in the page cache
	err     error           // of every read
	hang    <-chan struct{} // every read that may wait, waits for it
	reading *atomic.Int64
	calls   *atomic.Int64 // of readNow
}

func (f *brokenFile) readNow(v []unix.Iovec, want int, off int64) error {
	if f.calls != nil {
		f.calls.Add(1)
	}
	if f.block != nil && f.block.Load() {
		return errWouldBlock
	}
	if f.err != nil {
		return f.err
	}
	return f.segmentFile.readNow(v, want, off)
}

func (f *brokenFile) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 && f.hang != nil { // not the header
		f.reading.Add(1)
		defer f.reading.Add(-1)
		<-f.hang
	}
	if off > 0 && f.err != nil {
		return 0, f.err
	}
	return f.segmentFile.ReadAt(p, off)
}

// breakFiles puts a brokenFile in front of every segment that is opened from here on.
func (r *rig) breakFiles(like brokenFile) {
	r.Client.segments.openFile = func(path string) (segmentFile, error) {
		f, err := openSegmentFile(path)
		if err != nil {
			return nil, err
		}
		b := like
		b.segmentFile = f
		return &b, nil
	}
}

// damage changes bytes of a stored page: at from the record's start.
func (r *rig) damage(s *fakeSegment, o *fakeObject, page int, change func(record []byte)) {
	r.t.Helper()
	lo, hi := o.bounds(page)
	b, err := os.ReadFile(s.path)
	need(r.t, err)
	at := int64(o.places[page].Records[0]) * segfile.Align
	change(b[at:][:segfile.RecordSize(hi-lo)])
	file, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	need(r.t, err)
	_, err = file.WriteAt(b, 0)
	need(r.t, err)
	need(r.t, file.Close())
}

// TestBadPagesAreNeverServed: whatever is wrong with a page in its segment, the read is right, is counted, and goes to the sidecar.
func TestBadPagesAreNeverServed(t *testing.T) {
	const page = 150_000 // three blocks
	rng := rand.New(rand.NewPCG(seed(t), 3))
	flip := func(from, to int) func([]byte) {
		return func(b []byte) { b[from+rng.IntN(to-from)] ^= 1 << rng.IntN(8) }
	}
	cases := map[string]func(b []byte){
		"header":       flip(0, 44),
		"data":         flip(64, 64+page),
		"hole":         func(b []byte) { clear(b) },
		"hole in data": func(b []byte) { clear(b[4096 : 4096+65536+65536]) },
		"other place":  func(b []byte) { copy(b, segfile.AppendRecord(nil, 1, 64, segfile.Key(b[8:24]), 0, b[64:64+page])) },
	}
	for _, mapped := range []bool{false, true} {
		for _, blocking := range []bool{false, true} {
			for name, change := range cases {
				r := newRig(t, func(o *Options) { o.Mmap = mapped })
				o := r.object("a", 2*page, page)
				s := r.storeAll(o)
				sealSegment(t, s)
				f := r.open("a")
				var block atomic.Bool
				r.breakFiles(brokenFile{block: &block})
				r.want(f, o, page, page) // opens the segment
				block.Store(blocking)
				r.damage(s, o, 0, change)
				r.want(f, o, 0, page)
				if n := r.metric("alio_client_page_reads_total", "result=corrupt"); n != 1 || r.remote() != page {
					t.Errorf("%s: %v corrupt pages, %v bytes from the sidecar", name, n, r.remote())
				}
				r.want(f, o, page, page) // the neighbour is well
				if r.remote() != page {
					t.Errorf("%s: the neighbour was read from the sidecar", name)
				}
			}
		}
	}
}

// TestKnownSums: the header of a page of several blocks is read once; what is read after that is one call, and is checked none the less. The sums
// stay known when the page is told of again, in another segment even.
func TestKnownSums(t *testing.T) {
	const page = 200_000 // four blocks
	r := newRig(t)
	o := r.object("a", 2*page, page)
	s := r.storeAll(o)
	var calls atomic.Int64
	r.breakFiles(brokenFile{calls: &calls})
	f := r.open("a")
	count := func(want int64, off, n int) {
		t.Helper()
		before := calls.Load()
		r.want(f, o, off, n)
		if got := calls.Load() - before; got != want {
			t.Fatalf("%d calls for %d bytes at %d, want %d", got, n, off, want)
		}
	}
	count(2, 70_000, 100)
	count(1, 140_000, 1000)
	count(1, 0, page)
	count(1, page, 10) // the header lies in front of the first block
	count(1, page+70_000, 10)
	r.damage(s, o, 0, func(b []byte) { b[64+140_500] ^= 1 })
	count(1, 70_000, 100)
	if r.remote() != 0 {
		t.Fatal("not read locally")
	}
	r.want(f, o, 140_000, 1000)
	if n := r.metric("alio_client_page_reads_total", "result=corrupt"); n != 1 || r.remote() != 1000 {
		t.Fatalf("%v corrupt pages, %v bytes from the sidecar", n, r.remote())
	}
	r.store(o, 0)
	before := r.remote()
	count(1, 140_000, 1000) // asks where it is now
	count(1, 140_000, 1000)
	if r.remote() != before || r.count("open") != 2 {
		t.Fatalf("%v bytes from the sidecar, calls %v", r.remote()-before, r.fake.calls)
	}
}

// TestAnotherPagesRecord: a place that leads to the right record of another page, or of the same bytes in another segment, is not believed.
func TestAnotherPagesRecord(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 3000, 1000)
	s := r.storeAll(o)
	o.places[0], o.places[1] = o.places[1], o.places[0]
	b, err := os.ReadFile(s.path)
	need(t, err)
	other := r.store(o, 2)
	file, err := os.OpenFile(other.path, os.O_WRONLY, 0)
	need(t, err)
	_, err = file.WriteAt(b[segfile.HeaderSize+2*segfile.RecordSize(1000):], segfile.HeaderSize) // the record as it was in the first segment, a forgery here
	need(t, err)
	need(t, file.Close())
	f := r.open("a")
	r.want(f, o, 0, 3000)
	if n := r.metric("alio_client_page_reads_total", "result=corrupt"); n != 3 || r.local() != 0 {
		t.Fatalf("%v corrupt, %v bytes read locally", n, r.local())
	}
}

// TestSegmentsThatAreNot: names that are gone, links, FIFOs, files of another version or another name and truncated ones are not read, and do
// not block.
func TestSegmentsThatAreNot(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"gone":      os.Remove,
		"truncated": func(p string) error { return os.Truncate(p, 100) },
		"empty":     func(p string) error { return os.Truncate(p, 0) },
		"link":      func(p string) error { return errors.Join(os.Rename(p, p+"x"), os.Symlink(p+"x", p)) },
		"fifo":      func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"folder":    func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"version": func(p string) error {
			b := segfile.Header{Instance: 1<<32 | 0xabc}.Encode()
			b[8] = 2
			return os.WriteFile(p, b, 0o600)
		},
		"other name": func(p string) error { return os.WriteFile(p, segfile.Header{Instance: 5}.Encode(), 0o600) },
	} {
		r := newRig(t)
		o := r.object("a", 1000, 1000)
		s := r.storeAll(o)
		f := r.open("a")
		need(t, change(s.path))
		r.want(f, o, 0, 1000)
		r.want(f, o, 0, 1000)
		if r.local() != 0 || r.remote() != 2000 {
			t.Errorf("%s: read locally %v, from the sidecar %v", name, r.local(), r.remote())
		}
		if n := r.directories[0].failures.Load(); n != 0 {
			t.Errorf("%s is taken for a failure of the device", name)
		}
		if name != "truncated" { // whose header is right
			eventually(t, name+" is not open", func() bool { return r.metric("alio_client_open_segments") == 0 && openFiles(t, r.dir) == 0 })
		}
	}
}

// TestHungDisk: a device that hangs holds as many goroutines as it may and not one more, every read ends in time with the right bytes, and
// after a few the device is not asked any more; once it answers again it is.
func TestHungDisk(t *testing.T) {
	r := newRig(t, func(o *Options) { o.LocalDeadline, o.LocalReaders = 30*time.Millisecond, 3 })
	o := r.object("a", 16*1000, 1000)
	r.storeAll(o)
	var block atomic.Bool
	var reading atomic.Int64
	hang := make(chan struct{})
	r.breakFiles(brokenFile{block: &block, hang: hang, reading: &reading})
	f := r.open("a")
	r.want(f, o, 0, 1000)
	block.Store(true)
	var wg sync.WaitGroup
	var most atomic.Int64
	for g := range 16 {
		wg.Go(func() {
			for i := range 4 {
				r.want(f, o, (g+i)%16*1000, 1000)
				most.Store(max(most.Load(), reading.Load()))
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || most.Load() == 0 {
		t.Errorf("%d goroutines hung in the device", most.Load())
	}
	slow, failing := r.metric("alio_client_page_reads_total", "result=slow"), r.metric("alio_client_page_reads_total", "result=failing")
	if slow == 0 || failing == 0 {
		t.Errorf("%v reads were slow, %v not tried", slow, failing)
	}
	close(hang)
	eventually(t, "the hung reads end", func() bool { return reading.Load() == 0 })
	block.Store(false)
	before := r.local()
	eventually(t, "the device is read again", func() bool { r.want(f, o, 0, 16000); return r.local() > before })
}

// TestHungOpen: a segment whose open hangs delays nobody longer than the deadline, and is opened once for all who want it.
func TestHungOpen(t *testing.T) {
	r := newRig(t, func(o *Options) { o.LocalDeadline = 50 * time.Millisecond })
	o := r.object("a", 4000, 1000)
	r.storeAll(o)
	hang := make(chan struct{})
	var opens atomic.Int64
	r.Client.segments.openFile = func(path string) (segmentFile, error) {
		opens.Add(1)
		<-hang
		return openSegmentFile(path)
	}
	f := r.open("a")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() { r.want(f, o, g*1000, 1000) })
	}
	wg.Wait()
	if opens.Load() != 1 || r.local() != 0 {
		t.Fatalf("%d opens, %v bytes", opens.Load(), r.local())
	}
	close(hang)
	eventually(t, "it is open", func() bool { r.want(f, o, 0, 4000); return r.local() > 0 })
	if n := r.metric("alio_client_open_segments"); n != 1 {
		t.Fatalf("%v descriptors", n)
	}
}

// TestFailingDevice: errors of the device go to the sidecar, and set the device aside.
func TestFailingDevice(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 20_000, 1000)
	r.storeAll(o)
	r.breakFiles(brokenFile{err: syscall.EIO})
	f := r.open("a")
	for i := range 20 {
		r.want(f, o, i*1000, 1000)
	}
	if n := r.metric("alio_client_page_reads_total", "result=failing"); n != 20 || r.remote() != 20_000 {
		t.Fatalf("%v failing, %v bytes from the sidecar", n, r.remote())
	}
	if until := r.directories[0].until.Load(); until == 0 {
		t.Fatal("the device was not set aside")
	}
}

// TestIdentity: a directory is read only while the identity in it is the one that the sidecar tells; one that comes later is found.
func TestIdentity(t *testing.T) {
	for name, text := range map[string]string{
		"foreign": `{"id":"ffffffffffffffffffffffffffffffff"}`, "short": `{"id":"00"}`, "none": `{}`, "no JSON": `x`,
		"upper case": `{"id":"00112233445566778899AABBCCDDEEFF"}`, "huge": string(make([]byte, 5000)),
	} {
		r := newRig(t)
		o := r.object("a", 1000, 1000)
		r.storeAll(o)
		need(t, os.WriteFile(filepath.Join(r.dir, identityFile), []byte(text), 0o600))
		f := r.open("a")
		r.want(f, o, 0, 1000)
		if r.local() != 0 {
			t.Errorf("%s: read locally", name)
		}
		r.identify(r.id)
		r.session.looked.Store(0) // as if it were a while ago
		r.want(f, o, 0, 1000)     // asks for places, and so looks at the directories again
		r.session.looked.Store(0)
		eventually(t, name+": read locally", func() bool { r.want(f, o, 0, 1000); return r.local() > 0 })
	}
	path := filepath.Join(t.TempDir(), identityFile)
	need(t, os.WriteFile(path+"x", []byte(`{"id":"00112233445566778899aabbccddeeff"}`), 0o600))
	if id, err := readIdentity(path + "x"); err != nil || id != "00112233445566778899aabbccddeeff" {
		t.Fatal(id, err)
	}
	need(t, os.Symlink(path+"x", path))
	if _, err := readIdentity(path); err == nil {
		t.Fatal("a link was followed")
	}
	need(t, os.Remove(path))
	need(t, syscall.Mkfifo(path, 0o600))
	if _, err := readIdentity(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
