package ring

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// walk is a random history of a fleet: what it looks like now, and what the next change may name.
type walk struct {
	*rand.Rand
	zones  int
	equal  bool // all weights are 1
	serial int
}

func (w *walk) member() Member {
	m := fleet(w.serial, 1, w.zones)[0]
	w.serial++
	if !w.equal {
		m.Weight = 1 + w.IntN(8)
	}
	m.Sidecar = fmt.Sprintf("10.0.0.%d:4380", w.IntN(256))
	return m
}

// change draws one: mostly a single join, leave, drain or weight, sometimes several at once, the loss of a zone, an exclusion, hot sections, or a change of settings.
func (w *walk) change(e *Epoch) Change {
	members := e.members
	some := func(n int) (out []Member) {
		for _, i := range w.Perm(len(members))[:min(n, len(members))] {
			out = append(out, members[i])
		}
		return out
	}
	update := func(n int, edit func(m *Member)) (c Change) {
		for _, m := range some(n) {
			edit(&m)
			c.Update = append(c.Update, m)
		}
		return c
	}
	switch w.IntN(12) {
	case 0, 1:
		return Change{Join: []Member{w.member()}}
	case 2, 3:
		return Change{Leave: names(some(1))}
	case 4:
		return Change{Join: []Member{w.member(), w.member()}, Leave: names(some(1))}
	case 5:
		return update(1, func(m *Member) { m.Draining = !m.Draining })
	case 6:
		return update(1+w.IntN(3), func(m *Member) { m.Excluded = !m.Excluded })
	case 7:
		return update(1, func(m *Member) {
			if !w.equal {
				m.Weight = 1 + w.IntN(8)
			}
		})
	case 8:
		hot := []Hot{{w.Uint64(), w.IntN(12)}}
		for _, h := range e.hot {
			if w.IntN(3) == 0 {
				hot = append(hot, Hot{h.key, w.IntN(6)})
			}
		}
		return Change{Hot: hot}
	case 9: // a zone goes, or everybody in it is excluded
		if w.zones < 2 || w.IntN(4) > 0 {
			return Change{Join: []Member{w.member()}}
		}
		lost := zoneNames(w.zones)[w.IntN(w.zones)]
		var c Change
		for _, m := range members {
			if m.Zone == lost {
				c.Leave = append(c.Leave, m.Name)
			}
		}
		return c
	case 10:
		s := e.Settings()
		s.Owners = 1 + w.IntN(4)
		return Change{Settings: &s}
	}
	var c Change
	for range w.IntN(12) {
		c.Join = append(c.Join, w.member())
	}
	return c
}

func names(members []Member) (out []string) {
	for _, m := range members {
		out = append(out, m.Name)
	}
	return out
}

// TestRandomHistories walks through random histories. After each step it checks what any epoch must be (apply does, by the checks of Decode), that the encoding and the
// difference lead to the same epoch, that lists in another order make the same epoch, that all answers are distinct members that serve, and that no more moved than had to.
func TestRandomHistories(t *testing.T) {
	s := seed(t)
	for run := range 12 {
		w := &walk{Rand: rand.New(rand.NewPCG(s, uint64(run))), zones: []int{0, 1, 3, 4}[run%4], equal: run%3 == 0}
		begin := []int{0, 1, 2, 5, 40, 210}[w.IntN(6)]
		var members []Member
		for range begin {
			members = append(members, w.member())
		}
		e := newEpoch(t, Settings{Zones: zoneNames(w.zones), Partitions: 64 << w.IntN(5)}, members)
		for step := range 40 {
			c := w.change(e)
			next := apply(t, e, c)
			if t.Failed() {
				t.Fatalf("run %d step %d: %+v", run, step, c)
			}
			checkSame(t, w, e, next, c)
			checkAnswers(t, w, next)
			checkMovement(t, e, next)
			checkZones(t, next)
			if e = next; t.Failed() {
				t.Fatalf("run %d step %d, %d members: %+v", run, step, len(e.members), c)
			}
		}
	}
}

