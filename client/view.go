package client

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
)

// Object is a file at one version.
type Object struct {
	Mount, Path string
	Version     string // opaque; equal versions, equal bytes. Empty: the origin names none, and nothing of it is cached
	ETag        string // as the origin spells it; may be empty
	Size        int64  // bytes
	Modified    time.Time
}

// page is a page that lies in a segment. It holds no pointer, and a table of them costs the garbage collector nothing.
type page struct {
	off     int64 // in the object
	key     segfile.Key
	length  uint32
	record  uint32 // where its record starts, in units of segfile.Align; 0: nowhere any more. Atomic
	segment uint32 // in table.segments
	sums    uint32 // where the page has its place in table.sums; 0: it is one block, whose sum is read with it
	touches uint32 // reads that were not told yet. Atomic
}

func (p *page) end() int64 { return p.off + int64(p.length) }

// void takes the place away, unless it was given another meanwhile.
func (p *page) void(record uint32) { atomic.CompareAndSwapUint32(&p.record, record, 0) }

// table is where an object's pages lie, as far as the client knows: what is not in it is asked of the sidecar. Its pages are in order and do not
// overlap. It does not change but for places that are voided and touches that are counted.
type table struct {
	segments []*segment
	pages    []page
	sums     []uint32 // for each page of several blocks: 1 once its sums are known, then these. Atomic; the first is not used
}

// sumsOf is the page's place in sums; nil: it has none.
func (t *table) sumsOf(p *page) []uint32 {
	if p.sums == 0 {
		return nil
	}
	return t.sums[p.sums:][:1+p.blocks()]
}

// sumsOfKey is sumsOf the same page in this table, nil if it is not there.
func (t *table) sumsOfKey(p *page) []uint32 {
	if i := t.from(p.off); p.blocks() > 1 && i < len(t.pages) && t.pages[i].key == p.key && t.pages[i].length == p.length {
		return t.sumsOf(&t.pages[i])
	}
	return nil
}

func (p *page) blocks() int { return (int(p.length) + segfile.BlockSize - 1) / segfile.BlockSize }

// memory is what the page takes in a table, in bytes.
func (p *page) memory() int64 {
	if n := p.blocks(); n > 1 {
		return pageBytes + 4*int64(1+n)
	}
	return pageBytes
}

// addPage appends a page, and what is known of its sums (nil: nothing).
func (t *table) addPage(p page, known []uint32) {
	p.sums, p.touches = 0, 0
	if n := p.blocks(); n > 1 {
		if len(t.sums) == 0 {
			t.sums = append(t.sums, 0)
		}
		p.sums = uint32(len(t.sums))
		t.sums = append(t.sums, make([]uint32, 1+n)...)
		if known != nil && atomic.LoadUint32(&known[0]) == 1 {
			for i := range known {
				t.sums[int(p.sums)+i] = atomic.LoadUint32(&known[i])
			}
		}
	}
	t.pages = append(t.pages, p)
}

// Sizes of memory, in bytes, as they are counted against ViewMemory.
const (
	pageBytes    = 48
	segmentBytes = 8
	viewBytes    = 600 // a view beside its strings and its table
)

func (t *table) bytes() int64 {
	return int64(cap(t.pages))*pageBytes + int64(cap(t.segments))*segmentBytes + 4*int64(cap(t.sums))
}

