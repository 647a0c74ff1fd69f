package membership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
)

// firsts counts the partitions that each member is asked about first.
func firsts(t *testing.T, e *ring.Epoch) map[string]int {
	t.Helper()
	n := map[string]int{}
	for p := range e.Partitions() {
		n[firstOf(t, e, p)]++
	}
	return n
}

// firstOf is who is asked first about a partition.
func firstOf(t *testing.T, e *ring.Epoch, p int) string {
	t.Helper()
	owners, err := e.Owners(uint64(p)<<32/uint64(e.Partitions())<<32, 1)
	need(t, err)
	return e.Members()[owners[0]].Name
}

// TestSuccessor: a member that joins takes the place of the one of its zone that has been missed for longest, so that nothing moves but what is with those who stand in; one of another zone takes its share from all, and who is
// missed keeps its place.
func TestSuccessor(t *testing.T) {
	rules := Rules{Settings: ring.Settings{Partitions: 1024, Zones: []string{"a", "b"}}, Absent: time.Hour}
	now, editor := time.Now(), NewEditor(rules)
	e, err := ring.New(rules.Settings)
	need(t, err)
	there := map[string]string{}
	for i := range 20 {
		there[fmt.Sprintf("w%02d", i)] = []string{"a", "b"}[i%2]
	}
	// step takes and brings members, and says which partitions have another first owner, and who is still in the ring.
	step := func(leave []string, join map[string]string) (moved map[string]string, names []string) {
		now = now.Add(time.Minute)
		for _, name := range leave {
			delete(there, name)
		}
		for name, zone := range join {
			there[name] = zone
		}
		seen := Seen{}
		for name, zone := range there {
			m := member(name)
			m.Zone = zone
			seen.Members = append(seen.Members, Announced{Member: m})
		}
		before := e
		edit := editor.Edit(e, seen, now)
		e, err = e.Apply(edit.Change)
		need(t, err)
		moved = map[string]string{}
		for p := 0; p < e.Partitions() && before.Most() > 0; p++ {
			if from, to := firstOf(t, before, p), firstOf(t, e, p); from != to {
				moved[fmt.Sprint(p)] = to
			}
		}
		for _, m := range e.Members() {
			names = append(names, m.Name)
		}
		return moved, names
	}
	has := func(names []string, name string) bool { return slices.Contains(names, name) }
	step(nil, nil)
	share := firsts(t, e)["w04"]
	stoodIn, _ := step([]string{"w04"}, nil)
	if len(stoodIn) != share {
		t.Errorf("w04 is missed: %d partitions moved, and it owned %d", len(stoodIn), share)
	}
	step([]string{"w06"}, nil)
	moved, names := step(nil, map[string]string{"x-b": "b"})
	if !has(names, "w04") || !has(names, "w06") || len(moved) == 0 {
		t.Errorf("one of the other zone joins: members %v, %d partitions moved", names, len(moved))
	}
	moved, names = step(nil, map[string]string{"x-a": "a"})
	if has(names, "w04") || !has(names, "w06") {
		t.Errorf("its successor joins: members %v", names)
	}
	for p, to := range moved {
		if to != "x-a" {
			t.Errorf("its successor joins: partition %s goes to %s", p, to)
		}
	}
	if got := firsts(t, e)["x-a"]; got < share-6 || len(moved) > share+6 {
		t.Errorf("the successor is first for %d partitions, and %d have moved; who was there before had %d", got, len(moved), share)
	}
	moved, names = step(nil, map[string]string{"y-a": "a", "z-a": "a"})
	if has(names, "w06") || len(names) != 22 {
		t.Errorf("two join, and one is missed: members %s, %d partitions moved", strings.Join(names, " "), len(moved))
	}
	if _, names = step(nil, map[string]string{"w04": "a"}); !has(names, "w04") || len(names) != 23 {
		t.Errorf("one whose place was given away comes back: members %v", names)
	}
}

// TestDrainMissed: the place of a member that is missed is given away at once when an operator drains it, to those who stood in.
func TestDrainMissed(t *testing.T) {
	rules := Rules{Settings: ring.Settings{Partitions: 1024}, Absent: time.Hour}
	now, editor := time.Now(), NewEditor(rules)
	e, there := epochOf(t, 10)
	step := func(seen Seen) {
		next, err := e.Apply(editor.Edit(e, seen, now).Change)
		need(t, err)
		e = next
	}
	step(Seen{Members: slices.Clone(there[1:])})
	if m := e.Members()[0]; m.Draining || !m.Excluded || firsts(t, e)["w00"] > 0 {
		t.Errorf("missed: %+v is first for %d partitions", m, firsts(t, e)["w00"])
	}
	before := e
	step(Seen{Members: slices.Clone(there[1:]), Drained: map[string]bool{"w00": true}})
	if m := e.Members()[0]; !m.Draining {
		t.Errorf("missed and drained: %+v", m)
	}
	for p := range e.Partitions() {
		if was, is := firstOf(t, before, p), firstOf(t, e, p); was != is {
			t.Errorf("partition %d goes on from %s, which stood in, to %s", p, was, is)
		}
	}
}

// TestStandinsStay: when a member that is missed is given up, those who stood in for it are the owners: nothing moves a second time.
func TestStandinsStay(t *testing.T) {
	rules := Rules{Settings: ring.Settings{Partitions: 4096}, Absent: time.Minute}
	now, editor := time.Now(), NewEditor(rules)
	e, err := ring.New(rules.Settings)
	need(t, err)
	edit := func(from int) *ring.Epoch {
		seen := Seen{}
		for i := from; i < 100; i++ {
			seen.Members = append(seen.Members, Announced{Member: member(fmt.Sprintf("w%02d", i))})
		}
		next, err := e.Apply(editor.Edit(e, seen, now).Change)
		need(t, err)
		return next
	}
	e = edit(0)
	for round := 1; round <= 10; round++ {
		e = edit(5 * round)
		now = now.Add(time.Hour)
		next := edit(5 * round)
		moved := 0
		for p := range e.Partitions() {
			if firstOf(t, e, p) != firstOf(t, next, p) {
				moved++
			}
		}
		if len(next.Members()) != 100-5*round || moved > e.Partitions()/400 {
			t.Errorf("round %d: %d of %d partitions moved again when %d members were given up", round, moved, e.Partitions(), len(e.Members())-len(next.Members()))
		}
		e = next
	}
}
