package namespace

import (
	"context"
	"io"
	"net/http"
	"runtime"

	"github.com/alio-lake/alio/origin"
)

// Owned is an origin that is closed once nothing refers to it any more: neither a mount, nor a request, nor a body that is being read. A reload lets go
// of an origin while requests that began with it may still need it several times, some time apart; no count of calls under way could tell when the
// last one has come, the garbage collector can. So connections of an origin that was replaced stay open until a collection after its last request,
// at most some minutes.
type Owned struct{ inner origin.Origin }

var (
	_ origin.Forwarder = (*Owned)(nil)
	_ origin.Writer    = (*Owned)(nil)
)

// Own wraps an origin. closing is called once, on a goroutine of the runtime's: it must be safe when the origin was closed by other means, and must not
// refer to what Own returns.
func Own(o origin.Origin, closing func()) *Owned {
	owned := &Owned{o}
	runtime.AddCleanup(owned, func(closing func()) { closing() }, closing)
	return owned
}

// Unwrap returns the wrapped origin.
func (o *Owned) Unwrap() origin.Origin { return o.inner }

// ID is the wrapped origin's.
func (o *Owned) ID() string { return o.inner.ID() }

// Stat asks the wrapped origin.
func (o *Owned) Stat(ctx context.Context, path string) (origin.Object, error) {
	defer runtime.KeepAlive(o)
	return o.inner.Stat(ctx, path)
}

// List asks the wrapped origin.
func (o *Owned) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	defer runtime.KeepAlive(o)
	return o.inner.List(ctx, req)
}

// Read reads from the wrapped origin. The body keeps it.
func (o *Owned) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	defer runtime.KeepAlive(o)
	c, err := o.inner.Read(ctx, req)
	if err == nil {
		c.Body = &ownedBody{c.Body, o}
	}
	return c, err
}

// ownedBody keeps the origin that it comes from.
type ownedBody struct {
	io.ReadCloser
	o *Owned
}

func (b *ownedBody) Read(p []byte) (int, error) {
	defer runtime.KeepAlive(b.o)
	return b.ReadCloser.Read(p)
}

func (b *ownedBody) Close() error {
	defer runtime.KeepAlive(b.o)
	return b.ReadCloser.Close()
}

// Forward sends the request to the wrapped origin. The answer's body keeps it.
func (o *Owned) Forward(ctx context.Context, path string, r *http.Request) (*http.Response, error) {
	defer runtime.KeepAlive(o)
	f, ok := origin.As[origin.Forwarder](o.inner)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path, errNotS3)
	}
	resp, err := f.Forward(ctx, path, r)
	if err == nil {
		resp.Body = &ownedBody{resp.Body, o}
	}
	return resp, err
}

// Put writes to the wrapped origin.
func (o *Owned) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	defer runtime.KeepAlive(o)
	w, ok := origin.As[origin.Writer](o.inner)
	if !ok {
		return origin.Object{}, origin.NewError(origin.ErrUnsupported, "put", path, errNoWrites)
	}
	return w.Put(ctx, path, body, size, opts)
}

// Delete removes from the wrapped origin.
func (o *Owned) Delete(ctx context.Context, path string) error {
	defer runtime.KeepAlive(o)
	w, ok := origin.As[origin.Writer](o.inner)
	if !ok {
		return origin.NewError(origin.ErrUnsupported, "delete", path, errNoWrites)
	}
	return w.Delete(ctx, path)
}
