package ring

import "slices"

// quota says for each slot how many of some entries of the table it should hold. A member's share is its weight's part of all of them, a fraction; all is computed in
// whole numbers, so that every machine comes to the same.
type quota struct {
	low   []int32 // below it a member takes from others: share / (1 + bound), and at least 1
	fair  []int32 // to which it then is filled: share, rounded down, and at least 1
	tight []int32 // to which entries without an owner are given to it: share, rounded up. So there is always room for all of them
	limit []int32 // above it a member gives up: share * (1 + bound), rounded up. This is the bound
	held  []int32

	entries, total int64
	weights        []int64
}

// shares makes the quota of so many entries; a weight of 0 gets none. bound is in thousandths.
func shares(entries int, weights []int64, bound int) *quota {
	q := &quota{entries: int64(entries), weights: weights}
	for _, list := range []*[]int32{&q.low, &q.fair, &q.tight, &q.limit, &q.held} {
		*list = make([]int32, len(weights))
	}
	for _, w := range weights {
		q.total += w
	}
	for i, w := range weights {
		if w == 0 || entries == 0 {
			continue
		}
		product, more := q.entries*w, int64(1000+bound)
		q.low[i] = int32(max(1, product*1000/(q.total*more)))
		q.fair[i] = int32(max(1, product/q.total))
		q.tight[i] = int32((product + q.total - 1) / q.total)
		q.limit[i] = int32((product*more + q.total*1000 - 1) / (q.total * 1000))
	}
	return q
}

// excess is how far a slot is above its share, in units of entries * weight.
func (q *quota) excess(s Slot) int64 { return int64(q.held[s])*q.total - q.entries*q.weights[s] }

// needy are the slots that hold less than low, in order.
func (q *quota) needy() (out []Slot) {
	for i := range q.held {
		if q.held[i] < q.low[i] {
			out = append(out, Slot(i))
		}
	}
	return out
}

// over says whether somebody holds more than its limit.
func (q *quota) over() bool {
	for i := range q.held {
		if q.held[i] > q.limit[i] {
			return true
		}
	}
	return false
}

// room makes the list of what each slot has left up to a level.
func (q *quota) room(level []int32) []int32 {
	out := make([]int32, len(level))
	for i := range out {
		out[i] = level[i] - q.held[i]
	}
	return out
}

// ranked is a partition, and how much a member wants it: the lower class first, then the lower hash.
type ranked struct {
	class     int
	hash      uint64
	partition int32
}

func (a ranked) compare(b ranked) int {
	switch {
	case a.class != b.class:
		return a.class - b.class
	case a.hash < b.hash:
		return -1
	case a.hash > b.hash:
		return 1
	}
	return int(a.partition - b.partition)
}

// rank orders partitions for a member in its own way, so that what it takes and gives is scattered over the table.
func rank(class int, nameHash uint64, partition int32) ranked {
	return ranked{class, mix(nameHash ^ uint64(partition+1)*golden), partition}
}

// donors is a heap of slots, the one furthest above its share on top; of equals the lower slot.
type donors struct {
	q    *quota
	heap []Slot
}

func newDonors(q *quota) *donors {
	d := &donors{q: q}
	for i := range q.held {
		if q.weights[i] > 0 && q.excess(Slot(i)) > 0 {
			d.heap = append(d.heap, Slot(i))
		}
	}
	slices.SortFunc(d.heap, d.compare)
	return d
}

func (d *donors) compare(a, b Slot) int {
	x, y := d.q.excess(a), d.q.excess(b)
	switch {
	case x > y:
		return -1
	case x < y:
		return 1
	}
	return int(a) - int(b)
}

// top is the first donor; ok is false when nobody is above its share.
func (d *donors) top() (Slot, bool) {
	if len(d.heap) == 0 || d.q.excess(d.heap[0]) <= 0 {
		return none, false
	}
	return d.heap[0], true
}

// sink puts the top where it belongs after it has given something.
func (d *donors) sink() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(d.heap) {
			return
		}
		if child+1 < len(d.heap) && d.compare(d.heap[child+1], d.heap[child]) < 0 {
			child++
		}
		if d.compare(d.heap[i], d.heap[child]) <= 0 {
			return
		}
		d.heap[i], d.heap[child] = d.heap[child], d.heap[i]
		i = child
	}
}

// drop takes the top out: it has nothing that the asking member may take.
func (d *donors) drop() {
	last := len(d.heap) - 1
	d.heap[0] = d.heap[last]
	d.heap = d.heap[:last]
	d.sink()
}
