package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin/origintest"
)

func TestStatusStatListInvalidate(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.Build = "v1.2" })
	st, err := r.Status(ctxOf(t), &apiv1.StatusRequest{})
	if err != nil || st.Build != "v1.2" || st.Process == 0 || fmt.Sprint(st.Mounts) != "[lake sea]" || st.MaxFiles != DefaultOpenFiles || st.MaxPutBytes != DefaultPutBytes || len(st.Directories) != 1 || len(st.Directories[0].Id) != 32 {
		t.Errorf("%v, %v", st, err)
	}
	obj := r.store.PutWith("t/a", []byte("abc"), map[string]string{"Content-Type": "text/plain", "X-Latin": "caf\xe9"})
	got, err := r.Stat(ctxOf(t), &apiv1.StatRequest{Mount: "lake", Path: "t/a"})
	if err != nil || got.Object.Version != string(obj.Version) || got.Object.ModifiedMs != obj.ModTime.UnixMilli() || got.Attributes["Content-Type"] != "text/plain" || got.Attributes["X-Latin"] != "caf�" {
		t.Errorf("%v, %v", got, err)
	}
	r.store.Put("t/b/c", nil)
	l, err := r.List(ctxOf(t), &apiv1.ListRequest{Mount: "lake", Prefix: "t/", Delimiter: "/"})
	if err != nil || len(l.Objects) != 1 || l.Objects[0].Path != "t/a" || fmt.Sprint(l.CommonPrefixes) != "[t/b/]" || l.NextToken != "" {
		t.Errorf("%v, %v", l, err)
	}
	if l, err = r.List(ctxOf(t), &apiv1.ListRequest{Mount: "lake", MaxKeys: 1}); err != nil || len(l.Objects) != 1 || l.NextToken == "" {
		t.Fatalf("%v, %v", l, err)
	}
	if l, err = r.List(ctxOf(t), &apiv1.ListRequest{Mount: "lake", MaxKeys: 1, Token: l.NextToken}); err != nil || len(l.Objects) != 1 || l.Objects[0].Path != "t/b/c" {
		t.Errorf("%v, %v", l, err)
	}
	newer := r.store.Put("t/a", []byte("abcd"))
	for _, prefix := range []bool{false, true} {
		if _, err := r.Invalidate(ctxOf(t), &apiv1.InvalidateRequest{Mount: "lake", Path: "t/a", Prefix: prefix}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Stat(ctxOf(t), &apiv1.StatRequest{Mount: "lake", Path: "t/a"}); err != nil || got.Object.Version != string(newer.Version) {
			t.Errorf("after it was invalidated: %v, %v", got, err)
		}
		newer = r.store.Put("t/a", []byte("abcde"))
	}
	_, err = r.Invalidate(ctxOf(t), &apiv1.InvalidateRequest{Mount: "nowhere"})
	wantCode(t, "no such mount", err, codes.FailedPrecondition)
	_, err = r.Stat(ctxOf(t), &apiv1.StatRequest{Mount: "lake"})
	wantCode(t, "no path", err, codes.InvalidArgument)
}

// A client of another version is told which one is spoken here.
func TestOtherVersionsOfTheAPI(t *testing.T) {
	r := newRig(t)
	cc := r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	for _, method := range []string{"/alio.v2.Sidecar/Open", "/alio.v1.Sidecar/Mirror", "/x/y"} {
		err := cc.Invoke(ctxOf(t), method, &apiv1.StatusRequest{}, &apiv1.StatusReply{})
		wantCode(t, method, err, codes.Unimplemented)
		if err == nil || !strings.Contains(err.Error(), "alio.v1.Sidecar") || !strings.Contains(err.Error(), method) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if n := value(t, r.server.metrics.requests[otherMethod][codes.Unimplemented]); n != 3 {
		t.Errorf("counted %v", n)
	}
}

// panicking places: what nobody foresaw is one call's error.
type panickingPlaces struct{ cache.Places }

func (panickingPlaces) Retired(uint64) ([]cache.SegmentID, uint64, bool) { panic("unforeseen") }

func TestAPanicEndsItsCallOnly(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.Places = panickingPlaces{} })
	for range 3 {
		_, err := r.Open(ctxOf(t), &apiv1.OpenRequest{})
		wantCode(t, "a panic", err, codes.Internal)
		if err != nil && strings.Contains(err.Error(), "unforeseen") {
			t.Errorf("the client sees the inside: %v", err)
		}
	}
	if _, err := r.Stat(ctxOf(t), &apiv1.StatRequest{Mount: "lake", Path: "x"}); codes.NotFound != codes.Code(toStatus(context.Background(), err).Code()) {
		t.Errorf("afterwards: %v", err)
	}
	if n := r.server.calls.Load(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
}

