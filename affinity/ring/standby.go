package ring

import "slices"

// standbys edits the columns of those who stand by. What it wants of a row, in this order: distinct members, as many zones as there can be, loads within the standby
// bound. Where zones are uneven the third yields last: an entry goes to a taken zone rather than over the bound, and over the bound only where no other member is left.
type standbys struct {
	*editor
	q            *quota
	tight, limit *level
	width        int
}

// level is the room that members have up to one of their quota's levels, on one circle for all and one for each zone.
type level struct {
	room     []int32
	zoneRoom []int64
	zone     []*circle
	all      *circle
}

func (ed *editor) editStandby() {
	width := min(ed.settings.Owners, ed.active)
	sb := &standbys{editor: ed, width: width, q: shares(ed.partitions*(width-1), ed.weights, ed.settings.StandbyBound)}
	sb.compact()
	for round := 0; round < 3; round++ {
		sb.tight, sb.limit = sb.level(sb.q.tight), sb.level(sb.q.limit)
		if round == 0 {
			sb.fillHoles()
		}
		moved, left := sb.spread()
		if sb.q.over() {
			sb.shed()
		}
		sb.needyTake()
		if left == 0 || moved == 0 && round > 0 { // a round makes room for the next, where a zone has come back
			return
		}
	}
}

// compact closes the gaps of rows, so that who stood third stands second now, and counts.
func (sb *standbys) compact() {
	for p := range sb.partitions {
		row := sb.row(p)
		n := 1
		for _, s := range row[1:] {
			if s != none {
				row[n] = s
				n++
				sb.q.held[s]++
			}
		}
		for ; n < len(row); n++ {
			row[n] = none
		}
	}
}

func (sb *standbys) level(upTo []int32) *level {
	l := &level{room: sb.q.room(upTo), zoneRoom: make([]int64, max(1, len(sb.settings.Zones)))}
	byZone := make([][]point, len(l.zoneRoom))
	for _, p := range sb.points {
		byZone[sb.zones[p.slot]] = append(byZone[sb.zones[p.slot]], p)
	}
	for z := range byZone {
		l.zone = append(l.zone, newCircle(byZone[z], l.room))
	}
	for s, n := range l.room {
		l.zoneRoom[sb.zones[s]] += int64(max(0, n))
	}
	l.all = newCircle(sb.points, l.room)
	return l
}

// give notes that a member stands by for one partition more.
func (sb *standbys) give(s Slot) {
	sb.q.held[s]++
	for _, l := range []*level{sb.tight, sb.limit} {
		if l.room[s] > 0 {
			l.zoneRoom[sb.zones[s]]--
		}
		l.room[s]--
	}
}

// put replaces an entry of a row. What the old one leaves is not room for others until the next epoch: circles want room that only shrinks.
func (sb *standbys) put(row []Slot, c int, s Slot) {
	if row[c] != none {
		sb.q.held[row[c]]--
	}
	row[c] = s
	sb.give(s)
}

// taken says whether a zone is that of a member of the row at another place than c.
func (sb *standbys) taken(row []Slot, c, zone int) bool {
	for i, s := range row {
		if i != c && s != none && sb.zones[s] == zone {
			return true
		}
	}
	return false
}

// inFreeZone finds a member with room in a zone that the row has not at other places than c: in the zone with the most room.
func (sb *standbys) inFreeZone(l *level, p, c int) Slot {
	row, best := sb.row(p), -1
	for z, n := range l.zoneRoom {
		if n > 0 && (best < 0 || n > l.zoneRoom[best]) && !sb.taken(row, c, z) {
			best = z
		}
	}
	if best < 0 {
		return none
	}
	return l.zone[best].first(position(p, c), row)
}

// fillHoles finds members for what is empty.
func (sb *standbys) fillHoles() {
	for p := range sb.partitions {
		row := sb.row(p)
		for c := 1; c < sb.width; c++ {
			if row[c] == none {
				sb.put(row, c, sb.anyone(p, c))
			}
		}
	}
}

// apart finds a member in a zone that the row has not at other places than c.
func (sb *standbys) apart(p, c int) Slot {
	for _, l := range []*level{sb.tight, sb.limit} {
		if s := sb.inFreeZone(l, p, c); s != none {
			return s
		}
	}
	return none
}

