package client

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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

// rig is a client of a fake sidecar.
type rig struct {
	*Client
	*fake
	t        testing.TB
	registry *prometheus.Registry
}

// newRig has deadlines that a busy machine meets; tests of deadlines set their own.
func newRig(t testing.TB, change ...func(*Options)) *rig {
	f := newFake(t)
	r := &rig{fake: f, t: t, registry: prometheus.NewRegistry()}
	o := Options{Address: f.socket, Directories: []string{f.dir}, ControlDeadline: 10 * time.Second, LocalDeadline: 10 * time.Second,
		TouchInterval: time.Hour, RefreshInterval: time.Nanosecond, DialBackoff: 50 * time.Millisecond, Registerer: r.registry}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	need(t, err)
	r.Client = c
	t.Cleanup(func() {
		need(t, c.Close())
		need(t, c.Close())
	})
	return r
}

func (r *rig) open(path string, o ...OpenOptions) *File {
	r.t.Helper()
	f, err := r.tryOpen(path, o...)
	need(r.t, err)
	return f
}

func (r *rig) tryOpen(path string, o ...OpenOptions) (*File, error) {
	if len(o) == 0 {
		o = []OpenOptions{{}}
	}
	return r.Client.Open(context.Background(), "lake", path, o[0])
}

// want reads and compares.
func (r *rig) want(f *File, o *fakeObject, off, n int) {
	r.t.Helper()
	p := make([]byte, n)
	got, err := f.ReadAt(p, int64(off))
	wanted := o.data[min(off, len(o.data)):min(off+n, len(o.data))]
	if wantErr := io.EOF; (len(wanted) < n) != (err == wantErr) || err != nil && err != wantErr {
		r.t.Fatalf("read %d at %d of %d: %v", n, off, len(o.data), err)
	}
	if got != len(wanted) || !bytes.Equal(p[:got], wanted) {
		r.t.Fatalf("read %d at %d of %d: %d bytes, and they are not the object's", n, off, len(o.data), got)
	}
}

// metric returns a metric's value; labels as in `result="sent"`.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	need(r.t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for _, l := range labels {
				key, value, _ := strings.Cut(l, "=")
				found := false
				for _, p := range m.GetLabel() {
					found = found || p.GetName() == key && p.GetValue() == value
				}
				if !found {
					continue metrics
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	r.t.Fatalf("no metric %s %v", name, labels)
	return 0
}

// local is the bytes read from segments, remote those from the sidecar.
func (r *rig) local() float64  { return r.metric("alio_client_read_bytes_total", "source=local") }
func (r *rig) remote() float64 { return r.metric("alio_client_read_bytes_total", "source=sidecar") }

// eventually polls a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// randomReads compares random ranges of an object.
func (r *rig) randomReads(f *File, o *fakeObject, rng *rand.Rand, n int) {
	r.t.Helper()
	for range n {
		off := rng.IntN(len(o.data) + 10)
		r.want(f, o, off, 1+rng.IntN([]int{10, 5000, 70_000, 400_000}[rng.IntN(4)]))
	}
}
