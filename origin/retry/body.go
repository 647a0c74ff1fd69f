package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/alio-lake/alio/origin"
)

// resumeCredit is how many delivered bytes earn a body one more resumption, so that a long body over a poor line is not failed for
// its length, and yet the number of requests stays bounded.
const resumeCredit = 1 << 20

// body is a range that goes on by a new ranged read when the one beneath breaks. Read may be called by one goroutine at a time,
// Close beside it.
type body struct {
	o      *Origin
	ctx    context.Context // of the read; Close ends it
	cancel context.CancelFunc
	object origin.Object // what the first answer said; every later one must say the same
	pos    int64         // in the object, of the next byte
	left   int64

	delivered int64
	resumed   int64 // reads made to resume, so far
	trouble   *spell
	broken    error // why cur delivers no more; a Read resumes
	err       error // what has ended the body

	mu     sync.Mutex // guards cur and closed
	cur    io.ReadCloser
	closed bool
}

// Read reads on, over breaks.
func (b *body) Read(p []byte) (int, error) {
	for {
		cur, err := b.current()
		switch {
		case err != nil:
			return 0, err
		case b.err != nil:
			return 0, b.err
		case b.left == 0:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		case b.broken != nil:
			if b.err = b.resume(); b.err != nil {
				return 0, b.err
			}
			continue
		}
		n, err := cur.Read(p[:min(int64(len(p)), b.left)])
		b.pos, b.left, b.delivered = b.pos+int64(n), b.left-int64(n), b.delivered+int64(n)
		if n > 0 {
			b.trouble = nil
		}
		if b.left == 0 || err != nil {
			_ = cur.Close() // all is read, or nothing more will be: what wraps or carries it may let go now
		}
		if err != nil && b.left > 0 {
			b.broken = err
			if err == io.EOF {
				b.broken = origin.NewError(origin.ErrUnavailable, "read", b.object.Path, fmt.Errorf("the body ended %d bytes early: %w", b.left, io.ErrUnexpectedEOF))
			}
		}
		if n > 0 || err == nil {
			return n, nil
		}
	}
}

// resume opens the rest of the range at the same version; its error is the body's end.
func (b *body) resume() error {
	if b.object.Version == "" {
		return b.broken // nothing could tell whether the rest belongs to what was read
	}
	if b.trouble == nil {
		b.trouble = b.o.spell("resume", b.object.Path)
		budget := int64(b.o.opts.MaxAttempts-1) + b.delivered/resumeCredit - b.resumed
		b.trouble.max = int(min(int64(b.trouble.max), 1+budget))
	}
	for {
		if err := b.trouble.failed(b.ctx, b.broken); err != nil {
			return err
		}
		b.resumed++
		c, err := b.o.inner.Read(b.ctx, origin.ReadRequest{
			Path: b.object.Path, Version: b.object.Version, ETag: b.object.ETag, Offset: b.pos, Length: b.left,
		})
		if err != nil {
			b.broken = err
			continue
		}
		return b.take(c)
	}
}

// take puts a new body in the place of the broken one, if it is what was asked for.
func (b *body) take(c origin.Content) error {
	var err error
	switch {
	case c.Object.Version != b.object.Version:
		err = changed(b.object.Path, b.object.Version, c.Object.Version)
	case c.Offset != b.pos || c.Length != b.left:
		err = origin.NewError(origin.ErrUnavailable, "read", b.object.Path,
			fmt.Errorf("asked for %d bytes at %d, the origin answered %d at %d", b.left, b.pos, c.Length, c.Offset))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.closed {
		err = b.errClosed()
	}
	if err != nil {
		return errors.Join(err, c.Body.Close())
	}
	b.cur, b.broken = c.Body, nil
	return nil
}

func (b *body) current() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, b.errClosed()
	}
	return b.cur, nil
}

func (b *body) errClosed() error {
	return origin.NewError(origin.ErrInvalid, "read", b.object.Path, errors.New("the body was closed"))
}

// Close ends the read. A second Close does nothing.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.cur.Close()
}
