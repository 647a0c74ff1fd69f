package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/alio-lake/alio/affinity/ring"
)

// header is the first line of a recorded trace; docs/sim.md explains the columns.
var header = []string{"ms", "query", "mount", "path", "size", "offset", "length", "class"}

// grid is the size of pages of a recorded lake: that of formats the product does not know.
const grid = 256 << 10

// recorded is the source of a recorded trace: its queries come in their order, evenly over the time, again and again.
type recorded struct {
	queries []query
	perMS   float64
	debt    float64
	next    int
}

func (r *recorded) tick(from, to int64, emit func(*query)) {
	r.debt += r.perMS * float64(to-from)
	n := int(r.debt)
	r.debt -= float64(n)
	for i := range n {
		q := &r.queries[r.next]
		r.next = (r.next + 1) % len(r.queries)
		q.at = from + int64(i)*(to-from)/int64(n)
		emit(q)
	}
}

// readTrace reads a recorded trace: the lake that it names, and its queries.
func readTrace(name string) (*catalog, []query, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	c, queries, err := parseTrace(f)
	if err != nil {
		return nil, nil, fmt.Errorf("trace %s: %w", name, err)
	}
	return c, queries, nil
}

// reader turns lines into pages.
type reader struct {
	c        *catalog
	keyer    *ring.Epoch
	sections map[sectionName]uint32
	pages    map[pageName]uint32
	queries  []query
	names    map[string]int
	splits   map[[2]int]int // of a query and a section: its place in the query
}

type sectionName struct {
	mount, path string
	number      int64
}

type pageName struct {
	section uint32
	number  int64
}

func parseTrace(from io.Reader) (*catalog, []query, error) {
	lines := csv.NewReader(bufio.NewReader(from))
	lines.Comment, lines.FieldsPerRecord, lines.ReuseRecord = '#', len(header), true
	keyer, err := newKeyer()
	if err != nil {
		return nil, nil, err
	}
	r := &reader{c: &catalog{density: 1}, keyer: keyer, sections: map[sectionName]uint32{}, pages: map[pageName]uint32{}, names: map[string]int{}, splits: map[[2]int]int{}}
	for first := true; ; first = false {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if first {
			if fmt.Sprint(fields) != fmt.Sprint(header) {
				return nil, nil, fmt.Errorf("the first line is %q; it must be %q", fields, header)
			}
			continue
		}
		if err := r.line(fields); err != nil {
			line, _ := lines.FieldPos(0)
			return nil, nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	if len(r.queries) == 0 {
		return nil, nil, errors.New("it has no reads")
	}
	return r.c, r.queries, nil
}

// line takes one read in.
func (r *reader) line(fields []string) error {
	var n [4]int64 // ms, size, offset, length
	for i, at := range []int{0, 4, 5, 6} {
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("%s is %q: a number, 0 or more", header[at], fields[at])
		}
		n[i] = v
	}
	size, offset, length := n[1], n[2], n[3]
	if length == 0 || offset > math.MaxInt64-length || offset+length > size {
		return fmt.Errorf("bytes %d and %d more of %d: a read is of at least a byte, within the file", offset, length, size)
	}
	q, ok := r.names[fields[1]]
	if !ok {
		q = len(r.queries)
		r.names[fields[1]] = q
		r.queries = append(r.queries, query{})
	}
	for at := offset / grid * grid; at < offset+length; at += grid {
		section, err := r.section(fields[2], fields[3], at)
		if err != nil {
			return err
		}
		r.add(q, section, at, min(grid, size-at), fields[7])
	}
	return nil
}

func (r *reader) section(mount, path string, at int64) (uint32, error) {
	name := sectionName{mount, path, at / sectionBytes}
	if i, ok := r.sections[name]; ok {
		return i, nil
	}
	s := section{split: ring.Split{Mount: mount, Path: path, Offset: name.number * sectionBytes}}
	var err error
	if s.key, err = r.keyer.Key(s.split); err != nil {
		return 0, err
	}
	i := uint32(len(r.c.sections))
	r.sections[name] = i
	r.c.sections = append(r.c.sections, s)
	return i, nil
}

// add puts a page into a query's split of a section, once.
func (r *reader) add(q int, section uint32, at, size int64, class string) {
	name := pageName{section, at / grid}
	p, ok := r.pages[name]
	if !ok {
		p = uint32(len(r.c.pages))
		r.pages[name] = p
		r.c.pages = append(r.c.pages, page{section, uint32(at % sectionBytes / grid), uint32(size), class != "data"})
	}
	where, ok := r.splits[[2]int{q, int(section)}]
	if !ok {
		where = len(r.queries[q].splits)
		r.splits[[2]int{q, int(section)}] = where
		r.queries[q].splits = append(r.queries[q].splits, split{section: section})
	}
	s := &r.queries[q].splits[where]
	for _, have := range s.pages {
		if have == p {
			return
		}
	}
	s.pages = append(s.pages, p)
}
