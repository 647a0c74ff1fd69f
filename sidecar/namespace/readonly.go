package namespace

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/alio-lake/alio/origin"
)

// ReadOnly is an origin that takes no writes from clients, whatever it could do. Reads pass unchanged.
type ReadOnly struct {
	origin.Origin
	mount string
}

var (
	_ origin.Forwarder = (*ReadOnly)(nil)
	_ origin.Writer    = (*ReadOnly)(nil)
)

// NewReadOnly wraps an origin. The mount's name is for the errors, which tell how to let writes through.
func NewReadOnly(o origin.Origin, mount string) *ReadOnly { return &ReadOnly{o, mount} }

// Unwrap returns the wrapped origin.
func (r *ReadOnly) Unwrap() origin.Origin { return r.Origin }

// Refuses says why a client's write of a path is refused, and what to change: an error of kind origin.ErrDenied.
func (r *ReadOnly) Refuses(op, path string) error {
	return origin.NewError(origin.ErrDenied, op, path,
		fmt.Errorf("mount %q is read-only here: set mounts.%s.writes to pass_through to let writes through to its origin", r.mount, r.mount))
}

// Forward sends on requests that change nothing.
func (r *ReadOnly) Forward(ctx context.Context, path string, req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return nil, r.Refuses("forward", path)
	}
	f, ok := origin.As[origin.Forwarder](r.Origin)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path, fmt.Errorf("the origin of mount %q does not speak S3", r.mount))
	}
	return f.Forward(ctx, path, req)
}

// Put is refused.
func (r *ReadOnly) Put(_ context.Context, path string, _ io.Reader, _ int64, _ origin.PutOptions) (origin.Object, error) {
	return origin.Object{}, r.Refuses("put", path)
}

// Delete is refused.
func (r *ReadOnly) Delete(_ context.Context, path string) error { return r.Refuses("delete", path) }
