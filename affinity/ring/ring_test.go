package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestEven: with equal weights nobody owns more than 1.10 of the mean, at any size and after members have come and gone.
func TestEven(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 10, 51, 100, 205, 1000} {
		e := newEpoch(t, Settings{Zones: zoneNames(3)}, fleet(0, n, 3))
		if got := skew(e); got > 1.06 {
			t.Errorf("%d members: %.3f of the mean", n, got)
		}
		e = apply(t, e, Change{Join: fleet(n, 1+n/10, 3), Leave: names(fleet(0, 1+n/20, 3))})
		if got := skew(e); got > 1.10 {
			t.Errorf("%d members and their successors: %.3f of the mean", n, got)
		}
	}
}

// TestOneOfManyMovesItsShare: over a long random history of members that join and leave one by one, through doublings of the table, each step moves at most 1.25/n of the keys, and
// the most loaded member stays within 1.10 of the mean.
func TestOneOfManyMovesItsShare(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	for _, begin := range []int{2, 45, 198} {
		e := newEpoch(t, Settings{Partitions: 1024}, fleet(0, begin, 0))
		serial, worst, most := begin, 0.0, 0.0
		for step := range 200 {
			n := len(e.members)
			c := Change{Join: fleet(serial, 1, 0)}
			drift := 3 // mostly up for a while, then mostly down
			if step%200 >= 100 {
				drift = -3
			}
			if n > 1 && r.IntN(10)+drift < 5 {
				c = Change{Leave: []string{e.members[r.IntN(n)].Name}}
			}
			serial++
			next := apply(t, e, c)
			ratio := movedHome(e, next) * float64(max(n, len(next.members)))
			worst, most = max(worst, ratio), max(most, skew(next))
			if ratio > 1.25 || skew(next) > 1.10 {
				t.Fatalf("step %d, %d members then %d: %.3f/n moved, skew %.3f", step, n, len(next.members), ratio, skew(next))
			}
			e = next
		}
		t.Logf("from %d members to %d: at most %.3f/n moved, skew at most %.3f", begin, len(e.members), worst, most)
	}
}

// TestReplacementMovesOneShare: who joins as another leaves takes over its partitions, and no others.
func TestReplacementMovesOneShare(t *testing.T) {
	e := newEpoch(t, Settings{}, fleet(0, 100, 0))
	next := apply(t, e, Change{Leave: []string{"worker-00007"}, Join: fleet(100, 1, 0)})
	if got := movedHome(e, next); got > 1.06/100 {
		t.Errorf("%.4f of the table moved", got)
	}
}

// conflicts counts rows whose first k owners lie in fewer zones than they could.
func conflicts(e *Epoch, k int) (n int) {
	for p := range e.partitions {
		zones := map[string]bool{}
		for _, s := range e.rows[p*e.width : p*e.width+k] {
			zones[e.members[s].Zone] = true
		}
		if len(zones) < min(k, len(e.settings.Zones)) {
			n++
		}
	}
	return n
}

// pairs counts rows whose first two owners lie in one zone.
func pairs(e *Epoch) (n int) {
	for p := range e.partitions {
		if e.members[e.rows[p*e.width]].Zone == e.members[e.rows[p*e.width+1]].Zone {
			n++
		}
	}
	return n
}

// TestZones: owners of a partition lie in distinct zones where zones are alike, also after members came and went; a lost zone leaves two, and its return makes three again.
func TestZones(t *testing.T) {
	e := newEpoch(t, Settings{Zones: zoneNames(3)}, fleet(0, 60, 3))
	r := rand.New(rand.NewPCG(seed(t), 0))
	serial := 60
	for range 60 { // one goes, and another comes in its zone
		gone := e.members[r.IntN(len(e.members))]
		e = apply(t, e, Change{Leave: []string{gone.Name}})
		come := fleet(serial, 1, 0)[0]
		come.Zone = gone.Zone
		serial++
		e = apply(t, e, Change{Join: []Member{come}})
		if n := conflicts(e, 3); n > 0 {
			t.Errorf("epoch %d: %d of %d partitions have owners in one zone", e.number, n, e.partitions)
		}
	}

	even := newEpoch(t, Settings{Zones: zoneNames(3)}, fleet(0, 60, 3))
	if n := conflicts(even, 3); n > 0 {
		t.Errorf("%d partitions of an even fleet have owners in one zone", n)
	}
	var lost Change
	for _, m := range even.members {
		if m.Zone == "b" {
			lost.Leave = append(lost.Leave, m.Name)
		}
	}
	two := apply(t, even, lost)
	if got := movedHome(even, two); got > 0.36 {
		t.Errorf("%.3f of the table moved with a third of the members", got)
	}
	if n := pairs(two); n > 0 {
		t.Errorf("%d partitions have their first two owners in one of the two zones that are left", n)
	}
	var back Change
	for _, m := range even.members {
		if m.Zone == "b" {
			back.Join = append(back.Join, m)
		}
	}
	three := apply(t, two, back)
	if n := conflicts(three, 3); n > 0 {
		t.Errorf("%d partitions have owners in one zone after the zone came back", n)
	}
	if got := movedHome(two, three); got > 0.34 {
		t.Errorf("%.3f of the table moved to a zone that came back", got)
	}
}

