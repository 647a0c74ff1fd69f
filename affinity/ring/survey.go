package ring

// Holding is how many partitions a member has in an epoch, as answers are given now: with stand-ins in the places of excluded members.
type Holding struct {
	First   int // it is asked first
	Standby int // it stands by
}

// Holdings are what members hold, by slot.
func (e *Epoch) Holdings() []Holding {
	out := make([]Holding, len(e.members))
	for i, s := range e.rows {
		if i%e.width == 0 {
			out[s].First++
		} else {
			out[s].Standby++
		}
	}
	return out
}

// Hot lists the sections that have more owners than others, with how many those are.
func (e *Epoch) Hot() []Hot {
	var out []Hot
	for _, h := range e.hot {
		out = append(out, Hot{Key: h.key, Owners: h.count})
	}
	return out
}

// Movement is what changes its first owner from one epoch to another, in partitions of the larger table.
type Movement struct {
	Partitions int            // of the larger table
	Moved      int            // have another first owner, or have one where there was none, or the reverse
	Lost       map[string]int // by member; who appears in neither map keeps all it has
	Gained     map[string]int
}

// Move compares two epochs.
func (e *Epoch) Move(to *Epoch) Movement {
	m := Movement{Partitions: max(e.partitions, to.partitions), Lost: map[string]int{}, Gained: map[string]int{}}
	for p := range m.Partitions {
		before, after := e.firstOf(p, m.Partitions), to.firstOf(p, m.Partitions)
		if before == after {
			continue
		}
		m.Moved++
		if before != "" {
			m.Lost[before]++
		}
		if after != "" {
			m.Gained[after]++
		}
	}
	return m
}

// firstOf names the first owner of partition p of so many; "" if nobody serves.
func (e *Epoch) firstOf(p, of int) string {
	if e.width == 0 {
		return ""
	}
	return e.members[e.rows[p/(of/e.partitions)*e.width]].Name
}
