package policy

import "math"

// Overhead is what each known key is charged beside its weight, in bytes: its slot (about 40), its value (24 for a slice), its share of
// the index (about 35 at the average load of a Go map) and the slack of arrays that grow by doubling. Ghosts pay it too.
const Overhead = 128

// S3FIFO keeps the entries worth keeping within a limit of bytes: a small FIFO (a tenth of the bytes) that new entries pass through, a main
// FIFO for those that were asked for again, and a ghost FIFO that remembers the keys which left the small one, so that an entry that
// comes back soon goes to main at once. Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction",
// SOSP 2023. Here entries are weighed in bytes, where the paper counts objects of one size.
//
// Get and Has may run in parallel with each other (a hit only raises a counter of two bits, atomically); every other method needs to run
// alone. The caller holds the lock that says so.
type S3FIFO[K comparable, V any] struct {
	slots[K, V]
	limit              int64
	small, main, ghost queue
	watch              Watch[K, V]
}

// Watch ties a policy to a caller that finds entries, and counts its accesses to them, by means of its own, without the policy's lock.
type Watch[K comparable, V any] struct {
	// Accesses returns how often v was accessed since it was last asked for. The policy asks when it decides about v, and adds what it is told
	// to what Get counted. nil: Get counts all.
	Accesses func(v V) uint32
	// Evicted is told of each entry that has to go to make room, before Add returns; not of what Remove removes. It must not call the policy.
	Evicted func(k K, v V)
}

// NewS3FIFO makes an empty policy that holds at most limit bytes: weights, Overhead for each entry and Overhead for each ghost.
func NewS3FIFO[K comparable, V any](limit int64) *S3FIFO[K, V] {
	empty := queue{head: none, tail: none}
	return &S3FIFO[K, V]{slots: newSlots[K, V](), limit: limit, small: empty, main: empty, ghost: empty}
}

// Watch sets what the policy asks and tells its caller. It is called before the first Add.
func (p *S3FIFO[K, V]) Watch(w Watch[K, V]) { p.watch = w }

// Get returns the value of k and counts the access.
func (p *S3FIFO[K, V]) Get(k K) (V, bool) {
	i, ok := p.index[k]
	if !ok || p.all[i].place == inGhost {
		var zero V
		return zero, false
	}
	f := &p.all[i].freq
	for {
		n := f.Load()
		if n >= maxFreq || f.CompareAndSwap(n, n+1) {
			return p.vals[i], true
		}
	}
}

// Has reports whether k is held, without counting an access.
func (p *S3FIFO[K, V]) Has(k K) bool {
	i, ok := p.index[k]
	return ok && p.all[i].place != inGhost
}

// Add makes room and adds an entry of a weight in bytes. It reports whether k is held afterwards: false only for an entry that is larger
// than the limit. A key that is already held keeps its value and its place.
func (p *S3FIFO[K, V]) Add(k K, v V, weight int64) bool {
	if p.Has(k) {
		return true
	}
	need := weight + Overhead
	if weight < 0 || weight > math.MaxUint32 || need > p.limit {
		return false
	}
	back := p.forget(k)
	for p.Bytes()+need > p.limit {
		p.evict()
	}
	p.insert(k, v, weight, back)
	return true
}

// Remove lets go of k, leaving no ghost, and reports whether it was held.
func (p *S3FIFO[K, V]) Remove(k K) bool {
	i, ok := p.index[k]
	if !ok || p.all[i].place == inGhost {
		return false
	}
	p.unlink(p.queueOf(i), i)
	p.drop(i)
	p.tidy()
	return true
}

// Len is the number of entries held, without ghosts.
func (p *S3FIFO[K, V]) Len() int { return p.small.n + p.main.n }

// Ghosts is the number of keys remembered without their values.
func (p *S3FIFO[K, V]) Ghosts() int { return p.ghost.n }

// Bytes is all that is charged against the limit.
func (p *S3FIFO[K, V]) Bytes() int64 {
	return p.small.bytes + p.main.bytes + Overhead*int64(p.small.n+p.main.n+p.ghost.n)
}

// forget drops the ghost of k and reports whether there was one.
func (p *S3FIFO[K, V]) forget(k K) bool {
	i, ok := p.index[k]
	if !ok {
		return false
	}
	p.unlink(&p.ghost, i)
	p.drop(i)
	return true
}