// TestWeights: shares follow weights, and a small change of a weight moves nothing.
func TestWeights(t *testing.T) {
	members := fleet(0, 10, 0)
	for i := range members {
		members[i].Weight = 100 * (1 + i)
	}
	e := newEpoch(t, Settings{}, members)
	held := make([]int, 10)
	for p := range e.partitions {
		held[e.rows[p*e.width]]++
	}
	for i, n := range held {
		if share := float64(e.partitions) * float64(1+i) / 55; float64(n) > share+1 || float64(n) < share-1 {
			t.Errorf("weight %d holds %d, and %.1f is its share", 1+i, n, share)
		}
	}
	members[3].Weight = 410
	if next := apply(t, e, Change{Update: members[3:4]}); movedHome(e, next) > 0 {
		t.Errorf("a change of 2.5 %% in one weight moved %.4f of the table", movedHome(e, next))
	}
	members[3].Weight = 800
	if next := apply(t, e, Change{Update: members[3:4]}); movedHome(e, next) > 0.08 {
		t.Errorf("a weight that doubled moved %.4f of the table; 0.063 had to", movedHome(e, next))
	}
}

// TestExcluded: while a member is excluded others answer within the bound, only its partitions move, and all come back.
func TestExcluded(t *testing.T) {
	e := newEpoch(t, Settings{Zones: zoneNames(3)}, fleet(0, 50, 3))
	var c Change
	for _, i := range []int{3, 17, 18, 40, 41} {
		m := e.members[i]
		m.Excluded = true
		c.Update = append(c.Update, m)
	}
	without := apply(t, e, c)
	if got := skew(without); got > 1.10 {
		t.Errorf("skew %.3f with five of fifty excluded", got)
	}
	if got := moved(e, without); got > 0.11 || movedHome(e, without) > 0 {
		t.Errorf("%.3f of the answers and %.3f of the table moved", got, movedHome(e, without))
	}
	for i := range c.Update {
		c.Update[i].Excluded = false
	}
	if again := apply(t, without, c); !slices.Equal(again.rows, e.rows) {
		t.Error("the answers did not come back")
	}
	for i := range e.members {
		m := e.members[i]
		m.Excluded = true
		c.Update = append(c.Update[:i:i], m)
	}
	if all := apply(t, e, c); !slices.Equal(all.rows, e.rows) {
		t.Error("an exclusion of everybody is not ignored")
	}
}

// TestDrain: a member that drains owns nothing, and stays a member.
func TestDrain(t *testing.T) {
	e := newEpoch(t, Settings{}, fleet(0, 20, 0))
	m := e.members[4]
	m.Draining = true
	next := apply(t, e, Change{Update: []Member{m}})
	if slices.Contains(next.home, Slot(4)) || len(next.members) != 20 || next.Most() != 3 {
		t.Error("a member that drains owns something, or is gone")
	}
	standby := 0
	for p := range e.partitions {
		if e.home[3*p] == 4 && slices.Contains(e.home[3*p+1:3*p+3], next.home[3*p]) {
			standby++
		}
	}
	t.Logf("%d of its %d partitions went to one that stood by", standby, e.partitions/20)
	if standby < e.partitions/80 {
		t.Error("its partitions did not go to those that stood by")
	}
}

