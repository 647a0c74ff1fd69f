package prefetch

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// What is fetched ahead.
const (
	KindMetadata = iota
	KindColumns
	kinds
)

// How a request of a prefetch ends.
const (
	RequestDone = iota
	RequestNotFound
	RequestFailed
	RequestCancelled
	outcomes
)

// Why a prefetch was not sent.
const (
	RefusedAhead     = iota // as much as may be is ahead of the readers
	RefusedBandwidth        // so many bytes a second are spent
	RefusedReaders          // readers' own requests left no room for it in time
	RefusedQueue            // too many wait
	refusals
)

// Why a prefetch was given up before it was sent.
const (
	CancelledChanged = iota // the object was written, its mount or its mode changed
	CancelledStopped        // shutdown
	cancellations
)

var (
	kindNames         = [kinds]string{"metadata", "columns"}
	outcomeNames      = [outcomes]string{"done", "not_found", "failed", "cancelled"}
	refusalNames      = [refusals]string{"ahead", "bandwidth", "readers", "queue"}
	cancellationNames = [cancellations]string{"changed", "stopped"}
)

// Metrics counts prefetches. As a prometheus.Collector it hands out its counters and the Ledger's account, all of one moment.
type Metrics struct {
	ledger    *Ledger
	learner   *Learner
	Requests  [kinds][outcomes]atomic.Int64
	Refused   [refusals]atomic.Int64
	Cancelled [cancellations]atomic.Int64
}

// NewMetrics makes counters beside a ledger and a learner.
func NewMetrics(l *Ledger, of *Learner) *Metrics { return &Metrics{ledger: l, learner: of} }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("alio_prefetch_"+name, help, labels, nil)
}

var (
	descRequests  = desc("requests_total", "Requests to origins that nobody had asked for yet, by what was fetched and how they ended.", "kind", "outcome")
	descIssued    = desc("issued_bytes_total", "Bytes of pages that were asked for ahead: useful, wasted, or pending.")
	descUseful    = desc("useful_bytes_total", "Bytes of issued_bytes_total for which a reader came.")
	descWasted    = desc("wasted_bytes_total", "Bytes of issued_bytes_total that were of no use: no reader came in two minutes (untouched), the page was evicted before, did not come (failed, cancelled), or made no whole page (cut).", "reason")
	descPending   = desc("pending_bytes", "Bytes of issued_bytes_total for which a reader may still come.")
	descRefused   = desc("refused_total", "Prefetches that were not sent for want of room: as much as may be is ahead of readers, so many bytes a second are spent, readers' own requests went first for a second, or too many waited.", "reason")
	descCancelled = desc("cancelled_total", "Prefetches given up before they were sent: the file, its mount or its mode changed, or the sidecar stops.", "reason")
	descTables    = desc("tables", "Tables of which it is known what their readers lately read.")
	descMemory    = desc("memory_bytes", "Bytes that this knowledge takes.")
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	total := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	for k := range m.Requests {
		for o := range m.Requests[k] {
			total(descRequests, m.Requests[k][o].Load(), kindNames[k], outcomeNames[o])
		}
	}
	for i := range m.Refused {
		total(descRefused, m.Refused[i].Load(), refusalNames[i])
	}
	for i := range m.Cancelled {
		total(descCancelled, m.Cancelled[i].Load(), cancellationNames[i])
	}
	a := m.ledger.Account()
	total(descIssued, a.Issued)
	total(descUseful, a.Useful)
	for i, n := range a.Wasted {
		total(descWasted, n, Wastes[i])
	}
	gauge(descPending, a.Pending)
	tables, bytes := m.learner.Usage()
	gauge(descTables, int64(tables))
	gauge(descMemory, bytes)
}
