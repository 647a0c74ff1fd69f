package cache

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrClosed is what a read answers once the cache was closed.
var ErrClosed = errors.New("cache is closed")

// errAbandoned ends the flights of a fill that nobody waited for any more. No reader ever returns it: one that meets it plans anew.
var errAbandoned = errors.New("fill abandoned")

// ErrAgain is for a Source behind Ahead that has not got the bytes and asked nobody who surely has: readers that have joined the fill meanwhile plan anew, and make
// one of their own.
var ErrAgain = errors.New("not there; to be read another way")

// flightState says how far a missing page has come.
type flightState uint8

const (
	flying flightState = iota // asked for, or about to be; in the table, so that others can join
	landed                    // its bytes are here, for those that joined
	gone                      // look for it in the tiers: it came another way, or was dropped before its readers took it
	failed                    // err says why
)

// flight is one missing page on its way. Its fields are guarded by the table's lock, but for page, fill, noDisk and ready, which never
// change.
type flight struct {
	page   page
	fill   *fill
	noDisk bool          // the reader that began it has seen the disk fail for this page
	ready  chan struct{} // closed when state is no longer flying

	state   flightState
	data    []byte
	peer    bool // all of data came from another sidecar
	err     error
	refs    int           // readers that want it and have not taken it
	waiting int           // those of them that are blocked on it now
	charge  int64         // bytes of fill memory that it still holds
	parked  *list.Element // in table.parked: landed, and none of those that want it is waiting
}

// table knows every page on its way and the memory that they hold. It has one lock, which no hit ever takes.
type table struct {
	limit int64 // of fill memory

	mu struct {
		sync.Mutex
		closed  bool
		flights map[Key]*flight // flying ones only
		fills   map[*fill]struct{}
		idle    chan struct{} // closed when closed and no fill runs

		used   int64      // bytes of fill memory given out
		parked *list.List // *flight, oldest first: what may be dropped when a fill needs room
		spare  int64      // their bytes
		queue  *list.List // *ticket, first come first served

		reclaimed int64 // pages dropped so
	}
}

// ticket is a fill that waits for room.
type ticket struct {
	n     int64
	ready chan struct{} // closed when the room is given
}

func newTable(limit int64) *table {
	t := &table{limit: limit}
	t.mu.flights = make(map[Key]*flight)
	t.mu.fills = make(map[*fill]struct{})
	t.mu.idle = make(chan struct{})
	t.mu.parked, t.mu.queue = list.New(), list.New()
	return t
}

// board gives each want that is not resident a flight: one that is under way, or a new one of fill f. It reports how many it joined; f
// is entered, and needs to be run, if it was given any flight. What lies beyond a page that is being fetched ahead is left without a flight: to ask for
// it in the same request would have that page travel twice. rest is the first of those, len(wants) if there is none.
func (t *table) board(wants []want, f *fill) (joined, rest int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return 0, 0, ErrClosed
	}
	parted := false // a page on its way ahead lies after f's flights
	for i := range wants {
		w := &wants[i]
		if w.resident || w.flight != nil {
			continue
		}
		fl, ok := t.mu.flights[w.page.key]
		switch {
		case ok:
			joined++
			parted = parted || fl.fill.ahead && len(f.flights) > 0
		case parted:
			t.enterLocked(f)
			return joined, i, nil
		default:
			fl = t.newFlightLocked(w.page, w.noDisk, f)
		}
		fl.refs++
		fl.fill.refs++
		w.flight = fl
	}
	t.enterLocked(f)
	return joined, len(wants), nil
}

func (t *table) newFlightLocked(p page, noDisk bool, f *fill) *flight {
	fl := &flight{page: p, fill: f, noDisk: noDisk, ready: make(chan struct{})}
	t.mu.flights[p.key] = fl
	f.flights = append(f.flights, fl)
	f.flying++
	return fl
}

func (t *table) enterLocked(f *fill) {
	if len(f.flights) > 0 {
		t.mu.fills[f] = struct{}{}
	}
}

