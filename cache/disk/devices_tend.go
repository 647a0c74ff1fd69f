package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// device is one directory of Devices: the Tier on it, or none while it is gone. One goroutine at a time, run's, touches the device on its behalf
// (the Tier's own aside); it may hang there, which supervise notices.
type device struct {
	x       *Devices
	number  uint16
	o       Options
	metrics *metrics

	tier  atomic.Pointer[Tier]
	stuck atomic.Bool  // the goroutine hangs in the device
	since atomic.Int64 // unix nanoseconds since when it is in the device; 0: it is not
	clear bool         // supervise's: when it looked last, clients could read the device

	// Of the goroutine.
	known   bool   // the directory was open once
	on      uint64 // the file system that it was on
	backoff time.Duration
	odd     int    // probes in a row that failed although the path answers
	said    string // the last error that was logged

	mu     sync.Mutex
	old    []chan struct{} // tiers that are being closed: each is closed when that is done
	ran    []chan struct{} // tiers that run
	runErr error
	first  chan struct{} // closed when the first try to open has ended
	closed bool
}

func newDevice(x *Devices, number uint16, o Options) (*device, error) {
	m, err := newMetrics(o)
	if err != nil {
		return nil, err
	}
	d := &device{x: x, number: number, o: o, metrics: m, first: make(chan struct{})}
	m.aside = d.aside
	m.paused = func() bool { return !d.writable(d.tier.Load()) }
	return d, nil
}

// aside is what people are told: while the first try to open has not ended, nothing is known against the device.
func (d *device) aside() bool {
	select {
	case <-d.first:
		return !d.readable(d.tier.Load())
	default:
		return false
	}
}

// readable and writable say whether the device is asked now.
func (d *device) readable(t *Tier) bool {
	return t != nil && !t.health.aside() && !d.stuck.Load() && t.open.Load()
}

func (d *device) writable(t *Tier) bool { return d.readable(t) && t.writable() }

// sickness are the errors that say that a device is broken, away or full; all others say that a directory must not be used.
var sickness = []error{
	syscall.EIO, syscall.EROFS, syscall.ENODEV, syscall.ENXIO, syscall.ENOSPC, syscall.EDQUOT, syscall.ESTALE, syscall.EUCLEAN, syscall.ENOMEDIUM,
	syscall.EREMOTEIO, syscall.ETIMEDOUT, syscall.EBADMSG, syscall.ENOTCONN, syscall.ESHUTDOWN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	errAway, errStillOpen,
}

