package peers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Sidecar is what a Server needs of the sidecar. *sidecar.Sidecar is one.
type Sidecar interface {
	Held(ctx context.Context, at sidecar.Place, path string, version origin.Version, size int64, part string) *cache.View
	HeardObject(at sidecar.Place, path string) (freshness.Answer[origin.Object], bool)
	HeardListing(at sidecar.Place, req origin.ListRequest) (freshness.Answer[origin.Listing], bool)
	Hear(at sidecar.Place, told []sidecar.Told)
	HearListing(at sidecar.Place, req origin.ListRequest, a freshness.Answer[origin.Listing])
	Fence(at sidecar.Place, path string, below bool)
	Holdings(ctx context.Context, at sidecar.Place, wanted func(path string, off int64) bool, yield func(sidecar.Holding) bool)
}

// Pages is what a Server needs of the page cache. *cache.Cache is one.
type Pages interface {
	Has(k cache.Key) bool
	ReadPage(ctx context.Context, p *cache.Page, off, n int64) (cache.Buf, bool)
}

// ServerOptions configure a Server.
type ServerOptions struct {
	// Sidecar and Pages have what is told. Required.
	Sidecar Sidecar
	Pages   Pages
	// Source has the epoch, which tells who is a member. Required.
	Source Source
	// Identity is the certificate that this side shows, and the authority that others' must be of. Required.
	Identity *Identity
	// Since tells from when on what was asked of an origin about a folder may be told onwards; see Peers.Since. nil: whenever it was asked.
	Since func(mount, folder string) (since time.Time, ok bool)
	// Streams is how many ranges are sent at once (default 64). Who asks for more is told that this sidecar is busy.
	Streams int
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	Logger     zerolog.Logger
}

// Validate reports every fault at once.
func (o ServerOptions) Validate() error {
	var faults []error
	if o.Sidecar == nil || o.Pages == nil {
		faults = append(faults, errors.New("door for peers: there is no sidecar or no page cache to tell of"))
	}
	if o.Source == nil || o.Identity == nil {
		faults = append(faults, errors.New("door for peers: there is no source of epochs or no certificate: without them nobody could tell members from others"))
	}
	if o.Streams < 0 {
		faults = append(faults, fmt.Errorf("door for peers: %d ranges at once is negative", o.Streams))
	}
	return errors.Join(faults...)
}

// Server is the door for peers. It tells what the sidecar holds, and asks nobody.
type Server struct {
	apiv1.UnimplementedPeersServer
	o       ServerOptions
	grpc    *grpc.Server
	streams chan struct{} // a token for each range that is being sent
	ahead   chan struct{} // and another one, of fewer, for each that nobody waits for
	walks   chan struct{} // a token for each asker whose sections are being looked for
	given   given
	clock   clock
	said    atomic.Int64 // when a refusal was logged last, in nanoseconds since the clock's start
	buffers sync.Pool    // of *[]byte

	sent    prometheus.Counter
	asked   *prometheus.CounterVec
	refused prometheus.Counter
}

// NewServer makes a Server. It starts nothing; Serve does.
func NewServer(o ServerOptions) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Streams == 0 {
		o.Streams = 64
	}
	s := &Server{o: o, streams: make(chan struct{}, o.Streams), ahead: make(chan struct{}, max(1, o.Streams/4)), walks: make(chan struct{}, walksAtOnce), clock: newClock()}
	s.said.Store(math.MinInt64 / 2)
	s.buffers.New = func() any { b := make([]byte, 0, segfile.RecordSize(cache.MaxPage)); return &b }
	if err := s.register(); err != nil {
		return nil, fmt.Errorf("metrics of the door for peers: %w", err)
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(o.Identity.door(s.isMember, s.refuse))), grpc.ForceServerCodecV2(wire.Codec{}),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(256), grpc.ConnectionTimeout(10*time.Second), grpc.WriteBufferSize(256<<10),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(4*window), grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	apiv1.RegisterPeersServer(s.grpc, s)
	return s, nil
}

func (s *Server) register() error {
	s.sent = prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_peer_sent_bytes_total", Help: "Bytes of pages sent to peers."})
	s.asked = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_asked_total", Help: "Ranges that peers have asked this sidecar for, by whether it held their beginning."}, []string{"answer"})
	s.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_peer_refused_connections_total", Help: "Connections to the door for peers that were refused because of their certificates."})
	for _, a := range []string{"held", "not_held", "busy"} {
		s.asked.WithLabelValues(a)
	}
	if s.o.Registerer == nil {
		return nil
	}
	return registerAll(s.o.Registerer, s.sent, s.asked, s.refused)
}

// isMember tells whether a certificate's name is that of a member.
func (s *Server) isMember(name string) bool {
	e := s.o.Source.Epoch()
	if e == nil {
		return false
	}
	_, ok := e.Find(name)
	return ok
}

