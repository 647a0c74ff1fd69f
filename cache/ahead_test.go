package cache

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

func anyPage(*Page) bool { return true }

// outcomes counts what became of pages.
type outcomes struct {
	mu sync.Mutex
	n  [AheadLost + 1]int
}

func (o *outcomes) ended(_ *Page, how AheadOutcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n[how]++
}

// Pages are fetched in one request up to the first that need not be, and from there on by the next call; whoever reads them finds them.
func TestAheadFetchesRunsOfWhatIsMissing(t *testing.T) {
	obj, data := object("o", 100*kib)
	src := &fakeSource{data: data}
	c := newCache(t, Options{})
	req := Request{Object: obj, Layout: grid{size: 10 * kib}, Source: src, Offset: 0, Length: obj.Size}
	mustRead(t, c, Request{Object: obj, Layout: req.Layout, Source: src, Offset: 35 * kib, Length: 10}, data)
	var o outcomes
	refused := func(p *Page) bool { return p.Start != 70*kib }
	calls := 0
	for req.Length > 0 {
		next, err := c.Ahead(t.Context(), req, refused, o.ended)
		if err != nil || next <= req.Offset {
			t.Fatal(next, err)
		}
		req.Offset, req.Length = next, obj.Size-next
		calls++
	}
	want := []span{{30 * kib, 10 * kib}, {0, 30 * kib}, {40 * kib, 30 * kib}, {80 * kib, 20 * kib}}
	if got := src.asked(); len(got) != 4 || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("asked for %v, want %v", got, want)
	}
	if o.n != [3]int{0, 8, 0} || calls != 3 {
		t.Errorf("outcomes %v in %d calls", o.n, calls)
	}
	mustRead(t, c, Request{Object: obj, Layout: req.Layout, Source: src, Offset: 0, Length: 70 * kib}, data)
	if n := len(src.asked()); n != 4 {
		t.Errorf("%d requests after a read of what is there", n)
	}
}

// A reader joins the fill of a page that is being fetched ahead, keeps it alive when the one who fetched it leaves, and has what lies around it fetched apart;
// and what a reader fetches is not fetched ahead.
func TestReadersAndAheadShareFills(t *testing.T) {
	obj, data := object("o", 50*kib)
	gate := make(chan struct{})
	src := &fakeSource{data: data}
	src.answer = func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		return &gated{ctx: ctx, r: src.body(off, n), step: n, gate: gate}, nil
	}
	c := newCache(t, Options{})
	req := Request{Object: obj, Layout: grid{size: 10 * kib}, Source: src, Offset: 20 * kib, Length: 10 * kib}
	var o outcomes
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := c.Ahead(ctx, req, anyPage, o.ended); left <- err }()
	await(t, "the prefetch asks", func() bool { return len(src.asked()) == 1 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustRead(t, c, Request{Object: obj, Layout: req.Layout, Source: src, Offset: 0, Length: obj.Size}, data)
	}()
	await(t, "the reader asks for both sides", func() bool { return len(src.asked()) == 3 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the prefetch that was cancelled: %v", err)
	}
	whole := req
	whole.Offset, whole.Length = 0, obj.Size
	var others outcomes
	if next, err := c.Ahead(t.Context(), whole, anyPage, others.ended); next != obj.Size || err != nil || others.n != [3]int{} {
		t.Errorf("all of it is on its way: %d, %v, %v", next, err, others.n)
	}
	close(gate)
	<-done
	if got := src.asked(); len(got) != 3 || o.n != [3]int{0, 1, 0} {
		t.Errorf("asked for %v; outcomes %v", got, o.n)
	}
}

// A page that a reader begins to fetch between the look for what is missing and the request is the reader's.
func TestAheadLeavesWhatAReaderBeganMeanwhile(t *testing.T) {
	obj, data := object("o", 50*kib)
	gate := make(chan struct{})
	src := &fakeSource{data: data}
	src.answer = func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		if off == 20*kib {
			return &gated{ctx: ctx, r: src.body(off, n), step: n, gate: gate}, nil
		}
		return src.body(off, n), nil
	}
	c := newCache(t, Options{})
	req := Request{Object: obj, Layout: grid{size: 10 * kib}, Source: src, Offset: 0, Length: obj.Size}
	done := make(chan struct{})
	var o outcomes
	_, err := c.Ahead(t.Context(), req, func(p *Page) bool {
		if p.Start == 40*kib {
			go func() {
				defer close(done)
				mustRead(t, c, Request{Object: obj, Layout: req.Layout, Source: src, Offset: 20 * kib, Length: 10 * kib}, data)
			}()
			await(t, "the reader asks", func() bool { return len(src.asked()) == 1 })
		}
		return true
	}, o.ended)
	if got := src.asked(); err != nil || len(got) != 2 || got[1] != (span{0, 20 * kib}) || o.n != [3]int{3, 2, 0} {
		t.Errorf("%v; asked for %v; outcomes %v", err, got, o.n)
	}
	close(gate)
	<-done
}

