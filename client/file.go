package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// File is an open file at one version. All methods may be called in parallel. Every byte it returns is of that version and was checked, or came
// from the sidecar or an OriginReader, which answer for theirs; if the origin holds another version by then, and the sidecar has not kept
// the bytes, the error is ErrVersionChanged.
type File struct {
	c      *Client
	v      *view
	fill   *Fill
	direct bool // nothing is known but by the caller: read by the Fallback
	closed atomic.Bool
}

var _ io.ReaderAt = (*File)(nil)

func (c *Client) newFile(v *view, fill *Fill) *File { return &File{c: c, v: v, fill: fill} }

// Size is the file's size in bytes.
func (f *File) Size() int64 { return f.v.object.Size }

// Version is the version that the File is of.
func (f *File) Version() string { return f.v.object.Version }

// Object is what is known of the file.
func (f *File) Object() Object { return f.v.object }

// Close ends the use of the File; reads that are under way finish. It never fails, and is safe twice.
func (f *File) Close() error {
	f.closed.Store(true)
	return nil
}

// ReadAt implements io.ReaderAt. A read whose pages lie in open segments, in the operating system's page cache, costs a system call a page, allocates
// nothing and copies nothing twice.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	return f.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext is ReadAt within a context, which ends what it waits for. On an error p holds n bytes of the file, and beyond them
// nothing of use.
func (f *File) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	size := f.v.object.Size
	switch {
	case f.closed.Load() || f.c.closed():
		return 0, f.fail(ErrClosed)
	case off < 0:
		return 0, f.fail(fmt.Errorf("%w: offset %d", ErrInvalid, off))
	case len(p) == 0:
		return 0, nil
	case off >= size:
		return 0, io.EOF
	}
	whole := p
	p = p[:min(int64(len(p)), size-off)]
	if misses := f.readLocal(ctx, p, off); len(misses) > 0 {
		if n, err := f.readMisses(ctx, p, off, misses); err != nil {
			return n, f.fail(err)
		}
	}
	if len(p) < len(whole) {
		return len(p), io.EOF
	}
	return len(p), nil
}

func (f *File) fail(err error) error {
	return fileError("read", f.v.object.Mount, f.v.object.Path, err)
}

// readLocal reads what lies in segments. misses is what does not, in order and in as few spans as can be; nil: nothing is missing.
func (f *File) readLocal(ctx context.Context, p []byte, off int64) (misses []span) {
	t := f.v.table.Load()
	pos, end := off, off+int64(len(p))
	for i := t.from(off); pos < end; i++ {
		if i == len(t.pages) || t.pages[i].off >= end {
			return missing(misses, pos, end)
		}
		pg := &t.pages[i]
		if pg.off > pos {
			misses = missing(misses, pos, pg.off)
			pos = pg.off
		}
		to := min(end, pg.end())
		o := f.c.readPage(ctx, t, pg, p[pos-off:to-off], int(pos-pg.off))
		f.c.counts.page(o, to-pos)
		if o == served {
			f.c.touches.add(pg)
		} else {
			misses = missing(misses, pos, to)
		}
		pos = to
	}
	return misses
}

// missing adds [from, to) to spans that end at or before it.
func missing(list []span, from, to int64) []span {
	if n := len(list); n > 0 && list[n-1].to == from {
		list[n-1].to = to
		return list
	}
	return append(list, span{from, to})
}

// readMisses reads what was not there locally; n is how much of p holds when it fails.
func (f *File) readMisses(ctx context.Context, p []byte, off int64, misses []span) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return int(misses[0].from - off), err
	}
	if f.fill == nil && !f.direct {
		if asked, ok := f.v.wantsRefresh(misses[0], f.c.o.RefreshInterval); ok && f.c.refresh(ctx, f.v, asked) {
			var left []span
			for _, m := range misses {
				for _, l := range f.readLocal(ctx, p[m.from-off:m.to-off], m.from) {
					left = missing(left, l.from, l.to)
				}
			}
			misses = left
		}
	}
	for _, m := range misses {
		q := p[m.from-off : m.to-off]
		if f.fill != nil {
			err = f.readFilled(ctx, q, m)
		} else {
			err = f.fetch(ctx, q, m)
		}
		if err != nil {
			return int(m.from - off), err
		}
	}
	return len(p), nil
}

// fetch reads a span from the sidecar, or from the Fallback if that does not have it to give.
func (f *File) fetch(ctx context.Context, p []byte, s span) error {
	err := error(nil)
	if !f.direct {
		if err = f.c.remote(ctx, f.v, p, s.from); err == nil {
			f.v.missing(s)
			return nil
		}
		if errors.Is(err, ErrVersionChanged) {
			f.v.changed.Store(true)
			f.c.views.drop(f.v)
			return err
		}
	}
	if f.c.o.Fallback == nil || ctx.Err() != nil || errors.Is(err, ErrClosed) {
		return err
	}
	if err := readOrigin(ctx, f.c.o.Fallback, f.v.object, p, s.from); err != nil {
		return fmt.Errorf("by the fallback: %w", err)
	}
	f.c.counts.fallback.Add(uint64(len(p)))
	return nil
}

// readOrigin fills p, or fails.
func readOrigin(ctx context.Context, r OriginReader, o Object, p []byte, off int64) error {
	n, err := r.ReadAt(ctx, o, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// refresh asks where the pages of some ranges lie now; true if any of them has a place.
func (c *Client) refresh(ctx context.Context, v *view, ranges []span) (brought bool) {
	var told []span
	defer func() { v.refreshed(told, brought, c.o.RefreshInterval) }()
	file := &apiv1.OpenFile{Mount: v.object.Mount, Path: v.object.Path, Etag: v.object.ETag, Fill: v.fill.wire()}
	for _, r := range ranges {
		file.Ranges = append(file.Ranges, &apiv1.Range{Offset: r.from, Length: r.to - r.from})
	}
	got, err := c.ask(ctx, patience{deadline: c.o.ControlDeadline, optional: true}, []*apiv1.OpenFile{file})
	if err != nil || got[0].err != nil {
		return false
	}
	a := got[0]
	if v.fill == nil && a.object.Version != v.object.Version || a.object.Size != v.object.Size {
		v.changed.Store(true)
		c.views.drop(v)
		return false
	}
	told = a.told
	v.update(a.table, told, c.views.tableLimit())
	c.views.refreshed(v)
	return len(a.table.pages) > 0
}
