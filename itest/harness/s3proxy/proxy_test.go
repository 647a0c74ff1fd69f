package s3proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// store is an endpoint that answers like an S3 server on the few requests of these tests, and keeps what reached it.
type store struct {
	*httptest.Server
	hosts []string
	paths []string
}

var object = bytes.Repeat([]byte("abcdefghij"), 10_000)

func newStore(t *testing.T) *store {
	s := &store{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hosts = append(s.hosts, r.Host)
		s.paths = append(s.paths, r.URL.EscapedPath())
		switch {
		case r.Method == http.MethodPut:
			_, _ = io.Copy(io.Discard, r.Body)
		case strings.HasSuffix(r.URL.Path, "missing"):
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Query().Get("list-type") == "2":
			_, _ = io.WriteString(w, "<ListBucketResult/>")
		default:
			w.Header().Set("ETag", `"v1"`)
			http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(object))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func start(t *testing.T, o Options) *Proxy {
	t.Helper()
	p, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// ask makes one request on a connection of its own and returns the status and the body.
func ask(t *testing.T, method, url, rng string) (int, []byte, error) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Host = "bucket.example.com"
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, b, err
}

func mustAsk(t *testing.T, method, url, rng string, status int) []byte {
	t.Helper()
	got, b, err := ask(t, method, url, rng)
	if err != nil || got != status {
		t.Fatalf("%s %s %s: status %d, %v; want %d", method, url, rng, got, err, status)
	}
	return b
}

// awaitRequest waits until a request is in the proxy.
func awaitRequest(t *testing.T, p *Proxy) {
	t.Helper()
	deadline, tick := time.Now().Add(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; <-tick.C {
		p.mu.Lock()
		waiting = p.inFlight == 0
		p.mu.Unlock()
		if waiting && time.Now().After(deadline) {
			t.Fatal("no request arrived at the proxy, or it passed at once")
		}
	}
}

// Each kind of request is counted as the package comment says, and Host and path arrive unchanged.
func TestCountsByKind(t *testing.T) {
	s := newStore(t)
	p := start(t, Options{Target: s.URL})
	u := p.URL() + "/lake/t/"
	mustAsk(t, "GET", u+"a%20b%2Fc.parquet", "", 200)                // data, whole
	mustAsk(t, "GET", u+"f.parquet", "bytes=-1000", 206)             // footer
	mustAsk(t, "GET", u+"f.parquet", "bytes=10-19", 206)             // data
	mustAsk(t, "GET", u+"f.parquet", "bytes=-100000000", 206)        // data: all of it is no footer
	mustAsk(t, "GET", u+"_delta_log/0.json", "", 200)                // metadata
	mustAsk(t, "GET", u+"f.parquet?tagging", "", 200)                // metadata: not the object's bytes
	mustAsk(t, "HEAD", u+"f.parquet", "", 200)                       // HEAD
	mustAsk(t, "HEAD", u+"missing", "", 404)                         // 404
	mustAsk(t, "GET", u+"missing", "", 404)                          // 404
	mustAsk(t, "GET", p.URL()+"/lake?list-type=2&prefix=t", "", 200) // LIST
	mustAsk(t, "PUT", u+"new", "", 200)                              // write
	mustAsk(t, "GET", u+"f.parquet", "bytes=200000-", 416)           // other
	_, got, err := p.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(object))
	want := Summary{DataGETs: 4, Footers: 1, MetadataGETs: 2, HEADs: 1, LISTs: 1, NotFound: 2, Writes: 1, Other: 1,
		Requests: 12, BytesFetched: n + 1000 + 10 + n + n + n}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, h := range s.hosts {
		if h != "bucket.example.com" {
			t.Errorf("Host arrived as %q: the signature would break", h)
		}
	}
	if s.paths[0] != "/lake/t/a%20b%2Fc.parquet" {
		t.Errorf("path arrived as %q", s.paths[0])
	}
	if left := p.Log(); len(left) != 0 {
		t.Errorf("Take left %d entries", len(left))
	}
}

// Requests of GCS are counted alike, whichever of its two APIs they go by.
func TestCountsGCS(t *testing.T) {
	s := newStore(t)
	p := start(t, Options{Target: s.URL})
	xml, json := p.URL()+"/lake/t%2F", p.URL()+"/storage/v1/b/lake/o"
	mustAsk(t, "GET", xml+"f.parquet?generation=7", "bytes=10-19", 206)             // data
	mustAsk(t, "GET", xml+"f.parquet", "bytes=-1000", 206)                          // footer
	mustAsk(t, "GET", json+"/t%2Ff.parquet?alt=media", "bytes=10-19", 206)          // data
	mustAsk(t, "GET", json+"/t%2Ff.parquet?alt=json&prettyPrint=false", "", 200)    // metadata
	mustAsk(t, "GET", json+"?alt=json&prefix=t", "", 200)                           // LIST
	mustAsk(t, "POST", p.URL()+"/upload/storage/v1/b/lake/o?uploadType=x", "", 200) // write
	log, got, err := p.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(object))
	if want := (Summary{DataGETs: 3, Footers: 1, MetadataGETs: 1, LISTs: 1, Writes: 1, Requests: 6, BytesFetched: 10 + 1000 + 10 + n}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, e := range log {
		if e.Bucket != "lake" || e.Key != "t/f.parquet" && e.Kind != List && e.Kind != Write {
			t.Errorf("an entry speaks of %q in %q: %+v", e.Key, e.Bucket, e)
		}
	}
}

// Bytes asked are the union per object version, not the sum.
func TestAskedIsAUnionPerVersion(t *testing.T) {
	get := func(key, etag string, off, n int64) Entry {
		return Entry{Method: "GET", Bucket: "b", Key: key, ETag: etag, Offset: off, Length: n}
	}
	log := []Entry{
		get("a", "1", 100, 50), get("a", "1", 0, 10), get("a", "1", 120, 100), get("a", "1", 0, 10), // 10 + 120
		get("a", "2", 0, 10), // another version
		get("b", "1", 5, 5), get("b", "1", 10, 5),
		{Method: "HEAD", Bucket: "b", Key: "b", Length: 1000}, {Method: "GET", Bucket: "b", Key: "gone", Status: 404},
	}
	if got := Asked(log); got != 130+10+10 {
		t.Errorf("Asked = %d, want 150", got)
	}
}

// The latency is there, varies by the seed only, and a client that leaves in it is no answer.
func TestLatency(t *testing.T) {
	s := newStore(t)
	p := start(t, Options{Target: s.URL, Latency: 40 * time.Millisecond, Jitter: 0.5, Seed: 7})
	for range 3 {
		mustAsk(t, "GET", p.URL()+"/lake/x", "", 200)
	}
	entries, _, err := p.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.FirstByte < 20*time.Millisecond {
			t.Errorf("first byte after %v: below the latency's lower bound of 20 ms", e.FirstByte)
		}
	}
	a, _ := New(Options{Target: s.URL, Latency: time.Second, Jitter: 0.1, Seed: 1})
	b, _ := New(Options{Target: s.URL, Latency: time.Second, Jitter: 0.1, Seed: 1})
	defer a.Close()
	defer b.Close()
	r := httptest.NewRequest("GET", "/lake/x", nil)
	for i := range 100 {
		_, da, _ := a.begin(r)
		_, db, _ := b.begin(r)
		if da != db || da < 900*time.Millisecond || da > 1100*time.Millisecond {
			t.Fatalf("draw %d: %v and %v; want equal ones within a tenth of a second", i, da, db)
		}
	}
}

// Every fault does what its name says, as often as the rule says.
func TestFaults(t *testing.T) {
	s := newStore(t)
	p := start(t, Options{Target: s.URL})
	u := p.URL() + "/lake/x"
	p.Inject(Rule{Fault: SlowDown(), Times: 2, Match: func(r *http.Request) bool { return r.Method == "GET" }})
	mustAsk(t, "HEAD", u, "", 200)
	if b := mustAsk(t, "GET", u, "", 503); !strings.Contains(string(b), "<Code>SlowDown</Code>") {
		t.Errorf("body of a SlowDown: %s", b)
	}
	mustAsk(t, "GET", u, "", 503)
	mustAsk(t, "GET", u, "", 200)

	remove := p.Inject(Rule{Fault: BrokenBody(1234)})
	if _, b, err := ask(t, "GET", u, ""); !errors.Is(err, io.ErrUnexpectedEOF) || len(b) != 1234 {
		t.Errorf("broken body: %d bytes, %v; want 1234 and an unexpected EOF", len(b), err)
	}
	remove()
	mustAsk(t, "GET", u, "", 200)

	p.Inject(Rule{Fault: Hang(), Times: 1})
	p.Inject(Rule{Fault: HangBody(100), Times: 1})
	for _, name := range []string{"hang", "hung body"} {
		req, _ := http.NewRequest("GET", u, nil)
		req.Close = true
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		res, err := http.DefaultClient.Do(req.WithContext(ctx))
		if err == nil {
			var b []byte
			b, err = io.ReadAll(res.Body)
			res.Body.Close()
			if name != "hung body" || len(b) != 100 {
				t.Errorf("%s: answered %d bytes", name, len(b))
			}
		}
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v; want a deadline", name, err)
		}
	}
	entries, sum, err := p.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, e := range entries {
		if e.Fault != "" {
			faults = append(faults, e.Fault)
		}
	}
	if got := strings.Join(faults, "; "); got != "503 SlowDown; 503 SlowDown; broken body; hang; hung body" {
		t.Errorf("faults in the log: %s", got)
	}
	if sum.BytesFetched != int64(2*len(object)+1234+100) {
		t.Errorf("bytes fetched %d: want what was passed on, broken bodies too", sum.BytesFetched)
	}
}

