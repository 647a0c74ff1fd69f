package spread

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
)

func need(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func epoch(t *testing.T, n int, c ring.Change) *ring.Epoch {
	t.Helper()
	e, err := ring.New(ring.Settings{Partitions: 256})
	need(t, err)
	var join ring.Change
	for i := range n {
		join.Join = append(join.Join, ring.Member{Name: fmt.Sprintf("w%d", i), Weight: 1})
	}
	e, err = e.Apply(join)
	need(t, err)
	e, err = e.Apply(c)
	need(t, err)
	return e
}

func choose(t *testing.T, s *Spread, e *ring.Epoch, key uint64, k int, now time.Time) []ring.Slot {
	t.Helper()
	out, err := s.Choose(nil, e, key, k, now)
	need(t, err)
	return out
}

func made(t *testing.T, ahead int) *Spread {
	t.Helper()
	s, err := New(Options{Ahead: ahead})
	need(t, err)
	return s
}

// TestSecond: the second owner is named ahead of the first when the first was given so much more, by who asks for one owner and by who asks for two; the ring's order comes back when that is forgotten.
func TestSecond(t *testing.T) {
	e, now, key := epoch(t, 5, ring.Change{}), time.Now(), uint64(7)
	owners, err := e.Owners(key, 3)
	need(t, err)
	for _, k := range []int{1, 2, 3} {
		s, turned := made(t, 8), []ring.Slot{owners[1], owners[0], owners[2]}[:k]
		for i := range 8 {
			if got := choose(t, s, e, key, k, now); !slices.Equal(got, owners[:k]) {
				t.Errorf("%d owners, split %d: %v, want %v", k, i, got, owners[:k])
			}
		}
		for i, want := range [][]ring.Slot{turned, owners[:k], turned, owners[:k]} { // each choice moves what it is made by
			if got := choose(t, s, e, key, k, now); !slices.Equal(got, want) {
				t.Errorf("%d owners, split %d when the first is ahead: %v, want %v", k, i, got, want)
			}
		}
		for range 3 {
			choose(t, s, e, key, k, now)
		}
		if got := choose(t, s, e, key, k, now.Add(Memory)); !slices.Equal(got, owners[:k]) {
			t.Errorf("%d owners, when what was given is forgotten: %v", k, got)
		}
	}
	s := made(t, 0)
	for range 1000 {
		if got := choose(t, s, e, key, 1, now); !slices.Equal(got, owners[:1]) {
			t.Fatalf("with the ring's order asked for: %v", got)
		}
	}
}

// TestLead: members that are both busy are left as they are until one has been given half as much again.
func TestLead(t *testing.T) {
	e, now, s := epoch(t, 2, ring.Change{}), time.Now(), made(t, 8)
	s.unit(e, now)
	first := choose(t, s, e, 7, 2, now)
	s.mu.given[first[0]], s.mu.given[first[1]] = 140, 100
	if got := choose(t, s, e, 7, 1, now); !slices.Equal(got, first[:1]) {
		t.Errorf("141 to 100: %v", got)
	}
	s.mu.given[first[0]] = 150
	if got := choose(t, s, e, 7, 1, now); !slices.Equal(got, first[1:2]) {
		t.Errorf("150 to 100: %v", got)
	}
}

// TestWeight: who has twice the weight may have twice the work.
func TestWeight(t *testing.T) {
	e, now, s := epoch(t, 2, ring.Change{}), time.Now(), made(t, 8)
	first := choose(t, s, e, 7, 2, now)
	m := e.Members()[first[0]]
	m.Weight = 2
	e, err := e.Apply(ring.Change{Update: []ring.Member{m}})
	need(t, err)
	s.unit(e, now)
	s.mu.given[first[0]], s.mu.given[first[1]] = 20, 10
	if got := choose(t, s, e, 7, 1, now); !slices.Equal(got, first[:1]) {
		t.Errorf("20 to 10, with twice the weight: %v", got)
	}
	s.mu.given[first[0]] = 30
	if got := choose(t, s, e, 7, 1, now); !slices.Equal(got, first[1:2]) {
		t.Errorf("30 to 10, with twice the weight: %v", got)
	}
}

// TestHot: the owners of a hot section take turns, in whatever number they are asked for, and each is first as often as the others.
func TestHot(t *testing.T) {
	for _, n := range []int{2, 4} {
		testHot(t, n)
	}
}

func testHot(t *testing.T, n int) {
	const key = 7
	e, now := epoch(t, 9, ring.Change{Hot: []ring.Hot{{Key: key, Owners: n}}}), time.Now()
	all, err := e.Owners(key, 1)
	need(t, err)
	for k := range min(n, 3) {
		firsts, s := map[ring.Slot]int{}, made(t, 8)
		for range 100 * n {
			got := choose(t, s, e, key, k+1, now)
			firsts[got[0]]++
			if distinct := slices.Compact(slices.Sorted(slices.Values(got))); len(distinct) != k+1 || slices.ContainsFunc(got, func(m ring.Slot) bool { return !slices.Contains(all, m) }) {
				t.Fatalf("owners %v, want %d of %v", got, k+1, all)
			}
		}
		for slot, times := range firsts {
			if times != 100 || len(firsts) != n {
				t.Errorf("member %d was first %d times of %d, of %d owners", slot, times, 100*n, n)
			}
		}
	}
}

// TestLeftOut: a member that drains or is excluded is never named, though it was given nothing and the others much; and what members were given outlives the epoch.
func TestLeftOut(t *testing.T) {
	e, now, s := epoch(t, 4, ring.Change{}), time.Now(), made(t, 2)
	out := []ring.Member{e.Members()[1], e.Members()[2]}
	out[0].Draining, out[1].Excluded = true, true
	left, err := e.Apply(ring.Change{Update: out, Leave: []string{"w0"}, Join: []ring.Member{{Name: "w9", Weight: 1}}})
	need(t, err)
	keys := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		choose(t, s, e, keys.Uint64(), 1, now)
	}
	kept := s.mu.given[3]
	s.unit(left, now)
	if at, _ := left.Find("w3"); s.mu.given[at] != kept {
		t.Errorf("w3 was given %v, and in the next epoch %v", kept, s.mu.given[at])
	}
	for range 1000 {
		for _, slot := range choose(t, s, left, keys.Uint64(), 2, now) {
			if name := left.Members()[slot].Name; name == "w1" || name == "w2" {
				t.Fatalf("%s is named", name)
			}
		}
	}
}

