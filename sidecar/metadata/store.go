package metadata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// lookupsAtOnce is how many look-ups may wait for the device; more find nothing.
const lookupsAtOnce = 64

// Store keeps answers under (space, path). All methods may be called in parallel, before Run, while it runs and after it. No method but what
// Forget and ForgetBelow return waits for a device, and Load does so up to its deadline. Whatever is wrong with the device or the files costs
// answers, never more.
type Store struct {
	opts    Options
	log     zerolog.Logger
	metrics *metrics
	blocks  *pebble.Cache
	slots   chan struct{} // a token for each look-up that waits for the device
	opened  chan struct{} // closed once Run has opened the directory, or could not

	mu       sync.Mutex
	state    state
	pending  *batch          // what the writer has not taken yet
	inflight *batch          // what it is writing; nil: nothing
	fences   uint64          // raised so far
	trees    *trees          // nil while there are none to look into
	using    []*tree         // to be closed: those of trees, also after they were given up
	waiting  []chan struct{} // of fences that were not written when the trees were given up
	cleared  bool            // nothing is on disk
	hopeless bool            // a fence waited in vain: others need not, until the device answers
	gone     chan struct{}   // closed when trees are given up
	wake     chan struct{}

	unsynced atomic.Int64   // bytes of answers that are written, and that a kill could still cost
	drops    sync.WaitGroup // old generations that are being removed
	dropping atomic.Int64   // bytes of them
}

// state is what a Store is at.
type state int

const (
	opening state = iota // takes answers, has none yet but those
	open
	broken // takes nothing: what there was is being removed
	closed
)

// trees are the generations. They never change; others take their place.
type trees struct {
	young, old *tree        // old may be nil
	late       atomic.Int64 // look-ups that are past their deadline and have not come back
}

// New makes a Store that has touched nothing yet.
func New(opts Options) (*Store, error) {
	opts.setDefaults()
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("metadata store: %w", err)
	}
	s := &Store{
		opts: opts, log: opts.Logger, slots: make(chan struct{}, lookupsAtOnce), opened: make(chan struct{}), pending: newBatch(),
		wake: make(chan struct{}, 1),
	}
	s.metrics = newMetrics(opts.Registerer, s)
	return s, nil
}

// Opened returns when Run has opened the directory, has failed to, or ctx ends.
func (s *Store) Opened(ctx context.Context) {
	select {
	case <-s.opened:
	case <-ctx.Done():
	}
}

// Load implements freshness.Store, in a space.
func (s *Store) Load(space, path string) (freshness.Answer[origin.Object], bool) {
	key := space + path
	s.mu.Lock()
	for _, b := range [...]*batch{s.pending, s.inflight} {
		if o, ok := b.find(key); ok {
			a, kept := o.answer, o.keep
			s.mu.Unlock()
			s.metrics.looked(kept)
			return a, kept
		}
	}
	ts, fences := s.trees, s.fences
	if ts == nil || s.state != open {
		s.mu.Unlock()
		s.metrics.looked(false)
		return freshness.Answer[origin.Object]{}, false
	}
	ts.use()
	s.mu.Unlock()
	f, asked := s.ask(ts, key)
	if asked {
		s.metrics.looked(f.ok)
	}
	if f.ok && f.old {
		s.promote(key, f.answer, fences)
	}
	return f.answer, f.ok
}

// use keeps the trees from being closed until unuse. The store is locked.
func (ts *trees) use() {
	ts.young.using.RLock()
	if ts.old != nil {
		ts.old.using.RLock()
	}
}

func (ts *trees) unuse() {
	ts.young.using.RUnlock()
	if ts.old != nil {
		ts.old.using.RUnlock()
	}
}

// found is what a look into the trees brought.
type found struct {
	answer freshness.Answer[origin.Object]
	ok     bool
	old    bool // it is in the old one only
	fence  bool // the young one has a fence, whatever the old one has
	err    error
}

// look looks into the trees, the young one first.
func (ts *trees) look(l life, key string) (f found) {
	k := []byte(key)
	v, err := ts.young.get(k)
	if err == nil && v == nil && ts.old != nil {
		f.old = true
		v, err = ts.old.get(k)
	}
	if err == nil && v != nil {
		f.answer, f.ok, err = readEntry(v, l, key[spaceBytes:])
		f.fence = !f.ok && err == nil && !f.old
	}
	f.err = err
	return f
}

