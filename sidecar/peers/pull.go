package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

// maxMessage is the longest message of a peer, in bytes: a page with its header, or a listing of 1,000 long names.
const maxMessage = 8 << 20

// pull is what a member sends of one range, on its way. It has taken n bytes of those in flight and a place among the member's calls, until it is done.
type pull struct {
	p       *Peers
	m       *member
	why     relation
	ahead   bool // nobody waits for it
	absence uint64
	obj     *origin.Object
	off, n  int64

	ctx    context.Context
	leave  context.CancelCauseFunc
	pieces chan piece // bytes that were checked, from off on; closed at the end

	part int // the part that hash is of; -1: none yet
	hash segfile.PartKey
	got  int64 // bytes

	failed error // why it ended before its end; set before pieces is closed
}

// piece is bytes that were checked, in a buffer that is used again: to get and to clear a new one for each page took a tenth of what a page took.
type piece struct {
	data []byte
	lent *[]byte // nil: it is no buffer of pieceBuffers
}

var pieceBuffers = sync.Pool{New: func() any { b := make([]byte, segfile.RecordSize(cache.MaxPage)); return &b }}

// newPiece is room for a message.
func newPiece(n int) piece {
	lent := pieceBuffers.Get().(*[]byte)
	if n > len(*lent) {
		pieceBuffers.Put(lent)
		return piece{data: make([]byte, n)}
	}
	return piece{(*lent)[:n], lent}
}

// take hands out what fits, and gives the buffer back after the last byte.
func (p *piece) take(to []byte) int {
	n := copy(to, p.data)
	if p.data = p.data[n:]; len(p.data) == 0 {
		p.free()
	}
	return n
}

// free gives the buffer back. It may be called again.
func (p *piece) free() {
	if p.lent != nil {
		pieceBuffers.Put(p.lent)
	}
	*p = piece{}
}

// run receives until the end, whatever that is.
func (l *pull) run(at sidecar.Place) {
	begun := time.Now()
	err := l.receive(at, begun)
	switch {
	case l.got == l.n: // whatever ended it then
		err = nil
	case l.ctx.Err() != nil:
		err = context.Cause(l.ctx)
	}
	if errors.Is(err, errLate) {
		l.m.pages.saw(time.Since(begun))
	}
	l.failed = err
	l.done(err)
	close(l.pieces)
}

// done gives back what was taken, and counts.
func (l *pull) done(err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errMiss) && !errors.Is(err, errBusy) {
		err = fmt.Errorf("peer %s at %s: %w", l.m.name, l.m.address, err)
	}
	if l.m.end(err) {
		l.p.gaveUp(l.m, err)
	}
	l.p.inFlight.Release(l.n)
	l.leave(context.Canceled)
	switch {
	case l.got > 0 && (err == nil || errors.Is(err, errMiss)):
		l.p.absent.held(l.absence)
	case errors.Is(err, errMiss):
		l.p.absent.missed(l.absence)
	}
	if !l.ahead {
		l.p.reading.Add(-l.n)
		l.p.metrics.pulled(l.why, l.got, l.got == l.n, err)
	}
}

// receive asks the member and passes on what it sends.
func (l *pull) receive(at sidecar.Place, begun time.Time) error {
	client, err := l.m.client()
	if err != nil {
		return err
	}
	req := &apiv1.PagesRequest{Place: place(at), Path: l.obj.Path, Version: string(l.obj.Version), Size: l.obj.Size, Offset: l.off, Length: l.n, Ahead: l.ahead}
	if len(l.obj.Parts) == 1 {
		req.Part = l.obj.Parts[0].ID
	}
	stream, err := client.Pages(l.ctx, req)
	if err != nil {
		return kind(err)
	}
	var reply wire.ReadReply
	defer reply.Free()
	for promised := int64(0); ; {
		switch err := stream.RecvMsg(&reply); {
		case errors.Is(err, io.EOF) && l.got > 0 && l.got == promised:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it sent %d bytes of %d that it promised", errGarbage, l.got, promised)
		case status.Code(err) == codes.Internal: // what arrived is no message
			return fmt.Errorf("%w: %w", errGarbage, err)
		case err != nil:
			return kind(err)
		}
		if l.got == 0 {
			if reply.Offset != l.off || reply.Length <= 0 || reply.Length > l.n {
				return fmt.Errorf("%w: it sends %d bytes at %d, and was asked for %d at %d", errGarbage, reply.Length, reply.Offset, l.n, l.off)
			}
			promised = reply.Length
		}
		data, err := l.check(&reply, l.off+l.got, l.off+promised)
		if err != nil {
			return err
		}
		if l.got == 0 {
			l.m.pages.saw(time.Since(begun))
			l.p.metrics.seconds.Observe(time.Since(begun).Seconds())
		}
		l.got += int64(len(data.data))
		select {
		case l.pieces <- data:
		case <-l.ctx.Done():
			data.free()
			return l.ctx.Err()
		}
	}
}

// check takes a piece out of a message, which must begin at a byte of the object and not pass end. It is believed only if it carries the key of just these
// bytes of just this part, which this side works out itself, and all sums are right.
func (l *pull) check(reply *wire.ReadReply, at, end int64) (piece, error) {
	var p piece
	garbage := func(format string, args ...any) (piece, error) {
		p.free()
		return piece{}, fmt.Errorf("%w: the piece at %d of %q %s", errGarbage, at, l.obj.Path, fmt.Sprintf(format, args...))
	}
	n := reply.DataLen()
	if n < segfile.RecordHeaderSize(1) {
		return garbage("has %d bytes", n)
	}
	p = newPiece(n)
	b := p.data
	reply.CopyData(b)
	rec, need, err := segfile.ParseRecord(b, 0, at)
	if err != nil || need > 0 {
		return garbage("has a header that is cut off or has a wrong sum: %v", err)
	}
	head := segfile.RecordHeaderSize(rec.Length)
	if n != head+rec.Length || at+int64(rec.Length) > end {
		return garbage("has %d bytes, and its header tells %d", n-head, rec.Length)
	}
	want, ok := l.key(at, int64(rec.Length))
	if !ok || rec.Key != want {
		return garbage("is of another part, version or range")
	}
	if !segfile.CheckBlocks(b[:head], 0, b[head:]) {
		return garbage("has a wrong sum")
	}
	p.data = b[head:]
	return p, nil
}

// key is that of n bytes at a place in the object; false if they do not lie in one part.
func (l *pull) key(at, n int64) (segfile.Key, bool) {
	parts := l.obj.Parts
	i := sort.Search(len(parts), func(i int) bool { return parts[i].Offset+parts[i].Length > at })
	if i == len(parts) || at < parts[i].Offset || at+n > parts[i].Offset+parts[i].Length || parts[i].ID == "" {
		return segfile.Key{}, false
	}
	if l.part != i {
		l.part, l.hash = i, segfile.HashPart(parts[i].ID)
	}
	return l.hash.Page(at-parts[i].Offset, n), true
}
