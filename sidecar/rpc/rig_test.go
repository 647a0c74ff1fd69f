package rpc

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a sidecar with a real disk tier over an origin in memory, and the door on a Unix socket.
type rig struct {
	t      testing.TB
	store  *mem.Origin
	origin *origintest.Faulty
	tier   *disk.Tier
	cache  *cache.Cache
	side   *sidecar.Sidecar
	server *Server
	dir    string // of the segments
	socket string
	apiv1.SidecarClient
}

type parts struct {
	rpc     Options
	cache   cache.Options
	disk    disk.Options // no disk tier if Size is -1
	sidecar sidecar.Options
	server  func(*Server) // before it serves
}

// until polls a condition to a deadline.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRig(t testing.TB, change ...func(*parts)) *rig {
	t.Helper()
	r := &rig{t: t, store: mem.New("lake"), dir: filepath.Join(t.TempDir(), "cache")}
	r.origin = origintest.NewFaulty(r.store, 1)
	p := parts{
		cache:   cache.Options{Memory: 64 << 20, UpOdds: -1, Metadata: formats.Metadata, ClassNames: formats.ClassNames()},
		disk:    disk.Options{Dir: r.dir, Size: 256 << 20, SegmentSize: 8 << 20, ReadDeadline: 10 * time.Second},
		sidecar: sidecar.Options{Mounts: map[string]origin.Origin{"lake": r.origin, "sea": mem.New("sea")}},
	}
	for _, c := range change {
		c(&p)
	}
	var err error
	ctx, stop := context.WithCancel(context.Background())
	if p.disk.Size > 0 {
		r.tier, err = disk.New(p.disk)
		check(t, err)
		check(t, r.tier.Open(ctx))
		done := make(chan error, 1)
		go func() { done <- r.tier.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			<-done
			check(t, r.tier.Close())
		})
		p.cache.Disk = r.tier
	}
	t.Cleanup(stop)
	r.cache, err = cache.New(p.cache)
	check(t, err)
	t.Cleanup(func() { r.cache.Close() })
	p.sidecar.Pages = r.cache
	r.side, err = sidecar.New(p.sidecar)
	check(t, err)
	p.rpc.Sidecar, p.rpc.Cache = r.side, r.cache
	r.server, err = New(p.rpc)
	check(t, err)
	if p.server != nil {
		p.server(r.server)
	}
	r.socket = r.listen()
	r.SidecarClient = apiv1.NewSidecarClient(r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
	return r
}

// listen serves on a new Unix socket until the test ends.
func (r *rig) listen() string {
	folder, err := os.MkdirTemp("", "alio-rpc") // a socket's path must be short
	check(r.t, err)
	path := filepath.Join(folder, "s")
	ln, err := ListenUnix(path)
	check(r.t, err)
	r.serve(ln)
	r.t.Cleanup(func() { os.RemoveAll(folder) })
	return path
}

func (r *rig) serve(ln net.Listener) {
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ln) }()
	r.t.Cleanup(func() {
		r.server.Close()
		check(r.t, <-served)
	})
}

func (r *rig) dial(target string, more ...grpc.DialOption) *grpc.ClientConn {
	cc, err := grpc.NewClient(target, more...)
	check(r.t, err)
	r.t.Cleanup(func() { cc.Close() })
	return cc
}

// another is a client on a connection of its own.
func (r *rig) another() apiv1.SidecarClient {
	return apiv1.NewSidecarClient(r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
}

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// read reads all that a Read sends.
func (r *rig) read(c apiv1.SidecarClient, req *apiv1.ReadRequest) ([]byte, *apiv1.ReadReply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := c.Read(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	var first *apiv1.ReadReply
	var got []byte
	for {
		m, err := stream.Recv()
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return got, first, err
		}
		if first == nil {
			first = m
		}
		got = append(got, m.Data...)
	}
}

// open opens one file.
func (r *rig) open(c apiv1.SidecarClient, f *apiv1.OpenFile) (*apiv1.OpenReply, *apiv1.OpenedFile) {
	r.t.Helper()
	reply, err := c.Open(ctxOf(r.t), &apiv1.OpenRequest{Files: []*apiv1.OpenFile{f}})
	check(r.t, err)
	if len(reply.Files) != 1 {
		r.t.Fatalf("%d files were answered", len(reply.Files))
	}
	return reply, reply.Files[0]
}

// onDisk waits until all that memory holds of data is written.
func (r *rig) onDisk() {
	r.t.Helper()
	until(r.t, "every page is on disk", func() bool { return r.cache.Stats().MemoryPages == 0 })
}

func wantCode(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// random makes n bytes that do not repeat.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// value is what a counter has counted.
func value(t testing.TB, c prometheus.Counter) float64 {
	var m dto.Metric
	check(t, c.Write(&m))
	return m.GetCounter().GetValue()
}

// told is one page as a client makes it of an extent.
type told struct {
	start, end               int64
	class                    byte
	segment                  *apiv1.Segment // nil: not placed
	record                   int64          // in bytes
	memory, granted, claimed bool
}

// pages undoes the extents.
func pages(t testing.TB, reply *apiv1.OpenReply, f *apiv1.OpenedFile) (out []told) {
	t.Helper()
	for _, e := range f.Extents {
		base, at := len(out), e.Offset
		for i, length := range e.Lengths {
			for range e.Counts[i] {
				out = append(out, told{start: at, end: at + int64(length), class: e.Classes[i]})
				at += int64(length)
			}
		}
		row := out[base:]
		each := func(steps []uint32, f func(i int, p *told)) {
			n := uint32(0)
			for i, s := range steps {
				n += s
				f(i, &row[n])
			}
		}
		each(e.Placed, func(i int, p *told) { p.segment, p.record = reply.Segments[e.Segments[i]], int64(e.Records[i])*64 })
		each(e.Memory, func(_ int, p *told) { p.memory = true })
		each(e.Granted, func(_ int, p *told) { p.granted = true })
		each(e.Claimed, func(_ int, p *told) { p.claimed = true })
	}
	return out
}
