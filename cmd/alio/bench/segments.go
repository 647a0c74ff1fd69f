package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// Places says where in segment files each byte of a data set lies. It was found by reading the files, not by asking anybody: a page's first 8 bytes tell
// its place.
type Places struct {
	data  load.Data
	files []string
	pages []page // in the order of at, without gaps
}

// page is one page of the data set within a segment file.
type page struct {
	at     int64 // its place in the data set
	length int64
	off    int64 // of its first byte in the file
	file   int
}

// Pages is how many there are.
func (p *Places) Pages() int { return len(p.pages) }

// scanSegments finds every page of a data set in a folder of segments, and compares all its bytes. A data set that is not all there is an error.
func scanSegments(data load.Data, dir string) (*Places, error) {
	p := &Places{data: data}
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return nil, err
	}
	found := map[int64]page{}
	for _, name := range names {
		if err := p.scan(name, found); err != nil {
			return nil, err
		}
	}
	for _, pg := range found {
		p.pages = append(p.pages, pg)
	}
	slices.SortFunc(p.pages, func(a, b page) int { return cmp.Compare(a.at, b.at) })
	next := int64(0)
	for _, pg := range p.pages {
		if pg.at != next {
			return nil, fmt.Errorf("the segments hold the data set up to %d, and then from %d", next, pg.at)
		}
		next += pg.length
	}
	if next != data.Size {
		return nil, fmt.Errorf("the segments hold %d of %d bytes", next, data.Size)
	}
	return p, nil
}

// scan adds what one file holds. It ends at the first thing that is no record: the index of a sealed segment, or what is not yet written.
func (p *Places) scan(name string, found map[int64]page) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // evicted meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, segfile.RecordSize(segfile.MaxPage))
	if _, err := f.ReadAt(b[:segfile.HeaderSize], 0); err != nil {
		return nil // not written yet
	}
	h, err := segfile.ParseHeader(b[:segfile.HeaderSize])
	if err != nil {
		return nil // not a segment of this format
	}
	p.files = append(p.files, name)
	for off := int64(segfile.HeaderSize); ; {
		n, err := f.ReadAt(b, off)
		if err != nil && err != io.EOF {
			return err
		}
		if n < segfile.Align {
			return nil
		}
		rec, need, err := segfile.ParseRecord(b[:n], h.Seed(), off)
		size := segfile.RecordSize(rec.Length)
		if err != nil || need > 0 || int64(n) < size {
			return nil
		}
		body := segfile.RecordHeaderSize(rec.Length)
		content := b[body : body+rec.Length]
		at, ok := p.data.Place(content)
		if !ok {
			return fmt.Errorf("%s holds a page at %d that is not of the data set", name, off)
		}
		if err := p.data.Check(content, at); err != nil {
			return fmt.Errorf("%s, page at %d: %w", name, off, err)
		}
		found[at] = page{at: at, length: int64(rec.Length), off: off + int64(body), file: len(p.files) - 1}
		off += size
	}
}

// Dial makes a Reader that does nothing but pread the pages' bytes: no header, no sum, no look-up. What every other path is compared with.
func (p *Places) Dial(maxBytes int) (load.Reader, error) {
	r := &preader{places: p, buf: make([]byte, maxBytes)}
	for _, name := range p.files {
		f, err := os.Open(name)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.files = append(r.files, f)
		r.fds = append(r.fds, int(f.Fd()))
	}
	return r, nil
}

// preader belongs to one goroutine.
type preader struct {
	places *Places
	files  []*os.File
	fds    []int
	pieces []piece
	buf    []byte
	n      int
}

// piece is what one pread reads.
type piece struct {
	fd  int
	off int64
	n   int64
}

func (r *preader) Prepare(at int64, n int) error {
	pages := r.places.pages
	i, exact := slices.BinarySearchFunc(pages, at, func(pg page, at int64) int { return cmp.Compare(pg.at, at) })
	if !exact {
		i--
	}
	r.pieces, r.n = r.pieces[:0], n
	for left := int64(n); left > 0; i++ {
		skip := at + int64(n) - left - pages[i].at
		m := min(pages[i].length-skip, left)
		r.pieces = append(r.pieces, piece{fd: r.fds[pages[i].file], off: pages[i].off + skip, n: m})
		left -= m
	}
	return nil
}

func (r *preader) Read() ([]byte, error) {
	at := int64(0)
	for _, p := range r.pieces {
		for end := at + p.n; at < end; {
			n, err := unix.Pread(p.fd, r.buf[at:end], p.off+p.n-(end-at))
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return nil, err
			}
			if n == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			at += int64(n)
		}
	}
	return r.buf[:r.n], nil
}

func (r *preader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
