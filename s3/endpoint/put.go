package endpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// put passes a single PutObject to the origin. What the client signed or summed over the payload is checked on the way, and the last
// byte is held back until it holds: an origin stores nothing of a body that ends short of its Content-Length.
func (x *exchange) put() error {
	r := x.outgoing()
	p, err := x.payload(r)
	if err != nil {
		return err
	}
	if p.size == 0 { // no last byte to hold back: check now
		if err := drain(p.body); err != nil {
			return err
		}
	} else {
		r.Body, r.ContentLength = p, p.size
	}
	resp, err := x.h.backend.Forward(r.Context(), x.target.bucket, x.target.key, r)
	if bad := p.failed(); bad != nil { // the cause, where err is only that the body could not be sent
		if resp != nil {
			resp.Body.Close()
		}
		return bad
	}
	if err != nil {
		return err
	}
	x.relay(resp)
	return nil
}

// payload reads how the body is framed and signed, and rewrites the outgoing headers to what will be sent.
func (x *exchange) payload(out *http.Request) (*payload, error) {
	kind := x.r.Header.Get("X-Amz-Content-Sha256")
	if kind != "" && !validPayloadHash(kind) {
		return nil, invalidArgument("x-amz-content-sha256", kind,
			"x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING-… values, or a SHA-256 in hex.")
	}
	if strings.HasPrefix(kind, "STREAMING-") {
		return x.chunkedPayload(out, kind)
	}
	if x.r.ContentLength < 0 {
		return nil, missingLength("Content-Length")
	}
	if hasChunkedCoding(x.r.Header) {
		return nil, &apiError{status: http.StatusBadRequest, code: "InvalidRequest",
			message: "Content-Encoding aws-chunked needs one of the STREAMING-… values in x-amz-content-sha256."}
	}
	p := &payload{body: x.r.Body, size: x.r.ContentLength}
	if kind == "" || kind == unsignedPayload {
		out.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
		return p, nil
	}
	kind = strings.ToLower(kind)
	out.Header.Set("X-Amz-Content-Sha256", kind) // the origin checks it too
	p.body = &hashedBody{body: x.r.Body, hash: sha256.New(), want: kind}
	return p, nil
}

// chunkedPayload unwraps the aws-chunked encoding.
func (x *exchange) chunkedPayload(out *http.Request, kind string) (*payload, error) {
	signed, trailer := false, false
	switch kind {
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		signed = true
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
		signed, trailer = true, true
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		trailer = true
	default:
		return nil, &apiError{status: http.StatusNotImplemented, code: "NotImplemented",
			message: "The payload signature " + clip(kind, 64) + " is not supported here: use Signature Version 4 (HMAC), or send to the origin's endpoint.",
			extra:   []string{"Header", "x-amz-content-sha256"}}
	}
	text := x.r.Header.Get("X-Amz-Decoded-Content-Length")
	size, ok := digits(text)
	if !ok {
		return nil, missingLength("x-amz-decoded-content-length")
	}
	c := newChunkReader(x.r.Body, size)
	c.signed = signed
	if signed && !x.identity.open {
		if x.identity.signer == nil {
			return nil, &apiError{status: http.StatusBadRequest, code: "InvalidRequest", message: "A presigned URL cannot carry a streaming payload signature."}
		}
		c.signer = x.identity.signer
	}
	if trailer {
		sums, err := newTrailerSums(x.r.Header["X-Amz-Trailer"])
		if err != nil {
			return nil, err
		}
		c.trailer = sums
	}
	unwrapHeaders(out.Header)
	return &payload{body: c, size: size}, nil
}

