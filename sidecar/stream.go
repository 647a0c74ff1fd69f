package sidecar

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
)

// stream is the body of an answer: first the bytes of a run, then pages. It serves one goroutine.
type stream struct {
	ctx   context.Context
	r     *reading
	obj   *origin.Object
	run   *run   // released when its bytes are consumed; nil if there is none
	head  []byte // of the run, still to be handed out
	off   int64  // of what follows head
	left  int64  // bytes that follow head
	pages *cache.Reader
}

// more opens the pages that follow the run.
func (b *stream) more() error {
	pages, err := b.r.pages(b.ctx, b.obj, b.off, b.left)
	if err != nil {
		return err
	}
	b.pages, b.left = pages, 0
	return nil
}

// next makes sure that something can be handed out: head or pages. It is io.EOF at the end.
func (b *stream) next() error {
	if len(b.head) > 0 || b.pages != nil {
		return nil
	}
	b.run.release()
	b.run = nil
	if b.left == 0 {
		return io.EOF
	}
	return b.more()
}

func (b *stream) Read(p []byte) (int, error) {
	if err := b.next(); err != nil {
		return 0, err
	}
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	return b.pages.Read(p)
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
		if len(b.head) == 0 {
			n, err := b.pages.WriteTo(w)
			return total + n, err
		}
		n, err := bytes.NewReader(b.head).WriteTo(w)
		b.head = b.head[n:]
		total += n
		if err != nil {
			return total, err
		}
	}
}

func (b *stream) Close() error {
	b.run.release()
	b.run, b.head, b.left = nil, nil, 0
	if b.pages == nil {
		return nil
	}
	st := b.pages.Stats()
	m := b.r.s.metrics
	m.served(fromMemory, st.Memory)
	m.served(fromDisk, st.Disk)
	m.served(fromOrigin, st.Origin)
	err := b.pages.Close()
	b.pages = nil
	return err
}
