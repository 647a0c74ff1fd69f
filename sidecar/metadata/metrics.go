package metadata

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What may go wrong, as the label "kind".
const (
	faultDamage = "damage" // bytes on disk are not what was written
	faultFence  = "fence"  // a fence could not be made durable in time
	faultOpen   = "open"   // what is there cannot be opened
	faultWrite  = "write"  // the device refuses
)

type metrics struct {
	lookups  *prometheus.CounterVec
	hit      prometheus.Counter
	absent   prometheus.Counter
	late     prometheus.Counter
	skipped  prometheus.Counter
	writes   *prometheus.CounterVec
	stored   prometheus.Counter
	shed     prometheus.Counter
	fences   prometheus.Counter
	rotated  prometheus.Counter
	faults   *prometheus.CounterVec
	full     atomic.Bool  // there is no room for answers, only for fences
	entries  atomic.Int64 // of both generations
	bytes    atomic.Int64 // on disk
	resident atomic.Int64 // bytes of memory
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string, value func() int64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	m := &metrics{
		lookups: vec("alio_metadata_lookups_total", "Look-ups of objects that memory does not hold, by outcome; late is past the deadline, "+
			"skipped because others are.", "outcome", "hit", "absent", "late", "skipped"),
		writes: vec("alio_metadata_writes_total", "Answers about objects, by what became of them: written, or shed because the queue or the disk is full.",
			"outcome", "stored", "shed"),
		fences:  counter("alio_metadata_fences_total", "Fences that were made durable because the store may have known their paths."),
		rotated: counter("alio_metadata_rotations_total", "Times that the older half was dropped to stay within the limit."),
		faults: vec("alio_metadata_faults_total", "Times that the whole store was given up and begun anew, by why.", "kind",
			faultDamage, faultFence, faultOpen, faultWrite),
	}
	m.hit, m.absent = m.lookups.WithLabelValues("hit"), m.lookups.WithLabelValues("absent")
	m.late, m.skipped = m.lookups.WithLabelValues("late"), m.lookups.WithLabelValues("skipped")
	m.stored, m.shed = m.writes.WithLabelValues("stored"), m.writes.WithLabelValues("shed")
	gauge("alio_metadata_entries", "Objects that the store knows, those in both halves counted twice; as of the last second.", m.entries.Load)
	gauge("alio_metadata_bytes", "Bytes that the store takes on disk; as of the last second.", m.bytes.Load)
	gauge("alio_metadata_limit_bytes", "The most bytes that the store may take on disk.", func() int64 { return s.opts.Size })
	gauge("alio_metadata_queue_bytes", "Bytes in memory of answers that are not durable yet; none is for longer than about a second.",
		func() int64 { return s.Stats().QueueBytes })
	gauge("alio_metadata_memory_bytes", "Bytes of memory that the store takes: block cache, unsorted entries, queue; as of the last second.", m.resident.Load)
	return m
}

func (m *metrics) looked(hit bool) {
	if hit {
		m.hit.Inc()
	} else {
		m.absent.Inc()
	}
}

func (m *metrics) fault(kind string) { m.faults.WithLabelValues(kind).Inc() }

// Stats are the store's figures, as of the last second.
type Stats struct {
	Entries     int64 // those in both generations counted twice
	Bytes       int64 // on disk
	Size        int64 // the limit of Bytes
	MemoryBytes int64
	QueueBytes  int64 // of answers that a kill would cost now, about: within a second they are durable
	Ready       bool  // it has been opened and is not given up
}

// Stats returns the figures. It waits for no device.
func (s *Store) Stats() Stats {
	m := s.metrics
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := s.pending.weight + s.unsynced.Load()
	if s.inflight != nil {
		queued += s.inflight.weight
	}
	return Stats{Entries: m.entries.Load(), Bytes: m.bytes.Load(), Size: s.opts.Size, MemoryBytes: m.resident.Load(), QueueBytes: queued, Ready: s.state == open}
}
