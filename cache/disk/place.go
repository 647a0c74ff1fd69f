package disk

import (
	"math/rand/v2"
	"sync"

	"github.com/alio-lake/alio/cache"
)

var (
	_ cache.Places  = (*Tier)(nil)
	_ cache.Touched = (*Tier)(nil)
)

// Directories implements cache.Places: the tier's directory, unless clients may not read it now.
func (t *Tier) Directories() []cache.Directory {
	if !t.placeable() {
		return nil
	}
	t.mu.Lock()
	id := t.id
	t.mu.Unlock()
	return []cache.Directory{{Number: t.number, ID: id, Path: t.o.Dir}}
}

// placeable says whether clients may read the segments themselves: not before Open or after Close, not while the device is set aside (their
// reads would hang or fail as ours did), and never where holes cannot be punched, since then a client that keeps a removed
// segment open would keep its room.
func (t *Tier) placeable() bool { return t.open.Load() && t.punch.works() && !t.health.aside() }

// Place implements cache.Places. It costs two looks at the index.
func (t *Tier) Place(k cache.Key) (cache.Place, bool) {
	if !t.placeable() {
		return cache.Place{}, false
	}
	return t.place(k)
}

// place looks before and after it asks whose the slot is: a slot is given away only after every entry of it has been removed, so an entry
// that is still there means that the segment was right.
func (t *Tier) place(k cache.Key) (cache.Place, bool) {
	before, ok := t.index.peek(k)
	if !ok {
		return cache.Place{}, false
	}
	seg := t.table.get(before.slot)
	after, ok := t.index.peek(k)
	if seg == nil || !ok || after.slot != before.slot || after.off != before.off {
		return cache.Place{}, false // it was moved or evicted at this moment: the caller reads it another way
	}
	loc := before.location()
	return t.placeOf(seg, loc.Off, loc.Length, loc.Class), true
}

func (t *Tier) placeOf(seg *segment, off int64, length int, class uint8) cache.Place {
	id := cache.SegmentID{Instance: seg.header.Instance, Seq: seg.header.Seq, Directory: t.number}
	return cache.Place{Segment: id, Off: off, Length: length, Class: class}
}

// Touch implements cache.Places. It also counts where Place is false, for a client that has read the page a moment before.
func (t *Tier) Touch(k cache.Key) (cache.Place, bool) {
	if !t.open.Load() {
		return cache.Place{}, false
	}
	e, ok := t.index.peek(k)
	if !ok {
		return cache.Place{}, false
	}
	seg, loc := t.index.acquire(k, e.length(), &t.table)
	if seg == nil {
		return cache.Place{}, false
	}
	p := t.placeOf(seg, loc.Off, loc.Length, loc.Class)
	t.release(seg)
	return p, true
}

// Touched implements cache.Touched.
func (t *Tier) Touched(k cache.Key) (touched, ok bool) {
	if !t.open.Load() {
		return false, false
	}
	e, ok := t.index.peek(k)
	return e.meta&touchedFlag != 0, ok
}

// Retired implements cache.Places. A caller that asks for places and for the moment together takes the moment first: what is retired between the
// two is then told next time.
func (t *Tier) Retired(since uint64) ([]cache.SegmentID, uint64, bool) { return t.retired.since(since) }

// retiredMost is how many retirements are remembered: 192 KiB of memory, and at a gigabyte a second of 64 MiB segments nine minutes.
const retiredMost = 8192

// retiredLog remembers the last retirements, numbered one after the other. The first number is random, so that a moment of another process is out
// of range (but for a chance of 2^-49). Several tiers may share one.
type retiredLog struct {
	mu    sync.Mutex
	ring  []cache.SegmentID // the retirement n is at n % retiredMost
	first uint64            // the oldest that is remembered
	next  uint64            // the number of the next one: the present moment
}

func newRetiredLog() *retiredLog {
	start := rand.Uint64() >> 1 // no overflow while the sun shines
	return &retiredLog{first: start, next: start}
}

func (l *retiredLog) add(id cache.SegmentID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ring == nil {
		l.ring = make([]cache.SegmentID, retiredMost)
	}
	l.ring[l.next%retiredMost] = id
	l.next++
	if l.next-l.first > retiredMost {
		l.first = l.next - retiredMost
	}
}

// forget makes every earlier moment too old: so many segments are gone at once (a device was set aside) that naming them is of no use.
func (l *retiredLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	l.first = l.next
}

func (l *retiredLog) since(moment uint64) (gone []cache.SegmentID, now uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if moment < l.first || moment > l.next {
		return nil, l.next, false
	}
	for n := moment; n < l.next; n++ {
		gone = append(gone, l.ring[n%retiredMost])
	}
	return gone, l.next, true
}
