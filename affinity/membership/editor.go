package membership

import (
	"fmt"
	"slices"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
)

// Rules are what a leader edits by; see Options, where each is explained. Zero fields of Overload and Hotness mean the defaults.
type Rules struct {
	Settings ring.Settings
	Absent   time.Duration
	Overload Overload
	Hotness  Hotness
}

func (o Options) rules() Rules {
	return Rules{Settings: o.Settings, Absent: o.Absent, Overload: o.Overload, Hotness: o.Hotness}
}

// Editor is a leader's judgement: from who is there, how they fare and what is asked about it makes the change that leads to the next epoch. It remembers since when members are missed or overloaded and sections
// cool, and nothing else: it knows no etcd and no clock, so that a simulator runs the same judgement. It is for one goroutine.
//
// The times it is given are only ever compared with one another, so times that time.Now has read are never affected by a jump of the time of day.
type Editor struct {
	rules    Rules
	verdicts map[string]*verdict  // on members' loads
	cool     map[uint64]time.Time // since when hot sections are not hot any more
	gone     map[string]time.Time // since when members of the ring are missed
	again    time.Duration        // when one of them is to be looked at again; 0: when something changes
}

// NewEditor makes one that has seen nothing yet.
func NewEditor(r Rules) *Editor {
	r.Overload, r.Hotness = r.Overload.withDefaults(), r.Hotness.withDefaults()
	return &Editor{rules: r}
}

// Seen is what an editor is told. It keeps nothing of it, and may change Members.
type Seen struct {
	Members []Announced        // those that are there now
	Drained map[string]bool    // whom operators drain, there or not
	Rates   map[uint64]float64 // how many times a second sections are asked about, in the whole fleet
	Keep    bool               // nobody is taken out of the ring, and nobody missed
}

// Edit is what an editor decides.
type Edit struct {
	Change ring.Change
	Worth  bool          // it changes something
	Again  time.Duration // when the editor is to be asked again at the latest; 0: when something else is seen
	Unfit  []Unfit       // members that are left out of the ring
}

// Unfit is a member that the ring would refuse, with what it would say.
type Unfit struct {
	Name string
	Err  error
}

// Edit decides what leads from an epoch to what is seen.
func (t *Editor) Edit(base *ring.Epoch, seen Seen, now time.Time) (e Edit) {
	members, unfit := t.judged(base, seen, now)
	e.Unfit = unfit
	e.Change, e.Worth = t.change(base, members, seen.Keep)
	var cools time.Duration
	if e.Change.Hot, cools = t.heatUp(t.rules.Hotness, base, seen.Rates, now); cools > 0 && (t.again == 0 || cools < t.again) {
		t.again = cools
	}
	e.Worth, e.Again = e.Worth || len(e.Change.Hot) > 0, t.again
	return e
}

// judged are the members as the ring shall have them: with what operators say of them, and what their load does. One that the ring would refuse (a weight of 0, an unknown zone) is left out, so that it does
// not stop the others.
func (t *Editor) judged(base *ring.Epoch, seen Seen, now time.Time) (out []ring.Member, unfit []Unfit) {
	fit := seen.Members[:0]
	for _, m := range seen.Members {
		if err := t.rules.Settings.Check(m.Member); err != nil {
			unfit = append(unfit, Unfit{m.Name, err})
			continue
		}
		m.Draining = m.Draining || seen.Drained[m.Name]
		fit = append(fit, m)
	}
	t.again = t.judge(t.rules.Overload, base, fit, now)
	out = make([]ring.Member, len(fit))
	for i, m := range fit {
		out[i] = m.Member
	}
	if seen.Keep || t.rules.Absent == 0 {
		return out, unfit
	}
	return append(out, t.absent(t.rules.Absent, base, seen.Drained, fit, now)...), unfit
}

// absent are members of the ring that are missed, and not for too long: they keep their place and are left out of answers, so that one that was only restarted has exactly its share again. The place of one whose
// successor has come, or that an operator drains, is not kept.
func (t *Editor) absent(limit time.Duration, base *ring.Epoch, drained map[string]bool, there []Announced, now time.Time) (out []ring.Member) {
	if t.gone == nil {
		t.gone = map[string]time.Time{}
	}
	known := map[string]bool{}
	for _, m := range there {
		known[m.Name] = true
		delete(t.gone, m.Name)
	}
	for _, m := range base.Members() {
		if known[m.Name] {
			continue
		}
		if t.gone[m.Name].IsZero() {
			t.gone[m.Name] = now
		}
		if wait := limit - now.Sub(t.gone[m.Name]); wait > 0 {
			if t.again == 0 || wait < t.again {
				t.again = wait
			}
			m.Excluded, m.Draining = true, m.Draining || drained[m.Name]
			out = append(out, m)
		}
	}
	return t.withoutReplaced(out, base, there)
}

// withoutReplaced leaves out of those who are missed one for each member that joins in the same zone: who has been missed for longest goes, and the ring gives the newcomer what it owned. So a machine that another takes the
// place of moves its share once. Otherwise the newcomer would take its share from members that hold theirs, and that of the missed would go to others when it is given up.
func (t *Editor) withoutReplaced(missed []ring.Member, base *ring.Epoch, there []Announced) []ring.Member {
	newcomers := map[string]int{} // by zone
	for _, m := range there {
		if _, known := base.Find(m.Name); !known && !m.Draining {
			newcomers[m.Zone]++
		}
	}
	slices.SortStableFunc(missed, func(a, b ring.Member) int { return t.gone[a.Name].Compare(t.gone[b.Name]) })
	return slices.DeleteFunc(missed, func(m ring.Member) bool {
		replaced := !m.Draining && newcomers[m.Zone] > 0
		if replaced {
			newcomers[m.Zone]--
		}
		return replaced
	})
}

// change is what leads from an epoch to these members and the editor's settings.
func (t *Editor) change(base *ring.Epoch, members []ring.Member, keep bool) (c ring.Change, worth bool) {
	there := map[string]bool{}
	for _, m := range members {
		there[m.Name] = true
		slot, known := base.Find(m.Name)
		if !known {
			c.Join = append(c.Join, m)
		} else if base.Members()[slot] != m {
			c.Update = append(c.Update, m)
		}
	}
	for _, m := range base.Members() {
		if !there[m.Name] && !keep {
			c.Leave = append(c.Leave, m.Name)
		}
	}
	empty, err := ring.New(t.rules.Settings)
	if err == nil && fmt.Sprint(empty.Settings()) != fmt.Sprint(base.Settings()) {
		c.Settings = &t.rules.Settings
	}
	return c, len(c.Join)+len(c.Update)+len(c.Leave) > 0 || c.Settings != nil
}
