package disk

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/hugepages"
)

var le = binary.LittleEndian

// entry is a page of the index, taken out of its cell.
type entry struct {
	key  cache.Key
	off  uint32 // of the record in its segment, in units of align
	meta uint32 // length in bytes (21 bits), class (8 bits), touched (1 bit)
	slot uint16 // of the segment in the table
}

const (
	lengthBits  = 21
	lengthMask  = 1<<lengthBits - 1
	touchedFlag = 1 << 31
)

func newEntry(p segfile.Location, slot uint16) entry {
	return entry{key: p.Key, off: uint32(p.Off / segfile.Align), meta: uint32(p.Length) | uint32(p.Class)<<lengthBits, slot: slot}
}

func (e *entry) length() int { return int(e.meta & lengthMask) }

func (e *entry) location() segfile.Location {
	return segfile.Location{Key: e.key, Off: int64(e.off) * segfile.Align, Length: e.length(), Class: uint8(e.meta >> lengthBits)}
}

// cell is where an entry lies in a table: three words without a pointer, so that the garbage collector never looks at them. The key's last byte
// is the shard's number and is not kept; in its place is the class. Readers hold no lock, so words are read and written with atomics, and place,
// which says that the cell is taken, first.
type cell struct {
	key0  uint64 // the key's bytes 0 to 7
	key1  uint64 // its bytes 8 to 14, and the class
	place uint64 // from the top: present (1 bit), touched (1), length - 1 (20), slot (16), offset / align (26). 0: the cell is empty
}

const (
	cellBytes    = 24
	offBits      = 26
	slotBits     = 16
	classShift   = 56
	key1Mask     = 1<<classShift - 1
	placeSlot    = offBits
	placeLength  = placeSlot + slotBits
	placeTouched = 1 << 62
	placePresent = 1 << 63

	// indexedOff bounds where a record may start: as far as the largest segment goes.
	indexedOff = segfile.Align << offBits
)

var _ [indexedOff - maxSegmentSize]struct{} // Validate allows no segment that a cell cannot point into

func (e entry) cell() cell {
	p := e.location()
	c := newCell(&p, e.slot)
	if e.meta&touchedFlag != 0 {
		c.place |= placeTouched
	}
	return c
}

// newCell is the cell of a page in the slot's segment, not yet touched.
func newCell(p *segfile.Location, slot uint16) cell {
	return cell{
		key0: le.Uint64(p.Key[:8]), key1: le.Uint64(p.Key[8:])&key1Mask | uint64(p.Class)<<classShift,
		place: placePresent | uint64(p.Length-1)<<placeLength | uint64(slot)<<placeSlot | uint64(p.Off)/segfile.Align,
	}
}

func (c *cell) off() uint32  { return uint32(c.place & (1<<offBits - 1)) }
func (c *cell) slot() uint16 { return uint16(c.place >> placeSlot) }
func (c *cell) length() int  { return int(c.place>>placeLength&(cache.MaxPage-1)) + 1 }

// entry undoes entry.cell for the key that was looked for.
func (c *cell) entry(k cache.Key) entry {
	e := entry{key: k, off: c.off(), slot: c.slot(), meta: uint32(c.length()) | uint32(c.key1>>classShift)<<lengthBits}
	if c.place&placeTouched != 0 {
		e.meta |= touchedFlag
	}
	return e
}

// load reads a cell that may change meanwhile: the place first, so that a cell that is taken is seen with its key.
func (c *cell) load() (got cell) {
	got.place = atomic.LoadUint64(&c.place)
	got.key0, got.key1 = atomic.LoadUint64(&c.key0), atomic.LoadUint64(&c.key1)
	return got
}

func (c *cell) store(v cell) {
	atomic.StoreUint64(&c.key0, v.key0)
	atomic.StoreUint64(&c.key1, v.key1)
	atomic.StoreUint64(&c.place, v.place)
}

// cells are an open-addressing table.
type cells []cell

// home is where a key would like to lie: the key's first 64 bits scaled to the table's size. Keys are hashes already and are used as such.
func (t cells) home(key0 uint64) int {
	hi, _ := bits.Mul64(key0, uint64(len(t)))
	return int(hi)
}

// find returns the key's cell and what it holds, or the empty one where it would go; -1 if there is no table yet.
func (t cells) find(k *cache.Key) (int, cell, bool) {
	if len(t) == 0 {
		return -1, cell{}, false
	}
	key0, key1 := le.Uint64(k[:8]), le.Uint64(k[8:])&key1Mask
	for i := t.home(key0); ; { // a table is never full, also while it changes
		c := t[i].load()
		if c.place == 0 {
			return i, c, false
		}
		if c.key0 == key0 && c.key1&key1Mask == key1 {
			return i, c, true
		}
		if i++; i == len(t) {
			i = 0
		}
	}
}

// full says whether a table must grow before it takes one entry more than n.
func (t cells) full(n int) bool { return (n+1)*5 > len(t)*4 }

