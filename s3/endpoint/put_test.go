package endpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/alio-lake/alio/origin"
)

// relayTo makes a fake whose Forward goes over a real connection to an origin that keeps what arrives whole, as S3 does.
func relayTo(t *testing.T, f *fake) (arrived *sync.Map) {
	t.Helper()
	arrived = &sync.Map{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == "*" {
			w.WriteHeader(http.StatusPreconditionFailed) // without reading the body
			_, _ = io.WriteString(w, "<Error><Code>PreconditionFailed</Code></Error>")
			return
		}
		if b, err := io.ReadAll(r.Body); err == nil {
			arrived.Store(r.URL.Path, b)
		}
	}))
	t.Cleanup(s.Close)
	client := s.Client()
	f.forward = func(_, path string, r *http.Request) (*http.Response, error) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, s.URL+"/"+path, r.Body)
		if err != nil {
			return nil, err
		}
		out.ContentLength, out.Header = r.ContentLength, r.Header
		resp, err := client.Do(out)
		if err != nil {
			return nil, origin.NewError(origin.ErrUnavailable, "forward", path, err)
		}
		return resp, nil
	}
	return arrived
}

func putRequest(target string, body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest("PUT", target, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPayloadHash: a body that is not what was hashed is refused, and the origin, at the far end of a connection, never has it whole.
func TestPayloadHash(t *testing.T) {
	f := newFake("lake")
	arrived := relayTo(t, f)
	h := newHandler(t, Options{Backend: f})
	for _, size := range []int{0, 1, 2, 1000, 300000} {
		data := bytes.Repeat([]byte("d"), size)
		sum := sha256.Sum256(data)
		if w := record(h, putRequest("/lake/good", bytes.NewReader(data), "X-Amz-Content-Sha256", strings.ToUpper(hex.EncodeToString(sum[:])))); w.Code != 200 {
			t.Fatalf("%d bytes: %d %s", size, w.Code, w.Body)
		}
		if got, _ := arrived.Load("/good"); !bytes.Equal(got.([]byte), data) {
			t.Errorf("%d bytes arrived as %d", size, len(got.([]byte)))
		}
		sum[5] ^= 1
		w := record(h, putRequest("/lake/bad", bytes.NewReader(data), "X-Amz-Content-Sha256", hex.EncodeToString(sum[:])))
		if w.Code != 400 || !strings.Contains(w.Body.String(), "XAmzContentSHA256Mismatch") {
			t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
		}
		if _, ok := arrived.Load("/bad"); ok {
			t.Errorf("%d bytes: the origin has what did not match", size)
		}
	}
	if sent := f.requests()[0]; len(sent.Header.Get("X-Amz-Content-Sha256")) != 64 || sent.Header.Get("X-Amz-Content-Sha256") != emptySHA256 {
		t.Errorf("the hash did not go on: %v", sent.Header)
	}
}

func TestPutRefusals(t *testing.T) {
	f := newFake("lake")
	arrived := relayTo(t, f)
	h := newHandler(t, Options{Backend: f})
	const streaming, unsignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	for _, c := range []struct {
		code   string
		status int
		body   io.Reader
		header []string
	}{
		{"IncompleteBody", 400, io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)), nil},
		{"MissingContentLength", 411, struct{ io.Reader }{strings.NewReader("ab")}, nil},
		{"InvalidArgument", 400, strings.NewReader("ab"), []string{"X-Amz-Content-Sha256", "zz"}},
		{"InvalidRequest", 400, strings.NewReader("ab"), []string{"Content-Encoding", "gzip, aws-chunked"}},
		{"NotImplemented", 501, strings.NewReader("ab"), []string{"X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}},
		{"MissingContentLength", 411, strings.NewReader("0\r\n\r\n"), []string{"X-Amz-Content-Sha256", streaming}},
		{"MissingContentLength", 411, strings.NewReader("0\r\n\r\n"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "-1"}},
		{"NotImplemented", 501, strings.NewReader("0\r\n\r\n"), []string{"X-Amz-Content-Sha256", unsignedTrailer, "X-Amz-Decoded-Content-Length", "0", "X-Amz-Trailer", "x-amz-checksum-xxhash3"}},
		{"InvalidChunk", 400, strings.NewReader("zz\r\n"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "3"}},
		{"InvalidChunk", 400, strings.NewReader(strings.Repeat("1", 5000)), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "3"}},
		{"InvalidChunk", 400, strings.NewReader("4\r\nabcd\r\n0\r\n\r\n"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "3"}},
		{"InvalidChunk", 400, strings.NewReader("3\r\nabcd\r\n0\r\n\r\n"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "3"}},
		{"InvalidChunk", 400, strings.NewReader("3\r\nabc\r\n0\r\n\r\nmore"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "3"}},
		{"IncompleteBody", 400, strings.NewReader("3\r\nabc\r\n0\r\n\r\n"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "4"}},
		{"IncompleteBody", 400, strings.NewReader("3\r\nabc\r\n"), []string{"X-Amz-Content-Sha256", streaming, "X-Amz-Decoded-Content-Length", "3"}},
		{"BadDigest", 400, strings.NewReader("3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), []string{"X-Amz-Content-Sha256", unsignedTrailer, "X-Amz-Decoded-Content-Length", "3", "X-Amz-Trailer", "x-amz-checksum-crc32"}},
		{"MalformedTrailerError", 400, strings.NewReader("3\r\nabc\r\n0\r\n\r\n"), []string{"X-Amz-Content-Sha256", unsignedTrailer, "X-Amz-Decoded-Content-Length", "3", "X-Amz-Trailer", "x-amz-checksum-crc32"}},
		{"MalformedTrailerError", 400, strings.NewReader("3\r\nabc\r\n0\r\nx-amz-meta-a:b\r\n\r\n"), []string{"X-Amz-Content-Sha256", unsignedTrailer, "X-Amz-Decoded-Content-Length", "3"}},
		{"MalformedTrailerError", 400, strings.NewReader("3\r\nabc\r\n0\r\nnonsense\r\n\r\n"), []string{"X-Amz-Content-Sha256", unsignedTrailer, "X-Amz-Decoded-Content-Length", "3"}},
		{"BadDigest", 400, strings.NewReader("0\r\nx-amz-checksum-crc32:AAAAAB==\r\n\r\n"), []string{"X-Amz-Content-Sha256", unsignedTrailer, "X-Amz-Decoded-Content-Length", "0", "X-Amz-Trailer", "x-amz-checksum-crc32"}},
	} {
		r := putRequest("/lake/k", c.body, c.header...)
		if c.code == "IncompleteBody" && c.header == nil {
			r.ContentLength = 5
		}
		w := record(h, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), "<Code>"+c.code+"</Code>") {
			t.Errorf("%s %q: %d %s", c.code, c.header, w.Code, w.Body)
		}
		if _, ok := arrived.Load("/k"); ok {
			t.Fatalf("%s %q: stored", c.code, c.header)
		}
	}
}

// TestPutOverTheWire: the origin's answer comes back as it is, also when it does not want the body; a client that dies leaves nothing.
func TestPutOverTheWire(t *testing.T) {
	f := newFake("lake")
	arrived := relayTo(t, f)
	s := serve(t, Options{Backend: f}, false)
	put := func(key string, body io.Reader, n int64, header ...string) (*http.Response, string, error) {
		r, err := http.NewRequest("PUT", s.URL+"/lake/"+key, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = n
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b), nil
	}
	if resp, _, err := put("once", strings.NewReader("abc"), 3, "Expect", "100-continue"); err != nil || resp.StatusCode != 200 {
		t.Fatal(err)
	}
	if resp, body, err := put("once", strings.NewReader("abc"), 3, "If-None-Match", "*"); err != nil || resp.StatusCode != 412 || !strings.Contains(body, "PreconditionFailed") {
		t.Errorf("%v %v %s", err, resp, body)
	}
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("client died")))
	if _, _, err := put("torn", broken, 8); err == nil {
		t.Error("a torn upload succeeded")
	}
	if _, ok := arrived.Load("/torn"); ok {
		t.Error("a torn upload was stored")
	}
}

