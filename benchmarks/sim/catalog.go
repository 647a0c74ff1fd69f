package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/alio-lake/alio/affinity/ring"
)

// The lake that is generated. A table has a partition for each day; popular tables are the larger ones.
const (
	columns       = 12
	footerBytes   = 64 << 10
	history       = 30  // days of partitions that lie there at the beginning
	tablesPer     = .12 // tables for each worker
	meanSections  = 9   // of a partition
	sizeSkew      = .6  // a table's size falls with its rank to this power
	querySkew     = .8  // and how often it is queried, to this; so reads fall with the sum, 1.4
	templateCount = 6   // column sets that a table's queries have
	sectionBytes  = 256 << 20
)

// page is what is cached as one: in a generated lake a column's chunk in a section (some pages of the product, always read together), in a recorded one a page of the grid.
type page struct {
	section  uint32
	place    uint32 // in its section: what follows in the file has the next
	size     uint32
	metadata bool
}

// section is what is placed as one.
type section struct {
	split       ring.Split
	key         uint64
	first, last uint32 // its pages
	footer      uint32 // the page of its file's footer, which may be another section's
}

type span struct{ from, to uint32 }

type table struct {
	partitions []span // sections of each day
	bornAt     int64  // minute of the day at which a day's partition comes
	templates  [][]uint32
}

// catalog is all that can be read. It does not change while cells run.
type catalog struct {
	pages    []page
	sections []section
	tables   []table // by rank at the beginning
	density  int
	hot      uint32 // the section of one small file, in no table
}

func newKeyer() (*ring.Epoch, error) { return ring.New(ring.Settings{}) }

// generate makes the lake of a fleet of so many workers, with partitions for so many days beyond the history. Density is by how much more sections there are in each.
func generate(workers, days, density int, seed uint64) (*catalog, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	keyer, err := newKeyer()
	if err != nil {
		return nil, err
	}
	c := &catalog{density: density}
	count := max(4, int(float64(workers)*tablesPer))
	mean := 0.0
	for i := range count {
		mean += math.Pow(float64(i+1), -sizeSkew) / float64(count)
	}
	for i := range count {
		t := table{bornAt: int64(i*7%24*60 + i%60)}
		shares := columnShares(r)
		for range templateCount {
			t.templates = append(t.templates, pick(r, 1+r.IntN(5)))
		}
		sections := max(1, int(math.Round(float64(density)*meanSections*math.Pow(float64(i+1), -sizeSkew)/mean)))
		for day := range history + days {
			from := uint32(len(c.sections))
			if err := c.partition(keyer, r, fmt.Sprintf("warehouse/sales.db/orders_%04d/ds=%03d", i, day), sections, shares); err != nil {
				return nil, err
			}
			t.partitions = append(t.partitions, span{from, uint32(len(c.sections))})
		}
		c.tables = append(c.tables, t)
	}
	return c, c.addHot(keyer)
}

// hotBytes is the size of the one file that all read in the scenario hot: a table of a dimension.
const hotBytes = 3 << 20

func (c *catalog) addHot(keyer *ring.Epoch) error {
	split := ring.Split{Mount: "lake", Path: "warehouse/sales.db/currencies/part-00000.snappy.parquet"}
	key, err := keyer.Key(split)
	if err != nil {
		return err
	}
	c.hot = uint32(len(c.sections))
	s := section{split: split, key: key, first: uint32(len(c.pages))}
	for col := range uint32(columns) {
		c.pages = append(c.pages, page{c.hot, col, hotBytes / columns, false})
	}
	s.last, s.footer = uint32(len(c.pages)), s.first
	c.sections = append(c.sections, s)
	return nil
}

// partition adds the files of a partition: of one section, or two, or four.
func (c *catalog) partition(keyer *ring.Epoch, r *rand.Rand, dir string, sections int, shares [columns]float64) error {
	for file := 0; sections > 0; file++ {
		n := []int{1, 1, 1, 1, 1, 1, 1, 2, 2, 4}[r.IntN(10)]
		n = min(n, sections)
		sections -= n
		path := fmt.Sprintf("%s/part-%05d-7c1f0b52-4a0e-4d0e-9c66-1d2b7f0a9e11.c000.snappy.parquet", dir, file)
		size := float64(sectionBytes) * (.25 + .75*r.Float64()) // of the last section
		at := len(c.sections)
		for i := range n {
			bytes := float64(sectionBytes)
			if i == n-1 {
				bytes = size
			}
			split := ring.Split{Mount: "lake", Path: path, Offset: int64(i) * sectionBytes}
			key, err := keyer.Key(split)
			if err != nil {
				return err
			}
			s := section{split: split, key: key, first: uint32(len(c.pages))}
			for col, share := range shares {
				c.pages = append(c.pages, page{uint32(len(c.sections)), uint32(col), uint32(bytes * share), false})
			}
			s.last = uint32(len(c.pages))
			c.sections = append(c.sections, s)
		}
		footer := uint32(len(c.pages))
		c.pages = append(c.pages, page{uint32(len(c.sections) - 1), columns, footerBytes, true})
		c.sections[len(c.sections)-1].last++
		for i := at; i < len(c.sections); i++ {
			c.sections[i].footer = footer
		}
	}
	return nil
}

// columnShares are the parts of a section that its columns take.
func columnShares(r *rand.Rand) (out [columns]float64) {
	sum := 0.0
	for i := range out {
		out[i] = .2 + r.ExpFloat64()
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// pick draws n columns, in order.
func pick(r *rand.Rand, n int) (out []uint32) {
	chosen := [columns]bool{}
	for range n {
		chosen[r.IntN(columns)] = true
	}
	for i, is := range chosen {
		if is {
			out = append(out, uint32(i))
		}
	}
	return out
}

// bytes is the size of all that lies there after so many days of history.
func (c *catalog) bytes() (n int64) {
	for _, p := range c.pages {
		n += int64(p.size)
	}
	return n
}
