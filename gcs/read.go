package gcs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// Read opens a range by one GET of the XML API, as the bytes are stored: an object with a Content-Encoding of gzip is not unzipped on
// the way. A version is asked for by a condition on the present generation, not by naming the generation: a bucket that keeps versions would then
// answer an old one, and a read that succeeds is taken to confirm that its version is the present one.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	if err := req.Validate(); err != nil {
		return origin.Content{}, err
	}
	handle, err := o.object("read", req.Path)
	if err != nil {
		return origin.Content{}, err
	}
	handle = handle.ReadCompressed(true)
	if g := pinned(req); g > 0 {
		handle = handle.If(storage.Conditions{GenerationMatch: g})
	}
	inner, x := exchanging(ctx, true)
	off, n := span(req)
	r, err := handle.NewRangeReader(inner, off, n) // of a whole object, it compares the CRC32C at its end
	if err != nil {
		return o.refused(ctx, req, x, err)
	}
	c, err := o.content(req, x)
	if err != nil {
		_ = r.Close() // the answer's fault is the error
		return origin.Content{}, err
	}
	c.Body = outbound.Exactly(r, c.Length, func(err error) error { return o.cut(ctx, req.Path, x, err) })
	return c, nil
}

// span is a request's range as the client takes it: a negative offset is a suffix, a negative length reads to the end.
func span(req origin.ReadRequest) (off, length int64) {
	switch {
	case req.Suffix > 0:
		return -req.Suffix, -1
	case req.Length == origin.WholeRange || req.Length-1 > math.MaxInt64-req.Offset:
		return req.Offset, -1
	}
	return req.Offset, req.Length
}

// content checks an answer's own headers against what was asked: which version it is of, and which range it holds.
func (o *Origin) content(req origin.ReadRequest, x *exchange) (origin.Content, error) {
	broken := func(kind error, format string, args ...any) (origin.Content, error) {
		return origin.Content{}, origin.NewError(kind, "read", req.Path, o.named(fmt.Errorf(format, args...)))
	}
	off, n, size := int64(0), x.length, x.length
	if told := x.header.Get("Content-Range"); x.status == http.StatusPartialContent && !(size == 0 && strings.HasSuffix(told, "/0")) { // the emulator's suffix of nothing
		var ok bool
		if off, n, size, ok = outbound.ContentRange(told); !ok {
			return broken(origin.ErrUnavailable, "the answer's Content-Range %q does not say which bytes of how many it holds", told)
		}
		if x.length >= 0 && x.length != n {
			return broken(origin.ErrUnavailable, "the answer announces %d bytes and a range of %d", x.length, n)
		}
	}
	stored := x.header.Get("X-Goog-Stored-Content-Length")
	if stored != "" && stored != strconv.FormatInt(size, 10) {
		return broken(origin.ErrUnsupported, "the server transcoded the object: %d bytes for the %s that are stored", size, stored)
	}
	if size < 0 {
		return broken(origin.ErrUnavailable, "the answer has no Content-Length")
	}
	obj := o.answered(req.Path, x.header, size)
	if err := o.checkVersion(req, obj); err != nil {
		return origin.Content{}, err
	}
	wantOff, wantN, err := req.Resolve(size)
	if err != nil {
		return origin.Content{}, err
	}
	if off != wantOff || n != wantN {
		if x.status == http.StatusOK {
			return broken(origin.ErrUnsupported, "the server ignored the range and answered all %d bytes", size)
		}
		return broken(origin.ErrUnavailable, "asked for %d bytes at %d, the answer holds %d at %d", wantN, wantOff, n, off)
	}
	return origin.Content{Object: obj, Offset: off, Length: n}, nil
}

// checkVersion compares an answer's version with the one asked for, if one was.
func (o *Origin) checkVersion(req origin.ReadRequest, obj origin.Object) error {
	if (req.Version == "" || req.Version == obj.Version) && (req.ETag == "" || req.ETag == obj.ETag) {
		return nil
	}
	asked := string(req.Version)
	if asked == "" {
		asked = req.ETag
	}
	return origin.NewError(origin.ErrVersionChanged, "read", req.Path, o.named(fmt.Errorf("asked for generation/size %s, the answer is %s", asked, obj.Version)))
}

// refused is the answer to a GET that failed. Where a range was refused a Stat has to tell more: of which version, and whether it was a suffix
// of an empty object, which is empty all the same.
func (o *Origin) refused(ctx context.Context, req origin.ReadRequest, x *exchange, err error) (origin.Content, error) {
	failure := o.fail(ctx, "read", req.Path, x, err)
	if failure.Kind != origin.ErrInvalidRange || failure.Size >= 0 && req.Suffix == 0 && req.Version == "" && req.ETag == "" {
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
	} else if n == 0 {
		return origin.Content{Object: obj, Body: http.NoBody}, nil
	}
	return origin.Content{}, origin.NewError(origin.ErrUnavailable, "read", req.Path, o.named(errors.New("the object changed while it was being asked for")))
}

// cut is the error of a body that did not come whole, or that is read after its Close.
func (o *Origin) cut(ctx context.Context, path string, x *exchange, err error) error {
	if errors.Is(err, outbound.ErrClosed) {
		return origin.NewError(origin.ErrInvalid, "read", path, err)
	}
	if why := x.fault(); why != nil {
		err = why
	}
	return o.broke(ctx, "read", path, err)
}
