package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/s3/endpoint"
	"github.com/alio-lake/alio/sidecar"
)

// s3Origin is an S3 server for the sidecar under test: our own endpoint over an origin in memory. That it speaks S3 as others do is
// shown elsewhere, on real servers; here it counts, and holds answers back on demand.
type s3Origin struct {
	*mem.Origin
	url string

	mu    sync.Mutex
	count map[string]int // GETs of objects by path
	hold  chan struct{}  // when not nil, object GETs wait for it
	held  chan string    // told of each one that waits

	now, most atomic.Int64 // requests at once, and the most there ever were
}

func startOrigin(t *testing.T) *s3Origin {
	t.Helper()
	o := &s3Origin{Origin: mem.New("test"), count: map[string]int{}, held: make(chan string, 16)}
	pages, err := cache.New(cache.Options{Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pages.Close() })
	backend, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"bucket": o.Origin}, Pages: pages})
	if err != nil {
		t.Fatal(err)
	}
	h, err := endpoint.New(endpoint.Options{Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := o.now.Add(1)
		defer o.now.Add(-1)
		for most := o.most.Load(); n > most && !o.most.CompareAndSwap(most, n); most = o.most.Load() {
		}
		if r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") > 1 {
			o.seen(r)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	o.url = srv.URL
	return o
}

func (o *s3Origin) seen(r *http.Request) {
	o.mu.Lock()
	o.count[strings.TrimPrefix(r.URL.Path, "/bucket/")]++
	hold := o.hold
	o.mu.Unlock()
	if hold != nil {
		o.held <- r.URL.Path
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
}

// gets returns how many GETs a path has had.
func (o *s3Origin) gets(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[path]
}

// holdBack makes GETs of objects wait until the function it returns is called.
func (o *s3Origin) holdBack() (release func()) {
	hold := make(chan struct{})
	o.mu.Lock()
	o.hold = hold
	o.mu.Unlock()
	return sync.OnceFunc(func() {
		o.mu.Lock()
		o.hold = nil
		o.mu.Unlock()
		close(hold)
	})
}
