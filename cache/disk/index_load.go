package disk

import (
	"sync/atomic"

	"github.com/alio-lake/alio/cache/segfile"
)

// loader builds an index at a start, before anybody reads it, in two steps that both stay in the processor's caches: first the cells are heaped
// up by shard, each shard's at the front of what will be its table; then each heap is made a table. So the only memory used beside the index
// is a buffer for each goroutine, and no page costs a wait for memory. (Ten million pages: 85 ns of processor time
// a page, a quarter of it for the kernel to find the memory, against 190 with every page put into its table at once.)
type loader struct {
	shards [shards]heap
	// doubted are slots whose segment's index turned out to be damaged.
	doubted [2 * maxSegments]atomic.Bool
}

// heap is the cells of one shard, in no order.
type heap struct {
	room  cells
	taken atomic.Int64 // cells of room that are in use, or more than there are: the rest is in spill
	spill atomic.Pointer[spilled]
	_     [64]byte // keeps the counts of neighbours on separate cache lines
}

// spilled are cells that found no room: keys are hashes, so no shard gets many more than others, unless somebody made the keys so.
type spilled struct {
	cells []cell
	next  *spilled
}

// newLoader makes room for so many pages, a quarter of it to spare.
func newLoader(pages int) *loader {
	l := &loader{}
	if room := pages / shards * 4 / 3; room > 0 {
		for i := range l.shards {
			l.shards[i].room = newCells(room)
		}
	}
	return l
}

// add heaps cells up. Safe for parallel use.
func (h *heap) add(more []cell) {
	at := h.taken.Add(int64(len(more))) - int64(len(more))
	if at < int64(len(h.room)) {
		more = more[copy(h.room[at:], more):]
	}
	if len(more) > 0 {
		s := &spilled{cells: append([]cell(nil), more...)}
		for s.next = h.spill.Load(); !h.spill.CompareAndSwap(s.next, s); {
			s.next = h.spill.Load()
		}
	}
}

// bundle is how many cells of a shard are collected before they go to its heap. 256 bundles take 96 KiB.
const bundle = 8

// loading heaps up one segment's pages after another. One goroutine uses it, and calls flush in the end.
type loading struct {
	to      *loader
	bundles *[shards][bundle]cell
	counts  [shards]int

	slot         uint16
	pages, bytes int64 // of the slot's segment, and the size of their records
}

func (l *loader) worker() *loading { return &loading{to: l, bundles: new([shards][bundle]cell)} }

// start begins with another segment.
func (w *loading) start(slot uint16) { w.slot, w.pages, w.bytes = slot, 0, 0 }

// take implements taker.
func (w *loading) take(e segfile.Entries) {
	for i := range e.Len() {
		p := e.At(i)
		shard := p.Key[15]
		w.bundles[shard][w.counts[shard]] = newCell(&p, w.slot)
		if w.counts[shard]++; w.counts[shard] == bundle {
			w.to.shards[shard].add(w.bundles[shard][:])
			w.counts[shard] = 0
		}
		w.bytes += segfile.RecordSize(p.Length)
	}
	w.pages += int64(e.Len())
}

// undo implements taker.
func (w *loading) undo() {
	w.to.doubted[w.slot].Store(true)
	w.pages, w.bytes = 0, 0
}

func (w *loading) flush() {
	for i, n := range w.counts {
		w.to.shards[i].add(w.bundles[i][:n])
		w.counts[i] = 0
	}
}

// settle makes the heap of a shard its table. Of a key that is there twice one is kept, equal keys being equal bytes, and the other is told to
// lost. scratch is memory to use again.
func (l *loader) settle(i int, x *index, scratch []cell, lost func(*cell)) []cell {
	h := &l.shards[i]
	t, n := h.room, 0
	heaped := t[:min(h.taken.Load(), int64(len(t)))]
	scratch = append(scratch[:0], heaped...)
	clear(heaped)
	for s := h.spill.Load(); s != nil; s = s.next {
		scratch = append(scratch, s.cells...)
	}
	for j := range scratch {
		c := &scratch[j]
		if l.doubted[c.slot()].Load() {
			continue
		}
		if t.full(n) {
			t = t.grown(t.more())
		}
		if t.place(*c) {
			n++
		} else {
			lost(c)
		}
	}
	x.shards[i].publish(t, n)
	return scratch
}
