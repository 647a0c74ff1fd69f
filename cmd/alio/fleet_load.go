package main

import (
	"context"
	"math"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/alio-lake/alio/affinity/membership"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/disk"
)

// loadEvery is how often a member looks at its load, and a process at what it was asked about.
const loadEvery = 5 * time.Second

// reportHolds is how long what somebody else has reported of the member counts.
const reportHolds = 30 * time.Second

// reported is what the engine beside a sidecar has said of the worker's load.
type reported struct {
	mu   sync.Mutex
	load membership.Load
	at   time.Time
}

// take implements affinity.Options.Report.
func (r *reported) take(l *apiv1.Load) {
	disks := map[apiv1.Load_Disk]membership.Disk{apiv1.Load_DISK_WELL: membership.DiskWell, apiv1.Load_DISK_DEGRADED: membership.DiskDegraded, apiv1.Load_DISK_FAILED: membership.DiskFailed}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.load = membership.Load{Queued: int(l.Queued), LatencyUS: int64(min(l.LatencyUs, math.MaxInt64)), Disk: disks[l.Disk]}
	r.at = time.Now()
}

// with is a load and what was reported beside it: the worse of both.
func (r *reported) with(l membership.Load) membership.Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || time.Since(r.at) > reportHolds {
		return l
	}
	l.Queued, l.LatencyUS = max(l.Queued, r.load.Queued), max(l.LatencyUS, r.load.LatencyUS)
	if r.load.Disk == membership.DiskFailed || l.Disk == membership.DiskUnknown || l.Disk == membership.DiskWell && r.load.Disk != membership.DiskUnknown {
		l.Disk = r.load.Disk
	}
	return l
}

// watchLoad looks at the load of this process, and at what it was asked about, until ctx ends.
func (f *fleet) watchLoad(ctx context.Context) {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	var before map[float64]uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.node.Heat(f.counter.Rates(f.hotRate / 16))
		if !f.member {
			continue
		}
		var l membership.Load
		l, before = f.measure(before)
		f.node.Report(f.reported.with(l))
	}
}

// measure reads the load from the metrics, as a scrape would; before is what it returned the last time.
func (f *fleet) measure(before map[float64]uint64) (l membership.Load, buckets map[float64]uint64) {
	l.Disk = membership.DiskWell
	if f.disk != nil {
		l.Disk = f.disk()
	}
	families, err := f.gatherer.Gather()
	if err != nil && len(families) == 0 {
		return l, before
	}
	buckets = map[float64]uint64{}
	for _, family := range families {
		switch family.GetName() {
		case "alio_s3_requests_in_flight", "alio_rpc_requests_in_flight":
			l.Queued += int(family.GetMetric()[0].GetGauge().GetValue())
		case "alio_s3_request_seconds":
			addBuckets(buckets, family, "op", "get")
		case "alio_rpc_request_seconds":
			addBuckets(buckets, family, "method", "read")
		}
	}
	l.LatencyUS = percentile(buckets, before, 0.99)
	return l, buckets
}

// addBuckets adds what a histogram has at and below each bound, for the metrics with a label.
func addBuckets(to map[float64]uint64, family *dto.MetricFamily, label, value string) {
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() != label || l.GetValue() != value {
				continue
			}
			for _, b := range m.GetHistogram().GetBucket() {
				to[b.GetUpperBound()] += b.GetCumulativeCount()
			}
			to[math.Inf(1)] += m.GetHistogram().GetSampleCount()
		}
	}
}

// percentile is the bound below which a share of what came since before lies, in microseconds; 0 if nothing came. The bounds of two histograms may differ: then it errs to the larger one.
func percentile(now, before map[float64]uint64, share float64) int64 {
	inf := math.Inf(1)
	all := now[inf] - before[inf]
	if before == nil || all == 0 {
		return 0
	}
	best, last := inf, 0.0
	for bound, n := range now {
		if bound == inf {
			continue
		}
		last = max(last, bound)
		if float64(n-before[bound]) >= share*float64(all) {
			best = min(best, bound)
		}
	}
	return int64(1e6 * min(best, 2*last))
}

// diskState tells how the disk tier is, for a fleet.
func (p *parts) diskState() membership.Disk { return diskOf(p.tier.Devices()) }

// diskOf is how a disk tier of these devices is.
func diskOf(devices []disk.DeviceStats) membership.Disk {
	aside := 0
	for _, d := range devices {
		if d.SetAside {
			aside++
		}
	}
	switch {
	case aside == 0:
		return membership.DiskWell
	case aside < len(devices):
		return membership.DiskDegraded
	}
	return membership.DiskFailed
}
