package sidecar

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
)

// throughPiece is how much of what is not cached is read, and held, at once.
const throughPiece = 256 << 10

var throughPieces = sync.Pool{New: func() any { return new([throughPiece]byte) }}

// through hands out bytes of one version that may still change: they come from the origin, and go nowhere but to the reader. It serves one goroutine.
type through struct {
	path  string
	body  io.ReadCloser
	left  int64 // bytes that body still holds
	given int64 // bytes handed out
	piece []byte
	free  func() // gives the memory of piece back; nil: there is none
}

// readThrough begins to read n bytes at off of obj's version past the cache. It returns when the first of them are at hand, so that an error before the first
// byte can be told as such, and the read begun anew.
func (r *reading) readThrough(ctx context.Context, obj *origin.Object, off, n int64) (*through, error) {
	body, err := source{r.s, r.origin}.read(ctx, obj, off, n)
	if err != nil {
		return nil, err
	}
	t := &through{path: obj.Path, body: body, left: n}
	if err := t.need(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// need makes sure that there is a piece. At the end it is io.EOF.
func (t *through) need() error {
	if len(t.piece) > 0 {
		return nil
	}
	t.drop()
	if t.left == 0 {
		return io.EOF
	}
	b := throughPieces.Get().(*[throughPiece]byte)
	t.free = func() { throughPieces.Put(b) }
	piece := b[:min(t.left, throughPiece)]
	if _, err := io.ReadFull(t.body, piece); err != nil {
		return broken(t.path, err)
	}
	t.left -= int64(len(piece))
	t.piece = piece
	return nil
}

func (t *through) drop() {
	t.piece = nil
	if t.free != nil {
		t.free()
		t.free = nil
	}
}

func (t *through) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := t.need(); err != nil {
		return 0, err
	}
	n := copy(p, t.piece)
	t.piece = t.piece[n:]
	t.given += int64(n)
	return n, nil
}

func (t *through) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := t.need(); err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(t.piece)
		if err == nil && n < len(t.piece) {
			err = io.ErrShortWrite
		}
		n = min(max(n, 0), len(t.piece))
		t.piece, t.given, total = t.piece[n:], t.given+int64(n), total+int64(n)
		if err != nil {
			return total, err
		}
	}
}

// take lends the next piece, which stays valid until it is freed, whatever happens to t.
func (t *through) take() (cache.Buf, error) {
	if err := t.need(); err != nil {
		return cache.Buf{}, err
	}
	buf := cache.NewBuf(t.piece, t.free)
	t.given += int64(len(t.piece))
	t.piece, t.free = nil, nil
	return buf, nil
}

func (t *through) Close() error {
	t.drop()
	t.left = 0
	return t.body.Close()
}

// sameParts tells whether n bytes at off lie in the same parts of two versions of an object: then they are the same bytes.
func sameParts(a, b *origin.Object, off, n int64) bool {
	if off+n > min(a.Settled(), b.Settled()) {
		return false
	}
	in := func(o *origin.Object) []origin.Part {
		from := slices.IndexFunc(o.Parts, func(p origin.Part) bool { return p.Offset+p.Length > off })
		to := slices.IndexFunc(o.Parts, func(p origin.Part) bool { return p.Offset+p.Length >= off+n })
		return o.Parts[from : to+1]
	}
	return slices.Equal(in(a), in(b))
}

// fetchElsewhere reads n bytes at off of obj, of which the origin holds another version now, from that one, if they lie in the same parts of it: a file
// that only grows is no reason to fail who reads its beginning. changed is the error that it returns if they do not.
func (f source) fetchElsewhere(ctx context.Context, obj *origin.Object, off, n int64, changed error) (io.ReadCloser, error) {
	if len(obj.Parts) < 2 { // it would have to be the same object
		return nil, changed
	}
	now, err := f.origin.Stat(ctx, obj.Path)
	if err != nil {
		if errors.Is(err, origin.ErrNotFound) {
			return nil, changed
		}
		return nil, err
	}
	if now.Version == "" || now.Version == obj.Version || !sameParts(obj, &now, off, n) {
		return nil, changed
	}
	return f.read(ctx, &now, off, n)
}
