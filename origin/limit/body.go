package limit

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/alio-lake/alio/origin"
)

// body holds a slot until it ends or is closed, and pays for its bytes.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelFunc
	path   string
	bytes  *rate.Limiter
	free   func() // gives the slot back, once
}

func (o *Origin) body(ctx context.Context, cancel context.CancelFunc, path string, b io.ReadCloser) io.ReadCloser {
	return &body{ReadCloser: b, ctx: ctx, cancel: cancel, path: path, bytes: o.bytes, free: sync.OnceFunc(o.release)}
}

// Read reads and then waits until the bytes it read are paid for. They are returned even if the wait is cut short.
func (b *body) Read(p []byte) (int, error) {
	if b.bytes == nil {
		n, err := b.ReadCloser.Read(p)
		if err != nil {
			b.free()
		}
		return n, err
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), chunk)])
	if err != nil {
		b.free()
	}
	if n > 0 {
		if late := b.pay(n); late != nil && (err == nil || err == io.EOF) {
			err = late
		}
	}
	return n, err
}

// pay waits for the bandwidth of n bytes. Reservations are served in the order they are made.
func (b *body) pay(n int) error {
	d := b.bytes.ReserveN(time.Now(), n).Delay()
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.ctx.Done():
		return origin.NewError(origin.ErrUnavailable, "read", b.path, fmt.Errorf("while waiting for the origin's bandwidth: %w", b.ctx.Err()))
	}
}

// Close gives the slot back. A Read that waits for bandwidth returns.
func (b *body) Close() error {
	b.cancel()
	err := b.ReadCloser.Close()
	b.free()
	return err
}
