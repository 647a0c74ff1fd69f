package freshness

import "time"

// Store is where a Book keeps the answers that do not fit into its memory, and what is to be known after a restart. All methods may be called in
// parallel. Keep, Forget and ForgetBelow are called with the Book locked, so that their order is the order in which the Book learnt: they
// never wait for a device.
type Store[T any] interface {
	// Load returns what was kept last under a key. Sent is zero if the answer was sent for before this process started: no clock
	// tells how long ago that was, so it is believed only where an answer never grows too old, or as a hint. It waits for a sick device no
	// longer than a deadline of its own; then there is nothing under the key.
	Load(key string) (Answer[T], bool)

	// Keep takes an answer, unless a newer one is there. False: it was not taken, and what was there before may still be.
	Keep(key string, a Answer[T]) bool

	// Forget makes Load forget what was kept under a key until now, at once. durable returns when that has become true for every later
	// process too, or cannot be made so in time.
	Forget(key string) (durable func())

	// ForgetBelow is Forget for every key that begins with a prefix.
	ForgetBelow(prefix string) (durable func())
}

// loading is one look into the Store in flight. What it brings is worth nothing if its key was fenced meanwhile.
type loading struct{ done chan struct{} }

// load brings what the Store has under a key into memory, or waits for whoever does so already.
func (b *Book[T]) load(key string) {
	b.mu.Lock()
	if l, ok := b.mu.loads[key]; ok {
		b.mu.Unlock()
		<-l.done
		return
	}
	l := &loading{done: make(chan struct{})}
	b.mu.loads[key] = l
	began := time.Now()
	b.mu.Unlock()

	a, ok := b.opts.Store.Load(key)

	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.loads, key)
	close(l.done)
	if _, newer := b.mu.entries[key]; !ok || newer || b.fences.overtakes(key, began) {
		return
	}
	b.insertLocked(key, a, false).written = true
	b.shrinkLocked()
}

// storeLocked gives an entry to the Store if it has not got it yet, or takes what the Store has away if the entry is none to keep.
func (b *Book[T]) storeLocked(e *entry[T], a Answer[T]) {
	switch {
	case b.opts.Store == nil || e.written:
	case b.opts.Persist(e.key, a):
		e.written = b.opts.Store.Keep(e.key, a)
		e.stored = a.Sent
	case a.Err != nil:
		b.opts.Store.Forget(e.key) // what was known before is not so any more
		e.written = true
	}
}

// leaveLocked is called before an entry leaves memory for want of room: the Store gets the time of its last confirmation.
func (b *Book[T]) leaveLocked(e *entry[T]) {
	a := e.answer.Load()
	if b.opts.Store != nil && (!e.written || a.Sent.After(e.stored)) && b.opts.Persist(e.key, *a) {
		b.opts.Store.Keep(e.key, *a)
	}
}

// Hint is Confirm for one of many answers that came together (a listing), of which few may ever be asked for. It makes no room in memory at the
// cost of what readers have asked for: the answer to a key that is not in memory goes to the Store, and where that takes none, to a quarter of the
// memory that is for such answers.
func (b *Book[T]) Hint(key string, v T, sent time.Time) { b.Hear(key, Answer[T]{Value: v, Sent: sent}) }

// Hear is Hint for an answer that may be an error.
func (b *Book[T]) Hear(key string, a Answer[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isAnswer(a.Err) || b.fences.overtakes(key, a.Sent) {
		return
	}
	if _, known := b.mu.entries[key]; !known && b.opts.Store != nil && b.opts.Persist(key, a) && b.opts.Store.Keep(key, a) {
		return
	}
	b.keepLocked(key, a, true)
}
