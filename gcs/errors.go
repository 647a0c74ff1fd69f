package gcs

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

var errCustomerKey = errors.New("the object is encrypted with a key that its owner keeps, which Alio is not given: " +
	"read it without Alio, or store it with a key of Cloud KMS")

// codeKinds are the kinds of the codes (XML) and reasons (JSON) that their status alone does not tell.
var codeKinds = map[string]error{
	"rateLimitExceeded": origin.ErrThrottled, "userRateLimitExceeded": origin.ErrThrottled, "SlowDown": origin.ErrThrottled,
	"ResourceIsEncryptedWithCustomerEncryptionKey": origin.ErrUnsupported, "resourceIsEncryptedWithCustomerEncryptionKey": origin.ErrUnsupported,
	"CustomerEncryptionKeyFormatIsInvalid": origin.ErrUnsupported, "RequestTimeout": origin.ErrUnavailable,
}

// kindOf is the kind that a status and a code stand for.
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
	case status == http.StatusRequestTimeout || status >= 500:
		return origin.ErrUnavailable
	}
	return origin.ErrInvalid
}

// named adds the bucket to an error.
func (o *Origin) named(err error) error {
	return fmt.Errorf("bucket %q at %s: %w", o.opts.Bucket, o.opts.Endpoint, err)
}

// broke is the error of a request that got no answer, or not all of one.
func (o *Origin) broke(ctx context.Context, op, path string, err error) *origin.Error {
	kind := origin.ErrUnavailable
	var lost *credentialsError
	if errors.As(err, &lost) && lost.final {
		kind = origin.ErrDenied
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		kind, err = origin.ErrUnavailable, fmt.Errorf("%w: %w", ended, err)
	}
	return origin.NewError(kind, op, path, o.named(err))
}

// fail is the error of a call of the client, told by what went over the wire.
func (o *Origin) fail(ctx context.Context, op, path string, x *exchange, err error) *origin.Error {
	var sending *url.Error
	if errors.As(err, &sending) {
		err = sending.Err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.broke != nil:
		return o.broke(ctx, op, path, x.broke)
	case ctx.Err() != nil || x.status == 0:
		return o.broke(ctx, op, path, err)
	case x.status < 300:
		return o.broke(ctx, op, path, fmt.Errorf("an answer that cannot be read: %w", err))
	}
	return o.refusal(op, path, x)
}

// refusal is the error of an answer that says no.
func (o *Origin) refusal(op, path string, x *exchange) *origin.Error {
	code, message := explain(x.detail)
	e := origin.NewError(kindOf(x.status, code), op, path, nil)
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP %d", x.status)
	for _, s := range []string{code, message} {
		if s != "" {
			text.WriteString(" " + s)
		}
	}
	text.WriteString(o.remedy(e.Kind, op, x.status, code+" "+message))
	e.Cause = o.named(errors.New(text.String()))
	if e.Kind == origin.ErrUnsupported && strings.Contains(code, "CustomerEncryptionKey") {
		e.Cause = o.named(errCustomerKey)
	}
	if !origin.Permanent(e) {
		e.RetryAfter = outbound.RetryAfter(x.header.Get("Retry-After"), time.Now())
	}
	if e.Kind == origin.ErrInvalidRange {
		e.Size = outbound.UnsatisfiedSize(x.header.Get("Content-Range"))
	}
	return e
}

// remedy is what to do about a refusal, or "".
func (o *Origin) remedy(kind error, op string, status int, said string) string {
	said = strings.ToLower(said)
	switch {
	case op == "put" && kind == origin.ErrVersionChanged:
		return "; an object of that name is there already, and it was to be written only if none is"
	case noBucket(op, kind, said):
		return "; the bucket does not exist: check the name in the mount"
	case strings.Contains(said, "requester pays") || strings.Contains(said, "userprojectmissing"):
		return "; whoever asks pays for this bucket: name the project that pays in the mount (user_project)"
	case kind == origin.ErrDenied && o.opts.Anonymous:
		return "; the mount is anonymous and the bucket is not public: give the mount credentials"
	case status == http.StatusUnauthorized:
		return "; the token is wrong or has expired: renew the mount's credentials (its credentials file, or gcloud auth application-default login)"
	case kind == origin.ErrDenied:
		return "; the mount's account needs roles/storage.objectViewer on the bucket, and objectUser to write through it"
	}
	return ""
}

// noBucket reports whether a refusal says that there is no such bucket. A listing can miss nothing else.
func noBucket(op string, kind error, said string) bool {
	return kind == origin.ErrNotFound && (op == "list" || strings.Contains(said, "nosuchbucket") || strings.Contains(said, "bucket does not exist"))
}

// explain reads the code and the message out of the body of a failure, which is XML or JSON; "" where it is neither.
func explain(detail []byte) (code, message string) {
	var x struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
		Details string   `xml:"Details"`
	}
	if xml.Unmarshal(detail, &x) == nil {
		return x.Code, strings.TrimSpace(x.Message + " " + x.Details)
	}
	var j struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(detail, &j) != nil {
		return "", ""
	}
	if len(j.Error.Errors) > 0 {
		code = j.Error.Errors[0].Reason
	}
	return code, j.Error.Message
}