// anyone finds a member for a place of a row, by the best way that there is.
func (sb *standbys) anyone(p, c int) Slot {
	if s := sb.apart(p, c); s != none {
		return s
	}
	row := sb.row(p)
	for _, l := range []*level{sb.tight, sb.limit} {
		if s := l.all.first(position(p, c), row); s != none {
			return s
		}
	}
	best := none
	for i, w := range sb.weights {
		if s := Slot(i); w > 0 && !slices.Contains(row, s) && (best == none || sb.q.excess(s) < sb.q.excess(best)) {
			best = s
		}
	}
	return best
}

// spread moves entries whose zone is taken by one before them to a zone that is free, where there is room: so many, and so many are left.
func (sb *standbys) spread() (moved, left int) {
	if len(sb.settings.Zones) < 2 {
		return 0, 0
	}
	for p := range sb.partitions {
		row := sb.row(p)
		for c := 1; c < sb.width; c++ {
			if !sb.taken(row[:c], c, sb.zones[row[c]]) || sb.swap(row, c) {
				continue
			}
			if s := sb.apart(p, c); s != none {
				sb.put(row, c, s)
				moved++
			} else {
				left++
			}
		}
	}
	return moved, left
}

// swap brings forward an entry whose zone none before c has: a question for two owners should get two zones where the row has them.
func (sb *standbys) swap(row []Slot, c int) bool {
	for i := c + 1; i < sb.width; i++ {
		if !sb.taken(row[:c], c, sb.zones[row[i]]) {
			row[c], row[i] = row[i], row[c]
			return true
		}
	}
	return false
}

// shed moves what members hold over their limit to others, where that costs no zone.
func (sb *standbys) shed() {
	held := sb.owned()
	for i := range sb.q.held {
		list := make([]ranked, 0, len(held[i]))
		if sb.q.held[i] > sb.q.limit[i] {
			for _, p := range held[i] {
				list = append(list, rank(0, sb.hashes[i], p))
			}
		}
		slices.SortFunc(list, ranked.compare)
		for n := len(list) - 1; n >= 0 && sb.q.held[i] > sb.q.limit[i]; n-- {
			p := int(list[n].partition)
			row := sb.row(p)
			c := slices.Index(row, Slot(i))
			s := sb.inFreeZone(sb.tight, p, c)
			if s == none && sb.taken(row, c, sb.zones[i]) {
				s = sb.tight.all.first(position(p, c), row)
			}
			if s != none {
				sb.put(row, c, s)
			}
		}
	}
}

// owned lists for each slot the partitions that it stands by for.
func (sb *standbys) owned() [][]int32 {
	out := make([][]int32, len(sb.q.held))
	for i, n := range sb.q.held {
		out[i] = make([]int32, 0, n)
	}
	for p := range sb.partitions {
		for _, s := range sb.row(p)[1:sb.width] {
			out[s] = append(out[s], int32(p))
		}
	}
	return out
}

// needyTake fills members that are below their bound from those furthest above their share, where that costs no zone.
func (sb *standbys) needyTake() {
	needy := sb.q.needy()
	if len(needy) == 0 {
		return
	}
	owned, d, dropped := sb.owned(), newDonors(sb.q), false
	for _, s := range needy {
		if dropped { // who had nothing for one member may have for the next
			d, dropped = newDonors(sb.q), false
		}
		queues := map[Slot][]ranked{}
		for sb.q.held[s] < sb.q.fair[s] {
			from, ok := d.top()
			if !ok {
				break
			}
			queue, begun := queues[from]
			if !begun {
				queue = sb.wantedOf(s, from, owned[from])
			}
			if len(queue) == 0 {
				queues[from] = queue
				d.drop()
				dropped = true
				continue
			}
			p := queue[0].partition
			queues[from] = queue[1:]
			row := sb.row(int(p))
			if slices.Contains(row, s) { // taken meanwhile from another who stood by for the same partition
				continue
			}
			row[slices.Index(row, from)] = s
			sb.q.held[s]++
			sb.q.held[from]--
			owned[from] = slices.DeleteFunc(owned[from], func(o int32) bool { return o == p })
			d.sink()
		}
	}
}

// wantedOf sorts those partitions of another that a member may take.
func (sb *standbys) wantedOf(s, from Slot, partitions []int32) (out []ranked) {
	for _, p := range partitions {
		row := sb.row(int(p))
		c := slices.Index(row, from)
		if c > 0 && !slices.Contains(row, s) && (!sb.taken(row, c, sb.zones[s]) || sb.taken(row, c, sb.zones[from])) {
			out = append(out, rank(0, sb.hashes[s], p))
		}
	}
	slices.SortFunc(out, ranked.compare)
	return out
}
