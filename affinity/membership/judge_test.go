package membership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/internal/clocktest"
)

func epochOf(t *testing.T, n int) (*ring.Epoch, []Announced) {
	t.Helper()
	e, err := ring.New(ring.Settings{Partitions: 256})
	need(t, err)
	var c ring.Change
	var records []Announced
	for i := range n {
		m := member(fmt.Sprintf("w%02d", i))
		c.Join = append(c.Join, m)
		records = append(records, Announced{Member: m})
	}
	e, err = e.Apply(c)
	need(t, err)
	return e, records
}

func excluded(records []Announced) (names string) {
	for _, r := range records {
		if r.Excluded {
			names += r.Name + " "
		}
	}
	return names
}

// TestJudge: who is over a limit for long enough is left out, and asked again when it has been well under it for long enough; a load in between changes nothing, nor does one that comes and goes; and never
// more than the share are left out.
func TestJudge(t *testing.T) {
	e, records := epochOf(t, 6)
	o := Overload{Queued: 100, Latency: time.Second, After: 10 * time.Second, Back: 30 * time.Second, Share: 0.34}
	now, x := time.Now(), &Editor{}
	for step, c := range []struct {
		after time.Duration
		loads map[int]Load
		want  string
		next  time.Duration
	}{
		{0, map[int]Load{1: {Queued: 128}}, "", 10 * time.Second},
		{9 * time.Second, nil, "", time.Second},
		{time.Second, nil, "w01 ", 0},
		{time.Second, map[int]Load{1: {Queued: 64}}, "w01 ", 0},
		{time.Minute, nil, "w01 ", 0}, // neither over nor well under
		{0, map[int]Load{1: {Queued: 32}}, "w01 ", 30 * time.Second},
		{20 * time.Second, map[int]Load{1: {Queued: 64}}, "w01 ", 0},
		{time.Second, map[int]Load{1: {Queued: 32}}, "w01 ", 30 * time.Second}, // from the beginning
		{30 * time.Second, nil, "", 0},
		{time.Second, map[int]Load{2: {LatencyUS: 2 << 20}, 3: {Disk: DiskFailed}}, "", 10 * time.Second},
		{time.Second, map[int]Load{4: {Queued: 999}, 5: {Disk: DiskDegraded}}, "", 9 * time.Second},
		{30 * time.Second, nil, "w02 w03 ", 0}, // two of six: w04 came later
		{30 * time.Second, map[int]Load{2: {}}, "w02 w03 ", 30 * time.Second},
		{30 * time.Second, nil, "w03 w04 ", 0},
	} {
		now = now.Add(c.after)
		for i, l := range c.loads {
			records[i].Load = &l
		}
		next := x.judge(o, e, records, now)
		if got := excluded(records); got != c.want || c.next != 0 && next != c.next {
			t.Errorf("step %d: left out %q, want %q; asked again in %v, want %v", step, got, c.want, next, c.next)
		}
	}
}

// TestJudgeInherits: a leader that comes new takes over who is left out, and gives each its time.
func TestJudgeInherits(t *testing.T) {
	e, records := epochOf(t, 3)
	m := records[1].Member
	m.Excluded = true
	e, err := e.Apply(ring.Change{Update: []ring.Member{m}})
	need(t, err)
	o, now, next := Overload{Queued: 10}.withDefaults(), time.Now(), &Editor{}
	next.judge(o, e, records, now)
	if got := excluded(records); got != "" {
		t.Errorf("left out by an earlier leader, and its load does not say why: %q", got)
	}
	next, records[1].Load = &Editor{}, &Load{Queued: 8}
	next.judge(o, e, records, now)
	if got := excluded(records); got != "w01 " {
		t.Errorf("left out: %q", got)
	}
	records[1].Load = &Load{}
	next.judge(o, e, records, now)
	next.judge(o, e, records, now.Add(o.Back))
	if got := excluded(records); got != "" {
		t.Errorf("left out after it was well for long enough: %q", got)
	}
	alone := &Editor{}
	e, two := epochOf(t, 2)
	two[0].Load, two[1].Load = &Load{Disk: DiskFailed}, &Load{Disk: DiskFailed}
	alone.judge(o, e, two, now)
	alone.judge(o, e, two, now.Add(time.Hour))
	if got := excluded(two); got != "" {
		t.Errorf("of two members, both sick, are left out: %q", got)
	}
}

