package disk

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the tier's counters. Every label pair exists from the start, so that a rate over one that never happened is 0.
type metrics struct {
	stored, shed, failed, duplicate prometheus.Counter
	written                         prometheus.Counter
	hit, absent, corrupt, sick      prometheus.Counter
	evicted, carried, skipped       prometheus.Counter

	registerer prometheus.Registerer
	collectors []prometheus.Collector
}

func newMetrics(t *Tier, r prometheus.Registerer) (*metrics, error) {
	m := &metrics{registerer: r}
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
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	w := results("alio_disk_writes_total", "Pages offered to the disk tier, by what became of them.", "stored", "shed", "failed", "duplicate")
	m.stored, m.shed, m.failed, m.duplicate = w[0], w[1], w[2], w[3]
	rd := results("alio_disk_reads_total", "Reads of the disk tier, by result.", "hit", "absent", "corrupt", "sick")
	m.hit, m.absent, m.corrupt, m.sick = rd[0], rd[1], rd[2], rd[3]
	m.written = counter("alio_disk_written_bytes_total", "Bytes written to the device: pages with their headers, carried ones included, and indexes.")
	m.evicted = counter("alio_disk_evicted_bytes_total", "Bytes of pages that were dropped with their segment to make room.")
	m.carried = counter("alio_disk_carried_bytes_total", "Bytes of pages that were written anew since their segment was evicted but they had been read.")
	m.skipped = counter("alio_disk_segments_skipped_total", "Segments that were not opened since their format is unknown to this build.")

	gauge("alio_disk_pages", "Pages that can be read from the disk tier.", nil, func() float64 { n, _ := t.index.sizes(); return float64(n) })
	gauge("alio_disk_index_bytes", "Memory of the disk tier's index.", nil, func() float64 { _, b := t.index.sizes(); return float64(b) })
	gauge("alio_disk_bytes", "Bytes of the device that count against the limit: everything in the directory, and removed segments that are still read.",
		nil, func() float64 { return float64(t.used.Load()) })
	gauge("alio_disk_size_limit_bytes", "The limit of alio_disk_bytes.", nil, func() float64 { return float64(t.o.Size) })
	gauge("alio_disk_write_queue_bytes", "Bytes of pages that wait to be written.", nil, func() float64 { return float64(t.queue.size()) })
	gauge("alio_disk_set_aside", "1 while the device fails and is not asked.", nil, func() float64 {
		if t.health.aside() {
			return 1
		}
		return 0
	})
	gauge("alio_disk_recovery_seconds", "How long the last start took to recover the directory.", nil, func() float64 {
		return t.Stats().Recovery.Took.Seconds()
	})
	for _, state := range stateNames {
		gauge("alio_disk_segments", "Segments, by state.", prometheus.Labels{"state": state}, func() float64 { return float64(t.Stats().Segments[state]) })
	}
	return m, m.register()
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
