package cache

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/origin"
)

// unknownClass is the label of classes that Options.ClassNames does not name.
const unknownClass = "unknown"

var tierNames = [tiers]string{fromMemory: "memory", fromDisk: "disk", fromOrigin: "origin", fromPeer: "peer"}

// fillResults are how a fill may end: well, by each kind of error, or cancelled because nobody waited any more.
var fillResults = []struct {
	name string
	kind error
}{
	{"ok", nil}, {"cancelled", nil}, {"unavailable", origin.ErrUnavailable}, {"throttled", origin.ErrThrottled},
	{"version_changed", origin.ErrVersionChanged}, {"not_found", origin.ErrNotFound}, {"denied", origin.ErrDenied},
	{"invalid_range", origin.ErrInvalidRange}, {"invalid", origin.ErrInvalid}, {"unknown_mount", origin.ErrUnknownMount},
	{"unsupported", origin.ErrUnsupported},
}

const (
	resultOK = iota
	resultCancelled
	resultUnavailable
)

// reasons why a page said to be on disk was read from the origin.
const (
	reasonAbsent = iota
	reasonCorrupt
	reasonSick
	reasons
)

var reasonNames = [reasons]string{"absent", "corrupt", "sick"}

// counters are the cache's counters. They are plain numbers, so that the status page and the metrics tell the same; as a prometheus.Collector
// it hands them out with every label pair there from the start.
type counters struct {
	cache *Cache
	names []string // classes, with unknownClass last
	reg   prometheus.Registerer

	resident stripes // what hits raise; see hitCounters

	fetched, refetched, overread, shared, shed, offered atomic.Int64

	origin    atomic.Int64   // bytes answered from fills, by the origin
	peer      atomic.Int64   // and by other sidecars
	results   []atomic.Int64 // as fillResults
	fallbacks [reasons]atomic.Int64
	misses    []atomic.Int64 // as names
	firstPage prometheus.Histogram
}

// What counters.resident counts: bytes that Open was asked for; bytes answered from memory and from disk, by Readers and by ReadPage (which is
// asked for what it answers, and for nothing else); then pages, as counters.names.
const (
	hitOpened = iota
	hitRead
	hitPaged = hitRead + int(fromOrigin)
	hitPages = hitPaged + int(fromOrigin)
)

func newCounters(c *Cache, classes []string) *counters {
	names := append(append([]string(nil), classes...), unknownClass)
	return &counters{
		cache: c, names: names, resident: newStripes(hitPages + len(names)),
		results: make([]atomic.Int64, len(fillResults)), misses: make([]atomic.Int64, len(names)),
		firstPage: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "alio_cache_fill_first_page_seconds",
			Help:    "Time from the start of a fill until its first page was there, with the wait for fill memory.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15), // 1 ms to 16 s
		}),
	}
}

func (m *counters) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	if err := reg.Register(m); err != nil {
		return err
	}
	m.reg = reg
	return nil
}

func (m *counters) unregister() {
	if m.reg != nil {
		m.reg.Unregister(m)
	}
}

// opened counts bytes that Open was asked for.
func (m *counters) opened(n int64) { m.resident.mine()[hitOpened].Add(n) }

// served counts a piece of n bytes when a Reader hands it out: the page it is of was a hit or a miss.
func (m *counters) served(t tier, class uint8, n int64) {
	if t >= fromOrigin {
		if t == fromPeer {
			m.peer.Add(n)
		} else {
			m.origin.Add(n)
		}
		m.misses[m.class(class)].Add(1)
		return
	}
	mine := m.resident.mine()
	mine[hitRead+int(t)].Add(n)
	mine[hitPages+m.class(class)].Add(1)
}

// paged counts n bytes that ReadPage hands out.
func (m *counters) paged(t tier, class uint8, n int64) {
	mine := m.resident.mine()
	mine[hitPaged+int(t)].Add(n)
	mine[hitPages+m.class(class)].Add(1)
}

// class is a class's place in names.
func (m *counters) class(class uint8) int { return min(int(class), len(m.names)-1) }

// requested is the bytes that reads asked for.
func (m *counters) requested() int64 {
	return m.resident.sum(hitOpened) + m.resident.sum(hitPaged+int(fromMemory)) + m.resident.sum(hitPaged+int(fromDisk))
}

