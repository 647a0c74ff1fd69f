package sidecar

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
)

// stream is the body of an answer: first the bytes of a run, then pages, then what is read through. It serves one goroutine.
type stream struct {
	ctx     context.Context
	r       *reading
	obj     *origin.Object
	run     *run   // released when its bytes are consumed; nil if there is none
	head    []byte // of the run, still to be handed out
	off     int64  // of what follows head and pages
	left    int64  // bytes that follow these
	pages   *cache.Reader
	through *through
	closed  bool
	told    *aheadFile // of which more can be found when all was read; nil: of none
}

// more opens what comes next: pages as far as the object is settled, the rest of it at the origin.
func (b *stream) more() error {
	n := min(b.left, b.obj.Settled()-b.off)
	if n > 0 {
		pages, err := b.r.pages(b.ctx, b.obj, b.off, n)
		if err != nil {
			return err
		}
		b.pages = pages
	} else {
		n = b.left
		t, err := b.r.readThrough(b.ctx, b.obj, b.off, n)
		if err != nil {
			return err
		}
		b.through = t
	}
	b.off, b.left = b.off+n, b.left-n
	return nil
}

// next makes sure that something can be handed out: head, pages or through. It is io.EOF at the end.
func (b *stream) next() error {
	if len(b.head) > 0 || b.pages != nil || b.through != nil {
		return nil
	}
	b.run.release()
	b.run = nil
	if b.left == 0 {
		return io.EOF
	}
	return b.more()
}

// passed ends what was being read if err says that it was read to its end.
func (b *stream) passed(err error) bool {
	if err != io.EOF || b.left == 0 {
		return false
	}
	b.leave()
	return true
}

func (b *stream) Read(p []byte) (n int, err error) {
	for {
		if err := b.next(); err != nil {
			return 0, err
		}
		switch {
		case len(b.head) > 0:
			n = copy(p, b.head)
			b.head = b.head[n:]
			return n, nil
		case b.pages != nil:
			n, err = b.pages.Read(p)
		default:
			n, err = b.through.Read(p)
		}
		if !b.passed(err) {
			return n, err
		}
	}
}

// WriteTo implements io.WriterTo: pages go to w without a copy in between.
func (b *stream) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := b.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return total, err
		}
		var n int64
		var err error
		switch {
		case len(b.head) > 0:
			n, err = bytes.NewReader(b.head).WriteTo(w)
			b.head = b.head[n:]
		case b.pages != nil:
			if n, err = b.pages.WriteTo(w); err == nil && !b.passed(io.EOF) {
				return total + n, nil
			}
		default:
			n, err = b.through.WriteTo(w)
			return total + n, err
		}
		total += n
		if err != nil {
			return total, err
		}
	}
}

func (b *stream) Close() error {
	if !b.closed {
		b.closed = true
		b.r.s.ahead.passed(b.r.mount, b.r.origin, b.obj)
		if b.told != nil {
			b.r.s.ahead.find(b.told)
		}
	}
	b.run.release()
	b.run, b.head, b.left = nil, nil, 0
	return b.leave()
}

// leave closes what is being read after the head, and counts it.
func (b *stream) leave() (err error) {
	m := b.r.s.metrics
	if b.pages != nil {
		st := b.pages.Stats()
		m.served(fromMemory, st.Memory)
		m.served(fromDisk, st.Disk)
		m.served(fromPeer, st.Peer)
		m.served(fromOrigin, st.Origin)
		err = b.pages.Close()
		b.pages = nil
	}
	if b.through != nil {
		m.served(fromOrigin, b.through.given)
		err = errors.Join(err, b.through.Close())
		b.through = nil
	}
	return err
}
