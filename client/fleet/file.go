package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/alio-lake/alio/client"
)

// File is an open file at one version, whichever members its bytes come from. All methods may be called in parallel.
type File struct {
	fleet  *Fleet
	known  bool // by a member; else by the caller alone
	closed atomic.Bool

	mu     sync.Mutex
	object client.Object
	at     map[*member]*client.File
}

var _ io.ReaderAt = (*File)(nil)

// Size is the file's size in bytes.
func (f *File) Size() int64 { return f.object.Size }

// Object is what is known of the file.
func (f *File) Object() client.Object { return f.object }

// Close ends the use of the File; reads that are under way finish. It never fails, and is safe twice.
func (f *File) Close() error {
	f.closed.Store(true)
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	return f.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext is ReadAt within a context. Every byte is of the version that the File was opened at: if a member has another one by then, and the origin
// too, the error is client.ErrVersionChanged. On an error p holds n bytes of the file, and beyond them nothing of use.
func (f *File) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	switch {
	case f.closed.Load():
		return 0, f.fail(client.ErrClosed)
	case off < 0:
		return 0, f.fail(fmt.Errorf("%w: offset %d", client.ErrInvalid, off))
	case len(p) == 0:
		return 0, nil
	case off >= f.object.Size:
		return 0, io.EOF
	}
	short := f.object.Size-off < int64(len(p))
	p = p[:min(int64(len(p)), f.object.Size-off)]
	for n < len(p) {
		piece := p[n:]
		if e := f.fleet.ring.Epoch(); e != nil {
			section := e.Settings().SectionSize
			piece = piece[:min(int64(len(piece)), section-(off+int64(n))%section)]
		}
		if err := f.section(ctx, piece, off+int64(n)); err != nil {
			return n, f.fail(err)
		}
		n += len(piece)
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

func (f *File) fail(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("read %q in %q: %w", f.object.Path, f.object.Mount, err)
}

// section reads what lies in one section, from its owners or else by the Fallback.
func (f *File) section(ctx context.Context, p []byte, off int64) error {
	err := f.fleet.each(ctx, f.object.Mount, f.object.Path, off, func(m *member) error {
		file, err := f.of(ctx, m)
		if err != nil {
			return err
		}
		_, err = file.ReadAtContext(ctx, p, off)
		return err
	})
	back := f.fleet.o.Fallback
	if err == nil || back == nil || !passed(err) || ctx.Err() != nil || errors.Is(err, client.ErrClosed) {
		return err
	}
	n, err := back.ReadAt(ctx, f.object, p, off)
	if n < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("by the fallback: %w", err)
	}
	f.fleet.counts.fallback.Add(1)
	return nil
}

// of is the file as a member has it, at the version that the File is of.
func (f *File) of(ctx context.Context, m *member) (*client.File, error) {
	f.mu.Lock()
	got := f.at[m]
	f.mu.Unlock()
	if got != nil {
		return got, nil
	}
	got, err := m.client.Open(ctx, f.object.Mount, f.object.Path, client.OpenOptions{ETag: f.object.ETag, Ranges: nothing})
	if err != nil {
		return nil, err
	}
	if o := got.Object(); !f.same(o) {
		return nil, fmt.Errorf("%w: it was opened with ETag %q, version %q, %d bytes, and %s has ETag %q, version %q, %d bytes", client.ErrVersionChanged, f.object.ETag, f.object.Version,
			f.object.Size, m.address, o.ETag, o.Version, o.Size)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for old := range f.at { // those that were let go of meanwhile
		if !f.fleet.current(old) {
			delete(f.at, old)
		}
	}
	f.at[m] = got
	return got, nil
}

// same tells whether what a member has is what was opened.
func (f *File) same(o client.Object) bool {
	switch {
	case !f.known: // only the caller knows the file: by its ETag, or not at all but by its size
		return o.Size == f.object.Size && (f.object.ETag == "" || o.ETag == f.object.ETag)
	case f.object.Version == "":
		return o.Version == "" && o.ETag == f.object.ETag && o.Size == f.object.Size && o.Modified.Equal(f.object.Modified)
	}
	return o.Version == f.object.Version && o.Size == f.object.Size
}
