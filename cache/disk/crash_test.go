package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// stepFS calls before with the name of each call that changes the file system, before it is made.
type stepFS struct {
	vfs.FS
	before func(op vfs.Op, name string)
}

func (s stepFS) Create(name string, perm fs.FileMode) (vfs.File, error) {
	s.before(vfs.OpCreate, name)
	return s.wrap(name)(s.FS.Create(name, perm))
}

func (s stepFS) Open(name string, write bool) (vfs.File, error) {
	return s.wrap(name)(s.FS.Open(name, write))
}

func (s stepFS) wrap(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return stepFile{f, s, name}, nil
	}
}

func (s stepFS) Remove(name string) error {
	s.before(vfs.OpRemove, name)
	return s.FS.Remove(name)
}

func (s stepFS) Rename(from, to string) error {
	s.before(vfs.OpRename, from)
	return s.FS.Rename(from, to)
}

func (s stepFS) MkdirAll(name string, perm fs.FileMode) error {
	s.before(vfs.OpMkdir, name)
	return s.FS.MkdirAll(name, perm)
}

func (s stepFS) SyncDir(name string) error {
	s.before(vfs.OpSyncDir, name)
	return s.FS.SyncDir(name)
}

type stepFile struct {
	vfs.File
	fs   stepFS
	name string
}

func (f stepFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.before(vfs.OpWrite, f.name)
	return f.File.WriteAt(p, off)
}

func (f stepFile) Sync() error {
	f.fs.before(vfs.OpSync, f.name)
	return f.File.Sync()
}

func (f stepFile) Truncate(size int64) error {
	f.fs.before(vfs.OpTruncate, f.name)
	return f.File.Truncate(size)
}

func (f stepFile) Preallocate(size int64) error {
	f.fs.before(vfs.OpPreallocate, f.name)
	return f.File.Preallocate(size)
}

func (f stepFile) PunchHole(off, length int64) error {
	f.fs.before(vfs.OpPunch, f.name)
	return f.File.PunchHole(off, length)
}

// crasher plays a small history and, before every call that changes the file system, looks at what a crash at that moment would leave: only what was
// synced, a random part of what was not, and all of it (the process alone dies).
type crasher struct {
	t        *testing.T
	rng      *rand.Rand
	tears    *rand.Rand // of step, which runs beside the test
	mu       sync.Mutex // in step
	o        Options
	mem      *vfs.Mem
	tier     *Tier // nil until it is open
	registry *prometheus.Registry
	steps    map[vfs.Op]int
	total    int
	kept     int     // pages that had to be there, and were
	moved    float64 // bytes carried forward
}

const crashKeys = 60 // of 1.8 KB on average: half again the tier's size

func crashPage(n uint64) (cache.Key, []byte) { return sizedPage(n, 1+int(n*61)%3600) }

func crashOptions(fsys vfs.FS, mode SyncMode) Options {
	o := Options{Dir: "/cache", SegmentSize: 8 << 10, FS: fsys, Sync: mode, Protected: func(c uint8) bool { return c == 1 }}
	o.Size = o.smallestSize()
	return o
}

// TestCrashAtEveryStep crashes at every call, in both ways of syncing; and again at every call of the starts after such crashes. The long form:
// ALIO_CRASH_ROUNDS=50 go test -run TestCrashAtEveryStep -v ./cache/disk
func TestCrashAtEveryStep(t *testing.T) {
	s, rounds := seed(t), 1
	if text := os.Getenv("ALIO_CRASH_ROUNDS"); text != "" {
		_, err := fmt.Sscan(text, &rounds)
		need(t, err)
	}
	for _, mode := range []SyncMode{SyncAtSeal, SyncNever} {
		t.Run([]string{"sync at seal", "sync never"}[mode], func(t *testing.T) {
			c := &crasher{t: t, steps: map[vfs.Op]int{}}
			for round := range rounds {
				c.rng = rand.New(rand.NewPCG(s+uint64(round), uint64(mode)))
				c.tears = rand.New(rand.NewPCG(s+uint64(round), uint64(mode)+2))
				c.history(mode)
			}
			for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpTruncate, vfs.OpPreallocate, vfs.OpPunch, vfs.OpRename, vfs.OpRemove, vfs.OpMkdir, vfs.OpSyncDir} {
				if c.steps[op] == 0 {
					t.Errorf("the history never calls %s", op)
				}
			}
			if c.kept == 0 || c.moved == 0 {
				t.Errorf("%d pages had to be there, %v bytes were carried", c.kept, c.moved)
			}
			t.Logf("crashed before each of %d calls (%v); %d pages had to be there, and were", c.total, c.steps, c.kept)
		})
	}
}

