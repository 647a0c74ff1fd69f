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

	heardAt atomic.Int64 // unix nanoseconds when anything of any answer came last
	asking  atomic.Bool  // whether it lives, for all who wait and hear nothing

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

// askAfter is the part of the control deadline for which nothing is heard before the sidecar is asked whether it lives.
const askAfter = 4

var (
	errLate      = errors.New("the sidecar did not answer in time")
	errUnreached = errors.New("the sidecar cannot be reached")
)

func newControl(c *Client) *control {
	return &control{c: c}
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
	// doubt gives the call up when nothing at all was heard of the sidecar within the control deadline, though it was asked whether it lives. For calls that may
	// wait for the origin, of readers who have another way.
	doubt bool
	// optional calls can be left out at no cost but hit ratio.
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
	if err := k.mayCall(ctx, m, p); err != nil {
		return err
	}
	begun := time.Now()
	callCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	expire := time.AfterFunc(p.deadline, func() { cancel(errLate) })
	defer expire.Stop()
	r := reply{progress: func() {
		expire.Reset(p.deadline)
		k.heard()
	}}
	if p.doubt && p.deadline > k.c.o.ControlDeadline {
		defer k.doubtWhile(callCtx, api, cancel, begun)()
	}
	err = do(callCtx, api, &r)
	suspicion, err := k.judge(ctx, callCtx, m, begun, &r, err)
	if suspicion != 0 {
		k.c.background.Go(func() { k.findOut(api, suspicion) })
	}
	return err
}

// mayCall holds calls back while the sidecar is suspect. Who has no other way waits for the verdict, which takes one control deadline at most.
func (k *control) mayCall(ctx context.Context, m method, p patience) error {
	ok, verdict, last := k.breaker.allow()
	if ok {
		return nil
	}
	if !p.doubt && !p.optional {
		select {
		case <-verdict:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(p.deadline):
		}
		if ok, _, last = k.breaker.allow(); ok {
			return nil
		}
	}
	k.calls[m][notTried].Add(1)
	return k.unavailable(fmt.Errorf("%w; it is being asked whether it lives", last))
}

func (k *control) heard() { k.heardAt.Store(time.Now().UnixNano()) }

// doubtWhile asks for the sidecar's status while a call waits and nothing at all is heard. When that is so for a control deadline, the call is cancelled.
func (k *control) doubtWhile(ctx context.Context, api apiv1.SidecarClient, cancel context.CancelCauseFunc, begun time.Time) (stop func()) {
	limit := k.c.o.ControlDeadline
	k.c.background.begin()
	timer := time.AfterFunc(limit/askAfter, func() {
		defer k.c.background.end()
		var asked time.Time
		for ctx.Err() == nil {
			quiet := latest(begun, time.Unix(0, k.heardAt.Load()))
			waits := asked.After(quiet)
			next := quiet.Add(limit / askAfter)
			if waits {
				next = latest(quiet.Add(limit), asked.Add(limit-limit/askAfter))
			}
			switch left := time.Until(next); {
			case left > 0:
				sleep(ctx, left)
			case waits:
				cancel(errLate)
			default:
				asked = time.Now()
				k.ask(api)
			}
		}
	})
	return func() {
		if timer.Stop() {
			k.c.background.end()
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// ask has the sidecar asked whether it lives, once for all who wait.
func (k *control) ask(api apiv1.SidecarClient) {
	if !k.asking.CompareAndSwap(false, true) {
		return
	}
	k.c.background.Go(func() {
		defer k.asking.Store(false)
		if k.lives(api, k.c.o.ControlDeadline) {
			k.heard()
		}
	})
}

// lives asks for the sidecar's status, and waits for a connection if there is none.
func (k *control) lives(api apiv1.SidecarClient, limit time.Duration) bool {
	probe, done := context.WithTimeout(k.c.alive, limit)
	defer done()
	var r reply
	_, err := api.Status(probe, &apiv1.StatusRequest{}, append(r.options(), grpc.WaitForReady(true))...)
	// A deadline also ends the call at the other side, which may still say so: that is no sign of life.
	return err == nil || len(r.header)+len(r.trailer) > 0 && status.Code(err) != codes.DeadlineExceeded
}

// findOut asks a suspect sidecar for its status until it answers. A question stays open for as long as a pause would be, so that one that hung and goes on is
// believed at once.
func (k *control) findOut(api apiv1.SidecarClient, suspicion uint64) {
	log := k.c.o.Logger.With().Str("address", k.c.o.Address).Logger()
	limit, pause := k.c.o.ControlDeadline, min(firstPause, k.c.o.DialBackoff)
	for !k.c.closed() {
		asked := time.Now()
		if k.lives(api, limit) {
			k.heard()
			if k.breaker.end(suspicion) {
				log.Info().Msg("the sidecar answers again")
			}
			return
		}
		if !k.breaker.isOpen() && !k.c.closed() {
			_, _, last := k.breaker.allow()
			log.Warn().Err(last).Bool("fallback", k.c.o.Fallback != nil).
				Msg("the sidecar does not answer; what is not read locally goes to the fallback, or fails, until it does")
			k.breaker.confirm(suspicion)
		}
		if time.Since(asked) < limit { // the connection broke
			sleep(k.c.alive, pause)
			pause = min(2*pause, k.c.o.DialBackoff)
		}
		limit = max(k.c.o.ControlDeadline, k.c.o.DialBackoff)
	}
}

// judge counts how a call ended and words its error. suspicion is the one that the call has begun, else 0.
func (k *control) judge(ctx, callCtx context.Context, m method, begun time.Time, r *reply, err error) (suspicion uint64, _ error) {
	wasLate := context.Cause(callCtx) == errLate
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, ctx.Err()
	case status.Code(err) == codes.DeadlineExceeded && hasDeadline(ctx): // the other side's clock was the faster one
		return 0, context.DeadlineExceeded
	case err == nil:
		k.heard()
		k.calls[m][answered].Add(1)
		return 0, nil
	case !wasLate && len(r.header)+len(r.trailer) > 0:
		k.heard()
		k.calls[m][refused].Add(1)
		return 0, callError(err)
	case wasLate:
		k.calls[m][late].Add(1)
		err = errLate
	case k.isClosed():
		return 0, ErrClosed
	case status.Code(err) == codes.Unavailable || status.Code(err) == codes.Canceled:
		k.calls[m][unreached].Add(1)
		err = fmt.Errorf("%w: %s", errUnreached, status.Convert(err).Message())
	default: // made here: a message too large, or one that cannot be read
		k.calls[m][refused].Add(1)
		return 0, callError(err)
	}
	return k.breaker.failed(begun, err), k.unavailable(err)
}

func hasDeadline(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return ok
}

func (k *control) unavailable(err error) error {
	return fmt.Errorf("%w: %s: %w (is the sidecar running there? a Fallback would read the origin meanwhile)", ErrUnavailable, k.c.o.Address, err)
}
