package itest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/s3"
)

// forward sends a request as a door would, and returns the answer's status, body and header.
func forward(t *testing.T, o origin.Forwarder, method, path, query, body string, header map[string]string) (int, string, http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, "http://door.example/mount/"+"ignored?"+query, strings.NewReader(body))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=the-client's-own")
	r.Header.Set("X-Amz-Date", "20200101T000000Z")
	r.Header.Set("X-Amz-Security-Token", "the-client's-own")
	r.Header.Set("Connection", "X-Hop")
	r.Header.Set("X-Hop", "x")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := o.Forward(t.Context(), path, r)
	if err != nil {
		t.Fatalf("%s %s?%s: %v", method, path, query, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatalf("%s %s?%s: %v", method, path, query, err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestS3Forward(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	for name, f := range map[string]origin.Forwarder{
		"whole":   b.origin(t),
		"prefix":  b.origin(t, func(o *s3.Options) { o.Prefix = "some/folder" }),
		"wrapped": forwarderOf(t, stack(t, b.origin(t))),
	} {
		t.Run(name, func(t *testing.T) {
			o := f.(origin.Origin)
			for _, key := range []string{"plain", "dir/odd key+1%41=ü&?#;.parquet"} {
				testForwardKey(t, f, o, key)
			}
		})
	}
}

func forwarderOf(t *testing.T, o origin.Origin) origin.Forwarder {
	t.Helper()
	f, ok := origin.As[origin.Forwarder](o)
	if !ok {
		t.Fatal("the stack of wrappers does not forward")
	}
	return f
}

func testForwardKey(t *testing.T, f origin.Forwarder, o origin.Origin, key string) {
	const data = "hello, store"
	sum := sha256.Sum256([]byte(data))
	for _, hash := range []string{"", "UNSIGNED-PAYLOAD", hex.EncodeToString(sum[:])} {
		status, body, h := forward(t, f, "PUT", key, "", data, map[string]string{"X-Amz-Content-Sha256": hash, "X-Amz-Meta-Who": "me", "Content-Type": "text/x"})
		if status != 200 || h.Get("ETag") == "" {
			t.Fatalf("PUT with the payload hash %q: %d %s", hash, status, body)
		}
	}
	obj, err := o.Stat(t.Context(), key)
	if err != nil || obj.Size != int64(len(data)) || obj.Attributes["X-Amz-Meta-Who"] != "me" || obj.Attributes["Content-Type"] != "text/x" {
		t.Fatalf("what was put: %+v, %v", obj, err)
	}
	status, body, _ := forward(t, f, "PUT", key, "", "other", map[string]string{"X-Amz-Content-Sha256": hex.EncodeToString(sum[:])})
	if status != 400 {
		t.Errorf("PUT of a body that is not the one of the digest: %d %s", status, body)
	}
	status, body, h := forward(t, f, "GET", key, "", "", map[string]string{"Range": "bytes=7-11"})
	if status != 206 || body != "store" || h.Get("Content-Range") != "bytes 7-11/12" {
		t.Errorf("GET: %d %q %v", status, body, h)
	}
	status, body, h = forward(t, f, "HEAD", key, "", "", nil)
	if status != 200 || body != "" || h.Get("Content-Length") != "12" {
		t.Errorf("HEAD: %d %q %v", status, body, h)
	}
	tags := `<Tagging><TagSet><Tag><Key>team</Key><Value>lake</Value></Tag></TagSet></Tagging>`
	if status, body, _ = forward(t, f, "PUT", key, "tagging", tags, nil); status != 200 {
		t.Errorf("PUT ?tagging: %d %s", status, body)
	}
	if status, body, _ = forward(t, f, "GET", key, "tagging=", "", nil); status != 200 || !strings.Contains(body, "<Value>lake</Value>") {
		t.Errorf("GET ?tagging: %d %s", status, body)
	}
	if status, body, _ = forward(t, f, "GET", key, "response-content-type=a%2Fb%20c", "", nil); status != 200 || body != data {
		t.Errorf("GET ?response-content-type: %d %s", status, body)
	}
	if status, _, _ = forward(t, f, "DELETE", key, "", "", nil); status != 204 {
		t.Errorf("DELETE: %d", status)
	}
	if _, err := o.Stat(t.Context(), key); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("after the DELETE: %v", err)
	}
	if status, body, _ = forward(t, f, "GET", key, "", "", nil); status != 404 || !strings.Contains(body, "NoSuchKey") {
		t.Errorf("GET of what was deleted: %d %s", status, body)
	}
}

func TestS3ForwardToTheBucket(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	b.put(t, "in/x", []byte("1"))
	o := b.origin(t)
	if status, body, _ := forward(t, o, "GET", "", "list-type=2&prefix=in%2F", "", nil); status != 200 || !strings.Contains(body, "<Key>in/x</Key>") {
		t.Errorf("a list: %d %s", status, body)
	}
	if status, body, _ := forward(t, o, "GET", "", "location", "", nil); status != 200 || !strings.Contains(body, "LocationConstraint") {
		t.Errorf("?location: %d %s", status, body)
	}
	below := b.origin(t, func(o *s3.Options) { o.Prefix = "in" })
	if status, body, _ := forward(t, below, "GET", "", "location", "", nil); status != 200 {
		t.Errorf("?location below a prefix: %d %s", status, body)
	}
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/?list-type=2&prefix=x", nil), httptest.NewRequest("POST", "/?delete", strings.NewReader("<Delete/>"))} {
		if _, err := below.Forward(t.Context(), "", r); !errors.Is(err, origin.ErrUnsupported) {
			t.Errorf("%s %s below a prefix: %v, want ErrUnsupported", r.Method, r.URL, err)
		}
	}
}

// generation is the content of the object under overwrites: every 16 bytes name the version and where they lie.
func generation(n uint64, size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 16 {
		binary.LittleEndian.PutUint64(b[i:], n)
		binary.LittleEndian.PutUint64(b[i+8:], uint64(i))
	}
	return b
}

// TestS3OriginUnderOverwrites reads at random while the object is overwritten: every answer is a piece of exactly one version, and of
// the pinned one where one was asked for.
func TestS3OriginUnderOverwrites(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	seed := origintest.Seed(t)
	const size, overwrites, readers = 256 << 10, 60, 3
	b.put(t, "x", generation(0, size))
	o := stack(t, b.origin(t))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var changed, whole int64
	var mu sync.Mutex
	for w := range readers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for ctx.Err() == nil {
				moved, err := readOneVersion(o, rng, size)
				mu.Lock()
				if moved {
					changed++
				} else {
					whole++
				}
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range overwrites {
		b.put(t, "x", generation(uint64(n+1), size))
	}
	stop()
	wg.Wait()
	t.Logf("%d answers, %d refused because the object had changed", whole, changed)
	if whole == 0 {
		t.Error("no read ever succeeded")
	}
}

// readOneVersion pins the present version, reads two ranges of it and checks that they agree.
func readOneVersion(o origin.Origin, rng *rand.Rand, size int64) (moved bool, err error) {
	var req origin.ReadRequest
	var generation uint64
	for i := range 2 {
		req.Path, req.Offset = "x", rng.Int64N(size/16)*16
		req.Length = 16 * (1 + rng.Int64N((size-req.Offset)/16))
		c, got, err := readAll(o, req)
		if errors.Is(err, origin.ErrVersionChanged) {
			return true, nil
		}
		if err != nil || int64(len(got)) != req.Length {
			return false, fmt.Errorf("%+v: %d bytes, %w", req, len(got), err)
		}
		if i == 0 {
			req.Version, req.ETag, generation = c.Object.Version, c.Object.ETag, binary.LittleEndian.Uint64(got)
		}
		for j := 0; j < len(got); j += 16 {
			if g, at := binary.LittleEndian.Uint64(got[j:]), binary.LittleEndian.Uint64(got[j+8:]); g != generation || at != uint64(req.Offset)+uint64(j) {
				return false, fmt.Errorf("%+v, answered %s: byte %d is of generation %d at %d, want generation %d", req, c.Object.Version, j, g, at, generation)
			}
		}
	}
	return false, nil
}

func TestS3OriginHoldsItsVersionOverReads(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	o := b.origin(t)
	b.put(t, "x", []byte("one"))
	first, body, err := readAll(o, origin.ReadRequest{Path: "x", Length: origin.WholeRange})
	if err != nil || !bytes.Equal(body, []byte("one")) {
		t.Fatal(err)
	}
	b.put(t, "x", []byte("two"))
	b.put(t, "x", []byte("one")) // the bytes of the first version, at the first version's name
	again, body, err := readAll(o, origin.ReadRequest{Path: "x", Length: origin.WholeRange, Version: first.Object.Version, ETag: first.Object.ETag})
	if err != nil || string(body) != "one" || again.Object.Parts[0] != first.Object.Parts[0] {
		t.Errorf("the same bytes again: %q %+v %v", body, again.Object, err)
	}
}
