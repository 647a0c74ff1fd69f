package consistency

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

// reader is one way to read the files, with the freshness that it promises.
type reader struct {
	name   string
	maxAge time.Duration
	read   func(ctx context.Context, req origin.ReadRequest) (answer, error)
}

// writer owns some paths and changes them. op does one random operation and tells the history of it; it is called by one goroutine.
type writer interface {
	paths() []string
	op(ctx context.Context, rng *rand.Rand) error
}

// plan says how long a run is.
type plan struct {
	seed    uint64
	ops     int // of all writers together
	readers int // goroutines; they take the ways to read in turn
	span    int64
}

// run lets writers write until all operations are done while readers read at random, and returns how many operations were done.
func (p plan) run(t *testing.T, h *history, writers []writer, ways []reader) int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var left, done atomic.Int64
	left.Store(int64(p.ops))
	var paths []string
	var writing, reading sync.WaitGroup
	for i, w := range writers {
		paths = append(paths, w.paths()...)
		writing.Go(func() {
			rng := rand.New(rand.NewPCG(p.seed, uint64(1000+i)))
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				if err := w.op(ctx, rng); err != nil {
					t.Errorf("writer %d: %v", i, err)
					cancel()
					return
				}
				if n := done.Add(1); n%1000 == 0 {
					t.Logf("%d operations; %s", n, h.report())
				}
			}
		})
	}
	for i := range p.readers {
		way := ways[i%len(ways)]
		reading.Go(func() {
			rng := rand.New(rand.NewPCG(p.seed, uint64(i)))
			for ctx.Err() == nil {
				if err := ask(ctx, h, way, p.request(rng, paths)); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", way.name, err)
					cancel()
				}
			}
		})
	}
	writing.Wait()
	cancel()
	reading.Wait()
	return done.Load()
}

// request is a random range of a random file: all of it, its end, or any part, past the end too.
func (p plan) request(rng *rand.Rand, paths []string) origin.ReadRequest {
	req := origin.ReadRequest{Path: paths[rng.IntN(len(paths))], Length: origin.WholeRange}
	switch rng.IntN(6) {
	case 0:
	case 1:
		req.Suffix = 1 + rng.Int64N(p.span/2)
	default:
		req.Offset, req.Length = rng.Int64N(p.span), 1+rng.Int64N(p.span/2)
	}
	return req
}

// ask reads once and has the answer judged.
func ask(ctx context.Context, h *history, way reader, req origin.ReadRequest) error {
	q := question{path: req.Path, off: req.Offset, n: req.Length, suffix: req.Suffix, maxAge: way.maxAge, asked: time.Now()}
	a, err := way.read(ctx, req)
	q.answered = time.Now()
	if err != nil && ctx.Err() != nil {
		return nil
	}
	return h.judge(q, a, err)
}

// seeds gives every write of a run a seed of its own.
type seeds struct{ last atomic.Uint64 }

// next is never the same again.
func (s *seeds) next() uint64 { return s.last.Add(1) }
