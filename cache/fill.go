package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/origin"
)

// fill reads the missing pages of one window from the origin, in one request. It belongs to no reader: its context ends when nobody wants
// any of its pages any more, or the cache is closed.
type fill struct {
	ctx     context.Context
	cancel  context.CancelFunc
	obj     *origin.Object
	src     Source
	from    int64 // the range that its reader asked for, to tell what is over-read
	to      int64
	begun   time.Time
	cost    *cost
	flights []*flight // in the object's order; fixed once the fill runs
	counted bool      // its end was counted
	ahead   bool      // nobody has asked for its pages yet; see Ahead
	asked   bool      // of one ahead: the origin was asked (under the lock)

	// Guarded by the table's lock.
	refs      int   // readers on its flying flights
	flying    int   // flights that have not ended
	held      int64 // fill memory of pages that have not landed
	abandoned bool
}

// cost is what one reader's own fills asked of the origin. A fill may outlive its reader.
type cost struct {
	bytes atomic.Int64
	fills atomic.Int64
}

// errIncomplete ends a fill whose source left without an answer (runtime.Goexit).
var errIncomplete = errors.New("the source ended without an answer")

// newFill prepares a fill for the window of r. It costs nothing until board gives it a flight.
func (c *Cache) newFill(r *Reader) *fill {
	ctx, cancel := context.WithCancel(c.base)
	if r.cost == nil {
		r.cost = new(cost)
	}
	return &fill{ctx: ctx, cancel: cancel, obj: r.geo.obj, src: r.src, from: r.from, to: r.to, begun: time.Now(), cost: r.cost}
}

// run carries a fill to its end, whatever the source does.
func (c *Cache) run(f *fill) {
	var result error = origin.NewError(origin.ErrUnavailable, "read", f.obj.Path, errIncomplete)
	defer func() {
		if p := recover(); p != nil {
			c.log.Error().Str("path", f.obj.Path).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("source panicked; its readers were answered with an error")
			result = origin.NewError(origin.ErrUnavailable, "read", f.obj.Path, fmt.Errorf("panic in the source: %v", p))
		}
		f.cancel()
		if !f.counted {
			c.count.fill(result, c.fills.abandoned(f))
		}
		c.fills.finish(f, result)
	}()
	result = c.carry(f)
}

// errNoRequest is carry's answer when every page had come another way.
var errNoRequest = errors.New("nothing left to ask for")

func (c *Cache) carry(f *fill) error {
	var n int64
	for _, fl := range f.flights {
		n += fl.page.size()
	}
	if err := c.fills.acquire(f.ctx, n); err != nil {
		return err
	}
	c.fills.hold(f, n)
	missing := c.recheck(f)
	if len(missing) == 0 {
		return errNoRequest
	}
	if err := f.ctx.Err(); err != nil {
		return err
	}
	if f.ahead {
		missing = c.unbroken(missing)
		c.fills.ask(f)
	}
	start, length := missing[0].page.start, missing[len(missing)-1].page.end-missing[0].page.start
	c.charge(f, missing, length)
	body, err := f.src.Fetch(f.ctx, f.obj, start, length)
	if err != nil {
		return blame(f, err)
	}
	if body == nil {
		return origin.NewError(origin.ErrUnavailable, "read", f.obj.Path, errIncomplete)
	}
	defer body.Close()
	return c.unload(f, body, start, missing)
}

// recheck looks into the tiers again, now that nobody else can begin a fill of these pages: what came while this one was planned, or waited
// for room, is not asked for again.
func (c *Cache) recheck(f *fill) []*flight {
	missing := make([]*flight, 0, len(f.flights))
	for _, fl := range f.flights {
		if c.resident(fl.page.key, fl.noDisk) {
			c.fills.miss(fl)
		} else {
			missing = append(missing, fl)
		}
	}
	return missing
}

// charge counts what a fill is about to ask the origin for.
func (c *Cache) charge(f *fill, missing []*flight, length int64) {
	again, over := length, int64(0)
	for _, fl := range missing {
		again -= fl.page.size()
		over += fl.page.outside(f.from, f.to)
	}
	f.cost.bytes.Add(length)
	f.cost.fills.Add(1)
	c.count.fetched.Add(length)
	c.count.refetched.Add(again)
	c.count.overread.Add(over)
}

// unload reads the body page by page and publishes each page as soon as all of it is there. Pages in between that are not missing are
// read over.
func (c *Cache) unload(f *fill, body io.Reader, off int64, missing []*flight) error {
	first := off
	total := missing[len(missing)-1].page.end - off
	for i, fl := range missing {
		n, err := io.CopyN(io.Discard, body, fl.page.start-off)
		off += n
		if err != nil {
			return cut(f, err, off-first, total)
		}
		data, before := newPage(fl.page.size()), Borrowed(body)
		got, err := io.ReadFull(body, data)
		off += int64(got)
		if err != nil {
			return cut(f, err, off-first, total)
		}
		if err := f.ctx.Err(); err != nil {
			return err
		}
		c.store(fl.page.key, fl.page.class, data)
		if i == 0 {
			c.count.firstPage.Observe(time.Since(f.begun).Seconds())
		}
		if i == len(missing)-1 { // before its reader can look at the counters
			c.count.fill(nil, false)
			f.counted = true
		}
		c.fills.land(fl, data, Borrowed(body)-before == fl.page.size())
	}
	return nil
}

// cut makes the error of a body that did not hold what was asked for. A body that fails by an error of its own keeps it, and its kind.
func cut(f *fill, err error, got, want int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return origin.NewError(origin.ErrUnavailable, "read", f.obj.Path, fmt.Errorf("the body ended after %d of %d bytes: %w", got, want, io.ErrUnexpectedEOF))
	}
	return blame(f, err)
}

// blame makes sure that a context's error which is the source's own (a deadline of its own, say) is not taken for the reader's: it is the
// origin that did not answer.
func blame(f *fill, err error) error {
	if f.ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return origin.NewError(origin.Kind(err), "read", f.obj.Path, fmt.Errorf("the source gave up: %v", err))
	}
	return err
}

// store keeps a page in memory and offers it to the disk, from where it leaves memory again unless it is metadata.
func (c *Cache) store(k Key, class uint8, data []byte) {
	c.mem.put(k, data, c.metadata(class))
	if c.disk != nil && !c.offerDisk(k, class, data) {
		c.count.shed.Add(1)
	}
}
