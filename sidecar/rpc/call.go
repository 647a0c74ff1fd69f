package rpc

import (
	"context"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
)

// receiveTimeout is how long a client may take to send a request after its headers.
const receiveTimeout = 10 * time.Second

// The states of a call.
const (
	receiving = iota
	handling
	ended
)

// call is one call, from its headers on: who makes it, and what it holds of the limits.
type call struct {
	s      *Server
	id     *identity
	conn   *conn
	method int
	start  time.Time
	state  atomic.Int32
	timer  *time.Timer        // ends the call if its request does not come
	cancel context.CancelFunc // ends the call, whatever it waits for
	forget func() bool        // the call is looked after by its handler
}

type callKey struct{}

// methodOf numbers a full method name, "/alio.v1.Sidecar/Open".
func methodOf(full string) int {
	begin, end := 0, assignMethod
	name, ok := strings.CutPrefix(full, "/"+apiv1.Sidecar_ServiceDesc.ServiceName+"/")
	if !ok {
		name, ok = strings.CutPrefix(full, "/"+apiv1.Affinity_ServiceDesc.ServiceName+"/")
		begin, end = assignMethod, otherMethod
	}
	for i := begin; ok && i < end; i++ {
		if strings.EqualFold(name, methods[i]) {
			return i
		}
	}
	return otherMethod
}

// admit sees a call's headers before anything is read or kept for it. It is on the connection's only reader, so it must not block.
func (s *Server) admit(ctx context.Context, info *tap.Info) (context.Context, error) {
	method := methodOf(info.FullMethodName)
	id, c, err := s.identify(ctx, info.Header)
	if err == nil && s.calls.Add(1) > int64(s.opts.Calls) {
		s.calls.Add(-1)
		err = status.Errorf(codes.ResourceExhausted, "%d calls are under way, which is the limit: read from the origin, or try again", s.opts.Calls)
	}
	if err != nil {
		s.metrics.request(method, status.Code(err))
		return ctx, err
	}
	x := &call{s: s, id: id, conn: c, method: method, start: time.Now()}
	ctx, x.cancel = context.WithCancel(context.WithValue(ctx, callKey{}, x))
	x.timer = time.AfterFunc(receiveTimeout, x.cancel)
	x.forget = context.AfterFunc(ctx, x.gone) // gRPC ends the context of every call that it has taken
	return ctx, nil
}

// callOf returns the call that a context belongs to.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// begin notes that the handler runs.
func (x *call) begin() {
	x.state.CompareAndSwap(receiving, handling)
	x.forget()
}

// received notes that the request is here.
func (x *call) received() { x.timer.Stop() }

// gone ends a call whose request never came whole.
func (x *call) gone() {
	x.timer.Stop()
	if x.state.CompareAndSwap(receiving, ended) {
		x.s.metrics.requests[x.method][unread].Inc()
		x.s.calls.Add(-1)
	}
}

// end counts a handled call. What it holds is given back by the function that it returns, which may be called later and must be called once.
func (x *call) end(code codes.Code) (release func()) {
	x.received()
	x.s.metrics.seconds[x.method].Observe(time.Since(x.start).Seconds())
	x.s.metrics.request(x.method, code)
	if x.state.Swap(ended) != handling {
		return func() {} // given back already: the client left when its request had just come
	}
	return func() { x.s.calls.Add(-1) }
}

// unary stands around every method but Read.
func (s *Server) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	x := callOf(ctx)
	x.begin()
	x.received()
	reply, err = s.guarded(ctx, x, func() (any, error) { return handler(ctx, req) })
	st := toStatus(ctx, err)
	release := x.end(st.Code())
	if err != nil {
		release()
		return nil, st.Err()
	}
	switch m := reply.(type) { // the large ones count until they are sent
	case *apiv1.OpenReply:
		return &wire.Tracked{Message: m, Done: x.conn.lend(release).end}, nil
	case *apiv1.ListReply:
		return &wire.Tracked{Message: m, Done: x.conn.lend(release).end}, nil
	}
	release()
	return reply, nil
}

// stream stands around Read, Watch and what is no method at all.
func (s *Server) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	x := callOf(ss.Context())
	x.begin()
	if x.method == watchMethod { // it would last as long as the process
		ctx, cancel := context.WithCancel(ss.Context())
		defer cancel()
		defer context.AfterFunc(s.ending, cancel)()
		ss = watching{ss, ctx, x}
	}
	_, err := s.guarded(ss.Context(), x, func() (any, error) { return nil, handler(srv, ss) })
	st := toStatus(ss.Context(), err)
	x.end(st.Code())()
	return st.Err()
}

// watching is a stream with a context of its own.
type watching struct {
	grpc.ServerStream
	ctx  context.Context
	call *call
}

// RecvMsg implements grpc.ServerStream.
func (w watching) RecvMsg(m any) error {
	defer w.call.received()
	return w.ServerStream.RecvMsg(m)
}

// Context implements grpc.ServerStream.
func (w watching) Context() context.Context { return w.ctx }

// guarded turns a panic into an error of that call alone.
func (s *Server) guarded(ctx context.Context, x *call, f func() (any, error)) (reply any, err error) {
	defer func() {
		if p := recover(); p != nil {
			reply, err = nil, s.panicked(methods[x.method], p)
		}
	}()
	return f()
}

func (s *Server) panicked(what string, p any) error {
	s.opts.Logger.Error().Str("method", what).Interface("panic", p).Bytes("stack", debug.Stack()).
		Msg("a call panicked; it was answered with an error, and the sidecar goes on")
	return status.Errorf(codes.Internal, "%s failed in the sidecar, whose log says more: read from the origin", what)
}

// unknown answers what this sidecar does not speak.
func (s *Server) unknown(_ any, ss grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(ss)
	if methodOf(name) >= assignMethod && methodOf(name) < otherMethod {
		return status.Error(codes.Unimplemented, "this sidecar belongs to no fleet: set affinity in its configuration, or choose by yourself")
	}
	return status.Errorf(codes.Unimplemented, "this sidecar speaks %s and has no %.200s: use a client of that version", apiv1.Sidecar_ServiceDesc.ServiceName, strings.ToValidUTF8(name, "?"))
}
