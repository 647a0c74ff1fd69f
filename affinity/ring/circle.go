package ring

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// points is how many places a member has on the circle. Bounds decide how much a member owns, so a few suffice to scatter what passes on from a full one.
const points = 8

// point is a place of a member on the circle.
type point struct {
	at   uint64
	slot Slot
}

// circlePoints are the places of those members that may own something, in the order of the circle.
func circlePoints(members []Member) []point {
	out := make([]point, 0, len(members)*points)
	for i, m := range members {
		if m.Draining {
			continue
		}
		h := nameHash(m.Name)
		for n := range uint64(points) {
			out = append(out, point{mix(h + n*golden), Slot(i)})
		}
	}
	slices.SortFunc(out, func(a, b point) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.slot, b.slot)) })
	return out
}

func nameHash(name string) uint64 { return xxhash.Sum64String(name) }

// position is where a partition's search begins on the circle, another place for each column of the table.
func position(partition, column int) uint64 {
	return mix(uint64(partition) + uint64(column+1)*golden)
}

// circle walks clockwise to the first member that has room, the rule of the paper, and passes each full one once: room only shrinks while a circle is in use, so a
// full member's point is linked to the next one (a disjoint-set forest).
type circle struct {
	points []point
	next   []int32 // itself while its member has room; one more than there are points
	room   []int32 // of every slot, shared; 0 or less is full
}

func newCircle(points []point, room []int32) *circle {
	c := &circle{points: points, next: make([]int32, len(points)+1), room: room}
	for i := range c.next {
		c.next[i] = int32(i)
	}
	return c
}

// first finds the first member with room clockwise from a position that is not among those left out; none if there is none.
func (c *circle) first(at uint64, without []Slot) Slot {
	begin, _ := slices.BinarySearchFunc(c.points, at, func(p point, at uint64) int { return cmp.Compare(p.at, at) })
	for _, arc := range [2][2]int{{begin, len(c.points)}, {0, begin}} {
		for i := c.find(arc[0]); i < arc[1]; i = c.find(i + 1) {
			if s := c.points[i].slot; !slices.Contains(without, s) {
				return s
			}
		}
	}
	return none
}

// find is the first point at i or after it whose member has room, or the number of points.
func (c *circle) find(i int) int {
	j := i
	for {
		for int(c.next[j]) != j {
			j = int(c.next[j])
		}
		if j == len(c.points) || c.room[c.points[j].slot] > 0 {
			break
		}
		c.next[j] = int32(j + 1)
	}
	for i != j { // shorten the way for those who come later
		i, c.next[i] = int(c.next[i]), int32(j)
	}
	return j
}
