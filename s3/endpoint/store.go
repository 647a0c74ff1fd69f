package endpoint

import (
	"context"
	"crypto/md5"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/alio-lake/alio/origin"
)

// Store is what stands behind a path, as far as it decides what becomes of a request that the hit path does not answer.
type Store struct {
	S3      bool  // it speaks S3: Backend.Forward sends requests on as they are
	Writer  bool  // it does not, but Stores.Put and Stores.Delete write to it
	Refuses error // why it takes no writes from clients, of kind origin.ErrDenied; nil: it takes them
}

// Stores is what a Backend offers besides, where not every mount speaks S3, or not every one takes writes. Without it all do.
type Stores interface {
	// Store tells what stands behind a path of a mount; "" is the mount as a whole. It asks nobody.
	Store(mount, path string) (Store, error)

	// Put writes an object of size bytes, whole or not at all: it appears only if body gives io.EOF after them. What the cache believed of the
	// path is dropped before and after, also if opts forbid the write (origin.ErrVersionChanged).
	Put(ctx context.Context, mount, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error)

	// Delete removes an object; that there is none is no error. What the cache believed of the path is dropped before and after.
	Delete(ctx context.Context, mount, path string) error
}

func (x *exchange) store() (Store, error) {
	if x.h.stores == nil {
		return Store{S3: true}, nil
	}
	return x.h.stores.Store(x.target.bucket, x.target.key)
}

// refused is an error if the mount takes no writes.
func (x *exchange) refused() error {
	st, err := x.store()
	if err != nil {
		return err
	}
	return st.Refuses
}

// write dispatches requests that change an object.
func (x *exchange) write() error {
	t := &x.target
	single := onlyMarker(t.query)
	switch {
	case x.r.Method == http.MethodPut && single && !isCopy(x.r.Header):
		x.op = opPut
	case x.r.Method == http.MethodDelete && single:
		x.op = opDelete
	}
	st, err := x.store()
	switch {
	case err != nil:
		return err
	case st.Refuses != nil:
		return st.Refuses
	case x.op == opPut && st.S3:
		return x.put()
	case x.op == opPut:
		return x.putThrough()
	case x.op == opDelete && st.S3:
		return x.forward(opDelete)
	case x.op == opDelete:
		return x.deleteThrough()
	}
	return notImplemented(operation(x.r, t))
}

// read serves a GET or HEAD of an object that is not on the allow-list: the origin knows what to answer if it speaks S3. If it does not, what
// means nothing to it may be left aside, and the rest cannot be had.
func (x *exchange) read(op string) error {
	st, err := x.store()
	if err != nil {
		return err
	}
	if st.S3 {
		return x.forward(opForward)
	}
	for _, p := range x.target.query {
		if !paramsAllowHit(query{p}, op) && !(p.name == "versionId" && p.value == "null") { // "null" is the version of what has no versions
			return notS3("The parameter " + clip(p.name, 64))
		}
	}
	if name := unknownHeader(x.r.Header); name != "" {
		return notS3("The header " + clip(name, 64))
	}
	if x.r.Method == http.MethodHead {
		x.op = opHead
		return x.headObject()
	}
	x.op = opGet
	return x.getObject()
}

// readBucket is read for a GET or HEAD of a mount as a whole.
func (x *exchange) readBucket() error {
	st, err := x.store()
	if err != nil {
		return err
	}
	if st.S3 {
		return x.forward(opForward)
	}
	for _, p := range x.target.query {
		if !listParams[p.name] && !isAuthParam(p.name) || p.name == "list-type" && p.value != "2" {
			return notS3("The parameter " + clip(p.name, 64))
		}
	}
	rest := x.r.Header.Clone()
	rest.Del(optionalAttributes)
	if name := unknownHeader(rest); name != "" {
		return notS3("The header " + clip(name, 64))
	}
	if x.r.Method == http.MethodHead {
		return x.headBucket()
	}
	x.op = opList
	return x.list()
}

// notS3 names what an origin that does not speak S3 cannot do.
func notS3(what string) *apiError {
	return &apiError{status: http.StatusNotImplemented, code: "NotImplemented",
		message: what + " means something to S3 that the origin of this mount, which does not speak S3, cannot do. Leave it out."}
}

// unknownHeader names a header of a read that may change the answer in a way that is not known here. Headers of other protocols than S3's do not.
func unknownHeader(h http.Header) string {
	for name := range h {
		switch {
		case hitHeaders[name], hasAnyPrefix(name, hitHeaderPrefixes), name == "X-Amz-Request-Payer":
		case name == "If-Range", strings.HasPrefix(name, "X-Amz-"):
			return name
		}
	}
	return ""
}

