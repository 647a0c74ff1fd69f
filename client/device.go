package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// errSlow is a device that did not answer within its deadline, or that has too many reads waiting for it.
var errSlow = errors.New("the device did not answer in time")

// device runs what may have to wait for one directory's device, on at most so many goroutines, so that one that hangs parks no more threads than
// that. After failAfter failures in a row it is set aside: nothing is asked of it for a while, from 1 s to 1 min, doubled each time; then one read
// finds out.
type device struct {
	slots    chan struct{}
	overdue  atomic.Int64 // slots held by work that was given up and has not ended
	failures atomic.Int64 // in a row
	until    atomic.Int64 // unix nanoseconds until which nothing is asked of it; 0: not set aside
	backoff  atomic.Int64 // nanoseconds
}

const (
	failAfter    = 4
	firstBackoff = time.Second
	lastBackoff  = time.Minute
)

// usable reports whether the device may be asked. Where it was set aside and the time is up, that is so for one caller, who finds out.
func (d *device) usable() bool {
	until := d.until.Load()
	if until == 0 {
		return true
	}
	now, backoff := time.Now().UnixNano(), d.backoff.Load()
	if now < until || !d.until.CompareAndSwap(until, now+min(2*backoff, int64(lastBackoff))) {
		return false
	}
	d.backoff.Store(min(2*backoff, int64(lastBackoff)))
	return true
}

// ok counts an answer of the device, or of the page cache to the one who finds out.
func (d *device) ok() {
	if d.failures.Load() != 0 || d.until.Load() != 0 {
		d.failures.Store(0)
		d.until.Store(0)
	}
}

// fail counts a failure of the device; true if it has just set it aside.
func (d *device) fail() bool {
	if d.failures.Add(1) < failAfter {
		return false
	}
	if !d.until.CompareAndSwap(0, time.Now().Add(firstBackoff).UnixNano()) {
		return false
	}
	d.backoff.Store(int64(firstBackoff))
	return true
}

// do runs work on a goroutine and waits for it until ctx ends or the deadline is over: then errSlow or ctx's error, and left runs once the
// work has ended. Whatever work uses is the caller's again only if do did not give up.
func (d *device) do(ctx context.Context, deadline time.Duration, work func() error, left func()) (gaveUp bool, err error) {
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case d.slots <- struct{}{}:
	case <-timer.C:
		if d.overdue.Load() == int64(cap(d.slots)) {
			d.fail()
		}
		left()
		return true, errSlow
	case <-ctx.Done():
		left()
		return true, ctx.Err()
	}
	started := time.Now()
	done, gone := make(chan error), make(chan struct{})
	go func() {
		err := work()
		select {
		case done <- err:
			<-d.slots
		case <-gone:
			d.overdue.Add(-1)
			<-d.slots
			left()
		}
	}()
	select {
	case err := <-done:
		return false, err
	case <-timer.C:
		d.overdue.Add(1)
		close(gone)
		// Work that had to queue for most of its time says that there is much of it, not that the device fails.
		if time.Since(started) >= deadline/2 {
			d.fail()
		}
		return true, errSlow
	case <-ctx.Done():
		d.overdue.Add(1)
		close(gone)
		return true, ctx.Err()
	}
}
