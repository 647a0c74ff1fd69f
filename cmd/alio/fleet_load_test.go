package main

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/alio-lake/alio/affinity/membership"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/internal/clocktest"
)

// meters are a registry with the metrics that a load is read from, under the names that the doors give them.
type meters struct {
	reg     *prometheus.Registry
	s3, rpc prometheus.Gauge
	get     *prometheus.HistogramVec
	read    *prometheus.HistogramVec
}

func newMeters() meters {
	m := meters{
		reg:  prometheus.NewRegistry(),
		s3:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "alio_s3_requests_in_flight"}),
		rpc:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "alio_rpc_requests_in_flight"}),
		get:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "alio_s3_request_seconds", Buckets: []float64{.001, .01, .1, 1}}, []string{"op"}),
		read: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "alio_rpc_request_seconds", Buckets: []float64{.005, .05, .5}}, []string{"method"}),
	}
	m.reg.MustRegister(m.s3, m.rpc, m.get, m.read)
	return m
}

func observe(h *prometheus.HistogramVec, label string, n int, seconds float64) {
	for range n {
		h.WithLabelValues(label).Observe(seconds)
	}
}

// TestMeasure: what waits is the sum over the doors; the latency is of what came since the look before, reads alone; the disk is as it says.
func TestMeasure(t *testing.T) {
	m := newMeters()
	f := &fleet{gatherer: m.reg}
	m.s3.Set(3)
	m.rpc.Set(4)
	observe(m.get, "get", 100, .5)
	l, before := f.measure(nil)
	if l != (membership.Load{Queued: 7, Disk: membership.DiskWell}) {
		t.Errorf("the first look: %+v", l)
	}
	if l, before = f.measure(before); l.LatencyUS != 0 {
		t.Errorf("nothing came, and it took %d us", l.LatencyUS)
	}
	observe(m.get, "get", 99, .0005)
	observe(m.get, "get", 1, .05)
	observe(m.get, "put", 500, 100)
	observe(m.read, "list", 500, 100)
	if l, before = f.measure(before); l.LatencyUS != 1000 {
		t.Errorf("99 of 100 within 1 ms: %d us", l.LatencyUS)
	}
	observe(m.get, "get", 98, .0005)
	observe(m.get, "get", 2, .05)
	if l, before = f.measure(before); l.LatencyUS != 100_000 {
		t.Errorf("98 of 100 within 1 ms, all within 100: %d us", l.LatencyUS)
	}
	observe(m.get, "get", 10, 7)
	f.disk = func() membership.Disk { return membership.DiskDegraded }
	if l, before = f.measure(before); l.LatencyUS != 2_000_000 || l.Disk != membership.DiskDegraded {
		t.Errorf("longer than any bucket: %+v", l)
	}
	observe(m.read, "read", 100, .004)
	if l, _ = f.measure(before); l.LatencyUS > 10_000 || l.LatencyUS < 5000 {
		t.Errorf("reads over gRPC within 5 ms: %d us", l.LatencyUS)
	}
}

// broken is a gatherer that fails.
type broken struct{ families []*dto.MetricFamily }

func (b broken) Gather() ([]*dto.MetricFamily, error) { return b.families, errors.New("broken") }

// TestMeasureWithoutMetrics: where metrics cannot be read, what is known otherwise is still told, and the next look compares with the last good one.
func TestMeasureWithoutMetrics(t *testing.T) {
	before := map[float64]uint64{math.Inf(1): 5}
	f := &fleet{gatherer: broken{}, disk: func() membership.Disk { return membership.DiskFailed }}
	if l, after := f.measure(before); l != (membership.Load{Disk: membership.DiskFailed}) || after[math.Inf(1)] != 5 {
		t.Errorf("%+v, then %v", l, after)
	}
	m := newMeters()
	m.s3.Set(2)
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	f.gatherer = broken{families} // some were read
	if l, _ := f.measure(before); l.Queued != 2 {
		t.Errorf("some metrics were read: %+v", l)
	}
}

