package s3

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// Read opens a range by one GET; only a suffix of an empty object, which S3 refuses, costs a HEAD more.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	if err := req.Validate(); err != nil {
		return origin.Content{}, err
	}
	key, err := o.key("read", req.Path)
	if err != nil {
		return origin.Content{}, err
	}
	in := &s3.GetObjectInput{Bucket: aws.String(o.opts.Bucket), Key: aws.String(key), Range: rangeHeader(req)}
	if etag := condition(req); etag != "" {
		in.IfMatch = aws.String(etag)
	}
	bodyCtx, cancel := context.WithCancel(ctx)
	out, err := o.client.GetObject(bodyCtx, in)
	if err != nil {
		cancel()
		return o.refused(ctx, req, err)
	}
	w := outbound.Watch(out.Body, o.opts.StallTimeout, cancel)
	raw, err := rawResponse(out.ResultMetadata)
	if err != nil {
		return origin.Content{}, errors.Join(origin.NewError(origin.ErrUnavailable, "read", req.Path, o.named(err)), w.Close())
	}
	c, err := o.content(req, raw)
	if err != nil {
		_ = w.Close() // the answer's fault is the error
		return origin.Content{}, err
	}
	c.Body = outbound.Exactly(w, c.Length, func(err error) error { return o.cut(ctx, req.Path, err) })
	return c, nil
}

// condition is the ETag to send in If-Match, "" for none.
func condition(req origin.ReadRequest) string {
	if canonical(req.ETag) != "" {
		return req.ETag
	}
	etag, _, _ := split(req.Version)
	return etag
}

// rangeHeader is nil for a whole object, so that an empty one is no range error.
func rangeHeader(req origin.ReadRequest) *string {
	var s string
	switch {
	case req.Suffix > 0:
		s = fmt.Sprintf("bytes=-%d", req.Suffix)
	case req.Offset == 0 && req.Length == origin.WholeRange:
		return nil
	case req.Length == origin.WholeRange || req.Length-1 > math.MaxInt64-req.Offset:
		s = fmt.Sprintf("bytes=%d-", req.Offset)
	default:
		s = fmt.Sprintf("bytes=%d-%d", req.Offset, req.Offset+req.Length-1)
	}
	return &s
}

// content checks an answer against what was asked: which version it is of, and which range it holds.
func (o *Origin) content(req origin.ReadRequest, raw *http.Response) (origin.Content, error) {
	broken := func(format string, args ...any) error {
		return origin.NewError(origin.ErrUnavailable, "read", req.Path, o.named(fmt.Errorf(format, args...)))
	}
	off, n, size := int64(0), raw.ContentLength, raw.ContentLength
	if raw.StatusCode == http.StatusPartialContent {
		var ok bool
		if off, n, size, ok = outbound.ContentRange(raw.Header.Get("Content-Range")); !ok {
			return origin.Content{}, broken("the answer's Content-Range %q does not say which bytes of how many it holds", raw.Header.Get("Content-Range"))
		}
		if raw.ContentLength >= 0 && raw.ContentLength != n {
			return origin.Content{}, broken("the answer announces %d bytes and a range of %d", raw.ContentLength, n)
		}
	}
	if size < 0 {
		return origin.Content{}, broken("the answer has no Content-Length")
	}
	obj := o.object(req.Path, raw.Header, size)
	if err := o.checkVersion(req, obj); err != nil {
		return origin.Content{}, err
	}
	wantOff, wantN, err := req.Resolve(size)
	if err != nil {
		return origin.Content{}, err
	}
	if off != wantOff || n != wantN {
		if raw.StatusCode == http.StatusOK {
			return origin.Content{}, origin.NewError(origin.ErrUnsupported, "read", req.Path,
				o.named(fmt.Errorf("the server ignored the range %s and answered all %d bytes", *rangeHeader(req), size)))
		}
		return origin.Content{}, broken("asked for %d bytes at %d, the answer holds %d at %d", wantN, wantOff, n, off)
	}
	return origin.Content{Object: obj, Offset: off, Length: n}, nil
}

// checkVersion compares an answer's version with the one asked for, if one was.
func (o *Origin) checkVersion(req origin.ReadRequest, obj origin.Object) error {
	if (req.Version == "" || req.Version == obj.Version) && (req.ETag == "" || canonical(req.ETag) == canonical(obj.ETag)) {
		return nil
	}
	asked := string(req.Version)
	if asked == "" {
		asked = req.ETag
	}
	return origin.NewError(origin.ErrVersionChanged, "read", req.Path, o.named(fmt.Errorf("asked for %s, the answer is %s of %d bytes", asked, obj.ETag, obj.Size)))
}

// refused is the answer to a GET that failed. S3 refuses any range of an empty object; a suffix of one is empty all the same.
func (o *Origin) refused(ctx context.Context, req origin.ReadRequest, err error) (origin.Content, error) {
	failure := o.fail(ctx, "read", req.Path, err)
	if failure.Kind != origin.ErrInvalidRange {
		return origin.Content{}, failure
	}
	if _, size, ok := split(req.Version); ok && failure.Size >= 0 && failure.Size != size {
		return origin.Content{}, origin.NewError(origin.ErrVersionChanged, "read", req.Path, o.named(fmt.Errorf("asked for %s, the object now has %d bytes", req.Version, failure.Size)))
	}
	if failure.Size >= 0 && req.Suffix == 0 {
		return origin.Content{}, failure
	}
	obj, err := o.Stat(ctx, req.Path)
	if err != nil {
		return origin.Content{}, err
	}
	if err := o.checkVersion(req, obj); err != nil {
		return origin.Content{}, err
	}
	if _, n, err := req.Resolve(obj.Size); err != nil {
		return origin.Content{}, err
	} else if n > 0 {
		return origin.Content{}, origin.NewError(origin.ErrUnavailable, "read", req.Path, o.named(errors.New("the object changed while it was being asked for")))
	}
	return origin.Content{Object: obj, Body: http.NoBody}, nil
}

// cut is the error of a body that did not come whole, or that is read after its Close.
func (o *Origin) cut(ctx context.Context, path string, err error) error {
	if errors.Is(err, outbound.ErrClosed) {
		return origin.NewError(origin.ErrInvalid, "read", path, err)
	}
	return o.broke(ctx, "read", path, err)
}
