package endpoint

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// hit is a Backend's answer that costs nothing: what is measured is the endpoint.
type hitBody struct{ data []byte }

func (h hitBody) WriteTo(w io.Writer) (int64, error) { n, err := w.Write(h.data); return int64(n), err }
func (h hitBody) Read([]byte) (int, error)           { return 0, io.EOF }
func (h hitBody) Close() error                       { return nil }

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// hitRequest is a ranged GET as the SDKs send it, signed if credentials are.
func hitRequest(tb testing.TB, signed bool) *http.Request {
	r := httptest.NewRequest("GET", "/lake/warehouse/t/part-00000.parquet?x-id=GetObject", nil)
	r.Header.Set("Range", "bytes=65536-131071")
	r.Header.Set("User-Agent", "bench")
	r.Header.Set("Amz-Sdk-Invocation-Id", "9c5ef1b0-7c0f-4f3e-9d4e-4a2f0f0c1d11")
	r.Header.Set("X-Amz-Checksum-Mode", "ENABLED")
	if signed {
		date := time.Now().UTC().Format(amzDateLayout)
		r.Header.Set("X-Amz-Date", date)
		r.Header.Set("X-Amz-Content-Sha256", emptySHA256)
		tgt, err := parseTarget(r, "")
		if err != nil {
			tb.Fatal(err)
		}
		r.Header.Set("Authorization", authorization(r, tgt.rawPath, tgt.query, "amz-sdk-invocation-id;host;range;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date"))
	}
	return r
}

func hitHandler(tb testing.TB, signed bool) *Handler {
	f := newFake("lake")
	f.put("lake", "warehouse/t/part-00000.parquet", make([]byte, 1<<20), map[string]string{"Content-Type": "binary/octet-stream"})
	f.body = func(d []byte) io.ReadCloser { return hitBody{d} }
	o := Options{Backend: f}
	if signed {
		o = signedOptions(f)
	}
	return newHandler(tb, o)
}

// BenchmarkHit is one 64 KiB range that the backend has at hand, without the network.
func BenchmarkHit(b *testing.B) {
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprintf("signed=%v", signed), func(b *testing.B) {
			h, r := hitHandler(b, signed), hitRequest(b, signed)
			w := &discard{h: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkHitOverLoopback adds net/http's server and client.
func BenchmarkHitOverLoopback(b *testing.B) {
	s := httptest.NewServer(hitHandler(b, false))
	defer s.Close()
	r := hitRequest(b, false)
	c, _ := http.NewRequest("GET", s.URL+r.URL.RequestURI(), nil)
	c.Header = r.Header
	b.ReportAllocs()
	for b.Loop() {
		resp, err := s.Client().Do(c)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 65536 || err != nil {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}
}

// TestHitAllocations bounds what a hit costs, so that a change that makes it dear is seen.
func TestHitAllocations(t *testing.T) {
	for _, c := range []struct {
		signed bool
		most   float64
	}{{false, 20}, {true, 22}} {
		h, r := hitHandler(t, c.signed), hitRequest(t, c.signed)
		w := &discard{h: http.Header{}}
		if n := testing.AllocsPerRun(100, func() { clear(w.h); h.ServeHTTP(w, r) }); n > c.most {
			t.Errorf("signed %v: %v allocations, at most %v", c.signed, n, c.most)
		}
		if w.h.Get("Content-Range") != "bytes 65536-131071/1048576" {
			t.Errorf("not a hit: %v", w.h)
		}
	}
}