// TestHeatUp: sections that are asked about often get owners by their rate, the hottest first and no more than so many; they lose them when they have been cool for long enough.
func TestHeatUp(t *testing.T) {
	e, _ := epochOf(t, 9)
	h := Hotness{Rate: 10, Owners: 4, Cool: time.Minute, Most: 2}
	now, x := time.Now(), &Editor{}
	for step, c := range []struct {
		after time.Duration
		rates map[uint64]float64
		want  string
	}{
		{0, map[uint64]float64{1: 9, 2: 10, 3: 500, 4: 11}, "[{3 4} {4 2}]"},
		{0, map[uint64]float64{3: 500, 4: 35}, "[{4 4}]"},
		{time.Hour, map[uint64]float64{3: 5, 4: 5}, "[]"},
		{time.Hour, map[uint64]float64{3: 5}, "[]"},
		{59 * time.Second, map[uint64]float64{3: 6, 4: 5}, "[]"}, // just in time
		{time.Second, map[uint64]float64{3: 1}, "[]"},
		{time.Minute, map[uint64]float64{7: 70}, "[{3 0} {4 0} {7 4}]"},
	} {
		now = now.Add(c.after)
		changes, _ := x.heatUp(h, e, c.rates, now)
		if len(changes) > 1 && changes[0].Key > changes[1].Key && changes[0].Owners == 0 {
			changes[0], changes[1] = changes[1], changes[0]
		}
		if got := fmt.Sprint(changes); got != c.want {
			t.Errorf("step %d: %s, want %s", step, got, c.want)
		}
		var err error
		e, err = e.Apply(ring.Change{Hot: changes})
		need(t, err)
	}
}

// TestLoadInTheEpoch: what a member reports, and what coordinators ask about, is in the epoch that all have.
func TestLoadInTheEpoch(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	rules := Options{Overload: Overload{Queued: 100, After: 50 * time.Millisecond, Back: 50 * time.Millisecond}, Hotness: Hotness{Rate: 10, Cool: 50 * time.Millisecond}}
	with := func(name string, candidate bool) Options {
		o := rules
		o.Self, o.Candidate = member(name), candidate
		return o
	}
	a, b, c := start(t, etcd.Endpoint(), with("a", true)), start(t, etcd.Endpoint(), with("b", false)), start(t, etcd.Endpoint(), with("c", false))
	agree(t, "a b c", a, b, c)
	left := func() string {
		out := ""
		for _, m := range b.Epoch().Members() {
			if m.Excluded {
				out += m.Name
			}
		}
		return out
	}
	report := func(p *part, queued int, want string) {
		t.Helper()
		eventually(t, "left out: "+want, func() bool { p.Report(Load{Queued: queued}); return left() == want })
	}
	report(c, 1000, "c")
	report(c, 0, "")
	b.Heat(map[uint64]float64{42: 6, 43: 1})
	c.Heat(map[uint64]float64{42: 6})
	eventually(t, "section 42 is hot", func() bool { h := c.Epoch().Hot(); return len(h) == 1 && h[0] == ring.Hot{Key: 42, Owners: 2} })
	c.Heat(nil)
	b.Heat(nil)
	eventually(t, "no section is hot", func() bool { return len(c.Epoch().Hot()) == 0 })
}

// TestAbsent: a member that is missed keeps its place for a while and is left out of answers; it comes back to exactly what it had. One that stays away loses its place.
func TestAbsent(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	leads := Options{Self: member("a"), Candidate: true, Absent: time.Minute}
	a, b, c := start(t, etcd.Endpoint(), leads), start(t, etcd.Endpoint(), Options{Self: member("b")}), start(t, etcd.Endpoint(), Options{Self: member("c")})
	agree(t, "a b c", a, b, c)
	before := a.Epoch()
	c.die()
	eventually(t, "c is left out", func() bool { return a.Epoch().Members()[2].Excluded && a.Epoch().Most() == 2 })
	for name := range before.Move(a.Epoch()).Lost {
		if name != "c" {
			t.Errorf("%s lost something when c died", name)
		}
	}
	start(t, etcd.Endpoint(), Options{Self: member("c")})
	eventually(t, "c is asked again", func() bool { return !a.Epoch().Members()[2].Excluded })
	if m := before.Move(a.Epoch()); m.Moved > 0 {
		t.Errorf("after the return %d partitions are not where they were", m.Moved)
	}
	x, now := &Editor{}, time.Now()
	if out := x.absent(time.Minute, before, nil, []Announced{{Member: member("a")}}, now); len(out) != 2 || !out[0].Excluded || x.again != time.Minute {
		t.Errorf("missed: %v, looked at again in %v", out, x.again)
	}
	if out := x.absent(time.Minute, before, nil, []Announced{{Member: member("a")}, {Member: member("b")}}, now.Add(time.Minute)); len(out) != 0 {
		t.Errorf("missed for too long, and still there: %v", out)
	}
}

