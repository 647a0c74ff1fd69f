// Package limit wraps an origin so that at most so many of its requests run at once and that at most so many bytes a second are read
// from it, whatever the load above. Who waits longest comes first. It belongs inside retry and outside meter. Start at New.
package limit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/alio-lake/alio/origin"
)

// chunk is how many bytes of a body are read before its reader queues for bandwidth again: small enough that bodies take turns
// (32 KiB at 10 MiB/s is 3 ms), large enough that the queue costs little.
const chunk = 32 << 10

// Options say what the limits are. The zero Options limit nothing.
type Options struct {
	// Concurrency is the most requests at once; 0 is no limit. A read counts until its body ends or is closed.
	Concurrency int
	// BytesPerSecond is the most bytes of bodies read in a second, on average over any longer time; 0 is no limit. A burst of
	// a tenth of a second, at least 32 KiB, may pass at once. What is written through Forward is not limited.
	BytesPerSecond int64
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	if o.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("limit: Concurrency is %d; want a positive number, or 0 for no limit", o.Concurrency))
	}
	if o.BytesPerSecond < 0 {
		errs = append(errs, fmt.Errorf("limit: BytesPerSecond is %d; want a positive number, or 0 for no limit", o.BytesPerSecond))
	}
	return errors.Join(errs...)
}

// Origin limits what it wraps. All methods may be called in parallel.
type Origin struct {
	inner origin.Origin
	slots *semaphore.Weighted // nil: no limit
	most  int64               // of slots
	load  atomic.Int64        // slots that are taken or waited for
	bytes *rate.Limiter       // nil: no limit
}

// New wraps o.
func New(o origin.Origin, opts Options) (*Origin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	l := &Origin{inner: o}
	if opts.Concurrency > 0 {
		l.slots, l.most = semaphore.NewWeighted(int64(opts.Concurrency)), int64(opts.Concurrency)
	}
	if opts.BytesPerSecond > 0 {
		l.bytes = rate.NewLimiter(rate.Limit(opts.BytesPerSecond), int(max(opts.BytesPerSecond/10, chunk)))
	}
	return l, nil
}

// Unwrap returns the wrapped origin.
func (o *Origin) Unwrap() origin.Origin { return o.inner }

// ID is the wrapped origin's.
func (o *Origin) ID() string { return o.inner.ID() }

// acquire waits for a slot. The error is ErrUnavailable and the context's.
func (o *Origin) acquire(ctx context.Context, op, path string) error {
	if o.slots == nil {
		return nil
	}
	o.load.Add(1)
	if err := o.slots.Acquire(ctx, 1); err != nil {
		o.load.Add(-1)
		return origin.NewError(origin.ErrUnavailable, op, path, fmt.Errorf("while waiting for one of the origin's slots: %w", err))
	}
	return nil
}

func (o *Origin) release() {
	if o.slots != nil {
		o.slots.Release(1)
		o.load.Add(-1)
	}
}

// Idle reports whether a request that nobody waits for may be made, beside so many others of its kind that are under way: less than half of the slots
// are taken or waited for, and these never take more than half. So whoever is waited for always finds slots.
func (o *Origin) Idle(others int) bool {
	return o.slots == nil || 2*o.load.Load() < o.most && 2*int64(others) < o.most
}

// Stat waits for a slot and holds it during the call.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	if err := o.acquire(ctx, "stat", path); err != nil {
		return origin.Object{}, err
	}
	defer o.release()
	return o.inner.Stat(ctx, path)
}

// List waits for a slot and holds it during the call.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	if err := o.acquire(ctx, "list", req.Prefix); err != nil {
		return origin.Listing{}, err
	}
	defer o.release()
	return o.inner.List(ctx, req)
}

// Read waits for a slot and holds it until the body ends or is closed.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	if err := o.acquire(ctx, "read", req.Path); err != nil {
		return origin.Content{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c, err := o.inner.Read(ctx, req)
	if err != nil {
		cancel()
		o.release()
		return origin.Content{}, err
	}
	c.Body = o.body(ctx, cancel, req.Path, c.Body)
	return c, nil
}

// Forward waits for a slot and holds it until the answer's body ends or is closed. It is origin.ErrUnsupported if what is wrapped
// cannot forward.
func (o *Origin) Forward(ctx context.Context, path string, r *http.Request) (*http.Response, error) {
	f, ok := origin.As[origin.Forwarder](o.inner)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path, errors.New("the origin does not speak S3"))
	}
	if err := o.acquire(ctx, "forward", path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	resp, err := f.Forward(ctx, path, r)
	if err != nil {
		cancel()
		o.release()
		return nil, err
	}
	resp.Body = o.body(ctx, cancel, path, resp.Body)
	return resp, nil
}
