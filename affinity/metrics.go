package affinity

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/affinity/ring"
)

// What becomes of a split.
const (
	outcomeAnswered, outcomeMalformed, outcomeNone = "answered", "malformed", "no_owner"
)

type metrics struct {
	splits  map[string]prometheus.Counter
	seconds prometheus.Histogram
	sent    prometheus.Counter
}

func newMetrics(s *Service, reg prometheus.Registerer) (*metrics, error) {
	splits := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_affinity_assigned_splits_total",
		Help: "Splits that coordinators asked about, by outcome (no_owner: there was no epoch, or nobody served in it)."}, []string{"outcome"})
	m := &metrics{
		splits: map[string]prometheus.Counter{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "alio_affinity_assign_seconds", Help: "Time to answer one batch of splits, in seconds.",
			Buckets: prometheus.ExponentialBuckets(5e-6, 4, 8)}), // 5 us to 82 ms
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_affinity_watch_sent_bytes_total", Help: "Bytes of epochs sent to those who watch."}),
	}
	for _, outcome := range []string{outcomeAnswered, outcomeMalformed, outcomeNone} {
		m.splits[outcome] = splits.WithLabelValues(outcome)
	}
	if reg == nil {
		return m, nil
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	of := func(f func(e *ring.Epoch) int) func() float64 {
		return func() float64 {
			e := s.o.Source.Epoch()
			if e == nil {
				return 0
			}
			return float64(f(e))
		}
	}
	var errs []error
	for _, c := range []prometheus.Collector{splits, m.seconds, m.sent,
		gauge("alio_affinity_watchers", "Clients that watch epochs here now.", func() float64 { return float64(s.watchers.Load()) }),
		gauge("alio_affinity_epoch", "Number of the epoch in force here; 0 before the first.", of(func(e *ring.Epoch) int { return int(e.Number()) })),
		gauge("alio_affinity_members", "Members of the epoch in force here.", of(func(e *ring.Epoch) int { return len(e.Members()) })),
		gauge("alio_affinity_draining_members", "Members of it that drain.", of(func(e *ring.Epoch) int { return count(e, func(m ring.Member) bool { return m.Draining }) })),
		gauge("alio_affinity_excluded_members", "Members of it that are left out of answers for now, since they are overloaded or unwell.",
			of(func(e *ring.Epoch) int {
				return count(e, func(m ring.Member) bool { return m.Excluded && !m.Draining })
			})),
		gauge("alio_affinity_hot_sections", "Sections with more owners than others in it.", of(func(e *ring.Epoch) int { return len(e.Hot()) })),
	} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("affinity metrics: %w", err)
	}
	return m, nil
}

func count(e *ring.Epoch, f func(ring.Member) bool) (n int) {
	for _, m := range e.Members() {
		if f(m) {
			n++
		}
	}
	return n
}
