package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/sidecar"
)

// Defaults of Options.
const (
	DefaultOpenFiles       = 1024
	DefaultOpenPages       = 64 << 10
	DefaultPutBytes        = 1 << 20
	DefaultClaimDeadline   = 10 * time.Second
	DefaultClaimPages      = 64 << 10
	DefaultPrefetchWorkers = 4
	DefaultPrefetchBytes   = 1 << 30
	DefaultCalls           = 512
	DefaultConnections     = 256
	DefaultSendMemory      = 256 << 20
	DefaultStallTimeout    = time.Minute
)

// Token is a secret that opens the door on TCP.
type Token struct {
	Name   string   // for the trust domain, logs and errors; unique
	Secret string   // what the client sends
	Mounts []string // "mount" or "mount/folder"; empty: everything
}

// String names the token and shows no secret.
func (t Token) String() string { return "token " + t.Name }

// GoString shows no secret either.
func (t Token) GoString() string { return t.String() }

// Options configure a Server. Sidecar and Cache are required, or Affinity; the zero of everything else means its default.
type Options struct {
	// Affinity is served beside the sidecar, or alone; nil: it is not. Any client that may come in may ask it.
	Affinity apiv1.AffinityServer
	Sidecar  *sidecar.Sidecar
	Cache    *cache.Cache
	// Places tells where pages lie on disk. nil: what the cache's disk tier offers, if it does.
	Places cache.Places

	// Users are the ids of the users that may use the Unix socket, besides root and the user that the sidecar runs as.
	Users []uint32
	// Tokens open the door on TCP. Without any, Serve refuses TCP.
	Tokens []Token
	// TLS is spoken on TCP if set. Without it, Serve refuses addresses that other machines reach.
	TLS *tls.Config
	// Shared puts all clients into one trust domain. Else each user (Unix socket) and each token (TCP) sees only pages that it has put itself, and
	// what the sidecar has read.
	Shared bool

	// OpenFiles is the most files in one Open or Prefetch (default 1024).
	OpenFiles int
	// OpenPages is the most pages that one Open tells of, or one Prefetch looks at (default 65,536: about 30 ms, a reply of at most 1 MiB).
	OpenPages int
	// PutBytes is the most bytes of pages in one Put, at least one page's and at most 16 MiB (default 1 MiB). It bounds every request: see
	// Calls.
	PutBytes int
	// ClaimDeadline is how long a client may take to fill what it has claimed (default 10 s).
	ClaimDeadline time.Duration
	// ClaimPages is the most pages that are claimed at a time by all clients (default 65,536); beyond it pages are missing and nobody's.
	ClaimPages int
	// PrefetchWorkers is how many prefetches read at a time (default 4).
	PrefetchWorkers int
	// PrefetchBytes is the most bytes that prefetches have still to read (default 1 GiB); more are refused. They take no memory.
	PrefetchBytes int64

	// Calls is the most calls under way, over all connections (default 512); more are refused at once. Clients who mean harm can hold as much memory
	// as Calls times the greater of PutBytes and 1 MiB, and SendMemory.
	Calls int
	// Connections is the most connections (default 256); more are closed.
	Connections int
	// SendMemory bounds the bytes of pages that gRPC was given to send and has not sent, over all connections (default 256 MiB, at least
	// 1 MiB). Readers beyond it wait.
	SendMemory int64
	// StallTimeout is how long a client may leave a reply lying before its connection is closed (default 1 min).
	StallTimeout time.Duration

	// Build is the sidecar's version as people know it.
	Build string
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	Logger     zerolog.Logger
}

func (o Options) withDefaults() Options {
	number := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	number(&o.OpenFiles, DefaultOpenFiles)
	number(&o.OpenPages, DefaultOpenPages)
	number(&o.PutBytes, DefaultPutBytes)
	number(&o.ClaimPages, DefaultClaimPages)
	number(&o.PrefetchWorkers, DefaultPrefetchWorkers)
	number(&o.Calls, DefaultCalls)
	number(&o.Connections, DefaultConnections)
	if o.ClaimDeadline == 0 {
		o.ClaimDeadline = DefaultClaimDeadline
	}
	if o.PrefetchBytes == 0 {
		o.PrefetchBytes = DefaultPrefetchBytes
	}
	if o.SendMemory == 0 {
		o.SendMemory = DefaultSendMemory
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.Places == nil && o.Cache != nil {
		o.Places = o.Cache.Places()
	}
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("rpc: "+format, args...))
		}
	}
	fault(o.Sidecar == nil && o.Affinity == nil, "no sidecar")
	fault(o.Cache == nil && (o.Sidecar != nil || o.Affinity == nil), "no page cache")
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"open files", int64(o.OpenFiles)}, {"open pages", int64(o.OpenPages)}, {"claim pages", int64(o.ClaimPages)},
		{"prefetch workers", int64(o.PrefetchWorkers)}, {"prefetch bytes", o.PrefetchBytes}, {"calls", int64(o.Calls)},
		{"connections", int64(o.Connections)}, {"stall timeout", int64(o.StallTimeout)},
	} {
		fault(n.value < 0, "%s must be above 0: %d", n.name, n.value)
	}
	fault(o.PutBytes < cache.MaxPage || o.PutBytes > 16<<20, "put bytes of %d: give at least the largest page (%d) and at most 16 MiB", o.PutBytes, cache.MaxPage)
	fault(o.SendMemory < cache.MaxPage, "send memory of %d bytes cannot hold the largest page (%d)", o.SendMemory, cache.MaxPage)
	fault(o.ClaimDeadline < time.Millisecond || o.ClaimDeadline > time.Hour, "claim deadline %v: give 1ms to 1h, such as 10s", o.ClaimDeadline)
	return errors.Join(append(faults, validateTokens(o.Tokens))...)
}

func validateTokens(tokens []Token) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("rpc: "+format, args...))
		}
	}
	names, secrets := map[string]bool{}, map[string]bool{}
	for i, t := range tokens {
		fault(t.Name == "", "token %d has no name", i+1)
		fault(t.Name != "" && names[t.Name], "two tokens are named %q", t.Name)
		fault(t.Secret == "", "token %q is empty", t.Name)
		fault(t.Secret != "" && secrets[t.Secret], "token %q is the same as another: each client's is its own", t.Name)
		names[t.Name], secrets[t.Secret] = true, true
	}
	return errors.Join(faults...)
}
