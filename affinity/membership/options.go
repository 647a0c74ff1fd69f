package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/alio-lake/alio/affinity/ring"
)

// Options say who a node is, and where the fleet's state lies.
type Options struct {
	// Connect connects to etcd, or starts it; Run calls it until it succeeds, and what it returned beside the client when it ends. See Etcd.Connector and EmbeddedOptions.Connector.
	Connect func(context.Context) (client *clientv3.Client, done func(), err error)
	// Client is used in Connect's stead; the caller closes it, after Run has returned.
	Client *clientv3.Client
	Prefix string // of all keys; "/alio/affinity/" by default. Two fleets on one etcd have two
	// Self is announced as a member; one without a name only follows.
	Self ring.Member
	// Candidate nodes may be elected to edit the ring. There should be a few.
	Candidate bool
	// Settings are those of the ring that a leader edits.
	Settings ring.Settings
	// Absent is how long a leader keeps the place of a member that is not there: it is left out of answers meanwhile, and has exactly its share again when it comes back. 0: it loses its place at once.
	Absent time.Duration
	// Overload and Hotness are what a leader judges members' loads and sections' heat by.
	Overload Overload
	Hotness  Hotness
	// File keeps the last epoch; "" keeps none.
	File string
	// TTL is how long a member that says nothing stays one; 10 s by default, at least 1 s. etcd counts whole seconds.
	TTL time.Duration
	// Settle is how long a leader waits for more changes before it makes one epoch of them; 100 ms by default.
	Settle time.Duration
	// ChunkSize is the largest value written, 512 KiB by default; etcd takes 1.5 MiB at once.
	ChunkSize int
	Log       zerolog.Logger
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = "/alio/affinity/"
	}
	if o.TTL == 0 {
		o.TTL = 10 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 100 * time.Millisecond
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = 512 << 10
	}
	o.Overload, o.Hotness = o.Overload.withDefaults(), o.Hotness.withDefaults()
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("membership: "+format, args...))
		}
	}
	add((o.Client == nil) == (o.Connect == nil), "give a client to etcd, or what connects to it")
	add(!strings.HasSuffix(o.Prefix, "/"), "prefix %q: it must end in a slash", o.Prefix)
	add(o.TTL < time.Second, "ttl %v: give at least 1s", o.TTL)
	add(o.Absent < 0, "absent %v is negative", o.Absent)
	add(o.Settle < 0, "settle %v is negative", o.Settle)
	add(o.ChunkSize < 1024 || o.ChunkSize > 1<<20, "chunks of %d bytes: give 1 KiB to 1 MiB", o.ChunkSize)
	add(strings.Contains(o.Self.Name, "/"), "member %q: a name has no slash here", o.Self.Name)
	faults = append(faults, o.Overload.validate(), o.Hotness.validate())
	if err := o.Settings.Validate(); err != nil {
		faults = append(faults, err)
	} else if o.Self.Name != "" {
		faults = append(faults, o.Settings.Check(o.Self))
	}
	return errors.Join(faults...)
}
