package disk

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// model plays random histories: writes, reads, restarts, crashes and faults. Whatever happened, a read answers exactly the bytes that
// were written under its key, or an error; what was just stored can be read unless something was made to fail; the limit holds.
type model struct {
	t   *testing.T
	rng *rand.Rand
	o   Options
	mem *vfs.Mem
	ff  *vfs.Faulty
	h   *harness

	faulty     bool // rules are armed
	noRemove   bool // since the last healthy moment a removal may have failed
	reads, ok  int
	crashes    int
	stored     int
	writeFails int
}

const modelKeys = 600 // of 46 KB on average: twice the tier's size

func TestModel(t *testing.T) {
	s := seed(t)
	var sum struct{ ok, stored, crashes, writeFails int }
	for round := range 4 {
		synctest.Test(t, func(t *testing.T) {
			m := &model{t: t, rng: rand.New(rand.NewPCG(s, uint64(round))), mem: vfs.NewMem()}
			m.ff = vfs.NewFaulty(m.mem)
			m.o = testOptions(m.ff)
			if round%2 == 1 {
				m.o.Size, m.o.SegmentSize = 4<<20, 300<<10 // one stream
			}
			m.h = openTier(t, m.o)
			for range 1000 {
				m.step()
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("round %d: %d of %d reads hit, %d stored, %d writes failed, %d crashes", round, m.ok, m.reads, m.stored, m.writeFails, m.crashes)
			sum.ok, sum.stored = sum.ok+m.ok, sum.stored+m.stored
			sum.crashes, sum.writeFails = sum.crashes+m.crashes, sum.writeFails+m.writeFails
		})
	}
	if sum.ok == 0 || sum.stored == 0 || sum.crashes == 0 || sum.writeFails == 0 {
		t.Errorf("the histories were too tame: %+v", sum)
	}
}

func (m *model) step() {
	switch r := m.rng.IntN(1000); {
	case r < 450:
		m.write()
	case r < 940:
		m.read()
	case r < 975:
		m.fault()
	case r < 985:
		m.restart(m.mem)
	case r < 990:
		m.restart(m.mem.Clone())
	default:
		m.crashes++
		var rng *rand.Rand
		if m.rng.IntN(4) > 0 {
			rng = m.rng
		}
		m.restart(m.mem.CrashClone(rng))
	}
	if !m.noRemove {
		if got := m.mem.Allocated(); got > m.o.Size {
			m.t.Errorf("%d bytes allocated, %d are the limit; counted: %d", got, m.o.Size, m.h.Stats().Bytes)
		}
	}
	if used := m.h.used.Load(); used > m.o.Size && !m.noRemove {
		m.t.Errorf("%d bytes counted, %d are the limit", used, m.o.Size)
	}
}

func (m *model) write() {
	n := m.rng.Uint64N(modelKeys)
	k, data := testPage(n)
	if !m.h.put(k, uint8(n%3), data) {
		if m.writeFails++; !m.faulty && !m.h.paused() && !m.h.health.aside() && !m.noRemove {
			m.t.Errorf("a write failed for no reason: %+v", m.h.Stats())
		}
		return
	}
	m.stored++
	if err := m.h.get(k, data); err != nil && !m.faulty && !m.h.health.aside() {
		m.t.Errorf("what was just stored cannot be read: %v", err)
	}
}

func (m *model) read() {
	k, data := testPage(m.rng.Uint64N(modelKeys))
	off := m.rng.IntN(len(data))
	m.reads++
	err := m.h.getPart(k, data, off, 1+m.rng.IntN(len(data)-off))
	if err == nil {
		m.ok++
	} else if !errors.Is(err, cache.ErrAbsent) && !errors.Is(err, cache.ErrCorrupt) && !errors.Is(err, cache.ErrSick) {
		m.t.Errorf("an error of no kind: %v", err)
	}
}

// fault arms a random fault, or heals everything and lets the pauses pass.
func (m *model) fault() {
	if m.faulty {
		m.heal()
		return
	}
	m.faulty = true
	m.ff.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
	for range 1 + m.rng.IntN(2) {
		r := vfs.Rule{From: 1 + m.rng.IntN(20), For: 1 + m.rng.IntN(5), Glob: "*.seg"}
		switch m.rng.IntN(11) {
		case 0:
			r.Op, r.Err, r.Short = vfs.OpWrite, syscall.ENOSPC, m.rng.IntN(200_000)
		case 1:
			r.Op, r.Err = vfs.OpSync, syscall.EIO
		case 2:
			r.Op, r.Err = vfs.OpRead, syscall.EIO
		case 3:
			r.Op, r.Flip = vfs.OpRead, 1+m.rng.Int64N(600)
		case 4:
			r.Op, r.Flip = vfs.OpReadNow, 1+m.rng.Int64N(100_000)
		case 5:
			r.Op, r.Err, r.Glob = vfs.OpRemove, syscall.EIO, "*.seg*"
			m.noRemove = true
		case 6:
			r.Op, r.Err = vfs.OpCreate, syscall.ENOSPC
		case 7:
			r.Op, r.Err = vfs.OpTruncate, syscall.EIO
		case 8:
			r.Op, r.Err = vfs.OpPreallocate, syscall.ENOSPC
		case 9:
			r.Op, r.Err = vfs.OpRename, syscall.ENOSPC
		case 10:
			r.Op, r.Err = vfs.OpPunch, syscall.EIO
			m.noRemove = true
		}
		m.ff.Add(r)
	}
}

func (m *model) heal() {
	m.ff.Clear()
	wait(3 * time.Minute) // every pause and back-off
	m.faulty = false
	k, data := testPage(0)
	_ = m.h.get(k, data) // may send the probe
	synctest.Wait()
}

// wait lets a bubble's time pass.
func wait(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// restart ends the tier and opens another on mem, which is the same file system or what a crash left of it.
func (m *model) restart(mem *vfs.Mem) {
	m.h.stop()
	synctest.Wait() // a probe that was on its way holds a segment, and closes it
	if n := m.mem.OpenHandles(); n != 0 {
		m.t.Errorf("%d files are open after Close", n)
	}
	m.mem = mem
	m.ff = vfs.NewFaulty(mem)
	m.faulty, m.noRemove = false, false
	m.o.FS = m.ff
	if m.rng.IntN(3) == 0 {
		m.ff.Add(vfs.Rule{Op: vfs.OpRead, Glob: "*.seg", Err: syscall.EIO, From: 1 + m.rng.IntN(50), For: 1 + m.rng.IntN(3)})
		m.faulty = true
	}
	m.h = openTier(m.t, m.o)
}

// TestIndexAgainstMap compares the index with a map over random inserts, moves and removes.
func TestIndexAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 3))
	var x index
	want := map[cache.Key]segfile.Location{}
	part := cache.HashPart("x")
	for range 60_000 {
		k := part.Page(rng.Int64N(3000), 1)
		k[15] &= 3 // few shards, so that they fill and wrap
		p := segfile.Location{Key: k, Off: segfile.Align * (1 + rng.Int64N(1000)), Length: 1 + rng.IntN(cache.MaxPage), Class: uint8(rng.IntN(256))}
		old, had := want[k]
		switch rng.IntN(4) {
		case 0, 1:
			if x.insert(newEntry(p, 5)) == had {
				t.Fatal("insert is wrong")
			}
			if !had {
				want[k] = p
			}
		case 2:
			if ok, _ := x.remove(k, 5, old.Off); ok != had {
				t.Fatal("remove is wrong")
			}
			delete(want, k)
		case 3:
			if ok, _ := x.move(newEntry(p, 5), 5, old.Off); ok != had {
				t.Fatal("move is wrong")
			}
			if had {
				want[k] = p
			}
			if ok, _ := x.remove(k, 6, p.Off); ok {
				t.Fatal("removed although it lies in another segment")
			}
		}
	}
	for n := range int64(3000) {
		k := part.Page(n, 1)
		k[15] &= 3
		e, ok := x.peek(k)
		p, had := want[k]
		if ok != had || ok && e.location() != p {
			t.Fatalf("key %d: %v %+v, want %v %+v", n, ok, e.location(), had, p)
		}
	}
	if n, _ := x.sizes(); n != len(want) {
		t.Fatalf("%d pages, want %d", n, len(want))
	}
	x.removeSlot(5)
	if n, _ := x.sizes(); n != 0 {
		t.Fatalf("%d pages after removeSlot", n)
	}
}