// unwrapHeaders makes the headers say what is sent once aws-chunked is unwrapped. A checksum that came in the trailer was checked here and
// is not passed on, since a header would have to know it before the body: then the name of its algorithm must go too, or S3 refuses
// the request. The body itself is signed as UNSIGNED-PAYLOAD on its way to the origin.
func unwrapHeaders(h http.Header) {
	var codings []string
	for _, line := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "aws-chunked") {
				codings = append(codings, coding)
			}
		}
	}
	delete(h, "Content-Encoding")
	if len(codings) > 0 {
		h.Set("Content-Encoding", strings.Join(codings, ","))
	}
	for _, name := range []string{"X-Amz-Decoded-Content-Length", "X-Amz-Trailer"} {
		delete(h, name)
	}
	known := slices.ContainsFunc(checksums, func(c checksum) bool { return h.Get("X-Amz-Checksum-"+c.name) != "" })
	if !known {
		delete(h, "X-Amz-Sdk-Checksum-Algorithm")
	}
	h.Set("X-Amz-Content-Sha256", unsignedPayload)
}

func hasChunkedCoding(h http.Header) bool {
	for _, line := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(coding), "aws-chunked") {
				return true
			}
		}
	}
	return false
}

func missingLength(header string) *apiError {
	return &apiError{status: http.StatusLengthRequired, code: "MissingContentLength", message: "You must provide the " + header + " HTTP header."}
}

// payload is a body of a known size that gives its last byte only once the reader below it has come to its end without an error, that
// is once every signature and checksum held. One goroutine reads it; failed may be called from another.
type payload struct {
	body io.Reader // gives exactly size bytes and then io.EOF, or fails
	size int64
	read int64
	err  atomic.Pointer[apiError]
}

func (p *payload) Read(b []byte) (int, error) {
	if e := p.err.Load(); e != nil {
		return 0, e
	}
	if p.read == p.size {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	if p.size-p.read == 1 {
		return p.last(b)
	}
	if left := p.size - p.read - 1; int64(len(b)) > left {
		b = b[:left]
	}
	n, err := p.body.Read(b)
	p.read += int64(n)
	if err != nil {
		return n, p.fail(err)
	}
	return n, nil
}

// last reads the last byte, and gives it only if nothing but the end follows.
func (p *payload) last(b []byte) (int, error) {
	if _, err := io.ReadFull(p.body, b[:1]); err != nil {
		return 0, p.fail(err)
	}
	if err := drain(p.body); err != nil {
		return 0, p.fail(err)
	}
	p.read++
	return 1, nil
}

// fail remembers why the body cannot be sent. A body that ended early, or a client that hung up, is IncompleteBody.
func (p *payload) fail(err error) error {
	var api *apiError
	if !errors.As(err, &api) {
		api = incompleteBody(err)
	}
	p.err.Store(api)
	return api
}

func (p *payload) failed() error {
	if e := p.err.Load(); e != nil {
		return e
	}
	return nil
}

// Close leaves the client's body to net/http, which closes it when the handler returns.
func (p *payload) Close() error { return nil }

// drain reads to the end, which must be now.
func drain(r io.Reader) error {
	var one [1]byte
	for range 100 { // as io does: a reader that gives neither bytes nor an error is broken
		n, err := r.Read(one[:])
		switch {
		case n > 0:
			return incompleteBody(errors.New("the body is longer than announced"))
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

func incompleteBody(cause error) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "IncompleteBody",
		message: "You did not provide the number of bytes specified by the length header: " + clip(cause.Error(), 256), cause: cause}
}

// hashedBody fails at its end unless the bytes have the SHA-256 that was signed.
type hashedBody struct {
	body io.Reader
	hash hash.Hash
	want string
}

func (h *hashedBody) Read(b []byte) (int, error) {
	n, err := h.body.Read(b)
	h.hash.Write(b[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(h.hash.Sum(nil)); got != h.want {
			err = rejected("payload", http.StatusBadRequest, "XAmzContentSHA256Mismatch",
				"The provided 'x-amz-content-sha256' header does not match what was computed.",
				"ClientComputedContentSHA256", h.want, "S3ComputedContentSHA256", got)
		}
	}
	return n, err
}
