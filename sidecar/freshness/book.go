package freshness

import (
	"container/list"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Forever as a max_age: an answer never grows too old.
const Forever = time.Duration(1<<63 - 1)

// Never as a max_age: an answer that was sent for before the reader came is of no use to it, whatever its age.
const Never = time.Duration(-1)

// Answer is what was heard of a key. Err is nil or an error that is an answer in itself (not found).
type Answer[T any] struct {
	Value T
	Err   error
	Sent  time.Time // when the request was sent that brought it: a confirmation dates from then
}

// Options configure a Book.
type Options[T any] struct {
	// Limit bounds the memory of the kept answers, in bytes by Weigh; the least recently used go first.
	Limit int64
	// Weigh tells how many bytes an answer under a key takes.
	Weigh func(key string, v T) int64
	// Merge returns next with whatever prev knew that next does not say. It is called only for a newer answer about the same
	// key. nil keeps next as it is.
	Merge func(prev, next T) T
	// Keep tells whether an error is an answer worth keeping (not found), rather than a failure to get one.
	Keep func(error) bool
	// Store keeps what does not fit into memory; nil: nothing does.
	Store Store[T]
	// Persist tells whether the Store is to have an answer. Required with a Store.
	Persist func(key string, a Answer[T]) bool
	// Same tells whether an answer says no more than the one before it, but for the time. Required with a Store.
	Same func(prev, next T) bool
}

// Book keeps the newest answer for each key. All methods may be called in parallel.
type Book[T any] struct {
	opts Options[T]

	mu struct {
		sync.Mutex
		entries map[string]*list.Element // of *entry[T]
		lru     *list.List               // what was asked for; front: most recently used
		hints   *list.List               // what came by Hint and was not asked for yet; front: the newest
		bytes   int64                    // of both
		hinted  int64                    // of hints
		calls   map[string]*call[T]      // at most one in flight for each key
		loads   map[string]*loading      // at most one in flight for each key
	}
	fences fenceLog
}

// entry is a kept answer. The answer may be read without the lock (see Watch); it is never changed, only replaced, and nil once the
// entry has left the book.
type entry[T any] struct {
	key    string
	answer atomic.Pointer[Answer[T]]
	used   atomic.Bool // a Watch was asked since the entry was last looked at for eviction
	weight int64
	hint   bool // it is in hints

	written bool      // the Store has the answer, but for its time
	stored  time.Time // the time that the Store has
}

// call is one request in flight. Its fields but done are guarded by the book's mutex until done is closed.
type call[T any] struct {
	sent    time.Time
	cancel  context.CancelFunc
	waiters int
	fenced  bool // a write overtook it: its answer goes to those who came before the write, and is not kept
	done    chan struct{}
	answer  Answer[T]
}

// NewBook makes an empty book.
func NewBook[T any](opts Options[T]) *Book[T] {
	b := &Book[T]{opts: opts}
	b.mu.entries = make(map[string]*list.Element)
	b.mu.lru, b.mu.hints = list.New(), list.New()
	b.mu.calls = make(map[string]*call[T])
	b.mu.loads = make(map[string]*loading)
	b.fences.init()
	return b
}

// Get returns an answer for key that is young enough: sent for no earlier than maxAge(answer) before this call. If the kept one is
// not, it asks, or joins whoever is asking; so for any number of readers there is at most one request in flight and one more after it.
// A reader is given the outcome of a request sent after it came, whatever that is, errors included; never an error of one sent before.
//
// ask runs in a context of its own, which ends when the last reader that waits for it has left. asked tells whether this very
// call's ask brought the answer.
func (b *Book[T]) Get(ctx context.Context, key string, maxAge func(Answer[T]) time.Duration,
	ask func(context.Context) (T, error)) (answer Answer[T], asked bool, err error) {
	return b.GetDated(ctx, key, maxAge, func(ctx context.Context) (v T, sent time.Time, err error) {
		v, err = ask(ctx)
		return v, sent, err
	})
}

// GetDated is Get for an ask that may bring what somebody else was told before: sent is then when that one's request was sent, and zero for an
// answer to ask's own request. ask makes sure by Takes that such an answer is one for the reader who began it; others that have joined look for
// themselves.
func (b *Book[T]) GetDated(ctx context.Context, key string, maxAge func(Answer[T]) time.Duration,
	ask func(context.Context) (v T, sent time.Time, err error)) (answer Answer[T], asked bool, err error) {
	arrived := time.Now()
	for looked := b.opts.Store == nil; ; {
		b.mu.Lock()
		a, ok := b.peekLocked(key)
		if ok && Young(a, arrived, maxAge) {
			b.mu.Unlock()
			return a, false, a.Err
		}
		if !ok && !looked {
			b.mu.Unlock()
			b.load(key)
			looked = true
			continue
		}
		c, joined := b.mu.calls[key]
		if !joined {
			c = b.startLocked(key, ask)
		}
		c.waiters++
		b.mu.Unlock()

		if err := b.wait(ctx, key, c); err != nil {
			var zero Answer[T]
			return zero, false, err
		}
		switch a := c.answer; {
		case !joined, !a.Sent.Before(arrived):
			return a, !joined, a.Err
		case b.isAnswer(a.Err) && Young(a, arrived, maxAge):
			return a, false, a.Err
		}
	}
}

// wait blocks until the call is over or ctx is, and takes one waiter off it.
func (b *Book[T]) wait(ctx context.Context, key string, c *call[T]) error {
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		c.cancel()
		if b.mu.calls[key] == c { // nobody may join a request that is being given up
			delete(b.mu.calls, key)
		}
	}
	return ctx.Err()
}

