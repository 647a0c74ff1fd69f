package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alio-lake/alio/affinity/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parse makes options of flags.
func parse(t testing.TB, args ...string) (*options, error) {
	t.Helper()
	o := &options{}
	flags, ready := newFlags(o)
	flags.SetOutput(io.Discard)
	need(t, flags.Parse(args))
	return o, ready()
}

// simulate runs flags to their end, and gives the results and the report.
func simulate(t testing.TB, args ...string) ([]result, string) {
	t.Helper()
	o, err := parse(t, args...)
	need(t, err)
	l, err := o.lakes()
	need(t, err)
	results, err := runAll(t.Context(), o, l, io.Discard)
	need(t, err)
	return results, report(o, l, results, "sim", "x.svg") + plot(o, results)
}

// small is a fleet that is simulated in a second.
var small = []string{"-workers", "16", "-warm", "1", "-hours", "6", "-cache", "1024"}

// find is the result of a scenario and a mode.
func find(t testing.TB, results []result, scenario, mode string) counts {
	t.Helper()
	for _, r := range results {
		if r.scenario.name == scenario && r.mode.name == mode {
			return r.counts
		}
	}
	t.Fatalf("no result of %s, %s", scenario, mode)
	return counts{}
}

// TestSameSeedSameBytes: a seed gives one report and one plot, whatever runs beside; another seed gives others.
func TestSameSeedSameBytes(t *testing.T) {
	_, one := simulate(t, append(small, "-jobs", "1", "-scenarios", "zone,hot", "-modes", "random,trino,peers")...)
	_, again := simulate(t, append(small, "-jobs", "3", "-scenarios", "zone,hot", "-modes", "random,trino,peers")...)
	if one != again {
		t.Errorf("two runs of one seed differ:\n%s\n%s", one, again)
	}
	_, other := simulate(t, append(small, "-seed", "2", "-modes", "peers", "-scenarios", "zone")...)
	for _, l := range strings.Split(other, "\n") {
		if strings.HasPrefix(l, "| zone | peers |") && strings.Contains(one, l) {
			t.Error("another seed gives the same line", l)
		}
	}
}

// TestResume: what an earlier run has kept is not simulated again, gives the same report, and is not taken for what other flags ask for.
func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kept")
	args := append(small, "-scenarios", "steady,busy", "-modes", "none,affinity", "-jobs", "1", "-resume", file)
	_, first := simulate(t, args...)
	lines, err := os.ReadFile(file)
	need(t, err)
	if n := bytes.Count(lines, []byte("\n")); n != 4 {
		t.Fatalf("%d results are kept", n)
	}
	need(t, os.WriteFile(file, append(bytes.Replace(lines, []byte(`"Queries":`), []byte(`"Queries":1`), 1), "{torn"...), 0o600))
	results, again := simulate(t, args...)
	if again != first || !strings.HasPrefix(fmt.Sprint(results[0].counts.Queries), "1") {
		t.Errorf("gone on:\n%s\nat first:\n%s", again, first)
	}
	if _, other := simulate(t, append(args, "-seed", "3")...); other == first {
		t.Error("another seed is given what the first had")
	}
}