// TestPercentile: a bound that some histograms lack, counts that began anew, and nothing at all.
func TestPercentile(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		now, before map[float64]uint64
		want        int64
	}{
		{nil, nil, 0},
		{map[float64]uint64{1: 5, inf: 5}, nil, 0},
		{map[float64]uint64{1: 5, inf: 5}, map[float64]uint64{1: 5, inf: 5}, 0},
		{map[float64]uint64{.5: 50, 1: 100, inf: 100}, map[float64]uint64{.5: 0, 1: 0, inf: 0}, 1e6},
		{map[float64]uint64{.5: 99, 1: 100, inf: 100}, map[float64]uint64{}, 5e5},
		{map[float64]uint64{.5: 0, 1: 0, inf: 1}, map[float64]uint64{}, 2e6},
	} {
		if got := percentile(c.now, c.before, .99); got != c.want {
			t.Errorf("%v after %v: %d us, want %d", c.now, c.before, got, c.want)
		}
	}
}

// TestReported: what an engine reports counts beside what was measured, the worse of both, for half a minute; and no longer or shorter when the clock is set meanwhile.
func TestReported(t *testing.T) {
	mine := membership.Load{Queued: 5, LatencyUS: 100, Disk: membership.DiskWell}
	var r reported
	if got := r.with(mine); got != mine {
		t.Errorf("nobody has reported: %+v", got)
	}
	for _, c := range []struct {
		said *apiv1.Load
		mine membership.Load
		want membership.Load
	}{
		{&apiv1.Load{Queued: 9, LatencyUs: 7}, mine, membership.Load{Queued: 9, LatencyUS: 100, Disk: membership.DiskWell}},
		{&apiv1.Load{Queued: 1, LatencyUs: math.MaxUint64, Disk: apiv1.Load_DISK_DEGRADED}, mine, membership.Load{Queued: 5, LatencyUS: math.MaxInt64, Disk: membership.DiskDegraded}},
		{&apiv1.Load{Disk: apiv1.Load_DISK_FAILED}, mine, membership.Load{Queued: 5, LatencyUS: 100, Disk: membership.DiskFailed}},
		{&apiv1.Load{Disk: apiv1.Load_DISK_WELL}, membership.Load{Disk: membership.DiskFailed}, membership.Load{Disk: membership.DiskFailed}},
		{&apiv1.Load{Disk: apiv1.Load_DISK_WELL}, membership.Load{Disk: membership.DiskDegraded}, membership.Load{Disk: membership.DiskDegraded}},
		{&apiv1.Load{Disk: apiv1.Load_DISK_WELL}, membership.Load{}, membership.Load{Disk: membership.DiskWell}},
		{&apiv1.Load{}, membership.Load{Disk: membership.DiskDegraded}, membership.Load{Disk: membership.DiskDegraded}},
	} {
		r.take(c.said)
		if got := r.with(c.mine); got != c.want {
			t.Errorf("measured %+v, reported %v: %+v, want %+v", c.mine, c.said, got, c.want)
		}
	}
	for _, by := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
		r.take(&apiv1.Load{Queued: 9})
		r.at = clocktest.Jumped(r.at.Add(time.Second-reportHolds), by)
		if got := r.with(mine); got.Queued != 9 {
			t.Errorf("reported 29 s ago, the clock set by %v: %+v", by, got)
		}
		r.at = r.at.Add(-time.Second)
		if got := r.with(mine); got != mine {
			t.Errorf("reported more than 30 s ago, the clock set by %v: %+v", by, got)
		}
	}
}

// TestDiskOf: a tier has failed when all devices are set aside, and is degraded when some are.
func TestDiskOf(t *testing.T) {
	for _, c := range []struct {
		aside []bool
		want  membership.Disk
	}{
		{nil, membership.DiskWell}, {[]bool{false}, membership.DiskWell}, {[]bool{true}, membership.DiskFailed},
		{[]bool{false, true}, membership.DiskDegraded}, {[]bool{true, true}, membership.DiskFailed},
	} {
		var devices []disk.DeviceStats
		for _, a := range c.aside {
			devices = append(devices, disk.DeviceStats{SetAside: a})
		}
		if got := diskOf(devices); got != c.want {
			t.Errorf("set aside %v: %q, want %q", c.aside, got, c.want)
		}
	}
}
