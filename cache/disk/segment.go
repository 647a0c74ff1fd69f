package disk

import (
	"path/filepath"
	"sync/atomic"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// stream says which pages a segment was made for: pages that die at about the same time lie together, so that evicting a segment loses little
// that is of use.
type stream uint8

const (
	probation       stream = iota // new pages; the only stream of a small tier
	hot                           // pages that were read again and carried forward
	protectedStream               // pages of protected classes
	streams
)

// segState is where a segment is in its life.
type segState int32

const (
	stateActive    segState = iota // being appended to
	stateSealed                    // complete, with its index at its end
	stateAbandoned                 // a write or sync failed: what was published is readable, the index is in memory only
	stateUnknown                   // of an unknown format, or unreadable: counted, and the first to go
	stateUnlinked                  // removed; readers may still hold it
	segStates
)

var stateNames = [segStates]string{"active", "sealed", "abandoned", "unknown", "unlinked"}

// segment is a segment file. The fields above refs never change; those below it are safe for parallel use; the last group belongs to
// the writer (during Open: to Open).
type segment struct {
	slot   uint16
	path   string
	header segfile.Header
	seed   uint32
	file   vfs.File // nil in stateUnknown

	refs    atomic.Int64 // readers, and one for the table; who takes the last one away has it closed (hold, letGo)
	state   atomic.Int32
	charge  atomic.Int64 // bytes of the device it is counted as
	live    atomic.Int64 // bytes of records that the index points to
	touched atomic.Int64 // of these, bytes read since they were written
	pages   atomic.Int64 // that the index points to

	listed []segfile.Location // pages in it, until it is sealed
	end    int64              // where its records end
	size   int64              // of the file
	failed int64              // unix nanoseconds before which it is not tried as a victim, since its removal failed
	grave  grave              // once it is removed
}

// deadRefs is what refs becomes when nobody holds the segment any more: so far below zero that no number of holds in vain brings it back.
const deadRefs = -1 << 62

// hold takes hold of a segment; false if it is dead. The segment's slot may long have been given to another when a reader without a lock comes to
// hold it: it must look at its entry again (index.acquire).
func (s *segment) hold() bool {
	if s.refs.Add(1) > 0 {
		return true
	}
	s.refs.Add(-1)
	return false
}

// letGo undoes a hold; true for the last one, after which nobody can take hold of it again.
func (s *segment) letGo() bool {
	return s.refs.Add(-1) == 0 && s.refs.CompareAndSwap(0, deadRefs) // else somebody has just taken hold, and will be the last
}

func (s *segment) is(st segState) bool { return segState(s.state.Load()) == st }
func (s *segment) set(st segState)     { s.state.Store(int32(st)) }

// gain and lose keep the counts of what the index points to.
func (s *segment) gain(length int) {
	s.live.Add(segfile.RecordSize(length))
	s.pages.Add(1)
}

func (s *segment) lose(length int, touched bool) {
	s.live.Add(-segfile.RecordSize(length))
	s.pages.Add(-1)
	if touched {
		s.touched.Add(-segfile.RecordSize(length))
	}
}

// segmentTable finds a segment by the slot that index entries hold.
type segmentTable struct {
	slots [2 * maxSegments]atomic.Pointer[segment]
	next  uint16
}

func (t *segmentTable) get(slot uint16) *segment { return t.slots[slot].Load() }

// add gives a segment a free slot; false if there is none. Only one goroutine adds.
func (t *segmentTable) add(s *segment) bool {
	for range len(t.slots) {
		slot := t.next
		t.next = (t.next + 1) % uint16(len(t.slots))
		if t.slots[slot].Load() == nil {
			s.slot = slot
			s.refs.Store(1) // the table's; before anybody can find it
			t.slots[slot].Store(s)
			return true
		}
	}
	return false
}

func (t *segmentTable) clear(s *segment) { t.slots[s.slot].Store(nil) }

func (t *Tier) segmentPath(instance, seq uint64) string {
	return filepath.Join(t.o.Dir, segmentsDir, segfile.Name(instance, seq))
}

// release lets go of a segment. The last to let go does not close it, since freeing the blocks of a removed file takes
// milliseconds: the writer does.
func (t *Tier) release(s *segment) {
	if !s.letGo() {
		return
	}
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.dead = append(t.dead, s)
	}
	t.mu.Unlock()
	if closed {
		t.bury(s, true)
		return
	}
	select {
	case t.deadSignal <- struct{}{}:
	default:
	}
}
