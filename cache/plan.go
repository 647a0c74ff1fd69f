package cache

import "github.com/alio-lake/alio/origin"

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
	wants, err := r.survey()
	if err != nil {
		return err
	}
	old := r.window[r.next:]
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
	return nil
}

// survey finds the window's pages and which of them are resident. It takes no lock that a miss holds.
func (r *Reader) survey() ([]want, error) {
	var wants []want
	if len(r.window) == r.next { // no page of the window before is still wanted: its array serves again
		wants = r.window[:0]
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
	if r.head, ok = r.c.mem.get(k); ok {
		return true
	}
	return r.c.onDisk(k, noDisk)
}

// send boards the missing pages and starts the fill of those that nobody was fetching yet.
func (r *Reader) send(wants []want) error {
	f := r.c.newFill(r)
	joined, err := r.c.fills.board(wants, f)
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
