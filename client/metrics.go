package client

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// stripes keep counters of the hit path apart, so that readers on different processors seldom write the same cache line.
const stripes = 16

// counts are the client's metrics, and the prometheus.Collector that tells them.
type counts struct {
	c    *Client
	hits [stripes]struct {
		pages, bytes atomic.Uint64
		_            [112]byte
	}
	missed      [outcomes]atomic.Uint64 // pages by outcome, served aside
	remote      atomic.Uint64           // bytes
	fallback    atomic.Uint64           // bytes
	filled      atomic.Uint64           // bytes
	putsStored  atomic.Uint64           // pages
	putsDropped atomic.Uint64           // pages
	senseless   atomic.Uint64           // answers

	desc map[string]*prometheus.Desc
}

// page counts an attempt to read bytes of a page locally.
func (m *counts) page(o outcome, bytes int64) {
	if o == served {
		s := &m.hits[rand.Uint32()%stripes]
		s.pages.Add(1)
		s.bytes.Add(uint64(bytes))
		return
	}
	m.missed[o].Add(1)
}

func (m *counts) localBytes() (sum uint64) {
	for i := range m.hits {
		sum += m.hits[i].bytes.Load()
	}
	return sum
}

func (m *counts) localPages() (sum uint64) {
	for i := range m.hits {
		sum += m.hits[i].pages.Load()
	}
	return sum
}

// help says what each metric is, and its label (if it has one).
var help = []struct{ name, label, text string }{
	{"alio_client_read_bytes_total", "source", "Bytes read, by where they came from: local segments, the sidecar, the fallback, the filler of a client-filled file."},
	{"alio_client_page_reads_total", "result", "Attempts to read a page from a local segment, by how they ended."},
	{"alio_client_calls_total", "call", "Calls to the sidecar, by method and by how they ended: answered, refused (an error), late, unreached, not_tried (the last one was not answered in time, and the sidecar has not yet said that it lives)."},
	{"alio_client_open_segments", "", "Segment descriptors open now, those included that readers still hold."},
	{"alio_client_mapped_bytes", "", "Bytes of segments mapped now."},
	{"alio_client_views", "", "Objects remembered."},
	{"alio_client_view_bytes", "", "Memory of the objects remembered, in bytes."},
	{"alio_client_retired_segments_total", "", "Segments that the sidecar said were gone, and that were known here."},
	{"alio_client_forgets_total", "", "Times that every place was forgotten, since the sidecar said so."},
	{"alio_client_touched_pages_total", "", "Pages whose local reads were reported to the sidecar, at most 4,096 a message."},
	{"alio_client_put_pages_total", "result", "Pages read for the sidecar that it stored, or that were dropped."},
	{"alio_client_senseless_answers_total", "", "Answers of the sidecar that made no sense and were not used."},
	{"alio_client_breaker_open", "", "1 while the sidecar does not answer the question whether it lives, and is not called; else 0."},
}

func newCounts(c *Client) *counts {
	m := &counts{c: c, desc: map[string]*prometheus.Desc{}}
	for _, h := range help {
		var labels []string
		switch h.label {
		case "":
		case "call":
			labels = []string{"method", "result"}
		default:
			labels = []string{h.label}
		}
		m.desc[h.name] = prometheus.NewDesc(h.name, h.text, labels, nil)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *counts) Describe(ch chan<- *prometheus.Desc) {
	for _, h := range help {
		ch <- m.desc[h.name]
	}
}

// Collect implements prometheus.Collector.
func (m *counts) Collect(ch chan<- prometheus.Metric) {
	counter := func(name string, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc[name], prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(name string, v int64) {
		ch <- prometheus.MustNewConstMetric(m.desc[name], prometheus.GaugeValue, float64(v))
	}
	counter("alio_client_read_bytes_total", m.localBytes(), "local")
	counter("alio_client_read_bytes_total", m.remote.Load(), "sidecar")
	counter("alio_client_read_bytes_total", m.fallback.Load(), "fallback")
	counter("alio_client_read_bytes_total", m.filled.Load(), "filler")
	counter("alio_client_page_reads_total", m.localPages(), outcomeNames[served])
	for o := served + 1; o < outcomes; o++ {
		counter("alio_client_page_reads_total", m.missed[o].Load(), outcomeNames[o])
	}
	for i := range methods {
		for r := range results {
			counter("alio_client_calls_total", m.c.control.calls[i][r].Load(), methodNames[i], resultNames[r])
		}
	}
	counter("alio_client_retired_segments_total", m.c.session.retired.Load())
	counter("alio_client_forgets_total", m.c.session.forgets.Load())
	counter("alio_client_touched_pages_total", m.c.touches.sent.Load())
	counter("alio_client_put_pages_total", m.putsStored.Load(), "stored")
	counter("alio_client_put_pages_total", m.putsDropped.Load(), "dropped")
	counter("alio_client_senseless_answers_total", m.senseless.Load())
	gauge("alio_client_open_segments", m.c.segments.descriptors.Load())
	gauge("alio_client_mapped_bytes", m.c.segments.mapped.Load())
	n, bytes := m.c.views.usage()
	gauge("alio_client_views", int64(n))
	gauge("alio_client_view_bytes", bytes)
	open := int64(0)
	if m.c.control.breaker.isOpen() {
		open = 1
	}
	gauge("alio_client_breaker_open", open)
}
