package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// uuidName is written once by its name, so a restarted sidecar serves it without asking again once it knows its version.
const uuidName = "t/part-6f1c2d3e-0000-4000-8000-0123456789ab.bin"

func text(n int) string { return strings.Repeat("0123456789abcdef", n/16) }

func TestServesReads(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("dir/a.txt", []byte("hello, page"))
	p := start(t, o, "--cache-dir", filepath.Join(t.TempDir(), "cache"), "--cache-size", "64MiB")
	url := p.S3 + "/lake/dir/a.txt"
	for _, c := range []struct {
		method, url string
		header      []string
		code        int
		holds       string
	}{
		{"GET", url, nil, 200, "hello, page"},
		{"GET", url, []string{"Range", "bytes=7-10"}, 206, "page"},
		{"GET", url, []string{"Range", "bytes=-4"}, 206, "page"},
		{"GET", url, []string{"Range", "bytes=100-"}, 416, "InvalidRange"},
		{"GET", url, []string{"If-Match", `"other"`}, 412, "PreconditionFailed"},
		{"HEAD", url, nil, 200, ""},
		{"GET", p.S3 + "/lake/none", nil, 404, "NoSuchKey"},
		{"GET", p.S3 + "/sea/a", nil, 404, "NoSuchBucket"},
		{"GET", p.S3 + "/lake?list-type=2&prefix=dir/", nil, 200, "<Key>dir/a.txt</Key>"},
		{"GET", p.Admin + "/readyz", nil, 200, "ready"},
		{"GET", p.Admin + "/healthz", nil, 200, "ok"},
		{"GET", p.Admin + "/metrics", nil, 200, "\nalio_ready 1\n"},
		{"GET", p.Admin + "/", nil, 200, p.S3},
		{"GET", p.Admin + "/debug/pprof/", nil, 404, ""},
	} {
		a, err := request(t.Context(), c.method, c.url, c.header...)
		if err != nil || a.code != c.code || !strings.Contains(a.body, c.holds) {
			t.Errorf("%s %s %v: %d %v\n%s", c.method, c.url, c.header, a.code, err, a.body)
		}
	}
	if got := p.figure("sidecar", "mounts", "lake").(string); !strings.Contains(got, "bucket") {
		t.Errorf("status names the origin %q", got)
	}
	if n := p.figure("reads", "requested_bytes").(float64); n < 19 { // the whole and two ranges of it
		t.Errorf("status counts %v requested bytes", n)
	}
	if ratio := p.figure("reads", "hit_ratio").(float64); ratio <= 0 || ratio >= 1 {
		t.Errorf("status tells a hit ratio of %v after a miss and hits", ratio)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 || !strings.Contains(p.output(), `"message":"stopped"`) {
		t.Errorf("exit %d", code)
	}
}

func TestMemoryOnlyIsSaid(t *testing.T) {
	isolate(t)
	p := start(t, startOrigin(t))
	p.waitLog("kept in memory only")
	p.waitLog("no credentials")
}

// TestWarmAfterARestart covers both ends: told to stop, and killed.
func TestWarmAfterARestart(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	body := text(3 << 20)
	o.Put(uuidName, []byte(body))
	dir := filepath.Join(t.TempDir(), "cache")
	run := func(end syscall.Signal, wantCode int) {
		p := start(t, o, "--cache-dir", dir, "--cache-size", "64MiB")
		p.must(p.S3 + "/lake?list-type=2&prefix=t/") // confirms the version, so that no read has to
		if a := p.must(p.S3 + "/lake/" + uuidName); a.code != 200 || a.body != body {
			t.Errorf("%d, %d bytes, want %d", a.code, len(a.body), len(body))
		}
		p.stored(1)
		if q := p.figure("disk", "queue_bytes").(float64); end == syscall.SIGKILL {
			eventually(t, "an empty write queue", func() bool { q = p.figure("disk", "queue_bytes").(float64); return q == 0 })
		}
		p.signal(end)
		if code := p.exit(); code != wantCode {
			t.Errorf("%v: exit %d, want %d", end, code, wantCode)
		}
	}
	run(syscall.SIGTERM, 0)
	cold := o.gets(uuidName)
	if cold == 0 {
		t.Fatal("the origin was not read at all")
	}
	run(syscall.SIGKILL, -1)
	run(syscall.SIGINT, 0)
	if warm := o.gets(uuidName) - cold; warm != 0 {
		t.Errorf("%d data GETs after the restarts, want 0", warm)
	}
}

func TestDrain(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("slow", []byte("late but whole"))
	release := o.holdBack()
	defer release()
	p := start(t, o)
	got := make(chan answer, 1)
	go func() {
		a, err := p.get(p.S3 + "/lake/slow")
		if err != nil {
			a.body = err.Error()
		}
		got <- a
	}()
	<-o.held
	p.signal(syscall.SIGTERM)
	p.waitLog("shutting down")
	if a := p.must(p.Admin + "/readyz"); a.code != http.StatusServiceUnavailable || !strings.Contains(a.body, "shutting down") {
		t.Errorf("readyz while draining: %d %s", a.code, a.body)
	}
	eventually(t, "a closed door", func() bool { _, err := p.get(p.S3 + "/lake/slow"); return err != nil })
	release()
	if a := <-got; a.code != 200 || a.body != "late but whole" {
		t.Errorf("the request under way got %d %s", a.code, a.body)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestGraceEnds(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("slow", []byte("never"))
	defer o.holdBack()()
	config := filepath.Join(t.TempDir(), "alio.yaml")
	if err := os.WriteFile(config, []byte("shutdown_grace: 10ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, o, "--config", config)
	failed := make(chan error, 1)
	go func() {
		_, err := p.get(p.S3 + "/lake/slow")
		failed <- err
	}()
	<-o.held
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
	p.waitLog("cut off")
	if err := <-failed; err == nil {
		t.Error("the hanging request was answered")
	}
}

func TestSecondSignalLeavesAtOnce(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("slow", []byte("never"))
	defer o.holdBack()()
	p := start(t, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.get(p.S3 + "/lake/slow") // it fails: that is the point
	}()
	<-o.held
	p.signal(syscall.SIGTERM)
	p.waitLog("shutting down")
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != exitFailed {
		t.Errorf("exit %d, want %d", code, exitFailed)
	}
	<-done
}

// failing runs a sidecar that must not start, and returns what it says.
func failing(t *testing.T, o *s3Origin, args ...string) string {
	t.Helper()
	p := launch(t, sidecarCommand(append([]string{"--mount", "lake=s3://bucket", "--s3-endpoint", o.url, "--s3-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, args...)...))
	if code := p.exit(); code != exitFailed {
		t.Errorf("%v: exit %d, want %d", args, code, exitFailed)
	}
	return p.output()
}

func TestCacheDirectoryThatMustNotBeUsed(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := failing(t, o, "--cache-dir", foreign); !strings.Contains(out, "alio: cache.dir: ") || !strings.Contains(out, "thesis.txt") {
		t.Errorf("somebody else's directory: %s", out)
	}
	if left, err := os.ReadDir(foreign); err != nil || len(left) != 1 {
		t.Errorf("somebody else's directory holds %v now, %v", left, err)
	}
	file := filepath.Join(foreign, "thesis.txt")
	if out := failing(t, o, "--cache-dir", file); !strings.Contains(out, "alio: cache.dir: ") || !strings.Contains(out, file) {
		t.Errorf("a file: %s", out)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	p := start(t, o, "--cache-dir", dir)
	if out := failing(t, o, "--cache-dir", dir); !strings.Contains(out, "in use by another process") || !strings.Contains(out, dir) {
		t.Errorf("a second process: %s", out)
	}
	if a := p.must(p.Admin + "/readyz"); a.code != 200 {
		t.Errorf("the first process: %d %s", a.code, a.body)
	}
}
