package endpoint

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

// stores is a fake whose mounts differ: "s3" speaks S3, "lake" does not and takes writes, "kept" takes none, "kept3" speaks S3 and takes none, "dumb" can do
// nothing but reads.
type stores struct {
	*fake
	failed error // what Put fails with in the end, if set
}

func newStores() *stores { return &stores{fake: newFake("s3", "lake", "kept", "kept3", "dumb")} }

func (s *stores) Store(mount, _ string) (Store, error) {
	no := origin.NewError(origin.ErrDenied, "write", "x", errors.New("set mounts.kept.writes"))
	st, ok := map[string]Store{"s3": {S3: true}, "lake": {Writer: true}, "kept": {Writer: true, Refuses: no}, "kept3": {S3: true, Refuses: no}, "dumb": {}}[mount]
	if !ok {
		return Store{}, origin.NewError(origin.ErrUnknownMount, "write", mount, nil)
	}
	return st, nil
}

func (s *stores) Put(_ context.Context, mount, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	if mount != "lake" {
		return origin.Object{}, origin.NewError(origin.ErrUnsupported, "put", path, nil)
	}
	data, err := io.ReadAll(body)
	if err == nil && int64(len(data)) != size {
		err = io.ErrUnexpectedEOF
	}
	if err = errors.Join(err, s.failed); err != nil {
		return origin.Object{}, origin.NewError(origin.ErrUnavailable, "put", path, err)
	}
	if _, there := s.get(mount, path); there && opts.IfAbsent {
		return origin.Object{}, origin.NewError(origin.ErrVersionChanged, "put", path, nil)
	}
	return origin.Object{Path: path, ETag: s.put(mount, path, data, nil)}, nil
}

func (s *stores) Delete(_ context.Context, mount, path string) error {
	if mount != "lake" {
		return origin.NewError(origin.ErrUnsupported, "delete", path, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mounts[mount], path)
	return nil
}

func TestPutToAnOriginThatDoesNotSpeakS3(t *testing.T) {
	s := newStores()
	h := newHandler(t, Options{Backend: s})
	for _, size := range []int{0, 1, 300_000} {
		data := bytes.Repeat([]byte("d"), size)
		sum, digest := sha256.Sum256(data), md5.Sum(data)
		good := []string{"X-Amz-Content-Sha256", hex.EncodeToString(sum[:]), "Content-Md5", base64.StdEncoding.EncodeToString(digest[:]),
			"X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]), "X-Amz-Sdk-Checksum-Algorithm", "SHA256", "X-Amz-Acl", "private",
			"X-Amz-Storage-Class", "STANDARD", "Content-Type", "text/plain", "X-Request-Id", "7"}
		w := record(h, putRequest("/lake/good", bytes.NewReader(data), good...))
		got, _ := s.get("lake", "good")
		if w.Code != 200 || w.Header().Get("Etag") == "" || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d %s, stored %d", size, w.Code, w.Body, len(got))
		}
		sum[5] ^= 1
		digest[5] ^= 1
		for _, bad := range [][]string{
			{"X-Amz-Content-Sha256", hex.EncodeToString(sum[:])},
			{"Content-Md5", base64.StdEncoding.EncodeToString(digest[:])},
			{"X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:])},
			{"X-Amz-Checksum-Crc32c", "AAAAAQ=="},
		} {
			w := record(h, putRequest("/lake/bad", bytes.NewReader(data), bad...))
			if _, there := s.get("lake", "bad"); w.Code != 400 || there {
				t.Errorf("%d bytes with a wrong %s: %d %s, stored: %v", size, bad[0], w.Code, w.Body, there)
			}
		}
	}
	if len(s.requests()) != 0 {
		t.Error("something was forwarded")
	}
	s.failed = errors.New("the disk is full")
	if w := record(h, putRequest("/lake/failed", strings.NewReader("x"))); w.Code != 503 || !strings.Contains(w.Body.String(), "disk is full") {
		t.Errorf("an origin that fails: %d %s", w.Code, w.Body)
	}
}

func TestChunkedPutToAnOriginThatDoesNotSpeakS3(t *testing.T) {
	s := newStores()
	h := newHandler(t, Options{Backend: s})
	chunked := []string{"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", "3", "X-Amz-Trailer", "x-amz-checksum-crc32",
		"Content-Encoding", "aws-chunked"}
	for sum, want := range map[string]int{"NSRBwg==": 200, "AAAAAA==": 400} {
		w := record(h, putRequest("/lake/"+strings.TrimRight(sum, "="), strings.NewReader("3\r\nabc\r\n0\r\nx-amz-checksum-crc32:"+sum+"\r\n\r\n"), chunked...))
		if got, there := s.get("lake", strings.TrimRight(sum, "=")); w.Code != want || there != (want == 200) || there && string(got) != "abc" {
			t.Errorf("%s: %d %s, stored %q", sum, w.Code, w.Body, got)
		}
	}
}

// TestPutOnlyIfNothingIsThere: If-None-Match: * is the origin's to decide. A refusal is 412 of that condition, what a client sent wrong is
// told as without it, and an origin that answers so to a PUT without a condition is to be asked again.
func TestPutOnlyIfNothingIsThere(t *testing.T) {
	s := newStores()
	h := newHandler(t, Options{Backend: s})
	put := func(key, body string, header ...string) *httptest.ResponseRecorder {
		return record(h, putRequest("/lake/"+key, strings.NewReader(body), header...))
	}
	const inm = "If-None-Match"
	for i, c := range []struct {
		key, body string
		header    []string
		code      int
		says      string
		stored    string
	}{
		{"x", "one", []string{inm, "*"}, 200, "", "one"},
		{"x", "two", []string{inm, "*"}, 412, "<Code>PreconditionFailed</Code>", "one"},
		{"x", "", []string{inm, "*"}, 412, "<Condition>If-None-Match</Condition>", "one"},
		{"x", "three", nil, 200, "", "three"},
		{"y", "bad", []string{inm, "*", "X-Amz-Checksum-Crc32", "AAAAAA=="}, 400, "BadDigest", ""},
		{"y", "", []string{inm, "*"}, 200, "", ""},
		{"y", "full", []string{inm, "*"}, 412, "PreconditionFailed", ""},
	} {
		w := put(c.key, c.body, c.header...)
		if got, _ := s.get("lake", c.key); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) || string(got) != c.stored || w.Code == 200 && w.Header().Get("Etag") == "" {
			t.Errorf("%d: %d %s, stored %q; want %d that says %s, and %q stored", i, w.Code, w.Body, got, c.code, c.says, c.stored)
		}
	}
	s.failed = errors.New("the disk is full")
	if w := put("z", "x", inm, "*"); w.Code != 503 {
		t.Errorf("an origin that fails: %d %s", w.Code, w.Body)
	}
	for condition, want := range map[string]int{"": 503, inm: 412} {
		if e := toAPIError(origin.NewError(origin.ErrVersionChanged, "put", "x", nil), "lake", condition); e.status != want {
			t.Errorf("condition %q: %d, want %d", condition, e.status, want)
		}
	}
	if len(s.requests()) != 0 {
		t.Error("something was forwarded")
	}
}

