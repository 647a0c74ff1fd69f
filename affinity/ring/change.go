package ring

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Change is what one epoch changes of the one before. The order within its lists means nothing.
type Change struct {
	Join     []Member  // new members
	Update   []Member  // members that are there already, by name, as they shall be: weight, zone, draining, excluded, addresses
	Leave    []string  // members that go
	Hot      []Hot     // sections whose number of owners changes
	Settings *Settings // nil: as before
}

// Hot gives a section more owners than the others, or as many again.
type Hot struct {
	Key    uint64 // Epoch.Key
	Owners int    // in all; 0: as any other
}

// Apply makes the next epoch. Its table is this one's, edited: partitions move only off members that leave, drain or hold more than their bound, and onto
// members that hold less than theirs, from those that hold the most above their share. An error names every fault of the change, and nothing is changed.
func (e *Epoch) Apply(c Change) (*Epoch, error) {
	settings := e.settings
	if c.Settings != nil {
		if err := c.Settings.Validate(); err != nil {
			return nil, err
		}
		settings = c.Settings.withDefaults()
	}
	members, err := e.changed(c)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, m := range members {
		if err := m.check(settings); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, e.checkHot(c.Hot)...)
	if len(members) > MaxMembers {
		faults = append(faults, invalid("%d members: %d is the limit", len(members), MaxMembers))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	next := &Epoch{number: e.number + 1, settings: settings, members: members, partitions: grown(e.partitions, settings, len(members))}
	mapped := e.mapped(members)
	next.home = e.carried(next, mapped)
	newEditor(next, e, mapped).edit(c.Hot)
	next.derive()
	return next, nil
}

// grown is the size of the next table: doubled until it is large enough.
func grown(partitions int, s Settings, members int) int {
	for partitions < s.Partitions || partitions < PerMember*members {
		partitions *= 2
	}
	return partitions
}

// changed lists the members after a change, by name, or every fault in the names that the change gives.
func (e *Epoch) changed(c Change) ([]Member, error) {
	var faults []error
	seen, leaving := map[string]bool{}, map[string]bool{}
	once := func(name string) {
		if seen[name] {
			faults = append(faults, invalid("change: member %q is named twice: give it one name, one change", name))
		}
		seen[name] = true
	}
	known := func(name, what string) {
		if _, ok := e.Find(name); !ok {
			faults = append(faults, invalid("change: %s of %q, which is no member of epoch %d", what, name, e.number))
		}
	}
	out := slices.Clone(e.members)
	for _, m := range c.Update {
		once(m.Name)
		known(m.Name, "update")
		if s, ok := e.Find(m.Name); ok {
			out[s] = m
		}
	}
	for _, name := range c.Leave {
		once(name)
		known(name, "leave")
		leaving[name] = true
	}
	out = slices.DeleteFunc(out, func(m Member) bool { return leaving[m.Name] })
	for _, m := range c.Join {
		once(m.Name)
		if _, ok := e.Find(m.Name); ok {
			faults = append(faults, invalid("change: %q joins, and epoch %d has a member of this name: two members cannot share one", m.Name, e.number))
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out, errors.Join(faults...)
}

func (e *Epoch) checkHot(hot []Hot) (faults []error) {
	keys := map[uint64]bool{}
	for _, h := range e.hot {
		keys[h.key] = true
	}
	seen := map[uint64]bool{}
	for _, h := range hot {
		if h.Owners < 0 || h.Owners > MaxHotOwners {
			faults = append(faults, invalid("change: hot section %#x: %d owners: give 1 to %d, or 0 for a section like others", h.Key, h.Owners, MaxHotOwners))
		}
		if seen[h.Key] {
			faults = append(faults, invalid("change: hot section %#x is named twice", h.Key))
		}
		seen[h.Key] = true
		if keys[h.Key] = true; h.Owners == 0 {
			delete(keys, h.Key)
		}
	}
	if len(keys) > MaxHot {
		faults = append(faults, invalid("change: %d hot sections: %d is the limit", len(keys), MaxHot))
	}
	return faults
}

// mapped gives for each slot of the epoch the slot that the member has in the list after the change; none if it has left.
func (e *Epoch) mapped(members []Member) []Slot {
	out := make([]Slot, len(e.members))
	j := 0
	for i, m := range e.members {
		for j < len(members) && members[j].Name < m.Name {
			j++
		}
		if out[i] = none; j < len(members) && members[j].Name == m.Name {
			out[i] = Slot(j)
		}
	}
	return out
}

// carried is the epoch's table in the size and with the slots of the next: where members have left there are holes.
func (e *Epoch) carried(next *Epoch, mapped []Slot) []Slot {
	r, before, times := next.settings.Owners, e.settings.Owners, next.partitions/e.partitions
	out := make([]Slot, next.partitions*r)
	for p := range next.partitions {
		row, old := out[p*r:p*r+r], e.home[p/times*before:p/times*before+before]
		for c := range row {
			if row[c] = none; c < before && old[c] != none {
				row[c] = mapped[old[c]]
			}
		}
	}
	return out
}

// hotAfter is what the hot sections are after a change; their extra owners are yet to be found.
func (e *Epoch) hotAfter(mapped []Slot, hot []Hot) []hotKey {
	counts := map[uint64]int{}
	var out []hotKey
	for _, h := range hot {
		counts[h.Key] = h.Owners
	}
	for _, h := range e.hot {
		kept := hotKey{key: h.key, count: h.count}
		if n, given := counts[h.key]; given {
			kept.count = n
			delete(counts, h.key)
		}
		for _, s := range h.extras {
			if mapped[s] != none {
				kept.extras = append(kept.extras, mapped[s])
			}
		}
		out = append(out, kept)
	}
	for _, h := range hot {
		if n, fresh := counts[h.Key]; fresh {
			out = append(out, hotKey{key: h.Key, count: n})
		}
	}
	out = slices.DeleteFunc(out, func(h hotKey) bool { return h.count == 0 })
	slices.SortFunc(out, func(a, b hotKey) int { return cmp.Compare(a.key, b.key) })
	return out
}
