package meter_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/meter"
	"github.com/alio-lake/alio/origin/origintest"
)

func TestConformance(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		return origintest.Memory(mem.New("m"), func(o origin.Origin) origin.Origin {
			m, err := meter.New(mem.Writer{Origin: o.(*mem.Origin)}, meter.Options{Mount: "lake", Registerer: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			return m
		})
	})
}

// gather returns every sample of a registry by its name and labels; a histogram as its count and sum.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%s", l.GetName(), l.GetValue()))
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetHistogram() != nil:
				out[name+"count"], out[name+"sum"] = float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
			case m.GetCounter() != nil:
				out[name] = m.GetCounter().GetValue()
			default:
				out[name] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

// nonzero returns the samples that are not 0, as lines.
func nonzero(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	all := gather(t, reg)
	maps.DeleteFunc(all, func(_ string, v float64) bool { return v == 0 })
	var out []string
	for k, v := range all {
		out = append(out, fmt.Sprintf("%s %g", strings.TrimPrefix(strings.Replace(k, ",mount=lake", "", 1), "alio_origin_"), v))
	}
	slices.Sort(out)
	return out
}

// forwarder answers a status.
type forwarder struct {
	origin.Origin
	status int
}

func (f *forwarder) Forward(context.Context, string, *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: f.status, Body: io.NopCloser(strings.NewReader("12345"))}, nil
}

func newMeter(t *testing.T, o origin.Origin) (*meter.Origin, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	m, err := meter.New(o, meter.Options{Mount: "lake", Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func TestEveryPairShowsAtZero(t *testing.T) {
	_, reg := newMeter(t, mem.New("m"))
	all := gather(t, reg)
	requests := 0
	for k, v := range all {
		if strings.HasPrefix(k, "alio_origin_requests_total{mount=lake,op=") {
			requests++
		}
		if v != 0 {
			t.Errorf("%s is %g before any request", k, v)
		}
	}
	if requests != 6*11 || len(all) != 6*11+2*6+2 {
		t.Errorf("%d request counters of %d samples, want 66 of 80", requests, len(all))
	}
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New("m")
		put := inner.Put("x", make([]byte, 1000))
		f := origintest.NewFaulty(&forwarder{inner, 404}, 1,
			origintest.Rule{Path: "throttled", Effect: origintest.Fail(origin.ErrThrottled)},
			origintest.Rule{Path: "slow", Effect: origintest.Delay(2 * time.Second)},
			origintest.Rule{Path: "x", Op: origintest.OpRead, Nth: 3, Effect: origintest.BreakBody(10)})
		m, reg := newMeter(t, f)
		read := func(req origin.ReadRequest, take int64) {
			t.Helper()
			c, err := m.Read(t.Context(), req)
			if err != nil {
				return // counted by its kind
			}
			_, _ = io.CopyN(io.Discard, c.Body, take) // the third one breaks
			if got := gather(t, reg)["alio_origin_in_flight{mount=lake}"]; take < 1000 && take != 11 && got != 1 {
				t.Errorf("%g requests in flight while a body is open, want 1", got)
			}
			if err := c.Body.Close(); err != nil {
				t.Error(err)
			}
		}
		read(origin.ReadRequest{Path: "x", Length: origin.WholeRange}, 2000)
		read(origin.ReadRequest{Path: "x", Length: 500, Version: put.Version}, 100)
		read(origin.ReadRequest{Path: "x", Length: 500}, 11)
		read(origin.ReadRequest{Path: "x", Length: 500, Version: "other"}, 1)
		read(origin.ReadRequest{Path: "x", Offset: 1000, Length: 500}, 1)
		_, _ = m.Stat(t.Context(), "x")
		_, _ = m.Stat(t.Context(), "throttled")
		_, _ = m.Stat(t.Context(), "slow")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = m.Stat(gone, "x")
		_, _ = m.List(t.Context(), origin.ListRequest{})
		resp, err := m.Forward(t.Context(), "x", &http.Request{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		want := []string{
			"first_byte_seconds{mount=lake,op=forward}count 1",
			"first_byte_seconds{mount=lake,op=list}count 1",
			"first_byte_seconds{mount=lake,op=read}count 5",
			"first_byte_seconds{mount=lake,op=stat}count 4",
			"first_byte_seconds{mount=lake,op=stat}sum 2",
			"read_bytes_total{mount=lake} 1115", // 1000 + 100 + 10, and 5 of the forwarded answer
			"requests_total{mount=lake,op=forward,outcome=not_found} 1",
			"requests_total{mount=lake,op=list,outcome=ok} 1",
			"requests_total{mount=lake,op=read,outcome=invalid_range} 1",
			"requests_total{mount=lake,op=read,outcome=ok} 2",
			"requests_total{mount=lake,op=read,outcome=unavailable} 1",
			"requests_total{mount=lake,op=read,outcome=version_changed} 1",
			"requests_total{mount=lake,op=stat,outcome=canceled} 1",
			"requests_total{mount=lake,op=stat,outcome=not_found} 1",
			"requests_total{mount=lake,op=stat,outcome=ok} 1",
			"requests_total{mount=lake,op=stat,outcome=throttled} 1",
		}
		if got := nonzero(t, reg); !slices.Equal(got, want) {
			t.Errorf("metrics:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestForwardOutcomes(t *testing.T) {
	for code, want := range map[int]string{200: "ok", 206: "ok", 304: "ok", 400: "invalid", 401: "denied", 403: "denied", 404: "not_found",
		412: "version_changed", 416: "invalid_range", 429: "throttled", 500: "unavailable", 501: "unsupported", 503: "throttled", 507: "unavailable"} {
		m, reg := newMeter(t, &forwarder{mem.New("m"), code})
		resp, err := m.Forward(t.Context(), "x", &http.Request{})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := gather(t, reg)["alio_origin_requests_total{mount=lake,op=forward,outcome="+want+"}"]; got != 1 {
			t.Errorf("status %d is not counted as %s", code, want)
		}
	}
	m, reg := newMeter(t, mem.New("m"))
	if _, err := m.Forward(t.Context(), "x", &http.Request{}); origin.Kind(err) != origin.ErrUnsupported || len(nonzero(t, reg)) != 0 {
		t.Errorf("an origin that cannot forward: %v, metrics %v", err, nonzero(t, reg))
	}
}

func TestOptions(t *testing.T) {
	_, err := meter.New(mem.New("m"), meter.Options{})
	if err == nil || !strings.Contains(err.Error(), "Mount") || !strings.Contains(err.Error(), "Registerer") {
		t.Errorf("%v does not name both faults", err)
	}
	reg := prometheus.NewRegistry()
	opts := meter.Options{Mount: "a", Registerer: reg}
	if _, err := meter.New(mem.New("m"), opts); err != nil {
		t.Fatal(err)
	}
	if _, err := meter.New(mem.New("m"), meter.Options{Mount: "b", Registerer: reg}); err != nil {
		t.Errorf("a second mount: %v", err)
	}
	if _, err := meter.New(mem.New("m"), opts); err == nil {
		t.Error("one mount was registered twice")
	}
}
