package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alio-lake/alio/origin"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// arrived is what a server saw of a request.
type arrived struct {
	host, uri, body string
	length          int64
	header          http.Header
}

// forwardTo sends r through an origin whose every host is one server, and returns what arrived there.
func forwardTo(t *testing.T, path string, r *http.Request, change ...func(*Options)) (arrived, error) {
	t.Helper()
	var got arrived
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // a short one shows in the comparison
		got = arrived{r.Host, r.RequestURI, string(b), r.ContentLength, r.Header}
		w.WriteHeader(599)
	})
	tr := newTransport(Options{}.withDefaults())
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	with := func(o *Options) { o.HTTPClient = &http.Client{Transport: tr} }
	resp, err := at(t, "http://store.test:9000", append([]func(*Options){with}, change...)...).Forward(t.Context(), path, r)
	if err != nil {
		return got, err
	}
	if resp.StatusCode != 599 {
		t.Errorf("the answer's status is %d", resp.StatusCode)
	}
	return got, resp.Body.Close()
}

func TestForwardRewritesOnlyWhatItMust(t *testing.T) {
	r := httptest.NewRequest("PUT", "http://door/mount/x?tagging&versionId=a%2Fb+c&X-Amz-Signature=s&X-Amz-Credential=c&X-Amz-Expires=1", strings.NewReader("payload"))
	for k, v := range map[string]string{
		"Authorization": "client's", "X-Amz-Date": "client's", "X-Amz-Security-Token": "client's", "Expect": "100-continue", "Connection": "x-hop, Close",
		"X-Hop": "client's", "Te": "trailers", "X-Amz-Content-Sha256": digest, "X-Amz-Meta-A": "1", "Content-Type": "text/x", "Content-Md5": "m", "If-None-Match": "*",
	} {
		r.Header.Set(k, v)
	}
	got, err := forwardTo(t, "dir/a b+ü%", r, func(o *Options) { o.SessionToken = "ours" })
	if err != nil {
		t.Fatal(err)
	}
	if got.host != "store.test:9000" || got.uri != "/lake/dir/a%20b%2B%C3%BC%25?tagging=&versionId=a%2Fb%20c" || got.body != "payload" || got.length != 7 {
		t.Errorf("what arrived: %+v", got)
	}
	h := got.header
	for k, want := range map[string]string{"X-Amz-Content-Sha256": digest, "X-Amz-Meta-A": "1", "Content-Type": "text/x", "Content-Md5": "m", "If-None-Match": "*",
		"X-Amz-Security-Token": "ours", "X-Hop": "", "Te": "", "Expect": "", "Connection": "", "User-Agent": "", "Accept-Encoding": ""} {
		if h.Get(k) != want {
			t.Errorf("header %s is %q, want %q", k, h.Get(k), want)
		}
	}
	auth := h.Get("Authorization")
	if !strings.Contains(auth, "Credential=key/") || !strings.Contains(auth, "/us-east-1/s3/aws4_request") || !strings.Contains(auth, "x-amz-meta-a") || h.Get("X-Amz-Date") == "client's" {
		t.Errorf("signed as %s at %s", auth, h.Get("X-Amz-Date"))
	}
	if r.Header.Get("Authorization") != "client's" || r.URL.Path != "/mount/x" {
		t.Error("the client's request was changed")
	}
}

func TestForwardAddresses(t *testing.T) {
	virtual := func(o *Options) { o.PathStyle = false }
	below := func(o *Options) { o.Prefix = "p q" }
	for _, c := range []struct {
		path, uri, host string
		change          func(*Options)
	}{
		{"x", "/lake/x", "store.test:9000", func(*Options) {}},
		{"/x//y/", "/lake//x//y/", "store.test:9000", func(*Options) {}},
		{"", "/lake", "store.test:9000", func(*Options) {}},
		{"x", "/lake/p%20q/x", "store.test:9000", below},
		{"x", "/x", "lake.store.test:9000", virtual},
		{"/x", "//x", "lake.store.test:9000", virtual},
		{"", "/", "lake.store.test:9000", virtual},
	} {
		method := "HEAD"
		got, err := forwardTo(t, c.path, httptest.NewRequest(method, "/", nil), c.change)
		if err != nil || got.uri != c.uri || got.host != c.host {
			t.Errorf("%q: %s at %s, %v; want %s at %s", c.path, got.uri, got.host, err, c.uri, c.host)
		}
	}
}

