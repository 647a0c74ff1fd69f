package main

import (
	"fmt"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/policy"
)

// What a worker's work takes in the model of queues. Only ratios matter: they are near what was measured elsewhere in benchmarks/results for reads, and the processing is a round figure for scans.
const (
	slots         = 8        // splits that a worker runs at once
	processBytes  = 60 << 10 // bytes of columns that a slot processes in a ms
	localBytes    = 2 << 20  // read from its own disk in a ms
	peerMS        = 1
	peerBytes     = 1 << 20
	originMS      = 30 // as the measuring proxy delays a first byte
	originBytes   = 80 << 10
	microseconds  = 1000
	busyAt        = 100 // splits waiting at a worker make it busy for Presto: node-scheduler.max-splits-per-node
	zones         = 3
	pullShare     = 1.9 * 3600 * 1000 // ms in which a new owner may have as much from former ones as its cache holds: peers.pull_rate, 64 MiB a second, for 460 GB
	rememberMoved = 3600 * 1000       // ms for which who owned a section before is asked
)

// worker is one machine: an engine's worker and the sidecar beside it.
type worker struct {
	name     string
	zone     string
	alive    bool
	draining bool
	gone     bool // for good
	cache    *policy.Protected[uint32, struct{}]

	load     int64 // bytes read, while measured
	time     int64 // ms alive, while measured
	busyTime int64 // us of slots used, while measured

	free    [slots]int64 // us at which each slot is free
	starts  []int64      // us at which waiting splits begin, ascending
	allowed int64        // bytes that may be had from former owners now
	heard   int64        // ms up to which allowed is reckoned
	owed    []uint32     // sections that it owns newly, to be pulled
}

// fleet is all workers that ever were, by number.
type fleet struct {
	workers []*worker
	alive   []int32 // numbers of those alive, ascending
	cacheOf int64   // bytes of each worker's cache; 0: none
	byName  map[string]int32
}

func newFleet(n int, cacheOf int64) *fleet {
	f := &fleet{cacheOf: cacheOf, byName: map[string]int32{}}
	for range n {
		f.add()
	}
	f.count()
	return f
}

// add starts a new machine with an empty cache.
func (f *fleet) add() *worker {
	n := len(f.workers)
	w := &worker{name: fmt.Sprintf("worker-%05d", n), zone: string(rune('a' + n%zones)), alive: true}
	if f.cacheOf > 0 {
		w.cache = policy.NewProtected[uint32, struct{}](f.cacheOf, cache.DefaultMetadataShare)
	}
	f.workers = append(f.workers, w)
	f.byName[w.name] = int32(n)
	return w
}

// count lists who is alive.
func (f *fleet) count() {
	f.alive = f.alive[:0]
	for i, w := range f.workers {
		if w.alive {
			f.alive = append(f.alive, int32(i))
		}
	}
}

func (w *worker) member() ring.Member {
	return ring.Member{Name: w.name, Zone: w.zone, Weight: 1, Sidecar: w.name + ":9490", Worker: w.name + ":8080"}
}

// waiting is how many splits have not begun at a time.
func (w *worker) waiting(us int64) int {
	i := 0
	for i < len(w.starts) && w.starts[i] <= us {
		i++
	}
	if i > 0 {
		w.starts = append(w.starts[:0], w.starts[i:]...)
	}
	return len(w.starts)
}

// enqueue puts a split into the worker's queue: the slot that is free first takes it. It gives when the split ends.
func (w *worker) enqueue(us, service int64) (end int64) {
	first := 0
	for i, at := range w.free {
		if at < w.free[first] {
			first = i
		}
	}
	start := max(us, w.free[first])
	if start > us {
		w.starts = append(w.starts, start)
	}
	w.free[first] = start + service
	return start + service
}

// mayPull says whether the rate allows more from former owners; a second's worth, or a tick's, may be saved up.
func (w *worker) mayPull(now, cacheOf int64) bool {
	if ms := min(now-w.heard, minuteMS); ms > 0 {
		rate := float64(cacheOf) / pullShare
		w.allowed = min(w.allowed+int64(float64(ms)*rate), int64(minuteMS*rate))
		w.heard = now
	}
	return w.allowed > 0
}

// stop is a machine that stops: what it had to do is gone, what its disk holds stays.
func (w *worker) stop() {
	w.alive, w.starts, w.free = false, nil, [slots]int64{}
}
