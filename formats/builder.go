package formats

// maxOffset is the largest size that fits beside a class in one word of Layout.cuts.
const maxOffset = 1<<55 - 1

// builder appends pages in order.
type builder struct {
	cuts []uint64
	full bool // MaxPages was reached; what follows is dropped
}

// parts cuts [start, end) into as few equal pages as MaxPage allows. Equal ones, because a last page of a few bytes costs as much in
// the index, and on a request of its own, as a whole one.
func (b *builder) parts(start, end int64, class Class) {
	if end-start <= MaxPage && start < end && len(b.cuts) < MaxPages {
		b.cuts = append(b.cuts, uint64(start)<<8|uint64(class))
		return
	}
	n := partsOf(start, end)
	if !b.room(n) {
		return
	}
	for i := range n {
		b.cuts = append(b.cuts, uint64(partStart(start, end, n, i))<<8|uint64(class))
	}
}

// gap cuts what is not known, [start, end), on a grid that starts anew there.
func (b *builder) gap(start, end int64, class Class) {
	if start >= end || !b.room((end-start+GridPage-1)/GridPage) {
		return
	}
	for ; start < end; start += GridPage {
		b.cuts = append(b.cuts, uint64(start)<<8|uint64(class))
	}
}

// room reports whether n more pages fit.
func (b *builder) room(n int64) bool {
	b.full = b.full || n > MaxPages-int64(len(b.cuts))
	return !b.full
}

// partsOf is the number of equal pages of [start, end).
func partsOf(start, end int64) int64 { return (end - start + MaxPage - 1) / MaxPage }

// partStart is where the i-th of n equal parts of [start, end) starts; their lengths differ by at most one byte.
func partStart(start, end, n, i int64) int64 {
	length := end - start
	return start + length/n*i + min(i, length%n)
}
