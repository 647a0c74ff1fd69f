package peers

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// What became of a read that a peer might have answered, as the label "result".
const (
	resultHit     = "hit"     // all of it came from the peer
	resultPart    = "part"    // its beginning came from the peer
	resultMiss    = "miss"    // the peer does not hold it
	resultBusy    = "busy"    // the peer has too much to do
	resultLate    = "late"    // the peer was too slow
	resultGarbage = "garbage" // what the peer sent failed a check
	resultFailed  = "failed"  // no connection, a refusal, another error
	resultLeft    = "left"    // the reader left
	resultAbsent  = "known_absent"
	resultLimited = "limited"
	resultBroken  = "left_alone"
)

var results = []string{resultHit, resultPart, resultMiss, resultBusy, resultLate, resultGarbage, resultFailed, resultLeft, resultAbsent, resultLimited, resultBroken}

// Who won where both were asked, as the label "winner".
const (
	wonByPeer   = "peer"
	wonByOrigin = "origin"
)

// What came of a question for what was heard, as the label "result".
const (
	factKnown   = "known"
	factUnknown = "unknown"
	factFailed  = "failed"
)

// What came of telling a member of a write, as the label "result".
const (
	fenceTold   = "told"
	fenceUntold = "untold"
)

type metrics struct {
	reads   *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	hedges  *prometheus.CounterVec
	seconds prometheus.Histogram
	facts   *prometheus.CounterVec
	told    prometheus.Counter
	untold  prometheus.Counter

	pulledBytes, pulledPages prometheus.Counter
	pullRefused              *prometheus.CounterVec
	fences                   *prometheus.CounterVec
}

func newMetrics(p *Peers, reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_reads_total",
			Help: "Fills that a peer might have answered, by which owner of the section it is (now, or before this sidecar) and what became of it (part: the beginning came from the peer; known_absent, limited, left_alone: the peer was not asked; the rest always comes from the origin)."},
			[]string{"owner", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_read_bytes_total",
			Help: "Bytes of pages that came from peers and passed every check, by which owner of the section it is."}, []string{"owner"}),
		hedges: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_hedges_total",
			Help: "Fills for which the origin was asked too, since the peer took longer than it nearly always does, by whose answer came first."}, []string{"winner"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "alio_peer_first_piece_seconds", Help: "Time from the question to a peer's first checked piece, in seconds.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}}),
		facts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_facts_total",
			Help: "Questions to peers for what they have heard of a path or a listing, by result."}, []string{"about", "result"}),
		told:   prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_peer_told_total", Help: "Answers of origins that were passed on to peers."}),
		untold: prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_peer_untold_total", Help: "Answers of origins that were to be passed on, and were dropped: too many waited, or the peer did not take them."}),
	}
	m.pulledBytes = prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_peer_pulled_bytes_total", Help: "Bytes of pages that were pulled from earlier owners, and from first owners of hot sections, with no reader waiting."})
	m.pulledPages = prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_peer_pulled_pages_total", Help: "Pages of alio_peer_pulled_bytes_total."})
	m.pullRefused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_pull_refused_pages_total",
		Help: "Pages that were to be pulled and were not: the member had them no more (not_held), failed or had too much to do (failed), the cache evicts what was pulled just before (full), or another change of the ring came (changed)."},
		[]string{"reason"})
	m.fences = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_peer_fences_total",
		Help: "Writes through a door here that members were to be told of, one by one: those whom others ask about the path. untold: it did not answer in time; others may get an answer from before the write there, until it is as old as max_age."}, []string{"result"})
	for _, r := range []string{fenceTold, fenceUntold} {
		m.fences.WithLabelValues(r)
	}
	for _, r := range refusals {
		m.pullRefused.WithLabelValues(r)
	}
	for _, o := range relationNames {
		for _, r := range results {
			m.reads.WithLabelValues(o, r)
		}
		m.bytes.WithLabelValues(o)
	}
	for _, w := range []string{wonByPeer, wonByOrigin} {
		m.hedges.WithLabelValues(w)
	}
	for _, about := range []string{"object", "listing"} {
		for _, r := range []string{factKnown, factUnknown, factFailed} {
			m.facts.WithLabelValues(about, r)
		}
	}
	if reg == nil {
		return m, nil
	}
	left := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "alio_peer_left_alone", Help: "Members that are not asked now, since they failed."},
		func() float64 { return float64(len(p.Trouble())) })
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "alio_peer_pull_remaining_bytes", Help: "Bytes of pages that are still to be pulled from earlier owners with no reader waiting."},
		func() float64 { return float64(p.Pull().Remaining.Bytes) })
	pages := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "alio_peer_pull_remaining_pages", Help: "Pages of alio_peer_pull_remaining_bytes."},
		func() float64 { return float64(p.Pull().Remaining.Pages) })
	return m, registerAll(reg, m.reads, m.bytes, m.hedges, m.seconds, m.facts, m.told, m.untold, m.pulledBytes, m.pulledPages, m.pullRefused, m.fences, left, bytes, pages)
}

func registerAll(reg prometheus.Registerer, all ...prometheus.Collector) error {
	var errs []error
	for _, c := range all {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

// pulled counts a read that a peer was asked for.
func (m *metrics) pulled(why relation, got int64, all bool, err error) {
	result := resultFailed
	switch {
	case err == nil && all:
		result = resultHit
	case got > 0 && (err == nil || errors.Is(err, errMiss)):
		result = resultPart
	case errors.Is(err, errMiss):
		result = resultMiss
	case errors.Is(err, errBusy):
		result = resultBusy
	case errors.Is(err, errLate):
		result = resultLate
	case errors.Is(err, errGarbage):
		result = resultGarbage
	case errors.Is(err, context.Canceled):
		result = resultLeft
	}
	m.reads.WithLabelValues(relationNames[why], result).Inc()
	m.bytes.WithLabelValues(relationNames[why]).Add(float64(got))
}
