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

// placing is a fleet of three, whose splits a Java program places.
type placing struct {
	t       *testing.T
	service *harness.Affinity
	members []*harness.Alio
	workers []string
	splits  []affinity.SplitJSON
	p       *javaPlacer
}

func newPlacing(t *testing.T) *placing {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	r := &placing{t: t, service: harness.AffinityService(t, harness.AffinityOptions{Socket: socket, Lease: time.Second}), workers: []string{"a:8080", "b:8080", "c:8080"}}
	r.p = startPlacer(t, socket)
	for _, placed := range r.p.place(1, r.workers...) {
		if placed != "-" {
			t.Fatalf("there is no epoch, and a split was placed on %s", placed)
		}
	}
	for _, w := range r.workers {
		r.members = append(r.members, harness.SidecarWith(t, harness.AlioOptions{AccessKey: "a", SecretKey: "b", ExtraYAML: r.service.Member(w[:1], w),
			Mounts: "  lake: {uri: 's3://bucket', s3: {endpoint: 'http://127.0.0.1:1', region: x, path_style: true, anonymous: true}}\n"}))
	}
	need(t, r.service.Await(t.Context(), len(r.members)))
	for i := range placedSplits {
		r.splits = append(r.splits, affinity.SplitJSON{Mount: "lake", Path: fmt.Sprintf("sales/part-%d.parquet", i), Offset: int64(i%4) << 28})
	}
	r.p.until("the epoch with three members", func(now map[string]float64) bool { return now["Members"] == 3 && now["BreakerOpen"] == 0 })
	return r
}

func (r *placing) owners() []string {
	r.t.Helper()
	owners, err := r.service.Owners(r.t.Context(), r.splits)
	need(r.t, err)
	return owners
}

// as places all splits until a counter grows by all of them: a busy machine may be late now and then, which the splits do not show, and the counters do.
func (r *placing) as(what, counter string, want []string) {
	r.t.Helper()
	r.p.until(what+": "+counter+" grows by a batch", func(now map[string]float64) bool {
		if got := r.p.place(1, r.workers...); !slices.Equal(got, want) {
			r.t.Fatalf("%s: splits were placed elsewhere than the service says:\n%v\n%v", what, got, want)
		}
		return r.p.report()[counter]-now[counter] == placedSplits
	})
}

func (r *placing) untilOpen(open float64) {
	r.t.Helper()
	r.p.until(fmt.Sprint("the breaker is ", open), func(now map[string]float64) bool { return now["BreakerOpen"] == open })
}

// Java places splits by a real affinity service, section by section as Go answers; from the epoch that it watches while the service hangs, is gone, or comes back; and on those of the owners whose
// workers the engine has. Nothing fails, and no batch waits for longer than its deadline.
func TestJavaAffinity(t *testing.T) {
	r := newPlacing(t)
	owners := r.owners()
	r.as("asked", "AskedSplits", owners)
	r.nodes(owners)

	need(t, syscall.Kill(r.service.PID(), syscall.SIGSTOP))
	r.untilOpen(1)
	r.as("while the service hangs", "WatchedSplits", owners)
	need(t, syscall.Kill(r.service.PID(), syscall.SIGCONT))
	r.untilOpen(0)
	r.service.Kill()
	r.untilOpen(1)
	r.as("while the service is gone", "WatchedSplits", owners)
	need(t, r.service.Start(t.Context()))
	need(t, r.service.Await(t.Context(), 3))
	r.untilOpen(0)

	// A member dies: the next epoch moves its share alone, and reaches the epoch that is watched.
	epochs := r.p.report()["Epochs"]
	r.members[2].Kill()
	need(t, r.service.Await(t.Context(), 2))
	r.p.until("the epoch without c", func(now map[string]float64) bool { return now["Epochs"] > epochs })
	after := r.owners()
	r.service.Kill()
	r.untilOpen(1)
	r.as("by the new epoch", "WatchedSplits", after)
	moved := 0
	for i := range after {
		if after[i] != owners[i] {
			moved++
			if owners[i] != r.workers[2] {
				t.Fatalf("split %d moved from %s when c died", i, owners[i])
			}
		}
	}
	end := r.p.report()
	t.Logf("%d of %d splits moved; %v", moved, placedSplits, end)
	if end["SlowestMicros"] > 2_000_000 { // the deadline is 5 ms, and a service that hangs never answers; the rest is the machine's
		t.Errorf("a batch waited for %.0f ms", end["SlowestMicros"]/1000)
	}
}

// nodes has splits placed on two nodes each, malformed splits, and an engine that lacks the node beside a: its splits go to others, and nobody else's move.
func (r *placing) nodes(owners []string) {
	t, p := r.t, r.p
	t.Helper()
	for i, pair := range p.place(2, r.workers...) {
		if first, second, ok := strings.Cut(pair, "+"); !ok || first != owners[i] || second == first {
			t.Fatalf("split %d of two workers: %s; the first is %s", i, pair, owners[i])
		}
	}
	if bad := p.ask("bad " + strings.Join(r.workers, ",")); bad != "- - - - - - "+owners[0] {
		t.Errorf("splits that make no sense, and one that does: %s", bad)
	}
	missing := p.report()["MissingWorkers"]
	for i, placed := range p.place(1, r.workers[1:]...) {
		if owners[i] == r.workers[0] && (placed == "-" || placed == owners[i]) || owners[i] != r.workers[0] && placed != owners[i] {
			t.Fatalf("without node %s split %d of %s was placed on %s", r.workers[0], i, owners[i], placed)
		}
	}
	if p.report()["MissingWorkers"] == missing {
		t.Error("no missing worker was counted")
	}
}
