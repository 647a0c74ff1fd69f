package rpc

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// methods are what alio_rpc_requests_total tells apart; the last stands for every other.
var methods = [...]string{"status", "stat", "list", "open", "read", "put", "prefetch", "invalidate", "assign", "watch", "report", "other"}

const (
	otherMethod  = len(methods) - 1
	assignMethod = otherMethod - 3 // the first of the affinity service's
	watchMethod  = otherMethod - 2
)

// unread as a code: the request never came whole.
const unread = 17

var codeNames = [...]string{"ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
	"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss",
	"unauthenticated", "unread"}

// metrics are made with every label at start, so that a rate over a series that has not happened yet is 0 and not absent.
type metrics struct {
	requests   [len(methods)][len(codeNames)]prometheus.Counter
	seconds    [len(methods)]prometheus.Observer
	sent       prometheus.Counter
	turnedAway prometheus.Counter
	opened     prometheus.Counter
	told       map[string]prometheus.Counter
	local      prometheus.Counter
	localBytes prometheus.Counter
	put        map[string]prometheus.Counter
	putBytes   prometheus.Counter
	claimed    map[string]prometheus.Counter
	prefetched prometheus.Counter
	prefetches map[string]prometheus.Counter
}

// Labels of pages told, of pages put and of prefetches.
const (
	toldPlaced, toldMemory, toldMissing             = "segment", "memory", "missing"
	putStored, putPresent, putRefused               = "stored", "present", "refused"
	claimGranted, claimTaken, claimFull, claimEnded = "granted", "taken", "full", "expired"
	prefetchDone, prefetchFailed, prefetchDropped   = "done", "failed", "dropped"
)

func newMetrics(s *Server, reg prometheus.Registerer) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		all = append(all, c)
		return c
	}
	vec := func(name, help, label string, values ...string) map[string]prometheus.Counter {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		all = append(all, v)
		out := make(map[string]prometheus.Counter, len(values))
		for _, value := range values {
			out[value] = v.WithLabelValues(value)
		}
		return out
	}
	gauge := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	m := &metrics{
		sent:       counter("alio_rpc_sent_bytes_total", "Bytes of objects sent to clients by Read, in bytes."),
		turnedAway: counter("alio_rpc_connections_refused_total", "Connections closed because there were as many as are allowed."),
		opened:     counter("alio_rpc_opened_files_total", "Files that clients opened, by Open."),
		told:       vec("alio_rpc_told_pages_total", "Pages that Open told of, by where they were.", "where", toldPlaced, toldMemory, toldMissing),
		local:      counter("alio_local_reads_total", "Reads that clients made in the segments themselves, as they have told."),
		localBytes: counter("alio_local_read_bytes_total", "Bytes that clients read in the segments themselves, as they have told."),
		put:        vec("alio_rpc_put_pages_total", "Pages that clients put, by outcome (present: resident before; refused: with their whole request).", "outcome", putStored, putPresent, putRefused),
		putBytes:   counter("alio_rpc_put_bytes_total", "Bytes of the pages that clients put and that were stored."),
		claimed:    vec("alio_rpc_claims_total", "Missing pages that clients wanted to fill, by outcome (taken: another fills them; full: too many are claimed), and granted ones that expired.", "outcome", claimGranted, claimTaken, claimFull, claimEnded),
		prefetched: counter("alio_rpc_prefetched_bytes_total", "Bytes that prefetches read from origins."),
		prefetches: vec("alio_rpc_prefetches_total", "Ranges that prefetches were to read, by outcome (dropped: at shutdown).", "outcome", prefetchDone, prefetchFailed, prefetchDropped),
	}
	gauge("alio_rpc_requests_in_flight", "Calls being served now.", func() float64 { return float64(s.calls.Load()) })
	gauge("alio_rpc_connections", "Connections that are open now.", func() float64 { return float64(s.connections.Load()) })
	gauge("alio_rpc_claimed_pages", "Pages that clients have claimed and not put yet.", func() float64 { return float64(s.claims.held()) })
	gauge("alio_rpc_prefetch_waiting_bytes", "Bytes that prefetches have still to read.", func() float64 { return float64(s.prefetch.waiting()) })
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alio_rpc_requests_total",
		Help: "Calls at the gRPC door, by method and by status (unread: the request never came whole)."}, []string{"method", "code"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "alio_rpc_request_seconds",
		Help:    "Time from a call's headers to the end of its handling, in seconds, by method.",
		Buckets: prometheus.ExponentialBuckets(25e-6, 2.5, 14)}, []string{"method"}) // 25 us to 3.7 s
	for i, method := range methods {
		m.seconds[i] = seconds.WithLabelValues(method)
		for j, code := range codeNames {
			m.requests[i][j] = requests.WithLabelValues(method, code)
		}
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range append(all, requests, seconds) {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("rpc metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) request(method int, code codes.Code) {
	if int(code) >= unread {
		code = codes.Unknown
	}
	m.requests[method][code].Inc()
}
