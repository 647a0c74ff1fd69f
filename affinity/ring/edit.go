package ring

import "slices"

// editor edits the table that an epoch has from the one before: first the first owners, whose bound always holds, then those who stand by, then what lies over the
// table (stand-ins, hot sections). Every choice is made in whole numbers and in a fixed order.
type editor struct {
	*Epoch
	weights []int64 // by slot; 0 for draining members, which own nothing
	hashes  []uint64
	zones   []int // by slot
	active  int
	points  []point
	before  *Epoch
	mapped  []Slot // slots of the epoch before to ours
}

func newEditor(e, before *Epoch, mapped []Slot) *editor {
	n := len(e.members)
	ed := &editor{Epoch: e, weights: make([]int64, n), hashes: make([]uint64, n), zones: make([]int, n), points: circlePoints(e.members), before: before, mapped: mapped}
	for i, m := range e.members {
		ed.hashes[i] = nameHash(m.Name)
		ed.zones[i], _ = slices.BinarySearch(e.settings.Zones, m.Zone)
		if !m.Draining {
			ed.weights[i] = int64(m.Weight)
			ed.active++
		}
	}
	return ed
}

func (ed *editor) edit(hot []Hot) {
	ed.dropDraining()
	if ed.active > 0 {
		ed.editFirst()
		ed.editStandby()
	}
	ed.editStandins()
	ed.hot = ed.before.hotAfter(ed.mapped, hot)
	ed.editHot()
}

// row is a partition's part of the table.
func (ed *editor) row(p int) []Slot {
	r := ed.settings.Owners
	return ed.home[p*r : p*r+r]
}

func (ed *editor) dropDraining() {
	for i, s := range ed.home {
		if s != none && ed.weights[s] == 0 {
			ed.home[i] = none
		}
	}
}

// editFirst gives every partition a first owner within its bound. Orphans come from members that are gone or hold too much.
func (ed *editor) editFirst() {
	q := shares(ed.partitions, ed.weights, ed.settings.Bound)
	orphans := ed.countFirst(q)
	if q.over() {
		orphans = append(orphans, ed.shedFirst(q)...)
		slices.Sort(orphans)
	}
	orphans = ed.orphansToNeedy(q, orphans, func(s Slot) bool { return q.held[s] == 0 }) // who comes takes the place of who goes
	orphans = ed.promoteStandins(q, orphans)
	orphans = ed.orphansToNeedy(q, orphans, func(Slot) bool { return true })
	orphans = ed.promote(q, orphans)
	orphans = ed.place(q, orphans, q.room(q.fair))
	ed.place(q, orphans, q.room(q.tight)) // shares rounded up are at least as many as the partitions, so all find room
	ed.needyTake(q)
}

// countFirst counts what each member owns, and lists the partitions that nobody does.
func (ed *editor) countFirst(q *quota) (orphans []int32) {
	for p := range ed.partitions {
		if s := ed.row(p)[0]; s == none {
			orphans = append(orphans, int32(p))
		} else {
			q.held[s]++
		}
	}
	return orphans
}

// ownedFirst lists for each slot the partitions that it owns first.
func (ed *editor) ownedFirst(q *quota) [][]int32 {
	owned := make([][]int32, len(q.held))
	for i, n := range q.held {
		owned[i] = make([]int32, 0, n)
	}
	for p := range ed.partitions {
		if s := ed.row(p)[0]; s != none {
			owned[s] = append(owned[s], int32(p))
		}
	}
	return owned
}

// shedFirst takes from members that hold more than their bound what they want least.
func (ed *editor) shedFirst(q *quota) (orphans []int32) {
	owned := ed.ownedFirst(q)
	for i := range q.held {
		over := int(q.held[i] - q.limit[i])
		if over <= 0 {
			continue
		}
		list := make([]ranked, 0, len(owned[i]))
		for _, p := range owned[i] {
			list = append(list, rank(0, ed.hashes[i], p))
		}
		slices.SortFunc(list, ranked.compare)
		for _, r := range list[len(list)-over:] {
			ed.row(int(r.partition))[0] = none
			orphans = append(orphans, r.partition)
		}
		q.held[i] -= int32(over)
	}
	return orphans
}

// orphansToNeedy gives orphans to those members below their bound that may have them, by the walk round the circle: first as many as the bound demands, so that they need take nothing from others, then up to their
// share. Those left over are returned.
func (ed *editor) orphansToNeedy(q *quota, orphans []int32, may func(Slot) bool) []int32 {
	needy := slices.DeleteFunc(slices.Clone(q.needy()), func(s Slot) bool { return !may(s) })
	for _, most := range [][]int32{q.low, q.fair} {
		room := make([]int32, len(q.held))
		for _, s := range needy {
			room[s] = most[s] - q.held[s]
		}
		orphans = ed.place(q, orphans, room)
	}
	return orphans
}