// TestCounts: every page that is read is a hit, a peer's or the origin's, in every scenario and mode; and what must be less is less.
func TestCounts(t *testing.T) {
	results, _ := simulate(t, append(small, "-workers", "12")...)
	for _, r := range results {
		n, what := r.counts, r.scenario.name+" "+r.mode.name
		if n.Reads != n.Hits+n.Peer+n.Origin || n.Bytes != n.HitBytes+n.PeerBytes+n.OriginBytes || n.Reads == 0 {
			t.Errorf("%s: %d reads are not %d hits, %d of peers and %d of the origin", what, n.Reads, n.Hits, n.Peer, n.Origin)
		}
		if n.OriginGETs > n.Origin || n.AgainBytes > n.OriginBytes {
			t.Errorf("%s: %d GETs for %d pages, %d bytes again of %d", what, n.OriginGETs, n.Origin, n.AgainBytes, n.OriginBytes)
		}
		if without := find(t, results, r.scenario.name, "none"); without.Reads != n.Reads || without.Bytes != n.Bytes || without.Hits > 0 {
			t.Errorf("%s: reads %d pages, without a cache %d: the traces differ", what, n.Reads, without.Reads)
		}
		if r.mode.placement == "alio" && !r.scenario.queues && (n.Epochs == 0) != (r.scenario.plan == nil) {
			t.Errorf("%s: %d epochs", what, n.Epochs)
		}
		if (n.Peer > 0 || n.PulledBytes > 0) && !r.mode.peers {
			t.Errorf("%s: peers gave something", what)
		}
	}
	for _, s := range scenarios {
		gets := func(mode string) int64 { return find(t, results, s.name, mode).OriginGETs }
		if s.name != "hot" && gets("random") <= gets("affinity") || gets("none") <= gets("affinity") || gets("affinity") < gets("peers") {
			t.Errorf("%s: GETs of none %d, random %d, affinity %d, peers %d", s.name, gets("none"), gets("random"), gets("affinity"), gets("peers"))
		}
	}
	if find(t, results, "hot", "affinity").Hot == 0 || find(t, results, "steady", "affinity").Hot > 0 {
		t.Error("the hot file's section has no more owners than others, or a section has that is not hot")
	}
	steady, rolled := find(t, results, "steady", "affinity"), find(t, results, "rolling", "affinity")
	if float64(rolled.OriginGETs) > 1.1*float64(steady.OriginGETs) {
		t.Errorf("a rolling restart that keeps disks and places asks for %d, without it %d", rolled.OriginGETs, steady.OriginGETs)
	}
	if n := find(t, results, "hot", "trino"); n.BurstP99 < 10*find(t, results, "hot", "affinity").BurstP50 || n.Busiest < 1 {
		t.Errorf("one hot file: two workers' queues are %d ms at the 99th of 100, the busiest %.2f", n.BurstP99, n.Busiest)
	}
}

// TestWhatPeersGive: a fleet that doubles and halves asks the origin for less when peers give.
func TestWhatPeersGive(t *testing.T) {
	results, _ := simulate(t, append(small, "-scenarios", "autoscale,churn", "-modes", "affinity,peers")...)
	for _, s := range []string{"autoscale", "churn"} {
		if a, p := find(t, results, s, "affinity"), find(t, results, s, "peers"); p.Peer == 0 || p.PulledBytes == 0 || p.BackgroundBytes == 0 || p.OriginBytes >= a.OriginBytes {
			t.Errorf("%s: %d pages from peers, %d bytes from former owners and %d with no reader waiting; %d bytes of the origin, %d without peers", s, p.Peer, p.PulledBytes, p.BackgroundBytes, p.OriginBytes, a.OriginBytes)
		}
	}
}

