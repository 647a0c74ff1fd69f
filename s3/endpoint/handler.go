package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alio-lake/alio/origin"
)

// exchange is one request and its answer.
type exchange struct {
	h         *Handler
	w         http.ResponseWriter
	r         *http.Request
	id        string
	target    target
	identity  identity
	op        op
	code      int    // index into codeNames, once known
	condition string // the header in which the client named the version it wants, or wants none of; ""
}

// ServeHTTP answers one S3 request. A body that cannot be finished ends in panic(http.ErrAbortHandler), which makes net/http cut the
// connection: a client must never take a short body for a whole one.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{h: h, w: w, r: r, id: h.ids.next(), code: codeAborted}
	start := time.Now()
	h.metrics.inFlight.Inc()
	defer func() {
		h.metrics.inFlight.Dec()
		h.metrics.requests[x.op][x.code].Inc()
		h.metrics.seconds[x.op].Observe(time.Since(start).Seconds())
	}()
	if err := x.serve(start); err != nil {
		x.fail(err)
	}
}

// serve checks the request and dispatches it. An error means that nothing was answered yet.
func (x *exchange) serve(now time.Time) error {
	var err error
	if x.target, err = parseTarget(x.r, x.h.domain); err != nil {
		return err
	}
	if x.identity, err = x.h.auth.Load().check(x.r, &x.target, now); err != nil {
		return err
	}
	t := &x.target
	if t.bucket != "" && !x.identity.grants.mount(t.bucket) {
		return x.denied()
	}
	switch {
	case t.bucket == "":
		return x.service()
	case t.key == "":
		return x.bucket()
	case !x.identity.grants.key(t.bucket, t.key):
		return x.denied()
	}
	return x.object()
}

// service answers requests that name no bucket.
func (x *exchange) service() error {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead || !onlyMarker(x.target.query) {
		return notImplemented(operation(x.r, &x.target))
	}
	return x.listBuckets()
}

// bucket dispatches requests on a mount as a whole.
func (x *exchange) bucket() error {
	t := &x.target
	switch x.r.Method {
	case http.MethodHead:
		x.op = opHead
		if onlyMarker(t.query) && headersAllowHit(x.r.Header) {
			return x.headBucket()
		}
	case http.MethodGet:
		if onlyMarker(t.query.without("location")) && t.query.has("location") {
			return x.location()
		}
		if bucketAllowsHit(x.r, t.query) {
			x.op = opList
			return x.list()
		}
	case http.MethodPut, http.MethodPost, http.MethodDelete:
		if err := x.refused(); err != nil && !errors.Is(err, origin.ErrUnknownMount) {
			return err
		}
		return notImplemented(operation(x.r, t))
	default:
		return x.methodNotAllowed()
	}
	if t.query.has("session") {
		// CreateSession would hand the origin's credentials, made with the sidecar's own, to the client.
		return notImplemented("CreateSession")
	}
	if !x.identity.grants.whole(t.bucket) {
		return x.denied()
	}
	return x.readBucket()
}

// object dispatches requests on one object.
func (x *exchange) object() error {
	t := &x.target
	switch x.r.Method {
	case http.MethodGet:
		if objectAllowsHit(x.r, t.query, "GetObject") {
			x.op = opGet
			return x.getObject()
		}
		return x.read("GetObject")
	case http.MethodHead:
		if objectAllowsHit(x.r, t.query, "HeadObject") {
			x.op = opHead
			return x.headObject()
		}
		return x.read("HeadObject")
	case http.MethodPut, http.MethodPost, http.MethodDelete:
		return x.write()
	}
	return x.methodNotAllowed()
}

func (x *exchange) methodNotAllowed() error {
	return &apiError{status: http.StatusMethodNotAllowed, code: "MethodNotAllowed",
		message: "The method " + clip(x.r.Method, 32) + " is not allowed against this resource.",
		header:  map[string]string{"Allow": "GET, HEAD, PUT, DELETE"}}
}

// denied says what the key opens in that mount, if anything.
func (x *exchange) denied() error {
	message := fmt.Sprintf("This access key does not open %q", clip(x.target.bucket, 128))
	if open := x.identity.grants.folders(x.target.bucket); open != "" {
		message = fmt.Sprintf("This access key opens only %s of that mount: name a key or a list prefix below it", clip(open, 512))
	}
	return &apiError{status: http.StatusForbidden, code: "AccessDenied", cause: origin.ErrDenied,
		message: message + ". The mounts of a key are set in the sidecar's configuration."}
}

