package cache

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/alio-lake/alio/origin"
)

const testPage = 64 * kib

// stepped is a source whose bodies hand out one page for each value sent on the gate.
func stepped(data []byte, gate <-chan struct{}) *fakeSource {
	src := &fakeSource{data: data}
	src.answer = func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		return &gated{ctx: ctx, r: src.body(off, n), step: testPage, gate: gate}, nil
	}
	return src
}

// outcome is how a read in the background ended.
type outcome struct {
	data  []byte
	stats ReadStats
	err   error
}

// start reads in the background.
func start(ctx context.Context, c *Cache, req Request) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		var o outcome
		o.data, o.stats, o.err = readCtx(ctx, c, req)
		ch <- o
	}()
	synctest.Wait()
	return ch
}

// TestWaiterLeavesOnItsOwnContext: one of two readers gives up; it returns at once, and the other gets its bytes from the same fill.
func TestWaiterLeavesOnItsOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		obj, data := object("leave", testPage)
		gate := make(chan struct{})
		req := Request{Object: obj, Layout: grid{size: testPage}, Source: stepped(data, gate), Length: testPage}
		ctx, cancel := context.WithCancel(context.Background())
		first := start(ctx, c, req) // the one that began the fill leaves
		second := start(context.Background(), c, req)
		cancel()
		synctest.Wait()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("the reader that left answers %v", got.err)
		}
		gate <- struct{}{}
		if got := <-second; got.err != nil || string(got.data) != string(data) {
			t.Errorf("the reader that stayed answers %d bytes, %v", len(got.data), got.err)
		}
		if got := req.Source.(*fakeSource).asked(); len(got) != 1 {
			t.Errorf("fetched %v", got)
		}
	})
}

// TestLastWaiterCancelsFill: when the last reader leaves, the fill's context ends and nothing stays behind.
func TestLastWaiterCancelsFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		obj, data := object("last", 4*testPage)
		req := Request{Object: obj, Layout: grid{size: testPage}, Source: stepped(data, make(chan struct{})), Length: 4 * testPage}
		ctx, cancel := context.WithCancel(context.Background())
		first := start(ctx, c, req)
		req.Offset, req.Length = testPage, testPage
		second := start(ctx, c, req)
		if s := c.Stats(); s.FillsInFlight != 1 || s.FillMemoryBytes != 4*testPage {
			t.Fatalf("before: %+v", s)
		}
		cancel()
		synctest.Wait()
		for _, ch := range []<-chan outcome{first, second} {
			if got := <-ch; !errors.Is(got.err, context.Canceled) {
				t.Errorf("a reader answers %v", got.err)
			}
		}
		if s := c.Stats(); s.FillsInFlight != 0 || s.FillMemoryBytes != 0 || s.CancelledFills != 1 || s.MemoryPages != 0 {
			t.Errorf("after: %+v", s)
		}
	})
}

// TestFillOutlivesItsReader: the reader that began a fill leaves after its first page; the fill goes on for the one who joined.
func TestFillOutlivesItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		obj, data := object("outlive", 4*testPage)
		gate := make(chan struct{})
		req := Request{Object: obj, Layout: grid{size: testPage}, Source: stepped(data, gate), Length: 4 * testPage}
		opened := make(chan *Reader)
		go func() {
			r, err := c.Open(context.Background(), req)
			if err != nil {
				t.Error(err)
			}
			opened <- r
		}()
		synctest.Wait()
		join := req
		join.Offset, join.Length = 2*testPage, testPage
		joined := start(context.Background(), c, join)
		gate <- struct{}{}
		r := <-opened // the first page is here, long before the last
		if piece, err := r.Next(); err != nil || string(piece) != string(data[:testPage]) {
			t.Fatalf("first page: %d bytes, %v", len(piece), err)
		}
		r.Close()
		gate <- struct{}{}
		gate <- struct{}{}
		if got := <-joined; got.err != nil || string(got.data) != string(data[2*testPage:3*testPage]) {
			t.Errorf("the reader that joined answers %d bytes, %v", len(got.data), got.err)
		}
		synctest.Wait() // nobody wants the fourth page: the rest of the fill is cancelled
		if s := c.Stats(); s.FillsInFlight != 0 || s.CancelledFills != 1 || s.MemoryPages != 3 || s.FillMemoryBytes != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestDoubleCheckInsideFlight: pages that came another way while a fill waited for its room are not asked for again.
func TestDoubleCheckInsideFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{FillSpan: MaxPage, FillMemory: MaxPage})
		obj, data := object("double", 32*testPage)
		gate := make(chan struct{})
		src := stepped(data, gate)
		req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: MaxPage}
		first := start(context.Background(), c, req) // takes all the room
		req.Offset, req.Length = MaxPage, 4*testPage
		second := start(context.Background(), c, req) // waits for room
		c.Offer(obj, req.Layout, MaxPage, data[MaxPage:MaxPage+3*testPage])
		for range 17 {
			gate <- struct{}{}
		}
		for _, ch := range []<-chan outcome{first, second} {
			if got := <-ch; got.err != nil {
				t.Error(got.err)
			} else if ch == second && (got.stats.Memory != 3*testPage || got.stats.Origin != testPage || got.stats.Fetched != testPage) {
				t.Errorf("stats %+v", got.stats)
			}
		}
		if got := src.asked(); !slices.Equal(got, []span{{0, MaxPage}, {MaxPage + 3*testPage, testPage}}) {
			t.Errorf("fetched %v", got)
		}
	})
}

// TestLateReaderFindsPublishedPage: between a reader's look at the tiers and its flight, another's fill may have ended; it must not fetch
// again. The fake disk says that nothing is there until the reader has looked.
func TestLateReaderFindsPublishedPage(t *testing.T) {
	c := newCache(t, Options{})
	obj, data := object("late", testPage)
	req := Request{Object: obj, Layout: grid{size: testPage}, Source: &fakeSource{data: data}, Length: testPage}
	r := &Reader{c: c, ctx: context.Background(), geo: newGeometry(obj, req.Layout), src: req.Source, to: testPage, span: c.fillSpan}
	wants, err := r.survey()
	if err != nil || wants[0].resident {
		t.Fatalf("survey: %+v, %v", wants, err)
	}
	mustRead(t, c, req, data) // another reader, begun and done in between
	if err := r.send(wants); err != nil {
		t.Fatal(err)
	}
	r.window = wants
	piece, err := r.Next()
	if err != nil || string(piece) != string(data) || r.Stats().Memory != testPage {
		t.Errorf("%d bytes, %v, %+v", len(piece), err, r.Stats())
	}
	r.Close()
	if got := req.Source.(*fakeSource).asked(); len(got) != 1 {
		t.Errorf("fetched %v", got)
	}
}

// TestPanicFreesWaiters: a source that panics, at Fetch or in its body, or leaves its goroutine, answers all readers with an error.
func TestPanicFreesWaiters(t *testing.T) {
	for name, bad := range map[string]func() (io.ReadCloser, error){
		"panic in Fetch": func() (io.ReadCloser, error) { panic("out of luck") },
		"panic in Read":  func() (io.ReadCloser, error) { return io.NopCloser(panicking{}), nil },
		"Goexit":         func() (io.ReadCloser, error) { runtime.Goexit(); return nil, nil },
		"no body":        func() (io.ReadCloser, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, Options{})
				obj, data := object("panic", testPage)
				gate := make(chan struct{})
				src := &fakeSource{data: data, answer: func(context.Context, int64, int64) (io.ReadCloser, error) { <-gate; return bad() }}
				req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: testPage}
				first, second := start(context.Background(), c, req), start(context.Background(), c, req)
				close(gate)
				for _, ch := range []<-chan outcome{first, second} {
					if got := <-ch; !errors.Is(got.err, origin.ErrUnavailable) || !strings.Contains(got.err.Error(), `"panic"`) {
						t.Errorf("a reader answers %v", got.err)
					}
				}
				src.answer = nil
				mustRead(t, c, req, data) // and the page is not poisoned
				synctest.Wait()
				if s := c.Stats(); s.FailedFills != 1 || s.FillMemoryBytes != 0 || s.FillsInFlight != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("out of luck") }

// TestCancelledFlightIsNotJoined: a reader that comes while a cancelled fill's source has not returned yet begins a fill of its own.
func TestCancelledFlightIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		obj, data := object("cancelled", testPage)
		src := &fakeSource{data: data}
		release := make(chan struct{})
		src.answer = func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
			if len(src.asked()) == 1 {
				<-release // deaf to its context
				return nil, ctx.Err()
			}
			return src.body(off, n), nil
		}
		req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: testPage}
		ctx, cancel := context.WithCancel(context.Background())
		first := start(ctx, c, req)
		cancel()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("the reader that left answers %v", got.err)
		}
		second := start(context.Background(), c, req)
		if got := <-second; got.err != nil || string(got.data) != string(data) {
			t.Errorf("the reader that came later answers %d bytes, %v", len(got.data), got.err)
		}
		close(release)
	})
}

