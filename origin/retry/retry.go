// Package retry wraps an origin so that what may pass is tried again: throttled and unavailable answers, and bodies that break in
// mid-read. It waits with exponential backoff and full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
// Blog, 2015), at least as long as the origin asks. It never mixes versions: a broken body is continued at the version that it
// began with, or fails. It does not retry Forward and Put, whose body can be read only once, nor
// Delete: origin.As finds them behind it. It belongs outside limit and meter, so that a
// try that waits holds no slot and every try is counted. Start at New.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/alio-lake/alio/origin"
)

// Event is one failed try.
type Event struct {
	Op      string // "stat", "read", "list", or "resume" for the continuation of a broken body
	Path    string
	Err     error
	Attempt int           // from 1
	Wait    time.Duration // until the next try; 0 if there is none
	GaveUp  bool          // no further try follows
}

// Options say how often and how long to try. The zero Options are usable.
type Options struct {
	// MaxAttempts bounds the tries of one call, the first included; default 6. A body may be resumed MaxAttempts-1 times, and once
	// more for each MiB that it has delivered.
	MaxAttempts int
	// MaxElapsed bounds the time of one call (for a body: of the spell since it last delivered bytes): no try begins later than that. It does
	// not cut off a try that runs. Default 30 s.
	MaxElapsed time.Duration
	// BaseWait is the bound of the first wait's jitter, doubled for each further one; default 50 ms.
	BaseWait time.Duration
	// MaxWait bounds the jitter of a wait; default 5 s. A time that the origin asks for is honoured beyond it.
	MaxWait time.Duration
	// Seed makes the jitter repeatable; 0 draws a new one.
	Seed uint64
	// Observe, if set, is told of every failed try that was worth another one. It may be called in parallel and must not block.
	Observe func(Event)
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	if o.MaxAttempts < 0 {
		errs = append(errs, fmt.Errorf("retry: MaxAttempts is %d; want at least 1, or 0 for the default", o.MaxAttempts))
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"MaxElapsed", o.MaxElapsed}, {"BaseWait", o.BaseWait}, {"MaxWait", o.MaxWait}} {
		if d.v < 0 {
			errs = append(errs, fmt.Errorf("retry: %s is %v; want a positive time, or 0 for the default", d.name, d.v))
		}
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 6
	}
	if o.MaxElapsed == 0 {
		o.MaxElapsed = 30 * time.Second
	}
	if o.BaseWait == 0 {
		o.BaseWait = 50 * time.Millisecond
	}
	if o.MaxWait == 0 {
		o.MaxWait = 5 * time.Second
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	return o
}

// Origin retries what it wraps. All methods may be called in parallel.
type Origin struct {
	inner origin.Origin
	opts  Options

	mu  sync.Mutex
	rng *rand.Rand
}

// New wraps o.
func New(o origin.Origin, opts Options) (*Origin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	return &Origin{inner: o, opts: opts, rng: rand.New(rand.NewPCG(opts.Seed, 0))}, nil
}

// Unwrap returns the wrapped origin.
func (o *Origin) Unwrap() origin.Origin { return o.inner }

// ID is the wrapped origin's.
func (o *Origin) ID() string { return o.inner.ID() }

// Stat tries until it has an answer, a permanent error, or no tries left.
func (o *Origin) Stat(ctx context.Context, path string) (obj origin.Object, err error) {
	err = o.do(ctx, "stat", path, func() error {
		obj, err = o.inner.Stat(ctx, path)
		return err
	})
	return obj, err
}

// List tries until it has an answer, a permanent error, or no tries left.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (l origin.Listing, err error) {
	err = o.do(ctx, "list", req.Prefix, func() error {
		l, err = o.inner.List(ctx, req)
		return err
	})
	return l, err
}

// Read tries until it has an answer, a permanent error, or no tries left. A body that breaks goes on at the version it began with.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	ctx, cancel := context.WithCancel(ctx)
	var c origin.Content
	err := o.do(ctx, "read", req.Path, func() (err error) {
		c, err = o.inner.Read(ctx, req)
		return err
	})
	if err == nil && req.Version != "" && c.Object.Version != req.Version {
		err = errors.Join(changed(req.Path, req.Version, c.Object.Version), c.Body.Close())
	}
	if err != nil {
		cancel()
		return origin.Content{}, err
	}
	c.Body = &body{o: o, ctx: ctx, cancel: cancel, object: c.Object, pos: c.Offset, left: c.Length, cur: c.Body}
	return c, nil
}

func changed(path string, want, got origin.Version) error {
	return origin.NewError(origin.ErrVersionChanged, "read", path, fmt.Errorf("asked for version %q, the origin answered %q", want, got))
}

// do calls try until it succeeds, fails for good or has failed too often.
func (o *Origin) do(ctx context.Context, op, path string, try func() error) error {
	s := o.spell(op, path)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if err = s.failed(ctx, err); err != nil {
			return err
		}
	}
}

// spell is a run of failures without progress.
type spell struct {
	o        *Origin
	op, path string
	begin    time.Time
	attempt  int
	max      int
}

func (o *Origin) spell(op, path string) *spell {
	return &spell{o: o, op: op, path: path, begin: time.Now(), max: o.opts.MaxAttempts}
}

// failed notes a failure and waits until it is time to try again; its error is the end of trying.
func (s *spell) failed(ctx context.Context, err error) error {
	s.attempt++
	if origin.Permanent(err) {
		return err
	}
	if ctx.Err() != nil {
		if errors.Is(err, ctx.Err()) {
			return err
		}
		return origin.NewError(origin.ErrUnavailable, s.op, s.path, fmt.Errorf("%w; the last try: %w", ctx.Err(), err))
	}
	opts, elapsed := s.o.opts, time.Since(s.begin)
	wait := s.o.backoff(s.attempt) + origin.RetryAfter(err)
	giveUp := s.attempt >= s.max || elapsed+wait > opts.MaxElapsed
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		giveUp = true // the wait would use up all the time there is: tell the cause now
	}
	e := Event{Op: s.op, Path: s.path, Err: err, Attempt: s.attempt, Wait: wait, GaveUp: giveUp}
	if giveUp {
		e.Wait = 0
		opts.Observe(e)
		return fmt.Errorf("gave up after %d tries in %v: %w", s.attempt, elapsed.Round(time.Millisecond), err)
	}
	opts.Observe(e)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return origin.NewError(origin.ErrUnavailable, s.op, s.path, fmt.Errorf("%w while waiting to try again; the last try: %w", ctx.Err(), err))
	}
}

// backoff draws the wait before try attempt+1: anything below BaseWait doubled for each failure, at most MaxWait. What the origin asks
// for comes on top of it, or all its clients would come back in the same instant.
func (o *Origin) backoff(attempt int) time.Duration {
	bound := min(o.opts.BaseWait, o.opts.MaxWait)
	for i := 1; i < attempt && bound < o.opts.MaxWait; i++ {
		bound = min(2*bound, o.opts.MaxWait)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Duration(o.rng.Int64N(int64(bound) + 1))
}
