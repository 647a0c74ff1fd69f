package ring

import "slices"

// derive computes what look-ups read. Its rules are a part of the format (FORMAT.md): every language must come to the same rows.
func (e *Epoch) derive() {
	e.serving = e.serving[:0:0]
	for i, m := range e.members {
		if !m.Draining && !m.Excluded {
			e.serving = append(e.serving, Slot(i))
		}
	}
	if len(e.serving) == 0 { // exclusions that leave nobody say nothing
		for i, m := range e.members {
			if !m.Draining {
				e.serving = append(e.serving, Slot(i))
			}
		}
	}
	e.width = min(e.settings.Owners, len(e.serving))
	e.rows = make([]Slot, 0, e.partitions*e.width)
	serves := e.serves()
	plain := len(e.serving) == len(e.members) && e.width == e.settings.Owners
	if plain {
		e.rows = e.home
	} else if e.width > 0 {
		e.deriveRows(serves)
	}
	e.hotRows = make(map[uint64]hotRow, len(e.hot))
	if e.width == 0 {
		return
	}
	for _, h := range e.hot {
		count := min(h.count, len(e.serving))
		at := scale(h.key, e.partitions) * e.width
		row := appendServing(slices.Clone(e.rows[at:at+e.width]), h.extras, serves)
		row = e.fill(row, 0, max(count, e.width), h.key)
		e.hotRows[h.key] = hotRow{row, count}
	}
}

// serves says for each slot whether it serves.
func (e *Epoch) serves() []bool {
	out := make([]bool, len(e.members))
	for _, s := range e.serving {
		out[s] = true
	}
	return out
}

// deriveRows makes the rows where some members of the table do not serve: the stand-in or the first owner, then the others in their order, then what fill finds.
func (e *Epoch) deriveRows(serves []bool) {
	next := e.standins
	r := e.settings.Owners
	for p := range e.partitions {
		begin := len(e.rows)
		if len(next) > 0 && next[0].partition == p {
			e.rows = append(e.rows, next[0].slot)
			next = next[1:]
		}
		for _, s := range e.home[p*r : p*r+r] {
			if s != none && serves[s] && len(e.rows)-begin < e.width && !slices.Contains(e.rows[begin:], s) {
				e.rows = append(e.rows, s)
			}
		}
		e.rows = e.fill(e.rows, begin, e.width, uint64(p))
	}
}

func appendServing(row, more []Slot, serves []bool) []Slot {
	for _, s := range more {
		if serves[s] && !slices.Contains(row, s) {
			row = append(row, s)
		}
	}
	return row
}

// probes is how often fill draws before it takes whoever comes next.
const probes = 64

// fill draws members that serve until rows[begin:] has width distinct ones. Only an exclusion leaves something to fill, or a hot section that has just lost an owner.
func (e *Epoch) fill(rows []Slot, begin, width int, seed uint64) []Slot {
	seed = mix(seed)
	for i := 0; len(rows)-begin < width; i++ {
		at := i - probes
		if i < probes {
			at = scale(mix(seed+uint64(i)*golden), len(e.serving))
		}
		if s := e.serving[at]; !slices.Contains(rows[begin:], s) {
			rows = append(rows, s)
		}
	}
	return rows
}
