package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/sidecar/config"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const metricsFile = "../../docs/metrics.md"

// assembled puts every part together, the disk tier included, and gives it back when the test ends.
func assembled(t *testing.T) *parts {
	t.Helper()
	isolate(t)
	cfg := config.Default()
	m := config.DefaultMount()
	m.URI, m.S3.Region = "s3://bucket", "us-east-1"
	cfg.Mounts = map[string]config.Mount{"lake": m}
	cfg.Cache.Dir, cfg.Doors.GRPC.Socket = filepath.Join(t.TempDir(), "cache"), "unused.sock"
	cfg.Affinity.Etcd.Endpoints = []string{"http://127.0.0.1:1"}
	cfg.Affinity.Name, cfg.Affinity.Worker, cfg.Affinity.Sidecar = "w", "w:8080", "w:9492"
	cfg.Peers.Listen = "127.0.0.1:0"
	cfg.Peers.TLS = writeCertificate(t)
	cfg.Peers.CAFile = cfg.Peers.TLS.CertFile
	p, err := assemble(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.discard(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// family is one metric as it is registered.
type family struct {
	name, kind, help string
	labels           map[string][]string // values by name
}

// families are the metrics of an assembled sidecar, but for those of Go and of the process, which are not ours.
func families(t *testing.T, registry prometheus.Gatherer) []family {
	t.Helper()
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []family
	for _, g := range gathered {
		if !strings.HasPrefix(g.GetName(), "alio_") {
			if !strings.HasPrefix(g.GetName(), "go_") && !strings.HasPrefix(g.GetName(), "process_") {
				t.Errorf("%s: our metrics start with alio_", g.GetName())
			}
			continue
		}
		f := family{name: g.GetName(), kind: strings.ToLower(g.GetType().String()), help: g.GetHelp(), labels: map[string][]string{}}
		for _, m := range g.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(f.labels[l.GetName()], l.GetValue()) {
					f.labels[l.GetName()] = append(f.labels[l.GetName()], l.GetValue())
				}
			}
		}
		out = append(out, f)
	}
	return out
}

// open labels have values that the operator or the build gives.
var open = []string{"mount", "device", "version", "commit", "go"}

func (f family) row() string {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(f.labels)) {
		text := "`" + name + "`"
		if !slices.Contains(open, name) {
			text += ": " + strings.Join(f.labels[name], ", ")
		}
		labels = append(labels, text)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", f.name, f.kind, f.unit(), strings.Join(labels, "; "), f.help)
}

// unit follows from the name, as Prometheus wants it.
func (f family) unit() string {
	name := strings.TrimSuffix(f.name, "_total")
	for _, u := range []string{"bytes", "seconds"} {
		if strings.HasSuffix(name, "_"+u) {
			return u
		}
	}
	return "count"
}

// sections of the page, by the beginnings of the names.
var sections = []struct{ title, prefixes string }{
	{"Clients: the S3 endpoint", "alio_s3_"},
	{"Clients: the gRPC door", "alio_rpc_ alio_local_"},
	{"Reads: what was asked for and where it came from", "alio_read_ alio_forwarded_"},
	{"Freshness and layouts", "alio_freshness_ alio_layouts_"},
	{"The page cache", "alio_cache_"},
	{"What is fetched before readers ask for it", "alio_prefetch_"},
	{"The disk tier", "alio_disk_"},
	{"What is known of objects, on disk", "alio_metadata_"},
	{"Origins", "alio_origin_"},
	{"The fleet (only with affinity in the configuration)", "alio_affinity_"},
	{"Other sidecars (only with peers in the configuration)", "alio_peer_"},
	{"The process", "alio_"},
}

func metricsPage(t *testing.T, all []family) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(metricsHead)
	left := slices.Clone(all)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n", s.title)
		left = slices.DeleteFunc(left, func(f family) bool {
			in := slices.ContainsFunc(strings.Fields(s.prefixes), func(p string) bool { return strings.HasPrefix(f.name, p) })
			if in {
				b.WriteString(f.row())
			}
			return in
		})
	}
	return b.String()
}

// TestMetricsPageIsCurrent compares docs/metrics.md with what an assembled sidecar registers; with -update it writes the page.
func TestMetricsPageIsCurrent(t *testing.T) {
	want := metricsPage(t, families(t, assembled(t).gatherer()))
	if *update {
		if err := os.WriteFile(metricsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	shown, held := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for _, line := range held {
		if !slices.Contains(shown, line) {
			t.Errorf("docs/metrics.md lacks: %s", line)
		}
	}
	for _, line := range shown {
		if !slices.Contains(held, line) {
			t.Errorf("docs/metrics.md has, and nothing registers: %s", line)
		}
	}
	if t.Failed() {
		t.Error("run go generate ./cmd/alio")
	}
}

// TestMetricsAreThereFromTheStart finds metrics that are registered and show no value until something happens: a rate over them would be
// absent instead of 0.
func TestMetricsAreThereFromTheStart(t *testing.T) {
	p := assembled(t)
	shown := map[string]bool{}
	for _, f := range families(t, p.gatherer()) {
		shown[f.name] = true
		if f.help == "" || !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: its help is no sentence: %q", f.name, f.help)
		}
		if (f.kind == "counter") != strings.HasSuffix(f.name, "_total") {
			t.Errorf("%s is a %s: counters, and only they, end in _total", f.name, f.kind)
		}
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		p.registry.Describe(descriptions)
		close(descriptions)
	}()
	name := regexp.MustCompile(`fqName: "(alio_[^"]*)"`)
	for d := range descriptions {
		if m := name.FindStringSubmatch(d.String()); m != nil && !shown[m[1]] {
			t.Errorf("%s is registered and has no value at the start", m[1])
		}
	}
}

const metricsHead = "<!-- Written by `go generate ./cmd/alio` from what an assembled sidecar registers. A test compares. -->\n\n" + `# Metrics

` + "`/metrics`" + ` on the admin address (127.0.0.1:9481 by default) has these for Prometheus, and the usual ` + "`go_…` and `process_…`" + ` ones. Every label pair is
there from the start, so a rate over something that has not happened yet is 0. Bytes are bytes, times are seconds, counters end in _total.

What to look at first:

| question | answer |
| --- | --- |
| how much comes from the cache | ` + "`sum(rate(alio_read_served_bytes_total{source!=\"origin\"}[5m])) / sum(rate(alio_read_served_bytes_total[5m]))`" + ` |
| how much the origin is asked | ` + "`sum by (op) (rate(alio_origin_requests_total[5m]))`, `rate(alio_origin_read_bytes_total[5m])`" + ` |
| whether more is read than was asked for | ` + "`alio_cache_overread_bytes_total` and `alio_cache_refetched_bytes_total` beside `alio_cache_fetched_bytes_total`" + ` |
| whether the disk keeps up | ` + "`rate(alio_cache_disk_shed_pages_total[5m])`, `alio_disk_set_aside`" + ` |
| whether clients see errors | ` + "`sum by (op, code) (rate(alio_s3_requests_total{code=~\"5..\"}[5m]))`" + ` |
`
