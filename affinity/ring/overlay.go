package ring

import "slices"

// editStandins chooses who is first for partitions whose first owner is excluded: who it was in the epoch before, else who stands by and has the least, else by the walk round the circle. None takes more than its
// bound: its share of all partitions among the members that are not excluded; and nobody is given more than its share anew, so that stand-ins are as even as owners and may become them.
func (ed *editor) editStandins() {
	weights := ed.servingWeights()
	if weights == nil {
		return
	}
	q := shares(ed.partitions, weights, ed.settings.Bound)
	var open []int
	for p := range ed.partitions {
		if s := ed.row(p)[0]; weights[s] > 0 {
			q.held[s]++
		} else {
			open = append(open, p)
		}
	}
	points := slices.DeleteFunc(slices.Clone(ed.points), func(p point) bool { return weights[p.slot] == 0 })
	kept := ed.keptStandins(open, q)
	c := newCircle(points, q.room(q.tight)) // as many as there are partitions, at least: there is room for all
	for i, p := range open {
		s := kept[i]
		if s == none {
			for _, other := range ed.row(p) {
				if other != none && c.room[other] > 0 && (s == none || int64(q.held[other])*weights[s] < int64(q.held[s])*weights[other]) {
					s = other
				}
			}
			if s == none {
				s = c.first(position(p, 0), nil)
			}
			c.room[s]--
			q.held[s]++
		}
		ed.standins = append(ed.standins, standin{p, s})
	}
}

// servingWeights are the weights of members that serve, if some are excluded and not all; else nil, and there are no stand-ins.
func (ed *editor) servingWeights() []int64 {
	out, excluded, serving := slices.Clone(ed.weights), false, false
	for i, m := range ed.members {
		if m.Excluded && ed.weights[i] > 0 {
			out[i], excluded = 0, true
		}
		serving = serving || out[i] > 0
	}
	if !excluded || !serving {
		return nil
	}
	return out
}

// keptStandins are those of the epoch before that still may be, by their place in open.
func (ed *editor) keptStandins(open []int, q *quota) []Slot {
	out := make([]Slot, len(open))
	for i, p := range open {
		out[i] = none
		if s := ed.stoodIn(p); s != none && q.held[s] < q.limit[s] {
			out[i] = s
			q.held[s]++
		}
	}
	return out
}

// editHot keeps the extra owners of hot sections that can stay, and finds those that are missing: members that serve, in zones that the section has least.
func (ed *editor) editHot() {
	if len(ed.hot) == 0 {
		return
	}
	ed.derive() // for the rows that the extra owners come after
	serves := ed.serves()
	for i := range ed.hot {
		h := &ed.hot[i]
		row := []Slot{}
		if ed.width > 0 {
			at := scale(h.key, ed.partitions) * ed.width
			row = slices.Clone(ed.rows[at : at+ed.width])
		}
		want := min(h.count, len(ed.serving)) - len(row)
		extras := slices.DeleteFunc(h.extras, func(s Slot) bool { return ed.weights[s] == 0 || slices.Contains(row, s) })
		serving := appendServing(nil, extras, serves)
		if len(serving) > want { // more than needed: the last ones go, and with them the excluded
			extras = serving[:max(0, want)]
		}
		for n := len(serving); n < want; n++ {
			extras = append(extras, ed.extra(h.key, append(row, extras...)))
		}
		h.extras = extras[:min(len(extras), MaxHotOwners)]
	}
}

// extra draws a member for a hot section: of four draws the one whose zone has the fewest owners yet.
func (ed *editor) extra(key uint64, row []Slot) Slot {
	best, fewest := none, 0
	drawn := 0
	for i := 0; drawn < 4 && i < probes+len(ed.serving); i++ {
		at := i - probes
		if i < probes {
			at = scale(mix(mix(key)+uint64(i)*golden), len(ed.serving))
		}
		s, same := ed.serving[at], 0
		if slices.Contains(row, s) {
			continue
		}
		drawn++
		for _, o := range row {
			if ed.zones[o] == ed.zones[s] {
				same++
			}
		}
		if best == none || same < fewest {
			best, fewest = s, same
		}
	}
	return best
}
