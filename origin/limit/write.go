package limit

import (
	"context"
	"errors"
	"io"

	"github.com/alio-lake/alio/origin"
)

var _ origin.Writer = (*Origin)(nil)

// writer waits for a slot of what takes the writes; who gets one releases it. Without a writer the error is origin.ErrUnsupported.
func (o *Origin) writer(ctx context.Context, op, path string) (origin.Writer, error) {
	w, ok := origin.As[origin.Writer](o.inner)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, op, path, errors.New("the origin takes no writes this way"))
	}
	return w, o.acquire(ctx, op, path)
}

// Put waits for a slot and holds it until the object is written or has failed. What it writes is not limited in bytes. It is origin.ErrUnsupported if
// what is wrapped cannot write.
func (o *Origin) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	w, err := o.writer(ctx, "put", path)
	if err != nil {
		return origin.Object{}, err
	}
	defer o.release()
	return w.Put(ctx, path, body, size, opts)
}

// Delete waits for a slot and holds it during the call. It is origin.ErrUnsupported if what is wrapped cannot write.
func (o *Origin) Delete(ctx context.Context, path string) error {
	w, err := o.writer(ctx, "delete", path)
	if err != nil {
		return err
	}
	defer o.release()
	return w.Delete(ctx, path)
}
