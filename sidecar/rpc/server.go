package rpc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
)

// Server is the gRPC door. All methods may be called in parallel.
type Server struct {
	opts     Options
	process  uint64 // another after each start
	users    map[uint32]bool
	accounts atomic.Pointer[[]account]
	metrics  *metrics
	grpc     *grpc.Server
	claims   *claims
	prefetch *prefetcher
	sending  *semaphore.Weighted // bytes of pages that gRPC has and has not sent
	helpers  chan struct{}       // a token for each goroutine that helps an Open

	calls       atomic.Int64
	connections atomic.Int64
	closing     sync.Once
	graceful    sync.Once
	stopped     atomic.Bool
	drained     chan struct{}   // closed when GracefulStop has returned
	ending      context.Context // of calls that last until somebody ends them; ended by Shutdown and Close
	end         context.CancelFunc
}

// Limits that nobody needs to set.
const (
	openHelpers      = 64 // goroutines that locate files of batches, all Opens together
	openParallel     = 16 // of one Open
	handshakeTimeout = 10 * time.Second
	headerBytes      = 16 << 10 // of a call
	requestSlack     = 128 << 10
	streamsEach      = 256 // calls under way on one connection
)

// New makes a Server. It starts nothing; Serve and Run do.
func New(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, process: binary.LittleEndian.Uint64(random[:]), users: allowedUsers(o.Users),
		sending: semaphore.NewWeighted(o.SendMemory), helpers: make(chan struct{}, openHelpers), drained: make(chan struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.claims = newClaims(o.ClaimDeadline, o.ClaimPages)
	s.prefetch = newPrefetcher(s)
	s.setAccounts(o.Tokens)
	var err error
	if s.metrics, err = newMetrics(s, o.Registerer); err != nil {
		return nil, err
	}
	s.claims.metrics = s.metrics
	s.grpc = grpc.NewServer(
		grpc.Creds(newDoor(s, o.TLS)), grpc.ForceServerCodecV2(wire.Codec{}),
		grpc.InTapHandle(s.admit), grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream), grpc.UnknownServiceHandler(s.unknown),
		grpc.MaxRecvMsgSize(o.PutBytes+requestSlack), grpc.MaxConcurrentStreams(uint32(min(o.Calls, streamsEach))),
		grpc.MaxHeaderListSize(headerBytes), grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Nanosecond, PermitWithoutStream: true}), // the Java client pings while it puts
		grpc.WaitForHandlers(true),
	)
	if o.Sidecar != nil {
		apiv1.RegisterSidecarServer(s.grpc, &service{s: s})
	}
	if o.Affinity != nil {
		apiv1.RegisterAffinityServer(s.grpc, o.Affinity)
	}
	return s, nil
}

// Serve answers on a listener, a Unix socket's or TCP's, until Shutdown or Close, and returns nil then. It owns the listener. It may be called
// for several.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.mayServe(ln.Addr()); err != nil {
		return errors.Join(err, ln.Close())
	}
	err := s.grpc.Serve(doorListener{ln, s})
	if s.stopped.Load() || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return fmt.Errorf("gRPC door on %s: %w", ln.Addr(), err)
}

// mayServe holds an address to the rules of doors: TCP wants tokens, and what other machines reach wants TLS.
func (s *Server) mayServe(addr net.Addr) error {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return nil
	case *net.TCPAddr:
		if len(*s.accounts.Load()) == 0 {
			return fmt.Errorf("gRPC door on %s: TCP wants tokens, since it does not tell who the client is: set doors.grpc.tokens, or use a Unix socket (doors.grpc.socket)", addr)
		}
		if !a.IP.IsLoopback() && s.opts.TLS == nil {
			return fmt.Errorf("gRPC door on %s: other machines can reach that address, and tokens would travel in the clear: set doors.grpc.tls, or listen on loopback", addr)
		}
		return nil
	}
	return fmt.Errorf("gRPC door: an address of type %T is neither a Unix socket's nor TCP's", addr)
}

// Run serves on all listeners until ctx ends, then lets calls under way finish for at most grace, and returns. It returns earlier, with an error, if a
// listener fails.
func (s *Server) Run(ctx context.Context, grace time.Duration, lns ...net.Listener) error {
	served := make(chan error, len(lns))
	for _, ln := range lns {
		go func() { served <- s.Serve(ln) }()
	}
	var first error
	left := len(lns)
	select {
	case <-ctx.Done():
	case first = <-served:
		left--
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := errors.Join(first, s.Shutdown(end))
	for range left {
		err = errors.Join(err, <-served)
	}
	return err
}

// Shutdown takes no more calls, gives up prefetches, and waits for the calls under way; when ctx ends, it cuts off what is left. It may be
// called twice.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopped.Store(true)
	s.end()
	s.prefetch.stop()
	s.graceful.Do(func() {
		go func() {
			defer close(s.drained)
			s.grpc.GracefulStop()
		}()
	})
	select {
	case <-s.drained:
	case <-ctx.Done():
	}
	err := s.Close()
	<-s.drained
	return err
}

// Close cuts every connection and waits until nothing of the server runs any more. It may be called twice, and after a failed start.
func (s *Server) Close() error {
	s.stopped.Store(true)
	s.end()
	s.closing.Do(func() {
		s.prefetch.stop()
		s.grpc.Stop()
	})
	return nil
}
