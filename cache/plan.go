package cache

import (
	"slices"

	"github.com/alio-lake/alio/origin"
)

// maxWindow is the most pages of one window: a layout of tiny pages must not make one read's plan large.
const maxWindow = 4096

// want is one page of a reader's window.
type want struct {
	page     page
	resident bool // when the window was planned
	noDisk   bool // the reader has seen the disk fail for this page
	flight   *flight
}

// plan lays out the next window, from r.pos: the pages, whole, that r.span bytes hold (at least one), and a flight for each of them that is
// not resident. What misses goes to the origin in one request.
func (r *Reader) plan() error {
	old, oldLent := r.window[r.next:], r.lent
	wants, err := r.survey()
	if err != nil {
		return err
	}
	if len(old) > 0 {
		r.c.fills.adopt(old, wants)
	}
	var missing bool
	for i := range wants {
		missing = missing || !wants[i].resident && wants[i].flight == nil
	}
	if missing {
		if err := r.send(wants); err != nil {
			r.leave(wants)
			return err
		}
	}
	r.window, r.next = wants, 0
	r.leave(old) // only now: pages that were wanted and are still wanted stay so all the while
	if oldLent != r.lent {
		r.c.giveBack(oldLent)
	}
	return nil
}

// array is where a window of more than a few pages lies. A read that has ended leaves its array to another.
type array struct{ wants []want }

// maxArray is the most pages, 28 KiB of them, of an array that is kept for another read.
const maxArray = 512

// widen makes room for one more page in a window that lies in lent, or in no array yet.
func (c *Cache) widen(wants []want, lent *array) ([]want, *array) {
	if lent == nil {
		if lent, _ = c.arrays.Get().(*array); lent == nil {
			lent = &array{wants: make([]want, 0, 16)}
		}
		wants = append(lent.wants[:0], wants...)
	}
	wants = slices.Grow(wants, 1)
	lent.wants = wants[:0]
	return wants, lent
}

// giveBack takes an array back in which no flight is left.
func (c *Cache) giveBack(lent *array) {
	if lent != nil && cap(lent.wants) <= maxArray {
		c.arrays.Put(lent)
	}
}

// survey finds the window's pages and which of them are resident. It takes no lock. The array that they lie in, if any, is r.lent then.
func (r *Reader) survey() ([]want, error) {
	var wants []want
	if len(r.window) == r.next { // no page of the window before is still wanted: its array serves again
		wants = r.window[:0]
	} else {
		r.lent = nil
	}
	off, floor, first := r.pos, int64(0), int64(0)
	for off < r.to && len(wants) < maxWindow {
		pg, err := r.geo.pageAt(off, floor)
		if err != nil {
			return nil, err
		}
		if len(wants) == 0 {
			first = pg.start
		} else if pg.end-first > r.span {
			break
		}
		noDisk := r.disk.blind || r.disk.doubted && r.disk.doubt == pg.key
		if len(wants) == cap(wants) {
			wants, r.lent = r.c.widen(wants, r.lent)
		}
		wants = append(wants, want{page: pg, noDisk: noDisk, resident: r.look(pg.key, noDisk, len(wants) == 0)})
		off, floor = pg.end, pg.end
	}
	return wants, nil
}

// look reports whether a page is resident. The first page of a window is what is needed next, so memory's copy of it is taken at once: a small
// read that hits looks once.
func (r *Reader) look(k Key, noDisk, first bool) bool {
	if !first {
		return r.c.resident(k, noDisk)
	}
	var ok bool
	if r.head, ok = r.c.recall(&k); ok {
		return true
	}
	return r.c.onDisk(k, noDisk)
}

// send boards the missing pages and starts the fill of those that nobody was fetching yet: one fill, or several around pages that are being fetched
// ahead.
func (r *Reader) send(wants []want) error {
	for len(wants) > 0 {
		f := r.c.newFill(r)
		joined, rest, err := r.c.fills.board(wants, f)
		if err != nil {
			f.cancel()
			return origin.NewError(origin.ErrUnavailable, "read", r.geo.obj.Path, err)
		}
		r.c.count.shared.Add(int64(joined))
		if len(f.flights) == 0 {
			f.cancel()
			return nil
		}
		go r.c.run(f)
		wants = wants[rest:]
	}
	return nil
}

// leave gives up what a part of a window still waits for.
func (r *Reader) leave(wants []want) {
	for i := range wants {
		if fl := wants[i].flight; fl != nil {
			wants[i].flight = nil
			r.c.fills.leave(fl)
		}
	}
}
