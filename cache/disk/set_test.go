package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// loadEnv is how many segments are retired before TestLimitsUnderLoad ends: as a rule 40, and 10,000 for its long form, which has less trouble so that
// it gets there.
const loadEnv = "ALIO_DISK_LOAD"

// load is 16 readers, of whom half read the segments themselves as clients do and keep descriptors of removed ones, and 4 writers, on two devices that
// hang, fail and are full at times. The pages are 20 times what the devices hold.
type load struct {
	*fleet
	t     *testing.T
	seed  uint64
	pages uint64
	base  []byte
	quit  chan struct{}
	users sync.WaitGroup

	hits, absent, sick, local, late, shed atomic.Int64
	foreign                               atomic.Int64 // descriptors that clients hold
	mostUsed, mostFiles, mostGoroutines   int64
}

const loadPage = 60_000

func TestLimitsUnderLoad(t *testing.T) {
	goal := 40
	if v := os.Getenv(loadEnv); v != "" {
		var err error
		goal, err = strconv.Atoi(v)
		need(t, err)
	}
	onDevice(t, "256m", func(t *testing.T, dir string, own bool) { testLoad(t, dir, own, goal) })
}

func testLoad(t *testing.T, dir string, own bool, goal int) {
	l := &load{t: t, seed: seed(t), base: make([]byte, loadPage), quit: make(chan struct{})}
	_, _ = rand.NewChaCha8([32]byte{9}).Read(l.base)
	l.fleet = newFleet(t, 2, func(o *DevicesOptions) {
		o.CheckEvery = 10 * time.Millisecond
		o.Each.Sync, o.Each.ReadDeadline, o.Each.Readers, o.Each.FailAfter = SyncNever, 20*time.Millisecond, 8, 1<<40
		o.Each.WriteQueue, o.Each.Grace = 8<<20, 20*time.Millisecond
		o.Each.Log = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel)
		for i := range o.Dirs {
			o.Dirs[i] = Dir{Path: filepath.Join(dir, strconv.Itoa(i)), Size: 24 << 20, SegmentSize: 1 << 20}
		}
	})
	mounts := vfs.NewMounts(vfs.OS)
	for i, d := range l.o.Dirs {
		l.faults[i] = vfs.NewFaulty(vfs.OS)
		mounts.Mount(d.Path, l.faults[i])
	}
	l.o.Each.FS = mounts
	l.pages = uint64(20 * 2 * (24 << 20) / loadPage)
	free, goroutines := deviceFree(t, dir), runtime.NumGoroutine()
	l.start()
	for g := range 16 {
		l.users.Go(func() { l.read(g, g%2 == 0) })
	}
	for g := range 4 {
		l.users.Go(func() { l.write(g) })
	}
	l.users.Go(func() { l.trouble(time.Duration(15+goal/50) * time.Millisecond) })
	start := time.Now()
	retired := l.watch(dir, own, free, goal)
	close(l.quit)
	l.users.Wait()
	for _, f := range l.faults {
		f.Clear()
	}
	l.check(goroutines, retired, time.Since(start))
	l.stop()
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are open at the end", n)
	}
}

// page is the n-th page: like all others but for its number, here and there.
func (l *load) page(n uint64) (cache.Key, []byte) {
	b := bytes.Clone(l.base)
	for at := 0; at+8 <= len(b); at += 8192 {
		binary.LittleEndian.PutUint64(b[at:], n)
	}
	return cache.HashPart("load").Page(int64(n), loadPage), b
}

// right compares bytes of the n-th page from off.
func (l *load) right(n uint64, off int, b []byte) bool {
	_, want := l.page(n)
	return bytes.Equal(b, want[off:off+len(b)])
}

func (l *load) stopped() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// pick prefers pages of a small part, so that some are read again.
func (l *load) pick(rng *rand.Rand) uint64 {
	if rng.IntN(2) == 0 {
		return rng.Uint64N(l.pages / 60)
	}
	return rng.Uint64N(l.pages)
}

func (l *load) read(g int, client bool) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(g)))
	held := map[cache.SegmentID]*os.File{}
	defer func() {
		for _, f := range held {
			f.Close()
			l.foreign.Add(-1)
		}
	}()
	for !l.stopped() {
		n := l.pick(rng)
		off := rng.IntN(loadPage)
		size := min(1+rng.IntN(20_000), loadPage-off)
		if client {
			l.readLocal(rng, held, n, off, size)
			continue
		}
		k := cache.HashPart("load").Page(int64(n), loadPage)
		switch b, err := l.Read(context.Background(), k, loadPage, off, size); {
		case err == nil:
			if !l.right(n, off, b.B) {
				l.t.Errorf("page %d: wrong bytes", n)
			}
			b.Free()
			l.hits.Add(1)
		case errors.Is(err, cache.ErrAbsent):
			l.absent.Add(1)
		case errors.Is(err, cache.ErrSick):
			l.sick.Add(1)
		default:
			l.t.Errorf("page %d: %v", n, err)
		}
	}
}

