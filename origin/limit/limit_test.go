package limit_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/limit"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
)

func wrap(t testing.TB, o origin.Origin, opts limit.Options) *limit.Origin {
	t.Helper()
	l, err := limit.New(o, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConformance(t *testing.T) {
	for name, opts := range map[string]limit.Options{"none": {}, "both": {Concurrency: 3, BytesPerSecond: 4 << 30}} {
		t.Run(name, func(t *testing.T) {
			origintest.Run(t, func(t *testing.T) origintest.Fixture {
				return origintest.Memory(mem.New("m"), func(o origin.Origin) origin.Origin { return wrap(t, mem.Writer{Origin: o.(*mem.Origin)}, opts) })
			})
		})
	}
}

// gauge counts the calls and open bodies of what it wraps, and forwards.
type gauge struct {
	origin.Origin
	now, most atomic.Int64
}

func (g *gauge) enter() {
	n := g.now.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
}

func (g *gauge) Stat(ctx context.Context, path string) (origin.Object, error) {
	g.enter()
	defer g.now.Add(-1)
	return g.Origin.Stat(ctx, path)
}

func (g *gauge) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	g.enter()
	defer g.now.Add(-1)
	return g.Origin.List(ctx, req)
}

func (g *gauge) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	g.enter()
	c, err := g.Origin.Read(ctx, req)
	if err != nil {
		g.now.Add(-1)
		return c, err
	}
	c.Body = &gaugeBody{ReadCloser: c.Body, leave: sync.OnceFunc(func() { g.now.Add(-1) })}
	return c, nil
}

func (g *gauge) Forward(context.Context, string, *http.Request) (*http.Response, error) {
	g.enter()
	b := &gaugeBody{ReadCloser: io.NopCloser(strings.NewReader("answer")), leave: sync.OnceFunc(func() { g.now.Add(-1) })}
	return &http.Response{StatusCode: http.StatusOK, Body: b}, nil
}

type gaugeBody struct {
	io.ReadCloser
	leave func()
}

func (b *gaugeBody) Close() error {
	b.leave()
	return b.ReadCloser.Close()
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		m.Put("x", make([]byte, 100))
		g := &gauge{Origin: origintest.NewFaulty(m, 1, origintest.Rule{Effect: origintest.Delay(time.Second)})}
		l := wrap(t, g, limit.Options{Concurrency: 3})
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				switch i % 4 {
				case 0:
					_, err := l.Stat(t.Context(), "x")
					errIs(t, err, nil)
				case 1:
					_, err := l.List(t.Context(), origin.ListRequest{})
					errIs(t, err, nil)
				case 2:
					_, err := l.Read(t.Context(), origin.ReadRequest{Path: "absent", Length: 1})
					errIs(t, err, origin.ErrNotFound)
				case 3:
					c, err := l.Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
					errIs(t, err, nil)
					errIs(t, c.Body.Close(), nil)
				}
			})
		}
		wg.Wait()
		if g.most.Load() != 3 || g.now.Load() != 0 || time.Since(begin) != 8*time.Second {
			t.Errorf("at most %d at once in %v, %d left; want 3 at once, 24 seconds of work in 8, none left", g.most.Load(), time.Since(begin), g.now.Load())
		}
	})
}

func errIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestABodyHoldsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		m.Put("x", make([]byte, 100))
		l := wrap(t, &gauge{Origin: m}, limit.Options{Concurrency: 1})
		busy := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := l.Stat(ctx, "x")
			if err != nil {
				errIs(t, err, origin.ErrUnavailable)
				errIs(t, err, context.DeadlineExceeded)
			}
			return err != nil
		}
		for name, end := range map[string]func(b io.ReadCloser){
			"closed":             func(b io.ReadCloser) { errIs(t, b.Close(), nil) },
			"closed twice":       func(b io.ReadCloser) { errIs(t, b.Close(), nil); errIs(t, b.Close(), nil) },
			"read":               func(b io.ReadCloser) { _, err := io.Copy(io.Discard, b); errIs(t, err, nil) },
			"read and closed":    func(b io.ReadCloser) { _, err := io.Copy(io.Discard, b); errIs(t, err, nil); errIs(t, b.Close(), nil) },
			"closed before read": func(b io.ReadCloser) { errIs(t, b.Close(), nil); _, _ = b.Read(make([]byte, 1)) },
		} {
			c, err := l.Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
			errIs(t, err, nil)
			if !busy() {
				t.Errorf("%s: an open body holds no slot", name)
			}
			end(c.Body)
			if busy() {
				t.Errorf("a body that was %s holds its slot", name)
			}
		}
		resp, err := l.Forward(t.Context(), "x", &http.Request{})
		errIs(t, err, nil)
		if !busy() {
			t.Error("an open answer holds no slot")
		}
		errIs(t, resp.Body.Close(), nil)
		if busy() {
			t.Error("a closed answer holds its slot")
		}
	})
}

