package affinity_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/affinity/follow"
	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// board is a Source that a test changes.
type board struct {
	mu    sync.Mutex
	epoch *ring.Epoch
	next  chan struct{}
}

func newBoard() *board { return &board{next: make(chan struct{})} }

func (b *board) Epoch() *ring.Epoch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epoch
}

func (b *board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

func (b *board) set(e *ring.Epoch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch = e
	close(b.next)
	b.next = make(chan struct{})
}

// fleetOf makes an epoch of n members in three zones.
func fleetOf(t testing.TB, n int) *ring.Epoch {
	t.Helper()
	e, err := ring.New(ring.Settings{Zones: []string{"x", "y", "z"}})
	need(t, err)
	var c ring.Change
	for i := range n {
		name := fmt.Sprintf("w%04d", i)
		c.Join = append(c.Join, ring.Member{Name: name, Zone: []string{"x", "y", "z"}[i%3], Weight: 1 + i%4, Worker: name + ".workers:8080", Sidecar: name + ".workers:9490"})
	}
	e, err = e.Apply(c)
	need(t, err)
	return e
}

func apply(t testing.TB, e *ring.Epoch, c ring.Change) *ring.Epoch {
	t.Helper()
	next, err := e.Apply(c)
	need(t, err)
	return next
}

// dial serves a service on an in-memory connection.
func dial(t testing.TB, s *affinity.Service) apiv1.AffinityClient {
	t.Helper()
	ln, server := bufconn.Listen(1<<20), grpc.NewServer()
	apiv1.RegisterAffinityServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	need(t, err)
	t.Cleanup(func() { conn.Close(); server.Stop(); <-done })
	return apiv1.NewAffinityClient(conn)
}

func serve(t testing.TB, o affinity.Options) (*affinity.Service, apiv1.AffinityClient, *httptest.Server) {
	t.Helper()
	s, err := affinity.New(o)
	need(t, err)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, dial(t, s), web
}

func call(t testing.TB, method, url, body string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	need(t, err)
	resp, err := http.DefaultClient.Do(req)
	need(t, err)
	defer resp.Body.Close()
	need(t, json.NewDecoder(resp.Body).Decode(out))
	return resp.StatusCode
}

// TestAnswersAreTheEpochs: for random splits, good and bad, and epochs with drains, exclusions and hot sections, gRPC and JSON answer what the epoch itself does.
func TestAnswersAreTheEpochs(t *testing.T) {
	b := newBoard()
	_, client, web := serve(t, affinity.Options{Source: b})
	random := rand.New(rand.NewPCG(3, 4))
	e := fleetOf(t, 30)
	hot, err := e.Key(ring.Split{Mount: "lake", Path: "t/7.parquet"})
	need(t, err)
	drains, out := e.Members()[4], e.Members()[9]
	drains.Draining, out.Excluded = true, true
	e = apply(t, e, ring.Change{Update: []ring.Member{drains, out}, Hot: []ring.Hot{{Key: hot, Owners: 7}}})
	b.set(e)
	for k := range 5 {
		var splits []*apiv1.Split
		asJSON := affinity.AssignJSON{Owners: uint32(k)}
		for range 300 {
			s := affinity.SplitJSON{Mount: "lake", Path: fmt.Sprintf("t/%d.parquet", random.IntN(400)), Offset: random.Int64N(4 << 30), Length: 64 << 20}
			switch random.IntN(20) {
			case 0:
				s.Path = "../" + s.Path
			case 1:
				s.Mount = ""
			case 2:
				s.Offset = -1
			case 3:
				s.Path, s.Offset = "t/7.parquet", 0
			}
			asJSON.Splits = append(asJSON.Splits, s)
			splits = append(splits, &apiv1.Split{Mount: s.Mount, Path: s.Path, Offset: s.Offset, Length: s.Length})
		}
		reply, err := client.Assign(t.Context(), &apiv1.AssignRequest{Splits: splits, Owners: uint32(k)})
		need(t, err)
		body, err := json.Marshal(asJSON)
		need(t, err)
		var told affinity.AssignedJSON
		if code := call(t, http.MethodPost, web.URL+"/v1/assign", string(body), &told); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
		hash := e.Hash()
		if reply.Epoch != e.Number() || !bytes.Equal(reply.Hash, hash[:]) || told.Epoch != e.Number() || told.Hash != hex.EncodeToString(hash[:]) {
			t.Error("the answers are of another epoch")
		}
		for i, s := range splits {
			want := wanted(e, s, max(k, 1))
			if got := fromReply(reply, i); got != want {
				t.Fatalf("%v, %d owners: gRPC answers %s, and the epoch %s", s, k, got, want)
			}
			if got := fromJSON(told, i); got != want {
				t.Fatalf("%v, %d owners: JSON answers %s, and the epoch %s", s, k, got, want)
			}
		}
	}
}

func wanted(e *ring.Epoch, s *apiv1.Split, k int) string {
	key, err := e.Key(ring.Split{Mount: s.Mount, Path: s.Path, Offset: s.Offset})
	if err != nil {
		return err.Error()
	}
	slots, err := e.Owners(key, min(k, e.Most()))
	if err != nil {
		return err.Error()
	}
	out := ""
	for _, slot := range slots {
		m := e.Members()[slot]
		out += fmt.Sprintln(m.Name, m.Worker, m.Sidecar, m.Zone)
	}
	return out
}

func fromReply(r *apiv1.AssignReply, i int) string {
	a, out := r.Assignments[i], ""
	if a.Error != nil {
		return a.Error.Message
	}
	for _, o := range a.Owners {
		m := r.Members[o]
		out += fmt.Sprintln(m.Name, m.Worker, m.Sidecar, m.Zone)
	}
	return out
}

func fromJSON(r affinity.AssignedJSON, i int) string {
	a, out := r.Assignments[i], r.Assignments[i].Error
	for _, m := range a.Owners {
		out += fmt.Sprintln(m.Name, m.Worker, m.Sidecar, m.Zone)
	}
	return out
}

// TestNoEpoch: before the first epoch, and while nobody serves, the answer says so; requests that make no sense are told why.
func TestNoEpoch(t *testing.T) {
	b := newBoard()
	_, client, web := serve(t, affinity.Options{Source: b})
	one := &apiv1.AssignRequest{Splits: []*apiv1.Split{{Mount: "lake", Path: "a"}}}
	var told map[string]string
	for _, want := range []string{"there is no epoch yet", "nobody serves in epoch 0: it has 0 members"} {
		_, err := client.Assign(t.Context(), one)
		code := call(t, http.MethodGet, web.URL+"/v1/assign?mount=lake&path=a", "", &told)
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), want) || code != http.StatusServiceUnavailable || !strings.Contains(told["error"], want) {
			t.Errorf("%v; %d %v; want %q", err, code, told, want)
		}
		empty, err := ring.New(ring.Settings{})
		need(t, err)
		b.set(empty)
	}
	b.set(fleetOf(t, 3))
	if _, err := client.Assign(t.Context(), &apiv1.AssignRequest{Splits: make([]*apiv1.Split, affinity.MaxSplits+1)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("too many splits: %v", err)
	}
	if _, err := client.Report(t.Context(), &apiv1.ReportRequest{Load: &apiv1.Load{}}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a report where there is no member: %v", err)
	}
	for url, want := range map[string]string{
		"GET /v1/assign?mount=lake&path=a&owner=2":  "owner: is unknown",
		"GET /v1/assign?mount=lake&path=a&offset=x": "invalid syntax",
		"POST /v1/assign":                           "the body is not",
		"POST /v1/drain?member=a&off=perhaps":       "want true or false",
		"POST /v1/drain?member=a":                   "only follows",
	} {
		method, path, _ := strings.Cut(url, " ")
		told = nil
		if code := call(t, method, web.URL+path, "{", &told); code < 400 || !strings.Contains(told["error"], want) {
			t.Errorf("%s: %d %v, want %q", url, code, told, want)
		}
	}
}

