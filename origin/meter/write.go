package meter

import (
	"context"
	"errors"
	"io"

	"github.com/alio-lake/alio/origin"
)

var _ origin.Writer = (*Origin)(nil)

// writer is what takes the writes; the error is origin.ErrUnsupported.
func (o *Origin) writer(op, path string) (origin.Writer, error) {
	w, ok := origin.As[origin.Writer](o.inner)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, op, path, errors.New("the origin takes no writes this way"))
	}
	return w, nil
}

// Put counts the call when the object is written or has failed. It is origin.ErrUnsupported, and not counted, if what is wrapped cannot write.
func (o *Origin) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	w, err := o.writer("put", path)
	if err != nil {
		return origin.Object{}, err
	}
	answered := o.begin("put")
	obj, err := w.Put(ctx, path, body, size, opts)
	answered()(outcome(ctx, err))
	return obj, err
}

// Delete counts the call. It is origin.ErrUnsupported, and not counted, if what is wrapped cannot write.
func (o *Origin) Delete(ctx context.Context, path string) error {
	w, err := o.writer("delete", path)
	if err != nil {
		return err
	}
	answered := o.begin("delete")
	err = w.Delete(ctx, path)
	answered()(outcome(ctx, err))
	return err
}