func TestPrefetch(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.PrefetchBytes, p.rpc.PrefetchWorkers = 30<<20, 2 })
	r.store.Put("a", random(1, 20_000_000))
	r.store.Put("b", random(2, 20_000_000))
	files := func(names ...string) *apiv1.PrefetchRequest {
		q := &apiv1.PrefetchRequest{}
		for _, n := range names {
			q.Files = append(q.Files, &apiv1.OpenFile{Mount: "lake", Path: n})
		}
		return q
	}
	reply, err := r.Prefetch(ctxOf(t), files("a", "none"))
	if err != nil || reply.Bytes == 0 || reply.Bytes > 20_000_000 || reply.Errors[0].Code != 0 || codes.Code(reply.Errors[1].Code) != codes.NotFound {
		t.Fatalf("%v, %v", reply, err)
	}
	missing := reply.Bytes
	until(t, "it was read", func() bool { return r.server.prefetch.waiting() == 0 })
	_, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a"})
	_ = f
	if got := value(t, r.server.metrics.prefetched); got != float64(missing) {
		t.Errorf("%v bytes were read of %d", got, missing)
	}
	if reply, err = r.Prefetch(ctxOf(t), files("a")); err != nil || reply.Bytes != 0 {
		t.Errorf("what is here is read again: %v, %v", reply, err)
	}
	// While the origin hangs, the same is not queued twice, and too much is refused.
	check(t, touchFile(r, "b"))
	r.origin.Add(origintest.Rule{Op: origintest.OpRead, Effect: origintest.Hang()})
	first, err := r.Prefetch(ctxOf(t), files("b"))
	check(t, err)
	second, err := r.Prefetch(ctxOf(t), files("b"))
	if err != nil || first.Bytes == 0 || second.Bytes != 0 || second.Errors[0].Code != 0 {
		t.Errorf("%v, then %v, %v", first, second, err)
	}
	r.origin.Clear()
	r.store.Put("c", random(3, 20_000_000))
	check(t, touchFile(r, "c"))
	r.origin.Add(origintest.Rule{Op: origintest.OpRead, Effect: origintest.Hang()})
	third, err := r.Prefetch(ctxOf(t), files("c"))
	if err != nil || codes.Code(third.Errors[0].Code) != codes.ResourceExhausted || r.server.prefetch.waiting() > 30<<20 {
		t.Errorf("%v, %v", third, err)
	}
	_, err = r.Prefetch(ctxOf(t), &apiv1.PrefetchRequest{Files: []*apiv1.OpenFile{{Mount: "lake", Path: "c", Fill: &apiv1.ClientFill{}}}})
	wantCode(t, "a client's file", err, codes.InvalidArgument)
	check(t, r.server.Close()) // cancels what hangs
	if n := r.server.prefetch.waiting(); n != 0 || value(t, r.server.metrics.prefetches[prefetchDropped]) == 0 {
		t.Errorf("%d bytes wait after the end", n)
	}
}

// touchFile makes the sidecar know a file's version and layout.
func touchFile(r *rig, path string) error {
	_, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: path})
	if f.Error != nil {
		return errors.New(f.Error.Message)
	}
	return nil
}

func TestCallsAndConnectionsAreBounded(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.Calls, p.rpc.Connections = 4, 2 })
	r.store.Put("a", []byte("a"))
	r.origin.Add(origintest.Rule{Effect: origintest.Hang()})
	ctx, cancel := context.WithCancel(ctxOf(t))
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { r.Stat(ctx, &apiv1.StatRequest{Mount: "lake", Path: "a"}) })
	}
	until(t, "four calls are under way", func() bool { return r.server.calls.Load() == 4 })
	other := r.another()
	_, err := other.Status(ctxOf(t), &apiv1.StatusRequest{})
	wantCode(t, "a fifth call", err, codes.ResourceExhausted)
	_, err = r.another().Status(ctxOf(t), &apiv1.StatusRequest{})
	wantCode(t, "a third connection", err, codes.Unavailable)
	cancel()
	wg.Wait()
	until(t, "the calls have ended", func() bool { return r.server.calls.Load() == 0 })
	if _, err := other.Status(ctxOf(t), &apiv1.StatusRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if n := r.server.connections.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestALargeRequestIsRefused(t *testing.T) {
	r := newRig(t)
	_, err := r.Open(ctxOf(t), &apiv1.OpenRequest{Tag: string(make([]byte, DefaultPutBytes+requestSlack+1))})
	wantCode(t, "more than any request needs", err, codes.ResourceExhausted)
	until(t, "the call has ended", func() bool { return r.server.calls.Load() == 0 })
}

// A client that takes nothing of what it asked for holds no more than SendMemory, and loses its connection; others go on.
func TestAStalledClientIsCutOff(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.SendMemory, p.rpc.StallTimeout = 2<<20, 2*time.Second }) // twenty calls are begun in less
	data := random(1, 4_000_000)
	r.store.Put("a", data)
	q := &apiv1.ReadRequest{Mount: "lake", Path: "a"}
	_, _, err := r.read(r, q)
	check(t, err)
	cc := r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	var streams []grpc.ServerStreamingClient[apiv1.ReadReply]
	for range 20 {
		s, err := apiv1.NewSidecarClient(cc).Read(ctxOf(t), q)
		check(t, err)
		streams = append(streams, s) // nobody receives
	}
	until(t, "something is stuck", func() bool {
		return !r.server.sending.TryAcquire(2<<20) || func() bool { r.server.sending.Release(2 << 20); return false }()
	})
	if got, _, err := r.read(r, q); err != nil || !bytes.Equal(got, data) {
		t.Errorf("another client: %d bytes, %v", len(got), err)
	}
	for _, s := range streams {
		for err = nil; err == nil; {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			t.Error("a stalled stream was read to its end")
		}
	}
	until(t, "its memory is back", func() bool {
		ok := r.server.sending.TryAcquire(2 << 20)
		if ok {
			r.server.sending.Release(2 << 20)
		}
		return ok && r.server.calls.Load() == 0
	})
}

