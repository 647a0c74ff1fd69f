package endpoint

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/alio-lake/alio/origin"
)

// getObject serves a GET from the backend.
func (x *exchange) getObject() error {
	t := &x.target
	rng, cond := parseRange(x.r.Header), parseConditions(x.r.Header)
	if rng.set && rng.suffix == 0 { // nothing to open
		return x.headObject()
	}
	if cond.match != "" && cond.match != "*" {
		x.condition = "If-Match"
	}
	var seen origin.Object
	known := false
	req := rng.request(t.key)
	req.ETag = cond.etag()
	c, err := x.h.backend.Open(x.r.Context(), t.bucket, req, func(o *origin.Object) error {
		seen, known = *o, true
		return cond.check(o)
	})
	if err != nil {
		return x.openFailed(err, &seen, known, &rng)
	}
	defer c.Body.Close()
	if !cond.empty() { // the object may have changed since check saw it
		if err := cond.check(&c.Object); err != nil {
			return x.openFailed(err, &c.Object, true, &rng)
		}
	}
	offset, length, ok := rng.resolve(c.Object.Size)
	if !ok {
		return invalidRange(rng.raw, c.Object.Size)
	}
	if c.Offset != offset || c.Length != length {
		return &apiError{status: http.StatusInternalServerError, code: "InternalError", message: "The backend opened another range than asked.",
			cause: fmt.Errorf("asked for %d bytes at %d of %d, got %d at %d", length, offset, c.Object.Size, c.Length, c.Offset)}
	}
	x.objectHeaders(&c.Object, rng.set, offset, length)
	x.start(rng.set)
	x.sendBody(c.Body, length)
	return nil
}

// openFailed tells what became of an Open that returned an error. obj is the object if known says that one was seen.
func (x *exchange) openFailed(err error, obj *origin.Object, known bool, rng *byteRange) error {
	var api *apiError
	var oe *origin.Error
	switch {
	case errors.As(err, &api) && api == errNotModified:
		x.notModified(obj)
		return nil
	case !errors.Is(err, origin.ErrInvalidRange):
		return err
	}
	size := int64(-1)
	if errors.As(err, &oe) {
		size = oe.Size
	}
	if known && size < 0 {
		size = obj.Size
	}
	if !rng.set && size == 0 { // the whole of an empty object
		return x.headObject()
	}
	return invalidRange(rng.raw, size)
}

// headObject serves a HEAD, and a GET that has no body to send.
func (x *exchange) headObject() error {
	t := &x.target
	rng, cond := parseRange(x.r.Header), parseConditions(x.r.Header)
	if cond.match != "" && cond.match != "*" {
		x.condition = "If-Match"
	}
	obj, err := x.h.backend.Stat(x.r.Context(), t.bucket, t.key)
	if err != nil {
		return err
	}
	if err := cond.check(&obj); err != nil {
		return x.openFailed(err, &obj, true, &rng)
	}
	offset, length, ok := rng.resolve(obj.Size)
	if !ok {
		return invalidRange(rng.raw, obj.Size)
	}
	if x.r.Method == http.MethodGet && length != 0 {
		// An empty object that was written to between Open and Stat.
		return origin.NewError(origin.ErrVersionChanged, "read", t.key, nil)
	}
	x.objectHeaders(&obj, rng.set, offset, length)
	x.start(rng.set)
	return nil
}

// start sends the headers.
func (x *exchange) start(partial bool) {
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
	}
	x.code = codeOf(status)
	x.w.WriteHeader(status)
}

// notModified answers 304 with the validators.
func (x *exchange) notModified(obj *origin.Object) {
	h := x.w.Header()
	h["X-Amz-Request-Id"] = []string{x.id}
	if obj.ETag != "" {
		h["Etag"] = []string{obj.ETag}
	}
	if !obj.ModTime.IsZero() {
		h["Last-Modified"] = []string{obj.ModTime.UTC().Format(http.TimeFormat)}
	}
	x.code = codeOf(http.StatusNotModified)
	x.w.WriteHeader(http.StatusNotModified)
}

// defaultType is S3's default Content-Type; without one net/http would guess.
const defaultType = "binary/octet-stream"

// ownHeaders are never taken from an object's attributes: they describe this answer, not the object.
var ownHeaders = map[string]bool{
	"Accept-Ranges": true, "Connection": true, "Content-Length": true, "Content-Range": true, "Date": true, "Etag": true, "Keep-Alive": true,
	"Last-Modified": true, "Server": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "X-Amz-Id-2": true,
	"X-Amz-Request-Id": true, "X-Amz-Transfer-Encoding": true,
}

// objectHeaders writes what describes the object. Checksums are of the whole object, so only a whole answer may carry them, and only
// if the client asked.
func (x *exchange) objectHeaders(o *origin.Object, partial bool, offset, length int64) {
	h := x.w.Header()
	values := make([]string, 0, 8) // one allocation for the headers below
	set := func(name, value string) {
		values = append(values, value)
		n := len(values)
		h[name] = values[n-1 : n : n]
	}
	sums := !partial && x.wantsChecksums()
	for name, value := range o.Attributes {
		if tellsAttribute(name, sums) {
			h[name] = []string{value}
		}
	}
	if h["Content-Type"] == nil {
		set("Content-Type", defaultType)
	}
	set("Accept-Ranges", "bytes")
	set("X-Amz-Request-Id", x.id)
	if o.ETag != "" {
		set("Etag", o.ETag)
	}
	if !o.ModTime.IsZero() {
		set("Last-Modified", o.ModTime.UTC().Format(http.TimeFormat))
	}
	set("Content-Length", strconv.FormatInt(length, 10))
	if partial {
		set("Content-Range", string(appendContentRange(make([]byte, 0, 64), offset, length, o.Size)))
	}
}

func appendContentRange(b []byte, offset, length, size int64) []byte {
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, offset, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, offset+length-1, 10)
	b = append(b, '/')
	return strconv.AppendInt(b, size, 10)
}

// tellsAttribute reports whether an attribute of the object goes into the answer; checksums says whether the checksums do.
func tellsAttribute(name string, checksums bool) bool {
	return !ownHeaders[name] && (checksums || !strings.HasPrefix(name, "X-Amz-Checksum-"))
}

func (x *exchange) wantsChecksums() bool {
	if x.r.Header[checksumMode] != nil {
		return true
	}
	v, _ := x.target.query.get(checksumMode)
	return v == "ENABLED"
}

// copyBuffers hold 128 KiB each: two stripes of the 64 KiB that pages are checked in.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// sendBody streams exactly length bytes, or cuts the connection. (net/http refuses more bytes than Content-Length announced, so a
// body that writes itself cannot send too many.)
func (x *exchange) sendBody(body io.Reader, length int64) {
	var n int64
	var err error
	if wt, ok := body.(io.WriterTo); ok {
		n, err = wt.WriteTo(x.w)
	} else {
		bp := copyBuffers.Get().(*[]byte)
		// Only Read and Write, so that the pooled buffer is what is used.
		n, err = io.CopyBuffer(struct{ io.Writer }{x.w}, struct{ io.Reader }{io.LimitReader(body, length)}, *bp)
		copyBuffers.Put(bp)
	}
	x.h.metrics.sent.Add(float64(n))
	if err == nil && n != length {
		err = fmt.Errorf("body ended after %d of %d bytes: %w", n, length, io.ErrUnexpectedEOF)
	}
	if err != nil {
		x.abort(err)
	}
}
