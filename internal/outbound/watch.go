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

func (g *guard) stalled() error { return fmt.Errorf("%w: no byte moved for %v", ErrStalled, g.limit) }

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

// WatchedWriter is the same for a body that is being sent: a write that takes too long fails.
type WatchedWriter struct {
	io.Writer
	guard *guard
}

// WatchWriter wraps the writing end of a request's body. The caller calls End once it has written all or given up.
func WatchWriter(w io.Writer, limit time.Duration, cancel context.CancelFunc) *WatchedWriter {
	return &WatchedWriter{Writer: w, guard: newGuard(limit, cancel)}
}

// Write fails with ErrStalled where no byte was taken in time.
func (w *WatchedWriter) Write(p []byte) (int, error) { return w.guard.step(w.Writer.Write, p) }

// End stops watching; the request goes on.
func (w *WatchedWriter) End() { w.guard.timer.Stop() }
