package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Validate reports a request that no object can satisfy, whatever its size: an empty path, a negative offset or suffix, a length of 0
// or below WholeRange. The error is ErrInvalid.
func (r ReadRequest) Validate() error {
	var why error
	switch {
	case r.Path == "":
		why = errors.New("the path is empty")
	case r.Suffix < 0:
		why = fmt.Errorf("the suffix length %d is negative", r.Suffix)
	case r.Suffix > 0:
		return nil
	case r.Offset < 0:
		why = fmt.Errorf("the offset %d is negative", r.Offset)
	case r.Length == 0 || r.Length < WholeRange:
		why = fmt.Errorf("the length %d is neither positive nor WholeRange", r.Length)
	default:
		return nil
	}
	return NewError(ErrInvalid, "read", r.Path, why)
}

// Resolve clamps the request to an object of size bytes and returns the range that an answer holds: length bytes from off. A range
// that starts at or after the end is ErrInvalidRange with Size set; only an empty object read whole (offset 0 with WholeRange, or
// any suffix) is the empty range without an error. The request must be valid.
func (r ReadRequest) Resolve(size int64) (off, length int64, err error) {
	if r.Suffix > 0 {
		n := min(r.Suffix, size)
		return size - n, n, nil
	}
	if r.Offset >= size && !(size == 0 && r.Offset == 0 && r.Length == WholeRange) {
		e := NewError(ErrInvalidRange, "read", r.Path, fmt.Errorf("offset %d of an object of %d bytes", r.Offset, size))
		e.Size = size
		return 0, 0, e
	}
	n := size - r.Offset
	if r.Length != WholeRange {
		n = min(n, r.Length)
	}
	return r.Offset, n, nil
}

// Forwarder is the optional capability of an origin that speaks S3 itself: it sends a client's request on as it is. Find it with As;
// the wrappers limit and meter pass it through, and answer ErrUnsupported if what they wrap has none.
type Forwarder interface {
	// Forward sends r (its method, query, headers and body, but not its signature, host or path) to the object path of the origin,
	// "" being the bucket itself, signed with the origin's own credentials, and returns the answer as it came, whatever its
	// status. The caller closes the answer's body. It never retries: the body of r can be read only once.
	Forward(ctx context.Context, path string, r *http.Request) (*http.Response, error)
}

// Rooted is the optional capability of an origin to say where within its system of record its paths begin. Find it with As. What is known of
// an origin's objects is kept over a restart only if it has this: a mount of one name may be of another folder then.
type Rooted interface {
	// Root is what stands before every path, "" if paths begin at the top of what ID names.
	Root() string
}

// RetryAfter returns how long the origin asked to be left alone, or 0 if err does not say.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Writer is the optional capability of an origin that does not speak S3 but lets objects be written and removed. Find it with As; the
// wrappers limit and meter pass it through, and answer ErrUnsupported if what they wrap has none.
type Writer interface {
	// Put writes the whole object, in the place of whatever the path named before unless opts forbid that, and returns what was
	// written. size is the body's length in bytes, or -1 if it is not known. The object appears whole or not at all. It never retries:
	// body can be read only once.
	Put(ctx context.Context, path string, body io.Reader, size int64, opts PutOptions) (Object, error)

	// Delete removes the object. A path that names nothing is no error.
	Delete(ctx context.Context, path string) error
}

// PutOptions say on which condition a Put writes. The zero value is none: it writes whatever is there.
type PutOptions struct {
	// IfAbsent writes only if the path names nothing. The store itself decides, in the step in which the object appears, so that of
	// several such Puts at once exactly one writes. An object that is there stays as it is, and the error is ErrVersionChanged: the
	// version that the caller wants to replace, none, is not the present one. The body may then have been read in part or not at all.
	// Who repeats a Put whose answer was lost may find the object that it wrote itself.
	IfAbsent bool
}
