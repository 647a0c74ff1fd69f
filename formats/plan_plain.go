package formats

import (
	"errors"
	"slices"

	"github.com/alio-lake/alio/formats/parquet"
)

// errNotPlain ends the plain way.
var errNotPlain = errors.New("not plain")

// plain makes the layout of a file of column chunks in the order of the file, without page indexes and bloom filters, and with all of them before the tail: its pages are cut while the footer is read, without a list
// of what is in the file. nil for any other file, and for any fault: the usual way then makes the same layout, or says what is wrong.
func (p *plan) plain(footer []byte) *Layout {
	b := builder{cuts: p.work.cuts[:0]}
	pos, other := int64(0), p.classed(Other)
	dictionary, column := p.classed(Dictionary), p.classed(Column)
	err := parquet.ReadFooter(footer, func(c *parquet.Chunk) error {
		if c.CompressedSize == 0 {
			return nil
		}
		start, data := c.Start(), c.Data()
		end := start + c.CompressedSize
		if start < pos || !p.fits(start, c.CompressedSize) || data > end || end > p.tailStart || c.OffsetIndexOffset|c.ColumnIndexOffset|c.BloomFilterOffset != 0 {
			return errNotPlain
		}
		if pos < start {
			b.gap(pos, start, other)
		}
		if start < data {
			b.parts(start, data, dictionary)
		}
		b.parts(max(start, data), end, column)
		pos = end
		return nil
	})
	var l *Layout
	if err == nil && !b.full {
		if l, err = p.finish(&b, pos); err == nil {
			l.cuts = slices.Clone(l.cuts) // these are taken again
		} else {
			l = nil
		}
	}
	p.work.cuts = b.cuts[:0]
	return l
}
