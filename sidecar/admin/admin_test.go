package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/alio-lake/alio/sidecar/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() admin.Options {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_test_total", Help: "A test."})
	c.Add(3)
	reg.MustRegister(c)
	return admin.Options{Gatherer: reg, Status: func() any { return map[string]any{"mount": "<lake>"} }, Title: "alio <test>"}
}

func get(t *testing.T, o admin.Options, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestPages(t *testing.T) {
	for _, c := range []struct {
		method, path string
		code         int
		contentType  string
		holds        string
	}{
		{"GET", "/metrics", 200, "text/plain", "alio_test_total 3"},
		{"GET", "/healthz", 200, "text/plain", "ok"},
		{"GET", "/readyz", 200, "text/plain", "ready"},
		{"GET", "/status", 200, "application/json", `"mount"`},
		{"GET", "/", 200, "text/html", "alio &lt;test&gt;"},
		{"GET", "/", 200, "text/html", `href="metrics"`},
		{"HEAD", "/readyz", 200, "text/plain", ""},
		{"POST", "/status", 405, "", ""},
		{"GET", "/nothing", 404, "", ""},
		{"GET", "/debug/pprof/", 404, "", ""},
	} {
		w := get(t, options(), c.method, c.path)
		if w.Code != c.code || !strings.HasPrefix(w.Header().Get("Content-Type"), c.contentType) || !strings.Contains(w.Body.String(), c.holds) {
			t.Errorf("%s %s: %d %s\n%s", c.method, c.path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

func TestNotReady(t *testing.T) {
	o := options()
	o.Ready = func() error { return errors.New("the disk tier is being recovered") }
	if w := get(t, o, "GET", "/readyz"); w.Code != 503 || !strings.Contains(w.Body.String(), "being recovered") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(t, o, "GET", "/healthz"); w.Code != 200 {
		t.Errorf("healthz depends on readiness: %d", w.Code)
	}
	if w := get(t, o, "GET", "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "being recovered") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestMounts(t *testing.T) {
	o := options()
	if w := get(t, o, "GET", "/mounts"); w.Code != 404 {
		t.Errorf("no mounts to tell of: %d", w.Code)
	}
	o.Mounts = func(_ context.Context, ask bool) any { return map[string]bool{"asked": ask} }
	for path, want := range map[string]string{"/mounts": `"asked": false`, "/mounts?check=true": `"asked": true`, "/mounts?check=maybe": "want true or false"} {
		if w := get(t, o, "GET", path); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestReload(t *testing.T) {
	o := options()
	if w := get(t, o, "POST", "/reload"); w.Code != 404 {
		t.Errorf("nothing to reload: %d", w.Code)
	}
	var failure error
	o.Reload = func() (any, error) { return map[string]error{"failed": failure}, failure }
	if w := get(t, o, "POST", "/reload"); w.Code != 200 || !strings.Contains(w.Body.String(), `"failed": null`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(t, o, "GET", "/reload"); w.Code != 405 {
		t.Errorf("a GET reloads: %d", w.Code)
	}
	failure = errors.New("no")
	if w := get(t, o, "POST", "/reload"); w.Code != 422 {
		t.Errorf("a reload that fails: %d %s", w.Code, w.Body)
	}
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, w := httptest.NewRequest("POST", "/reload", nil), httptest.NewRecorder()
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if s.Handler().ServeHTTP(w, r); w.Code != 403 {
		t.Errorf("a reload that another site's page asks for: %d", w.Code)
	}
}

func TestStatusIsJSON(t *testing.T) {
	var got map[string]string
	if err := json.Unmarshal(get(t, options(), "GET", "/status").Body.Bytes(), &got); err != nil || got["mount"] != "<lake>" {
		t.Errorf("%v %v", got, err)
	}
	o := options()
	var log bytes.Buffer
	o.Logger = zerolog.New(&log)
	o.Status = func() any { return func() {} }
	if w := get(t, o, "GET", "/status"); w.Code != 500 || !strings.Contains(log.String(), "status cannot be printed") {
		t.Errorf("%d %s, log %s", w.Code, w.Body, &log)
	}
	if w := get(t, o, "GET", "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "cannot be printed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPprofOnlyIfOn(t *testing.T) {
	o := options()
	o.Pprof = true
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		if w := get(t, o, "GET", path); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestOptions(t *testing.T) {
	_, err := admin.New(admin.Options{Grace: -1})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults at once, got %v", err)
	}
}

func TestRun(t *testing.T) {
	o := options()
	slow, release := make(chan struct{}), make(chan struct{})
	o.Status = func() any {
		close(slow)
		<-release
		return "late"
	}
	o.Grace = time.Minute
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, ln) }()
	answer := make(chan string, 1)
	go func() {
		defer http.DefaultClient.CloseIdleConnections()
		resp, err := http.Get("http://" + ln.Addr().String() + "/status")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-slow
	cancel() // a request is under way: it gets its answer
	closed(t, ln.Addr().String())
	close(release)
	if got := <-answer; got != "\"late\"\n" {
		t.Errorf("answer %q", got)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// closed waits until nobody listens on an address.
func closed(t *testing.T, address string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s still listens", address)
		}
	}
}

func TestRunCutsOffAfterTheGrace(t *testing.T) {
	o := options()
	reached, release := make(chan struct{}), make(chan struct{})
	o.Status = func() any { close(reached); <-release; return nil }
	o.Grace = 10 * time.Millisecond
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + ln.Addr().String() + "/status")
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	if err := s.Run(ctx, ln); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the hanging request was answered")
	}
	close(release)
}

func TestRunReportsABrokenListener(t *testing.T) {
	s, err := admin.New(options())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.Run(t.Context(), ln); err == nil {
		t.Error("no error")
	}
}
