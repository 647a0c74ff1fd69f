package fleet

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/alio-lake/alio/client"
)

// member is a sidecar that is read from.
type member struct {
	address string
	client  *client.Client
	reads   int // under way
	used    time.Time
}

// acquire returns the member at an address, for one read: release gives it back.
func (f *Fleet) acquire(address string) (*member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, client.ErrClosed
	}
	m := f.members[address]
	if m == nil {
		c, err := client.New(f.o.member(address))
		if err != nil {
			return nil, err
		}
		m = &member{address: address, client: c}
		f.members[address] = m
	}
	m.reads++
	return m, nil
}

func (f *Fleet) release(m *member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.reads--
	m.used = time.Now()
}

// current tells whether a member is the one at its address still, and not one that was let go of.
func (f *Fleet) current(m *member) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[m.address] == m
}

// letGo closes the members that nobody has read from since then, all of them once the Fleet is closed.
func (f *Fleet) letGo(since time.Time) error {
	var idle []*member
	f.mu.Lock()
	for address, m := range f.members {
		if f.closed || m.reads == 0 && m.used.Before(since) {
			idle = append(idle, m)
			delete(f.members, address)
		}
	}
	f.mu.Unlock()
	var faults []error
	for _, m := range idle {
		faults = append(faults, m.client.Close())
	}
	return errors.Join(faults...)
}

// bearer shows a token.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false, as loopback needs none; beyond it the door wants TLS.
func (b bearer) RequireTransportSecurity() bool { return false }

// quiet is for how long nothing is heard of a connection before it is asked whether it lives: servers take being asked more often than each five minutes amiss.
const quiet = 6 * time.Minute

// dial makes the connection by which the ring is watched: to the first of the members that can be reached.
func dial(o Options) (*grpc.ClientConn, error) {
	var at []resolver.Address
	for _, m := range o.Members {
		host, _, _ := net.SplitHostPort(m)
		at = append(at, resolver.Address{Addr: m, ServerName: host})
	}
	r := manual.NewBuilderWithScheme("alio-members")
	r.InitialState(resolver.State{Addresses: at})
	secure := insecure.NewCredentials()
	if o.TLS != nil {
		secure = credentials.NewTLS(o.TLS)
	}
	options := []grpc.DialOption{grpc.WithResolvers(r), grpc.WithTransportCredentials(secure), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: quiet, Timeout: 20 * time.Second})}
	if o.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(o.Token)))
	}
	return grpc.NewClient(r.Scheme()+":///members", options...)
}
