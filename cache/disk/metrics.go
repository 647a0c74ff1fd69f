package disk

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the tier's counters. Every label pair exists from the start, so that a rate over one that never happened is 0.
type metrics struct {
	stored, shed, failed, duplicate prometheus.Counter
	written, admitted               prometheus.Counter
	hit, absent, corrupt, sick      prometheus.Counter
	evicted, carried, skipped       prometheus.Counter

	tier   atomic.Pointer[Tier] // whose state the gauges tell; nil while the device has none
	aside  func() bool          // whether the device is set aside
	paused func() bool          // whether it takes no pages

	registerer prometheus.Registerer
	collectors []prometheus.Collector
}

// newMetrics makes and registers the metrics of one device. A tier that is opened anew on the device goes on counting in them.
func newMetrics(o Options) (*metrics, error) {
	m := &metrics{registerer: o.Registerer}
	m.aside = func() bool { t := m.tier.Load(); return t == nil || t.health.aside() }
	m.paused = func() bool { t := m.tier.Load(); return t == nil || !t.writable() }
	m.makeCounters()
	m.makeGauges(o.Size)
	return m, m.register()
}

func (m *metrics) makeCounters() {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	results := func(name, help string, labels ...string) []prometheus.Counter {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
		m.collectors = append(m.collectors, v)
		var cs []prometheus.Counter
		for _, l := range labels {
			cs = append(cs, v.WithLabelValues(l))
		}
		return cs
	}
	w := results("alio_disk_writes_total", "Pages offered to the disk tier, by what became of them.", "stored", "shed", "failed", "duplicate")
	m.stored, m.shed, m.failed, m.duplicate = w[0], w[1], w[2], w[3]
	rd := results("alio_disk_reads_total", "Reads of the disk tier, by result.", "hit", "absent", "corrupt", "sick")
	m.hit, m.absent, m.corrupt, m.sick = rd[0], rd[1], rd[2], rd[3]
	m.written = counter("alio_disk_written_bytes_total", "Bytes written to the device: pages with their headers, carried ones included, and indexes.")
	m.admitted = counter("alio_disk_stored_bytes_total", "Bytes of pages that were stored. alio_disk_written_bytes_total by this is the write amplification.")
	m.evicted = counter("alio_disk_evicted_bytes_total", "Bytes of pages that were dropped with their segment to make room.")
	m.carried = counter("alio_disk_carried_bytes_total", "Bytes of pages that were written anew since their segment was evicted but they had been read.")
	m.skipped = counter("alio_disk_segments_skipped_total", "Segments that were not opened since their format is unknown to this build.")
}

func (m *metrics) makeGauges(size int64) {
	gauge := func(name, help string, labels prometheus.Labels, f func(t *Tier) float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 {
			if t := m.tier.Load(); t != nil {
				return f(t)
			}
			return 0
		}))
	}
	flag := func(name, help string, f func() bool) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if f() {
				return 1
			}
			return 0
		}))
	}
	gauge("alio_disk_pages", "Pages that can be read from the disk tier.", nil, func(t *Tier) float64 { n, _ := t.index.sizes(); return float64(n) })
	gauge("alio_disk_index_bytes", "Memory of the disk tier's index.", nil, func(t *Tier) float64 { _, b := t.index.sizes(); return float64(b) })
	gauge("alio_disk_bytes", "Bytes of the device that count against the limit: everything in the directory, and removed segments that have not yet given their room back.",
		nil, func(t *Tier) float64 { return float64(t.used.Load()) })
	limit := prometheus.NewGauge(prometheus.GaugeOpts{Name: "alio_disk_size_limit_bytes", Help: "The limit of alio_disk_bytes."})
	limit.Set(float64(size))
	m.collectors = append(m.collectors, limit)
	gauge("alio_disk_write_queue_bytes", "Bytes of pages that wait to be written.", nil, func(t *Tier) float64 { return float64(t.queue.size()) })
	flag("alio_disk_set_aside", "1 while the device fails, hangs or is gone, and is not asked.", func() bool { return m.aside() })
	flag("alio_disk_writes_paused", "1 while the device takes no pages: it is set aside, full, read-only, or hangs in a write.", func() bool { return m.paused() })
	gauge("alio_disk_recovery_seconds", "How long the last start took to recover the directory.", nil, func(t *Tier) float64 {
		return t.Stats().Recovery.Took.Seconds()
	})
	for _, state := range stateNames {
		gauge("alio_disk_segments", "Segments, by state.", prometheus.Labels{"state": state}, func(t *Tier) float64 { return float64(t.Stats().Segments[state]) })
	}
}

func (m *metrics) register() error {
	if m.registerer == nil {
		return nil
	}
	for i, c := range m.collectors {
		if err := m.registerer.Register(c); err != nil {
			m.collectors = m.collectors[:i]
			m.unregister()
			return fmt.Errorf("disk: metrics: %w (two tiers in one registry need a label each: prometheus.WrapRegistererWith)", err)
		}
	}
	return nil
}

// unregister makes room for another Tier in the same registry.
func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}
