package endpoint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/alio-lake/alio/origin"
)

// apiError is an answer that is not a success, in S3's terms.
type apiError struct {
	status  int
	code    string
	message string
	extra   []string          // names and values of further elements of the XML, in turn
	header  map[string]string // further response headers, by canonical name
	reason  string            // of a rejected signature, for the metric
	cause   error
}

func (e *apiError) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.message + ": " + e.cause.Error()
	}
	return e.code + ": " + e.message
}

func (e *apiError) Unwrap() error { return e.cause }

// rejected makes the error of a signature that does not hold.
func rejected(reason string, status int, code, message string, extra ...string) *apiError {
	return &apiError{status: status, code: code, message: message, extra: extra, reason: reason}
}

func invalidArgument(name, value, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "InvalidArgument", message: message,
		extra: []string{"ArgumentName", name, "ArgumentValue", clip(value, 256)}}
}

// notImplemented names the operation and the way out.
func notImplemented(op string) *apiError {
	return &apiError{status: http.StatusNotImplemented, code: "NotImplemented",
		message: op + " is not available through this endpoint, which passes single PutObject and DeleteObject requests to the origin and " +
			"nothing else that changes data. Send it straight to the origin's own endpoint.",
		extra: []string{"Operation", op}}
}

// toAPIError maps any error to its answer. The kinds of package origin are mapped here and nowhere else. condition is the
// header in which the client named the version it wants (If-Match), or that it wants none (If-None-Match of a PUT); "" if it did not.
func toAPIError(err error, mount, condition string) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		return api
	}
	e := &apiError{cause: err, message: clip(err.Error(), 1024)}
	var oe *origin.Error
	var retryAfter time.Duration
	if errors.As(err, &oe) {
		retryAfter = oe.RetryAfter
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		e.unavailable("ServiceUnavailable", retryAfter)
		return e
	}
	switch kind := origin.Kind(err); kind {
	case origin.ErrNotFound:
		e.notFound(oe)
	case origin.ErrUnknownMount:
		return noSuchBucket(mount, nil)
	case origin.ErrDenied:
		e.status, e.code = http.StatusForbidden, "AccessDenied"
	case origin.ErrVersionChanged:
		e.changed(condition)
	case origin.ErrThrottled:
		e.unavailable("SlowDown", max(retryAfter, time.Second))
	case origin.ErrInvalidRange:
		size := int64(-1)
		if oe != nil {
			size = oe.Size
		}
		return invalidRange("", size)
	case origin.ErrInvalid:
		e.status, e.code = http.StatusBadRequest, "InvalidRequest"
	case origin.ErrUnsupported:
		e.status, e.code = http.StatusNotImplemented, "NotImplemented"
	default:
		e.unavailable("ServiceUnavailable", retryAfter)
	}
	return e
}

// notFound is a 404. An origin that cannot list has no bucket or folder of the mount's name; of an object, what the origin says beside "no" is told.
func (e *apiError) notFound(oe *origin.Error) {
	e.status, e.code, e.message = http.StatusNotFound, "NoSuchKey", "The specified key does not exist."
	switch {
	case oe != nil && oe.Op == "list":
		e.code, e.message = "NoSuchBucket", "What this mount stands for does not exist: "+clip(e.cause.Error(), 1024)
	case oe != nil && oe.Cause != nil:
		e.message += " The origin says: " + clip(oe.Cause.Error(), 512)
	}
}

// changed answers an object that changed while it was read, or that is there where none may be. A client that named the version in its
// condition has its answer: 412, that version is not there. Any other asked for whatever is current, which exists: it must not see a
// precondition fail that it never made, so it is told to come again, which every S3 client does by itself.
func (e *apiError) changed(condition string) {
	if condition != "" {
		e.status, e.code, e.message = http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"
		e.extra = []string{"Condition", condition}
		return
	}
	e.unavailable("ServiceUnavailable", 0)
}

// unavailable is a 503, which S3 clients repeat.
func (e *apiError) unavailable(code string, retryAfter time.Duration) {
	e.status, e.code = http.StatusServiceUnavailable, code
	if retryAfter > 0 {
		e.header = map[string]string{"Retry-After": strconv.Itoa(int(math.Ceil(min(retryAfter, time.Hour).Seconds())))}
	}
}

// noSuchBucket names the mount and says how to get it. known are the mounts that the client may see.
func noSuchBucket(mount string, known []string) *apiError {
	message := fmt.Sprintf("There is no mount named %q at this endpoint", clip(mount, 128))
	if len(known) > 0 {
		message += " (there are: " + clip(strings.Join(known, ", "), 512) + ")"
	}
	message += fmt.Sprintf(". Add it with: alio sidecar --mount %s=s3://<bucket>", clip(mount, 128))
	return &apiError{status: http.StatusNotFound, code: "NoSuchBucket", message: message, extra: []string{"BucketName", clip(mount, 128)},
		cause: origin.ErrUnknownMount}
}

// invalidRange is a 416; size is the object's, or -1 where it is not known.
func invalidRange(requested string, size int64) *apiError {
	e := &apiError{status: http.StatusRequestedRangeNotSatisfiable, code: "InvalidRange", message: "The requested range is not satisfiable"}
	if requested != "" {
		e.extra = append(e.extra, "RangeRequested", clip(requested, 256))
	}
	if size >= 0 {
		n := strconv.FormatInt(size, 10)
		e.extra = append(e.extra, "ActualObjectSize", n)
		e.header = map[string]string{"Content-Range": "bytes */" + n}
	}
	return e
}

// clip bounds what is echoed.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
