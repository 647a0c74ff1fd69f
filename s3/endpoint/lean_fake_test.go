package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alio-lake/alio/origin"
)

// seeded is a random source; ALIO_SEED repeats a run.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if v := os.Getenv("ALIO_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
	}
	t.Logf("ALIO_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// hitFake is a fake whose objects are resident, page by page, but for those below cold/. Pages below flaky/ fail from the second one on.
type hitFake struct {
	*fake
	page int64

	open atomic.Int64 // hits not closed yet
	next atomic.Pointer[nextFunc]

	mu    sync.Mutex
	reads []string // what was read, by either way
}

// nextFunc is what overrides a hit's Next.
type nextFunc func(ctx context.Context, h *fakeHit) ([]byte, error)

// onNext sets what overrides Next. A client may have its answer while the hit that gave it is still asked for more.
func (f *hitFake) onNext(next nextFunc) { f.next.Store(&next) }

func newHitFake(mounts ...string) *hitFake { return &hitFake{fake: newFake(mounts...), page: 1000} }

func (f *hitFake) note(mount, key string, off, n int64, etag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(key, "flaky/") { // read in two pieces, where a page failed
		f.reads = append(f.reads, fmt.Sprintf("%s/%s %d+%d %s", mount, key, off, n, etag))
	}
}

// fail makes Open fail from now on.
func (f *hitFake) fail(err error) {
	f.fake.mu.Lock()
	defer f.fake.mu.Unlock()
	f.openErr = err
}

func (f *hitFake) Open(ctx context.Context, mount string, req origin.ReadRequest, check func(*origin.Object) error) (origin.Content, error) {
	c, err := f.fake.Open(ctx, mount, req, check)
	if err == nil {
		f.note(mount, req.Path, c.Offset, c.Length, req.ETag)
	}
	return c, err
}

func (f *hitFake) Hit(name []byte, r HitRange, etag []byte) Hit {
	mount, key, _ := strings.Cut(string(name), "/")
	s, err := f.find(mount, key)
	req := origin.ReadRequest{Offset: r.Offset, Length: r.Length, Suffix: r.Suffix}
	if err != nil || strings.HasPrefix(key, "cold/") || r.Suffix == 0 && r.Length == 0 {
		return nil
	}
	off, n, err := req.Resolve(s.obj.Size)
	if err != nil || n == 0 {
		return nil
	}
	f.open.Add(1)
	return &fakeHit{f: f, mount: mount, obj: s.obj, data: s.data[off : off+n], off: off, etag: string(etag), left: s.data[off : off+n]}
}

type fakeHit struct {
	f          *hitFake
	mount      string
	obj        origin.Object
	data, left []byte
	off        int64
	etag       string
	closed     bool
}

var errEvicted = errors.New("evicted")

func (h *fakeHit) Object() *origin.Object { return &h.obj }
func (h *fakeHit) Range() (int64, int64)  { return h.off, int64(len(h.data)) }

func (h *fakeHit) Next(ctx context.Context) ([]byte, error) {
	if h.closed {
		panic("Next after Close")
	}
	if len(h.left) == len(h.data) {
		h.f.note(h.mount, h.obj.Path, h.off, int64(len(h.data)), h.etag)
	}
	if next := h.f.next.Load(); next != nil {
		return (*next)(ctx, h)
	}
	if len(h.left) == 0 {
		return nil, io.EOF
	}
	if strings.HasPrefix(h.obj.Path, "flaky/") && len(h.left) < len(h.data) {
		return nil, errEvicted
	}
	return h.take(), nil
}

func (h *fakeHit) take() []byte {
	n := min(h.f.page, int64(len(h.left)))
	page := h.left[:n:n]
	h.left = h.left[n:]
	return page
}

func (h *fakeHit) Close() {
	if h.closed {
		panic("closed twice")
	}
	h.closed = true
	h.f.open.Add(-1)
}
