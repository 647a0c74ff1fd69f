package peers

import (
	"context"
	"io"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

// absenceUnit is how much of a file a miss speaks of, in bytes: as much as one request to the origin asks for.
const absenceUnit = 16 << 20

// leastStall is the least time that a peer may take for a further piece once it has begun, before the origin is asked for the rest.
const leastStall = 100 * time.Millisecond

// Read implements sidecar.Peers.
func (p *Peers) Read(ctx context.Context, at sidecar.Place, obj *origin.Object, off, n int64, own sidecar.Own) (io.ReadCloser, error) {
	m, why := p.holder(ring.Split{Mount: at.Mount, Path: obj.Path, Offset: off})
	if m == nil || !speakable(string(obj.Version)) || len(obj.Parts) == 1 && !speakable(obj.Parts[0].ID) {
		return own(ctx, off, n)
	}
	absence := p.absenceOf(m, at, obj, off)
	if refused := p.refuse(m, why, absence, n); refused != "" {
		p.metrics.reads.WithLabelValues(relationNames[why], refused).Inc()
		return own(ctx, off, n)
	}
	pages := &pull{p: p, m: m, why: why, absence: absence, obj: obj, off: off, n: n, part: -1, pieces: make(chan piece, 1)}
	pages.ctx, pages.leave = context.WithCancelCause(ctx)
	if !p.spawn(func() { pages.run(at) }) {
		pages.done(context.Canceled)
		return own(ctx, off, n)
	}
	r := &reading{p: p, ctx: ctx, own: own, off: off, end: off + n, pull: pages}
	if err := r.first(); err != nil && err != io.EOF {
		r.Close()
		return nil, err
	}
	return r, nil
}

// absenceOf names what a miss of a member at a place in an object speaks of.
func (p *Peers) absenceOf(m *member, at sidecar.Place, obj *origin.Object, off int64) uint64 {
	return p.absent.key(m.name, at.Mount+"/"+obj.Path+"\x00"+string(obj.Version), off/absenceUnit)
}

// refuse says why a member is not asked for n bytes now; "": it is, and the bytes in flight and a place among its calls were taken.
func (p *Peers) refuse(m *member, why relation, absence uint64, n int64) (result string) {
	switch {
	case !p.absent.holds(absence):
		return resultAbsent
	case !p.inFlight.TryAcquire(n):
		return resultLimited
	case why == earlier && !p.pull.AllowN(time.Now(), int(n)):
		p.inFlight.Release(n)
		return resultLimited
	case !m.begin():
		p.inFlight.Release(n)
		return resultBroken
	}
	p.reading.Add(n)
	return ""
}

// reading is one range on its way: first what a member holds of it, then the rest from the origin. It serves one goroutine.
type reading struct {
	p        *Peers
	ctx      context.Context
	own      sidecar.Own
	off, end int64 // what is still to be handed out

	pull  *pull         // nil: the member's part has ended
	piece piece         // of the member's part
	lent  int64         // bytes handed out of it
	body  io.ReadCloser // the origin's, after it
	stop  func()        // ends what body was read for; nil: nothing has to be ended
}

// ask is the origin being asked beside a member.
type ask struct {
	stop func()
	done chan struct{} // closed when body and err are there
	body io.ReadCloser
	err  error
}

func (r *reading) hedge() *ask {
	ctx, stop := context.WithCancel(r.ctx)
	a := &ask{stop: stop, done: make(chan struct{})}
	call := func() {
		defer close(a.done)
		a.body, a.err = r.own(ctx, r.off, r.end-r.off)
	}
	if !r.p.spawn(call) {
		call()
	}
	return a
}

// drop gives the origin's answer up, without waiting for it.
func (a *ask) drop(p *Peers) {
	a.stop()
	end := func() {
		if <-a.done; a.body != nil {
			a.body.Close()
		}
	}
	if !p.spawn(end) {
		end()
	}
}

// first waits for the first bytes: the member's; or the origin's where the member has nothing, or has not answered in the time in which it nearly always does.
func (r *reading) first() error {
	t := time.NewTimer(r.pull.m.pages.hedge())
	defer t.Stop()
	select {
	case x, ok := <-r.pull.pieces:
		return r.take(x, ok)
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-t.C:
	}
	h := r.hedge()
	t.Reset(r.p.o.Timeout)
	select {
	case x, ok := <-r.pull.pieces:
		if ok {
			r.p.metrics.hedges.WithLabelValues(wonByPeer).Inc()
			h.drop(r.p)
			return r.take(x, ok)
		}
		r.pull = nil
	case <-h.done:
		if h.err == nil {
			r.giveUp()
			break
		}
		h.stop()
		return r.only(h.err, t.C)
	case <-t.C:
		r.giveUp()
	case <-r.ctx.Done():
		h.drop(r.p)
		return r.ctx.Err()
	}
	r.p.metrics.hedges.WithLabelValues(wonByOrigin).Inc()
	return r.adopt(h)
}

// adopt goes on with what the origin, asked before, answers.
func (r *reading) adopt(h *ask) error {
	select {
	case <-h.done:
		r.body, r.stop = h.body, h.stop
		return h.err
	case <-r.ctx.Done():
		h.drop(r.p)
		return r.ctx.Err()
	}
}

// only waits for the member when the origin has failed.
func (r *reading) only(failed error, late <-chan time.Time) error {
	select {
	case x, ok := <-r.pull.pieces:
		if ok {
			r.p.metrics.hedges.WithLabelValues(wonByPeer).Inc()
			return r.take(x, ok)
		}
	case <-late:
		r.giveUp()
	case <-r.ctx.Done():
	}
	return failed
}

// giveUp ends the member's part: it is too late.
func (r *reading) giveUp() {
	r.pull.leave(errLate)
	r.pull = nil
}

// take takes the member's next piece, or (not ok) goes on at the origin. It is io.EOF at the end.
func (r *reading) take(x piece, ok bool) error {
	if ok {
		r.piece = x
		return nil
	}
	r.pull = nil
	return r.rest()
}

// rest asks the origin for what the member has not sent.
func (r *reading) rest() error {
	if r.off == r.end {
		return io.EOF
	}
	var err error
	r.body, err = r.own(r.ctx, r.off, r.end-r.off)
	return err
}

// next waits for more of the member's part.
func (r *reading) next() error {
	t := time.NewTimer(max(4*r.pull.m.pages.hedge(), leastStall))
	defer t.Stop()
	select {
	case x, ok := <-r.pull.pieces:
		return r.take(x, ok)
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-t.C:
		r.giveUp()
		return r.rest()
	}
}

// Read implements io.Reader.
func (r *reading) Read(b []byte) (n int, err error) {
	for len(r.piece.data) == 0 && r.body == nil {
		if r.off == r.end || r.pull == nil {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	if len(r.piece.data) > 0 {
		n = r.piece.take(b)
		r.lent += int64(n)
	} else {
		n, err = r.body.Read(b)
	}
	r.off += int64(n)
	return n, err
}

// Borrowed is how many bytes a member gave; see cache.Borrowed.
func (r *reading) Borrowed() int64 { return r.lent }

// Close ends the read, wherever it is.
func (r *reading) Close() (err error) {
	r.piece.free()
	if r.pull != nil {
		r.pull.leave(context.Canceled)
		r.pull = nil
	}
	if r.body != nil {
		err = r.body.Close()
	}
	if r.stop != nil {
		r.stop()
	}
	return err
}
