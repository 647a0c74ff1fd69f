package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// control is the connection to the sidecar: it dials at the first call, gives every call a deadline, and does not call for a while who does not
// answer.
type control struct {
	c       *Client
	breaker breaker

	mu     sync.Mutex
	conn   *grpc.ClientConn
	api    apiv1.SidecarClient
	closed bool

	calls [methods][results]atomic.Uint64
}

// method and result label calls in the metrics.
type method uint8

const (
	methodStatus method = iota
	methodOpen
	methodRead
	methodPut
	methods
)

var methodNames = [methods]string{"status", "open", "read", "put"}

type result uint8

const (
	answered  result = iota
	refused          // the sidecar answered an error
	late             // it did not answer in time
	unreached        // there is no connection, or it broke
	notTried         // the breaker is open
	results
)

var resultNames = [results]string{"answered", "refused", "late", "unreached", "not_tried"}

// Sizes of messages, in bytes.
const (
	maxAnswer = 64 << 20 // an OpenReply for a large batch
)

// doubtAgain is how long after a sign of life a call that still waits is doubted again.
const doubtAgain = 500 * time.Millisecond

var (
	errLate      = errors.New("the sidecar did not answer in time")
	errUnreached = errors.New("the sidecar cannot be reached")
)

func newControl(c *Client) *control {
	return &control{c: c, breaker: breaker{limit: c.o.DialBackoff}}
}

// dial makes the connection's object; gRPC connects at the first call, and again after it was lost.
func (k *control) dial() (apiv1.SidecarClient, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, ErrClosed
	}
	if k.api != nil {
		return k.api, nil
	}
	o := &k.c.o
	secure := insecure.NewCredentials()
	if o.TLS != nil {
		secure = credentials.NewTLS(o.TLS)
	}
	base := min(50*time.Millisecond, o.DialBackoff)
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
			Backoff: backoff.Config{BaseDelay: base, Multiplier: 1.6, Jitter: 0.2, MaxDelay: o.DialBackoff}}),
	}
	if o.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(o.Token)))
	}
	conn, err := grpc.NewClient(target(o.Address), options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	k.conn, k.api = conn, apiv1.NewSidecarClient(conn)
	return k.api, nil
}

func target(address string) string {
	switch {
	case strings.HasPrefix(address, "unix:"):
		return address
	case isSocket(address):
		return "unix:" + address
	}
	return "passthrough:///" + address
}

// bearer is a token as credentials of each call. The operator decides whether a connection without TLS may carry it: doors bind to loopback.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (b bearer) RequireTransportSecurity() bool { return false }

func (k *control) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.conn == nil {
		return nil
	}
	return k.conn.Close()
}

func (k *control) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// patience is how a call is waited for.
type patience struct {
	deadline time.Duration
	// doubt asks, when nothing of the answer has come within the control deadline, whether the sidecar lives, again each doubtAgain, and gives the call up
	// if not. For calls that may wait for the origin, of readers who have another way.
	doubt bool
	// optional calls do not count as failures when they are late: nobody needed the answer.
	optional bool
}

// reply is what a call learns of who answered.
type reply struct {
	header, trailer metadata.MD
	progress        func() // a part of the answer has come: the deadline begins anew
}

// options are those of a unary call.
func (r *reply) options() []grpc.CallOption {
	return []grpc.CallOption{grpc.Header(&r.header), grpc.Trailer(&r.trailer)}
}