// visible returns the mounts that the client may see.
func (x *exchange) visible() []string {
	var names []string
	for _, m := range x.h.backend.Mounts() {
		if x.identity.grants != nil && x.identity.grants.mount(m) {
			names = append(names, m)
		}
	}
	return names
}

// requireMount fails if there is no such mount.
func (x *exchange) requireMount() error {
	if !slices.Contains(x.h.backend.Mounts(), x.target.bucket) {
		return noSuchBucket(x.target.bucket, x.visible())
	}
	return nil
}

// fail answers an error as S3 does: XML, but nothing in the answer to a HEAD.
func (x *exchange) fail(err error) {
	if x.clientGone(err) {
		x.code = codeClientGone
		panic(http.ErrAbortHandler) // nobody listens; whatever were written could only be taken for an answer
	}
	e := toAPIError(err, x.target.bucket, x.condition)
	if errors.Is(e, origin.ErrUnknownMount) {
		e = noSuchBucket(x.target.bucket, x.visible())
	}
	if e.reason != "" {
		x.h.metrics.reject(e.reason)
		x.h.log.Info().Str("reason", e.reason).Str("code", e.code).Str("remote", x.r.RemoteAddr).Msg("signature rejected")
	}
	if e.status == http.StatusInternalServerError {
		x.h.log.Warn().Err(err).Str("mount", x.target.bucket).Str("key", x.target.key).Msg("request failed inside the endpoint")
	}
	h := x.w.Header()
	for name, value := range e.header {
		h[name] = []string{value}
	}
	if x.r.Method == http.MethodHead {
		x.reply(e.status, "application/xml", nil)
		return
	}
	var out xmlWriter
	out.b = append(out.b, xmlHeader...)
	out.open("Error", "")
	out.text("Code", e.code)
	out.text("Message", e.message)
	out.text("Resource", clip(x.target.rawPath, 4096))
	out.text("RequestId", x.id)
	for i := 0; i+1 < len(e.extra); i += 2 {
		out.text(e.extra[i], e.extra[i+1])
	}
	out.close("Error")
	x.reply(e.status, "application/xml", out.b)
}

// reply writes a whole answer. nil body: the answer to a HEAD, or an empty one.
func (x *exchange) reply(status int, contentType string, body []byte) {
	h := x.w.Header()
	h["X-Amz-Request-Id"] = []string{x.id}
	h["Content-Type"] = []string{contentType}
	if body != nil || x.r.Method != http.MethodHead {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	x.code = codeOf(status)
	x.w.WriteHeader(status)
	if _, err := x.w.Write(body); err != nil && x.r.Method != http.MethodHead {
		x.code = codeClientGone
	}
}

// abort ends an answer whose headers are out but whose body cannot be finished.
func (x *exchange) abort(err error) {
	x.code = codeAborted
	if x.clientGone(err) {
		x.code = codeClientGone
	} else {
		x.h.log.Warn().Err(err).Str("mount", x.target.bucket).Str("key", x.target.key).
			Msg("connection cut in mid-body, the client will ask again")
	}
	panic(http.ErrAbortHandler)
}

// clientGone reports whether an error only says that the client hung up.
func (x *exchange) clientGone(err error) bool {
	if errors.Is(x.r.Context().Err(), context.Canceled) {
		return true
	}
	var ne *net.OpError
	return errors.As(err, &ne) && ne.Op == "write" && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET))
}

// isCopy reports whether a PUT takes its bytes from another object.
func isCopy(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Copy-Source") || name == "X-Amz-Rename-Source" {
			return true
		}
	}
	return false
}

// requestIDs numbers requests: 16 upper-case hex digits, unlike those of another process.
type requestIDs struct {
	base uint64
	n    *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return requestIDs{base: binary.LittleEndian.Uint64(b[:]), n: new(atomic.Uint64)}
}

func (i *requestIDs) next() string {
	return string(i.append(make([]byte, 0, 16)))
}

func (i *requestIDs) append(b []byte) []byte {
	const digits = "0123456789ABCDEF"
	v := i.base + i.n.Add(1)*0x9E3779B97F4A7C15 // odd, so that all 2^64 ids come before one comes again
	for j := range 16 {
		b = append(b, digits[v>>(60-4*j)&15])
	}
	return b
}