// newCells makes an empty table. Those of a large index are to lie in huge pages: each look-up is in another place.
func newCells(size int) cells {
	t := make(cells, size)
	if size*cellBytes >= hugeTable {
		hugepages.HintSlice(t)
	}
	return t
}

// hugeTable is the least table that is asked to lie in huge pages: 256 of these are 16 MiB, for half a million pages.
const hugeTable = 64 << 10

// grown returns the table with more room; nobody but the caller knows the new one yet.
func (t cells) grown(size int) cells {
	more := newCells(size)
	for i := range t {
		if t[i].place != 0 {
			more.place(t[i])
		}
	}
	return more
}

// more is the size to grow to.
func (t cells) more() int { return max(8, len(t)+len(t)/4+1) }

// place puts a cell where it belongs in a table that nobody else knows yet; false if its key is there.
func (t cells) place(c cell) bool {
	for i := t.home(c.key0); ; {
		at := &t[i]
		if at.place == 0 {
			*at = c
			return true
		}
		if at.key0 == c.key0 && (at.key1^c.key1)&key1Mask == 0 {
			return false
		}
		if i++; i == len(t) {
			i = 0
		}
	}
}

// shards of the index. Each has its own lock, and grows alone: at 67 million pages that moves 6 MB at a time.
const shards = 256

// index tells where each page lies. It is an open-addressing table in 256 shards, each grown by a quarter when it is 80 % full, so it
// takes 30 to 38 bytes a page (24 / 0.8 to 24 / 0.64).
//
// Readers take no lock and write nothing that they share: they look at the shard's version before and after (a sequence lock), and look
// again if it changed. Writers take the shard's lock.
type index struct {
	shards [shards]shard
	// release lets go of a segment that a reader took hold of in vain. Set before the first reader.
	release func(*segment)
}

type shard struct {
	version atomic.Uint64 // odd while cells change
	table   atomic.Pointer[cells]
	_       [48]byte // keeps what readers read apart from what writers write

	mu sync.Mutex // the writers'
	n  int        // entries
	_  [48]byte
}

func (x *index) shard(k *cache.Key) *shard { return &x.shards[k[15]] }

func (s *shard) cells() cells {
	if t := s.table.Load(); t != nil {
		return *t
	}
	return nil
}

func (s *shard) setCells(t cells) { s.table.Store(&t) }

// begin and end enclose whatever changes cells; the caller holds the lock.
func (s *shard) begin() { s.version.Add(1) }
func (s *shard) end()   { s.version.Add(1) }

// patience is how often a reader looks again before it takes the lock. A writer changes a few cells in under a microsecond, unless it was
// put to sleep in the midst of it.
const patience = 64

// look finds a key's cell without a lock. settled is false if the shard changed meanwhile; version is what it was.
func (s *shard) look(k *cache.Key) (c cell, found bool, version uint64, settled bool) {
	version = s.version.Load()
	c, found, settled = s.lookSince(k, version)
	return c, found, version, settled
}

// lookSince is look for a reader that had seen the version before.
func (s *shard) lookSince(k *cache.Key, version uint64) (c cell, found, settled bool) {
	if version&1 != 0 {
		return c, false, false
	}
	_, c, found = s.cells().find(k)
	return c, found, s.version.Load() == version
}

