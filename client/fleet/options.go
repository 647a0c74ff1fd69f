package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/client"
)

// Options configure a Fleet. Members are required; the zero of everything else means its default.
type Options struct {
	// Members are gRPC doors, host:port, at which the ring can be watched: of some sidecars with an affinity section, or of alio affinity. One that answers is
	// enough; who is a member, and where, the ring tells.
	Members []string
	// Port is the port of the members' gRPC doors, on the hosts that they announce in affinity.sidecar. 0: they announce these doors themselves, as
	// they do where they do not read from one another (peers.listen).
	Port int
	// Token is shown at every door (doors.grpc.tokens).
	Token string
	// TLS is for all doors; nil: none.
	TLS *tls.Config
	// Owners is how many of a section's owners are tried before the Fallback, in order (default 2).
	Owners int
	// Fallback reads the origin when none of the owners can. Without one the read fails.
	Fallback client.OriginReader

	// FirstEpoch is how long Open waits for the first epoch of the ring (default 2 s).
	FirstEpoch time.Duration
	// ControlDeadline is how long a member may take for an answer that needs no origin, before another is tried (default 250 ms: it is another machine).
	ControlDeadline time.Duration
	// ReadDeadline is how long a call may take that may need the origin (default 30 s).
	ReadDeadline time.Duration
	// Idle is after how long without a read the connection to a member is closed (default 5 min).
	Idle time.Duration

	// Tag names what is read for (a query, a job), in the sidecars' logs and metrics; at most 128 bytes.
	Tag string
	// Logger takes rare events. The zero Logger writes nothing.
	Logger zerolog.Logger
	// Registerer takes the metrics, alio_fleet_*; nil for none.
	Registerer prometheus.Registerer
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) withDefaults() Options {
	setDefault(&o.Owners, 2)
	setDefault(&o.FirstEpoch, 2*time.Second)
	setDefault(&o.ControlDeadline, 250*time.Millisecond)
	setDefault(&o.ReadDeadline, 30*time.Second)
	setDefault(&o.Idle, 5*time.Minute)
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(len(o.Members) == 0, "no members: give host:port of the gRPC door of one at least")
	for _, m := range o.Members {
		_, _, err := net.SplitHostPort(m)
		fault(err != nil, "member %q is not host:port", m)
	}
	fault(o.Port < 0 || o.Port > 65535, "port %d is none", o.Port)
	fault(o.Owners < 1, "owners %d: at least 1", o.Owners)
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"first epoch", o.FirstEpoch}, {"control deadline", o.ControlDeadline}, {"read deadline", o.ReadDeadline}, {"idle", o.Idle}} {
		fault(d.value < 0, "%s %v is negative", d.name, d.value)
	}
	if err := o.member("member:1").Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// member are the options of the client of one member. Nothing of a member lies on this machine: no places are asked for, and little is remembered.
func (o Options) member(address string) client.Options {
	return client.Options{Fallback: elsewhere{}, Address: address, Token: o.Token, TLS: o.TLS, ControlDeadline: o.ControlDeadline, ReadDeadline: o.ReadDeadline, Tag: o.Tag, Logger: o.Logger,
		OpenSegments: 1, Views: 1024, ViewMemory: 1 << 20, RefreshInterval: 24 * time.Hour, TouchInterval: time.Minute}
}

// elsewhere stands for a Fallback at the clients of members, so that they do not wait for one that is silent: each then goes to who comes next.
type elsewhere struct{}

var errSilent = fmt.Errorf("%w: it could not be asked, or did not answer", client.ErrUnavailable)

// ReadAt implements client.OriginReader.
func (elsewhere) ReadAt(context.Context, client.Object, []byte, int64) (int, error) {
	return 0, errSilent
}