// place walks from each orphan's position to the first member with room, and returns the orphans for whom nobody had any.
func (ed *editor) place(q *quota, orphans, room []int32) (left []int32) {
	if len(orphans) == 0 {
		return nil
	}
	c := newCircle(ed.points, room)
	for _, p := range orphans {
		row := ed.row(int(p))
		s := c.first(position(int(p), 0), nil)
		if s == none {
			left = append(left, p)
			continue
		}
		ed.takeFirst(row, s)
		q.held[s]++
		room[s]--
	}
	return left
}

// takeFirst makes a member a row's first owner. If it stood by there, that place is empty now; editStandby fills it.
func (ed *editor) takeFirst(row []Slot, s Slot) {
	if i := slices.Index(row, s); i > 0 {
		row[i] = none
	}
	row[0] = s
}

// promoteStandins gives orphans to who stood in for their owner, as far as its bound allows: look-ups went there while the owner was away, so it has read what they hold, and nothing moves a second time. So many are
// left that members below their bound need take nothing from others.
func (ed *editor) promoteStandins(q *quota, orphans []int32) []int32 {
	missing := 0
	for _, s := range q.needy() {
		missing += int(q.low[s] - q.held[s])
	}
	for _, needy := range []bool{true, false} {
		var left []int32
		for i, p := range orphans {
			s := ed.stoodIn(int(p))
			spare := len(left)+len(orphans)-i > missing
			switch {
			case s == none || q.held[s] >= q.limit[s] || needy && q.held[s] >= q.low[s] || !needy && !spare:
				left = append(left, p)
				continue
			case q.held[s] < q.low[s]:
				missing--
			}
			q.held[s]++
			ed.takeFirst(ed.row(int(p)), s)
		}
		orphans = left
	}
	return orphans
}

// promote gives orphans to the members that stand by for them, in order, as far as their shares allow.
func (ed *editor) promote(q *quota, orphans []int32) (left []int32) {
	for _, p := range orphans {
		row := ed.row(int(p))
		i := slices.IndexFunc(row, func(s Slot) bool { return s != none && q.held[s] < q.tight[s] })
		if i < 0 {
			left = append(left, p)
			continue
		}
		q.held[row[i]]++
		ed.takeFirst(row, row[i])
	}
	return left
}

// stoodIn is who was the stand-in for a partition in the epoch before, if it is still there.
func (ed *editor) stoodIn(p int) Slot {
	old := p * ed.before.partitions / ed.partitions
	i, ok := slices.BinarySearchFunc(ed.before.standins, old, func(s standin, p int) int { return s.partition - p })
	if !ok {
		return none
	}
	return ed.mapped[ed.before.standins[i].slot]
}

// needyTake fills members that are below their bound from those that are furthest above their share: a member that joins takes its share, and no other moves.
func (ed *editor) needyTake(q *quota) {
	needy := q.needy()
	if len(needy) == 0 {
		return
	}
	d, owned := newDonors(q), ed.ownedFirst(q)
	for _, s := range needy {
		queues := map[Slot][]ranked{}
		for q.held[s] < q.fair[s] {
			from, ok := d.top()
			if !ok {
				return
			}
			queue, begun := queues[from]
			if !begun {
				queue = ed.wanted(s, owned[from])
			}
			p := int(queue[0].partition)
			queues[from] = queue[1:]
			row := ed.row(p)
			if i := slices.Index(row, s); i > 0 {
				row[i] = from // they change places
			}
			row[0] = s
			q.held[s]++
			q.held[from]--
			d.sink()
		}
		for from, queue := range queues { // what was not taken
			owned[from] = owned[from][:0]
			for _, r := range queue {
				owned[from] = append(owned[from], r.partition)
			}
		}
	}
}

// wanted sorts partitions by how much a member wants them: first those it stands by for, then those where its zone is not taken by one that stands by.
func (ed *editor) wanted(s Slot, partitions []int32) []ranked {
	out := make([]ranked, 0, len(partitions))
	for _, p := range partitions {
		class, row := 1, ed.row(int(p))[1:]
		if slices.Contains(row, s) {
			class = 0
		} else if slices.ContainsFunc(row, func(o Slot) bool { return o != none && ed.zones[o] == ed.zones[s] }) && len(ed.settings.Zones) > 1 {
			class = 2
		}
		out = append(out, rank(class, ed.hashes[s], p))
	}
	slices.SortFunc(out, ranked.compare)
	return out
}