// writeHeaders are the x-amz-* headers of a write that are understood here, each with the values that say nothing beyond what happens anyhow; nil:
// any value.
var writeHeaders = map[string][]string{
	"X-Amz-Date": nil, "X-Amz-Content-Sha256": nil, "X-Amz-Security-Token": nil, "X-Amz-User-Agent": nil, "X-Amz-Te": nil, "X-Amz-Request-Payer": nil,
	"X-Amz-Decoded-Content-Length": nil, "X-Amz-Trailer": nil, "X-Amz-Sdk-Checksum-Algorithm": nil,
	"X-Amz-Acl": {"private", "bucket-owner-full-control"}, "X-Amz-Storage-Class": {"STANDARD"},
}

// lostHeaders are what S3 keeps beside an object, or holds a write to, and other origins do not.
var lostHeaders = []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Content-Disposition", "Content-Language", "Cache-Control",
	"Expires"}

// checkWriteHeaders refuses a write that says more than an origin which does not speak S3 can do: to leave it aside would be to lie.
func checkWriteHeaders(h http.Header) error {
	for name, values := range h {
		allowed, known := writeHeaders[name]
		switch {
		case slices.Contains(lostHeaders, name),
			strings.HasPrefix(name, "X-Amz-") && !known && !strings.HasPrefix(name, "X-Amzn-") && sumOf(name) == nil,
			known && allowed != nil && (len(values) != 1 || !slices.Contains(allowed, values[0])),
			name == "Content-Encoding" && !onlyChunked(values):
			return notS3("The header " + clip(name, 64))
		}
	}
	return nil
}

func onlyChunked(values []string) bool {
	for _, line := range values {
		for coding := range strings.SplitSeq(line, ",") {
			if c := strings.TrimSpace(coding); c != "" && !strings.EqualFold(c, "aws-chunked") {
				return false
			}
		}
	}
	return true
}

// sumOf is the checksum that a header carries; nil if it carries none that is known.
func sumOf(header string) *trailerSum {
	if header == "Content-Md5" {
		return &trailerSum{header: "content-md5", hash: md5.New()}
	}
	for _, c := range checksums {
		if strings.EqualFold(header, "X-Amz-Checksum-"+c.name) {
			return &trailerSum{header: strings.ToLower(header), hash: c.make()}
		}
	}
	return nil
}

// putThrough writes a single PutObject to an origin that does not speak S3. What S3 itself would check is checked here: besides the payload's signature and
// trailer (see payload) the checksums in headers.
func (x *exchange) putThrough() error {
	header, opts := x.r.Header, origin.PutOptions{}
	if v := header["If-None-Match"]; len(v) == 1 && v[0] == "*" { // the one condition of S3 that origins can hold a write to
		x.condition, opts.IfAbsent = "If-None-Match", true
		header = header.Clone()
		header.Del("If-None-Match")
	}
	if err := checkWriteHeaders(header); err != nil {
		return err
	}
	p, err := x.payload(x.outgoing())
	if err != nil {
		return err
	}
	sums := &summedBody{body: p.body}
	for name, values := range x.r.Header {
		if s := sumOf(name); s != nil && len(values) > 0 {
			s.got = values[0]
			sums.sums.sums = append(sums.sums.sums, *s)
		}
	}
	p.body = sums
	if p.size == 0 { // no last byte to hold back: check now
		if err := drain(p.body); err != nil {
			return err
		}
	}
	obj, err := x.h.stores.Put(x.r.Context(), x.target.bucket, x.target.key, p, p.size, opts)
	if bad := p.failed(); bad != nil { // the cause, where err is only that the body could not be read
		return bad
	}
	if err != nil {
		return err
	}
	if obj.ETag != "" {
		x.w.Header()["Etag"] = []string{obj.ETag}
	}
	x.reply(http.StatusOK, "application/xml", nil)
	return nil
}

// deleteThrough removes an object from an origin that does not speak S3.
func (x *exchange) deleteThrough() error {
	if err := checkWriteHeaders(x.r.Header); err != nil {
		return err
	}
	if err := x.h.stores.Delete(x.r.Context(), x.target.bucket, x.target.key); err != nil {
		return err
	}
	x.w.Header()["X-Amz-Request-Id"] = []string{x.id}
	x.code = codeOf(http.StatusNoContent)
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// summedBody fails at its end unless the bytes have the checksums that the request's headers say.
type summedBody struct {
	body io.Reader
	sums trailerSums
}

func (s *summedBody) Read(b []byte) (int, error) {
	n, err := s.body.Read(b)
	s.sums.write(b[:n])
	if err == io.EOF {
		if bad := s.sums.check(); bad != nil {
			err = bad
		}
	}
	return n, err
}