// from returns the first page that ends after off.
func (t *table) from(off int64) int {
	lo, hi := 0, len(t.pages)
	if hi > 8 && off >= 0 { // most tables are of pages of one length: look where it would be then
		if i := int(float64(off) / float64(t.pages[hi-1].end()) * float64(hi)); i < hi {
			if t.pages[i].end() <= off {
				lo = i + 1
			} else if i == 0 || t.pages[i-1].end() <= off {
				return i
			} else {
				hi = i
			}
		}
	}
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if t.pages[mid].end() > off {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// merged returns the table with what is told of some ranges in the place of what was known of them. ranges are in order and do not overlap; told
// pages may reach beyond them. What would take more than limit bytes of memory is left out.
func (t *table) merged(told *table, ranges []span, limit int64) *table {
	out := &table{pages: make([]page, 0, min(len(t.pages)+len(told.pages), int(limit/pageBytes)))}
	number := map[*segment]uint32{}
	add := func(from *table, i int) {
		p := &from.pages[i]
		record := atomic.LoadUint32(&p.record)
		seg := from.segments[p.segment]
		if record == 0 || seg.retired.Load() {
			return
		}
		if limit -= p.memory(); limit < 0 {
			return
		}
		if n := len(out.pages); n > 0 && out.pages[n-1].end() > p.off {
			return
		}
		n, ok := number[seg]
		if !ok {
			n = uint32(len(out.segments))
			number[seg] = n
			out.segments = append(out.segments, seg)
		}
		out.addPage(page{off: p.off, key: p.key, length: p.length, record: record, segment: n}, t.sumsOfKey(p))
	}
	// What was known stays where it touches neither the ranges nor a page that is told.
	stays := func(p *page) bool {
		if i := told.from(p.off); i < len(told.pages) && told.pages[i].off < p.end() {
			return false
		}
		i := sort.Search(len(ranges), func(i int) bool { return ranges[i].to > p.off })
		return i == len(ranges) || ranges[i].from >= p.end()
	}
	j := 0
	for i := range t.pages {
		if !stays(&t.pages[i]) {
			continue
		}
		for ; j < len(told.pages) && told.pages[j].off < t.pages[i].off; j++ {
			add(told, j)
		}
		add(t, i)
	}
	for ; j < len(told.pages); j++ {
		add(told, j)
	}
	return out
}

// span is the bytes [from, to) of an object.
type span struct{ from, to int64 }

// maxSpans is how many ranges a view remembers to ask about; beyond it, those nearest to each other become one.
const maxSpans = 16

// addSpan adds a range to an ordered list, joins what touches, and keeps the list short.
func addSpan(list []span, s span) []span {
	list = append(list, s)
	slices.SortFunc(list, func(a, b span) int {
		switch {
		case a.from < b.from:
			return -1
		case a.from > b.from:
			return 1
		}
		return 0
	})
	out := list[:1]
	for _, s := range list[1:] {
		if last := &out[len(out)-1]; s.from <= last.to {
			last.to = max(last.to, s.to)
		} else {
			out = append(out, s)
		}
	}
	for len(out) > maxSpans {
		best := 1
		for i := 2; i < len(out); i++ {
			if out[i].from-out[i-1].to < out[best].from-out[best-1].to {
				best = i
			}
		}
		out[best-1].to = out[best].to
		out = slices.Delete(out, best, best+1)
	}
	return out
}

// without returns what of an ordered list lies in none of another's spans.
func without(list, taken []span) []span {
	var out []span
	for _, s := range list {
		for _, t := range taken {
			if t.to <= s.from || t.from >= s.to {
				continue
			}
			if t.from > s.from {
				out = append(out, span{s.from, t.from})
			}
			s.from = t.to
		}
		if s.from < s.to {
			out = append(out, s)
		}
	}
	return out
}

// view is an object at one version and where its pages lie. It is shared by the Files that opened it while it was fresh.
type view struct {
	key    viewKey
	object Object
	fill   *Fill // nil: the sidecar reads the origin
	parts  []part
	// settled is how much of the object, from its start, may ever have places; beyond it lies what is still being written.
	settled int64
	table   atomic.Pointer[table]

	fresh   atomic.Int64 // unix nanoseconds until which it may be taken for the present version
	trusts  atomic.Bool  // whether a caller's ETag may confirm it
	changed atomic.Bool  // the origin holds another version

	mu       sync.Mutex
	missed   []span        // that were read from the sidecar for want of a place
	asking   bool          // a refresh is under way
	asked    time.Time     // when the last refresh began
	patience time.Duration // to the next one
	charged  int64         // bytes, under views.mu
}

// part is an immutable piece of an object.
type part struct {
	off, length int64
	key         segfile.PartKey
}

type viewKey struct{ mount, path, kind, version string } // the last two of client-filled files

func (v *view) bytes() int64 {
	n := viewBytes + int64(len(v.parts))*32 + v.table.Load().bytes()
	for _, s := range []string{v.key.mount, v.key.path, v.key.version, v.object.Version, v.object.ETag} {
		n += int64(len(s))
	}
	return n
}

// never and for ever, as unix nanoseconds.
const (
	longAgo = int64(0)
	forever = int64(1<<63 - 1)
)

func (v *view) isFresh() bool {
	until := v.fresh.Load()
	return !v.changed.Load() && (until == forever || time.Now().UnixNano() < until)
}

// missing remembers that a range was read from the sidecar, so that its pages' places are asked for when it is read again.
func (v *view) missing(s span) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.to = min(s.to, v.settled); s.from < s.to {
		v.missed = addSpan(v.missed, s)
	}
}

// untold remembers of which of the ranges asked for (nil: all) an answer did not tell.
func (v *view) untold(ranges, told []span) {
	if v.object.Version == "" {
		return
	}
	if ranges == nil {
		ranges = []span{{0, v.object.Size}}
	}
	for _, s := range without(ranges, told) {
		v.missing(s)
	}
}

// askSpan is how much of one range is asked for at once.
const askSpan = 1 << 30

// wantsRefresh reports whether it is time to ask where the pages of s are now; the ranges to ask of are then the caller's, who calls refreshed.
// Nothing is asked of a range that is missed for the first time: Open has just said that it is not there.
func (v *view) wantsRefresh(s span, least time.Duration) (ask []span, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	hit := slices.ContainsFunc(v.missed, func(m span) bool { return m.from < s.to && s.from < m.to })
	if !hit || v.asking || !v.asked.IsZero() && time.Since(v.asked) < max(v.patience, least) {
		return nil, false
	}
	for _, m := range v.missed {
		if m.to-m.from > askSpan { // from where the reader is
			m.from = max(m.from, min(s.from, m.to-askSpan))
			m.to = m.from + askSpan
		}
		ask = append(ask, m)
	}
	v.asking, v.asked = true, time.Now()
	return ask, true
}

// refreshed ends what wantsRefresh began: told is what the answer told of. Where it brought no place, the next one waits twice as long, up to
// maxPatience.
func (v *view) refreshed(told []span, brought bool, least time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asking = false
	if !brought {
		v.patience = min(max(2*v.patience, 2*least), maxPatience)
		return
	}
	v.patience = 0
	v.missed = without(v.missed, told)
}

const maxPatience = 5 * time.Second
