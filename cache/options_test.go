package cache

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestValidate reports all faults at once, and takes the defaults.
func TestValidate(t *testing.T) {
	if err := (Options{}).Validate(); err != nil {
		t.Errorf("the zero options: %v", err)
	}
	if err := (Options{FillSpan: 128 << 20}).Validate(); err != nil {
		t.Errorf("fill memory does not follow a larger span: %v", err)
	}
	bad := Options{Memory: 1, MetadataShare: 2, FillSpan: 10, FillMemory: 5, ClassNames: []string{"a", "a", unknownClass}}
	_, err := New(bad)
	if err == nil {
		t.Fatal("bad options were taken")
	}
	for _, want := range []string{"cache memory of 1", "metadata share of 2", "fill span of 10", "fill memory of 5", `class name 1, "a"`, `class name 2, "unknown"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell of %q: %v", want, err)
		}
	}
	for _, share := range []float64{-1, 1.01} {
		if (Options{MetadataShare: share}).Validate() == nil {
			t.Errorf("a metadata share of %v was taken", share)
		}
	}
}

// gather reads a registry: "name{label=value,…}" to number.
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
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := f.GetName()
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// TestMetrics: every label pair is there from the start, the numbers are right, and a registry serves one cache at a time.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	o := Options{Registerer: reg, ClassNames: []string{"data", "footer"}, Disk: newFakeDisk()}
	c := newCache(t, o)
	if _, err := New(o); err == nil {
		t.Error("a second cache took the same registry")
	}
	before := gather(t, reg)
	obj, data := object("metrics", 4*testPage)
	layout := cuts{at: []int64{0, testPage, 2 * testPage, 3 * testPage, 4 * testPage}, classes: 4} // two of the classes have no name
	req := Request{Object: obj, Layout: layout, Source: &fakeSource{data: data}, Offset: 10, Length: 3 * testPage}
	mustRead(t, c, req, data)
	mustRead(t, c, req, data)
	after := gather(t, reg)
	for name, want := range map[string]float64{
		"alio_cache_requested_bytes_total":                 6 * testPage,
		"alio_cache_fetched_bytes_total":                   4 * testPage,
		"alio_cache_refetched_bytes_total":                 0,
		"alio_cache_overread_bytes_total":                  testPage,
		"alio_cache_shared_fills_total":                    0,
		"alio_cache_read_bytes_total{source=memory}":       0,
		"alio_cache_read_bytes_total{source=disk}":         3 * testPage,
		"alio_cache_read_bytes_total{source=origin}":       3 * testPage,
		"alio_cache_pages_total{class=data,event=hit}":     1,
		"alio_cache_pages_total{class=data,event=miss}":    1,
		"alio_cache_pages_total{class=footer,event=hit}":   1,
		"alio_cache_pages_total{class=unknown,event=hit}":  2,
		"alio_cache_pages_total{class=unknown,event=miss}": 2,
		"alio_cache_disk_fallbacks_total{reason=absent}":   0,
		"alio_cache_disk_fallbacks_total{reason=corrupt}":  0,
		"alio_cache_disk_fallbacks_total{reason=sick}":     0,
		"alio_cache_fills_total{result=ok}":                1,
		"alio_cache_fills_total{result=cancelled}":         0,
		"alio_cache_fills_total{result=version_changed}":   0,
		"alio_cache_fill_first_page_seconds":               1,
		"alio_cache_memory_bytes":                          0,
		"alio_cache_memory_limit_bytes":                    DefaultMemory,
		"alio_cache_fill_memory_bytes":                     0,
		"alio_cache_fill_memory_limit_bytes":               DefaultFillMemory,
	} {
		if _, ok := before[name]; !ok {
			t.Errorf("%s is not there from the start", name)
		}
		if got := after[name]; got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d series at the start, %d later", len(before), len(after))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	newCache(t, o) // the registry is free again
}
