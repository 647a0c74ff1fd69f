package sidecar_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// history knows every version that an object ever had, and until when it was the present one.
type history struct {
	mu       sync.Mutex
	data     map[origin.Version][]byte
	replaced map[origin.Version]time.Time // after the write that replaced it was done
	present  map[string]origin.Version
	hits     atomic.Int64 // answers of the hit path that were checked
}

func newHistory() *history {
	return &history{data: map[origin.Version][]byte{}, replaced: map[origin.Version]time.Time{}, present: map[string]origin.Version{}}
}

// write makes data, changed so that no two versions are alike, the present version of a path. Nobody can read a version before the
// history knows it.
func (h *history) write(store *mem.Origin, path string, data []byte) {
	data = bytes.Clone(data)
	h.change(func() (origin.Object, []byte) {
		copy(data[len(data)/2:], fmt.Sprint(len(h.data)))
		return store.Put(path, data), data
	})
}

// change lets a write happen, which returns the new version and all its bytes.
func (h *history) change(write func() (origin.Object, []byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	obj, data := write()
	if old, ok := h.present[obj.Path]; ok {
		h.replaced[old] = time.Now()
	}
	h.present[obj.Path] = obj.Version
	h.data[obj.Version] = data
}

// check returns what is wrong with an answer to a request made at a time, or nil.
func (h *history) check(c origin.Content, got []byte, asked time.Time, maxAge time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	// origintest.WrongVersion makes up versions of its own, whose bytes are the inverse.
	name, invented := strings.CutSuffix(string(c.Object.Version), "-other")
	version := origin.Version(name)
	data, ok := h.data[version]
	if !ok {
		return fmt.Errorf("version %q never was", c.Object.Version)
	}
	if gone, ok := h.replaced[version]; ok && gone.Before(asked.Add(-maxAge)) {
		return fmt.Errorf("version %q was replaced %v before it was asked for, max_age is %v", c.Object.Version, asked.Sub(gone), maxAge)
	}
	if invented {
		data = bytes.Clone(data)
		for i := range data {
			data[i] = ^data[i]
		}
	}
	if int64(len(data)) != c.Object.Size || !bytes.Equal(got, data[c.Offset:c.Offset+c.Length]) {
		return fmt.Errorf("%d bytes at %d are not those of version %q", len(got), c.Offset, c.Object.Version)
	}
	return nil
}

// Random reads of objects that are overwritten all the time, by an origin that fails in every way, through a cache that is far too small:
// every read that succeeds is of exactly one version, and of none that was replaced longer ago than max_age.
func TestSameBytesUnderOverwritesAndFaults(t *testing.T) {
	seed := origintest.Seed(t)
	for _, maxAge := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(maxAge.String(), func(t *testing.T) {
			r := newRig(t, seed, func(o *sidecar.Options, c *cache.Options) {
				o.FillSpan, o.RunMemory, o.LayoutMemory, o.MetadataMemory = 1<<20, 2<<20, 4<<10, 16<<10
				o.Rules = []freshness.Rule{{Path: "**", MaxAge: maxAge}}
				c.Memory, c.FillSpan, c.FillMemory = 1<<20, 1<<20, 2<<20
			})
			r.origin.Add(faults()...)
			sameBytes(t, r, seed, maxAge)
		})
	}
}

// The same with what is known of objects falling out of memory all the time and coming back from the store on disk.
func TestSameBytesOverTheMetadataStore(t *testing.T) {
	seed := origintest.Seed(t)
	for _, maxAge := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(maxAge.String(), func(t *testing.T) {
			store := metadataStore(t, t.TempDir())
			r := newRig(t, seed, func(o *sidecar.Options, c *cache.Options) {
				o.FillSpan, o.RunMemory, o.LayoutMemory, o.MetadataMemory, o.Metadata = 1<<20, 2<<20, 4<<10, 2<<10, store
				o.Rules = []freshness.Rule{{Path: "**", MaxAge: maxAge}}
				c.Memory, c.FillSpan, c.FillMemory = 1<<20, 1<<20, 2<<20
			})
			r.origin.Add(faults()...)
			sameBytes(t, r, seed, maxAge)
			if n := store.Stats().Entries; n == 0 {
				t.Error("nothing was written to the store")
			}
		})
	}
}

