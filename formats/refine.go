package formats

import (
	"errors"
	"io"

	"github.com/alio-lake/alio/formats/parquet"
)

// dataGroup is the least size at which a run of data pages becomes a page, in bytes: a data page of this size or more stands
// alone, smaller ones are put together. Data pages are 20 KiB (20,000 rows of a narrow column) to 1 MiB. Readers that use the page
// index read runs of neighbouring ones, so a smaller page would save less over-read than a request costs, and cost 48 bytes of the
// cache's index for each; a larger one would make each selective read fetch up to 1 MiB.
const dataGroup = 256 << 10

// maxIndex is the largest offset index that is read, in bytes (about a million data pages).
const maxIndex = 16 << 20

var errBadIndex = errors.New("page locations out of order or outside their chunk")

// refine replaces each extent that is larger than MaxPage, and whose offset index is at hand and makes sense, by runs of data pages.
// It reports whether it changed any.
func (p *plan) refine(r io.ReaderAt, l *Layout) bool {
	pages := pageReader{r: r, layout: l, start: -1}
	refined := make([]extent, 0, len(p.extents)+len(p.extents)/4)
	changed := false
	for _, e := range p.extents {
		if e.index != 0 && e.end-e.start > MaxPage {
			if groups, ok := p.groups(e, &pages, refined); ok {
				refined, changed = groups, true
				continue
			}
		}
		refined = append(refined, e)
	}
	p.extents = refined
	return changed
}

// groups appends the runs of e's data pages to dst.
func (p *plan) groups(e extent, pages *pageReader, dst []extent) ([]extent, bool) {
	at := p.indexes[e.index-1]
	if at.end-at.start > maxIndex {
		return nil, false
	}
	index, ok := pages.read(at.start, at.end, p)
	if !ok {
		return nil, false
	}
	g := grouper{dst: dst, from: e.start, to: e.start}
	last := int64(-1)
	err := parquet.ReadOffsetIndex(index, func(l parquet.PageLocation) error {
		if l.Offset <= last || l.Offset < e.start || l.Offset >= p.footerStart {
			return errBadIndex
		}
		if last = l.Offset; last > e.start && last < e.end {
			g.cut(last, e.class)
		}
		return nil
	})
	if err != nil {
		return nil, false
	}
	g.cut(e.end, e.class)
	if g.from < e.end {
		g.emit(e.end, e.class)
	}
	return g.dst, true
}

// grouper puts data pages together: runs of at least dataGroup and, unless a single data page is larger, at most MaxPage.
type grouper struct {
	dst  []extent
	from int64 // where the run in hand starts
	to   int64 // where its last whole data page ends
}

// cut takes in the data page that ends at end.
func (g *grouper) cut(end int64, class Class) {
	if end-g.from > MaxPage && g.to > g.from {
		g.emit(g.to, class)
	}
	g.to = end
	if end-g.from >= dataGroup {
		g.emit(end, class)
	}
}

func (g *grouper) emit(end int64, class Class) {
	g.dst = append(g.dst, extent{start: g.from, end: end, class: class})
	g.from = end
}

// pageReader reads ranges by whole pages of a layout and remembers the last page, or that it was not at hand.
type pageReader struct {
	r      io.ReaderAt
	layout *Layout
	start  int64  // of the page remembered
	page   []byte // nil: not at hand
}

// read returns the bytes [start, end). ok is false if any page of them is not at hand.
func (pr *pageReader) read(start, end int64, p *plan) (b []byte, ok bool) {
	for off := start; off < end; {
		from, to, _ := pr.layout.PageAt(off)
		var page []byte
		switch from {
		case p.tailStart:
			page = p.tail
		case pr.start:
			page = pr.page
		default:
			page, _ = readPage(pr.r, from, to) // an error is as good as ErrAbsent: equal parts serve too
			pr.start, pr.page = from, page
		}
		if page == nil {
			return nil, false
		}
		part := page[off-from : min(end, to)-from]
		if off == start && end <= to {
			return part, true
		}
		b = append(b, part...)
		off = min(end, to)
	}
	return b, true
}