// TestHot: a hot section has as many owners as it was given, beginning with those it had; they stay while others come and go.
func TestHot(t *testing.T) {
	e := newEpoch(t, Settings{Zones: zoneNames(3)}, fleet(0, 30, 3))
	key, err := e.Key(Split{Mount: "lake", Path: "/hot/table.parquet"})
	need(t, err)
	cold, err := e.Owners(key, 3)
	need(t, err)
	hot := apply(t, e, Change{Hot: []Hot{{key, 9}}})
	owners, err := hot.Owners(key, 1)
	need(t, err)
	if len(owners) != 9 || !slices.Equal(owners[:3], cold) {
		t.Fatalf("owners %v, were %v", owners, cold)
	}
	zones := map[string]int{}
	for _, s := range owners {
		zones[hot.members[s].Zone]++
	}
	if len(zones) != 3 || slices.Max([]int{zones["a"], zones["b"], zones["c"]}) > 4 {
		t.Errorf("its owners' zones are %v", zones)
	}
	left := apply(t, hot, Change{Leave: []string{hot.members[owners[5]].Name}, Join: fleet(30, 1, 3)})
	after, err := left.Owners(key, 1)
	need(t, err)
	same := 0
	for _, s := range owners {
		for _, a := range after {
			if hot.members[s].Name == left.members[a].Name {
				same++
			}
		}
	}
	if len(after) != 9 || same != 8 {
		t.Errorf("%d owners after one left, %d of them the same", len(after), same)
	}
	if cooled := apply(t, left, Change{Hot: []Hot{{key, 0}}}); len(cooled.hot) != 0 {
		t.Error("a section stays hot")
	}
}

// TestBadInput: each fault is named, wraps ErrInvalid, and changes nothing.
func TestBadInput(t *testing.T) {
	e := newEpoch(t, Settings{Zones: zoneNames(2)}, fleet(0, 4, 2))
	good := Member{Name: "new", Zone: "a", Weight: 1}
	with := func(edit func(m *Member)) Change {
		m := good
		edit(&m)
		return Change{Join: []Member{m}}
	}
	for want, c := range map[string]Change{
		`member "new" is named twice`:                         {Join: []Member{good, good}},
		`"worker-00001" joins, and epoch 1 has a member`:      {Join: fleet(1, 1, 2)},
		`leave of "nobody", which is no member of epoch 1`:    {Leave: []string{"nobody"}},
		`update of "new", which is no member`:                 {Update: []Member{good}},
		`member "new": weight 0: give 1 to 1000000, or drain`: with(func(m *Member) { m.Weight = 0 }),
		`weight -5`:      with(func(m *Member) { m.Weight = -5 }),
		`weight 1000001`: with(func(m *Member) { m.Weight = MaxWeight + 1 }),
		`member "new": unknown zone "z": the epoch's zones are ["a" "b"]`: with(func(m *Member) { m.Zone = "z" }),
		`unknown zone ""`:                      with(func(m *Member) { m.Zone = "" }),
		`member has no name`:                   with(func(m *Member) { m.Name = "" }),
		`without control characters`:           with(func(m *Member) { m.Name = "a\nb" }),
		`a name has at most 255 bytes`:         with(func(m *Member) { m.Name = strings.Repeat("x", 256) }),
		`an address is UTF-8`:                  with(func(m *Member) { m.Worker = "\xff" }),
		`hot section 0x1: 65 owners`:           {Hot: []Hot{{1, 65}}},
		`hot section 0x2 is named twice`:       {Hot: []Hot{{2, 3}, {2, 4}}},
		`unknown zone "b"`:                     {Settings: &Settings{Zones: zoneNames(1)}},
		`9 owners for a partition`:             {Settings: &Settings{Owners: 9}},
		`zone "a" is named twice`:              {Settings: &Settings{Zones: []string{"a", "a"}}},
		`3000 partitions: give a power of two`: {Settings: &Settings{Partitions: 3000}},
	} {
		if next, err := e.Apply(c); err == nil || next != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no error with %q", err, want)
		}
	}
	both := Change{Join: []Member{{Name: "x", Zone: "a"}, {Name: "y", Zone: "q", Weight: 1}}}
	if _, err := e.Apply(both); err == nil || !strings.Contains(err.Error(), `"x": weight 0`) || !strings.Contains(err.Error(), `unknown zone "q"`) {
		t.Errorf("%v does not name both faults", err)
	}
}

