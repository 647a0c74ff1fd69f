package mem

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alio-lake/alio/origin"
)

var _ origin.Writer = Writer{}

// Writer is an Origin that takes writes: the reference of origin.Writer.
type Writer struct{ *Origin }

// Put reads the whole body, then stores it.
func (w Writer) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	if path == "" {
		return origin.Object{}, origin.NewError(origin.ErrInvalid, "put", path, errors.New("the path is empty"))
	}
	data, err := io.ReadAll(body)
	if err == nil && size >= 0 && int64(len(data)) != size {
		err = fmt.Errorf("the body has %d bytes; %d were announced", len(data), size)
	}
	switch {
	case ctx.Err() != nil:
		return origin.Object{}, origin.NewError(origin.ErrUnavailable, "put", path, ctx.Err())
	case err != nil:
		return origin.Object{}, origin.NewError(origin.ErrInvalid, "put", path, err)
	}
	obj, ok := w.put(path, data, nil, opts.IfAbsent)
	if !ok {
		return origin.Object{}, origin.NewError(origin.ErrVersionChanged, "put", path, errors.New("an object is there already"))
	}
	return obj, nil
}

// Delete removes the object, if there is one.
func (w Writer) Delete(ctx context.Context, path string) error {
	switch {
	case path == "":
		return origin.NewError(origin.ErrInvalid, "delete", path, errors.New("the path is empty"))
	case ctx.Err() != nil:
		return origin.NewError(origin.ErrUnavailable, "delete", path, ctx.Err())
	}
	w.Origin.Delete(path)
	return nil
}