// await polls until something is so.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// What does not come is told, and who leaves before the origin was asked has left nothing.
func TestAheadFails(t *testing.T) {
	obj, data := object("o", 50*kib)
	src := &fakeSource{data: data}
	c := newCache(t, Options{})
	req := Request{Object: obj, Layout: grid{size: 10 * kib}, Source: src, Offset: 0, Length: obj.Size}
	src.answer = func(context.Context, int64, int64) (io.ReadCloser, error) {
		return nil, origin.NewError(origin.ErrUnavailable, "read", "o", nil)
	}
	var o outcomes
	if _, err := c.Ahead(t.Context(), req, anyPage, o.ended); !errors.Is(err, origin.ErrUnavailable) || o.n != [3]int{0, 0, 5} {
		t.Errorf("%v, %v", err, o.n)
	}
	src.answer = func(_ context.Context, off, n int64) (io.ReadCloser, error) { return src.body(off, 25*kib), nil }
	o = outcomes{}
	if _, err := c.Ahead(t.Context(), req, anyPage, o.ended); !errors.Is(err, origin.ErrUnavailable) || o.n != [3]int{0, 2, 3} {
		t.Errorf("a body that ends early: %v, %v", err, o.n)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	o = outcomes{}
	src.answer = func(ctx context.Context, _, _ int64) (io.ReadCloser, error) { <-ctx.Done(); return nil, ctx.Err() }
	if _, err := c.Ahead(gone, req, anyPage, o.ended); !errors.Is(err, context.Canceled) || o.n[AheadLanded] != 0 || o.n[AheadLeft]+o.n[AheadLost] != 3 {
		t.Errorf("cancelled: %v, %v", err, o.n)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ahead(t.Context(), req, anyPage, o.ended); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Readers and prefetches at random: no page is fetched twice, and every byte is right.
func TestAheadAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	obj, data := object("o", 400*kib)
	src := &fakeSource{data: data}
	c := newCache(t, Options{})
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			for range 60 {
				off := rng.Int64N(obj.Size)
				req := Request{Object: obj, Layout: grid{size: 4 * kib}, Source: src, Offset: off, Length: 1 + rng.Int64N(min(obj.Size-off, 9*kib))}
				if n%2 == 0 {
					var o outcomes
					if _, err := c.Ahead(t.Context(), req, anyPage, o.ended); err != nil || o.n[AheadLost] > 0 {
						t.Error(err, o.n)
					}
					continue
				}
				req.Length = min(req.Length, 4*kib-off%(4*kib)) // of one page, so that a reader's request spans nothing that is there
				mustRead(t, c, req, data)
			}
		})
	}
	group.Wait()
	seen := map[int64]bool{}
	for _, s := range src.asked() {
		for at := s.off; at < s.off+s.n; at += 4 * kib {
			if seen[at] {
				t.Errorf("the page at %d was fetched twice (seed %d)", at, seed)
			}
			seen[at] = true
		}
	}
}
