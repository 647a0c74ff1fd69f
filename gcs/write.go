package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// Put writes an object in one streamed request, which nothing repeats, and answers the generation that it made. The object appears
// once all of the body has arrived and its sum is right.
func (o *Origin) Put(ctx context.Context, path string, body io.Reader, size int64) (origin.Object, error) {
	handle, err := o.object("put", path)
	if err != nil {
		return origin.Object{}, err
	}
	inner, x := exchanging(ctx, true)
	inner, cancel := context.WithCancel(inner)
	defer cancel()
	w := handle.NewWriter(inner)
	w.ChunkSize = 0 // no buffer of the client's, and no repeated chunk
	w.ContentType = "application/octet-stream"
	source := &source{r: body, size: size}
	watched := outbound.WatchWriter(w, o.opts.StallTimeout, cancel)
	_, err = io.Copy(watched, source)
	watched.End()
	if err == nil {
		err = source.check()
	}
	if err == nil {
		err = w.Close()
	} else {
		cancel() // without it, Close would write an empty object where the body failed at its first byte
		_ = w.CloseWithError(err)
		_ = w.Close() // waits for the request's end
	}
	switch {
	case source.err != nil:
		return origin.Object{}, o.source(ctx, path, source.err)
	case errors.Is(err, outbound.ErrStalled):
		return origin.Object{}, o.broke(ctx, "put", path, err)
	case err != nil:
		return origin.Object{}, o.fail(ctx, "put", path, x, err)
	}
	return o.stated(path, w.Attrs()), nil
}

// source is the error of a body that could not be read.
func (o *Origin) source(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return o.broke(ctx, "put", path, err)
	}
	return origin.NewError(origin.ErrInvalid, "put", path, fmt.Errorf("nothing was written: %w", err))
}

// source is the body of a Put: it keeps its own errors apart from the request's, and counts.
type source struct {
	r    io.Reader
	size int64 // -1: not known
	n    int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.n += int64(n); err != nil && err != io.EOF {
		s.err = err
	}
	if s.size >= 0 && s.n > s.size {
		s.err = fmt.Errorf("the body is longer than the %d bytes that it was said to have", s.size)
		return 0, s.err
	}
	return n, err
}

// check is called after the whole body was read.
func (s *source) check() error {
	if s.size >= 0 && s.n != s.size {
		s.err = fmt.Errorf("the body ended after %d of %d bytes: %w", s.n, s.size, io.ErrUnexpectedEOF)
	}
	return s.err
}

// Delete removes the object's present generation; a bucket with versions keeps it as an old one.
func (o *Origin) Delete(ctx context.Context, path string) error {
	handle, err := o.object("delete", path)
	if err != nil {
		return err
	}
	inner, x := exchanging(ctx, false)
	if err := handle.Delete(inner); err != nil {
		if e := o.fail(ctx, "delete", path, x, err); e.Kind != origin.ErrNotFound || noBucket("delete", e.Kind, e.Error()) {
			return e
		}
	}
	return nil
}