// ask looks into the trees in a goroutine of its own, and waits for it until the deadline. While look-ups are out that did not come back by
// theirs, nobody else begins one: the device hangs.
func (s *Store) ask(ts *trees, key string) (f found, asked bool) {
	select {
	case s.slots <- struct{}{}:
	default:
		ts.unuse()
		s.metrics.skipped.Inc()
		return found{}, false
	}
	if ts.late.Load() > 0 {
		<-s.slots
		ts.unuse()
		s.metrics.skipped.Inc()
		return found{}, false
	}
	answer, over := make(chan found, 1), new(atomic.Bool)
	l := s.life(ts)
	go func() {
		f := s.lookSafely(ts, l, key)
		ts.unuse()
		<-s.slots
		if !over.CompareAndSwap(false, true) {
			ts.late.Add(-1)
		}
		answer <- f
	}()
	timer := time.NewTimer(s.opts.LookupDeadline)
	defer timer.Stop()
	select {
	case f := <-answer:
		return f, true
	case <-timer.C:
	}
	if over.CompareAndSwap(false, true) {
		ts.late.Add(1)
		s.metrics.late.Inc()
		return found{}, false
	}
	return <-answer, true
}

func (s *Store) life(ts *trees) life { return life{number: ts.young.life, start: started} }

// started is when this process began, as far as this package knows.
var started = time.Now()

// lookSafely gives the store up if a tree is damaged.
func (s *Store) lookSafely(ts *trees, l life, key string) (f found) {
	defer func() {
		if p := recover(); p != nil {
			f = found{err: fmt.Errorf("%v", p)}
			s.giveUp(ts, faultDamage, f.err)
		}
	}()
	if f = ts.look(l, key); f.err != nil {
		s.giveUp(ts, faultDamage, f.err)
		return found{}
	}
	return f
}

// promote takes an answer of the old generation over into the young one, unless a fence was raised since it was looked up.
func (s *Store) promote(key string, a freshness.Answer[origin.Object], fences uint64) {
	weight := weigh(key, &a)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.pending.find(key)
	if s.state != open || s.fences != fences || known || s.pending.weight+weight > s.opts.queue() {
		return
	}
	s.pending.keep(key, a, weight)
	s.pending.ops[key].promote = true
	s.wakeWriter()
}

// Keep implements freshness.Store, in a space. An answer whose object could not be given back exactly as it is, is not taken.
func (s *Store) Keep(space, path string, a freshness.Answer[origin.Object]) bool {
	if len(space) != spaceBytes || writable(path, &a) != nil {
		return false
	}
	key := space + path
	weight := weigh(key, &a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state > open || s.pending.weight+weight > s.opts.queue() || s.metrics.full.Load() {
		s.metrics.shed.Inc()
		return false
	}
	s.pending.keep(key, a, weight)
	s.wakeWriter()
	return true
}

func (s *Store) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// maxFences is how many fences may wait to be written. A device that is slower than that is taken for one that hangs.
const maxFences = 1 << 16

// Forget implements freshness.Store, in a space.
func (s *Store) Forget(space, path string) (durable func()) {
	return s.fence(func(b *batch) { b.forget(space + path) })
}

// ForgetBelow implements freshness.Store, in a space.
func (s *Store) ForgetBelow(space, prefix string) (durable func()) {
	return s.fence(func(b *batch) { b.forgetBelow(space + prefix) })
}

func (s *Store) fence(raise func(*batch)) (durable func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fences++
	switch {
	case s.state == closed, s.state == broken && (s.cleared || s.hopeless):
		return func() {} // nothing is believed any more
	case s.state == broken: // nor by a later process, once it is removed
		done := make(chan struct{})
		s.waiting = append(s.waiting, done)
		return func() { s.waitFor(done) }
	}
	raise(s.pending)
	if s.pending.fences > maxFences {
		s.breakLocked(faultFence, errors.New("more fences wait than the device takes"))
		return func() {}
	}
	s.wakeWriter()
	done := s.pending.done
	return func() { s.waitFor(done) }
}

// waitFor waits until fences are written. If that takes too long the store is given up: what it holds must not be found by a later process.
func (s *Store) waitFor(done chan struct{}) {
	timer := time.NewTimer(s.opts.FenceDeadline)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-done:
	default:
		s.breakLocked(faultFence, fmt.Errorf("a fence was not durable within %v", s.opts.FenceDeadline))
		s.hopeless = true
	}
}

// giveUp ends the use of the trees, if they are still those that are used.
func (s *Store) giveUp(ts *trees, kind string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trees == ts {
		s.breakLocked(kind, err)
	}
}

// breakLocked ends the use of what there is. Run removes it and begins anew.
func (s *Store) breakLocked(kind string, err error) {
	if s.state > open {
		return
	}
	if s.state == open {
		close(s.gone)
	}
	s.state = broken
	s.trees = nil
	s.waiting = append(s.waiting, s.pending.done)
	s.pending = newBatch()
	if s.inflight != nil {
		s.waiting = append(s.waiting, s.inflight.done)
		s.inflight = nil
	}
	s.metrics.fault(kind)
	s.log.Warn().Err(err).Str("metadata_dir", s.opts.Dir).Str("fault", kind).
		Msg("what was kept of objects is given up and is removed; first reads ask the origin again")
	s.wakeWriter()
}