// TestPayloadErrorIsToldWhateverForwardSays: the client learns what is wrong with its body, though the backend knows only that it could
// not be sent.
func TestPayloadErrorIsToldWhateverForwardSays(t *testing.T) {
	f := newFake("lake")
	for _, answered := range []bool{false, true} {
		f.forward = func(_, path string, r *http.Request) (*http.Response, error) {
			if _, err := io.ReadAll(r.Body); err == nil {
				t.Error("the whole body was given")
			}
			if answered {
				return answer(500, nil, "what was that?"), nil
			}
			return nil, origin.NewError(origin.ErrUnavailable, "forward", path, nil)
		}
		w := record(newHandler(t, Options{Backend: f}), putRequest("/lake/k", strings.NewReader("abc"), "X-Amz-Content-Sha256", emptySHA256))
		if w.Code != 400 || !strings.Contains(w.Body.String(), "XAmzContentSHA256Mismatch") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestForwardBrokenAnswer: an origin's answer that ends early is cut, not completed.
func TestForwardBrokenAnswer(t *testing.T) {
	f := newFake("lake")
	f.forward = func(string, string, *http.Request) (*http.Response, error) {
		resp := answer(200, nil, "half")
		resp.ContentLength = 8
		return resp, nil
	}
	unsized := newFake("lake")
	unsized.forward = func(string, string, *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1,
			Body: &breaking{strings.NewReader("half"), origin.ErrUnavailable}}, nil
	}
	for _, backend := range []*fake{f, unsized} {
		h := newHandler(t, Options{Backend: backend})
		s := httptest.NewServer(h)
		resp, err := s.Client().Get(s.URL + "/lake/k?versionId=1")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		s.Close()
		if err == nil {
			t.Error("half an answer was taken for the whole")
		}
		if n := counted(h.metrics.requests[opForward][codeAborted]); n != 1 {
			t.Errorf("counted %v aborted", n)
		}
	}
	f = newFake("lake")
	f.forward = func(_, path string, _ *http.Request) (*http.Response, error) {
		return nil, origin.NewError(origin.ErrUnavailable, "forward", path, &net.OpError{Op: "dial", Err: context.DeadlineExceeded})
	}
	if w := do(newHandler(t, Options{Backend: f}), "DELETE", "/lake/k"); w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestChecksumValues pins the algorithms to their published check values, the sums of "123456789".
func TestChecksumValues(t *testing.T) {
	want := map[string]string{"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888", "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
		"sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"}
	for _, c := range checksums {
		sum := func(h hash.Hash) []byte { h.Write([]byte("123456789")); return h.Sum(nil) }(c.make())
		if got := hex.EncodeToString(sum); got != want[c.name] {
			t.Errorf("%s: %s", c.name, got)
		}
		sums, err := newTrailerSums([]string{"X-Amz-Checksum-" + strings.ToUpper(c.name)})
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf("9\r\n123456789\r\n0\r\nx-amz-checksum-%s:%s\r\n\r\n", c.name, base64.StdEncoding.EncodeToString(sum))
		r := newChunkReader(iotest.OneByteReader(strings.NewReader(body)), 9)
		r.trailer = sums
		if got, err := io.ReadAll(r); err != nil || string(got) != "123456789" {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
}

// TestLastByteIsHeldBack: whatever the sizes of the reads, the last byte comes only after the check.
func TestLastByteIsHeldBack(t *testing.T) {
	for _, ok := range []bool{true, false} {
		for size := 1; size < 40; size++ {
			data := bytes.Repeat([]byte("x"), size)
			sum := sha256.Sum256(data)
			want := hex.EncodeToString(sum[:])
			if !ok {
				want = emptySHA256
			}
			for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader, func(r io.Reader) io.Reader { return r }} {
				p := &payload{size: int64(size), body: &hashedBody{body: wrap(bytes.NewReader(data)), hash: sha256.New(), want: want}}
				got, err := io.ReadAll(p)
				if ok && (err != nil || !bytes.Equal(got, data)) || !ok && (err == nil || len(got) >= size || p.failed() == nil) {
					t.Fatalf("size %d, ok %v: %d bytes, %v", size, ok, len(got), err)
				}
			}
		}
	}
}