// readLocal is a client: it asks for the place and reads there, with descriptors that it keeps too long.
func (l *load) readLocal(rng *rand.Rand, held map[cache.SegmentID]*os.File, n uint64, off, size int) {
	k := cache.HashPart("load").Page(int64(n), loadPage)
	p, ok := l.Place(k)
	if !ok {
		l.absent.Add(1)
		return
	}
	if held[p.Segment] == nil {
		for id, f := range held {
			if len(held) < 12 {
				break
			}
			f.Close()
			l.foreign.Add(-1)
			delete(held, id)
		}
		f, err := os.Open(filepath.Join(l.o.Dirs[p.Segment.Directory].Path, segmentsDir, segfile.Name(p.Segment.Instance, p.Segment.Seq)))
		if err != nil {
			l.late.Add(1)
			return
		}
		held[p.Segment] = f
		l.foreign.Add(1)
	}
	if rng.IntN(50) == 0 {
		runtime.Gosched() // the segment may be evicted between the place and the read
	}
	b, right, err := readPlaceFrom(held[p.Segment], k, p, off, size)
	switch {
	case err != nil:
		l.t.Errorf("page %d from its place: %v", n, err)
	case !right:
		l.late.Add(1)
	case !l.right(n, off, b):
		l.t.Errorf("page %d from its place: wrong bytes that pass their check", n)
	default:
		l.local.Add(1)
		l.Touch(k)
	}
}

func (l *load) write(g int) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(100+g)))
	done := make(chan bool, 64)
	for n := 0; !l.stopped(); n++ {
		k, data := l.page(l.pick(rng))
		if l.Contains(k) {
			continue
		}
		if !l.Write(k, uint8(rng.IntN(3)), data, func(ok bool) { done <- ok }) {
			l.shed.Add(1)
			runtime.Gosched()
			continue
		}
		if len(done) > 32 || rng.IntN(8) == 0 {
			<-done
			for len(done) > 0 {
				<-done
			}
		}
	}
}

// trouble makes the devices hang, fail and be full at times.
func (l *load) trouble(every time.Duration) {
	rng := rand.New(rand.NewPCG(l.seed, 1000))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		release := make(chan struct{})
		f := l.faults[rng.IntN(2)]
		switch rng.IntN(8) {
		case 0, 1:
			f.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock, For: 40})
			f.Add(vfs.Rule{Op: vfs.OpRead, Hang: release, For: 12})
		case 2:
			f.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.seg", Hang: release, For: 1})
		case 3:
			f.Add(vfs.Rule{Op: vfs.OpCreate, Err: syscall.ENOSPC, For: 1})
		case 4:
			f.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "*.seg", Err: syscall.ENOSPC, Short: 5000, For: 1})
		case 5:
			f.Add(vfs.Rule{Op: vfs.OpPunch, Hang: release, For: 1})
		case 6:
			f.Add(vfs.Rule{Op: vfs.OpRename, Err: syscall.ENOSPC, For: 1})
		}
		quit := false
		select {
		case <-tick.C:
		case <-l.quit:
			quit = true
		}
		close(release)
		f.Clear()
		if quit {
			return
		}
	}
}

// watch measures all the time, until enough segments were retired.
func (l *load) watch(dir string, own bool, free int64, goal int) (retired int) {
	end := time.After(9 * time.Minute)
	_, moment, _ := l.Retired(0)
	for i := 0; retired < goal && !l.t.Failed(); i++ {
		select {
		case <-end:
			l.t.Errorf("%d segments were retired in 9 minutes", retired)
			return retired
		default:
		}
		gone, now, ok := l.Retired(moment)
		if !ok {
			l.t.Error("more were retired between two looks than are remembered")
		}
		retired, moment = retired+len(gone), now
		used, limit := int64(0), int64(0)
		for _, d := range l.devices {
			t := d.tier.Load()
			used, limit = used+t.used.Load(), limit+t.o.Size
			if n := len(t.slow); n > t.o.Readers || t.used.Load() > t.o.Size || t.queue.size() > t.o.WriteQueue {
				l.t.Errorf("%d reads in the device, %d bytes used, %d queued", n, t.used.Load(), t.queue.size())
			}
		}
		if own {
			used = free - deviceFree(l.t, dir)
		}
		if l.mostUsed = max(l.mostUsed, used); used > limit {
			l.t.Errorf("%d bytes of the device are used, %d may be", used, limit)
		}
		if i%50 == 0 {
			foreign := l.foreign.Load()
			files := int64(openFiles(l.t, dir))
			l.mostFiles = max(l.mostFiles, files-max(foreign, l.foreign.Load())-16)
			l.mostGoroutines = max(l.mostGoroutines, int64(runtime.NumGoroutine()))
		}
		runtime.Gosched()
	}
	return retired
}

// check looks at what came of it.
func (l *load) check(goroutines, retired int, took time.Duration) {
	l.t.Logf("%d segments retired in %v; %d hits, %d by clients, %d too late; %d absent, %d sick, %d shed; at most %d bytes, %d descriptors, %d goroutines",
		retired, took.Round(time.Millisecond), l.hits.Load(), l.local.Load(), l.late.Load(), l.absent.Load(), l.sick.Load(), l.shed.Load(),
		l.mostUsed, l.mostFiles, l.mostGoroutines)
	if l.hits.Load() == 0 || l.local.Load() == 0 || l.absent.Load() == 0 || l.mostUsed < 24<<20 {
		l.t.Error("the load was too tame")
	}
	files, users := int64(0), int64(16+4+2)
	for _, d := range l.devices {
		files += int64(d.tier.Load().o.mostSegments()) + 16
		users += int64(d.o.Readers) + 5
	}
	if l.mostFiles > files {
		l.t.Errorf("%d descriptors, %d may be", l.mostFiles, files)
	}
	if l.mostGoroutines > int64(goroutines)+users {
		l.t.Errorf("%d goroutines, %d before, %d may be added", l.mostGoroutines, goroutines, users)
	}
}
