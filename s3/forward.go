package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

const (
	unsignedPayload   = "UNSIGNED-PAYLOAD"
	unsignedTrailer   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	streamingPrefix   = "STREAMING-"
	payloadHashHeader = "X-Amz-Content-Sha256"
)

// notForwarded are headers that belong to the client's connection or to its signature. Expect is answered by the door, not by the
// origin. Content-Length is said by the request itself.
var notForwarded = []string{
	"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Date", "Host", "Expect", "Content-Length",
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// notForwardedQuery are the parameters of a presigned URL.
var notForwardedQuery = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token",
}

// copyHeaders name another object by its bucket, which here would be a mount's name.
var copyHeaders = []string{"X-Amz-Copy-Source", "X-Amz-Rename-Source"}

// Forward sends r to the object path, or to the bucket where path is "", and returns the answer whatever its status: r's method,
// query, headers and body, but not its signature, host, path or hop-by-hop headers. It signs with the origin's credentials, and for the payload
// hash takes r's own X-Amz-Content-Sha256 if that is a digest in hex, else UNSIGNED-PAYLOAD. The body is streamed and r.ContentLength
// must be its length. It does not retry. The caller closes the answer's body.
//
// origin.ErrUnsupported: a body in signed chunks (its signatures are the client's), a copy, and any request to the bucket itself below a
// mount's prefix but HEAD and ?location, since its keys would need to be rewritten on the way in and out.
func (o *Origin) Forward(ctx context.Context, path string, r *http.Request) (*http.Response, error) {
	req, hash, err := o.outgoing(path, r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	resp, err := o.send(ctx, path, req.WithContext(ctx), hash)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &forwarded{Watched: outbound.Watch(resp.Body, o.opts.StallTimeout, cancel), o: o, ctx: ctx, path: path}
	return resp, nil
}

// send signs and sends.
func (o *Origin) send(ctx context.Context, path string, req *http.Request, hash string) (*http.Response, error) {
	if !o.opts.Anonymous {
		creds, err := o.client.Options().Credentials.Retrieve(ctx)
		if err != nil {
			return nil, o.broke(ctx, "forward", path, err)
		}
		err = v4.NewSigner().SignHTTP(ctx, creds, req, hash, "s3", o.region, time.Now(), func(s *v4.SignerOptions) { s.DisableURIPathEscaping = true })
		if err != nil {
			return nil, origin.NewError(origin.ErrInvalid, "forward", path, o.named(err))
		}
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return nil, o.broke(ctx, "forward", path, err)
	}
	return resp, nil
}

// outgoing is r as it goes to the origin, unsigned, and its payload's hash.
func (o *Origin) outgoing(path string, r *http.Request) (*http.Request, string, error) {
	refuse := func(kind error, format string, args ...any) (*http.Request, string, error) {
		return nil, "", origin.NewError(kind, "forward", path, fmt.Errorf(format, args...))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(origin.ErrInvalid, "the query cannot be read: %w", err)
	}
	for _, q := range notForwardedQuery {
		query.Del(q)
	}
	if path == "" && o.opts.Prefix != "" && r.Method != http.MethodHead && !(r.Method == http.MethodGet && len(query) == 1 && query.Has("location")) {
		return refuse(origin.ErrUnsupported, "%s of the bucket below the mount's prefix %q would speak of other keys", r.Method, o.opts.Prefix)
	}
	hash := r.Header.Get(payloadHashHeader)
	switch {
	case isDigest(hash) || hash == unsignedTrailer:
	case strings.HasPrefix(hash, streamingPrefix):
		return refuse(origin.ErrUnsupported, "a body in signed chunks (%s) cannot be signed again", hash)
	default:
		hash = unsignedPayload
	}
	for _, h := range copyHeaders {
		if r.Header.Get(h) != "" {
			return refuse(origin.ErrUnsupported, "%s names an object by a bucket that the origin does not have", h)
		}
	}
	u := o.base
	if path != "" {
		key, err := o.key("forward", path)
		if err != nil {
			return nil, "", err
		}
		u.Path = strings.TrimRight(u.Path, "/") + "/" + key
	} else if u.Path == "" {
		u.Path = "/"
	}
	u.RawPath = httpbinding.EscapePath(u.Path, false)
	u.RawQuery = query.Encode()
	out := &http.Request{Method: r.Method, URL: &u, Host: u.Host, Header: forwardedHeader(r.Header), ContentLength: r.ContentLength, Body: r.Body}
	if r.ContentLength == 0 || r.Body == nil {
		out.Body, out.ContentLength = http.NoBody, 0
	}
	out.Header.Set(payloadHashHeader, hash)
	return out, hash, nil
}

// forwardedHeader copies what is not left out.
func forwardedHeader(h http.Header) http.Header {
	out := h.Clone()
	if out == nil {
		out = http.Header{}
	}
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range notForwarded {
		out.Del(name)
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // net/http must not add its own
	}
	return out
}

// isDigest reports whether s is a SHA-256 in hex.
func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// forwarded is the body of a forwarded answer: its errors are of the origin's kinds.
type forwarded struct {
	*outbound.Watched
	o    *Origin
	ctx  context.Context
	path string
}

func (f *forwarded) Read(p []byte) (int, error) {
	n, err := f.Watched.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.o.broke(f.ctx, "forward", f.path, err)
	}
	return n, err
}