// call makes one call. The error is the caller's context's, or wraps one of this package's kinds.
func (k *control) call(ctx context.Context, m method, p patience, do func(ctx context.Context, api apiv1.SidecarClient, r *reply) error) error {
	api, err := k.dial()
	if err != nil {
		return err
	}
	if ok, wait, last := k.breaker.allow(); !ok {
		k.calls[m][notTried].Add(1)
		return k.unavailable(fmt.Errorf("%w; it is tried again in %v", last, wait.Round(time.Millisecond)))
	}
	callCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	expire := time.AfterFunc(p.deadline, func() { cancel(errLate) })
	defer expire.Stop()
	r := reply{progress: func() { expire.Reset(p.deadline) }}
	if p.doubt && p.deadline > k.c.o.ControlDeadline {
		var heard atomic.Int64 // unix nanoseconds
		r.progress = func() {
			expire.Reset(p.deadline)
			heard.Store(time.Now().UnixNano())
		}
		defer k.doubtWhile(callCtx, api, cancel, &heard)()
	}
	err = do(callCtx, api, &r)
	return k.judge(ctx, callCtx, m, p, &r, err)
}

// doubtWhile asks for the sidecar's status while a call waits: once the control deadline is over, and again and again from then on, since a sidecar may stop
// between two answers. When one is not answered within another control deadline, the call is cancelled.
func (k *control) doubtWhile(ctx context.Context, api apiv1.SidecarClient, cancel context.CancelCauseFunc, heard *atomic.Int64) (stop func()) {
	limit := k.c.o.ControlDeadline
	k.c.background.begin()
	timer := time.AfterFunc(limit, func() {
		defer k.c.background.end()
		for time.Now().UnixNano()-heard.Load() <= int64(limit) || k.lives(ctx, api) {
			again := time.NewTimer(doubtAgain)
			select {
			case <-ctx.Done():
				again.Stop()
				return
			case <-again.C:
			}
		}
		if ctx.Err() == nil {
			cancel(errLate)
		}
	})
	return func() {
		if timer.Stop() {
			k.c.background.end()
		}
	}
}

// lives asks for the sidecar's status.
func (k *control) lives(ctx context.Context, api apiv1.SidecarClient) bool {
	probe, done := context.WithTimeout(ctx, k.c.o.ControlDeadline)
	defer done()
	var r reply
	_, err := api.Status(probe, &apiv1.StatusRequest{}, r.options()...)
	// A deadline also ends the call at the other side, which may still say so: that is no sign of life.
	return err == nil || len(r.header)+len(r.trailer) > 0 && status.Code(err) != codes.DeadlineExceeded
}

// judge counts how a call ended and words its error.
func (k *control) judge(ctx, callCtx context.Context, m method, p patience, r *reply, err error) error {
	wasLate := context.Cause(callCtx) == errLate
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case status.Code(err) == codes.DeadlineExceeded && hasDeadline(ctx): // the other side's clock was the faster one
		return context.DeadlineExceeded
	case err == nil || !wasLate && len(r.header)+len(r.trailer) > 0:
		if k.breaker.answered() {
			k.c.o.Logger.Info().Str("address", k.c.o.Address).Msg("the sidecar answers again")
		}
		if err == nil {
			k.calls[m][answered].Add(1)
			return nil
		}
		k.calls[m][refused].Add(1)
		return callError(err)
	case wasLate:
		k.calls[m][late].Add(1)
		err = errLate
		if p.optional {
			return k.unavailable(err)
		}
	case k.isClosed():
		return ErrClosed
	case status.Code(err) == codes.Unavailable || status.Code(err) == codes.Canceled:
		k.calls[m][unreached].Add(1)
		err = fmt.Errorf("%w: %s", errUnreached, status.Convert(err).Message())
	default: // made here: a message too large, or one that cannot be read
		k.calls[m][refused].Add(1)
		return callError(err)
	}
	if k.breaker.failed(err) {
		k.c.o.Logger.Warn().Err(err).Str("address", k.c.o.Address).Bool("fallback", k.c.o.Fallback != nil).
			Msg("the sidecar does not answer; what is not read locally goes to the fallback, or fails, until it does")
	}
	return k.unavailable(err)
}

func hasDeadline(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return ok
}

func (k *control) unavailable(err error) error {
	return fmt.Errorf("%w: %s: %w (is the sidecar running there? a Fallback would read the origin meanwhile)", ErrUnavailable, k.c.o.Address, err)
}
