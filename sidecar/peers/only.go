package peers

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

type (
	epoch = ring.Epoch
	body  = io.ReadCloser
)

// errLeft is that a member is not asked now.
var errLeft = errors.New("the peer is left alone")

// unknown tells whether a member is of a build that does not know the question.
func unknown(err error) bool { return status.Code(err) == codes.Unimplemented }

// cause is why a read failed. Who asked for it may have left meanwhile.
type cause struct{ err atomic.Pointer[error] }

func (c *cause) is(err error) { c.err.Store(&err) }

func (c *cause) was() error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}

// only reads a range from a member and from nobody else. Nobody waits for it, so nobody else is asked when it is late; but a reader may come and wait, so it is not waited for long either. What ends it
// early is cache.ErrAgain, and is told in why.
func (p *Peers) only(ctx context.Context, m *member, at sidecar.Place, obj *origin.Object, off, n int64, why *cause) (io.ReadCloser, error) {
	if !p.inFlight.TryAcquire(n) {
		return nil, errBusy
	}
	if !m.begin() {
		p.inFlight.Release(n)
		return nil, errLeft
	}
	pages := &pull{p: p, m: m, ahead: true, absence: p.absenceOf(m, at, obj, off), obj: obj, off: off, n: n, part: -1, pieces: make(chan piece, 1)}
	pages.ctx, pages.leave = context.WithCancelCause(ctx)
	if !p.spawn(func() { pages.run(at) }) {
		pages.done(context.Canceled)
		return nil, errLeft
	}
	return &onlyBody{ctx: ctx, pull: pages, left: n, why: why}, nil
}

// onlyBody is what a member sends. It serves one goroutine.
type onlyBody struct {
	ctx   context.Context
	pull  *pull
	piece piece
	left  int64
	why   *cause
}

// Read implements io.Reader.
func (b *onlyBody) Read(to []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(b.piece.data) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := b.piece.take(to)
	b.left -= int64(n)
	return n, nil
}

// next waits for a piece.
func (b *onlyBody) next() error {
	t := time.NewTimer(b.pull.m.pages.hedge() + leastStall)
	defer t.Stop()
	select {
	case x, ok := <-b.pull.pieces:
		if !ok {
			b.why.is(cmp.Or(b.pull.failed, errMiss)) // without a failure it holds the beginning only
			return cache.ErrAgain
		}
		b.piece = x
		return nil
	case <-b.ctx.Done():
		b.why.is(b.ctx.Err())
		return b.ctx.Err()
	case <-t.C:
		b.pull.leave(errLate)
		b.why.is(errLate)
		return cache.ErrAgain
	}
}

// Borrowed is how many bytes the member gave; see cache.Borrowed.
func (b *onlyBody) Borrowed() int64 { return b.pull.n - b.left }

// Close implements io.Closer.
func (b *onlyBody) Close() error {
	b.piece.free()
	b.pull.leave(context.Canceled)
	return nil
}