// insert adds an entry for which there is room; back says that its ghost was here.
func (p *S3FIFO[K, V]) insert(k K, v V, weight int64, back bool) {
	i := p.take(k, v, uint32(weight))
	if back {
		p.push(&p.main, inMain, i)
	} else {
		p.push(&p.small, inSmall, i)
	}
}

// evict lets one entry go, or one ghost when no entry is left. It reports false when there is neither.
func (p *S3FIFO[K, V]) evict() bool {
	defer p.tidy()
	// A tenth of what is held: when something must go the limit is reached, so this is a tenth of the limit too, but it also
	// holds where two policies share one limit.
	for p.small.n > 0 && (p.main.n == 0 || p.small.bytes*10 >= p.small.bytes+p.main.bytes) {
		if p.evictSmall() {
			return true
		}
	}
	if p.main.n > 0 {
		p.evictMain()
		return true
	}
	return p.dropGhost()
}

// evictSmall looks at the oldest entry of the small queue: one asked for more than once since it came moves on to main (false), any other
// leaves and becomes a ghost (true).
func (p *S3FIFO[K, V]) evictSmall() bool {
	i := p.small.tail
	p.unlink(&p.small, i)
	if p.accesses(i) > 1 {
		p.push(&p.main, inMain, i)
		return false
	}
	p.evicted(i)
	var zero V
	p.vals[i] = zero
	p.push(&p.ghost, inGhost, i)
	// The paper's ghost queue is as long as main. In bytes: it speaks of at most nine tenths of the limit; and where pages are so
	// small that remembering one costs what keeping it does, of no more than a 32nd of the limit in overhead.
	for p.ghost.n > 0 && (p.ghost.bytes > p.limit/10*9 || int64(p.ghost.n)*Overhead > p.limit/32) {
		p.dropGhost()
	}
	return true
}

// evictMain lets the oldest entry of main go that was not asked for since it was last looked at: each look takes one access away.
func (p *S3FIFO[K, V]) evictMain() {
	for {
		i := p.main.tail
		p.unlink(&p.main, i)
		if n := p.accesses(i); n > 0 {
			p.all[i].freq.Store(n - 1)
			p.push(&p.main, inMain, i)
			continue
		}
		p.evicted(i)
		p.drop(i)
		return
	}
}

// accesses returns an entry's count, with what the caller counted.
func (p *S3FIFO[K, V]) accesses(i uint32) uint32 {
	f := &p.all[i].freq
	n := f.Load()
	if p.watch.Accesses != nil {
		n = min(n+min(p.watch.Accesses(p.vals[i]), maxFreq), maxFreq)
		f.Store(n)
	}
	return n
}

func (p *S3FIFO[K, V]) evicted(i uint32) {
	if p.watch.Evicted != nil {
		p.watch.Evicted(p.all[i].key, p.vals[i])
	}
}

func (p *S3FIFO[K, V]) dropGhost() bool {
	i := p.ghost.tail
	if i == none {
		return false
	}
	p.unlink(&p.ghost, i)
	p.drop(i)
	return true
}

func (p *S3FIFO[K, V]) queueOf(i uint32) *queue {
	switch p.all[i].place {
	case inSmall:
		return &p.small
	case inMain:
		return &p.main
	default:
		return &p.ghost
	}
}

// tidy moves what is left into new, smaller arrays when the present ones are mostly holes.
func (p *S3FIFO[K, V]) tidy() {
	if !p.sparse() {
		return
	}
	old := *p
	p.slots = slots[K, V]{index: make(map[K]uint32, len(old.index)), free: none}
	empty := queue{head: none, tail: none}
	p.small, p.main, p.ghost = empty, empty, empty
	for _, q := range []struct {
		from, to *queue
		place    place
	}{{&old.small, &p.small, inSmall}, {&old.main, &p.main, inMain}, {&old.ghost, &p.ghost, inGhost}} {
		for i := q.from.tail; i != none; i = old.all[i].prev {
			from := &old.all[i]
			j := p.take(from.key, old.vals[i], from.weight)
			p.all[j].freq.Store(from.freq.Load())
			p.push(q.to, q.place, j)
		}
	}
}
