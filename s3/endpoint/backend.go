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

// Hits is what a Backend offers besides, where it can answer reads from what it holds without waiting for anybody and without allocating. A
// Backend need not implement it: every request then goes through Backend.
type Hits interface {
	// Hit opens a range of an object if the version is fresh enough by the path's rule without asking the origin, and every page of the range
	// is resident. name is "mount/path", decoded; it is not kept. etag, where the client sent one in If-Match, is the client's own
	// confirmation (nil: none); the caller still compares it with the object's. nil for whatever cannot be answered so, errors of every
	// kind included: the caller then asks Backend, which tells why.
	Hit(name []byte, r HitRange, etag []byte) Hit
}

// HitRange is a range as origin.ReadRequest has it: Suffix > 0 asks for the last bytes; else Length bytes from Offset, clamped, or
// origin.WholeRange.
type HitRange struct{ Offset, Length, Suffix int64 }

// Hit is a resident range of an object, handed out page by page. It serves one goroutine and is closed once.
type Hit interface {
	// Object is what the range is of. It must not be changed, nor touched after Close.
	Object() *origin.Object
	// Range is what the answer holds: clamped to the object, never empty.
	Range() (offset, length int64)
	// Next returns the next bytes, never none of them: at most one page, valid until the next call of Next or Close, not to be changed. At
	// the end it is io.EOF. Any other error says that the page was evicted meanwhile, or that the disk failed or hangs: what is left
	// is then read through Backend.Open, at the same ETag.
	Next(ctx context.Context) ([]byte, error)
	// Close ends the read and counts it.
	Close()
}