// TestClockJumps: the same readings of loads, heat and absences give the same decisions, however the day's clock is set between them; what counts is what went by.
func TestClockJumps(t *testing.T) {
	decide := func(by ...time.Duration) (out string) {
		e, records := epochOf(t, 6)
		x := NewEditor(Rules{Settings: ring.Settings{Partitions: 256}, Absent: time.Minute, Overload: Overload{Queued: 100}, Hotness: Hotness{Rate: 10}})
		began := time.Now()
		for step, seconds := range []int{0, 5, 10, 15, 44, 46, 61, 80, 142} {
			now := clocktest.Jumped(began.Add(time.Duration(seconds)*time.Second), by[step%len(by)])
			there := slices.Clone(records[:5]) // w05 is away from the beginning
			there[1].Load = &Load{Queued: map[bool]int{true: 1000}[seconds < 15]}
			rates := map[uint64]float64{7: map[bool]float64{true: 35}[seconds < 80]}
			edit := x.Edit(e, Seen{Members: there, Rates: rates}, now)
			out += fmt.Sprintf("%d s: %v, again in %v\n", seconds, edit.Change, edit.Again)
			var err error
			e, err = e.Apply(edit.Change)
			need(t, err)
		}
		return out
	}
	want := decide(0)
	for _, part := range []string{"10 s: {[] [{w01", "46 s: {[] [{w01", "61 s: {[] [] [w05]", "[{7 4}]", "142 s: {[] [] [] [{7 0}]"} {
		if !strings.Contains(want, part) {
			t.Fatalf("no %q in:\n%s", part, want)
		}
	}
	for _, by := range [][]time.Duration{{0, 24 * time.Hour}, {0, -24 * time.Hour}, {time.Hour, -time.Hour, 240 * time.Hour}} {
		if got := decide(by...); got != want {
			t.Errorf("jumps of %v:\n%s\nwithout:\n%s", by, got, want)
		}
	}
}

// TestUnfit: who announces a weight of 0 or a zone that the ring does not have is left out, with what is wrong, and the others come in; a member of the ring that turns unfit is missed like one that is away.
func TestUnfit(t *testing.T) {
	rules := Rules{Settings: ring.Settings{Zones: []string{"x", "y"}}, Absent: time.Minute}
	e, err := ring.New(rules.Settings)
	need(t, err)
	at := func(name, zone string, weight int) Announced {
		return Announced{Member: ring.Member{Name: name, Zone: zone, Weight: weight}}
	}
	x, now := NewEditor(rules), time.Now()
	edit := x.Edit(e, Seen{Members: []Announced{at("a", "x", 1), at("b", "x", 0), at("c", "z", 1), at("d", "", 1), at("", "x", 1), at("e", "y", 2)}}, now)
	var said string
	for _, u := range edit.Unfit {
		said += u.Err.Error() + "\n"
	}
	for _, want := range []string{`member "b": weight 0: give 1 to 1000000`, `member "c": unknown zone "z": the epoch's zones are ["x" "y"]`, `member "d": unknown zone ""`, "member has no name"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in:\n%s", want, said)
		}
	}
	if len(edit.Unfit) != 4 || len(edit.Change.Join) != 2 {
		t.Errorf("%d are unfit, %v join", len(edit.Unfit), edit.Change.Join)
	}
	e, err = e.Apply(edit.Change)
	need(t, err)
	edit = x.Edit(e, Seen{Members: []Announced{at("a", "x", 0), at("e", "y", 2)}}, now)
	if len(edit.Change.Update) != 1 || !edit.Change.Update[0].Excluded || edit.Again != time.Minute {
		t.Errorf("a member that turned weightless: %+v", edit)
	}
}
