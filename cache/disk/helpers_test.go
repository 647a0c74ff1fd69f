package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed is the test's random seed; ALIO_SEED replays one.
func seed(t testing.TB) uint64 {
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("ALIO_SEED"); v != "" {
		var err error
		s, err = strconv.ParseUint(v, 10, 64)
		need(t, err)
	}
	t.Logf("ALIO_SEED=%d", s)
	return s
}

// key is the n-th page's key, length and bytes: each follows from n, so that whatever is read can be checked.
func testPage(n uint64) (cache.Key, []byte) {
	length := []int{1, 100, 4096, 5000, 65536, 65537, 150000}[n%7]
	return sizedPage(n, length)
}

// made keeps pages that were made: making them is slow under the race detector.
var made sync.Map

func sizedPage(n uint64, length int) (cache.Key, []byte) {
	id := [2]uint64{n, uint64(length)}
	if b, ok := made.Load(id); ok {
		return cache.HashPart(strconv.FormatUint(n, 10)).Page(0, int64(length)), b.([]byte)
	}
	var from [32]byte
	binary.LittleEndian.PutUint64(from[:], n)
	b := make([]byte, length)
	_, _ = rand.NewChaCha8(from).Read(b)
	made.Store(id, b)
	return cache.HashPart(strconv.FormatUint(n, 10)).Page(0, int64(length)), b
}

// testOptions are those of a small tier: 64 KiB segments would not hold the larger pages, so 512 KiB ones, 24 of them.
func testOptions(fsys vfs.FS) Options {
	return Options{Dir: "/cache", Size: 14 << 20, SegmentSize: 512 << 10, FS: fsys, Protected: func(c uint8) bool { return c == 1 }}
}

// harness is a tier with its Run.
type harness struct {
	*Tier
	t      testing.TB
	cancel context.CancelFunc
	ran    chan error
}

func openTier(t testing.TB, o Options) *harness {
	t.Helper()
	tier, err := New(o)
	need(t, err)
	need(t, tier.Open(context.Background()))
	return startTier(t, tier)
}

func startTier(t testing.TB, tier *Tier) *harness {
	ctx, cancel := context.WithCancel(context.Background())
	h := &harness{Tier: tier, t: t, cancel: cancel, ran: make(chan error, 1)}
	go func() { h.ran <- tier.Run(ctx) }()
	t.Cleanup(func() { h.stop() })
	return h
}

// stop closes the tier, twice, and waits for Run.
func (h *harness) stop() {
	h.t.Helper()
	if h.ran == nil {
		return
	}
	need(h.t, h.Tier.Close())
	need(h.t, h.Tier.Close())
	h.cancel()
	if err := <-h.ran; err != nil && !errors.Is(err, errNotRunnable) {
		h.t.Fatal(err)
	}
	h.ran = nil
}

// put writes a page and waits for what became of it.
func (h *harness) put(k cache.Key, class uint8, data []byte) bool {
	h.t.Helper()
	done := make(chan bool, 1)
	if !h.Write(k, class, data, func(ok bool) { done <- ok }) {
		return false
	}
	return <-done
}

// get reads a whole page and checks it; the error otherwise.
func (h *harness) get(k cache.Key, want []byte) error {
	h.t.Helper()
	return h.getPart(k, want, 0, len(want))
}

func (h *harness) getPart(k cache.Key, want []byte, off, n int) error {
	h.t.Helper()
	b, err := h.Read(context.Background(), k, len(want), off, n)
	if err != nil {
		return err
	}
	defer b.Free()
	if !bytes.Equal(b.B, want[off:off+n]) {
		h.t.Errorf("page %x: bytes %d+%d of %d are wrong", k, off, n, len(want))
	}
	return nil
}

// counter returns a metric's value, by its name and label value ("" for none).
func counter(t testing.TB, r *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := r.Gather()
	need(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" && len(m.GetLabel()) == 0 || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

func contextWithTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
