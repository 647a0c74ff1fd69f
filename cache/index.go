package cache

import (
	"encoding/binary"
	"sync/atomic"
)

// entry is a page in memory. Its key and bytes never change.
type entry struct {
	key  Key
	data []byte
	hits atomic.Uint32 // accesses since the policy last asked, at most enoughHits
}

// enoughHits is where the count of an entry's hits stops: the policy tells no more than three apart. So a page that everybody asks for is not
// written to at each hit, and its cache line stays shared.
const enoughHits = 3

func (e *entry) touch() {
	for {
		n := e.hits.Load()
		if n >= enoughHits || e.hits.CompareAndSwap(n, n+1) {
			return
		}
	}
}

// index finds entries by key: open addressing with linear probing over atomic pointers. Any number of readers find while one writer inserts and
// removes; a reader takes no lock, writes nothing and never waits.
//
// What makes that right: an entry never moves within a table, and at no moment is there an empty slot between the slot where the search for its
// key begins and its own. So a search meets every entry that is there all the while. A table that gets too full, or too empty, is not changed
// but copied, and then replaced; a search in the old one answers what was true when it began.
type index struct {
	table atomic.Pointer[slots]
}

type slots []atomic.Pointer[entry] // a power of two of them

// left marks a slot whose entry was removed, where an empty one would end searches for others too early.
var left = new(entry)

const (
	minSlots  = 64
	slotBytes = 8
	// sparseSlots is how many slots an entry may come with before the table is replaced by a smaller one.
	sparseSlots = 8
)

// home is where the search for a key begins. The bits are others than those that pick the shard; a key is a hash.
func (t slots) home(k *Key) uint64 { return binary.LittleEndian.Uint64(k[8:]) & uint64(len(t)-1) }

// find returns the entry of a key, or nil. It may run in parallel with all else.
func (x *index) find(k *Key) *entry {
	t := *x.table.Load()
	for i := t.home(k); ; i = (i + 1) & uint64(len(t)-1) {
		e := t[i].Load()
		if e == nil {
			return nil
		}
		if e.key == *k && e != left {
			return e
		}
	}
}

// indexWriter is the writing side of an index. It is used under its shard's lock.
type indexWriter struct {
	*index
	live, dead int // slots with an entry, slots marked left
}

// newIndexWriter makes an index ready and returns its writing side.
func newIndexWriter(x *index) indexWriter {
	t := make(slots, minSlots)
	x.table.Store(&t)
	return indexWriter{index: x}
}

// insert adds an entry whose key is not there.
func (w *indexWriter) insert(e *entry) {
	if t := *w.table.Load(); (w.live+w.dead+1)*4 > len(t)*3 {
		w.resize(w.live + 1)
	}
	t := *w.table.Load()
	i := t.home(&e.key)
	for ; ; i = (i + 1) & uint64(len(t)-1) {
		there := t[i].Load()
		if there == left {
			w.dead--
		}
		if there == nil || there == left {
			break
		}
	}
	t[i].Store(e)
	w.live++
}

// remove takes an entry out; nothing happens if it is not there.
func (w *indexWriter) remove(e *entry) {
	t := *w.table.Load()
	mask := uint64(len(t) - 1)
	i := t.home(&e.key)
	for ; ; i = (i + 1) & mask {
		there := t[i].Load()
		if there == nil {
			return
		}
		if there == e {
			break
		}
	}
	t[i].Store(left)
	w.live, w.dead = w.live-1, w.dead+1
	// Before an empty slot nobody searches on, so marks there can become empty slots, the last one first.
	for t[(i+1)&mask].Load() == nil && t[i].Load() == left {
		t[i].Store(nil)
		w.dead--
		i = (i - 1) & mask
	}
	if len(t) > minSlots && w.live*sparseSlots < len(t) {
		w.resize(w.live)
	}
}

// resize replaces the table by one of at least twice n slots, so that it is between a quarter and half full.
func (w *indexWriter) resize(n int) {
	size := minSlots
	for size < 2*n {
		size *= 2
	}
	old, t := *w.table.Load(), make(slots, size)
	for i := range old {
		e := old[i].Load()
		if e == nil || e == left {
			continue
		}
		j := t.home(&e.key)
		for t[j].Load() != nil {
			j = (j + 1) & uint64(size-1)
		}
		t[j].Store(e)
	}
	w.dead = 0
	w.table.Store(&t)
}