func TestBadQuestions(t *testing.T) {
	e := newEpoch(t, Settings{}, fleet(0, 2, 0))
	for want, err := range map[string]error{
		"3 owners asked for, and only 2 members serve in epoch 1": second(e.Owners(1, 3)),
		"0 owners asked for":                                 second(e.Owners(1, 0)),
		"-1 owners asked for":                                second(e.Owners(1, -1)),
		"4 owners asked for, and epoch 1 keeps 3":            second(newEpoch(t, Settings{}, fleet(0, 9, 0)).Owners(1, 4)),
		"epoch 1 has no member that could own anything":      second(newEpoch(t, Settings{}, nil).Owners(1, 1)),
		"only 2 members serve":                               second(e.Assign(nil, nil, 3)),
		`path "": it names no file`:                          second(e.Key(Split{Mount: "m"})),
		`path "//": it names no file`:                        second(e.Key(Split{Mount: "m", Path: "//"})),
		`path "a/../b": it has an element ".."`:              second(e.Key(Split{Mount: "m", Path: "a/../b"})),
		`path "./a": it has an element "."`:                  second(e.Key(Split{Mount: "m", Path: "./a"})),
		`path "a\x00b": a path is UTF-8 without a zero byte`: second(e.Key(Split{Mount: "m", Path: "a\x00b"})),
		`path "\xff": a path is UTF-8`:                       second(e.Key(Split{Mount: "m", Path: "\xff"})),
		"8193 bytes, and 8192 is the limit":                  second(e.Key(Split{Mount: "m", Path: strings.Repeat("x", 8193)})),
		`mount ""`:                                           second(e.Key(Split{Path: "a"})),
		`mount "a/b"`:                                        second(e.Key(Split{Mount: "a/b", Path: "a"})),
		`offset -1 of "a"`:                                   second(e.Key(Split{Mount: "m", Path: "a", Offset: -1})),
		`1 to 255 bytes of UTF-8`:                            second(e.Key(Split{Mount: strings.Repeat("x", 256), Path: "a"})),
	} {
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no error with %q", err, want)
		}
	}
	answers, err := e.Assign(nil, []Split{{"m", "a", 0}, {"m", "..", 0}, {"m", "b", 0}}, 2)
	need(t, err)
	if len(answers) != 3 || answers[1].Err == nil || len(answers[0].Owners) != 2 || answers[2].Err != nil {
		t.Errorf("%+v: a malformed split spoils its batch", answers)
	}
}

func second[T any](_ T, err error) error { return err }

// TestPaths: spellings that name one file have one key; sections of a file have their own.
func TestPaths(t *testing.T) {
	e := newEpoch(t, Settings{SectionSize: 1 << 20}, fleet(0, 3, 0))
	key := func(path string, offset int64) uint64 {
		k, err := e.Key(Split{"lake", path, offset})
		need(t, err)
		return k
	}
	for _, path := range []string{"/a/b.parquet", "a//b.parquet", "//a/b.parquet/", "a/b.parquet/"} {
		if key(path, 5) != key("a/b.parquet", 1<<20-1) {
			t.Errorf("%q has another key", path)
		}
	}
	seen := map[uint64]string{}
	for _, path := range []string{"a/b", "ab", "a/b ", "A/b", "a%2Fb", "a/..b"} {
		for section := range int64(3) {
			k := key(path, section<<20)
			if other := seen[k]; other != "" {
				t.Errorf("%q section %d and %s share a key", path, section, other)
			}
			seen[k] = fmt.Sprintf("%q section %d", path, section)
		}
	}
}

// TestAllocations: a look-up makes no garbage.
func TestAllocations(t *testing.T) {
	e := newEpoch(t, Settings{}, fleet(0, 100, 0))
	splits := []Split{{"lake", "warehouse/sales.db/orders/ds=2026-11-28/part-00017-3f2a.snappy.parquet", 256 << 20}}
	dst := make([]Assignment, 0, 1)
	if n := testing.AllocsPerRun(100, func() { dst, _ = e.Assign(dst[:0], splits, 2) }); n > 0 {
		t.Errorf("%v allocations for a split", n)
	}
}