// TestAbandonedReaderRetries: a reader that meets a flight which was cancelled under it plans anew, and is not answered with the
// cancellation.
func TestAbandonedReaderRetries(t *testing.T) {
	c := newCache(t, Options{})
	obj, data := object("retry", 2*testPage)
	src := &fakeSource{data: data}
	r := &Reader{c: c, ctx: context.Background(), geo: newGeometry(obj, grid{size: testPage}), src: src, to: 2 * testPage, span: c.fillSpan}
	defer r.Close()
	wants, err := r.survey()
	if err != nil {
		t.Fatal(err)
	}
	f := c.newFill(r)
	if _, _, err := c.fills.board(wants, f); err != nil {
		t.Fatal(err)
	}
	c.fills.mu.Lock()
	c.fills.failLocked(f, errAbandoned)
	c.fills.mu.Unlock()
	f.cancel()
	c.fills.finish(f, errAbandoned)
	r.window = wants
	if got, err := io.ReadAll(r); err != nil || string(got) != string(data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if s := c.Stats(); s.Fills != 1 {
		t.Errorf("stats %+v", s)
	}
}

// TestShortBody: pages that arrived whole are served, the one that did not and those after it fail, and none of them is kept.
func TestShortBody(t *testing.T) {
	theirs := errors.New("their own words")
	for name, tt := range map[string]struct {
		end  error // after 1.5 pages
		want error
	}{
		"ends early":        {io.EOF, origin.ErrUnavailable},
		"breaks":            {io.ErrUnexpectedEOF, origin.ErrUnavailable},
		"changed":           {origin.NewError(origin.ErrVersionChanged, "read", "short", theirs), origin.ErrVersionChanged},
		"changed, cause":    {origin.NewError(origin.ErrVersionChanged, "read", "short", theirs), theirs},
		"its own deadline":  {context.DeadlineExceeded, origin.ErrUnavailable},
		"its own cancelled": {context.Canceled, origin.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, Options{})
			obj, data := object("short", 4*testPage)
			src := &fakeSource{data: data}
			src.answer = func(_ context.Context, off, n int64) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(src.body(off, testPage*3/2), failing{tt.end})), nil
			}
			req := Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: 4 * testPage}
			got, _, err := read(c, req)
			if !errors.Is(err, tt.want) || errors.Is(err, context.Canceled) || string(got) != string(data[:testPage]) {
				t.Errorf("%d bytes, then %v", len(got), err)
			}
			if s := c.Stats(); s.MemoryPages != 1 || s.FillMemoryBytes != 0 || s.FailedFills != 1 {
				t.Errorf("stats %+v", s)
			}
			src.answer = nil
			mustRead(t, c, req, data)
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestClose ends reads that wait, and those that come later, with ErrClosed; it waits for the sources, and is safe twice.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		obj, data := object("close", testPage)
		req := Request{Object: obj, Layout: grid{size: testPage}, Source: stepped(data, nil), Length: testPage}
		waiting := start(context.Background(), c, req)
		ran := make(chan error)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { ran <- c.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if got := <-waiting; !errors.Is(got.err, ErrClosed) || !errors.Is(got.err, origin.ErrUnavailable) {
			t.Errorf("the reader that waited answers %v", got.err)
		}
		if _, _, err := read(c, req); !errors.Is(err, ErrClosed) {
			t.Errorf("a reader after Close answers %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseNamesDeafSource: a source that ignores its context does not hang Close for ever.
func TestCloseNamesDeafSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		obj, data := object("deaf", testPage)
		release := make(chan struct{})
		defer close(release)
		src := &fakeSource{data: data, answer: func(context.Context, int64, int64) (io.ReadCloser, error) {
			<-release
			return nil, io.EOF
		}}
		waiting := start(context.Background(), c, Request{Object: obj, Layout: grid{size: testPage}, Source: src, Length: testPage})
		if err := c.Close(); err == nil || !strings.Contains(err.Error(), "1 fills did not end") {
			t.Errorf("Close answers %v", err)
		}
		if got := <-waiting; !errors.Is(got.err, ErrClosed) {
			t.Errorf("the reader answers %v", got.err)
		}
	})
}
