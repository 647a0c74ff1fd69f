package formats

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/alio-lake/alio/formats/orc"
	"github.com/alio-lake/alio/formats/parquet"
)

// MaxChunks is the most column chunks of a file whose columns ReadColumns tells, in 24 bytes each.
const MaxChunks = 1 << 16

// Extent is a range of a file, [Start, End).
type Extent struct{ Start, End int64 }

// Columns tells where the columns of a Parquet or ORC file lie, each under a hash of its name, so that what is learnt of one file of a table holds for others,
// whatever the order of their columns. It is immutable.
type Columns struct {
	size   int64
	data   int64 // where the data of all columns ends: indexes and footer follow
	names  []uint64
	chunks []chunkExtent // in the file's order, without overlap
	orc    *orcColumns   // nil: it is not an ORC file
}

type chunkExtent struct {
	Extent
	column int
}

// ReadColumns finds the columns of a Parquet file by its footer, and those of an ORC file as far as the footers of its stripes are at hand. Like Derive it reads by pages of the file's layout and asks for none that it does not need; r
// answers ErrAbsent for what is not at hand. Errors are Derive's; besides, a file that is one page has no columns of its own: ErrUnknownFormat.
func ReadColumns(path string, size int64, r io.ReaderAt) (*Columns, error) {
	c, err := readColumns(size, r)
	if err != nil {
		return nil, fmt.Errorf("columns of %q: %w", path, err)
	}
	return c, nil
}

func readColumns(size int64, r io.ReaderAt) (*Columns, error) {
	if size <= SmallObject {
		return nil, ErrUnknownFormat
	}
	return columnsIn(size, r)
}

// columnsIn is readColumns without the rule for small objects.
func columnsIn(size int64, r io.ReaderAt) (*Columns, error) {
	p := plan{size: size, tailStart: max(0, size-TailSize), first: int64(len(parquet.Magic))}
	var err error
	if p.tail, err = readPage(r, p.tailStart, size); err != nil {
		return nil, needFrom(p.tailStart, err)
	}
	if ps, ok := orc.ReadPostscript(p.tail); ok {
		return readORCColumns(&ps, &p, r)
	}
	length, encrypted, ok := parquet.Trailer(p.tail)
	if !ok || encrypted {
		return nil, ErrUnknownFormat
	}
	if err := p.foot(length, parquet.TrailerSize); err != nil {
		return nil, err
	}
	footer, err := p.footer(r)
	if err != nil {
		return nil, needFrom(p.footerStart, err)
	}
	c := &Columns{size: size}
	if err := c.read(footer[:length], &p); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Columns) read(footer []byte, p *plan) error {
	err := parquet.ReadColumnNames(footer, func(_ int, name uint64) { c.names = append(c.names, name) })
	if err != nil {
		return err
	}
	err = parquet.ReadFooter(footer, func(k *parquet.Chunk) error {
		if k.CompressedSize == 0 || k.Column >= len(c.names) || c.names[k.Column] == 0 {
			return nil
		}
		if !p.fits(k.Start(), k.CompressedSize) {
			return fmt.Errorf("%w: row group %d column %d lies outside the file", ErrCorrupt, k.RowGroup, k.Column)
		}
		if len(c.chunks) == MaxChunks {
			return fmt.Errorf("%w: more than %d column chunks", ErrTooLarge, MaxChunks)
		}
		c.chunks = append(c.chunks, chunkExtent{Extent{k.Start(), k.Start() + k.CompressedSize}, k.Column})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(c.chunks, func(a, b chunkExtent) int { return cmp.Compare(a.Start, b.Start) })
	for i := range c.chunks {
		if c.chunks[i].Start < c.data {
			return fmt.Errorf("%w: column chunks overlap at %d", ErrCorrupt, c.chunks[i].Start)
		}
		c.data = c.chunks[i].End
	}
	return nil
}

// MemoryBytes is the memory that it holds.
func (c *Columns) MemoryBytes() int {
	n := 8*cap(c.names) + 24*cap(c.chunks) + 80
	if c.orc != nil {
		n += 32*cap(c.orc.lacking) + 100
	}
	return n
}

// DataEnd is where the data of the last column ends: what follows are indexes, bloom filters and the footer.
func (c *Columns) DataEnd() int64 { return c.data }

// Shares tells which part of each column's bytes the ranges cover, by name. The ranges are in order and do not overlap, and so do pages (there may be none), in which what was
// read came: of a chunk of which the ranges cover anything, what the pages hold of it counts as well, since readers may go on in a page that is there by now without
// being seen. A column of which the ranges cover nothing is not in it.
func (c *Columns) Shares(ranges, pages []Extent) map[uint64]float64 {
	covered, all := make([]int64, len(c.names)), make([]int64, len(c.names))
	read, came := overlaps{ranges: ranges}, overlaps{ranges: pages}
	for i := range c.chunks {
		k := &c.chunks[i]
		all[k.column] += k.End - k.Start
		n, more := read.with(k.Extent), came.with(k.Extent)
		if n > 0 {
			covered[k.column] += max(n, more)
		}
	}
	out := map[uint64]float64{}
	for i, n := range covered {
		if n > 0 {
			out[c.names[i]] = float64(n) / float64(all[i])
		}
	}
	return out
}

// overlaps finds what ranges, which are in order, have in common with others that come in order.
type overlaps struct {
	ranges []Extent
	next   int
}

func (o *overlaps) with(e Extent) (n int64) {
	for o.next < len(o.ranges) && o.ranges[o.next].End <= e.Start {
		o.next++
	}
	for j := o.next; j < len(o.ranges) && o.ranges[j].Start < e.End; j++ {
		n += min(e.End, o.ranges[j].End) - max(e.Start, o.ranges[j].Start)
	}
	return n
}

// Extents tells where the chunks of some columns lie: in the file's order, neighbours as one.
func (c *Columns) Extents(wanted func(name uint64) bool) []Extent {
	want := make([]bool, len(c.names))
	for i, name := range c.names {
		want[i] = wanted(name)
	}
	var out []Extent
	for i := range c.chunks {
		k := &c.chunks[i]
		if !want[k.column] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End == k.Start {
			out[n-1].End = k.End
		} else {
			out = append(out, k.Extent)
		}
	}
	return out
}
