package endpoint

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// forward sends the request to the origin and answers with what it says, to the letter. A body is not sent: only put has one.
func (x *exchange) forward(o op) error {
	x.op = o
	r := x.outgoing()
	r.Header.Set("X-Amz-Content-Sha256", emptySHA256)
	resp, err := x.h.backend.Forward(r.Context(), x.target.bucket, x.target.key, r)
	if err != nil {
		return err
	}
	x.relay(resp)
	return nil
}

// outgoing copies the request for Backend.Forward, without a body and without the client's signature: the origin knows nothing of the
// keys of this endpoint.
func (x *exchange) outgoing() *http.Request {
	r := x.r.Clone(x.r.Context())
	r.Body, r.ContentLength, r.TransferEncoding, r.RequestURI = http.NoBody, 0, nil, ""
	for _, name := range []string{"Authorization", "X-Amz-Security-Token", "X-Amz-Date", "Date", "Content-Length", "Expect"} {
		delete(r.Header, name)
	}
	dropHopByHop(r.Header)
	r.URL.RawQuery = x.target.query.withoutAuth().encode()
	return r
}

// relay answers with the origin's answer, and closes it.
func (x *exchange) relay(resp *http.Response) {
	defer resp.Body.Close()
	dropHopByHop(resp.Header)
	h := x.w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	if resp.ContentLength >= 0 && len(h["Content-Length"]) == 0 && x.r.Method != http.MethodHead && resp.StatusCode != http.StatusNoContent {
		h["Content-Length"] = []string{fmt.Sprint(resp.ContentLength)}
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // the origin told none: net/http must not guess one
	}
	x.code = codeOf(resp.StatusCode)
	x.w.WriteHeader(resp.StatusCode)
	if x.r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		return
	}
	bp := copyBuffers.Get().(*[]byte)
	n, err := io.CopyBuffer(struct{ io.Writer }{x.w}, struct{ io.Reader }{resp.Body}, *bp)
	copyBuffers.Put(bp)
	if x.op == opForward && resp.StatusCode < 300 {
		x.h.metrics.sent.Add(float64(n))
	}
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = fmt.Errorf("origin's answer ended after %d of %d bytes: %w", n, resp.ContentLength, io.ErrUnexpectedEOF)
	}
	if err != nil {
		x.abort(err)
	}
}

// dropHopByHop removes what belongs to one connection (RFC 9110 section 7.6.1).
func dropHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade"} {
		delete(h, name)
	}
}
