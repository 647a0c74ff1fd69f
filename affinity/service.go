package affinity

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/affinity/spread"
	apiv1 "github.com/alio-lake/alio/api/v1"
)

// Source is where a Service has its epoch from.
type Source interface {
	// Epoch is the last one known; nil before the first. It never blocks.
	Epoch() *ring.Epoch
	// Changed is closed when there is another epoch than Epoch gave before Changed was called.
	Changed() <-chan struct{}
}

// MaxSplits is the most splits in one AssignRequest: under 10 ms of work on a busy machine (0.85 us each).
const MaxSplits = 10_000

// Options configure a Service.
type Options struct {
	// Source has the epoch. Required.
	Source Source
	// Report takes what is reported of the member beside this service; nil: there is none, and reports are refused. It must not block.
	Report func(*apiv1.Load)
	// Asked hears of each batch's keys, so that hot sections are found; nil: nobody wants to know. It must not block, nor keep the slice.
	Asked func(keys []uint64)
	// Spread puts the owners of splits that are to be run in order, by what they were given lately; nil: they stand in the ring's.
	Spread *spread.Spread
	// Drain takes an operator's word that a member shall own nothing more, or (off) may again; nil: it cannot be said here.
	Drain func(ctx context.Context, member string, off bool) error
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
}

// Service answers. All methods may be called in parallel.
type Service struct {
	apiv1.UnimplementedAffinityServer
	o        Options
	metrics  *metrics
	watchers atomic.Int64
	scratch  sync.Pool // of *scratch
	sent     sent
}

// New makes a Service. It starts nothing.
func New(o Options) (*Service, error) {
	if o.Source == nil {
		return nil, errors.New("affinity: there is no source of epochs")
	}
	s := &Service{o: o}
	s.scratch.New = func() any { return &scratch{} }
	var err error
	s.metrics, err = newMetrics(s, o.Registerer)
	return s, err
}

// scratch is what one Assign needs for its time.
type scratch struct {
	spread *spread.Spread // nil: the ring's order
	began  time.Time
	place  []uint32 // by slot: place in the reply's members, counted from 1
	keys   []uint64
}

// inForce is the epoch, if it can answer.
func (s *Service) inForce() (*ring.Epoch, error) {
	e := s.o.Source.Epoch()
	if e == nil {
		return nil, status.Error(codes.FailedPrecondition, "there is no epoch yet: no leader has published one that this process has seen; choose by yourself until then")
	}
	if e.Most() == 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "nobody serves in epoch %d: it has %d members; choose by yourself until one does", e.Number(), len(e.Members()))
	}
	return e, nil
}

// Assign implements apiv1.AffinityServer: the splits will be run where it says.
func (s *Service) Assign(_ context.Context, req *apiv1.AssignRequest) (*apiv1.AssignReply, error) {
	return s.assign(req, s.o.Spread)
}

// assign answers with the owners in the order that a spread gives them; nil: in the ring's.
func (s *Service) assign(req *apiv1.AssignRequest, by *spread.Spread) (*apiv1.AssignReply, error) {
	began := time.Now()
	if len(req.Splits) > MaxSplits {
		return nil, status.Errorf(codes.InvalidArgument, "splits: %d in one request, and %d is the limit", len(req.Splits), MaxSplits)
	}
	e, err := s.inForce()
	if err != nil {
		s.metrics.splits[outcomeNone].Add(float64(len(req.Splits)))
		return nil, err
	}
	hash := e.Hash()
	reply := &apiv1.AssignReply{Epoch: e.Number(), Hash: hash[:], Assignments: make([]*apiv1.Assignment, len(req.Splits))}
	x := s.scratch.Get().(*scratch)
	x.reset(len(e.Members()))
	x.spread, x.began = by, began
	k := min(max(1, int(min(req.Owners, ring.MaxOwners))), e.Most())
	malformed := 0
	for i, split := range req.Splits {
		a := &apiv1.Assignment{}
		if err := x.assign(e, split, k, reply, a); err != nil {
			malformed++
			a.Error = &apiv1.Error{Code: int32(codes.InvalidArgument), Message: err.Error()}
		}
		reply.Assignments[i] = a
	}
	if s.o.Asked != nil {
		s.o.Asked(x.keys)
	}
	s.scratch.Put(x)
	s.metrics.splits[outcomeMalformed].Add(float64(malformed))
	s.metrics.splits[outcomeAnswered].Add(float64(len(req.Splits) - malformed))
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	return reply, nil
}

func (x *scratch) reset(members int) {
	x.keys = x.keys[:0]
	if cap(x.place) < members {
		x.place = make([]uint32, members)
	}
	x.place = x.place[:members]
	clear(x.place)
}

// assign answers for one split.
func (x *scratch) assign(e *ring.Epoch, split *apiv1.Split, k int, reply *apiv1.AssignReply, a *apiv1.Assignment) error {
	key, err := e.Key(ring.Split{Mount: split.GetMount(), Path: split.GetPath(), Offset: split.GetOffset()})
	if err != nil {
		return err
	}
	var room [2 * ring.MaxOwners]ring.Slot
	var owners []ring.Slot
	if x.spread != nil {
		owners, err = x.spread.Choose(room[:0], e, key, k, x.began)
	} else {
		owners, err = e.Owners(key, k)
	}
	if err != nil {
		return err
	}
	x.keys = append(x.keys, key)
	a.Owners = make([]uint32, len(owners))
	for j, slot := range owners {
		if x.place[slot] == 0 {
			m := e.Members()[slot]
			reply.Members = append(reply.Members, &apiv1.Owner{Name: m.Name, Worker: m.Worker, Sidecar: m.Sidecar, Zone: m.Zone})
			x.place[slot] = uint32(len(reply.Members))
		}
		a.Owners[j] = x.place[slot] - 1
	}
	return nil
}

// Report implements apiv1.AffinityServer.
func (s *Service) Report(_ context.Context, req *apiv1.ReportRequest) (*apiv1.ReportReply, error) {
	if s.o.Report == nil {
		return nil, status.Error(codes.FailedPrecondition, "there is no member beside this service: report to the sidecar beside the worker")
	}
	if req.Load == nil {
		return nil, status.Error(codes.InvalidArgument, "load: is missing")
	}
	s.o.Report(req.Load)
	return &apiv1.ReportReply{}, nil
}
