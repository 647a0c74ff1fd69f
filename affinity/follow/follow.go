// Package follow looks owners up in a process that has neither etcd nor a sidecar: it watches an affinity service and holds the last epoch that it was sent, so that each look-up is a read of a table in
// memory. While the service is away the last epoch stays in force; with a file it survives a restart. It assigns nothing itself and is no member.
//
// Start at New, Follower.Run and Follower.Owners.
package follow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
)

// ErrNoEpoch is wrapped by the error of a look-up before the first epoch has come: the caller chooses by itself.
var ErrNoEpoch = errors.New("no epoch yet")

// Options say whom a Follower follows.
type Options struct {
	// Service is the affinity service, over a connection that the caller makes and closes. Required.
	Service apiv1.AffinityClient
	// Begin is an epoch kept from before, with which look-ups begin; nil: none. See ReadFile.
	Begin *ring.Epoch
	// Taken hears of each epoch taken over, in order; nil: nobody wants to know.
	Taken func(*ring.Epoch)
	// Pause is how long it waits before it watches again, at first; it doubles up to 2 s. 50 ms by default.
	Pause time.Duration
	Log   zerolog.Logger
}

// Follower holds the last epoch. All methods may be called in parallel.
type Follower struct {
	o     Options
	epoch atomic.Pointer[ring.Epoch]
	mu    sync.Mutex
	next  chan struct{} // closed when the epoch changes
}

// New makes a Follower. It starts nothing.
func New(o Options) (*Follower, error) {
	if o.Service == nil {
		return nil, errors.New("follow: there is no service")
	}
	if o.Pause == 0 {
		o.Pause = 50 * time.Millisecond
	}
	f := &Follower{o: o, next: make(chan struct{})}
	if o.Begin != nil {
		f.epoch.Store(o.Begin)
	}
	return f, nil
}

// ReadFile reads an epoch that was written with Encode; its own hash says whether it is one.
func ReadFile(name string) (*ring.Epoch, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	e, err := ring.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("follow: %s: %w", name, err)
	}
	return e, nil
}

// Epoch is the last one sent; nil before the first. It never blocks.
func (f *Follower) Epoch() *ring.Epoch { return f.epoch.Load() }

// Changed is closed when there is another epoch than Epoch gave before Changed was called.
func (f *Follower) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// Owners are the members that own a split, in order: at least one, and k if so many serve. It never blocks.
func (f *Follower) Owners(s ring.Split, k int) ([]ring.Member, error) {
	e := f.epoch.Load()
	if e == nil || e.Most() == 0 {
		return nil, fmt.Errorf("follow: %w, or nobody serves in it", ErrNoEpoch)
	}
	key, err := e.Key(s)
	if err != nil {
		return nil, err
	}
	slots, err := e.Owners(key, min(max(k, 1), e.Most()))
	if err != nil {
		return nil, err
	}
	out := make([]ring.Member, len(slots))
	for i, slot := range slots {
		out[i] = e.Members()[slot]
	}
	return out, nil
}

// Run watches until the context ends; a service that is away, or sends what is no epoch, is asked again.
func (f *Follower) Run(ctx context.Context) {
	for pause := f.o.Pause; ; pause = min(2*pause, 2*time.Second) {
		took, err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if took {
			pause = f.o.Pause
		}
		f.o.Log.Warn().Err(err).Dur("pause", pause).Msg("the watch of epochs ended; the last one stays in force")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// watch takes over epochs until the stream ends. took: it has taken at least one, or was told that ours is in force.
func (f *Follower) watch(ctx context.Context) (took bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, held := &apiv1.WatchRequest{}, f.epoch.Load()
	if held != nil {
		hash := held.Hash()
		req.Hash = hash[:]
	}
	stream, err := f.o.Service.Watch(ctx, req)
	if err != nil {
		return false, err
	}
	var data []byte
	for {
		m, err := stream.Recv()
		if err != nil {
			return took, err
		}
		if data = append(data, m.Data...); len(data) > maxEpoch {
			return took, fmt.Errorf("follow: epoch %d has more than %d bytes", m.Epoch, maxEpoch)
		}
		if !m.Last {
			continue
		}
		if err := f.take(m, data); err != nil {
			return took, err
		}
		data, took = nil, true
	}
}

// maxEpoch bounds what is held for an epoch that is being sent: 65,000 members with the longest names and addresses, and their table.
const maxEpoch = 128 << 20

// take makes an epoch the one in force here.
func (f *Follower) take(m *apiv1.WatchReply, data []byte) (err error) {
	var e *ring.Epoch
	if held := f.epoch.Load(); !m.Edits {
		e, err = ring.Decode(data)
	} else if held == nil {
		err = errors.New("follow: a difference came, and there is no epoch that it could lead from")
	} else {
		e, err = held.Patch(data)
	}
	if err != nil {
		return err
	}
	f.epoch.Store(e)
	f.mu.Lock()
	close(f.next)
	f.next = make(chan struct{})
	f.mu.Unlock()
	if f.o.Taken != nil {
		f.o.Taken(e)
	}
	return nil
}
