package itest

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/itest/harness"
)

// placedSplits are as many as the Java program Placer places: of 600 files, a quarter each in their first to fourth section.
const placedSplits = 600

// javaPlacer is the Java program Placer, which places splits as a coordinator does.
type javaPlacer struct {
	t     *testing.T
	in    io.Writer
	lines *bufio.Reader
}

func startPlacer(t *testing.T, address string) *javaPlacer {
	t.Helper()
	r := startJava(t, nil, javaJars(t), "io.alio.client.Placer", address, "")
	return &javaPlacer{t: t, in: r.in, lines: r.out}
}

func (p *javaPlacer) ask(command string) string {
	p.t.Helper()
	_, err := io.WriteString(p.in, command+"\n")
	need(p.t, err)
	line, err := p.lines.ReadString('\n')
	need(p.t, err)
	return strings.TrimSpace(line)
}

func (p *javaPlacer) place(hosts int, nodes ...string) []string {
	p.t.Helper()
	return strings.Fields(p.ask(fmt.Sprintf("place %d %d %s", hosts, placedSplits, strings.Join(nodes, ","))))
}

func (p *javaPlacer) report() map[string]float64 {
	p.t.Helper()
	return counted(p.t, p.ask("report"))
}

// until polls until a condition on the counters holds, while splits are placed all the time.
func (p *javaPlacer) until(what string, ok func(now map[string]float64) bool) map[string]float64 {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(40 * time.Second); ; <-tick.C {
		p.place(1, "none")
		now := p.report()
		if ok(now) {
			return now
		}
		if time.Now().After(end) {
			p.t.Fatalf("not within 40 s: %s; %v", what, now)
		}
	}
}

// Java places splits by a real affinity service, section by section as Go answers; from the epoch that it watches while the service hangs, is gone, or comes back; and on those of the owners whose
// workers the engine has. Nothing fails, and no batch waits for longer than its deadline.
func TestJavaAffinity(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	service := harness.AffinityService(t, harness.AffinityOptions{Socket: socket, Lease: time.Second})
	p := startPlacer(t, socket)
	workers := []string{"a:8080", "b:8080", "c:8080"}
	for _, placed := range p.place(1, workers...) {
		if placed != "-" {
			t.Fatalf("there is no epoch, and a split was placed on %s", placed)
		}
	}
	var members []*harness.Alio
	for _, w := range workers {
		members = append(members, harness.SidecarWith(t, harness.AlioOptions{AccessKey: "a", SecretKey: "b", ExtraYAML: service.Member(w[:1], w),
			Mounts: "  lake: {uri: 's3://bucket', s3: {endpoint: 'http://127.0.0.1:1', region: x, path_style: true, anonymous: true}}\n"}))
	}
	need(t, service.Await(t.Context(), 3))
	var splits []affinity.SplitJSON
	for i := range placedSplits {
		splits = append(splits, affinity.SplitJSON{Mount: "lake", Path: fmt.Sprintf("sales/part-%d.parquet", i), Offset: int64(i%4) << 28})
	}
	owners, err := service.Owners(t.Context(), splits)
	need(t, err)
	p.until("the epoch with three members", func(now map[string]float64) bool { return now["Members"] == 3 && now["BreakerOpen"] == 0 })

	// A busy machine may be late now and then, which the splits do not show, and the counters do.
	placedAs := func(what, counter string, want []string, nodes ...string) {
		t.Helper()
		p.until(what+": "+counter+" grows by a batch", func(now map[string]float64) bool {
			before := now[counter]
			if got := p.place(1, nodes...); !slices.Equal(got, want) {
				t.Fatalf("%s: splits were placed elsewhere than the service says:\n%v\n%v", what, got, want)
			}
			return p.report()[counter]-before == placedSplits
		})
	}
	placedAs("asked", "AskedSplits", owners, workers...)
	for i, pair := range p.place(2, workers...) {
		if first, second, ok := strings.Cut(pair, "+"); !ok || first != owners[i] || second == first {
			t.Fatalf("split %d of two workers: %s; the first is %s", i, pair, owners[i])
		}
	}
	if bad := p.ask("bad " + strings.Join(workers, ",")); bad != "- - - - - - "+owners[0] {
		t.Errorf("splits that make no sense, and one that does: %s", bad)
	}

	// The engine's node beside a is gone: its splits go to others, and nobody else's move.
	missing := p.report()["MissingWorkers"]
	for i, placed := range p.place(1, workers[1:]...) {
		if owners[i] == workers[0] && (placed == "-" || placed == owners[i]) || owners[i] != workers[0] && placed != owners[i] {
			t.Fatalf("without node %s split %d of %s was placed on %s", workers[0], i, owners[i], placed)
		}
	}
	if p.report()["MissingWorkers"] == missing {
		t.Error("no missing worker was counted")
	}

	need(t, syscall.Kill(service.PID(), syscall.SIGSTOP))
	p.until("the breaker opens", func(now map[string]float64) bool { return now["BreakerOpen"] == 1 })
	placedAs("while the service hangs", "WatchedSplits", owners, workers...)
	need(t, syscall.Kill(service.PID(), syscall.SIGCONT))
	p.until("the service is asked again", func(now map[string]float64) bool { return now["BreakerOpen"] == 0 })
	service.Kill()
	p.until("the breaker opens", func(now map[string]float64) bool { return now["BreakerOpen"] == 1 })
	placedAs("while the service is gone", "WatchedSplits", owners, workers...)
	need(t, service.Start(t.Context()))
	need(t, service.Await(t.Context(), 3))
	p.until("the service is asked again", func(now map[string]float64) bool { return now["BreakerOpen"] == 0 })

	// A member dies: the next epoch moves its share alone, and reaches the epoch that is watched.
	epochs := p.report()["Epochs"]
	members[2].Kill()
	need(t, service.Await(t.Context(), 2))
	p.until("the epoch without c", func(now map[string]float64) bool { return now["Epochs"] > epochs })
	after, err := service.Owners(t.Context(), splits)
	need(t, err)
	service.Kill()
	p.until("the breaker opens", func(now map[string]float64) bool { return now["BreakerOpen"] == 1 })
	placedAs("by the new epoch", "WatchedSplits", after, workers...)
	moved := 0
	for i := range after {
		if after[i] != owners[i] {
			moved++
			if owners[i] != workers[2] {
				t.Fatalf("split %d moved from %s when c died", i, owners[i])
			}
		}
	}
	end := p.report()
	t.Logf("%d of %d splits moved; %v", moved, placedSplits, end)
	if end["SlowestMicros"] > 250_000 {
		t.Errorf("a batch waited for %.0f ms", end["SlowestMicros"]/1000)
	}
}
