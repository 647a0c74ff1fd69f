package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alio-lake/alio/origin"
)

// tier says where a piece came from.
type tier uint8

const (
	fromMemory tier = iota
	fromDisk
	fromOrigin
	fromPeer // a fill that another sidecar answered
	tiers
)

// Reader hands out one range of an object, piece by piece. It serves one goroutine. Close it, whether or not it was read to the end:
// until then it may hold memory and keep a fill going.
type Reader struct {
	c        *Cache
	ctx      context.Context // of the one who opened it: ends its waits, never a fill's
	geo      geometry
	src      Source
	from, to int64 // the range asked for
	pos      int64 // of the next page's first byte that has not been loaded
	span     int64 // the most bytes of a window; shrinks while the reader is too slow to take what was fetched for it

	window []want
	lent   *array // what the window lies in, if that is not inline
	next   int    // the page of the window that is needed next
	head   []byte // that page, if memory had it when the window was planned

	piece []byte // loaded and not handed out yet
	loan  Buf    // what it lies in, if that is on loan
	fresh bool   // no byte of it was handed out
	tier  tier   // it came from
	class uint8  // of its page

	disk struct { // what this reader has seen of the disk, in this window
		faults  uint8 // two at most: the second makes it blind
		doubted bool
		blind   bool // reads past the disk for the rest of the window
		doubt   Key  // the page that failed last
	}

	stats ReadStats
	cost  *cost // nil until this reader begins a fill
	err   error // ended: io.EOF, an error, or os.ErrClosed

	inline [2]want // room for the window of a small read
}

// Open begins to read a range of an object. It returns when the first page is at hand, so that an error before the first byte can be told
// as such. ctx ends what the Reader waits for, now and later; a fill that others wait for goes on. Errors are of origin's kinds, or ctx's.
func (c *Cache) Open(ctx context.Context, req Request) (*Reader, error) {
	geo := newGeometry(req.Object, req.Layout)
	if req.View != nil {
		geo = req.View.geometry()
		req.Object, req.Layout = geo.obj, geo.layout
	}
	if err := c.check(req); err != nil {
		return nil, err
	}
	c.count.opened(req.Length)
	r := &Reader{
		c: c, ctx: ctx, geo: geo, src: req.Source,
		from: req.Offset, to: req.Offset + req.Length, pos: req.Offset, span: c.fillSpan,
	}
	r.window = r.inline[:0]
	if err := r.load(); err != nil {
		r.end(err)
		return nil, err
	}
	return r, nil
}

func (c *Cache) check(req Request) error {
	if err := cacheable(req.Object); err != nil {
		return err
	}
	path := req.Object.Path
	switch {
	case c.base.Err() != nil:
		return origin.NewError(origin.ErrUnavailable, "read", path, ErrClosed)
	case req.Layout == nil || req.Source == nil:
		return origin.NewError(origin.ErrInvalid, "read", path, errors.New("no layout or no source given"))
	case req.Offset < 0 || req.Length <= 0 || req.Offset > req.Object.Size-req.Length:
		return origin.NewError(origin.ErrInvalid, "read", path, fmt.Errorf("bytes %d+%d are not within the object's %d", req.Offset, req.Length, req.Object.Size))
	case req.Object.Unfinished() && req.Offset+req.Length > req.Object.Settled():
		return unfinished(req.Object, req.Object.Settled())
	}
	return nil
}

// Next returns the next piece of the range, never empty: at most one page, cut to what was asked for. It is valid until the next call of any
// method but Stats, and must not be changed. At the end it returns io.EOF. An error ends the Reader.
func (r *Reader) Next() ([]byte, error) {
	if err := r.need(); err != nil {
		return nil, err
	}
	piece := r.piece
	r.piece = nil
	return piece, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.need(); err != nil {
		return 0, err
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: it writes the rest of the range without a copy in between.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		piece, err := r.Next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(piece)
		total += int64(n)
		if err == nil && n < len(piece) {
			err = io.ErrShortWrite
		}
		if err != nil {
			r.piece = piece[min(max(n, 0), len(piece)):]
			return total, err
		}
	}
}

// Stats says where the bytes handed out so far came from, and what this reader's own fills cost so far.
func (r *Reader) Stats() ReadStats {
	s := r.stats
	if r.cost != nil {
		s.Fetched, s.Fills = r.cost.bytes.Load(), int(r.cost.fills.Load())
	}
	return s
}

// Close ends the read: the last piece must not be touched any more. A fill that nobody else waits for is cancelled. Closing twice is safe.
func (r *Reader) Close() error {
	r.end(os.ErrClosed)
	return nil
}

func (r *Reader) end(err error) {
	r.err = err
	r.loan.Free()
	r.loan, r.piece, r.head = Buf{}, nil, nil
	r.leave(r.window[r.next:])
	r.window, r.next = nil, 0
	r.c.giveBack(r.lent)
	r.lent = nil
}

// need makes sure that there is a piece, and counts it when its first byte is about to be handed out.
func (r *Reader) need() error {
	if r.err != nil {
		return r.err
	}
	if len(r.piece) == 0 {
		if err := r.load(); err != nil {
			r.end(err)
			return err
		}
	}
	if r.fresh {
		r.fresh = false
		n := int64(len(r.piece))
		switch r.tier {
		case fromMemory:
			r.stats.Memory += n
		case fromDisk:
			r.stats.Disk += n
		case fromPeer:
			r.stats.Peer += n
		default:
			r.stats.Origin += n
		}
		r.c.count.served(r.tier, r.class, n)
	}
	return nil
}