func sick(err error) bool {
	for _, s := range sickness {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// Why a directory that was lost is not opened again yet.
var (
	errAway      = errors.New("the device is not mounted")
	errStillOpen = errors.New("calls from before still hang in the device")
)

// firstOpen is the first try to open the directory. What is sick is left to run.
func (d *device) firstOpen(ctx context.Context) error {
	defer close(d.first)
	err := d.open(ctx)
	if err != nil {
		d.say(err)
	}
	return err
}

// open makes a new Tier and opens it.
func (d *device) open(ctx context.Context) error {
	t, err := newTier(d.o, d.number, d.x.retired, d.metrics)
	if err != nil {
		return err
	}
	if err := t.Open(ctx); err != nil {
		return err
	}
	d.known, d.on, d.backoff, d.odd, d.said = true, t.device, 0, 0, ""
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		d.discard(t)
		return nil
	}
	d.metrics.tier.Store(t)
	d.tier.Store(t)
	return nil
}

// run opens the directory, runs the Tier on it and looks after both, until ctx ends.
func (d *device) run(ctx context.Context) {
	select {
	case <-d.first:
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var running *Tier
	for {
		if t := d.tier.Load(); t != nil && t != running {
			running = t
			d.start(ctx, t)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		case <-d.x.stop:
			return
		}
		d.since.Store(time.Now().UnixNano())
		again := d.tend(ctx)
		d.since.Store(0)
		timer.Reset(again)
	}
}

// start runs the Tier's writer.
func (d *device) start(ctx context.Context, t *Tier) {
	ended := make(chan struct{})
	d.mu.Lock()
	d.ran = append(pending(d.ran), ended)
	d.mu.Unlock()
	d.x.workers.Go(func() {
		defer close(ended)
		err := t.Run(ctx)
		if err == nil || errors.Is(err, errNotRunnable) || d.tier.Load() != t {
			return // it was told to stop, or was lost and closed, which has been said
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.runErr = err
	})
}

// pending drops the channels that are closed.
func pending(all []chan struct{}) []chan struct{} {
	var rest []chan struct{}
	for _, c := range all {
		select {
		case <-c:
		default:
			rest = append(rest, c)
		}
	}
	return rest
}

// waitRun waits for the writers, each of which ends in bounded time once told.
func (d *device) waitRun() error {
	d.mu.Lock()
	ran := d.ran
	d.mu.Unlock()
	for _, ended := range ran {
		<-ended
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.runErr
}

// tend opens the directory if it is not, or looks at the device, and says when to come again.
func (d *device) tend(ctx context.Context) time.Duration {
	t := d.tier.Load()
	if t == nil {
		if err := d.reopen(ctx); err != nil {
			d.say(err)
			d.backoff = min(max(2*d.backoff, firstBackoff), lastBackoff)
			return d.backoff
		}
		if d.tier.Load() != nil {
			d.o.Log.Info().Str("dir", d.o.Dir).Int("pages", d.tier.Load().Stats().Pages).Msg("the cache directory is open")
		}
		return d.x.o.CheckEvery
	}
	if err := d.there(); err != nil {
		d.drop(t, err)
		return 0
	}
	if t.health.aside() && t.health.startProbe() {
		d.probe(t)
	}
	return d.x.o.CheckEvery
}

// there looks whether the path still leads to the directory that was opened. An error of the device itself is not for here: reads and writes
// find out about that.
func (d *device) there() error {
	info, err := d.o.FS.Stat(filepath.Join(d.o.Dir, identityFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("disk: %s: %w: %s is gone", d.o.Dir, errAway, identityFile)
	case err == nil && info.Device != d.on:
		return fmt.Errorf("disk: %s: %w", d.o.Dir, errMoved)
	}
	return nil
}

// probe asks a device that was set aside: for something that it holds, and if that fails, for a file of its own. If twice only the latter works, the
// file system was mounted anew under the same path, and what is open leads to the old one: it is opened again.
func (d *device) probe(t *Tier) {
	read := t.readAnything()
	t.health.endProbe(read == nil)
	if read == nil {
		d.odd = 0
		d.o.Log.Info().Str("dir", d.o.Dir).Msg("the cache device answers again")
		return
	}
	if d.odd++; t.tryPath() != nil {
		d.odd = 0
	}
	if d.odd >= 2 {
		d.drop(t, fmt.Errorf("disk: %s: what was open fails, and the path works: %w", d.o.Dir, read))
	}
}

// drop closes the Tier without waiting for it. Its pages are gone until the directory is open again.
func (d *device) drop(t *Tier, why error) {
	d.o.Log.Error().Err(why).Str("dir", d.o.Dir).Msg("the cache directory is lost; the other devices and the origin serve until it is back")
	d.said = why.Error()
	d.tier.Store(nil)
	d.metrics.tier.Store(nil)
	d.x.retired.forget()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.discard(t)
}

// discard closes a Tier in the background; the caller holds the lock.
func (d *device) discard(t *Tier) {
	ended := make(chan struct{})
	d.old = append(d.old, ended)
	d.x.workers.Go(func() {
		defer close(ended)
		if err := t.Close(); err != nil {
			d.o.Log.Warn().Err(err).Msg("a cache directory that was lost could not be closed; that is done when the device answers")
		}
		<-t.ended
	})
}

// reopen opens a directory that is not open, unless that would put a cache where the device ought to be mounted.
func (d *device) reopen(ctx context.Context) error {
	d.mu.Lock()
	d.old = pending(d.old)
	hung := len(d.old) > 0
	d.mu.Unlock()
	if hung {
		return fmt.Errorf("disk: %s: %w", d.o.Dir, errStillOpen)
	}
	if d.known {
		if err := d.mounted(); err != nil {
			return err
		}
	}
	return d.open(ctx)
}

// mounted tells whether the directory may be used, which was lost before: it holds our identity, or it lies where it lay, or it is the top of
// a file system, as a new disk's is. Else the disk is away, and its pages would fill the one below.
func (d *device) mounted() error {
	if _, err := d.o.FS.Stat(filepath.Join(d.o.Dir, identityFile)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent, err := d.o.FS.Stat(filepath.Dir(filepath.Clean(d.o.Dir)))
	if err != nil {
		return fmt.Errorf("disk: %s: %w: %w", d.o.Dir, errAway, err)
	}
	here, err := d.o.FS.Stat(d.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		here, err = parent, nil
	}
	if err != nil {
		return err
	}
	if here.Device != d.on && here.Device == parent.Device {
		return fmt.Errorf("disk: %s: %w", d.o.Dir, errAway)
	}
	return nil
}

// supervise notices that the device's goroutine hangs, and tells clients when they may not read the device any more. It never waits.
func (d *device) supervise() {
	since := d.since.Load()
	t := d.tier.Load()
	stuck := t != nil && since != 0 && time.Now().UnixNano()-since > int64(d.x.o.CheckDeadline)
	if d.stuck.Swap(stuck) != stuck {
		if stuck {
			d.o.Log.Error().Str("dir", d.o.Dir).Dur("waited_ms", d.x.o.CheckDeadline).Msg("the cache device hangs and is set aside")
		} else {
			d.o.Log.Info().Str("dir", d.o.Dir).Msg("the cache device answers again")
		}
	}
	readable := d.readable(t)
	if d.clear && !readable {
		d.x.retired.forget()
	}
	d.clear = readable
}

// say logs an error of opening once, until it is another.
func (d *device) say(err error) {
	if text := err.Error(); text != d.said {
		d.said = text
		d.o.Log.Error().Err(err).Str("dir", d.o.Dir).Msg("the cache directory cannot be opened, which is tried again; the other devices and the origin serve")
	}
}

// close ends the Tier.
func (d *device) close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	if t := d.tier.Load(); t != nil {
		return t.Close()
	}
	return nil
}