// Close ends hung requests, twice is fine, and an endpoint that is gone is a 502.
func TestCloseAndUnreachable(t *testing.T) {
	p := start(t, Options{Target: "http://127.0.0.1:1"})
	mustAsk(t, "GET", p.URL()+"/lake/x", "", 502)
	p.Inject(Rule{Fault: Hang()})
	done := make(chan error)
	go func() {
		_, _, err := ask(t, "GET", p.URL()+"/lake/x", "")
		done <- err
	}()
	awaitRequest(t, p)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	_ = p.Close()
	if err := <-done; err == nil {
		t.Error("a hung request got an answer")
	}
	if _, err := New(Options{Target: "nowhere", Latency: -1, Jitter: 2, MaxLog: -1}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("want four faults at once, got %v", err)
	}
}

// Reset drops what began before it.
func TestResetDropsRequestsInFlight(t *testing.T) {
	s := newStore(t)
	p := start(t, Options{Target: s.URL, Latency: 50 * time.Millisecond})
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustAsk(t, "GET", p.URL()+"/lake/x", "", 200)
	}()
	awaitRequest(t, p)
	p.Reset()
	<-done
	if entries, _, err := p.Take(context.Background()); err != nil || len(entries) != 0 {
		t.Errorf("%d entries, %v; want none", len(entries), err)
	}
}