// Shutdown lets a Read under way finish, takes no more calls, and cuts off what does not end.
func TestShutdown(t *testing.T) {
	r := newRig(t)
	data := random(1, 8_000_000)
	r.store.Put("a", data)
	stream, err := r.Read(ctxOf(t), &apiv1.ReadRequest{Mount: "lake", Path: "a"})
	check(t, err)
	first, err := stream.Recv()
	check(t, err)
	got := first.Data
	down := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		down <- r.server.Shutdown(ctx)
	}()
	until(t, "no more connections are taken", func() bool {
		c, err := net.Dial("unix", r.socket)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	for err == nil {
		var m *apiv1.ReadReply
		if m, err = stream.Recv(); err == nil {
			got = append(got, m.Data...)
		}
	}
	if err != io.EOF || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	check(t, <-down)
	check(t, r.server.Shutdown(context.Background()))
	check(t, r.server.Close())
	check(t, r.server.Close())
}

func TestRunEndsWithItsContextAndCutsOffWhatHangs(t *testing.T) {
	r := newRig(t)
	path := r.socket + "2"
	ln, err := ListenUnix(path)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- r.server.Run(ctx, 50*time.Millisecond, ln) }()
	c := apiv1.NewSidecarClient(r.dial("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials())))
	_, err = c.Status(ctxOf(t), &apiv1.StatusRequest{}, grpc.WaitForReady(true))
	check(t, err)
	r.origin.Add(origintest.Rule{Effect: origintest.Hang()})
	hung := make(chan error, 1)
	go func() {
		_, err := c.Stat(ctxOf(t), &apiv1.StatRequest{Mount: "lake", Path: "a"})
		hung <- err
	}()
	until(t, "the call is under way", func() bool { return len(r.origin.Calls("")) == 1 })
	cancel()
	check(t, <-ran)
	if err := <-hung; err == nil {
		t.Error("a call to an origin that hangs was answered")
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	if err := r.server.Run(context.Background(), 0, dead); err == nil {
		t.Error("Run without a listener that may be served returns nothing")
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := New(Options{PutBytes: 5, ClaimDeadline: time.Nanosecond, Calls: -1, SendMemory: 1, StallTimeout: -1,
		Tokens: []Token{{}, {Name: "a", Secret: "x"}, {Name: "a", Secret: "x"}}})
	for _, want := range []string{"no sidecar", "no page cache", "put bytes", "claim deadline", "calls", "send memory", "stall timeout", "token 1 has no name", "is empty", "two tokens", "same as another"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported: %v", want, err)
		}
	}
}

// Every series is there before anything has happened, and a registry takes them.
func TestMetricsAreThereFromTheStart(t *testing.T) {
	reg := prometheus.NewRegistry()
	newRig(t, func(p *parts) { p.rpc.Registerer = reg })
	gathered, err := reg.Gather()
	check(t, err)
	series := map[string]int{}
	for _, g := range gathered {
		series[g.GetName()] = len(g.GetMetric())
	}
	if n := series["alio_rpc_requests_total"]; n != len(methods)*len(codeNames) {
		t.Errorf("%d series of requests", n)
	}
	for _, name := range []string{"alio_rpc_request_seconds", "alio_rpc_sent_bytes_total", "alio_local_reads_total", "alio_local_read_bytes_total", "alio_rpc_claimed_pages", "alio_rpc_put_pages_total", "alio_rpc_prefetched_bytes_total"} {
		if series[name] == 0 {
			t.Errorf("%s has no series", name)
		}
	}
}
