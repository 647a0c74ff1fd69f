package client

import (
	"sync"
	"time"
)

// tasks counts goroutines, so that Close can wait for them. Unlike a sync.WaitGroup it may be waited for while others begin. The zero tasks is
// ready.
type tasks struct {
	mu    sync.Mutex
	count int
	idle  chan struct{} // closed at count 0; nil: nobody waits
}

// Go runs f on a goroutine of its own.
func (t *tasks) Go(f func()) {
	t.begin()
	go func() {
		defer t.end()
		f()
	}()
}

func (t *tasks) begin() {
	t.mu.Lock()
	t.count++
	t.mu.Unlock()
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count--; t.count == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait returns once none runs, or false when the time is over.
func (t *tasks) wait(limit time.Duration) bool {
	t.mu.Lock()
	if t.count == 0 {
		t.mu.Unlock()
		return true
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}
