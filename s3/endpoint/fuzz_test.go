package endpoint

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzParseRequest feeds the parsers of everything a stranger may send: nothing panics, nothing grows beyond its input, and what was
// read means what it says.
func FuzzParseRequest(f *testing.F) {
	_, _, _, chunked := chunkedExample(true)
	f.Add("bytes=0-9", vectors[0].request().Header.Get("Authorization"), "/b/k%2F?list-type=2&prefix=a+b&continuation-token=AQ", "b.s3.example", chunked[65500:])
	f.Add("bytes=-49152", "AWS4-HMAC-SHA256 Credential=a/b/20130524/r/s3/aws4_request,SignedHeaders=host,Signature=", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1", "h", []byte("3\r\nabc\r\n0\r\n\r\n"))
	f.Add("bytes=9223372036854775807-9223372036854775807", "AWS a:b", "/b?max-keys=-1&acl", "[::1]:80", []byte("0;chunk-signature=\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"))
	h, err := New(Options{Backend: newFake("b"), Domain: "s3.example", Credentials: []Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret, Mounts: []string{"b/x"}}}})
	if err != nil {
		f.Fatal(err)
	}
	backend := newFake("b")
	backend.put("b", "k/", []byte("0123456789"), nil)
	open, err := New(Options{Backend: backend, Domain: "s3.example"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rangeHeader, authorization, uri, host string, body []byte) {
		checkRange(t, rangeHeader)
		for _, auth := range []string{authorization, ""} {
			r := httptest.NewRequest("PUT", "/", bytes.NewReader(body))
			r.RequestURI, r.Host = uri, host
			r.Header.Set("X-Amz-Date", "20130524T000000Z")
			r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
			if auth != "" {
				r.Header.Set("Authorization", auth)
			}
			r.Header.Set("If-Match", authorization)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code < 400 || strings.Contains(w.Body.String(), testSecret) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			conditions := parseConditions(r.Header)
			_ = etagIn(conditions.match, `"e"`, true)
			if tgt, err := parseTarget(r, ".s3.example"); err == nil {
				checkTarget(t, r, &tgt)
			}
		}
		checkChunked(t, body)
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST"} {
			r := httptest.NewRequest(method, "/", bytes.NewReader(body))
			r.RequestURI, r.Host = uri, host
			r.Header.Set("Range", rangeHeader)
			r.Header.Set("X-Amz-Content-Sha256", authorization)
			if w := record(open, r); w.Code == http.StatusInternalServerError {
				t.Fatalf("%s: %d %s", method, w.Code, w.Body)
			}
		}
		backend.forwarded = nil
	})
}

func checkRange(t *testing.T, header string) {
	b := parseRange(http.Header{"Range": {header}})
	for _, size := range []int64{0, 1, 10, 1 << 40, math.MaxInt64} {
		off, n, ok := b.resolve(size)
		if ok && (off < 0 || n < 0 || off > size-n || b.set && n == 0) {
			t.Fatalf("%q of %d: %d bytes at %d", header, size, n, off)
		}
	}
	if req := b.request("k"); b.set && b.suffix != 0 && req.Suffix == 0 && (req.Offset < 0 || req.Length <= 0 || req.Offset > math.MaxInt64-req.Length) {
		t.Fatalf("%q: %+v", header, req)
	}
}

func checkTarget(t *testing.T, r *http.Request, tgt *target) {
	if again, ok := parseQuery(tgt.query.encode()); !ok || len(again) != len(tgt.query) {
		t.Fatalf("%q does not survive encoding", tgt.query)
	}
	if l, err := parseListing("b", tgt.query); err == nil {
		if l.maxKeys < 0 || l.maxKeys > maxListKeys {
			t.Fatalf("max-keys %d", l.maxKeys)
		}
		if tok, ok := l.openToken(l.sealToken(l.prefix + "x")); !ok || tok != l.prefix+"x" {
			t.Fatal("a token does not survive")
		}
	}
	_ = operation(r, tgt)
}

// checkChunked decodes in every mode; the decoder must end, within its announced size.
func checkChunked(t *testing.T, body []byte) {
	for mode := range 8 {
		size := int64(len(body) / 2)
		c := newChunkReader(bytes.NewReader(body), size)
		c.signed = mode&1 != 0
		if mode&2 != 0 && c.signed {
			c.signer = &chunkSigner{key: newSigningKey(testSecret, "20130524", "us-east-1"), amzDate: "20130524T000000Z"}
		}
		if mode&4 != 0 {
			c.trailer, _ = newTrailerSums([]string{"x-amz-checksum-crc32c"})
		}
		n, err := io.Copy(io.Discard, c)
		var api *apiError
		if n > size || err == nil && n != size || err != nil && !errors.As(err, &api) {
			t.Fatalf("mode %d: %d of %d bytes, %v", mode, n, size, err)
		}
	}
}
