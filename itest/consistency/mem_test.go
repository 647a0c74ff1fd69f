package consistency

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
)

// objects writes whole objects and removes them, as stores without append have it.
type objects struct {
	h      *history
	seeds  *seeds
	names  []string
	span   int64
	put    func(ctx context.Context, path string, data []byte) error
	remove func(ctx context.Context, path string) error
}

func (w *objects) paths() []string { return w.names }

func (w *objects) op(ctx context.Context, rng *rand.Rand) error {
	path := w.names[rng.IntN(len(w.names))]
	if rng.IntN(8) == 0 {
		s := w.h.begin(path, &state{absent: true, what: "delete"})
		defer w.h.finish(s)
		return w.remove(ctx, path)
	}
	seed := w.seeds.next()
	c := content{}.plus(seed, rng.Int64N(w.span))
	s := w.h.begin(path, &state{content: c, least: c.size(), what: fmt.Sprintf("put %d", seed)})
	defer w.h.finish(s)
	return w.put(ctx, path, c.bytes(0, c.size()))
}

// paced lets each operation of a writer wait, so that readers see what is between.
type paced struct {
	writer
	wait time.Duration
}

func (w paced) op(ctx context.Context, rng *rand.Rand) error {
	timer := time.NewTimer(w.wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return w.writer.op(ctx, rng)
	}
}

func memWriter(h *history, s *seeds, store *mem.Origin, name string, span int64) *objects {
	return &objects{h: h, seeds: s, names: []string{name + "/a", name + "/b"}, span: span,
		put:    func(_ context.Context, path string, data []byte) error { store.Put(path, data); return nil },
		remove: func(_ context.Context, path string) error { store.Delete(path); return nil }}
}

// readOrigin reads an origin as it is.
func readOrigin(o interface {
	Read(context.Context, origin.ReadRequest) (origin.Content, error)
}) func(ctx context.Context, req origin.ReadRequest) (answer, error) {
	return func(ctx context.Context, req origin.ReadRequest) (answer, error) {
		c, err := o.Read(ctx, req)
		return take(c, err)
	}
}

// take reads a content to its end.
func take(c origin.Content, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	defer c.Body.Close()
	data, err := io.ReadAll(c.Body)
	return answer{version: string(c.Object.Version), size: c.Object.Size, off: c.Offset, data: data}, err
}

// An in-memory store through a sidecar passes, at max_age 0 and above it.
func TestMemory(t *testing.T) {
	seed := origintest.Seed(t)
	h, s, store := newHistory(), &seeds{}, mem.New("mem")
	var writers []writer
	for i := range 4 {
		writers = append(writers, paced{memWriter(h, s, store, fmt.Sprint("w", i), 700_000), 5 * time.Millisecond})
	}
	ways := sidecars(t, store, 0, 20*time.Millisecond)
	n := plan{seed: seed, ops: 400, readers: 4, span: 700_000}.run(t, h, writers, ways)
	t.Logf("%d operations; %s", n, h.report())
	if h.reads.Load() == 0 || h.overlapping.Load() == 0 {
		t.Error("nothing was read, or nothing beside a write")
	}
}