func TestForwardNeedsAForwarder(t *testing.T) {
	_, err := wrap(t, mem.New("m"), limit.Options{Concurrency: 1}).Forward(t.Context(), "x", &http.Request{})
	errIs(t, err, origin.ErrUnsupported)
}

func TestBandwidthIsBoundedAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, size, readers = 1 << 20, 4 << 20, 4
		m := mem.New("m")
		m.Put("x", make([]byte, size))
		l := wrap(t, m, limit.Options{BytesPerSecond: rate})
		begin := time.Now()
		var wg sync.WaitGroup
		var ends [readers]time.Duration
		for i := range readers {
			wg.Go(func() {
				c, err := l.Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
				errIs(t, err, nil)
				defer c.Body.Close()
				n, err := io.Copy(io.Discard, c.Body)
				errIs(t, err, nil)
				if n != size {
					t.Errorf("%d bytes, want %d", n, size)
				}
				ends[i] = time.Since(begin)
			})
		}
		wg.Wait()
		// 16 MiB at 1 MiB/s, less the burst of a tenth of a second.
		if d := time.Since(begin); d < 15800*time.Millisecond || d > 16*time.Second {
			t.Errorf("took %v, want 16 s less a tenth", d)
		}
		for _, e := range ends {
			if e < 15*time.Second {
				t.Errorf("readers ended at %v: one was far ahead of the others", ends)
				break
			}
		}
	})
}

// TestOneReadOfManyBytes: a buffer larger than the burst is filled piece by piece, not waited for in vain.
func TestOneReadOfManyBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		m.Put("x", make([]byte, 1<<20))
		c, err := wrap(t, m, limit.Options{BytesPerSecond: 1 << 18}).Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		errIs(t, err, nil)
		begin := time.Now()
		_, err = io.ReadFull(c.Body, make([]byte, 1<<20))
		errIs(t, err, nil)
		if d := time.Since(begin); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("1 MiB at 256 KiB/s took %v", d)
		}
		errIs(t, c.Body.Close(), nil)
	})
}

func TestWaitForBandwidthEndsWithTheContextOrClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		m.Put("x", make([]byte, 1<<20))
		l := wrap(t, m, limit.Options{BytesPerSecond: 1000})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		c, err := l.Read(ctx, origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		errIs(t, err, nil)
		_, err = io.Copy(io.Discard, c.Body)
		errIs(t, err, context.DeadlineExceeded)
		errIs(t, err, origin.ErrUnavailable)
		errIs(t, c.Body.Close(), nil)
		if time.Since(begin) != 3*time.Second {
			t.Errorf("the deadline of 3 s ended it after %v", time.Since(begin))
		}
		c, err = l.Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		errIs(t, err, nil)
		time.AfterFunc(time.Second, func() { _ = c.Body.Close() })
		begin = time.Now()
		if _, err := io.Copy(io.Discard, c.Body); err == nil || time.Since(begin) != time.Second {
			t.Errorf("closed after 1 s: %v after %v", err, time.Since(begin))
		}
	})
}

func TestOptions(t *testing.T) {
	_, err := limit.New(mem.New("m"), limit.Options{Concurrency: -1, BytesPerSecond: -1})
	if err == nil || !strings.Contains(err.Error(), "Concurrency") || !strings.Contains(err.Error(), "BytesPerSecond") {
		t.Errorf("%v does not name both faults", err)
	}
	m := mem.New("m")
	if l := wrap(t, m, limit.Options{}); l.Unwrap() != origin.Origin(m) || l.ID() != m.ID() {
		t.Error("Unwrap or ID is not the wrapped origin's")
	}
}
