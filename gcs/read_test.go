package gcs

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// TestAnswersAreCompared: what an answer itself says is believed over what was asked for.
func TestAnswersAreCompared(t *testing.T) {
	for _, c := range []struct {
		name   string
		header map[string]string
		kind   error // nil: the read succeeds
	}{
		{"as asked", nil, nil},
		{"another generation", map[string]string{"X-Goog-Generation": "8"}, origin.ErrVersionChanged},
		{"the generation is the same, the size is not", map[string]string{"Content-Range": "bytes 10-14/101"}, origin.ErrVersionChanged},
		{"no generation", map[string]string{"X-Goog-Generation": ""}, origin.ErrVersionChanged},
		{"another range", map[string]string{"Content-Range": "bytes 11-15/100"}, origin.ErrUnavailable},
		{"a shorter range", map[string]string{"Content-Range": "bytes 10-13/100", "Content-Length": "4"}, origin.ErrUnavailable},
		{"a range and a length that disagree", map[string]string{"Content-Length": "4"}, origin.ErrUnavailable},
		{"no Content-Range", map[string]string{"Content-Range": ""}, origin.ErrUnavailable},
		{"a Content-Range without a size", map[string]string{"Content-Range": "bytes 10-14/*"}, origin.ErrUnavailable},
		{"unzipped on the way", map[string]string{"X-Goog-Stored-Content-Length": "40"}, origin.ErrUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Goog-If-Generation-Match") != "7" || r.URL.Query().Has("generation") || r.Header.Get("Range") != "bytes=10-14" || r.Header.Get("Accept-Encoding") != "gzip" {
					t.Errorf("the request %s, headers %v", r.URL, r.Header)
				}
				answer(w, "abcde", c.header)
			})
			got, b, err := readAll(at(t, server.URL), old)
			if c.kind != nil && !errors.Is(err, c.kind) || c.kind == nil && (err != nil || string(b) != "abcde" || got.Object.Version != "7/100" || got.Object.ETag != `"7"`) {
				t.Errorf("%q of %+v, %v; want %v", b, got.Object, err, c.kind)
			}
		})
	}
}

// TestATornBodyIsNotResumed: the client would open it again where it broke and not look at what it then gets.
func TestATornBodyIsNotResumed(t *testing.T) {
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			answer(w, "XY", map[string]string{"X-Goog-Generation": "8", "Content-Range": "bytes 13-14/100", "Content-Length": "2"})
			return
		}
		answer(w, "abc", nil)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	_, b, err := readAll(at(t, server.URL), old)
	if !errors.Is(err, origin.ErrUnavailable) || !strings.Contains(err.Error(), "unexpected EOF") || string(b) != "abc" || requests.Load() != 1 {
		t.Errorf("%q, %v after %d requests; want what came before it broke, and why", b, err, requests.Load())
	}
}

// TestNothingIsRetried: neither the client nor the origin asks twice, whatever the answer is.
func TestNothingIsRetried(t *testing.T) {
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(503)
	})
	o := at(t, server.URL)
	for op, call := range map[string]func() error{
		"read": func() error { _, err := o.Read(t.Context(), old); return err },
		"stat": func() error { _, err := o.Stat(t.Context(), "x"); return err },
		"list": func() error { _, err := o.List(t.Context(), origin.ListRequest{}); return err },
		"put": func() error {
			_, err := o.Put(t.Context(), "x", strings.NewReader("abc"), 3, origin.PutOptions{})
			return err
		},
		"delete": func() error { return o.Delete(t.Context(), "x") },
	} {
		requests.Store(0)
		err := call()
		var e *origin.Error
		if !errors.As(err, &e) || e.Kind != origin.ErrThrottled || e.RetryAfter != 7*time.Second || e.Op != op || requests.Load() != 1 {
			t.Errorf("%s: %v after %d requests", op, err, requests.Load())
		}
	}
}

// TestAWholeObjectIsSummed: the sum that comes with a whole object is compared before the last byte is handed out.
func TestAWholeObjectIsSummed(t *testing.T) {
	for hash, kind := range map[string]error{"crc32c=x7Mv6Q==": origin.ErrUnavailable, "crc32c=xFDWlw==": nil} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Goog-Generation", "7")
			w.Header().Set("X-Goog-Hash", hash)
			_, _ = io.WriteString(w, "abcde")
		})
		_, b, err := readAll(at(t, server.URL), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		if kind == nil && (err != nil || string(b) != "abcde") || !errors.Is(err, kind) {
			t.Errorf("with %s: %q, %v, want %v", hash, b, err, kind)
		}
	}
}

// TestStalls: an answer or a body that never comes, or is never taken, ends by the origin's own time limits.
func TestStalls(t *testing.T) {
	hung := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/slow"):
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
		case !strings.HasPrefix(r.URL.Path, "/storage/v1/") && r.Method == http.MethodGet:
			answer(w, "abc", nil)
			w.(http.Flusher).Flush()
		}
		<-hung
	})
	defer close(hung)
	if _, err := at(t, server.URL, func(o *Options) { o.HeaderTimeout = 20 * time.Millisecond }).Stat(t.Context(), "x"); !errors.Is(err, origin.ErrUnavailable) {
		t.Errorf("a request that is not answered: %v", err)
	}
	slow := at(t, server.URL, func(o *Options) { o.StallTimeout = 50 * time.Millisecond })
	_, b, err := readAll(slow, old)
	if !errors.Is(err, origin.ErrUnavailable) || !errors.Is(err, outbound.ErrStalled) || errors.Is(err, context.Canceled) || string(b) != "abc" {
		t.Errorf("a body that stalls: %q, %v", b, err)
	}
	if _, err = slow.Stat(t.Context(), "slow"); !errors.Is(err, origin.ErrUnavailable) || !errors.Is(err, outbound.ErrStalled) {
		t.Errorf("metadata that stalls: %v", err)
	}
	_, err = slow.Put(t.Context(), "x", endless{}, -1, origin.PutOptions{})
	if !errors.Is(err, origin.ErrUnavailable) || !errors.Is(err, outbound.ErrStalled) || errors.Is(err, context.Canceled) {
		t.Errorf("a body that is not taken: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestAnUnreadableAnswer: no answer is taken for what it does not say.
func TestAnUnreadableAnswer(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<html>") })
	o := at(t, server.URL)
	_, err := o.Stat(t.Context(), "x")
	_, err2 := o.List(t.Context(), origin.ListRequest{})
	_, err3 := o.Read(t.Context(), old)
	for _, err := range []error{err, err2} {
		if !errors.Is(err, origin.ErrUnavailable) || !strings.Contains(err.Error(), "lake") {
			t.Errorf("%v", err)
		}
	}
	if !errors.Is(err3, origin.ErrUnsupported) && !errors.Is(err3, origin.ErrUnavailable) {
		t.Errorf("a range that was ignored: %v", err3)
	}
}
