package endpoint

import (
	"context"
	"net/http"

	"github.com/alio-lake/alio/origin"
)

// Backend is what the endpoint serves: mounts, each seen by S3 clients as a bucket. The sidecar implements it. All methods may be
// called in parallel; errors are of origin's kinds, and an unknown mount is origin.ErrUnknownMount.
type Backend interface {
	// Mounts names the mounts, sorted.
	Mounts() []string

	// Stat answers the object as fresh as the path's rule demands, Attributes included.
	Stat(ctx context.Context, mount, path string) (origin.Object, error)

	// Open reads a range of an object as fresh as the path's rule demands. req.ETag, where the client sent one in If-Match, is the
	// client's own confirmation. check is called once with the object before any byte of it is waited for; its error ends the
	// read and is returned as it is. By the time Open returns, the first bytes are at hand, so that what can still fail can
	// still be told by a status. Content.Body may implement io.WriterTo. A range that starts at or after the object's end is
	// origin.ErrInvalidRange, with the size in origin.Error.Size.
	Open(ctx context.Context, mount string, req origin.ReadRequest, check func(*origin.Object) error) (origin.Content, error)

	// List answers one page of a listing, as fresh as the prefix's rule demands.
	List(ctx context.Context, mount string, req origin.ListRequest) (origin.Listing, error)

	// Forward sends a request to the mount's origin as it is, but for its signature, its host and its path, and returns the
	// origin's answer; whoever calls closes its body. r's own Authorization must already have been checked. If r's method
	// may change data, what the cache believed of the path is dropped before and after. A mount whose origin does not speak
	// S3 answers origin.ErrUnsupported.
	Forward(ctx context.Context, mount, path string, r *http.Request) (*http.Response, error)
}
