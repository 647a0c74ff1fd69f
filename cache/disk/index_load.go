package disk

import (
	"sync"

	"github.com/alio-lake/alio/cache/segfile"
)

// loader builds an index at a start, before anybody reads it: with plain writes, on several goroutines.
type loader struct {
	shards [shards]loaderShard
}

type loaderShard struct {
	mu      sync.Mutex
	table   cells
	n       int
	fetched uint64   // written so that fetch is not optimised away
	_       [64]byte // keeps the locks of neighbours on separate cache lines
}

// newLoader makes room for so many pages, a quarter of it to spare, so that the shards do not grow step by step.
func newLoader(pages int) *loader {
	l := &loader{}
	if room := pages / shards * 4 / 3; room > 0 {
		for i := range l.shards {
			l.shards[i].table = make(cells, room)
		}
	}
	return l
}

// publish hands what was loaded to an index that is empty.
func (l *loader) publish(x *index) {
	for i := range l.shards {
		from, to := &l.shards[i], &x.shards[i]
		to.mu.Lock()
		to.begin()
		to.setCells(from.table)
		to.n = from.n
		to.end()
		to.mu.Unlock()
	}
}

// loadBatch is how many pages are put into the index together: 192 KiB of cells.
const loadBatch = 8192

// loading puts one segment's pages after another into a loader's index. One goroutine uses it.
type loading struct {
	to     *loader
	first  int // the shard to begin with, so that the workers are not after the same locks
	slot   uint16
	sorted []cell

	pages, bytes int64 // of the slot's segment: pages that were new, and the size of their records
}

func (l *loader) worker(n int) *loading {
	return &loading{to: l, first: n * shards / openWorkers() % shards, sorted: make([]cell, loadBatch)}
}

// start begins with another segment.
func (w *loading) start(slot uint16) { w.slot, w.pages, w.bytes = slot, 0, 0 }

// take puts pages into the index, those of a shard together: that takes each lock once and stays in one part of memory, which at a restart is
// most of the time. Of a key that is there already the first is kept: equal keys are equal bytes.
func (w *loading) take(e segfile.Entries) {
	for n := e.Len(); n > 0; n = e.Len() {
		n = min(n, loadBatch)
		w.batch(e[:n*segfile.EntrySize])
		e = e[n*segfile.EntrySize:]
	}
}

func (w *loading) batch(e segfile.Entries) {
	var next [shards]int
	for i := range e.Len() {
		next[e.Key(i)[15]]++
	}
	sum := 0
	for i, n := range next {
		next[i] = sum
		sum += n
	}
	for i := range e.Len() {
		p := e.At(i)
		at := &next[p.Key[15]]
		w.sorted[*at] = newEntry(p, w.slot).cell()
		*at++
	}
	for i := range shards {
		i = (i + w.first) % shards
		begin := 0
		if i > 0 {
			begin = next[i-1]
		}
		if begin < next[i] {
			w.put(&w.to.shards[i], w.sorted[begin:next[i]])
		}
	}
}

func (w *loading) put(s *loaderShard, all []cell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(all) > 0 {
		group := all[:min(len(all), 16)]
		all = all[len(group):]
		for s.table.full(s.n + len(group) - 1) {
			s.table = s.table.grown(s.table.more())
		}
		s.fetch(group)
		for j := range group {
			if s.table.place(group[j]) {
				s.n++
				w.pages++
				w.bytes += segfile.RecordSize(group[j].length())
			}
		}
	}
}

// fetch reads the places where entries will go, all at once: the processor then waits for memory once and not for each in turn.
func (s *loaderShard) fetch(group []cell) {
	var sum uint64
	for j := range group {
		sum += s.table[s.table.home(group[j].key0)].place
	}
	s.fetched = sum
}

// undo takes back the pages of the segment that is being read.
func (w *loading) undo() {
	for i := range w.to.shards {
		s := &w.to.shards[i]
		s.mu.Lock()
		s.n -= s.table.deleteSlot(w.slot)
		s.mu.Unlock()
	}
	w.pages, w.bytes = 0, 0
}
