package outbound

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// ErrClosed is the cause of a read from a body after its Close.
var ErrClosed = errors.New("the body was closed")

// Body is exactly the bytes that an answer announced. Read may be called by one goroutine at a time, Close beside it.
type Body struct {
	r      io.ReadCloser
	left   int64
	fail   func(error) error
	done   error // what the body ended with
	closed atomic.Bool
}

// Exactly makes a body of n bytes from r. fail dresses the errors of it: ErrClosed, and whatever r fails with, a body that ends early
// included.
func Exactly(r io.ReadCloser, n int64, fail func(error) error) *Body {
	return &Body{r: r, left: n, fail: fail}
}

// Read never ends in io.EOF before the last announced byte, and never returns one more. An error that comes with the last byte counts: it may
// say that the sum of all is wrong.
func (b *Body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, b.fail(ErrClosed)
	}
	if b.done != nil {
		return 0, b.done
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 && (err == nil || err == io.EOF) {
		return n, io.EOF
	}
	if err == io.EOF {
		err = fmt.Errorf("the body ended %d bytes early: %w", b.left, io.ErrUnexpectedEOF)
	}
	if err != nil {
		b.done = b.fail(err)
	}
	return n, b.done
}

// Close lets the connection go; it is kept for the next request if all was read.
func (b *Body) Close() error {
	b.closed.Store(true)
	_ = b.r.Close() // a connection that breaks while nothing more is read from it has harmed nobody
	return nil
}