// TestDrain: the last member that serves is not drained; others are.
func TestDrain(t *testing.T) {
	b, said := newBoard(), ""
	_, _, web := serve(t, affinity.Options{Source: b, Drain: func(_ context.Context, name string, off bool) error {
		said += fmt.Sprint(name, off, " ")
		if name == "sick" {
			return errors.New("etcd is away")
		}
		return nil
	}})
	b.set(fleetOf(t, 1))
	var told map[string]any
	for url, want := range map[string]int{"member=w0000": 409, "member=w0000&off=true": 200, "member=w0007": 200, "member=sick&off=true": 503} {
		if code := call(t, http.MethodPost, web.URL+"/v1/drain?"+url, "", &told); code != want {
			t.Errorf("%s: %d %v, want %d", url, code, told, want)
		}
	}
	if strings.Contains(said, "w0000false") || !strings.Contains(said, "w0000true") || !strings.Contains(said, "w0007false") {
		t.Errorf("drained: %s", said)
	}
}

// TestFollow: who watches comes to each epoch, by differences where those are shorter; look-ups never fail meanwhile; a server that goes takes nothing away; and one that holds the epoch in force is not sent it
// again.
func TestFollow(t *testing.T) {
	b := newBoard()
	s, client, _ := serve(t, affinity.Options{Source: b})
	taken := make(chan *ring.Epoch, 100)
	f, err := follow.New(follow.Options{Service: client, Taken: func(e *ring.Epoch) { taken <- e }})
	need(t, err)
	if _, err := f.Owners(ring.Split{Mount: "lake", Path: "a"}, 1); !errors.Is(err, follow.ErrNoEpoch) {
		t.Errorf("before the first epoch: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	expect := func(want *ring.Epoch) {
		t.Helper()
		select {
		case got := <-taken:
			if got.Hash() != want.Hash() {
				t.Fatalf("took %v, want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%v did not come", want)
		}
	}
	e := fleetOf(t, 2000) // a whole one takes several messages
	b.set(e)
	expect(e)
	for i := range 5 {
		e = apply(t, e, ring.Change{Leave: []string{fmt.Sprintf("w%04d", i)}})
		b.set(e)
		expect(e)
	}
	other := fleetOf(t, 3) // a ring that began anew: its table is smaller
	b.set(other)
	expect(other)
	owners, err := f.Owners(ring.Split{Mount: "lake", Path: "a"}, 2)
	if err != nil || len(owners) != 2 {
		t.Errorf("%v %v", owners, err)
	}
	sentFirst(t, b, s, e)
}

// sentFirst: who watches from nothing is sent a whole epoch and then a difference; who holds the epoch in force is sent the next one first.
func sentFirst(t *testing.T, b *board, s *affinity.Service, e *ring.Epoch) {
	t.Helper()
	b.set(e)
	ctx, stop := context.WithCancel(t.Context())
	fresh, holder := &recorder{ctx: ctx}, &recorder{ctx: ctx}
	hash := e.Hash()
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Watch(&apiv1.WatchRequest{}, fresh) })
	wg.Go(func() { _ = s.Watch(&apiv1.WatchRequest{Hash: hash[:]}, holder) })
	fresh.wait(t, func() bool { return len(fresh.sent) > 0 && fresh.sent[len(fresh.sent)-1].Last })
	holder.wait(t, func() bool { return holder.headers })
	whole := len(fresh.sent)
	next := apply(t, e, ring.Change{Leave: []string{"w1001"}})
	b.set(next)
	fresh.wait(t, func() bool { return len(fresh.sent) > whole })
	holder.wait(t, func() bool { return len(holder.sent) > 0 })
	stop()
	wg.Wait()
	if m := fresh.sent[0]; m.Edits || m.Epoch != e.Number() {
		t.Errorf("who held nothing was sent: edits %v, epoch %d", m.Edits, m.Epoch)
	}
	if m := fresh.sent[whole]; !m.Edits || m.Epoch != next.Number() || !m.Last || len(m.Data) > 4000 {
		t.Errorf("after that: edits %v of %d bytes, epoch %d", m.Edits, len(m.Data), m.Epoch)
	}
	if m := holder.sent[0]; m.Epoch != next.Number() {
		t.Errorf("who held epoch %d was sent epoch %d first", e.Number(), m.Epoch)
	}
}

// recorder is a stream that keeps what is sent.
type recorder struct {
	grpc.ServerStreamingServer[apiv1.WatchReply]
	ctx     context.Context
	mu      sync.Mutex
	headers bool
	sent    []*apiv1.WatchReply
}

func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) wait(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		r.mu.Lock()
		done := ok()
		r.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing came within 20 s")
		}
	}
}

func (r *recorder) SendHeader(metadata.MD) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = true
	return nil
}

func (r *recorder) Send(m *apiv1.WatchReply) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, m)
	return nil
}

func BenchmarkAssign(b *testing.B) {
	board := newBoard()
	board.set(fleetOf(b, 1000))
	s, err := affinity.New(affinity.Options{Source: board})
	need(b, err)
	req := &apiv1.AssignRequest{Owners: 2}
	for i := range 1000 {
		req.Splits = append(req.Splits, &apiv1.Split{Mount: "lake", Path: fmt.Sprintf("warehouse/sales/day=2026-11-%02d/part-%05d-7f3e.parquet", i%30, i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Assign(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/split")
}
