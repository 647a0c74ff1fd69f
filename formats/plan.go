package formats

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/alio-lake/alio/formats/parquet"
)

// indexPage is how far neighbouring page indexes are put together into one page, in bytes. One index is some 30 bytes to a few KiB and a
// reader wants those of its columns and row groups, which lie side by side; a page for each would cost more memory in the cache's
// index than it holds.
const indexPage = 64 << 10

// unknownEnd is the end of a bloom filter whose length the footer does not tell.
const unknownEnd = -1

// plan gathers what a file's footer says of it and turns that into a layout.
type plan struct {
	format                       FileFormat
	size, tailStart, footerStart int64
	first                        int64  // where data may begin: after the leading magic
	tail                         []byte // [tailStart, size)
	class                        Class  // by path: not Other where the whole file is a table format's metadata
	extents                      []extent
	aside                        [asides][]extent // what arrange puts to extents
	count                        int              // of both
	indexes                      []indexRef
	scratch                      []extent // of one stripe
	work                         *workspace
}

// extent is a known structure of the file, [start, end).
type extent struct {
	start, end int64
	class      Class
	grid       bool  // what is in it is not known: it is cut on a grid
	index      int32 // data pages larger than MaxPage: 1 + where in plan.indexes their offset index is named; else 0
}

// What most writers put behind the data of all chunks, each kind together: it is gathered apart, so that a footer in the order of the file needs no sorting.
const (
	offsetIndexes = iota
	columnIndexes
	bloomFilters
	asides
)

// indexRef is where an offset index lies.
type indexRef struct{ start, end int64 }

// chunk takes in one column chunk of the footer.
func (p *plan) chunk(c *parquet.Chunk) error {
	if err := p.data(c); err != nil {
		return err
	}
	if c.OffsetIndexOffset != 0 && c.OffsetIndexLength != 0 {
		if err := p.add(&p.aside[offsetIndexes], c, "offset index", c.OffsetIndexOffset, c.OffsetIndexLength, PageIndex); err != nil {
			return err
		}
	}
	if c.ColumnIndexOffset != 0 && c.ColumnIndexLength != 0 {
		if err := p.add(&p.aside[columnIndexes], c, "column index", c.ColumnIndexOffset, c.ColumnIndexLength, PageIndex); err != nil {
			return err
		}
	}
	if c.BloomFilterOffset == 0 {
		return nil
	}
	length := c.BloomFilterLength
	if length == 0 {
		length = 1 // at least; what comes next in the file tells its end
	}
	blooms := &p.aside[bloomFilters]
	if err := p.add(blooms, c, "bloom filter", c.BloomFilterOffset, length, BloomFilter); err != nil {
		return err
	}
	if c.BloomFilterLength == 0 {
		(*blooms)[len(*blooms)-1].end = unknownEnd
	}
	return nil
}

// data takes in the pages of a chunk. A chunk of no bytes (a row group of no rows) has none, wherever its offsets point.
func (p *plan) data(c *parquet.Chunk) error {
	if c.CompressedSize == 0 {
		return nil
	}
	start, data := c.Start(), c.Data()
	end := start + c.CompressedSize
	switch {
	case !p.fits(start, c.CompressedSize):
		return p.outside(c, "column chunk", start, c.CompressedSize)
	case data > end:
		return fmt.Errorf("%w: row group %d column %d: data pages at %d, after the chunk's end at %d",
			ErrCorrupt, c.RowGroup, c.Column, data, end)
	case start < data && data == end:
		return p.push(&p.extents, extent{start: start, end: data, class: Dictionary})
	}
	column := extent{start: data, end: end, class: Column}
	if end-data > MaxPage && c.OffsetIndexOffset > 0 && c.OffsetIndexLength > 0 {
		p.indexes = append(p.indexes, indexRef{c.OffsetIndexOffset, c.OffsetIndexOffset + c.OffsetIndexLength})
		column.index = int32(len(p.indexes))
	}
	if start >= data {
		return p.push(&p.extents, column)
	}
	if p.count += 2; p.count > MaxPages {
		return p.tooMany()
	}
	p.extents = append(p.extents, extent{start: start, end: data, class: Dictionary}, column)
	return nil
}

// add checks an extent against the file (between the leading magic and the footer) and takes it into a list of the plan.
func (p *plan) add(list *[]extent, c *parquet.Chunk, what string, start, length int64, class Class) error {
	if !p.fits(start, length) {
		return p.outside(c, what, start, length)
	}
	return p.push(list, extent{start: start, end: start + length, class: class})
}

func (p *plan) outside(c *parquet.Chunk, what string, start, length int64) error {
	return fmt.Errorf("%w: row group %d column %d: %s of %d bytes at %d lies outside [%d, %d)",
		ErrCorrupt, c.RowGroup, c.Column, what, length, start, p.first, p.footerStart)
}

func (p *plan) tooMany() error {
	return fmt.Errorf("%w: a footer of more than %d extents", ErrTooLarge, MaxPages)
}