// adopt moves flights from the rest of a window to the one that is planned in its place, where they are of use still: what has landed for a
// reader is not fetched for it again. Both are in the object's order.
func (t *table) adopt(old, wants []want) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range wants {
		w := &wants[i]
		for len(old) > 0 && old[0].page.start < w.page.start {
			old = old[1:]
		}
		if len(old) == 0 {
			return
		}
		if fl := old[0].flight; fl != nil && old[0].page.key == w.page.key && (fl.state == flying || fl.state == landed) {
			w.flight, old[0].flight = fl, nil
		}
	}
}

// take waits for a flight to end and leaves it. If ctx ends first the reader has not left: it does so by leave.
func (t *table) take(ctx context.Context, fl *flight) ([]byte, flightState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fl.state == flying {
		fl.waiting++
		t.mu.Unlock()
		select {
		case <-fl.ready:
		case <-ctx.Done():
		}
		t.mu.Lock()
		fl.waiting--
		if fl.state == flying {
			return nil, flying, ctx.Err()
		}
	}
	data, state, err := fl.data, fl.state, fl.err
	t.leaveLocked(fl)
	return data, state, err
}

// leave is for a reader that no longer wants a flight. The last one to leave a fill cancels it.
func (t *table) leave(fl *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaveLocked(fl)
}

func (t *table) leaveLocked(fl *flight) {
	fl.refs--
	switch fl.state {
	case flying:
		fl.fill.refs--
		t.abandonLocked(fl.fill)
	case landed:
		t.settleLocked(fl)
	}
}

// abandonLocked cancels a fill if nobody wants what is left of it. Its flights leave the table at once: a reader that comes now begins a new
// one.
func (t *table) abandonLocked(f *fill) {
	if f.refs > 0 || f.flying == 0 {
		return
	}
	f.abandoned = true
	t.failLocked(f, errAbandoned)
	f.cancel()
}

// land ends a flight with its bytes, which are in the memory tier by now. It reports false if the flight has been cancelled meanwhile.
func (t *table) land(fl *flight, data []byte, peer bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fl.state != flying {
		return false
	}
	t.endLocked(fl, landed)
	fl.data, fl.peer, fl.charge = data, peer, fl.page.size()
	fl.fill.held -= fl.charge
	t.settleLocked(fl)
	t.abandonLocked(fl.fill)
	return true
}

// miss ends a flight whose page was found in the tiers after all.
func (t *table) miss(fl *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fl.state != flying {
		return
	}
	t.endLocked(fl, gone)
	fl.fill.held -= fl.page.size()
	t.releaseLocked(fl.page.size())
	t.abandonLocked(fl.fill)
}

func (t *table) endLocked(fl *flight, s flightState) {
	fl.state = s
	fl.fill.flying--
	fl.fill.refs -= fl.refs
	delete(t.mu.flights, fl.page.key)
	close(fl.ready)
}

func (t *table) failLocked(f *fill, err error) {
	for _, fl := range f.flights {
		if fl.state == flying {
			fl.err = err
			t.endLocked(fl, failed)
		}
	}
}

// hold notes the room that a fill was given.
func (t *table) hold(f *fill, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.held = n
}

// abandoned reports whether a fill was cancelled.
func (t *table) abandoned(f *fill) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.abandoned
}

// finish ends a fill: what has not landed fails with err.
func (t *table) finish(f *fill, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failLocked(f, err)
	t.releaseLocked(f.held)
	f.held = 0
	delete(t.mu.fills, f)
	if t.mu.closed && len(t.mu.fills) == 0 {
		close(t.mu.idle)
	}
}

// close cancels every fill and lets nobody in any more. The channel is closed when the last fill has ended.
func (t *table) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return t.mu.idle
	}
	t.mu.closed = true
	for f := range t.mu.fills {
		f.abandoned = true
		t.failLocked(f, ErrClosed)
		f.cancel()
	}
	if len(t.mu.fills) == 0 {
		close(t.mu.idle)
	}
	return t.mu.idle
}
