package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// ErrStalled is in the error of a body that moved no byte for too long.
var ErrStalled = errors.New("the body stalled")

// guard ends a request in which one step takes too long. Steps follow each other; the time between them is the caller's own and does
// not count.
type guard struct {
	cancel context.CancelFunc // ends the request
	timer  *time.Timer
	limit  time.Duration
	fired  atomic.Bool
}

func newGuard(limit time.Duration, cancel context.CancelFunc) *guard {
	g := &guard{cancel: cancel, limit: limit}
	g.timer = time.AfterFunc(limit, func() {
		g.fired.Store(true)
		cancel()
	})
	g.timer.Stop()
	return g
}

// step runs one step.
func (g *guard) step(f func([]byte) (int, error), p []byte) (int, error) {
	if g.fired.Load() {
		return 0, g.stalled()
	}
	g.timer.Reset(g.limit)
	n, err := f(p)
	g.timer.Stop()
	if err != nil && err != io.EOF && g.fired.Load() {
		err = g.stalled()
	}
	return n, err
}

func (g *guard) stalled() error { return fmt.Errorf("%w: no byte came for %v", ErrStalled, g.limit) }

// end stops watching and ends the request.
func (g *guard) end() {
	g.timer.Stop()
	g.cancel()
}

// Watched is a body that fails when it delivers nothing for too long while somebody reads it. Time in which nobody reads is the
// reader's own and does not count.
type Watched struct {
	io.ReadCloser
	guard *guard
}

// Watch wraps a body of a request whose context cancel ends.
func Watch(b io.ReadCloser, limit time.Duration, cancel context.CancelFunc) *Watched {
	return &Watched{ReadCloser: b, guard: newGuard(limit, cancel)}
}

// Read fails with ErrStalled where no byte came in time.
func (w *Watched) Read(p []byte) (int, error) { return w.guard.step(w.ReadCloser.Read, p) }

// Close ends the request. It may be called more than once.
func (w *Watched) Close() error {
	err := w.ReadCloser.Close()
	w.guard.end()
	return err
}

// Sent is a body that is being sent: its request ends if nobody takes more of it for too long. The time that its own source takes does not count,
// nor does the wait for an answer when all is sent. It is the transport's to read; End and Stalled are its maker's.
type Sent struct {
	r     io.Reader
	guard *guard
}

// Send wraps the body of a request whose context cancel ends.
func Send(r io.Reader, limit time.Duration, cancel context.CancelFunc) *Sent {
	return &Sent{r: r, guard: newGuard(limit, cancel)}
}

// Read counts as the transport being ready for more.
func (s *Sent) Read(p []byte) (int, error) {
	s.guard.timer.Stop()
	n, err := s.r.Read(p)
	if err == nil {
		s.guard.timer.Reset(s.guard.limit)
	}
	return n, err
}

// Stalled reports whether the request was ended since it stalled.
func (s *Sent) Stalled() bool { return s.guard.fired.Load() }

// End stops watching; the request goes on.
func (s *Sent) End() { s.guard.timer.Stop() }