// TestSame: the same splits at the same times have the same owners, which are those of a plain sum that decays; over hours nothing overflows and nothing is lost.
func TestSame(t *testing.T) {
	e, now := epoch(t, 20, ring.Change{}), time.Now()
	a, b, model, turned := made(t, 8), made(t, 8), make([]float64, 20), 0
	zipf := rand.NewZipf(rand.New(rand.NewPCG(3, 4)), 1.2, 1, 500)
	const step = 50 * time.Millisecond
	for i := range 200_000 {
		now = now.Add(step)
		for m := range model {
			model[m] *= math.Exp(-step.Seconds() / Memory.Seconds())
		}
		key := zipf.Uint64() * 0x9e3779b97f4a7c15
		pair, err := e.Owners(key, 2)
		need(t, err)
		x, y := choose(t, a, e, key, 1, now), choose(t, b, e, key, 1, now)
		p, q := model[pair[0]], model[pair[1]]
		near := math.Abs(p-q-8) < 1e-6 || math.Abs(p-Lead*q) < 1e-6 // where rounding decides
		if !slices.Equal(x, y) || !near && (p-q >= 8 && p >= Lead*q) != (x[0] == pair[1]) {
			t.Fatalf("split %d: %v and %v of %v, which were given %.3f and %.3f lately", i, x, y, pair, p, q)
		}
		model[x[0]]++
		if x[0] == pair[1] {
			turned++
		}
	}
	if turned < 1000 {
		t.Errorf("the second owner was named first %d times", turned)
	}
}

// TestManyAsk: services that each know only what they assigned themselves do not send everybody to the same member: together they even out as one does.
func TestManyAsk(t *testing.T) {
	const services, splits = 8, 4000
	e, now := epoch(t, 10, ring.Change{}), time.Now()
	var all []*Spread
	for range services {
		all = append(all, made(t, 8))
	}
	given := make([]int, len(e.Members()))
	for i := range splits {
		got := choose(t, all[i%services], e, 7, 1, now)
		given[got[0]]++
	}
	owners, err := e.Owners(7, 2)
	need(t, err)
	if p, q := given[owners[0]], given[owners[1]]; p+q != splits || float64(p) > 1.6*float64(q) || p < q {
		t.Errorf("the two owners were given %d and %d of %d splits", p, q, splits)
	}
}

func BenchmarkChoose(b *testing.B) {
	e, err := ring.New(ring.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	var c ring.Change
	for i := range 1000 {
		c.Join = append(c.Join, ring.Member{Name: fmt.Sprintf("w%04d", i), Weight: 1})
	}
	if e, err = e.Apply(c); err != nil {
		b.Fatal(err)
	}
	s, _ := New(Options{Ahead: 8})
	var room [8]ring.Slot
	now := time.Now()
	for i := range b.N {
		if _, err := s.Choose(room[:0], e, uint64(i)*0x9e3779b97f4a7c15, 1, now); err != nil {
			b.Fatal(err)
		}
	}
}
