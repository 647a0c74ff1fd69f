// Package meter wraps an origin to count what is really asked of it. It belongs innermost, right around the origin, so that every try
// of a retry is counted and waiting for a limit is not. The metrics, all labelled with the mount:
//
//	alio_origin_requests_total{mount,op,outcome}  requests ended, by op (stat, read, list, forward, put, delete) and outcome (ok or the kind of error)
//	alio_origin_read_bytes_total{mount}           bytes of bodies as they were read, forwarded answers included
//	alio_origin_first_byte_seconds{mount,op}      from the request to its answer's beginning, failures included
//	alio_origin_in_flight{mount}                  requests begun and not ended; a read ends with its body
//
// Start at New.
package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/origin"
)

// outcomes are the values of the label outcome, by kind of error. "canceled" is a caller that went away, which is not the origin's doing.
var outcomes = []struct {
	kind error
	name string
}{
	{nil, "ok"},
	{context.Canceled, "canceled"},
	{origin.ErrNotFound, "not_found"},
	{origin.ErrDenied, "denied"},
	{origin.ErrVersionChanged, "version_changed"},
	{origin.ErrThrottled, "throttled"},
	{origin.ErrInvalidRange, "invalid_range"},
	{origin.ErrInvalid, "invalid"},
	{origin.ErrUnknownMount, "unknown_mount"},
	{origin.ErrUnsupported, "unsupported"},
	{origin.ErrUnavailable, "unavailable"},
}

var ops = []string{"stat", "read", "list", "forward", "put", "delete"}

// Options name the mount and where its metrics go. Both are needed.
type Options struct {
	Mount      string                // the value of the label mount
	Registerer prometheus.Registerer // New registers with it; a mount can be registered once
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	if o.Mount == "" {
		errs = append(errs, errors.New("meter: Mount is empty; want the mount's name"))
	}
	if o.Registerer == nil {
		errs = append(errs, errors.New("meter: Registerer is nil; want a prometheus.Registerer"))
	}
	return errors.Join(errs...)
}

// Origin meters what it wraps. All methods may be called in parallel.
type Origin struct {
	inner     origin.Origin
	requests  map[string]map[string]prometheus.Counter // by op and outcome
	firstByte map[string]prometheus.Observer           // by op
	bytes     prometheus.Counter
	inFlight  prometheus.Gauge
}

// New wraps o and registers its metrics, every pair of labels at 0.
func New(o origin.Origin, opts Options) (*Origin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	labels := prometheus.Labels{"mount": opts.Mount}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "alio_origin_requests_total", ConstLabels: labels,
		Help: "Requests to the origin that have ended, by operation and outcome.",
	}, []string{"op", "outcome"})
	firstByte := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "alio_origin_first_byte_seconds", ConstLabels: labels,
		Help:    "Time from a request to the origin to the beginning of its answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"op"})
	m := &Origin{
		inner: o, requests: map[string]map[string]prometheus.Counter{}, firstByte: map[string]prometheus.Observer{},
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "alio_origin_read_bytes_total", ConstLabels: labels, Help: "Bytes of bodies read from the origin."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "alio_origin_in_flight", ConstLabels: labels, Help: "Requests to the origin that have begun and not ended."}),
	}
	for _, op := range ops {
		m.requests[op] = map[string]prometheus.Counter{}
		m.firstByte[op] = firstByte.WithLabelValues(op)
		for _, out := range outcomes {
			m.requests[op][out.name] = requests.WithLabelValues(op, out.name)
		}
	}
	if err := register(opts.Registerer, requests, firstByte, m.bytes, m.inFlight); err != nil {
		return nil, fmt.Errorf("meter: mount %q: %w", opts.Mount, err)
	}
	return m, nil
}

// register registers all or, with an error, nothing.
func register(r prometheus.Registerer, cs ...prometheus.Collector) error {
	for i, c := range cs {
		if err := r.Register(c); err != nil {
			for _, done := range cs[:i] {
				r.Unregister(done)
			}
			return err
		}
	}
	return nil
}

// Unwrap returns the wrapped origin.
func (o *Origin) Unwrap() origin.Origin { return o.inner }

// ID is the wrapped origin's.
func (o *Origin) ID() string { return o.inner.ID() }

// outcome is the label of an error; nil is "ok".
func outcome(ctx context.Context, err error) string {
	if err == nil {
		return "ok"
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return "canceled"
	}
	kind := origin.Kind(err)
	for _, o := range outcomes {
		if o.kind == kind {
			return o.name
		}
	}
	return "unavailable"
}

// begin counts a request in; the function it returns notes the answer's beginning, and its result counts the request out, once.
func (o *Origin) begin(op string) func() func(outcome string) {
	start := time.Now()
	o.inFlight.Inc()
	return func() func(string) {
		o.firstByte[op].Observe(time.Since(start).Seconds())
		var once sync.Once
		return func(outcome string) {
			once.Do(func() {
				o.inFlight.Dec()
				o.requests[op][outcome].Inc()
			})
		}
	}
}

// Stat counts the call.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	answered := o.begin("stat")
	obj, err := o.inner.Stat(ctx, path)
	answered()(outcome(ctx, err))
	return obj, err
}

// List counts the call.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	answered := o.begin("list")
	l, err := o.inner.List(ctx, req)
	answered()(outcome(ctx, err))
	return l, err
}

// Read counts the call when its body has ended or is closed, and the bytes that were read of it.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	answered := o.begin("read")
	c, err := o.inner.Read(ctx, req)
	end := answered()
	if err != nil {
		end(outcome(ctx, err))
		return c, err
	}
	c.Body = &body{ReadCloser: c.Body, ctx: ctx, bytes: o.bytes, end: end, ok: "ok"}
	return c, nil
}

// Forward counts the call when the answer's body has ended or is closed; the outcome is what the answer's status means. It is
// origin.ErrUnsupported, and not counted, if what is wrapped cannot forward.
func (o *Origin) Forward(ctx context.Context, path string, r *http.Request) (*http.Response, error) {
	f, ok := origin.As[origin.Forwarder](o.inner)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path, errors.New("the origin does not speak S3"))
	}
	answered := o.begin("forward")
	resp, err := f.Forward(ctx, path, r)
	end := answered()
	if err != nil {
		end(outcome(ctx, err))
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, bytes: o.bytes, end: end, ok: status(resp.StatusCode)}
	return resp, nil
}

// status is the outcome that an HTTP status stands for.
func status(code int) string {
	switch {
	case code < 400:
		return "ok"
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return "denied"
	case code == http.StatusNotFound:
		return "not_found"
	case code == http.StatusPreconditionFailed:
		return "version_changed"
	case code == http.StatusRequestedRangeNotSatisfiable:
		return "invalid_range"
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		return "throttled"
	case code == http.StatusNotImplemented:
		return "unsupported"
	case code >= 500:
		return "unavailable"
	}
	return "invalid"
}

// body counts what is read through it and ends its request.
type body struct {
	io.ReadCloser
	ctx   context.Context
	bytes prometheus.Counter
	end   func(outcome string)
	ok    string // the outcome of a body that does not fail
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(float64(n))
	switch {
	case err == io.EOF:
		b.end(b.ok)
	case err != nil:
		b.end(outcome(b.ctx, err))
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.end(b.ok)
	return err
}