func faults() []origintest.Rule {
	rule := func(op string, p float64, e origintest.Effect) origintest.Rule {
		return origintest.Rule{Op: op, Probability: p, Effect: e}
	}
	return []origintest.Rule{
		rule("", 0.03, origintest.Fail(origin.ErrUnavailable)),
		rule("", 0.02, origintest.Fail(origin.ErrThrottled)),
		rule(origintest.OpRead, 0.03, origintest.BreakBody(1000)),
		rule(origintest.OpRead, 0.03, origintest.ShortBody(70_000)),
		rule(origintest.OpRead, 0.02, origintest.WrongVersion()),
		rule("", 0.10, origintest.Delay(3*time.Millisecond)),
	}
}

func sameBytes(t *testing.T, r *rig, seed uint64, maxAge time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 2))
	bodies := [][]byte{lakeFile(t, 6, 2, 20_000), lakeFile(t, 3, 1, 90_000), lakeFile(t, 150, 10, 30)}
	for n := range []int{0, 1, 2, 3} {
		raw := make([]byte, []int{10, 200_000, 300_000, 1_500_000}[n])
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		bodies = append(bodies, raw)
	}
	h := newHistory()
	paths := []string{"t/a", "t/b", "t/c.parquet", "u/d"}
	hammer(t, r, h, paths, seed, maxAge, func(rng *rand.Rand, p string) { h.write(r.store, p, bodies[rng.IntN(len(bodies))]) })
}

// hammer reads at random while write changes one path after the other.
func hammer(t *testing.T, r *rig, h *history, paths []string, seed uint64, maxAge time.Duration, write func(rng *rand.Rand, path string)) {
	rng := rand.New(rand.NewPCG(seed, 4))
	for _, p := range paths {
		write(rng, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 3))
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			write(rng, paths[rng.IntN(len(paths))])
		}
	})
	served := make([]int, 8)
	for i := range served {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(10+i)))
			for ctx.Err() == nil && !t.Failed() {
				served[i] += randomRead(t, r, h, rng, paths, maxAge, seed)
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range served {
		total += n
	}
	t.Logf("%d reads compared, %d of them hits, %d versions", total, h.hits.Load(), len(h.data))
	if total < 100 || maxAge > 0 && h.hits.Load() == 0 {
		t.Errorf("only %d reads succeeded, %d of them hits: nothing was tested", total, h.hits.Load())
	}
}

// randomRead makes one read or listing and returns 1 if bytes were compared.
func randomRead(t *testing.T, r *rig, h *history, rng *rand.Rand, paths []string, maxAge time.Duration, seed uint64) int {
	if rng.IntN(10) == 0 {
		r.List(t.Context(), "lake", origin.ListRequest{Prefix: "t/"})
		return 0
	}
	req := origin.ReadRequest{Path: paths[rng.IntN(len(paths))]}
	switch rng.IntN(5) {
	case 0:
		req.Suffix = 1 + rng.Int64N(200_000)
	case 1:
		req.Suffix = 48 << 10
	case 2:
		req.Length = origin.WholeRange
	default:
		req.Offset, req.Length = rng.Int64N(1_500_000), 1+rng.Int64N(300_000)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rng.IntN(200))*time.Millisecond)
	defer cancel()
	asked := time.Now()
	if c, got, ok := r.hit(ctx, req); ok && rng.IntN(2) == 0 {
		if err := h.check(c, got, asked, maxAge); err != nil || c.Object.Path != req.Path {
			t.Errorf("hit of %+v: %q, %v (ALIO_SEED=%d)", req, c.Object.Path, err, seed)
		}
		h.hits.Add(1)
		return 1
	}
	asked = time.Now()
	c, err := r.Open(ctx, "lake", req, nil)
	if err != nil {
		return 0
	}
	defer c.Body.Close()
	got, err := io.ReadAll(c.Body)
	if err != nil {
		return 0
	}
	if err := h.check(c, got, asked, maxAge); err != nil {
		t.Errorf("%+v: %v (ALIO_SEED=%d)", req, err, seed)
	}
	return 1
}