// TestFromPeer: a peer gives what it holds: the owner to any other, the former owner to the owner, for an hour, while it is alive, and within the rate.
func TestFromPeer(t *testing.T) {
	o, err := parse(t, small...)
	need(t, err)
	lake, err := generate(o.workers, 1, 1, 1)
	need(t, err)
	c, err := newCell(o, lake, scenarios[0], modes[5])
	need(t, err)
	p := c.placer.(*ours)
	need(t, c.look(0, true))
	const page, now = uint32(0), int64(10 * hourMS)
	owner := p.owner[0]
	other, former := (owner+1)%int32(o.workers), (owner+2)%int32(o.workers)
	p.before[0], p.movedAt[0] = former, now-minuteMS
	ask := func(what string, at int32, now int64, want bool) {
		t.Helper()
		if got := c.fromPeer(at, page, now); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	ask("nobody holds it, asked by another", other, now, false)
	ask("nobody holds it, asked by the owner", owner, now, false)
	c.fleet.workers[former].cache.Add(page, struct{}{}, 1<<20, false)
	ask("the former owner holds it, asked by another", other, now, false)
	ask("the former owner holds it, asked by the owner", owner, now, true)
	ask("an hour later", owner, now+hourMS, false)
	c.fleet.workers[owner].allowed = 0
	ask("the rate is used up", owner, now+hourMS-2*minuteMS, true) // the clock has gone on
	c.fleet.workers[owner].allowed = -1 << 40
	ask("the rate is used up", owner, now+hourMS-2*minuteMS, false)
	c.fleet.workers[owner].allowed = 1
	c.fleet.workers[former].stop()
	ask("the former owner is gone", owner, now, false)
	c.fleet.workers[owner].cache.Add(page, struct{}{}, 1<<20, false)
	ask("the owner holds it, asked by another", other, now, true)
	c.fleet.workers[owner].stop()
	ask("the owner is gone", other, now, false)
}

// TestOneJoins: of a simulated fleet, edited by the real editor, one that joins takes at most 1.25/n of the partitions, one that leaves for good gives as much, and every epoch is within its bound.
func TestOneJoins(t *testing.T) {
	o, err := parse(t, append(small, "-workers", "100", "-absent", "0")...)
	need(t, err)
	lake, err := generate(o.workers, 1, 1, 1)
	need(t, err)
	c, err := newCell(o, lake, scenarios[0], modes[4])
	need(t, err)
	p := c.placer.(*ours)
	look := func() ring.Movement {
		before := p.epoch
		c.fleet.count()
		_, err := p.look(c, 0)
		need(t, err)
		return before.Move(p.epoch)
	}
	look()
	for i := range 20 {
		n := len(c.fleet.alive)
		if i%2 == 0 {
			c.fleet.add()
			n++
		} else {
			c.fleet.workers[c.fleet.alive[i*3]].stop()
		}
		m := look()
		if part := float64(m.Moved) * float64(n) / float64(m.Partitions); part == 0 || part > 1.25 {
			t.Errorf("change %d moved %.2f/n of the partitions", i, part)
		}
	}
	if p.worst > 1.10 || p.worst < 1 {
		t.Errorf("the fullest member had %.3f times the mean", p.worst)
	}
}

// TestBoundIsChecked: an epoch over its bound would end the simulation.
func TestBoundIsChecked(t *testing.T) {
	e, err := ring.New(ring.Settings{})
	need(t, err)
	e, err = e.Apply(ring.Change{Join: []ring.Member{{Name: "a", Weight: 3}, {Name: "b", Weight: 1}}}) // by weight it is right, for members of equal weight it is not
	need(t, err)
	if _, err := checkBound(e); err == nil {
		t.Error("three quarters for one of two are within the bound")
	}
}

// TestQueue: splits wait for slots, in order.
func TestQueue(t *testing.T) {
	w := &worker{}
	for i := range 3 * slots {
		if got, want := w.enqueue(0, 100), int64(100*(1+i/slots)); got != want {
			t.Errorf("split %d ends at %d us, want %d", i, got, want)
		}
	}
	if got := []int{w.waiting(0), w.waiting(99), w.waiting(100), w.waiting(200)}; fmt.Sprint(got) != fmt.Sprint([]int{2 * slots, 2 * slots, slots, 0}) {
		t.Errorf("waiting: %v", got)
	}
}

const trace = `ms,query,mount,path,size,offset,length,class
0,q1,lake,t/a.parquet,1000000,999000,1000,footer
1,q1,lake,t/a.parquet,1000000,0,300000,data
2,q1,lake,t/a.parquet,1000000,100000,10,data
# another query
9,q2,lake,t/b.parquet,600000000,268435000,1000,data
`

// TestRecordedTrace: reads become pages of the grid, splits by section, queries in order.
func TestRecordedTrace(t *testing.T) {
	c, queries, err := parseTrace(strings.NewReader(trace))
	need(t, err)
	if got := fmt.Sprint(queries); got != "[{0 false [{0 [0 1 2]}]} {0 false [{1 [3]} {2 [4]}]}]" {
		t.Errorf("queries: %s", got)
	}
	if got := fmt.Sprint(c.pages); got != "[{0 3 213568 true} {0 0 262144 false} {0 1 262144 false} {1 1023 262144 false} {2 0 262144 false}]" {
		t.Errorf("pages: %s", got)
	}
	if c.sections[2].split.Offset != sectionBytes || c.sections[1].key == c.sections[2].key {
		t.Errorf("sections: %+v", c.sections)
	}
	real, asked, err := readTrace("testdata/tpcds-trino.csv")
	need(t, err)
	if len(asked) != 9 || len(real.sections) < 6 {
		t.Errorf("the recorded trace has %d queries of %d sections", len(asked), len(real.sections))
	}
	path := filepath.Join(t.TempDir(), "trace.csv")
	need(t, os.WriteFile(path, []byte(trace), 0o600))
	results, _ := simulate(t, "-workers", "3", "-trace", path, "-cache", "4", "-rounds", "12", "-scenarios", "steady,zone")
	none, affinity := find(t, results, "steady", "none"), find(t, results, "steady", "affinity")
	if none.Reads != 9*5 || none.OriginGETs != 9*4 || affinity.Hits != 9*5 {
		t.Errorf("without a cache %d pages in %d GETs; with affinity %d hits", none.Reads, none.OriginGETs, affinity.Hits)
	}
}

// TestBadTraces: each fault is named, with its line.
func TestBadTraces(t *testing.T) {
	line := func(l string) string { return strings.SplitAfter(trace, "\n")[0] + l + "\n" }
	for want, text := range map[string]string{
		"no reads":                      "",
		"the first line is":             "a,b,c,d,e,f,g,h\n",
		"wrong number of fields":        line("1,q"),
		`line 2: size is "x"`:           line("1,q,lake,a,x,0,1,data"),
		`ms is "-1"`:                    line("-1,q,lake,a,1,0,1,data"),
		"a read is of at least a byte":  line("1,q,lake,a,5,0,0,data"),
		"bytes 3 and 3 more of 5":       line("1,q,lake,a,5,3,3,data"),
		`path "../a": it has an elemen`: line("1,q,lake,../a,5,3,1,data"),
		`mount ""`:                      line("1,q,,a,5,3,1,data"),
	} {
		if _, _, err := parseTrace(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, _, err := parseTrace(strings.NewReader(line(fmt.Sprintf("1,q,lake,a,%d,%d,1,data", int64(math.MaxInt64), int64(math.MaxInt64))))); err == nil {
		t.Error("a read beyond all numbers")
	}
	if _, _, err := readTrace(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "trace:") {
		t.Errorf("no file: %v", err)
	}
}

// TestFlags: what makes no sense is refused, every fault at once, and -help says how to go on.
func TestFlags(t *testing.T) {
	_, err := parse(t, "-workers", "1", "-cache", "0", "-churn", "101", "-hours", "1", "-rounds", "0", "-absent", "-1s", "-scenarios", "steady,nothing", "-modes", "x")
	for _, want := range []string{"-workers 1:", "-cache:", "-churn 101", "-warm and -hours", "-rounds", "-absent -1s", `none called "nothing"`, `none called "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := parse(t, "-trace", "x", "-scenarios", "hot"); err == nil || !strings.Contains(err.Error(), "-scenarios hot needs the generated trace") {
		t.Errorf("a recorded trace and the scenario hot: %v", err)
	}
	if o, err := parse(t, "-trace", "x"); err != nil || len(o.scenarios) != 5 || o.absent != 2*time.Hour {
		t.Errorf("a recorded trace: %v, %d scenarios", err, len(o.scenarios))
	}
	var b bytes.Buffer
	flags, _ := newFlags(&options{})
	flags.SetOutput(&b)
	flags.Usage()
	for _, s := range scenarios {
		if !strings.Contains(b.String(), "  "+s.name+" ") {
			t.Errorf("-help does not name %s", s.name)
		}
	}
	if !strings.Contains(b.String(), "go run ./benchmarks/sim -workers 100") {
		t.Error("-help shows no example")
	}
}
