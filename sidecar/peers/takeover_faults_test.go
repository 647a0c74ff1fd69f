package peers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// spoiltHoldings is a door that tells of its holdings in another way.
type spoiltHoldings struct {
	*Server
	holdings func(*apiv1.HoldingsRequest, grpc.ServerStreamingServer[apiv1.HoldingsReply]) error
	pages    func(*apiv1.PagesRequest, grpc.ServerStreamingServer[apiv1.ReadReply]) error
}

func (s *spoiltHoldings) Holdings(req *apiv1.HoldingsRequest, stream grpc.ServerStreamingServer[apiv1.HoldingsReply]) error {
	if s.holdings != nil {
		return s.holdings(req, stream)
	}
	return s.Server.Holdings(req, stream)
}

func (s *spoiltHoldings) Pages(req *apiv1.PagesRequest, stream grpc.ServerStreamingServer[apiv1.ReadReply]) error {
	if s.pages != nil && req.Ahead {
		return s.pages(req, stream)
	}
	return s.Server.Pages(req, stream)
}

// garbage are holdings that make no sense.
func garbage(i int, path string, size int64) *apiv1.Holding {
	o := &apiv1.KnownObject{Path: path, Version: "v", Size: size, Parts: []*apiv1.KnownPart{{Id: "part", Length: size}}}
	return []*apiv1.Holding{
		{Object: o, Gaps: []int64{0}, Lengths: []int64{1 << 30}, Classes: []byte{0}},
		{Object: o, Gaps: []int64{-1}, Lengths: []int64{100}, Classes: []byte{0}},
		{Object: o, Gaps: []int64{0, 1 << 62}, Lengths: []int64{100, 100}, Classes: []byte{0, 0}},
		{Object: o, Gaps: []int64{0}, Lengths: []int64{0}, Classes: []byte{0}},
		{Object: o, Gaps: []int64{0}, Lengths: []int64{100, 100}, Classes: []byte{0}},
		{Object: o, Gaps: []int64{size}, Lengths: []int64{100}, Classes: []byte{0}},
		{Object: o, Place: 9, Gaps: []int64{0}, Lengths: []int64{100}, Classes: []byte{0}},
		{Object: o, Heat: 200, Gaps: []int64{0}, Lengths: []int64{100}, Classes: []byte{0}},
		{Object: &apiv1.KnownObject{Path: path, Version: "v", Size: size}, Gaps: []int64{0}, Lengths: []int64{100}, Classes: []byte{0}},
		{},
	}[i]
}