// peek returns a page's entry without touching it.
func (x *index) peek(k cache.Key) (entry, bool) {
	s := x.shard(&k)
	for range patience {
		if c, found, _, settled := s.look(&k); settled {
			if !found {
				return entry{}, false
			}
			return c.entry(k), true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, c, found := s.cells().find(&k)
	if !found {
		return entry{}, false
	}
	return c.entry(k), true
}

func (x *index) contains(k cache.Key) bool {
	_, found := x.peek(k)
	return found
}

// acquire finds a page of the length asked for, marks it touched and takes hold of its segment; the caller releases it.
func (x *index) acquire(k cache.Key, length int, table *segmentTable) (*segment, segfile.Location) {
	s := x.shard(&k)
	for range patience {
		c, found, version, settled := s.look(&k)
		if !settled {
			continue
		}
		if !found || c.length() != length {
			return nil, segfile.Location{}
		}
		if seg := x.take(s, c, version, table); seg != nil {
			return seg, s.acquired(&k, c, seg)
		}
	}
	return x.acquireLocked(s, &k, length, table)
}

// take takes hold of the segment that a cell names; nil if it was evicted since the cell was read. It is safe against eviction: a slot is given
// away only after every entry of it has been removed, which changes the version; so if that is the same after the hold was taken, the
// segment is the right one and was alive.
func (x *index) take(s *shard, c cell, version uint64, table *segmentTable) *segment {
	seg := table.get(c.slot())
	if seg == nil || !seg.hold() {
		return nil
	}
	if s.version.Load() != version {
		x.release(seg)
		return nil
	}
	return seg
}

// acquireLocked is acquire for a shard that does not come to rest.
func (x *index) acquireLocked(s *shard, k *cache.Key, length int, table *segmentTable) (*segment, segfile.Location) {
	s.mu.Lock()
	_, c, found := s.cells().find(k)
	var seg *segment
	if found && c.length() == length {
		if seg = table.get(c.slot()); !seg.hold() {
			seg = nil // cannot be: its entries hold it
		}
	}
	s.mu.Unlock()
	if seg == nil {
		return nil, segfile.Location{}
	}
	return seg, s.acquired(k, c, seg)
}

// acquired marks the page and says where it lies.
func (s *shard) acquired(k *cache.Key, c cell, seg *segment) segfile.Location {
	if c.place&placeTouched == 0 {
		s.touch(k, c, seg)
	}
	return segfile.Location{Key: *k, Off: int64(c.off()) * segfile.Align, Length: c.length(), Class: uint8(c.key1 >> classShift)}
}

// touch marks a page as read, once in its life in a segment. It does not wait for a writer: the mark is a hint for eviction, and the next
// read sets it too.
func (s *shard) touch(k *cache.Key, c cell, seg *segment) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	t := s.cells()
	if i, now, found := t.find(k); found && now.place == c.place {
		atomic.StoreUint64(&t[i].place, c.place|placeTouched)
		seg.touched.Add(segfile.RecordSize(c.length()))
	}
}

// publish gives an empty shard its table.
func (s *shard) publish(t cells, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	s.setCells(t)
	s.n = n
	s.end()
}

// insert adds a page; false if the key is there already.
func (x *index) insert(e entry) bool {
	s := x.shard(&e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.cells()
	i, _, found := t.find(&e.key)
	if found {
		return false
	}
	if t.full(s.n) {
		t = t.grown(t.more())
		i, _, _ = t.find(&e.key)
		s.setCells(t) // nothing moved in the old one: whoever still looks there is right until the version changes
	}
	s.begin()
	t[i].store(e.cell())
	s.end()
	s.n++
	return true
}

// findAt finds a page if it lies at off in the slot's segment; the caller holds the lock.
func (s *shard) findAt(k *cache.Key, slot uint16, off int64) (t cells, i int, c cell, found bool) {
	t = s.cells()
	i, c, found = t.find(k)
	return t, i, c, found && c.slot() == slot && c.off() == uint32(off/segfile.Align)
}

// remove takes a page out if it still lies there; it reports whether it did, and whether the page had been read.
func (x *index) remove(k cache.Key, slot uint16, off int64) (removed, touched bool) {
	s := x.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, i, c, found := s.findAt(&k, slot, off)
	if !found {
		return false, false
	}
	s.begin()
	t.delete(i)
	s.end()
	s.n--
	return true, c.place&placeTouched != 0
}

// delete empties a cell and moves back whatever had to step aside for it.
func (t cells) delete(i int) {
	for j := i; ; {
		if j++; j == len(t) {
			j = 0
		}
		if t[j].place == 0 {
			break
		}
		// j may move to i unless its home lies cyclically in (i, j].
		h := t.home(t[j].key0)
		if i <= j && (h <= i || h > j) || i > j && h <= i && h > j {
			t[i].store(t[j])
			i = j
		}
	}
	atomic.StoreUint64(&t[i].place, 0)
}

// move makes a page lie elsewhere, untouched again, if it still lies where it did.
func (x *index) move(e entry, slot uint16, off int64) (moved, touched bool) {
	s := x.shard(&e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, i, c, found := s.findAt(&e.key, slot, off)
	if !found {
		return false, false
	}
	s.begin()
	t[i].store(e.cell())
	s.end()
	return true, c.place&placeTouched != 0
}

// removeSlot drops every page of a segment whose own index cannot be read: it walks everything.
func (x *index) removeSlot(slot uint16) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		s.begin()
		s.n -= s.cells().deleteSlot(slot)
		s.end()
		s.mu.Unlock()
	}
}

func (t cells) deleteSlot(slot uint16) (n int) {
	for j := 0; j < len(t); {
		if t[j].place != 0 && t[j].slot() == slot {
			t.delete(j) // may move another entry to j: look again
			n++
			continue
		}
		j++
	}
	return n
}

// each calls do with every page, one shard after the other. do must not change the index.
func (x *index) each(do func(entry)) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for _, c := range s.cells() {
			if c.place != 0 {
				var k cache.Key
				le.PutUint64(k[:8], c.key0)
				le.PutUint64(k[8:], c.key1)
				k[15] = uint8(i)
				do(c.entry(k))
			}
		}
		s.mu.Unlock()
	}
}

// clear forgets every page: from then on nobody can take hold of a segment through the index.
func (x *index) clear() {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		s.begin()
		s.setCells(nil)
		s.n = 0
		s.end()
		s.mu.Unlock()
	}
}

// sizes returns the pages in the index and the bytes of memory that it takes.
func (x *index) sizes() (pages int, bytes int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		pages += s.n
		bytes += int64(len(s.cells())) * cellBytes
		s.mu.Unlock()
	}
	return pages, bytes
}
