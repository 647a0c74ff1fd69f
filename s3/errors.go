package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// codeKinds are the kinds of S3's error codes that their status alone does not tell.
var codeKinds = map[string]error{
	"NoSuchKey": origin.ErrNotFound, "NoSuchBucket": origin.ErrNotFound, "NotFound": origin.ErrNotFound, "NoSuchVersion": origin.ErrNotFound,
	"AccessDenied": origin.ErrDenied, "InvalidAccessKeyId": origin.ErrDenied, "SignatureDoesNotMatch": origin.ErrDenied, "ExpiredToken": origin.ErrDenied,
	"InvalidToken": origin.ErrDenied, "TokenRefreshRequired": origin.ErrDenied, "RequestTimeTooSkewed": origin.ErrDenied,
	"XAdminUserNotFound": origin.ErrDenied, // versitygw's 404 for an unknown access key
	"SlowDown":           origin.ErrThrottled, "Throttling": origin.ErrThrottled, "ThrottlingException": origin.ErrThrottled, "RequestLimitExceeded": origin.ErrThrottled,
	"RequestTimeout": origin.ErrUnavailable, "InternalError": origin.ErrUnavailable, "OperationAborted": origin.ErrUnavailable,
	"NotImplemented": origin.ErrUnsupported, "MethodNotAllowed": origin.ErrUnsupported,
}

// kindOf is the kind that a status and an error code stand for.
func kindOf(status int, code string) error {
	if k := codeKinds[code]; k != nil {
		return k
	}
	switch {
	case status == http.StatusNotFound:
		return origin.ErrNotFound
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return origin.ErrDenied
	case status == http.StatusPreconditionFailed:
		return origin.ErrVersionChanged
	case status == http.StatusRequestedRangeNotSatisfiable:
		return origin.ErrInvalidRange
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return origin.ErrThrottled
	case status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed:
		return origin.ErrUnsupported
	case status == http.StatusRequestTimeout || status >= 500 || status < 300: // below 300: the answer could not be read
		return origin.ErrUnavailable
	}
	return origin.ErrInvalid
}

// named adds the bucket to an error.
func (o *Origin) named(err error) error {
	return fmt.Errorf("bucket %q at %s: %w", o.opts.Bucket, o.server, err)
}

// broke is the error of a request that got no answer, or not all of one.
func (o *Origin) broke(ctx context.Context, op, path string, err error) *origin.Error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return origin.NewError(origin.ErrUnavailable, op, path, o.named(err))
}

// fail is the error of an operation of the SDK, without the SDK's layers around it.
func (o *Origin) fail(ctx context.Context, op, path string, err error) *origin.Error {
	var inner *smithy.OperationError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) || resp.Response == nil || resp.Response.Response == nil || ctx.Err() != nil {
		var send *smithyhttp.RequestSendError
		if errors.As(err, &send) {
			err = send.Err
		}
		return o.broke(ctx, op, path, err)
	}
	status, h := resp.HTTPStatusCode(), resp.Response.Header
	if status < 300 {
		return o.broke(ctx, op, path, fmt.Errorf("an answer that cannot be read: %w", resp.Err))
	}
	code, message := "", ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	return o.answered(op, path, status, h, code, message)
}

// answered is the error of an answer with a status, a code and a message.
func (o *Origin) answered(op, path string, status int, h http.Header, code, message string) *origin.Error {
	e := origin.NewError(kindOf(status, code), op, path, nil)
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP %d", status)
	for _, s := range []string{code, message} {
		if s != "" {
			text.WriteString(" " + s)
		}
	}
	if id := h.Get("X-Amz-Request-Id"); id != "" {
		fmt.Fprintf(&text, " (request %s)", id)
	}
	if region := h.Get("X-Amz-Bucket-Region"); region != "" && region != o.region {
		fmt.Fprintf(&text, "; the bucket is in the region %s, this mount's region is %s", region, o.region)
	} else if e.Kind == origin.ErrDenied {
		text.WriteString("; check the mount's credentials and the bucket's policy")
	}
	e.Cause = o.named(errors.New(text.String()))
	if !origin.Permanent(e) {
		e.RetryAfter = outbound.RetryAfter(h.Get("Retry-After"), time.Now())
	}
	if e.Kind == origin.ErrInvalidRange {
		e.Size = outbound.UnsatisfiedSize(h.Get("Content-Range"))
	}
	return e
}