// fits tells whether [start, start+length) lies between the leading magic and the footer.
func (p *plan) fits(start, length int64) bool {
	return start >= p.first && length >= 0 && start <= p.footerStart && length <= p.footerStart-start
}

// push takes an extent that fits into a list of the plan.
func (p *plan) push(list *[]extent, e extent) error {
	if p.count++; p.count > MaxPages {
		return p.tooMany()
	}
	*list = append(*list, e)
	return nil
}

// layout cuts the file.
func (p *plan) layout(r io.ReaderAt) (*Layout, error) {
	if err := p.arrange(); err != nil {
		return nil, err
	}
	l, err := p.build()
	if err != nil || len(p.indexes) == 0 {
		return l, err
	}
	// Where the offset indexes lie does not depend on what they say, so the first layout's pages are the ones to read them by.
	if p.refine(r, l) {
		return p.build()
	}
	return l, nil
}

// arrange sorts the extents, ends those of unknown length, refuses overlaps, joins neighbouring page indexes, and drops what lies in
// the tail: there the tail wins.
func (p *plan) arrange() error {
	p.gather()
	if !p.inOrder() {
		slices.SortFunc(p.extents, func(a, b extent) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	}
	kept := p.extents[:0]
	var end int64
	for i := range p.extents {
		e := p.extents[i]
		if e.end == unknownEnd {
			e.end = p.footerStart
			if i+1 < len(p.extents) {
				e.end = p.extents[i+1].start
			}
		}
		if e.start < end {
			return fmt.Errorf("%w: a %v at %d overlaps what ends at %d", ErrCorrupt, e.class, e.start, end)
		}
		end = e.end
		if e.end = min(e.end, p.tailStart); e.start >= e.end {
			continue
		}
		if n := len(kept); e.class == PageIndex && n > 0 && joins(kept[n-1], e) {
			kept[n-1].end = e.end
			continue
		}
		if n := len(kept); n == i { // as good as all of them: they stay where they are
			kept = p.extents[:n+1]
			kept[n].end = e.end
			continue
		}
		kept = append(kept, e)
	}
	p.extents = kept
	return nil
}

// gather puts the extents of each kind behind the others, first those that begin first.
func (p *plan) gather() {
	slices.SortFunc(p.aside[:], func(a, b []extent) int {
		if len(a) == 0 || len(b) == 0 {
			return cmp.Compare(len(a), len(b))
		}
		return cmp.Compare(a[0].start, b[0].start)
	})
	for i, list := range p.aside {
		p.extents = append(p.extents, list...)
		p.aside[i] = list[:0]
	}
}

// inOrder reports whether the extents need no sorting, as those of most writers do not.
func (p *plan) inOrder() bool {
	last := int64(-1)
	for i := range p.extents {
		if p.extents[i].start <= last {
			return false
		}
		last = p.extents[i].start
	}
	return true
}

// joins reports whether a page index shares a page with the extent before it.
func joins(a, b extent) bool {
	return a.class == b.class && a.end == b.start && b.end-a.start <= indexPage
}

// build turns extents that are in order into cuts.
func (p *plan) build() (*Layout, error) {
	b := builder{cuts: make([]uint64, 0, len(p.extents)+len(p.extents)/8+4)}
	other := p.classed(Other)
	var pos int64
	for i := range p.extents {
		e := &p.extents[i]
		if pos < e.start {
			b.gap(pos, e.start, other)
		}
		class := e.class
		if p.class != Other {
			class = p.classed(class)
		}
		switch {
		case e.grid:
			b.gap(e.start, e.end, class)
		case e.end-e.start <= MaxPage && len(b.cuts) < MaxPages: // none is empty
			b.cuts = append(b.cuts, uint64(e.start)<<8|uint64(class))
		default:
			b.parts(e.start, e.end, class)
		}
		pos = e.end
	}
	l, err := p.finish(&b, pos)
	if err == nil && cap(l.cuts) > len(l.cuts)+len(l.cuts)/8+4 {
		l.cuts = slices.Clone(l.cuts)
	}
	return l, err
}

// finish cuts what follows the last extent, which ends at pos.
func (p *plan) finish(b *builder, pos int64) (*Layout, error) {
	if p.footerStart < p.tailStart {
		b.gap(pos, p.footerStart, p.classed(Other))
		b.parts(p.footerStart, p.tailStart, Footer)
	} else {
		b.gap(pos, p.tailStart, p.classed(Other))
	}
	b.parts(p.tailStart, p.size, Footer)
	if b.full {
		return nil, fmt.Errorf("%w: a layout of more than %d pages", ErrTooLarge, MaxPages)
	}
	return &Layout{size: p.size, cuts: b.cuts, format: p.format}, nil
}

// classed is the class of a page of this file: in a Delta checkpoint the columns are metadata too.
func (p *plan) classed(c Class) Class {
	if p.class != Other && !Metadata(uint8(c)) {
		return p.class
	}
	return c
}
