package policy

import "sync/atomic"

// none is the index that stands for "no slot".
const none = ^uint32(0)

// maxFreq is the largest value of a slot's access count: two bits, as in the paper.
const maxFreq = 3

// place says in which queue a slot is.
type place uint8

const (
	nowhere place = iota
	inSmall
	inMain
	inGhost
)

// slot is one known key. Slots refer to each other by index, not by pointer, so that the garbage collector has nothing to follow in an
// index of a million keys.
type slot[K comparable] struct {
	key        K
	prev, next uint32 // towards the newer and the older end of its queue; next also links the free list
	weight     uint32
	freq       atomic.Uint32
	place      place
}

// queue is a FIFO of slots: head is the newest, tail the oldest.
type queue struct {
	head, tail uint32
	n          int
	bytes      int64 // weights, without Overhead
}

// slots holds the slots of one policy in one array, with a value beside each and an index by key.
type slots[K comparable, V any] struct {
	index map[K]uint32
	all   []slot[K]
	vals  []V
	free  uint32
}

func newSlots[K comparable, V any]() slots[K, V] {
	return slots[K, V]{index: make(map[K]uint32), free: none}
}

// take gives a slot for a key that has none yet.
func (s *slots[K, V]) take(k K, v V, weight uint32) uint32 {
	i := s.free
	if i != none {
		s.free = s.all[i].next
	} else {
		i = uint32(len(s.all))
		s.all = append(s.all, slot[K]{})
		var zero V
		s.vals = append(s.vals, zero)
	}
	sl := &s.all[i]
	sl.key, sl.weight, sl.place, sl.prev, sl.next = k, weight, nowhere, none, none
	sl.freq.Store(0)
	s.vals[i] = v
	s.index[k] = i
	return i
}

// drop forgets a slot that is in no queue.
func (s *slots[K, V]) drop(i uint32) {
	sl := &s.all[i]
	delete(s.index, sl.key)
	var noKey K
	var noVal V
	sl.key, s.vals[i] = noKey, noVal
	sl.next, s.free = s.free, i
}

func (s *slots[K, V]) push(q *queue, p place, i uint32) {
	sl := &s.all[i]
	sl.place, sl.prev, sl.next = p, none, q.head
	if q.head != none {
		s.all[q.head].prev = i
	} else {
		q.tail = i
	}
	q.head = i
	q.n++
	q.bytes += int64(sl.weight)
}

func (s *slots[K, V]) unlink(q *queue, i uint32) {
	sl := &s.all[i]
	if sl.prev != none {
		s.all[sl.prev].next = sl.next
	} else {
		q.head = sl.next
	}
	if sl.next != none {
		s.all[sl.next].prev = sl.prev
	} else {
		q.tail = sl.prev
	}
	sl.place, sl.prev, sl.next = nowhere, none, none
	q.n--
	q.bytes -= int64(sl.weight)
}

// sparse reports whether the arrays are mostly holes: a flood of small pages leaves arrays (and a map, which never shrinks by itself) that
// the few large pages after it would otherwise carry, uncounted, for ever.
func (s *slots[K, V]) sparse() bool {
	return len(s.all) >= 1024 && len(s.index) < len(s.all)/4
}
