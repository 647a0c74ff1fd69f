package client

import (
	"sync"
	"time"
)

// breaker keeps calls from a sidecar that does not answer. The first call that is not answered in time makes the sidecar suspect: from then on no call is made
// but those that ask, for nobody who waits, whether it lives. An answer ends that, an error too: whoever answers lives. So a sidecar that was slow once is called
// again within a millisecond or so, and for one that hangs nobody waits longer than for the call that it had under way. A suspicion that the first question has
// confirmed is called open. The zero breaker is ready.
type breaker struct {
	mu         sync.Mutex
	suspicions uint64
	suspect    bool
	open       bool
	ended      time.Time     // when the last suspicion was ended; zero: none was
	verdict    chan struct{} // closed when the present suspicion is confirmed or ended
	last       error
}

// firstPause is how long after a failed attempt to connect it is asked again; it doubles, up to DialBackoff.
const firstPause = 50 * time.Millisecond

// allow reports whether calls may be made; if not, why, and what is closed with the verdict on the first question.
func (b *breaker) allow() (ok bool, verdict <-chan struct{}, last error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.suspect, b.verdict, b.last
}

// failed takes note of a call, begun at that time, that was not answered. The answer numbers the suspicion that has just begun, which is the caller's to look
// into; 0: none has, since it is suspect already, or has answered after the call had begun.
func (b *breaker) failed(begun time.Time, err error) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = err
	if b.suspect || b.ended.After(begun) {
		return 0
	}
	b.suspect, b.verdict = true, make(chan struct{})
	b.suspicions++
	return b.suspicions
}

// confirm opens the breaker: the question whether it lives was not answered.
func (b *breaker) confirm(suspicion uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.suspect && b.suspicions == suspicion && !b.open {
		b.open = true
		close(b.verdict)
	}
}

// end takes note of an answer; true if the breaker was open.
func (b *breaker) end(suspicion uint64) (wasOpen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.suspect || b.suspicions != suspicion {
		return false
	}
	if wasOpen = b.open; !wasOpen {
		close(b.verdict)
	}
	b.suspect, b.open, b.verdict, b.ended, b.last = false, false, nil, time.Now(), nil
	return wasOpen
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}