// The judge finds what it is there to find: stale bytes, bytes of two versions, a wrong size, a false "not found", a version with two
// meanings; and it lets pass what max_age allows and what is being written.
func TestJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory()
		wait := func(d time.Duration) { <-time.After(d) }
		exact := func(c content, what string) *state { return &state{content: c, least: c.size(), what: what} }
		one := content{}.plus(1, 1000)
		two := one.plus(2, 500)
		three := two.cut(900).plus(3, 600)
		h.finish(h.begin("f", exact(one, "one")))
		wait(time.Second)
		h.finish(h.begin("f", exact(two, "two")))
		wait(time.Second)
		open := h.begin("f", exact(three, "three"))
		wait(time.Second)
		judge := func(version string, c content, size, off, n int64, maxAge time.Duration) string {
			now := time.Now()
			q := question{path: "f", off: off, n: n, maxAge: maxAge, asked: now, answered: now}
			return fmt.Sprint(h.judge(q, answer{version, size, off, c.bytes(off, n)}, nil))
		}
		check := func(got, want string) {
			t.Helper()
			if !strings.Contains(got, want) {
				t.Errorf("judged %q, want %q in it", got, want)
			}
		}
		const good = "<nil>"
		check(judge("v2", two, 1500, 0, 1500, 0), good)
		check(judge("v3", three, 1500, 0, 1500, 0), good)
		h.finish(open)
		wait(time.Second)
		check(judge("v2", two, 1500, 800, 700, 2*time.Second), good)
		check(judge("v2", two, 1500, 800, 700, 0), "stale")
		check(judge("v1", one, 1000, 0, 900, 0), "stale")
		check(judge("v3", three, 1500, 0, 900, 0), good) // one, two and three are alike there
		check(judge("v2", three, 1500, 890, 20, 0), "meant")
		check(judge("v3", content{append(two.cut(950).runs, run{3, 50, 550})}, 1500, 800, 700, 0), "agrees up to offset 900")
		check(judge("v3", three, 1400, 0, 900, 0), "another size")
		now := time.Now()
		q := question{path: "f", n: 1, asked: now, answered: now}
		check(fmt.Sprint(h.judge(q, answer{}, origin.ErrNotFound)), "failed where")
		check(fmt.Sprint(h.judge(q, answer{}, origin.ErrUnavailable)), "failed where")
		check(fmt.Sprint(h.judge(question{path: "f", off: 1500, n: 1, asked: now, answered: now}, answer{}, origin.ErrInvalidRange)), good)
		growing := h.begin("f", &state{content: three.plus(4, 100), least: 1500, what: "flush"})
		check(judge("v4", three.plus(4, 100), 1550, 1400, 150, 0), good)
		check(judge("v5", three.plus(4, 100), 1601, 1400, 150, 0), "another size")
		h.finish(growing)
	})
}

// wrong turns a good reader into one that sometimes answers badly.
var wrong = map[string]func(ctx context.Context, req origin.ReadRequest, good reader, last map[string]answer) (answer, error){
	"stale": func(ctx context.Context, req origin.ReadRequest, good reader, last map[string]answer) (answer, error) {
		if a, ok := last[fmt.Sprint(req)]; ok {
			return a, nil
		}
		a, err := good.read(ctx, req)
		if err == nil {
			last[fmt.Sprint(req)] = a
		}
		return a, err
	},
	"mixed": func(ctx context.Context, req origin.ReadRequest, good reader, last map[string]answer) (answer, error) {
		a, err := good.read(ctx, req)
		b, ok := last[req.Path]
		if err == nil && ok && a.version != b.version && a.size == b.size {
			copy(a.data[len(a.data)/2:], b.data[len(b.data)/2:])
		}
		last[req.Path] = a
		return a, err
	},
}

// A reader that keeps answers for ever, and one that mixes two versions of one length, are found.
func TestAskFindsWrongReaders(t *testing.T) {
	for name, bad := range wrong {
		t.Run(name, func(t *testing.T) {
			h, s, store := newHistory(), &seeds{}, mem.New("mem")
			w := memWriter(h, s, store, "w", 1)
			good := reader{name: "good", read: readOrigin(store)}
			last := map[string]answer{}
			rng := rand.New(rand.NewPCG(1, 1))
			for range 50 {
				// always 1000 bytes
				seed := s.next()
				c := content{}.plus(seed, 1000)
				st := h.begin("w/a", &state{content: c, least: 1000})
				if err := w.put(t.Context(), "w/a", c.bytes(0, 1000)); err != nil {
					t.Fatal(err)
				}
				h.finish(st)
				way := reader{name: name, read: func(ctx context.Context, req origin.ReadRequest) (answer, error) { return bad(ctx, req, good, last) }}
				req := origin.ReadRequest{Path: "w/a", Length: origin.WholeRange}
				if rng.IntN(2) == 0 {
					req.Suffix = 1000
				}
				if ask(t.Context(), h, way, req) != nil {
					return
				}
			}
			t.Error("nothing was found")
		})
	}
}
