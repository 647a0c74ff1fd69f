package peers

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/affinity/ring"
)

// Defaults of Options.
const (
	DefaultInFlight = 64 << 20
	DefaultPullRate = 64 << 20
	DefaultPatience = 5 * time.Millisecond
	DefaultTimeout  = time.Second
)

// Source is where epochs come from. *membership.Node is one.
type Source interface {
	// Epoch is the last one known; nil before the first. It never blocks.
	Epoch() *ring.Epoch
	// Changed is closed when there is another epoch than Epoch gave before Changed was called.
	Changed() <-chan struct{}
}

// Options configure Peers.
type Options struct {
	// Self is this member's name.
	Self string
	// Source has the epochs. Required.
	Source Source
	// Identity is the certificate that this side shows, and the authority that others' must be of. Required.
	Identity *Identity
	// InFlight is the most bytes that are asked of peers at once (default 64 MiB). What is beyond goes to the origin.
	InFlight int64
	// PullRate is the most bytes a second that a new owner takes from the one before (default 64 MiB; below 0: none), with readers waiting and in the background
	// together. What is beyond waits, or goes to the origin if a reader does.
	PullRate int64
	// Patience is the least time that a peer is waited for before the origin is asked too (default 5 ms: what an origin takes is some times that).
	Patience time.Duration
	// Timeout is how long a peer may take to begin to answer, whatever the origin does meanwhile (default 1 s).
	Timeout time.Duration
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	Logger     zerolog.Logger
}

func (o Options) withDefaults() Options {
	if o.InFlight == 0 {
		o.InFlight = DefaultInFlight
	}
	if o.PullRate == 0 {
		o.PullRate = DefaultPullRate
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(o.Source == nil, "peers: there is no source of epochs")
	fault(o.Identity == nil, "peers: there is no certificate: without one nobody could tell members from others")
	fault(o.InFlight < 0 || o.Patience < 0 || o.Timeout < 0, "peers: a limit is negative: %d bytes in flight, %v, %v", o.InFlight, o.Patience, o.Timeout)
	return errors.Join(faults...)
}
