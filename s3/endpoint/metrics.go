package endpoint

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// op is what a request turned out to be, as a metric label.
type op int

const (
	opOther op = iota // refused before it was known, or none of the others
	opGet
	opHead
	opList
	opPut
	opDelete
	opForward // a read that the origin answered
	numOps
)

var opNames = [numOps]string{"other", "get", "head", "list", "put", "delete", "forward"}

// The codes told apart by alio_s3_requests_total. Besides statuses: "aborted", the connection was cut in mid-body because the rest
// could not be had; "client_gone", the client hung up first.
const (
	codeOther      = 0
	codeAborted    = 1
	codeClientGone = 2
)

var codeNames = []string{"other", "aborted", "client_gone", "200", "204", "206", "304", "400", "403", "404", "405", "409", "411", "412",
	"416", "500", "501", "502", "503", "504"}

var codeByStatus = func() (t [600]uint8) {
	for i, name := range codeNames {
		if status, err := strconv.Atoi(name); err == nil {
			t[status] = uint8(i)
		}
	}
	return t
}()

// codeOf returns the label of a status.
func codeOf(status int) int {
	if status < 0 || status >= len(codeByStatus) {
		return codeOther
	}
	return int(codeByStatus[status])
}

// What became of the requests that the lean way (door.go) looked at.
const (
	leanAnswered = iota
	leanMissed
	leanRefused
	leanNotPlain
	numLean
)

var leanNames = [numLean]string{"answered", "missed", "refused", "not_plain"}

var rejectReasons = []string{"missing", "malformed", "unknown_key", "mismatch", "skewed", "expired", "unsigned_header", "payload"}

// metrics are made with every label at start, so that a rate over a series that has not happened yet is 0 and not absent.
type metrics struct {
	requests [numOps][]prometheus.Counter
	seconds  [numOps]prometheus.Observer
	sent     prometheus.Counter
	rejected map[string]prometheus.Counter
	inFlight prometheus.Gauge
	lean     [numLean]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_s3_requests_total",
		Help: "Requests at the S3 endpoint, by operation and by status (aborted: cut in mid-body; client_gone: the client hung up)."}, []string{"op", "code"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "alio_s3_request_seconds",
		Help:    "Time from a request's headers to its answer's last byte, in seconds, by operation.",
		Buckets: prometheus.ExponentialBuckets(25e-6, 2.5, 14)}, []string{"op"}) // 25 us to 3.7 s
	rejects := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_s3_rejected_signatures_total",
		Help: "Requests refused because of their signature, by reason (payload: the body did not match what was signed)."}, []string{"reason"})
	lean := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_s3_lean_requests_total",
		Help: "Requests that came to the lean way, by what became of them: answered there, or handed to net/http because the cache could not answer at " +
			"once (missed), because signature or grant did not hold (refused), or because it was not a plain GET."}, []string{"outcome"})
	m := &metrics{
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_s3_sent_bytes_total",
			Help: "Body bytes of objects sent to clients, in bytes."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "alio_s3_requests_in_flight",
			Help: "Requests being served now."}),
		rejected: make(map[string]prometheus.Counter, len(rejectReasons)),
	}
	for o := range numOps {
		m.seconds[o] = seconds.WithLabelValues(opNames[o])
		for _, code := range codeNames {
			m.requests[o] = append(m.requests[o], requests.WithLabelValues(opNames[o], code))
		}
	}
	for i, name := range leanNames {
		m.lean[i] = lean.WithLabelValues(name)
	}
	for _, r := range rejectReasons {
		m.rejected[r] = rejects.WithLabelValues(r)
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{requests, seconds, rejects, lean, m.sent, m.inFlight} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// reject counts a rejected signature.
func (m *metrics) reject(reason string) {
	if c, ok := m.rejected[reason]; ok {
		c.Inc()
	}
}