// refuse counts who was turned away, and says so once a minute.
func (s *Server) refuse(err error) {
	s.refused.Inc()
	now, before := int64(s.clock.now()), s.said.Load()
	if now-before > int64(time.Minute) && s.said.CompareAndSwap(before, now) {
		s.o.Logger.Warn().Err(err).Msg("a connection to the door for peers was refused; who it was reads from the origin")
	}
}

// Serve answers on a listener, which it owns, until Close, and returns nil then.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.grpc.Serve(ln); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("door for peers on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown takes no more calls and lets those under way finish until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
	}
	return nil
}

// Close cuts every connection and waits until nothing of the server runs any more. Closing twice is safe.
func (s *Server) Close() error {
	s.grpc.Stop()
	return nil
}

// Pages implements apiv1.PeersServer.
func (s *Server) Pages(req *apiv1.PagesRequest, stream grpc.ServerStreamingServer[apiv1.ReadReply]) error {
	if !s.admit(req.Ahead) {
		s.asked.WithLabelValues("busy").Inc()
		return status.Error(codes.ResourceExhausted, "too many ranges are being sent")
	}
	defer s.release(req.Ahead)
	ctx := stream.Context()
	off, n := req.Offset, req.Length
	if off < 0 || n < 1 || req.Size < 1 || off > req.Size-n {
		return status.Errorf(codes.InvalidArgument, "%d bytes at %d are not within the object's %d", n, off, req.Size)
	}
	view := s.o.Sidecar.Held(ctx, placeOf(req.Place), req.Path, origin.Version(req.Version), req.Size, req.Part)
	held := s.holds(view, off, n)
	if held == 0 {
		s.asked.WithLabelValues("not_held").Inc()
		return status.Error(codes.NotFound, "not held")
	}
	s.asked.WithLabelValues("held").Inc()
	reply := wire.ReadReply{Offset: off, Length: held}
	for at := off; at < off+held; {
		next, err := s.send(stream, &reply, view, at, off+held)
		if err != nil {
			return err
		}
		if req.Ahead {
			s.given.add(s.clock.now(), next-at)
		}
		at = next
	}
	return nil
}

// admit takes a place for a range to be sent; false: there is none. What nobody waits for has a quarter of them.
func (s *Server) admit(ahead bool) bool {
	if ahead {
		select {
		case s.ahead <- struct{}{}:
		default:
			return false
		}
	}
	select {
	case s.streams <- struct{}{}:
		return true
	default:
	}
	if ahead {
		<-s.ahead
	}
	return false
}

func (s *Server) release(ahead bool) {
	<-s.streams
	if ahead {
		<-s.ahead
	}
}

// given is what others have pulled with no reader waiting.
type given struct {
	bytes atomic.Int64
	last  atomic.Int64 // when, in nanoseconds since the clock's start
}

func (g *given) add(now time.Duration, n int64) {
	g.last.Store(int64(now))
	g.bytes.Add(n)
}

// Given is how much others have pulled from this sidecar with no reader waiting, in bytes, and how long ago they last did.
func (s *Server) Given() (bytes int64, ago time.Duration) {
	return s.given.bytes.Load(), s.clock.now() - time.Duration(s.given.last.Load())
}

// holds is how many of n bytes from off on lie in pages that are resident, without a gap.
func (s *Server) holds(view *cache.View, off, n int64) int64 {
	if view == nil {
		return 0
	}
	at := off
	for at < off+n {
		p, err := view.PageAt(at)
		if err != nil || !s.o.Pages.Has(p.Key) {
			break
		}
		at = p.End
	}
	return min(at-off, n)
}

// send sends what lies in one page from at on, up to end, as a record, and tells where it ended.
func (s *Server) send(stream grpc.ServerStream, reply *wire.ReadReply, view *cache.View, at, end int64) (int64, error) {
	page, err := view.PageAt(at)
	if err != nil {
		return 0, err
	}
	end = min(end, page.End)
	buf, ok := s.o.Pages.ReadPage(stream.Context(), &page, at-page.Start, end-at)
	if !ok {
		return 0, status.Error(codes.NotFound, "the page has just gone")
	}
	lent := s.buffers.Get().(*[]byte)
	b := segfile.AppendRecord((*lent)[:0], 0, at, keyOf(view, &page, at, end), page.Class, buf.B)
	buf.Free()
	b = b[:int64(segfile.RecordHeaderSize(int(end-at)))+end-at]
	reply.SetData(b, func() { s.buffers.Put(lent) })
	err = stream.SendMsg(reply)
	reply.Free()
	reply.Offset, reply.Length = 0, 0
	if err == nil {
		s.sent.Add(float64(end - at))
	}
	return end, err
}

// keyOf is the key of the bytes [at, end) of a page.
func keyOf(view *cache.View, page *cache.Page, at, end int64) segfile.Key {
	if at == page.Start && end == page.End {
		return page.Key
	}
	parts := view.Object().Parts
	i := sort.Search(len(parts), func(i int) bool { return parts[i].Offset+parts[i].Length > at })
	return view.Part(i).Page(at-parts[i].Offset, end-at)
}