// history opens a tier on an empty file system, stores, reads, carries and evicts, and closes it; then starts over what a crash in the midst of it
// left.
func (c *crasher) history(mode SyncMode) {
	c.mem = vfs.NewMem()
	c.o = crashOptions(stepFS{c.mem, c.step}, mode)
	h := c.open()
	var torn *vfs.Mem
	order := c.rng.Perm(crashKeys) // over and over: what comes again has been evicted meanwhile, so that each page is written
	for i := range 64 {
		n := uint64(order[i%crashKeys])
		k, data := crashPage(n)
		if c.t.Failed() {
			c.t.FailNow()
		}
		if !h.put(k, uint8(n%3), data) {
			c.t.Fatalf("page %d was not stored", n)
		}
		k, data = crashPage(uint64(order[c.rng.IntN(i+1)%crashKeys]))
		_ = h.get(k, data)
		if i == 48 {
			torn = c.mem.CrashClone(c.rng)
		}
	}
	c.moved += counter(c.t, c.registry, "alio_disk_carried_bytes_total", "")
	c.close(h)
	for _, mem := range []*vfs.Mem{c.mem, torn} {
		c.mem = mem
		c.o.FS = stepFS{mem, c.step}
		c.close(c.open())
	}
}

func (c *crasher) open() *harness {
	c.registry = prometheus.NewRegistry()
	c.o.Registerer = c.registry
	tier, err := New(c.o)
	need(c.t, err)
	need(c.t, tier.Open(context.Background()))
	c.tier = tier
	return startTier(c.t, tier)
}

func (c *crasher) close(h *harness) {
	h.stop()
	c.tier = nil
}

// step is called before each call that changes the file system, on the goroutine that makes it, where nothing may end the test at once.
func (c *crasher) step(op vfs.Op, name string) {
	c.mu.Lock() // the writer's goroutine, or, while a tier starts or ends, the test's
	defer c.mu.Unlock()
	if c.t.Failed() {
		return
	}
	c.steps[op]++
	c.total++
	sealed, stored := c.pages()
	if c.o.Sync == SyncNever {
		sealed = nil
	}
	for what, left := range map[string]struct {
		mem  *vfs.Mem
		must []uint64
	}{"what was synced": {c.mem.CrashClone(nil), sealed}, "torn": {c.mem.CrashClone(c.tears), sealed}, "killed": {c.mem.Clone(), stored}} {
		if err := c.check(left.mem, left.must); err != nil {
			c.t.Errorf("step %d, before %s of %s, %s: %v", c.total, op, name, what, err)
		}
	}
}

// pages are those in sealed segments, and all that were published.
func (c *crasher) pages() (sealed, stored []uint64) {
	if c.tier == nil || !c.tier.open.Load() {
		return nil, nil // starting, where nothing is known yet, or closing
	}
	slots := map[uint16]bool{}
	c.tier.mu.Lock()
	for _, seg := range c.tier.segments {
		slots[seg.slot] = seg.is(stateSealed)
	}
	c.tier.mu.Unlock()
	for n := range uint64(crashKeys) {
		k, _ := crashPage(n)
		if e, ok := c.tier.index.peek(k); ok {
			stored = append(stored, n)
			if slots[e.slot] {
				sealed = append(sealed, n)
			}
		}
	}
	return sealed, stored
}

// check starts a tier on what is left: it opens, serves only right bytes, has what it must have, and goes on storing pages within its limit.
func (c *crasher) check(left *vfs.Mem, must []uint64) error {
	tier, err := New(crashOptions(left, c.o.Sync))
	if err != nil {
		return err
	}
	if err := tier.Open(context.Background()); err != nil {
		return fmt.Errorf("it does not start: %w", err)
	}
	h := &harness{Tier: tier, t: c.t} // get compares
	for n := range uint64(crashKeys) {
		k, data := crashPage(n)
		if err := h.get(k, data); err != nil && !errors.Is(err, cache.ErrAbsent) && !errors.Is(err, cache.ErrCorrupt) {
			return fmt.Errorf("page %d: %w", n, err)
		}
	}
	for _, n := range must {
		if k, data := crashPage(n); h.get(k, data) != nil {
			return fmt.Errorf("page %d is lost; %+v", n, tier.Stats())
		}
		c.kept++
	}
	checkLive(c.t, tier)
	for n := range uint64(3) { // what Run would do, on this goroutine
		k, data := sizedPage(1000+n, 3000)
		stored := false
		tier.w.writeBatch([]item{{key: k, class: uint8(n), data: data, done: func(ok bool) { stored = ok }}})
		if !stored || h.get(k, data) != nil {
			return fmt.Errorf("a new page is not stored: %+v", tier.Stats())
		}
	}
	if got := left.Allocated(); got > c.o.Size {
		return fmt.Errorf("%d bytes are taken, the limit is %d", got, c.o.Size)
	}
	if err := tier.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	if n := left.OpenHandles(); n != 0 {
		return fmt.Errorf("%d files are open after Close", n)
	}
	return nil
}
