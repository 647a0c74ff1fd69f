package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/alio-lake/alio/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const kib = 1 << 10

// grid is a layout of equal pages.
type grid struct {
	size  int64
	class uint8
}

func (g grid) PageAt(off int64) (int64, int64, uint8) {
	start := off - off%g.size
	return start, start + g.size, g.class
}

// cuts is a layout with a page between each two of its bounds; the class is the page's number, modulo classes.
type cuts struct {
	at      []int64 // ascending, beginning with 0, ending with the object's size or beyond
	classes int
}

func (c cuts) PageAt(off int64) (int64, int64, uint8) {
	i, found := slices.BinarySearch(c.at, off)
	if !found {
		i--
	}
	return c.at[i], c.at[i+1], uint8(i % c.classes)
}

// randomBytes are n bytes that a seed decides.
func randomBytes(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data)
	return data
}

// object is an object of one part, and its bytes.
func object(name string, n int) (*origin.Object, []byte) {
	var seed uint64
	for _, b := range []byte(name) {
		seed = seed*131 + uint64(b)
	}
	obj := &origin.Object{Path: name, Version: "v1", Size: int64(n), Parts: []origin.Part{{ID: name + "@v1", Length: int64(n)}}}
	return obj, randomBytes(seed, n)
}

type span struct{ off, n int64 }

// fakeSource serves one object's bytes and notes what it was asked. answer, if set, stands in for the bytes.
type fakeSource struct {
	data   []byte
	answer func(ctx context.Context, off, n int64) (io.ReadCloser, error)

	mu    sync.Mutex
	calls []span
}

func (s *fakeSource) Fetch(ctx context.Context, _ *origin.Object, off, n int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.calls = append(s.calls, span{off, n})
	s.mu.Unlock()
	if s.answer != nil {
		return s.answer(ctx, off, n)
	}
	return s.body(off, n), nil
}

func (s *fakeSource) body(off, n int64) io.ReadCloser {
	return io.NopCloser(bytes.NewReader(s.data[off : off+n]))
}

func (s *fakeSource) asked() []span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// gated is a body that hands out one step of bytes each time the gate lets it, and fails when its context ends.
type gated struct {
	ctx  context.Context
	r    io.Reader
	step int64
	gate <-chan struct{}
	left int64
}

func (g *gated) Read(p []byte) (int, error) {
	if g.left == 0 {
		select {
		case <-g.gate:
			g.left = g.step
		case <-g.ctx.Done():
			return 0, g.ctx.Err()
		}
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}

func (g *gated) Close() error { return nil }

// fakeDisk keeps pages in a map. Writes wait for flush if held is set.
type fakeDisk struct {
	mu      sync.Mutex
	pages   map[Key][]byte
	held    bool
	queue   []func()
	shed    func() bool       // of Write; called with the lock held, as fail is
	fail    func(k Key) error // of Read
	short   bool              // Read answers fewer bytes
	lose    int               // so many pages that were taken are not stored
	reads   int
	writes  int
	onLoan  int
	classes map[Key]uint8
}

func newFakeDisk() *fakeDisk { return &fakeDisk{pages: map[Key][]byte{}, classes: map[Key]uint8{}} }

func (d *fakeDisk) Contains(k Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.pages[k]
	return ok
}

func (d *fakeDisk) Read(ctx context.Context, k Key, pageLen, off, n int) (Buf, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	if err := ctx.Err(); err != nil {
		return Buf{}, err
	}
	if d.fail != nil {
		if err := d.fail(k); err != nil {
			return Buf{}, err
		}
	}
	data, ok := d.pages[k]
	if !ok || len(data) != pageLen {
		return Buf{}, ErrAbsent
	}
	d.onLoan++
	lent := bytes.Clone(data[off : off+n])
	if d.short {
		lent = lent[:n-1]
	}
	return NewBuf(lent, func() {
		clear(lent) // whoever looks after the loan ended sees it
		d.mu.Lock()
		d.onLoan--
		d.mu.Unlock()
	}), nil
}

func (d *fakeDisk) Write(k Key, class uint8, data []byte, done func(bool)) bool {
	d.mu.Lock()
	d.writes++
	if d.shed != nil && d.shed() {
		d.mu.Unlock()
		return false
	}
	store := func() {
		d.mu.Lock()
		if d.lose > 0 {
			d.lose--
			d.mu.Unlock()
			done(false)
			return
		}
		d.pages[k], d.classes[k] = data, class
		d.mu.Unlock()
		if done != nil {
			done(true)
		}
	}
	if d.held {
		d.queue = append(d.queue, store)
		d.mu.Unlock()
		return true
	}
	d.mu.Unlock()
	store()
	return true
}

func (d *fakeDisk) flush() {
	d.mu.Lock()
	queue := d.queue
	d.queue = nil
	d.mu.Unlock()
	for _, store := range queue {
		store()
	}
}

// newCache makes a cache that the test's end closes.
func newCache(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.UpOdds == 0 {
		o.UpOdds = -1 // tests that count want no dice
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// read reads a range whole.
func read(c *Cache, req Request) ([]byte, ReadStats, error) {
	return readCtx(context.Background(), c, req)
}

func readCtx(ctx context.Context, c *Cache, req Request) ([]byte, ReadStats, error) {
	r, err := c.Open(ctx, req)
	if err != nil {
		return nil, ReadStats{}, err
	}
	defer r.Close()
	var out bytes.Buffer
	_, err = r.WriteTo(&out)
	return out.Bytes(), r.Stats(), err
}

// mustRead reads a range and compares it.
func mustRead(t testing.TB, c *Cache, req Request, data []byte) ReadStats {
	t.Helper()
	got, stats, err := read(c, req)
	if err != nil {
		t.Fatalf("read %d+%d: %v", req.Offset, req.Length, err)
	}
	if want := data[req.Offset : req.Offset+req.Length]; !bytes.Equal(got, want) {
		t.Fatalf("read %d+%d: %s", req.Offset, req.Length, differ(got, want))
	}
	if n := stats.Memory + stats.Disk + stats.Origin; n != req.Length {
		t.Fatalf("read %d+%d: stats %+v tell of %d bytes", req.Offset, req.Length, stats, n)
	}
	return stats
}

func differ(got, want []byte) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d bytes, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Sprintf("byte %d of %d is wrong", i, len(got))
		}
	}
	return "no difference"
}
