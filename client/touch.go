package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// maxTouches is how many pages one message tells of.
const maxTouches = 4096

// Intervals of the touches' timer.
const (
	touchLeast = 250 * time.Millisecond // between two messages that a full list sends
	idleAfter  = 30 * time.Second       // descriptors that nobody used for so long are closed
)

// touches counts local reads until they are told: with the next Open, or by a timer, which runs only while there is something to tell or a
// descriptor open. Beyond maxTouches pages what comes is not told; it is a sample then.
type touches struct {
	c    *Client
	sent atomic.Uint64 // pages
	full atomic.Bool   // the list is

	mu      sync.Mutex
	pending []*page
	told    uint64 // bytes read locally that were told
	last    time.Time
	timer   *time.Timer // nil: not armed
	closed  bool
}

// add counts a read of a page. It takes the lock only for the first read of the page since it was told of, and not while the list is full.
func (t *touches) add(p *page) {
	if atomic.LoadUint32(&p.touches) == 0 && t.full.Load() {
		return
	}
	if atomic.AddUint32(&p.touches, 1) == 1 {
		t.list(p)
	}
}

func (t *touches) list(p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.pending) >= maxTouches {
		atomic.StoreUint32(&p.touches, 0)
		return
	}
	t.pending = append(t.pending, p)
	switch len(t.pending) {
	case 1:
		t.arm(t.c.o.TouchInterval)
	case maxTouches:
		t.full.Store(true)
		t.arm(max(0, touchLeast-time.Since(t.last)))
	}
}

// arm sets the timer. The caller holds the lock.
func (t *touches) arm(after time.Duration) {
	if t.timer != nil && !t.timer.Stop() {
		return // it fires at this moment
	}
	if t.timer == nil {
		t.c.background.begin()
	}
	t.timer = time.AfterFunc(after, t.fire)
}

func (t *touches) fire() {
	defer t.c.background.end()
	t.mu.Lock()
	t.timer = nil
	something := len(t.pending) > 0
	t.mu.Unlock()
	if something {
		_, _ = t.c.ask(t.c.alive, patience{deadline: max(t.c.o.ControlDeadline, time.Second), optional: true}, nil)
	}
	open := 1
	if !something {
		open = t.c.segments.closeIdle()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.timer != nil {
		return
	}
	if len(t.pending) > 0 {
		t.arm(t.c.o.TouchInterval)
	} else if open > 0 {
		t.arm(idleAfter)
	}
}

// take returns what there is to tell, nil if nothing. It counts as told, whether or not it arrives.
func (t *touches) take() *apiv1.Touches {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return nil
	}
	m := &apiv1.Touches{Keys: make([]byte, 0, len(t.pending)*16), Counts: make([]uint32, 0, len(t.pending))}
	for _, p := range t.pending {
		m.Keys = append(m.Keys, p.key[:]...)
		m.Counts = append(m.Counts, atomic.SwapUint32(&p.touches, 0))
	}
	read := t.c.counts.localBytes()
	m.Bytes, t.told = read-t.told, read
	t.sent.Add(uint64(len(t.pending)))
	t.pending, t.last = nil, time.Now()
	t.full.Store(false)
	return m
}

// close tells what is left, if the sidecar takes it quickly.
func (t *touches) close() {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil && t.timer.Stop() {
		t.timer = nil
		t.c.background.end()
	}
	something := len(t.pending) > 0
	t.mu.Unlock()
	if something {
		_, _ = t.c.ask(context.Background(), patience{deadline: 5 * t.c.o.ControlDeadline, optional: true}, nil)
	}
}