// read is the bytes answered from a tier.
func (m *counters) read(t tier) int64 {
	switch t {
	case fromOrigin:
		return m.origin.Load()
	case fromPeer:
		return m.peer.Load()
	}
	return m.resident.sum(hitRead+int(t)) + m.resident.sum(hitPaged+int(t))
}

// hits is the pages of a class, by its place in names, that were resident when they were asked for.
func (m *counters) hits(class int) int64 { return m.resident.sum(hitPages + class) }

// fill counts the end of a fill that made a request, or was cancelled before it could.
func (m *counters) fill(err error, abandoned bool) {
	switch {
	case abandoned:
		m.results[resultCancelled].Add(1)
	case err == nil:
		m.results[resultOK].Add(1)
	case errors.Is(err, errNoRequest), errors.Is(err, ErrAgain):
	default:
		kind := origin.Kind(err)
		for i, r := range fillResults {
			if r.kind == kind {
				m.results[i].Add(1)
			}
		}
	}
}

func (m *counters) fallback(err error) {
	switch {
	case errors.Is(err, ErrAbsent):
		m.fallbacks[reasonAbsent].Add(1)
	case errors.Is(err, ErrCorrupt):
		m.fallbacks[reasonCorrupt].Add(1)
	default:
		m.fallbacks[reasonSick].Add(1)
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("alio_cache_"+name, help, labels, nil)
}

var (
	descRead      = desc("read_bytes_total", "Bytes answered, by where they came from.", "source")
	descRequested = desc("requested_bytes_total", "Bytes that reads asked for.")
	descFetched   = desc("fetched_bytes_total", "Bytes that fills asked the origin for.")
	descRefetched = desc("refetched_bytes_total", "Bytes of fetched_bytes_total that were resident, or on their way for another read, and travelled again because they lay between missing pages.")
	descOverread  = desc("overread_bytes_total", "Bytes of fetched_bytes_total that lie in missing pages but outside the range asked for.")
	descFills     = desc("fills_total", "Fills, by how they ended.", "result")
	descPages     = desc("pages_total", "Pages handed out, by class and by whether they were resident.", "class", "event")
	descFallbacks = desc("disk_fallbacks_total", "Pages that the disk tier said it held and that were read from the origin, by reason.", "reason")
	descShared    = desc("shared_fills_total", "Missing pages for which a read joined another read's fill.")
	descShed      = desc("disk_shed_pages_total", "Pages that the disk tier's write queue had no room for.")
	descOffered   = desc("offered_bytes_total", "Bytes of pages stored that other requests to the origin had read anyway.")
	descReclaimed = desc("fill_reclaimed_pages_total", "Pages dropped before slow readers took them, because another fill needed the memory.")
	descMemory    = desc("memory_bytes", "Bytes charged to the memory tier, with overhead and ghosts.")
	descMemLimit  = desc("memory_limit_bytes", "Limit of memory_bytes.")
	descMemPages  = desc("memory_pages", "Pages in the memory tier.")
	descFillMem   = desc("fill_memory_bytes", "Bytes of pages on their way.")
	descFillLimit = desc("fill_memory_limit_bytes", "Limit of fill_memory_bytes.")
)

// Describe implements prometheus.Collector.
func (m *counters) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *counters) Collect(ch chan<- prometheus.Metric) {
	total := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	for t, name := range tierNames {
		total(descRead, m.read(tier(t)), name)
	}
	for i, r := range fillResults {
		total(descFills, m.results[i].Load(), r.name)
	}
	for i, name := range m.names {
		total(descPages, m.hits(i), name, "hit")
		total(descPages, m.misses[i].Load(), name, "miss")
	}
	for i, name := range reasonNames {
		total(descFallbacks, m.fallbacks[i].Load(), name)
	}
	s := m.cache.Stats()
	total(descRequested, s.RequestedBytes)
	total(descFetched, s.FetchedBytes)
	total(descRefetched, s.RefetchedBytes)
	total(descOverread, s.OverreadBytes)
	total(descShared, s.SharedFills)
	total(descShed, s.ShedPages)
	total(descOffered, s.OfferedBytes)
	total(descReclaimed, s.ReclaimedPages)
	gauge(descMemory, s.MemoryBytes)
	gauge(descMemLimit, s.MemoryLimit)
	gauge(descMemPages, int64(s.MemoryPages))
	gauge(descFillMem, s.FillMemoryBytes)
	gauge(descFillLimit, s.FillMemoryLimit)
	ch <- m.firstPage
}
