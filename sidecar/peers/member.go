package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
)

// The breaker: after so many failures in a row a member is left alone for a pause that doubles, and is then tried by one call.
const (
	breakAfter = 4
	firstPause = time.Second
	lastPause  = time.Minute
)

// window is how much a peer may send before it hears that it was read: more than a page, or the round trips would bound a page's speed.
const window = 4 << 20

// What can come of asking a member, beside bytes.
var (
	errMiss    = errors.New("the peer does not hold it")
	errBusy    = errors.New("the peer has too much to do")
	errGarbage = errors.New("the peer's answer makes no sense")
	errLate    = errors.New("the peer did not answer in time")
)

// member is another sidecar of the fleet, as this one sees it.
type member struct {
	name, address string
	identity      *Identity
	calls         chan struct{} // a token for each call under way
	pages, facts  latency       // of Pages, until the first piece; of Known and KnownList

	mu struct {
		sync.Mutex
		conn     *grpc.ClientConn // nil: none now
		closed   bool             // it gets no other one: it is no member any more, or is one elsewhere
		failures int              // in a row
		pause    time.Duration
		until    time.Time // left alone until then
		trial    bool      // somebody tries whether it is back
		last     error     // what it failed with last; nil: it is well
		told     bool      // that it failed is in the log
		tick     tick
	}
	news    news
	hearing hearing
}

// callsEach is how many calls to one member are under way at once; who comes then asks the origin.
const callsEach = 64

func newMember(name, address string, identity *Identity, patience time.Duration) *member {
	return &member{name: name, address: address, identity: identity, calls: make(chan struct{}, callsEach), pages: latency{least: patience}, facts: latency{least: patience}}
}

// begin takes a place among the calls to the member; false: it is not to be asked now. Who was given a place calls end.
func (m *member) begin() bool {
	select {
	case m.calls <- struct{}{}:
	default:
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.failures < breakAfter {
		return true
	}
	if m.mu.trial || time.Now().Before(m.mu.until) {
		<-m.calls
		return false
	}
	m.mu.trial = true
	return true
}

// end gives the place back. err is what came of the call: nil, errMiss and errBusy are answers, context.Canceled tells nothing, and all else is a failure. It
// tells whether the member has just been given up.
func (m *member) end(err error) (broke bool) {
	<-m.calls
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.trial = false
	switch {
	case err == nil, errors.Is(err, errMiss), errors.Is(err, errBusy):
		m.mu.failures, m.mu.pause, m.mu.last, m.mu.told = 0, 0, nil, false
		return false
	case errors.Is(err, context.Canceled):
		return false
	}
	m.mu.last = err
	if m.mu.failures++; m.mu.failures < breakAfter {
		return false
	}
	m.mu.pause = min(max(2*m.mu.pause, firstPause), lastPause)
	m.mu.until = time.Now().Add(m.mu.pause)
	m.dropLocked() // the next try has a connection of its own: this one may be half open
	broke, m.mu.told = !m.mu.told, true
	return broke
}

// client is a connection to the member, which is made when it is first used.
func (m *member) client() (apiv1.PeersClient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return nil, fmt.Errorf("%w: it is no member at %s any more", errLeft, m.address)
	}
	if m.mu.conn == nil {
		conn, err := grpc.NewClient("passthrough:///"+m.address,
			grpc.WithTransportCredentials(credentials.NewTLS(m.identity.toward(m.name))),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", address)
			}),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec{}), grpc.MaxCallRecvMsgSize(maxMessage)),
			grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(4*window), grpc.WithReadBufferSize(256<<10),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}), grpc.WithDisableServiceConfig())
		if err != nil {
			return nil, fmt.Errorf("peer %s at %s: %w", m.name, m.address, err)
		}
		m.mu.conn = conn
	}
	return apiv1.NewPeersClient(m.mu.conn), nil
}

func (m *member) dropLocked() {
	if m.mu.conn != nil {
		conn := m.mu.conn
		m.mu.conn = nil
		go conn.Close() // calls under way end by it, and their ends take the lock
	}
}

// close gives the connection up.
func (m *member) close() {
	m.mu.Lock()
	conn := m.mu.conn
	m.mu.conn, m.mu.closed = nil, true
	m.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// trouble is what the member fails with now; nil: it is well, as far as anybody knows.
func (m *member) trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.failures < breakAfter {
		return nil
	}
	return m.mu.last
}

// kind makes one of the errors above of what a call failed with.
func kind(err error) error {
	switch status.Code(err) {
	case codes.OK:
		return err
	case codes.NotFound:
		return errMiss
	case codes.ResourceExhausted:
		return errBusy
	case codes.DeadlineExceeded:
		return errLate
	case codes.Canceled:
		return context.Canceled
	}
	return err
}
