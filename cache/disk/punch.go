package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// punchState says whether the file system can punch holes into removed files.
type punchState struct{ v atomic.Int32 }

const (
	punchUnknown int32 = iota // not tried, or the trial failed for another reason (a full device): it is tried again
	punchWorks
	punchUnsupported
)

func (p *punchState) works() bool   { return p.v.Load() == punchWorks }
func (p *punchState) unknown() bool { return p.v.Load() == punchUnknown }

// punchProbe is the file that probePunch makes; a start that was interrupted may leave it.
const punchProbe = "alio-punch.tmp"

const punchProbeSize = 4096 // of the slack that is kept free

// probePunch finds out, on a file that is removed and still open as a segment would be, whether a hole gives its room back and reads as zeros.
func (t *Tier) probePunch() {
	switch err := t.tryPunch(); {
	case err == nil:
		t.punch.v.Store(punchWorks)
	case errors.Is(err, errors.ErrUnsupported):
		t.punch.v.Store(punchUnsupported)
		t.o.Log.Warn().Err(err).Str("dir", t.o.Dir).Msg("this file system cannot punch holes; clients do not read cached pages from this directory themselves, they ask for them")
	default:
		t.punch.v.Store(punchUnknown)
		t.o.Log.Warn().Err(err).Str("dir", t.o.Dir).Msg("whether holes can be punched could not be found out, which is tried again; until then clients ask for cached pages")
	}
}

func (t *Tier) tryPunch() (err error) {
	path := filepath.Join(t.o.Dir, punchProbe)
	_ = t.o.FS.Remove(path) // left over
	f, err := t.o.FS.Create(path, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, punchProbeSize)
	for i := range b {
		b[i] = 1
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, t.o.FS.Remove(path)); err != nil {
		return err
	}
	if err := f.PunchHole(0, punchProbeSize); err != nil {
		return err
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	for _, c := range b {
		if c != 0 {
			return fmt.Errorf("%w: a punched hole does not read as zeros", errors.ErrUnsupported)
		}
	}
	return nil
}

// How a removed segment gives its room back. Clients in other processes may hold its descriptor for as long as they like, and a file that is
// unlinked but held keeps its blocks. So it is renamed first (a crash then leaves a name to find it by), waits until our own readers have
// let go and for the grace (a client whose view is a little old still hits), and then a hole is punched over all of it. It is never truncated:
// a client that has mapped it would get SIGBUS; in a hole it reads zeros, which fail their sums. Then it is unlinked. Until its blocks are
// gone it counts against the limit.

const (
	goneSuffix   = ".gone" // of a removed segment's name
	regrave      = time.Second
	graveLimit   = time.Minute // how long a file system may take to report that punched room is free
	mostGraves   = 256         // of those that could not be unlinked: they hold a descriptor each
	punchAtStart = 4 << 30     // the largest file that is punched at a start
)

// grave is where a removed segment is on its way.
type grave struct {
	path    string    // of the file now; "" once it is unlinked
	file    vfs.File  // where it had to be unlinked at once: opened for writing before, if it could be
	due     time.Time // when to go on with it
	punched time.Time // zero: not yet
}

// entomb takes a segment's name away. From then on it counts as dying.
func (t *Tier) entomb(s *segment) error {
	s.grave = grave{path: s.path + goneSuffix, due: time.Now().Add(t.o.Grace)}
	err := t.o.FS.Rename(s.path, s.grave.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a full device may not have room for another name
		s.grave.path = ""
		if f, openErr := t.o.FS.Open(s.path, true); openErr == nil {
			s.grave.file = f
		}
		if err := t.o.FS.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.closeGrave(s)
			return err
		}
	}
	if !t.punch.works() {
		s.grave.due = time.Time{} // no client reads it
	}
	return nil
}

func (t *Tier) closeGrave(s *segment) {
	if s.grave.file != nil {
		if err := s.grave.file.Close(); err != nil {
			t.o.Log.Warn().Err(err).Msg("closing a cache segment failed")
		}
		s.grave.file = nil
	}
}

// reap goes on with the segments that nobody here holds any more and whose grace is over, or with all while there is more than the limit (a start
// may find that).
func (t *Tier) reap() { t.reapFor(0) }

// reapFor goes on with segments of any age, the oldest first, until there is room for so many bytes more. Only the writer calls it.
func (t *Tier) reapFor(bytes int64) {
	t.mu.Lock()
	dead := t.dead
	t.dead = nil
	t.mu.Unlock()
	t.graves = append(t.graves, dead...)
	rest := t.graves[:0]
	for i, s := range t.graves {
		hurry := t.used.Load()+bytes > t.o.Size && s.grave.punched.IsZero()
		due := time.Now().Compare(s.grave.due) >= 0
		if (hurry || due) && t.bury(s, len(t.graves) > mostGraves && !s.grave.punched.IsZero()) {
			continue
		}
		rest = append(rest, t.graves[i])
	}
	clear(t.graves[len(rest):])
	t.graves = rest
	t.graveBytes = 0
	for _, s := range rest {
		t.graveBytes += s.charge.Load()
	}
}