// checkSame: one change has one result, whatever the order of its lists, and whichever way it travels.
func checkSame(t *testing.T, w *walk, e, next *Epoch, c Change) {
	t.Helper()
	for _, list := range [][]Member{c.Join, c.Update} {
		w.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	w.Shuffle(len(c.Leave), func(i, j int) { c.Leave[i], c.Leave[j] = c.Leave[j], c.Leave[i] })
	w.Shuffle(len(c.Hot), func(i, j int) { c.Hot[i], c.Hot[j] = c.Hot[j], c.Hot[i] })
	encoded := next.Encode()
	again, err := e.Apply(c)
	need(t, err)
	if !bytes.Equal(again.Encode(), encoded) {
		t.Error("the same change in another order made another epoch")
	}
	decoded, err := Decode(encoded)
	need(t, err)
	patched, err := e.Patch(Diff(e, next))
	need(t, err)
	for _, other := range []*Epoch{decoded, patched} {
		if !bytes.Equal(other.Encode(), encoded) || !slices.Equal(other.rows, next.rows) || other.width != next.width {
			t.Error("an epoch that was read is not the one that was written")
		}
	}
}

// checkAnswers: as many distinct owners as asked for, all of whom serve; a hot section has what it was given.
func checkAnswers(t *testing.T, w *walk, e *Epoch) {
	t.Helper()
	keys := []uint64{0, 1<<64 - 1}
	for _, h := range e.hot {
		keys = append(keys, h.key)
	}
	for range 50 {
		keys = append(keys, w.Uint64())
	}
	if e.width != min(e.settings.Owners, len(e.serving)) {
		t.Errorf("Most is %d of %d owners and %d serving", e.width, e.settings.Owners, len(e.serving))
	}
	serves := e.serves()
	for _, key := range keys {
		for k := 1; k <= e.width; k++ {
			owners, err := e.Owners(key, k)
			need(t, err)
			want := k
			if i := slices.IndexFunc(e.hot, func(h hotKey) bool { return h.key == key }); i >= 0 {
				want = max(k, min(e.hot[i].count, len(e.serving)))
			}
			if len(owners) != want {
				t.Errorf("key %#x: %d owners, want %d", key, len(owners), want)
			}
			for i, s := range owners {
				if !serves[s] || slices.Contains(owners[:i], s) {
					t.Errorf("key %#x: %v: %q does not serve, or is there twice", key, owners, e.members[s].Name)
				}
			}
		}
	}
}

// checkMovement: the part of the table that changes its first owner is at most what had to: what left or drains, what joined, what weights say.
func checkMovement(t *testing.T, before, after *Epoch) {
	t.Helper()
	was, is := activeShares(before), activeShares(after)
	if len(was) == 0 || len(is) == 0 {
		return
	}
	bound, one := 1+float64(after.settings.Bound)/1000, 1/float64(before.partitions)
	most := 0.0
	for name, w := range is {
		if w > was[name] && after.weightOf(name) != before.weightOf(name) {
			most += w*bound - was[name]/bound + one
		}
	}
	for name, w := range was {
		if w > is[name] && after.weightOf(name) != before.weightOf(name) {
			most += w*bound - is[name]/bound + one
		}
	}
	if got := movedHome(before, after); got > most {
		t.Errorf("%.4f of the table moved, and %.4f had to", got, most)
	}
}

// checkZones: the owners of a partition lie in distinct zones, but where the zones that are left have no room: each of their members stands by for all that it may, or for all but
// the little that one change can leave open.
func checkZones(t *testing.T, e *Epoch) {
	t.Helper()
	if len(e.settings.Zones) < 2 || e.settings.Owners < 2 {
		return
	}
	r, width := e.settings.Owners, 0
	weights, free := make([]int64, len(e.members)), map[string]int{}
	for i, m := range e.members {
		if weights[i] = int64(e.weightOf(m.Name)); weights[i] > 0 {
			width = min(width+1, r)
		}
	}
	q := shares(e.partitions*max(0, width-1), weights, e.settings.StandbyBound)
	for i, s := range e.home {
		if i%r > 0 && s != none {
			q.held[s]++
		}
	}
	for i, m := range e.members {
		free[m.Zone] += int(max(0, q.tight[i]-q.held[i]))
	}
	wasted := 0
	for p := range e.partitions {
		row, zones := e.home[p*r:p*r+width], map[string]bool{}
		for _, s := range row {
			zones[e.members[s].Zone] = true
		}
		for _, z := range e.settings.Zones {
			if len(zones) < len(row) && !zones[z] && free[z] > 0 {
				wasted++
				free[z]--
				break
			}
		}
	}
	if wasted > 1+e.partitions/200 {
		t.Errorf("%d of %d partitions have owners in one zone, and another has room", wasted, e.partitions)
	}
}

// weightOf is what a member owns by: 0 if it drains or is not there.
func (e *Epoch) weightOf(name string) int {
	if s, ok := e.Find(name); ok && !e.members[s].Draining {
		return e.members[s].Weight
	}
	return 0
}

func activeShares(e *Epoch) map[string]float64 {
	out, total := map[string]float64{}, 0.0
	for _, m := range e.members {
		total += float64(e.weightOf(m.Name))
	}
	for _, m := range e.members {
		if w := e.weightOf(m.Name); w > 0 {
			out[m.Name] = float64(w) / total
		}
	}
	return out
}

// movedHome is the part of the table whose first owner differs, exclusions or not.
func movedHome(before, after *Epoch) float64 {
	count, times := 0, after.partitions/before.partitions
	for p := range after.partitions {
		a, b := before.home[p/times*before.settings.Owners], after.home[p*after.settings.Owners]
		if before.members[a].Name != after.members[b].Name {
			count++
		}
	}
	return float64(count) / float64(after.partitions)
}
