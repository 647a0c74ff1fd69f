package formats

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/alio-lake/alio/formats/orc"
)

// The streams of an ORC stripe are known by its footer, which lies behind its data: that of the last stripe comes with the file's end, the others are to be had one by one.
// So the columns of such a file become known stripe by stripe.

// maxColumnStripes is the most stripes of a file whose columns ReadColumns tells, in 32 bytes each.
const maxColumnStripes = 1 << 14

// orcColumns is what Columns has besides of an ORC file.
type orcColumns struct {
	ps        orc.Postscript
	tailStart int64
	lacking   []orc.Stripe // of which the footer was not at hand: in the file's order
}

// readORCColumns finds out which columns an ORC file has, and where those lie that are in stripes whose footers are at hand.
func readORCColumns(ps *orc.Postscript, p *plan, r io.ReaderAt) (*Columns, error) {
	p.first = int64(len(orc.Magic))
	if err := p.foot(ps.Before(), ps.Size); err != nil {
		return nil, err
	}
	if !ps.Readable() {
		return nil, ErrUnknownFormat
	}
	tail, err := p.footer(r)
	if err != nil {
		return nil, needFrom(p.footerStart, err)
	}
	footer := tail[int64(len(tail))-ps.Size-ps.Footer : int64(len(tail))-ps.Size]
	c := &Columns{size: p.size, orc: &orcColumns{ps: *ps, tailStart: p.tailStart}}
	if err := ps.ReadColumnNames(footer, func(_ int, name uint64) { c.names = append(c.names, name) }); err != nil {
		return nil, err
	}
	c.names = indexNames(c.names)
	if err := c.stripes(footer, p); err != nil {
		return nil, err
	}
	return c.more(r, p.tail), nil
}

// indexNames are the names of columns, followed by those of their row indexes and of their bloom filters, which readers may read without the columns.
func indexNames(columns []uint64) []uint64 {
	out := slices.Grow(slices.Clone(columns), 2*len(columns))
	for _, mark := range []uint64{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f} {
		for _, name := range columns {
			if name != 0 {
				name = max(name^mark, 1)
			}
			out = append(out, name)
		}
	}
	return out
}

// stripes takes in the stripes of the file's footer. The footer of none has been seen yet.
func (c *Columns) stripes(footer []byte, p *plan) error {
	err := c.orc.ps.ReadFooter(footer, func(s orc.Stripe) error {
		at := s.Offset
		for _, n := range []int64{s.Index, s.Data, s.Footer} {
			if !p.fits(at, n) {
				return fmt.Errorf("%w: stripe %d lies outside the file", ErrCorrupt, len(c.orc.lacking))
			}
			at += n
		}
		if len(c.orc.lacking) == maxColumnStripes {
			return fmt.Errorf("%w: more than %d stripes", ErrTooLarge, maxColumnStripes)
		}
		c.orc.lacking = append(c.orc.lacking, s)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(c.orc.lacking, func(a, b orc.Stripe) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := range c.orc.lacking {
		s := &c.orc.lacking[i]
		if s.Offset < c.data {
			return fmt.Errorf("%w: stripes overlap at %d", ErrCorrupt, s.Offset)
		}
		c.data = s.Offset + s.Index + s.Data + s.Footer
	}
	if !c.orc.ps.Holds(c.orc.lacking, p.footerStart) {
		return ErrUnknownFormat
	}
	return nil
}

// More looks for footers of stripes that were not at hand before, and returns what is known then; c itself where that is no more. r is as for ReadColumns.
func (c *Columns) More(r io.ReaderAt) *Columns {
	if c.orc == nil || len(c.orc.lacking) == 0 {
		return c
	}
	return c.more(r, nil)
}

func (c *Columns) more(r io.ReaderAt, tail []byte) *Columns {
	out := &Columns{size: c.size, data: c.data, names: c.names, chunks: slices.Clone(c.chunks), orc: &orcColumns{ps: c.orc.ps, tailStart: c.orc.tailStart}}
	for i := range c.orc.lacking {
		s := &c.orc.lacking[i]
		footer, ok := c.stripeFooter(s, r, &tail)
		if !ok {
			out.orc.lacking = append(out.orc.lacking, *s)
			continue
		}
		out.stripe(s, footer)
	}
	if len(out.orc.lacking) == len(c.orc.lacking) && len(out.chunks) == len(c.chunks) {
		return c
	}
	slices.SortFunc(out.chunks, func(a, b chunkExtent) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

// stripeFooter reads a stripe's footer as it is a page of the layout: by itself, but for what lies in the file's tail. An empty or oversized one is as good as one that
// makes no sense.
func (c *Columns) stripeFooter(s *orc.Stripe, r io.ReaderAt, tail *[]byte) (footer []byte, ok bool) {
	start, end := footerOf(s)
	if start == end || end-start > MaxPage {
		return nil, true
	}
	var err error
	if start < c.orc.tailStart {
		if footer, err = readPage(r, start, min(end, c.orc.tailStart)); err != nil {
			return nil, false
		}
	}
	if end > c.orc.tailStart {
		if *tail == nil {
			if *tail, err = readPage(r, c.orc.tailStart, c.size); err != nil {
				return nil, false
			}
		}
		footer = append(footer, (*tail)[max(start, c.orc.tailStart)-c.orc.tailStart:end-c.orc.tailStart]...)
	}
	return footer, true
}

func footerOf(s *orc.Stripe) (start, end int64) {
	start = s.Offset + s.Index + s.Data
	return start, start + s.Footer
}

// stripe takes in the streams of a stripe. Of one whose footer makes no sense nothing is known, as in the layout.
func (c *Columns) stripe(s *orc.Stripe, footer []byte) {
	before, columns := len(c.chunks), int64(len(c.names)/3)
	ok := streamsOf(&c.orc.ps, s, footer, func(e Extent, st orc.Stream) {
		if st.Column < 0 || st.Column >= columns || c.names[st.Column] == 0 || len(c.chunks) == MaxChunks {
			return
		}
		column := int(st.Column)
		switch {
		case st.Bloom:
			column += 2 * int(columns)
		case st.Index:
			column += int(columns)
		}
		if n := len(c.chunks); n > before && c.chunks[n-1].column == column && c.chunks[n-1].End == e.Start {
			c.chunks[n-1].End = e.End
		} else {
			c.chunks = append(c.chunks, chunkExtent{e, column})
		}
	})
	if !ok {
		c.chunks = c.chunks[:before]
	}
}

// Footers tells where the footers lie of the next n stripes that end after a place of the file and of which the columns are not known yet.
func (c *Columns) Footers(after int64, n int) (out []Extent) {
	if c.orc == nil {
		return nil
	}
	for i := range c.orc.lacking {
		if start, end := footerOf(&c.orc.lacking[i]); end > after && start < end && len(out) < n {
			out = append(out, Extent{start, end})
		}
	}
	return out
}

// Tells reports whether who has read bytes [start, end) may know more columns than c does: the end of a stripe's footer is among them.
func (c *Columns) Tells(start, end int64) bool {
	next := c.Footers(start, 1)
	return len(next) > 0 && next[0].End <= end
}
