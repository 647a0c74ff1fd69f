package formats

import (
	"fmt"
	"io"

	"github.com/alio-lake/alio/formats/orc"
)

// maxStripes is the most stripes of a file: of 64 MiB each they are 16 TiB.
const maxStripes = 1 << 18

// orc makes the layout of an ORC file: each stripe's index, data and footer apart. The data of a stripe whose footer lies in the tail (the last one,
// as a rule the only one) is cut by columns; that of the others is on a grid. The other stripes' footers would tell more, but only to who has read them: a layout
// that depended on which of them are at hand would be another one after a restart, and what was cached by the first would be of no use.
func (p *plan) orc(ps *orc.Postscript, r io.ReaderAt) (*Layout, error) {
	p.format, p.first = ORC, int64(len(orc.Magic))
	if err := p.foot(ps.Before(), ps.Size); err != nil {
		return nil, err
	}
	if !ps.Readable() {
		if !ps.Holds(nil, 0) {
			return nil, ErrUnknownFormat
		}
		return p.build() // where the footer is is known all the same
	}
	tail, err := p.footer(r)
	if err != nil {
		return nil, needFrom(p.footerStart, err)
	}
	footer := tail[int64(len(tail))-ps.Size-ps.Footer : int64(len(tail))-ps.Size]
	var stripes []orc.Stripe
	if err := ps.ReadFooter(footer, func(s orc.Stripe) error {
		if len(stripes) == maxStripes {
			return fmt.Errorf("%w: a footer of more than %d stripes", ErrTooLarge, maxStripes)
		}
		stripes = append(stripes, s)
		return p.stripe(len(stripes)-1, &s)
	}); err != nil {
		return nil, err
	}
	if !ps.Holds(stripes, p.footerStart) {
		return nil, ErrUnknownFormat
	}
	if err := p.arrange(); err != nil {
		return nil, err
	}
	l, err := p.build()
	if err != nil {
		return nil, err
	}
	if p.streams(ps, stripes) {
		return p.build()
	}
	return l, nil
}

// stripe takes in a stripe of which the footer is not known.
func (p *plan) stripe(i int, s *orc.Stripe) error {
	at := s.Offset
	for _, part := range []extent{{end: s.Index, class: PageIndex}, {end: s.Data, class: Column, grid: true}, {end: s.Footer, class: Footer}} {
		if !p.fits(at, part.end) {
			return fmt.Errorf("%w: stripe %d: %d bytes at %d lie outside [%d, %d)", ErrCorrupt, i, part.end, at, p.first, p.footerStart)
		}
		part.start, part.end = at, at+part.end
		if at = part.end; part.start < part.end {
			if err := p.push(&p.extents, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// streams replaces the extents of the stripes whose footers are in the tail and make sense by those of their streams. It reports whether there are any, and
// leaves the plan as it was if the result would not be sound.
func (p *plan) streams(ps *orc.Postscript, stripes []orc.Stripe) bool {
	before := p.extents
	p.extents, p.count = make([]extent, 0, len(before)*2), 0
	known := false
	for i := range stripes {
		ok, err := p.stripeStreams(ps, &stripes[i])
		if !ok && err == nil {
			err = p.stripe(i, &stripes[i])
		}
		if err != nil {
			p.extents = before
			return false
		}
		known = known || ok
	}
	if !known || p.arrange() != nil {
		p.extents = before
		return false
	}
	return true
}

// stripeStreams takes in a stripe by its footer. ok is false, and nothing is taken in, if that is not in the tail or does not fit the stripe.
func (p *plan) stripeStreams(ps *orc.Postscript, s *orc.Stripe) (ok bool, err error) {
	index, data := s.Offset+s.Index, s.Offset+s.Index+s.Data
	end := data + s.Footer
	if s.Footer == 0 || data < p.tailStart {
		return false, nil
	}
	footer := p.tail[data-p.tailStart : end-p.tailStart]
	own, column := p.scratch[:0], int64(-1)
	ok = streamsOf(ps, s, footer, func(e Extent, st orc.Stream) {
		class := streamClass(st)
		if n := len(own); n > 0 && st.Column == column && own[n-1].class == class {
			own[n-1].end = e.End // a column's streams are read together
		} else {
			own = append(own, extent{start: e.Start, end: e.End, class: class})
		}
		column = st.Column
	})
	p.scratch = own
	if !ok {
		return false, nil
	}
	return true, p.pushStripe(own, index, extent{start: data, end: end, class: Footer})
}

// streamsOf calls visit for the streams of a stripe that have any bytes, by its footer. It is false if that makes no sense, or does not fit the stripe.
func streamsOf(ps *orc.Postscript, s *orc.Stripe, footer []byte, visit func(Extent, orc.Stream)) bool {
	index, data := s.Offset+s.Index, s.Offset+s.Index+s.Data
	at := s.Offset
	err := ps.ReadStripeFooter(footer, func(st orc.Stream) error {
		limit := data
		if st.Index {
			limit = index
		}
		if st.Length < 0 || st.Length > limit-at || !st.Index && at < index {
			return ErrCorrupt
		}
		if st.Length > 0 {
			visit(Extent{at, at + st.Length}, st)
		}
		at += st.Length
		return nil
	})
	return err == nil && at == data
}

// pushStripe takes in a stripe's streams and its footer. An index that is small is one page, whatever it is made of: row indexes and bloom filters of a
// column alternate, and readers take all of it.
func (p *plan) pushStripe(own []extent, index int64, footer extent) error {
	if len(own) > 0 && own[0].start < index && index-own[0].start <= indexPage {
		whole := extent{start: own[0].start, end: index, class: PageIndex}
		for len(own) > 0 && own[0].start < index {
			own = own[1:]
		}
		if err := p.push(&p.extents, whole); err != nil {
			return err
		}
	}
	for _, e := range own {
		if err := p.push(&p.extents, e); err != nil {
			return err
		}
	}
	return p.push(&p.extents, footer)
}

func streamClass(s orc.Stream) Class {
	switch {
	case s.Bloom:
		return BloomFilter
	case s.Index:
		return PageIndex
	}
	return Column
}
