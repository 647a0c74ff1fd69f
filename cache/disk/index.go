package disk

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
)

var le = binary.LittleEndian

// entry is a page in the index: 28 bytes without a pointer, so that the garbage collector never looks at them.
type entry struct {
	key  cache.Key
	off  uint32 // of the record in its segment, in units of align
	meta uint32 // length in bytes (21 bits), class (8 bits), touched (1 bit); 0 is an empty place, since no page is empty
	slot uint16 // of the segment in the table
}

const (
	entryBytes  = 28
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

// shards of the index. Each has its own lock, and grows alone: at 67 million pages that moves 7 MB at a time.
const shards = 256

// index tells where each page lies. It is an open-addressing table in 256 shards, each grown by a quarter when it is 80 % full, so it
// takes 35 to 44 bytes a page (28 / 0.8 to 28 / 0.64). Keys are hashes already and are used as such.
type index struct {
	shards [shards]shard
}

type shard struct {
	mu      sync.RWMutex
	slots   []entry
	n       int
	fetched uint32   // written so that fetch is not optimised away
	_       [64]byte // keeps the locks of neighbours on separate cache lines
}

func (x *index) shard(k cache.Key) *shard { return &x.shards[k[15]] }

// home is where a key would like to lie: the key's first 64 bits scaled to the table's size.
func (s *shard) home(k *cache.Key) int {
	hi, _ := bits.Mul64(le.Uint64(k[:8]), uint64(len(s.slots)))
	return int(hi)
}

// find returns the key's place, or the empty one where it would go; -1 if there is no table yet.
func (s *shard) find(k *cache.Key) (int, bool) {
	if len(s.slots) == 0 {
		return -1, false
	}
	for i := s.home(k); ; {
		e := &s.slots[i]
		if atomic.LoadUint32(&e.meta) == 0 { // readers set its touched flag under the read lock
			return i, false
		}
		if e.key == *k {
			return i, true
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

// insert adds a page; false if the key is there already.
func (x *index) insert(e entry) bool {
	s := x.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.insert(e)
}

// insertAll adds a segment's pages, those of a shard together: that takes each lock once and stays in one part of memory, which at a
// restart is most of the time. It returns how many were new and the bytes of their records.
func (x *index) insertAll(pages []segfile.Location, slot uint16) (n, bytes int64) {
	var first [shards + 1]int
	for i := range pages {
		first[int(pages[i].Key[15])+1]++
	}
	for i := range shards {
		first[i+1] += first[i]
	}
	sorted := make([]entry, len(pages))
	next := first
	for i := range pages {
		at := &next[pages[i].Key[15]]
		sorted[*at] = newEntry(pages[i], slot)
		*at++
	}
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for group := range slices.Chunk(sorted[first[i]:first[i+1]], 16) {
			s.fetch(group)
			for j := range group {
				if s.insert(group[j]) {
					n, bytes = n+1, bytes+segfile.RecordSize(group[j].length())
				}
			}
		}
		s.mu.Unlock()
	}
	return n, bytes
}

// fetch reads the places where entries will go, all at once: the processor then waits for memory once and not for each in turn (180
// to 120 ns a page at a restart on two cores).
func (s *shard) fetch(group []entry) {
	if len(s.slots) == 0 {
		return
	}
	var sum uint32
	for j := range group {
		sum += atomic.LoadUint32(&s.slots[s.home(&group[j].key)].meta)
	}
	s.fetched = sum
}

func (s *shard) insert(e entry) bool {
	i, found := s.find(&e.key)
	if found {
		return false
	}
	if (s.n+1)*5 > len(s.slots)*4 {
		s.grow(max(8, len(s.slots)+len(s.slots)/4+1))
		i, _ = s.find(&e.key)
	}
	s.slots[i] = e
	s.n++
	return true
}

func (s *shard) grow(size int) {
	old := s.slots
	s.slots = make([]entry, size)
	for i := range old {
		if old[i].meta != 0 {
			at, _ := s.find(&old[i].key)
			s.slots[at] = old[i]
		}
	}
}

// reserve makes room for n more pages, so that a restart does not grow the shards step by step.
func (x *index) reserve(n int) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		if want := (s.n + n/shards) * 4 / 3; want > len(s.slots) {
			s.grow(want)
		}
		s.mu.Unlock()
	}
}

// at says whether the entry i is the page at off in the slot's segment.
func (s *shard) at(i int, slot uint16, off int64) bool {
	return s.slots[i].slot == slot && s.slots[i].off == uint32(off/segfile.Align)
}

// remove takes a page out if it still lies there; it reports whether it did, and whether the page had been read.
func (x *index) remove(k cache.Key, slot uint16, off int64) (removed, touched bool) {
	s := x.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(&k)
	if !found || !s.at(i, slot, off) {
		return false, false
	}
	touched = s.slots[i].meta&touchedFlag != 0
	s.delete(i)
	return true, touched
}

// delete empties a place and moves back whatever had to step aside for it.
func (s *shard) delete(i int) {
	s.n--
	for j := i; ; {
		if j++; j == len(s.slots) {
			j = 0
		}
		if s.slots[j].meta == 0 {
			break
		}
		// j may move to i unless its home lies cyclically in (i, j].
		h := s.home(&s.slots[j].key)
		if i <= j && (h <= i || h > j) || i > j && h <= i && h > j {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = entry{}
}

// move makes a page lie elsewhere, untouched again, if it still lies where it did.
func (x *index) move(e entry, slot uint16, off int64) (moved, touched bool) {
	s := x.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(&e.key)
	if !found || !s.at(i, slot, off) {
		return false, false
	}
	touched = s.slots[i].meta&touchedFlag != 0
	s.slots[i] = e
	return true, touched
}

func (x *index) contains(k cache.Key) bool {
	s := x.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, found := s.find(&k)
	return found
}

// peek returns a page's entry without touching it.
func (x *index) peek(k cache.Key) (entry, bool) {
	s := x.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, found := s.find(&k)
	if !found {
		return entry{}, false
	}
	e := &s.slots[i]
	return entry{key: k, off: e.off, slot: e.slot, meta: atomic.LoadUint32(&e.meta)}, true
}

// acquire finds a page of the length asked for, marks it touched and takes hold of its segment; the caller releases it. It is safe
// against eviction because a slot is given away only after every entry of it has been removed under the shard's lock.
func (x *index) acquire(k cache.Key, length int, table *segmentTable) (*segment, segfile.Location) {
	s := x.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, found := s.find(&k)
	if !found {
		return nil, segfile.Location{}
	}
	e := &s.slots[i]
	meta := atomic.LoadUint32(&e.meta)
	if int(meta&lengthMask) != length {
		return nil, segfile.Location{}
	}
	seg := table.get(e.slot)
	seg.refs.Add(1)
	if meta&touchedFlag == 0 && atomic.OrUint32(&e.meta, touchedFlag)&touchedFlag == 0 {
		seg.touched.Add(segfile.RecordSize(length))
	}
	return seg, segfile.Location{Key: k, Off: int64(e.off) * segfile.Align, Length: length, Class: uint8(meta >> lengthBits)}
}

// removeSlot drops every page of a segment whose own index cannot be read: it walks everything.
func (x *index) removeSlot(slot uint16) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for j := 0; j < len(s.slots); {
			if s.slots[j].meta != 0 && s.slots[j].slot == slot {
				s.delete(j) // may move another entry to j: look again
				continue
			}
			j++
		}
		s.mu.Unlock()
	}
}

// clear forgets every page: from then on nobody can take hold of a segment through the index.
func (x *index) clear() {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		s.slots, s.n = nil, 0
		s.mu.Unlock()
	}
}

// sizes returns the pages in the index and the bytes of memory that it takes.
func (x *index) sizes() (pages int, bytes int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		pages += s.n
		bytes += int64(len(s.slots)) * entryBytes
		s.mu.RUnlock()
	}
	return pages, bytes
}
