package client

import (
	"sync"
	"time"
)

// breaker keeps calls from a sidecar that does not answer. After breakAfter failures in a row it opens: calls fail at once, but for one trial after a
// pause, which doubles with each trial that fails, from firstPause to the limit. Any answer closes it, an error too: whoever answers lives.
type breaker struct {
	limit time.Duration

	mu       sync.Mutex
	failures int
	until    time.Time // of the pause
	pause    time.Duration
	last     error
}

const (
	breakAfter = 3
	firstPause = 100 * time.Millisecond
)

// allow reports whether a call may be made; if not, for how long not, and what the last failure was.
func (b *breaker) allow() (ok bool, wait time.Duration, last error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true, 0, nil
	}
	now := time.Now()
	if wait = b.until.Sub(now); wait > 0 {
		return false, wait, b.last
	}
	b.until = now.Add(b.pause) // this call is the trial; others wait for what it finds
	return true, 0, nil
}

// failed counts a call that was not answered; true if the breaker has just opened.
func (b *breaker) failed(err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	b.last = err
	if b.failures < breakAfter {
		return false
	}
	b.pause = min(max(2*b.pause, firstPause), b.limit)
	b.until = time.Now().Add(b.pause)
	return b.failures == breakAfter
}

// answered counts an answer; true if that has closed the breaker.
func (b *breaker) answered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.failures >= breakAfter
	b.failures, b.pause, b.last = 0, 0, nil
	return was
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= breakAfter
}