func TestForwardPayloadHash(t *testing.T) {
	for hash, want := range map[string]string{"": unsignedPayload, unsignedPayload: unsignedPayload, "nonsense": unsignedPayload, digest: digest, unsignedTrailer: unsignedTrailer} {
		r := httptest.NewRequest("PUT", "/", strings.NewReader("x"))
		r.Header.Set(payloadHashHeader, hash)
		if got, err := forwardTo(t, "x", r); err != nil || got.header.Get(payloadHashHeader) != want {
			t.Errorf("%s: %s, %v; want %s", hash, got.header.Get(payloadHashHeader), err, want)
		}
	}
	for _, change := range []func(*Options){func(*Options) {}, func(o *Options) { o.AccessKeyID, o.SecretAccessKey, o.Anonymous = "", "", true }} {
		r := httptest.NewRequest("GET", "/", nil)
		for _, k := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
			r.Header.Set(k, "the client's")
		}
		got, err := forwardTo(t, "x", r, change)
		for k, v := range got.header {
			if err != nil || strings.Contains(v[0], "client") {
				t.Errorf("%v: the client's %s went on: %s", err, k, v[0])
			}
		}
	}
	got, err := forwardTo(t, "x", httptest.NewRequest("GET", "/", nil), func(o *Options) { o.AccessKeyID, o.SecretAccessKey, o.Anonymous = "", "", true })
	if err != nil || got.header.Get("Authorization") != "" {
		t.Errorf("anonymous: %v, %v", got.header, err)
	}
}

func TestForwardRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*http.Request)
		kind   error
	}{
		"signed chunks": {func(r *http.Request) { r.Header.Set(payloadHashHeader, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") }, origin.ErrUnsupported},
		"a copy":        {func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/other/key") }, origin.ErrUnsupported},
		"a bad query":   {func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, origin.ErrInvalid},
		"semicolons":    {func(r *http.Request) { r.URL.RawQuery = "a=1;b=2" }, origin.ErrInvalid},
	} {
		r := httptest.NewRequest("PUT", "/", strings.NewReader("x"))
		c.change(r)
		if got, err := forwardTo(t, "x", r); !errors.Is(err, c.kind) || got.uri != "" {
			t.Errorf("%s: %v, and %q was sent; want %v", name, err, got.uri, c.kind)
		}
	}
}

// TestForwardDoesNotRetry: the answer comes back as it is, and a broken connection is told, not tried again.
func TestForwardDoesNotRetry(t *testing.T) {
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // then the answer
		switch r.URL.Path {
		case "/lake/slow":
			w.Header().Set("Retry-After", "3")
			fail(w, 503, "SlowDown", "")
		case "/lake/moved":
			http.Redirect(w, r, "/lake/slow", http.StatusTemporaryRedirect)
		case "/lake/half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			panic(http.ErrAbortHandler)
		}
	})
	o := at(t, server.URL)
	for path, status := range map[string]int{"slow": 503, "moved": 307, "half": 200, "broken": 0} {
		requests.Store(0)
		resp, err := o.Forward(t.Context(), path, httptest.NewRequest("PUT", "/", strings.NewReader("body")))
		if status == 0 {
			if !errors.Is(err, origin.ErrUnavailable) {
				t.Errorf("%s: %v", path, err)
			}
		} else if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %v, %v; want %d", path, resp, err, status)
		} else {
			_, err := io.ReadAll(resp.Body)
			if errors.Is(err, origin.ErrUnavailable) != (path == "half") {
				t.Errorf("%s: the body ends with %v", path, err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("%s: %d requests", path, n)
		}
	}
}