// TestWhatCannotBeDoneIsNamed has requests that S3 understands and another origin cannot be asked.
func TestWhatCannotBeDoneIsNamed(t *testing.T) {
	s := newStores()
	s.put("lake", "x", []byte("0123456789"), nil)
	h := newHandler(t, Options{Backend: s})
	for _, c := range []struct {
		method, target string
		header         []string
		code           int
		names          string
	}{
		{"PUT", "/lake/y", []string{"If-None-Match", `"e"`}, 501, "If-None-Match"},
		{"PUT", "/lake/y", []string{"If-None-Match", `*, "e"`}, 501, "If-None-Match"},
		{"PUT", "/lake/y", []string{"If-None-Match", "*", "If-Match", `"e"`}, 501, "If-Match"},
		{"PUT", "/lake/y", []string{"If-None-Match", "*", "If-Modified-Since", "x"}, 501, "If-Modified-Since"},
		{"PUT", "/dumb/y", []string{"If-None-Match", "*"}, 501, "NotImplemented"},
		{"PUT", "/kept/y", []string{"If-None-Match", "*"}, 403, "mounts.kept.writes"},
		{"DELETE", "/lake/x", []string{"If-None-Match", "*"}, 501, "If-None-Match"},
		{"PUT", "/lake/y", []string{"If-Match", `"e"`}, 501, "If-Match"},
		{"PUT", "/lake/y", []string{"X-Amz-Meta-Owner", "me"}, 501, "X-Amz-Meta-Owner"},
		{"PUT", "/lake/y", []string{"X-Amz-Server-Side-Encryption", "aws:kms"}, 501, "X-Amz-Server-Side-Encryption"},
		{"PUT", "/lake/y", []string{"X-Amz-Acl", "public-read"}, 501, "X-Amz-Acl"},
		{"PUT", "/lake/y", []string{"X-Amz-Checksum-Xxhash3", "AA=="}, 501, "X-Amz-Checksum-Xxhash3"},
		{"PUT", "/lake/y", []string{"Content-Encoding", "gzip"}, 501, "Content-Encoding"},
		{"PUT", "/lake/y", []string{"X-Amz-Copy-Source", "/lake/x"}, 501, "CopyObject"},
		{"DELETE", "/lake/x", []string{"If-Match", `"e"`}, 501, "If-Match"},
		{"DELETE", "/lake/x?versionId=7", nil, 501, "DeleteObject of one version"},
		{"POST", "/lake/y?uploads", nil, 501, "CreateMultipartUpload"},
		{"PUT", "/lake/y?partNumber=1&uploadId=7", nil, 501, "UploadPart"},
		{"POST", "/lake?delete", nil, 501, "DeleteObjects"},
		{"GET", "/lake/x?partNumber=1", nil, 501, "partNumber"},
		{"GET", "/lake/x?versionId=7", nil, 501, "versionId"},
		{"GET", "/lake/x?acl", nil, 501, "acl"},
		{"GET", "/lake/x?response-content-type=a", nil, 501, "response-content-type"},
		{"GET", "/lake/x", []string{"If-Range", `"e"`, "Range", "bytes=0-1"}, 501, "If-Range"},
		{"GET", "/lake/x", []string{"X-Amz-Server-Side-Encryption-Customer-Key", "k"}, 501, "X-Amz-Server-Side-Encryption-Customer-Key"},
		{"GET", "/lake?versions", nil, 501, "versions"},
		{"GET", "/lake?list-type=2", []string{"X-Amz-Expected-Bucket-Owner", "7"}, 501, "X-Amz-Expected-Bucket-Owner"},
		{"PUT", "/dumb/y", nil, 501, "NotImplemented"},
		{"DELETE", "/dumb/y", nil, 501, "NotImplemented"},
		{"PUT", "/none/y", nil, 404, "NoSuchBucket"},
		{"GET", "/none/y?acl", nil, 404, "NoSuchBucket"},
		{"PUT", "/kept/y", nil, 403, "mounts.kept.writes"},
		{"PUT", "/kept3/y", nil, 403, "mounts.kept.writes"},
		{"DELETE", "/kept/y", nil, 403, "AccessDenied"},
		{"POST", "/kept/y?uploads", nil, 403, "AccessDenied"},
		{"PUT", "/kept3/y?partNumber=1&uploadId=7", nil, 403, "AccessDenied"},
		{"POST", "/kept3?delete", nil, 403, "AccessDenied"},
		// And what can be done.
		{"GET", "/lake/x?versionId=null", nil, 200, "0123456789"},
		{"GET", "/lake/x", []string{"Cache-Control", "no-cache", "X-Amz-Request-Payer", "requester", "Range", "bytes=2-3"}, 206, "23"},
		{"HEAD", "/lake/x", []string{"Pragma", "no-cache"}, 200, ""},
		{"GET", "/lake?list-type=2", []string{"Pragma", "no-cache"}, 200, "<Key>x</Key>"},
		{"HEAD", "/lake", []string{"Pragma", "no-cache"}, 200, ""},
		{"DELETE", "/lake/none", nil, 204, ""},
		{"DELETE", "/lake/x", nil, 204, ""},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		if c.method == http.MethodPut {
			r = putRequest(c.target, strings.NewReader("body"))
		}
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		w := record(h, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.names) {
			t.Errorf("%s %s %v: %d %s, want %d that names %s", c.method, c.target, c.header, w.Code, w.Body, c.code, c.names)
		}
	}
	if len(s.requests()) != 0 {
		t.Errorf("%d requests were forwarded", len(s.requests()))
	}
	if _, there := s.get("lake", "x"); there {
		t.Error("the object is still there after its DELETE")
	}
}

// TestKeysThatChange: a key that was let in is not, once it was taken away, on either way in; what a connection remembers of it does not count.
func TestKeysThatChange(t *testing.T) {
	credential := func(secret string) []Credential {
		return []Credential{{AccessKeyID: testKey, SecretAccessKey: secret}}
	}
	h := newHandler(t, Options{Backend: newFake("lake"), Credentials: credential(testSecret)})
	var q leanRequest
	if q.parse(rawGET(10, true), "") != framed || !q.plain {
		t.Fatal("not plain")
	}
	var memo keyMemo
	for i, c := range []struct {
		secret string
		ok     bool
	}{{testSecret, true}, {testSecret, true}, {"another", false}, {testSecret, true}} {
		if err := h.SetCredentials(credential(c.secret)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if g := h.auth.Load().checkLean(&q, &memo, time.Now()); (g != nil) != c.ok {
				t.Errorf("change %d: let in: %v", i, g != nil)
			}
		}
	}
	if err := h.SetCredentials([]Credential{{AccessKeyID: "a b"}}); err == nil {
		t.Error("keys that cannot be were taken")
	}
	if h.auth.Load().byKey[testKey] == nil {
		t.Error("keys that cannot be took the place of those in force")
	}
}
