package sidecar

import (
	"context"
	"io"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
)

// Lender is what the body of a Content from Open is besides, unless the object has no version: its bytes can be had without a copy, for as
// long as they are needed. Body.Read and Take may be mixed.
type Lender interface {
	// Take returns the next bytes, never none of them, at most cache.MaxPage, on loan until the Buf is freed, which may be after the body
	// was closed. They must not be changed. At the end it is io.EOF.
	Take() (cache.Buf, error)
}

var _ Lender = (*stream)(nil)

// Take implements Lender. The last piece of a run is what keeps it counted; a piece before it that is still on loan when the reader closes early is
// not.
func (b *stream) Take() (cache.Buf, error) {
	if err := b.next(); err != nil {
		return cache.Buf{}, err
	}
	if len(b.head) == 0 {
		return b.takeNext()
	}
	n := min(len(b.head), cache.MaxPage)
	piece := b.head[:n]
	if b.head = b.head[n:]; len(b.head) > 0 {
		return cache.NewBuf(piece, nil), nil
	}
	last := b.run
	b.run = nil
	return cache.NewBuf(piece, last.release), nil
}

// takeNext takes from what follows the head.
func (b *stream) takeNext() (buf cache.Buf, err error) {
	if b.pages != nil {
		buf, err = b.pages.Take()
	} else {
		buf, err = b.through.take()
	}
	if b.passed(err) {
		return b.Take()
	}
	return buf, err
}

// Fill reads into the cache what is missing of n bytes at off of obj, a version of an object of the mount, and returns how many bytes of it came from
// the origin. What may still change is left out. Nobody is counted as a reader of them. A change of the object is origin.ErrVersionChanged.
func (s *Sidecar) Fill(ctx context.Context, mount string, obj *origin.Object, off, n int64) (int64, error) {
	o, err := s.mount(mount)
	if err != nil {
		return 0, err
	}
	if n = min(n, obj.Settled()-off); n <= 0 {
		return 0, nil
	}
	r := &reading{s: s, mount: mount, origin: o, key: o.key(obj.Path)}
	pages, err := r.pages(ctx, obj, off, n)
	if err != nil {
		return 0, err
	}
	defer pages.Close()
	_, err = pages.WriteTo(io.Discard)
	return pages.Stats().Origin, err
}
