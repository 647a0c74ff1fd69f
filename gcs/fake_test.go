package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/alio-lake/alio/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The emulator shows what a well-behaved server does (itest). The servers of these tests misbehave.

// serve starts an HTTP server for one test.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// at makes an origin of the bucket "lake" at a server.
func at(t testing.TB, endpoint string, change ...func(*Options)) *Origin {
	t.Helper()
	opts := Options{Bucket: "lake", Endpoint: endpoint, Anonymous: true}
	for _, c := range change {
		c(&opts)
	}
	o, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() }) // never fails
	return o
}

// old asks for five bytes at 10 of a version of 100 bytes.
var old = origin.ReadRequest{Path: "x", Version: "7/100", ETag: `"7"`, Offset: 10, Length: 5}

// answer writes a 206 with the headers given, over good ones.
func answer(w http.ResponseWriter, body string, header map[string]string) {
	h := w.Header()
	h.Set("X-Goog-Generation", "7")
	h.Set("Content-Range", "bytes 10-14/100")
	h.Set("Content-Length", "5")
	for k, v := range header {
		if h.Set(k, v); v == "" {
			h.Del(k)
		}
	}
	w.WriteHeader(206)
	_, _ = io.WriteString(w, body) // a client that went away
}

func readAll(o origin.Origin, req origin.ReadRequest) (origin.Content, []byte, error) {
	c, err := o.Read(context.Background(), req)
	if err != nil {
		return c, nil, err
	}
	b, err := io.ReadAll(c.Body)
	return c, b, errors.Join(err, c.Body.Close())
}

// metadata is the JSON of an object, with the sum of "abc".
func metadata(w http.ResponseWriter, generation int64, size int) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"name":"x","bucket":"lake","generation":"%d","size":"%d","crc32c":"Nks/tw==","updated":"2024-05-01T12:00:00.5Z"}`, generation, size)
}