// TestTakeoverFaults: a former owner hangs, is gone, refuses, says nonsense, or sends nonsense: nothing of it is kept, no origin is asked, and it ends.
func TestTakeoverFaults(t *testing.T) {
	type door = spoiltHoldings
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	doors := map[string]func(*door){
		"old build": func(d *door) {
			d.holdings = func(*apiv1.HoldingsRequest, grpc.ServerStreamingServer[apiv1.HoldingsReply]) error {
				return status.Error(codes.Unimplemented, "unknown method")
			}
		},
		"pages hang": func(d *door) {
			d.pages = func(_ *apiv1.PagesRequest, s grpc.ServerStreamingServer[apiv1.ReadReply]) error {
				return hang(s.Context())
			}
		},
		"pages refused": func(d *door) {
			d.pages = func(*apiv1.PagesRequest, grpc.ServerStreamingServer[apiv1.ReadReply]) error {
				return status.Error(codes.PermissionDenied, "no")
			}
		},
		"pages gone": func(d *door) {
			d.pages = func(*apiv1.PagesRequest, grpc.ServerStreamingServer[apiv1.ReadReply]) error {
				return status.Error(codes.NotFound, "gone")
			}
		},
		"pages are garbage": func(d *door) {
			flip := faults["flipped bit"]
			d.pages = func(req *apiv1.PagesRequest, s grpc.ServerStreamingServer[apiv1.ReadReply]) error {
				return d.Server.Pages(req, &spoiltStream{s, &spoiler{spoil: flip, ctx: s.Context()}})
			}
		},
	}
	for i := range 10 {
		doors[fmt.Sprint("garbage ", i)] = func(d *door) {
			d.holdings = func(_ *apiv1.HoldingsRequest, s grpc.ServerStreamingServer[apiv1.HoldingsReply]) error {
				return s.Send(&apiv1.HoldingsReply{Holdings: []*apiv1.Holding{garbage(i, "x/1.bin", 300<<10)}})
			}
		}
	}
	f := newFleet(t, 1, hour)
	all := f.filled(12, 300<<10)
	second, take, o := f.owes(func(_ int, o *nodeOptions) { o.sidecar.Rules, o.peers.Patience = ages(time.Hour), 5*time.Millisecond })
	for name, spoil := range doors {
		d := &door{Server: f.nodes[0].server}
		spoil(d)
		f.stand(f.nodes[0], d)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		runs := take.ask(ctx, f.source.Epoch(), o.members())
		if strings.HasPrefix(name, "garbage") && len(runs) > 0 {
			t.Errorf("%s is taken for pages of %+v", name, runs[0].pages)
		}
		take.pull(ctx, runs)
		if cancel(); time.Since(began) > 2*time.Second && len(runs) > 0 {
			t.Errorf("%s: it took %v", name, time.Since(began))
		}
		if left := take.status().Remaining; left.Pages != 0 || left.Bytes != 0 {
			t.Errorf("%s: %+v is left", name, left)
		}
	}
	if got := second.count(t, "alio_peer_pulled_bytes_total"); got > 0 || second.count(t, "alio_peer_pull_refused_pages_total", "reason", "failed") == 0 ||
		second.count(t, "alio_peer_pull_refused_pages_total", "reason", "not_held") == 0 {
		t.Errorf("%v bytes were pulled from members that fail", got)
	}
	if calls := second.origin.Calls(""); len(calls) > 0 {
		t.Errorf("the origin was asked: %+v", calls[0])
	}
	for path, data := range all { // and readers get the right bytes, the origin's
		f.mustRead(second, path, data, 0, int64(len(data)))
	}
}

// TestReaderJoinsATakeover: a reader comes to want a page that is on its way from a former owner which hangs: it waits a moment, and reads another way.
func TestReaderJoinsATakeover(t *testing.T) {
	f := newFleet(t, 1, hour)
	all := f.filled(12, 300<<10)
	second, take, o := f.owes(func(_ int, o *nodeOptions) {
		o.sidecar.Rules = ages(time.Hour)
		o.peers.Patience, o.peers.PullRate = 5*time.Millisecond, 1<<40
	})
	d := &spoiltHoldings{Server: f.nodes[0].server}
	hanging := make(chan struct{}, 100)
	d.pages = func(_ *apiv1.PagesRequest, s grpc.ServerStreamingServer[apiv1.ReadReply]) error {
		hanging <- struct{}{}
		<-s.Context().Done()
		return s.Context().Err()
	}
	f.stand(f.nodes[0], d)
	runs := take.ask(t.Context(), f.source.Epoch(), o.members())
	if len(runs) == 0 {
		t.Fatal("nothing is owed")
	}
	done := make(chan string)
	go func() { done <- take.pull(t.Context(), runs[:1]) }()
	<-hanging
	path, began := runs[0].h.Object.Path, time.Now()
	f.mustRead(second, path, all[path], runs[0].pages[0].Start, 1000)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the reader waited %v", took)
	}
	<-done
}

// TestNoRate: below 0 as a rate, nothing is taken from an earlier owner, with or without a reader.
func TestNoRate(t *testing.T) {
	f := newFleet(t, 1, hour)
	all := f.filled(12, 300<<10)
	second := f.add(1, func(i int, o *nodeOptions) { hour(i, o); o.peers.PullRate = -1 })
	until(t, "the change is seen", func() bool { return len(*second.peers.past.Load()) > 0 })
	for path, data := range all {
		if f.owner(path) == second {
			f.mustRead(second, path, data, 0, int64(len(data)))
		}
	}
	if got := second.count(t, "alio_peer_pulled_bytes_total") + second.count(t, "alio_peer_read_bytes_total", "owner", "before"); got > 0 || second.peers.Pull().State != "off" {
		t.Errorf("%v bytes were taken, and it says %+v", got, second.peers.Pull())
	}
}
