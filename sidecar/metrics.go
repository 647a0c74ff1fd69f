package sidecar

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Who confirmed a version (design section 7), as the label "by".
const (
	byEngine  = "engine"
	byListing = "listing"
	byPeer    = "peer"
	byRead    = "read"
	byStat    = "stat"
)

// Where served bytes came from, as the label "source".
const (
	fromMemory = "memory"
	fromDisk   = "disk"
	fromOrigin = "origin"
	fromPeer   = "peer"
)

type metrics struct {
	requested      prometheus.Counter
	servedBytes    *prometheus.CounterVec
	fromMemory     prometheus.Counter // of servedBytes
	fromDisk       prometheus.Counter // of servedBytes
	runs           prometheus.Counter
	runBytes       prometheus.Counter
	confirmations  *prometheus.CounterVec
	listings       *prometheus.CounterVec
	folders        *prometheus.CounterVec
	layouts        *prometheus.CounterVec
	versionChanges prometheus.Counter
	forwards       prometheus.Counter
	fences         prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	m := &metrics{
		requested:     counter("alio_read_requested_bytes_total", "Bytes that readers asked for, clamped to the objects."),
		servedBytes:   vec("alio_read_served_bytes_total", "Bytes served, by where they came from.", "source", fromMemory, fromDisk, fromPeer, fromOrigin),
		runs:          counter("alio_read_first_reads_total", "Origin reads of objects whose version or layout was not known."),
		runBytes:      counter("alio_read_first_read_bytes_total", "Bytes that first reads fetched from the origin."),
		confirmations: vec("alio_freshness_confirmations_total", "Confirmations of object versions, by who gave them.", "by", byEngine, byListing, byPeer, byRead, byStat),
		listings:      vec("alio_freshness_listings_total", "Listings answered, by whether the origin was asked or an answer was shared.", "answer", "asked", "shared"),
		folders: vec("alio_freshness_folder_answers_total", "Questions that were answered from a listing of the folder, which had been made for another one.", "answer",
			"listing", "not_found"),
		layouts:        vec("alio_layouts_total", "Layouts derived, by outcome; a corrupt footer falls back to the grid.", "outcome", "parquet", "orc", "grid", "corrupt"),
		versionChanges: counter("alio_read_version_changes_total", "Reads that found the object changed at the origin and started again."),
		forwards:       counter("alio_forwarded_requests_total", "Requests sent on to the origin as they were."),
		fences:         counter("alio_freshness_fences_total", "Fences raised around writes through a door."),
	}
	m.fromMemory, m.fromDisk = m.servedBytes.WithLabelValues(fromMemory), m.servedBytes.WithLabelValues(fromDisk)
	return m
}

func (m *metrics) served(source string, n int64) {
	m.servedBytes.WithLabelValues(source).Add(float64(n))
}

func (m *metrics) confirmed(by string, n int) {
	m.confirmations.WithLabelValues(by).Add(float64(n))
}

func (m *metrics) fromFolder(answer string) { m.folders.WithLabelValues(answer).Inc() }

func (m *metrics) derived(outcome string) { m.layouts.WithLabelValues(outcome).Inc() }

func (m *metrics) listed(asked bool) {
	if asked {
		m.listings.WithLabelValues("asked").Inc()
	} else {
		m.listings.WithLabelValues("shared").Inc()
	}
}