// nextReap is when reap has something to do; false if nothing waits.
func (t *Tier) nextReap() (at time.Time, ok bool) {
	for _, s := range t.graves {
		if !ok || s.grave.due.Before(at) {
			at, ok = s.grave.due, true
		}
	}
	return at, ok
}

// reapAll is for the end: nothing is waited for.
func (t *Tier) reapAll() {
	t.mu.Lock()
	dead := append(t.graves, t.dead...)
	t.dead, t.graves = nil, nil
	t.mu.Unlock()
	for _, s := range dead {
		t.bury(s, true)
	}
}

// bury ends a segment that nobody here holds: it gives its room back and closes it. false: the device did not take it all yet, and it is to be
// called again; not if it is the last time.
func (t *Tier) bury(s *segment, last bool) bool {
	if s.is(stateUnlinked) && !t.giveBack(s, last) && !last {
		return false
	}
	t.closeSegment(s)
	return true
}

// closeSegment closes the file and stops counting it.
func (t *Tier) closeSegment(s *segment) {
	t.closeGrave(s)
	if s.file != nil {
		if err := s.file.Close(); err != nil {
			t.o.Log.Warn().Err(err).Msg("closing a cache segment failed")
		}
		t.table.clear(s) // not before: a reader that holds it still names its pages by the slot
	}
	if s.is(stateUnlinked) {
		t.used.Add(-s.charge.Load())
		t.dying.Add(-s.charge.Load())
		t.mu.Lock()
		t.unlinked--
		t.mu.Unlock()
	}
}

// giveBack punches and unlinks a removed segment. What cannot be done now is tried again later.
func (t *Tier) giveBack(s *segment, last bool) bool {
	g, now := &s.grave, time.Now()
	if s.file != nil && t.punch.works() {
		if g.punched.IsZero() {
			if err := t.punchOut(s); err != nil {
				t.o.Log.Warn().Err(err).Str("segment", s.path).Msg("a removed cache segment's room cannot be given back, which is tried again; until then it counts")
				g.due = now.Add(removeRetry)
				return false
			}
			g.punched = now
		}
		if left, err := s.file.Allocated(); err == nil && left > segmentOverhead && now.Sub(g.punched) < graveLimit && !last {
			g.due = now.Add(regrave) // some file systems free it later
			return false
		}
		t.discount(s)
	}
	if g.path == "" {
		return true
	}
	if err := t.o.FS.Remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.o.Log.Warn().Err(err).Msg("a removed cache segment cannot be unlinked, which is tried again")
		g.due = now.Add(removeRetry)
		return last // it takes a name and no room; the next start removes it
	}
	g.path = ""
	return true
}

// discount stops counting a removed segment, but for the block that its name may take.
func (t *Tier) discount(s *segment) {
	less := s.charge.Swap(wholeBlocks(1)) - wholeBlocks(1)
	t.used.Add(-less)
	t.dying.Add(-less)
}

// punchOut punches a removed segment. One that a start has opened is open for reading only.
func (t *Tier) punchOut(s *segment) error {
	size := max(s.size, t.o.SegmentSize)
	if s.grave.file != nil {
		return s.grave.file.PunchHole(0, size)
	}
	err := s.file.PunchHole(0, size)
	if !errors.Is(err, syscall.EBADF) {
		return err
	}
	if s.grave.path == "" {
		t.o.Log.Warn().Str("segment", s.path).Msg("a removed cache segment could be opened for reading only; its room may come back only when its last reader closes it")
		return nil
	}
	f, err := t.o.FS.Open(s.grave.path, true)
	if err != nil {
		return err
	}
	return errors.Join(f.PunchHole(0, size), f.Close())
}

// clearGone gives back what a process that was killed had removed but not yet punched: its clients may still hold it.
func (t *Tier) clearGone() error {
	dir := filepath.Join(t.o.Dir, segmentsDir)
	entries, err := t.o.FS.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("disk: cache directory: %w", err)
	}
	for _, e := range entries {
		name, gone := strings.CutSuffix(e.Name, goneSuffix)
		if _, _, ok := segfile.ParseName(name); !gone || !ok || e.Dir {
			continue
		}
		path := filepath.Join(dir, e.Name)
		if f, err := t.o.FS.Open(path, true); err == nil {
			err = f.PunchHole(0, min(max(e.Size, t.o.SegmentSize), punchAtStart))
			if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.o.Log.Warn().Err(err).Str("path", path).Msg("the room of a removed cache segment may come back only when its last reader closes it")
			}
		}
		if err := t.o.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.o.Log.Warn().Err(err).Msg("a removed cache segment cannot be unlinked; it counts against the limit")
		}
	}
	return nil
}
