package cache

import (
	"context"
	"errors"
	"io"

	"github.com/alio-lake/alio/origin"
)

// minSpan is what a reader's window shrinks to, in bytes, but for its one page that it always has.
const minSpan = 4 << 10

// load gets the next piece, from memory, from disk or by a fill, whatever happened to its page since the window was planned: when it is not
// where it was, the rest of the range is planned anew from here.
func (r *Reader) load() error {
	r.loan.Free()
	r.loan = Buf{}
	if r.pos >= r.to {
		return io.EOF
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.next == len(r.window) {
		r.disk.faults, r.disk.doubted, r.disk.blind = 0, false, false
		if r.pos > r.from {
			r.span = min(r.span*2, r.c.fillSpan) // it kept up with the window before
		}
		if err := r.plan(); err != nil {
			return err
		}
	}
	for {
		w := &r.window[r.next]
		ok, err := r.fetch(w)
		if err != nil {
			return err
		}
		if ok {
			r.class, r.pos = w.page.class, w.page.end
			r.next++
			r.fresh = true
			return nil
		}
		if err := r.plan(); err != nil {
			return err
		}
	}
}

// clip returns the bounds of the piece of a page within the page.
func (r *Reader) clip(pg page) (lo, hi int64) {
	return max(pg.start, r.pos) - pg.start, min(pg.end, r.to) - pg.start
}

// fetch makes the piece of the page that is needed next. false without an error: it is nowhere; plan anew.
func (r *Reader) fetch(w *want) (bool, error) {
	data, from := r.head, fromMemory
	r.head = nil
	if data == nil && w.flight != nil {
		var again bool
		var err error
		fl := w.flight
		if data, again, err = r.await(w); err != nil || again {
			return false, err
		}
		if from = fromOrigin; data != nil && fl.peer { // it has landed, and changes no more
			from = fromPeer
		}
	}
	if data == nil {
		data, _ = r.c.recall(&w.page.key)
		from = fromMemory
	}
	if data == nil {
		return r.fetchDisk(w)
	}
	lo, hi := r.clip(w.page)
	r.piece, r.tier = data[lo:hi], from
	return true, nil
}

// await waits for a page on its way. nil data without an error: look in the tiers; again: plan anew.
func (r *Reader) await(w *want) (data []byte, again bool, err error) {
	data, state, err := r.c.fills.take(r.ctx, w.flight)
	if state == flying { // this reader's context ended; end leaves the flight
		return nil, false, err
	}
	w.flight = nil
	switch {
	case state == landed:
		return data, false, nil
	case state == gone:
		// Either it came another way, or it waited here so long for this reader that its room was needed. In that case fetching
		// as much again would be in vain, so the window shrinks to what this reader keeps up with.
		if !r.c.resident(w.page.key, w.noDisk) {
			r.span = max(r.span/2, minSpan)
		}
		return nil, false, nil
	case errors.Is(err, errAbandoned), errors.Is(err, ErrAgain):
		return nil, true, nil
	case errors.Is(err, ErrClosed):
		return nil, false, origin.NewError(origin.ErrUnavailable, "read", r.geo.obj.Path, err)
	}
	return nil, false, err
}

// fetchDisk makes the piece from the disk tier. Whatever the disk answers but the bytes, the page is read from the origin; the second fault
// in one window, or a disk that is sick, ends the trust in it for the rest of the window, so that one deadline is waited for, not one
// for each page.
func (r *Reader) fetchDisk(w *want) (bool, error) {
	if !r.c.onDisk(w.page.key, w.noDisk) {
		return false, nil
	}
	lo, hi := r.clip(w.page)
	buf, err := r.c.readDisk(r.ctx, w.page, lo, hi-lo)
	if err != nil {
		if ctxErr := r.ctx.Err(); ctxErr != nil {
			return false, ctxErr
		}
		r.distrust(w.page.key, err)
		return false, nil
	}
	r.tier, r.piece, r.loan = fromDisk, buf.B, buf
	return true, nil
}

// readDisk reads n bytes from off of a page from disk. Of one that moves up into memory it reads the whole page.
func (c *Cache) readDisk(ctx context.Context, pg page, off, n int64) (Buf, error) {
	up := c.movesUp(&pg, n)
	first, want := off, n
	if up {
		first, want = 0, pg.size()
	}
	buf, err := c.disk.Read(ctx, pg.key, int(pg.size()), int(first), int(want))
	if err != nil {
		return Buf{}, err
	}
	if int64(len(buf.B)) != want {
		buf.Free()
		return Buf{}, ErrCorrupt
	}
	if !up {
		return buf, nil
	}
	data := newPage(want)
	copy(data, buf.B)
	buf.Free()
	if c.metadata(pg.class) {
		c.mem.put(pg.key, data, true)
	} else {
		c.mem.offer(pg.key, data)
	}
	return NewBuf(data[off:off+n:off+n], nil), nil
}

// distrust notes that the disk failed for a page.
func (r *Reader) distrust(k Key, err error) {
	r.c.count.fallback(err)
	r.disk.faults++
	r.disk.doubted, r.disk.doubt = true, k
	known := errors.Is(err, ErrAbsent) || errors.Is(err, ErrCorrupt)
	r.disk.blind = r.disk.blind || r.disk.faults > 1 || !known
}