func (b *Book[T]) startLocked(key string, ask func(context.Context) (T, time.Time, error)) *call[T] {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call[T]{sent: time.Now(), cancel: cancel, done: make(chan struct{})}
	b.mu.calls[key] = c
	go func() {
		defer cancel()
		a := Answer[T]{Sent: c.sent, Err: errPanicked}
		defer func() {
			if p := recover(); p != nil {
				a.Err = &PanicError{Value: p}
			}
			b.finish(key, c, a)
		}()
		var sent time.Time
		if a.Value, sent, a.Err = ask(ctx); !sent.IsZero() {
			a.Sent = sent
		}
	}()
	return c
}

func (b *Book[T]) finish(key string, c *call[T], a Answer[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.answer = a
	if b.mu.calls[key] == c {
		delete(b.mu.calls, key)
	}
	if dated := a.Sent != c.sent; !c.fenced && b.isAnswer(a.Err) && !(dated && b.fences.overtakes(key, a.Sent)) {
		b.keepLocked(key, a, false)
	}
	close(c.done)
}

func (b *Book[T]) isAnswer(err error) bool {
	return err == nil || (b.opts.Keep != nil && b.opts.Keep(err))
}

// Young tells whether an answer may be given to a reader who came at a time.
func Young[T any](a Answer[T], arrived time.Time, maxAge func(Answer[T]) time.Duration) bool {
	switch age := maxAge(a); {
	case age == Forever:
		return true
	case age < 0:
		return false
	default:
		return !a.Sent.Before(arrived.Add(-age))
	}
}

// Takes tells whether an answer that somebody else was given is one for a reader who comes now: young enough, from after the last fence on the key,
// and not older than the answer that is kept.
func (b *Book[T]) Takes(key string, a Answer[T], maxAge func(Answer[T]) time.Duration) bool {
	if !Young(a, time.Now(), maxAge) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fences.overtakes(key, a.Sent) {
		return false
	}
	el, ok := b.mu.entries[key]
	return !ok || !a.Sent.Before(el.Value.(*entry[T]).answer.Load().Sent)
}

// Recall is Peek, and looks into the Store too.
func (b *Book[T]) Recall(key string) (Answer[T], bool) {
	a, ok := b.Peek(key)
	if !ok && b.opts.Store != nil {
		b.load(key)
		a, ok = b.Peek(key)
	}
	return a, ok
}

// Peek returns the newest kept answer, however old.
func (b *Book[T]) Peek(key string) (Answer[T], bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peekLocked(key)
}

func (b *Book[T]) peekLocked(key string) (Answer[T], bool) {
	el, ok := b.mu.entries[key]
	if !ok {
		return Answer[T]{}, false
	}
	b.touchLocked(el)
	return *el.Value.(*entry[T]).answer.Load(), true
}

// touchLocked notes that somebody asked for an entry.
func (b *Book[T]) touchLocked(el *list.Element) {
	e := el.Value.(*entry[T])
	if !e.hint {
		b.mu.lru.MoveToFront(el)
		return
	}
	b.mu.hints.Remove(el)
	b.mu.hinted -= e.weight
	e.hint = false
	b.mu.entries[e.key] = b.mu.lru.PushFront(e)
}

// Watch follows what a Book keeps of one key, without a lock, for readers that come back to it again and again.
type Watch[T any] struct{ e *entry[T] }

// Watch begins to follow a key; false if nothing is kept of it now.
func (b *Book[T]) Watch(key string) (Watch[T], bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	el, ok := b.mu.entries[key]
	if !ok {
		return Watch[T]{}, false
	}
	return Watch[T]{el.Value.(*entry[T])}, true
}

// Answer returns the newest kept answer, however old, which must not be changed. nil: it was fenced or evicted, and this Watch will
// never answer again. A fence that has been raised before the call is seen by it.
func (w Watch[T]) Answer() *Answer[T] {
	if !w.e.used.Load() { // a plain load first: readers then share the line
		w.e.used.Store(true)
	}
	return w.e.answer.Load()
}

// Look is Answer for one who is no reader: the entry does not count as used.
func (w Watch[T]) Look() *Answer[T] { return w.e.answer.Load() }

// Confirm records an answer that came by another way (a listing, a ranged read) than Get's ask. An answer sent for before a fence on
// the key, or before the answer that is kept, is ignored.
func (b *Book[T]) Confirm(key string, v T, sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fences.overtakes(key, sent) {
		return
	}
	b.keepLocked(key, Answer[T]{Value: v, Sent: sent}, false)
}

// keepLocked records an answer, unless a newer one is kept. A hint changes nothing in what is thought of how much the key is wanted.
func (b *Book[T]) keepLocked(key string, a Answer[T], hint bool) {
	el, ok := b.mu.entries[key]
	if !ok {
		b.storeLocked(b.insertLocked(key, a, hint), a)
		b.shrinkLocked()
		return
	}
	e := el.Value.(*entry[T])
	prev := e.answer.Load()
	if a.Sent.Before(prev.Sent) {
		return
	}
	if b.opts.Merge != nil && a.Err == nil && prev.Err == nil {
		a.Value = b.opts.Merge(prev.Value, a.Value)
	}
	if b.opts.Store != nil && (a.Err != nil || prev.Err != nil || !b.opts.Same(prev.Value, a.Value)) {
		e.written = false
	}
	e.answer.Store(&a)
	b.weighLocked(e, b.opts.Weigh(key, a.Value)-e.weight)
	if !hint {
		b.touchLocked(el)
	}
	b.storeLocked(e, a)
	b.shrinkLocked()
}

func (b *Book[T]) insertLocked(key string, a Answer[T], hint bool) *entry[T] {
	e := &entry[T]{key: key, hint: hint, stored: a.Sent}
	e.answer.Store(&a)
	if hint {
		b.mu.entries[key] = b.mu.hints.PushFront(e)
	} else {
		b.mu.entries[key] = b.mu.lru.PushFront(e)
	}
	b.weighLocked(e, b.opts.Weigh(key, a.Value))
	return e
}

func (b *Book[T]) weighLocked(e *entry[T], more int64) {
	e.weight += more
	b.mu.bytes += more
	if e.hint {
		b.mu.hinted += more
	}
}

// shrinkLocked takes out what is over the limits: of hints beyond their quarter, then of hints at all, then what was used least recently.
func (b *Book[T]) shrinkLocked() {
	for b.mu.hints.Len() > 0 && (b.mu.hinted > b.opts.Limit/4 || b.mu.bytes > b.opts.Limit) {
		b.evictLocked(b.mu.hints.Back())
	}
	for b.mu.bytes > b.opts.Limit && b.mu.lru.Len() > 0 {
		oldest := b.mu.lru.Back()
		if oldest.Value.(*entry[T]).used.Swap(false) && b.mu.lru.Len() > 1 {
			b.mu.lru.MoveToFront(oldest) // a Watch does not move it, so it gets a second chance here
			continue
		}
		b.evictLocked(oldest)
	}
}

func (b *Book[T]) evictLocked(el *list.Element) {
	b.leaveLocked(el.Value.(*entry[T]))
	b.removeLocked(el)
}

func (b *Book[T]) removeLocked(el *list.Element) {
	e := el.Value.(*entry[T])
	if e.hint {
		b.mu.hints.Remove(el)
	} else {
		b.mu.lru.Remove(el)
	}
	delete(b.mu.entries, e.key)
	b.weighLocked(e, -e.weight)
	e.answer.Store(nil)
}

// Fence says that the key is being written or has just been: whatever was sent for until now is no answer for anyone who comes from now on.
// durable returns when no later process will take it for one either; who is about to write waits for that.
func (b *Book[T]) Fence(key string) (durable func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fences.raise(key, time.Now())
	b.fenceLocked(key)
	if b.opts.Store == nil {
		return func() {}
	}
	return b.opts.Store.Forget(key)
}

func (b *Book[T]) fenceLocked(key string) {
	if el, ok := b.mu.entries[key]; ok {
		b.removeLocked(el)
	}
	if c, ok := b.mu.calls[key]; ok {
		c.fenced = true
		delete(b.mu.calls, key) // those who wait go on waiting; those who come ask anew
	}
}

// FenceAll raises a fence on every key for which match is true, among the kept ones and those being asked for. Of any other key no answer is taken any
// more that somebody else was given until now. Keys that are only ever recorded by Get need no other fence than this, where there is no Store.
func (b *Book[T]) FenceAll(match func(key string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fences.raiseAll(time.Now())
	b.fenceAllLocked(match)
}

func (b *Book[T]) fenceAllLocked(match func(key string) bool) {
	var hit []string
	for key := range b.mu.entries {
		if match(key) {
			hit = append(hit, key)
		}
	}
	for key := range b.mu.calls {
		if match(key) {
			hit = append(hit, key)
		}
	}
	for _, key := range hit {
		b.fenceLocked(key)
	}
}

// FenceSome is FenceAll for a match that is told what is kept of a key: nil where it is being asked for, of which nothing is known yet.
func (b *Book[T]) FenceSome(match func(key string, kept *Answer[T]) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fences.raiseAll(time.Now())
	for key, c := range b.mu.calls {
		if match(key, nil) {
			c.fenced = true
			delete(b.mu.calls, key)
		}
	}
	for key, el := range b.mu.entries {
		if match(key, el.Value.(*entry[T]).answer.Load()) {
			b.removeLocked(el)
		}
	}
}

// FenceBelow raises a fence on every key that begins with prefix, known or not: besides what FenceAll does, no answer that was sent for
// until now is recorded by Confirm any more, whatever its key. That costs requests, never a stale answer.
func (b *Book[T]) FenceBelow(prefix string) (durable func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fences.raiseAll(time.Now())
	b.fenceAllLocked(func(key string) bool { return strings.HasPrefix(key, prefix) })
	if b.opts.Store == nil {
		return func() {}
	}
	return b.opts.Store.ForgetBelow(prefix)
}

// Usage returns how many answers are kept and the bytes they take by Weigh.
func (b *Book[T]) Usage() (answers int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mu.entries), b.mu.bytes
}
