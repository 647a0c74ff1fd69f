package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/sidecar/config"
)

// configured is a sidecar of a config file that the test rewrites.
type configured struct {
	*process
	file string
}

// configure starts a sidecar of a config file and of flags.
func configure(t *testing.T, text string, args ...string) *configured {
	t.Helper()
	c := &configured{file: filepath.Join(t.TempDir(), "alio.yaml")}
	c.write(t, text)
	c.process = launch(t, sidecarCommand(append([]string{"--config", c.file, "--s3-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, args...)...))
	if err := json.Unmarshal([]byte(c.waitLog(`"message":"ready"`)), c.process); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *configured) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// on is a mount of an origin, for a config file.
func on(name string, o *s3Origin, more string) string {
	return "  " + name + ": {uri: 's3://bucket', s3: {endpoint: '" + o.url + "', path_style: true, anonymous: true}" + more + "}\n"
}

// reload posts to the admin server.
func (c *configured) reload(t *testing.T) (int, reloadReport) {
	t.Helper()
	a, err := request(t.Context(), http.MethodPost, c.Admin+"/reload")
	var r reloadReport
	if err == nil {
		err = json.Unmarshal([]byte(a.body), &r)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return a.code, r
}

func TestReload(t *testing.T) {
	isolate(t)
	before, after := startOrigin(t), startOrigin(t)
	for o, text := range map[*s3Origin]string{before: "before", after: "afterwards"} {
		o.Put(uuidName, []byte(text)) // its name says that it never changes, so nothing but the reload drops it
		o.Put("slow", []byte(text))
	}
	const always = "freshness: {rules: [{path: '**', max_age: forever}]}\n"
	c := configure(t, "mounts:\n"+on("lake", before, "")+on("pond", before, "")+always)
	get := func(path string) string { return c.must(c.S3 + path).body }
	for range 2 {
		if got := get("/lake/" + uuidName); got != "before" {
			t.Fatalf("%q", got)
		}
	}
	release := before.holdBack()
	defer release()
	late := make(chan string, 1)
	go func() {
		a, err := c.get(c.S3 + "/lake/slow")
		if err != nil {
			a.body = err.Error()
		}
		late <- a.body
	}()
	<-before.held
	c.write(t, "mounts:\n"+on("lake", after, "")+on("lake/old", before, "")+on("sea", after, "")+always+"cache: {memory: 77MiB}\nlog: {level: debug}\n")
	c.signal(syscall.SIGHUP)
	line := c.waitLog("configuration reloaded")
	for _, want := range []string{`"added":["lake/old","sea"]`, `"changed":["lake"]`, `"removed":["pond"]`, `"needs_restart":["cache.memory","log.level"]`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log says %s, want %s in it", line, want)
		}
	}
	release()
	if got := <-late; got != "before" {
		t.Errorf("a request that was under way got %q", got)
	}
	for path, want := range map[string]string{"/lake/" + uuidName: "afterwards", "/lake/old/" + uuidName: "before", "/sea/" + uuidName: "afterwards",
		"/lake/slow": "afterwards", "/pond/slow": "NoSuchBucket", "/lake?list-type=2&delimiter=/": "<Prefix>old/</Prefix>"} {
		if got := get(path); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if m := get2(c, "/metrics"); strings.Contains(m, `mount="pond"`) || !strings.Contains(m, `alio_origin_requests_total{mount="lake/old"`) {
		t.Error("the metrics are not those of the mounts that there are")
	}
}

func get2(c *configured, path string) string { return c.must(c.Admin + path).body }

func TestReloadThatFailsChangesNothing(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("x", []byte("as it was"))
	good := "mounts:\n" + on("lake", o, "")
	c := configure(t, good)
	for text, want := range map[string]string{
		"mounts: {":                          "not YAML",
		"mounts: {lake: {uri: 'ftp://x'}}\n": "alio.yaml:1: mounts.lake.uri",
		"mounts: {}\n":                       "there is no mount",
		good + "doors: {s3: {credentials: [{access_key_id: a, secret_access_key: b, mounts: [sea]}]}}\n": `there is no mount "sea"`,
		good + "  no: {uri: 'hdfs://nameservice', hdfs: {conf_dir: /none/at/all}}\n":                     "mounts.no",
	} {
		c.write(t, text)
		code, r := c.reload(t)
		if code != http.StatusUnprocessableEntity || !strings.Contains(r.Error, want) || len(r.Added)+len(r.Removed)+len(r.Changed) != 0 {
			t.Errorf("%s: %d %+v, want %s", text, code, r, want)
		}
		if a := c.must(c.S3 + "/lake/x"); a.body != "as it was" {
			t.Errorf("%s: afterwards %d %s", text, a.code, a.body)
		}
	}
	if said := c.figure("reload", "error").(string); said == "" {
		t.Error("the status does not tell of the failure")
	}
	c.write(t, good+on("pond", o, ""))
	if code, r := c.reload(t); code != 200 || !slices.Equal(r.Added, []string{"pond"}) || r.Changed != nil {
		t.Errorf("%d %+v", code, r)
	}
}

// TestReloadHoldsWhatRunsToTheRules has a file that is right by itself, and wrong beside the door that is open until a restart.
func TestReloadHoldsWhatRunsToTheRules(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	mounts := "mounts:\n" + on("lake", o, "")
	c := configure(t, mounts+"doors: {grpc: {listen: '127.0.0.1:0', tokens: [{name: a, token: b}]}}\n")
	c.write(t, mounts)
	if code, r := c.reload(t); code != http.StatusUnprocessableEntity || !strings.Contains(r.Error, "doors.grpc.tokens") {
		t.Errorf("a door on TCP without tokens: %d %+v", code, r)
	}
}

func TestReloadOfKeys(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("x", []byte("open"))
	c := configure(t, "mounts:\n"+on("lake", o, ""))
	if a := c.must(c.S3 + "/lake/x"); a.code != 200 {
		t.Fatal(a)
	}
	c.write(t, "mounts:\n"+on("lake", o, "")+"doors: {s3: {credentials: [{access_key_id: a, secret_access_key: b}]}}\n")
	c.reload(t)
	if a := c.must(c.S3 + "/lake/x"); a.code != http.StatusForbidden {
		t.Errorf("without a key: %d %s", a.code, a.body)
	}
}

func TestReadOnlyMount(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	c := configure(t, "mounts:\n"+on("lake", o, ", writes: read_only"))
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPost} {
		a, err := request(t.Context(), method, c.S3+"/lake/x")
		if err != nil || a.code != http.StatusForbidden || !strings.Contains(a.body, "AccessDenied") || !strings.Contains(a.body, "mounts.lake.writes") {
			t.Errorf("%s: %d %v %s", method, a.code, err, a.body)
		}
	}
}

// closes counts.
type closes struct {
	closable
	n chan struct{}
}

func (c closes) Close() error { close(c.n); return c.closable.Close() }

func TestOriginsThatAreNoLongerMountedAreClosed(t *testing.T) {
	isolate(t)
	cfg := config.DefaultMount()
	cfg.URI, cfg.S3.Region = "s3://bucket", "us-east-1"
	bare, err := makeOrigin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	spy := closes{bare, make(chan struct{})}
	running := config.Default()
	running.Mounts = map[string]config.Mount{"lake": cfg}
	p, err := assemble(running, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer p.discard()
	m, err := wrapMount("lake", cfg, spy)
	if err != nil {
		t.Fatal(err)
	}
	p.mounts.Load().made["lake"] = m
	p.reloads.load = func() (*config.Config, error) {
		next := config.Default()
		other := cfg
		other.URI = "s3://other"
		next.Mounts = map[string]config.Mount{"lake": other}
		return next, nil
	}
	select {
	case <-spy.n:
		t.Error("closed while it is mounted")
	default:
	}
	if r, err := p.reload(); err != nil || !slices.Equal(r.Changed, []string{"lake"}) {
		t.Fatalf("%+v %v", r, err)
	}
	eventually(t, "a Close", func() bool {
		runtime.GC()
		select {
		case <-spy.n:
			return true
		default:
			return false
		}
	})
}

// What is said of prefetching is in force after a reload, and a mode that does not exist changes nothing.
func TestReloadOfPrefetch(t *testing.T) {
	isolate(t)
	mounts := "mounts:\n" + on("lake", startOrigin(t), "")
	c := configure(t, mounts)
	mode := func(want string) {
		t.Helper()
		if got := get2(c, "/status"); !strings.Contains(strings.Join(strings.Fields(got), ""), want) {
			t.Errorf("/status lacks %s: %s", want, got)
		}
	}
	mode(`"prefetch":{"mode":"off","rules":0,`)
	c.write(t, mounts+"prefetch: {mode: on, rules: [{path: 'lake/logs/**', mode: off}], requests: 2, ahead: 8MiB, bandwidth: 1MiB}\n")
	if code, r := c.reload(t); code != http.StatusOK || len(r.NeedsRestart) > 0 {
		t.Errorf("%d, %+v", code, r)
	}
	mode(`"prefetch":{"mode":"on","rules":1,`)
	c.write(t, mounts+"prefetch: {mode: sometimes}\n")
	if code, r := c.reload(t); code == http.StatusOK || !strings.Contains(r.Error, "prefetch.mode") {
		t.Errorf("%d, %+v", code, r)
	}
	mode(`"prefetch":{"mode":"on","rules":1,`)
}
