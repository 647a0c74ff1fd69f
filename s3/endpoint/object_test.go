package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/origin"
)

func TestRanges(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "ten", []byte("0123456789"), nil)
	f.put("lake", "empty", nil, nil)
	h := newHandler(t, Options{Backend: f})
	for _, c := range []struct {
		key, header string
		status      int
		body, cr    string
	}{
		{"ten", "", 200, "0123456789", ""},
		{"ten", "bytes=0-0", 206, "0", "bytes 0-0/10"},
		{"ten", "bytes=2-4", 206, "234", "bytes 2-4/10"},
		{"ten", "bytes=7-", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=0-", 206, "0123456789", "bytes 0-9/10"},
		{"ten", "bytes=5-99", 206, "56789", "bytes 5-9/10"},
		{"ten", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=-49152", 206, "0123456789", "bytes 0-9/10"},                // Trino
		{"ten", "bytes=0-9223372036854775806", 206, "0123456789", "bytes 0-9/10"}, // Presto
		{"ten", "bytes=3-9223372036854775807", 206, "3456789", "bytes 3-9/10"},
		{"ten", "bytes=3-99999999999999999999999999", 206, "3456789", "bytes 3-9/10"},
		{"ten", "bytes=-99999999999999999999999999", 206, "0123456789", "bytes 0-9/10"},
		{"ten", "BYTES=1-1", 206, "1", "bytes 1-1/10"},
		{"ten", " bytes=1-1 ", 206, "1", "bytes 1-1/10"},
		{"ten", "bytes=10-", 416, "", "bytes */10"},
		{"ten", "bytes=10-20", 416, "", "bytes */10"},
		{"ten", "bytes=99999999999999999999-", 416, "", "bytes */10"},
		{"ten", "bytes=-0", 416, "", "bytes */10"},
		// What S3 ignores.
		{"ten", "bytes=4-2", 200, "0123456789", ""},
		{"ten", "bytes=0-1,4-5", 200, "0123456789", ""},
		{"ten", "bytes=", 200, "0123456789", ""},
		{"ten", "bytes=-", 200, "0123456789", ""},
		{"ten", "bytes=a-b", 200, "0123456789", ""},
		{"ten", "bytes=1", 200, "0123456789", ""},
		{"ten", "bytes=--1", 200, "0123456789", ""},
		{"ten", "bytes=1-2-3", 200, "0123456789", ""},
		{"ten", "lines=1-2", 200, "0123456789", ""},
		{"ten", "1-2", 200, "0123456789", ""},
		{"empty", "", 200, "", ""},
		{"empty", "bytes=0-", 416, "", "bytes */0"},
		{"empty", "bytes=-1", 416, "", "bytes */0"},
		{"empty", "bytes=-0", 416, "", "bytes */0"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			var header []string
			if c.header != "" {
				header = []string{"Range", c.header}
			}
			w := do(h, method, "/lake/"+c.key, header...)
			if w.Code != c.status || w.Header().Get("Content-Range") != c.cr {
				t.Errorf("%s %s %q: %d %q", method, c.key, c.header, w.Code, w.Header().Get("Content-Range"))
				continue
			}
			body := w.Body.String()
			if method == "HEAD" && body != "" {
				t.Errorf("HEAD %q: body %q", c.header, body)
			}
			if c.status == 416 {
				size := strings.TrimPrefix(c.cr, "bytes */")
				if method == "GET" && !strings.Contains(body, "<Code>InvalidRange</Code>") || method == "GET" && !strings.Contains(body, "<ActualObjectSize>"+size+"<") {
					t.Errorf("%q: %s", c.header, body)
				}
				continue
			}
			if method == "GET" && body != c.body || w.Header().Get("Content-Length") != fmt.Sprint(len(c.body)) || w.Header().Get("Accept-Ranges") != "bytes" {
				t.Errorf("%s %s %q: %q %v", method, c.key, c.header, body, w.Header())
			}
		}
	}
}

func TestConditions(t *testing.T) {
	f := newFake("lake")
	etag := f.put("lake", "k", []byte("0123456789"), nil)
	bare := strings.Trim(etag, `"`)
	h := newHandler(t, Options{Backend: f})
	before, same, after := fakeTime.Add(-time.Hour).Format(http.TimeFormat), fakeTime.Format(http.TimeFormat), fakeTime.Add(time.Hour).Format(http.TimeFormat)
	const im, inm, ims, ius = "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"
	for _, c := range []struct {
		status int
		header []string
	}{
		{200, []string{im, etag}}, {200, []string{im, bare}}, {200, []string{im, "*"}}, {200, []string{im, `"x", ` + etag}},
		{200, []string{im, `"x"`, im, etag}}, {200, []string{im, `"a,b",` + etag}},
		{412, []string{im, `"x"`}}, {412, []string{im, "W/" + etag}}, {412, []string{im, `"x", "y"`}}, {412, []string{im, `"x,` + bare + `"`}},
		{304, []string{inm, etag}}, {304, []string{inm, bare}}, {304, []string{inm, "*"}}, {304, []string{inm, "W/" + etag}},
		{304, []string{inm, `"x",` + etag}}, {200, []string{inm, `"x"`}},
		{200, []string{ims, before}}, {304, []string{ims, same}}, {304, []string{ims, after}}, {200, []string{ims, "nonsense"}},
		{412, []string{ius, before}}, {200, []string{ius, same}}, {200, []string{ius, after}}, {200, []string{ius, "nonsense"}},
		// Precedence, as the GetObject page gives it.
		{200, []string{im, etag, ius, before}}, {412, []string{im, `"x"`, ius, after}},
		{304, []string{inm, etag, ims, before}}, {200, []string{inm, `"x"`, ims, after}},
		{412, []string{im, `"x"`, inm, etag}}, {304, []string{im, etag, inm, etag}}, {412, []string{ius, before, inm, etag}},
		// Conditions come before the range.
		{412, []string{im, `"x"`, "Range", "bytes=99-"}}, {304, []string{inm, etag, "Range", "bytes=99-"}},
		{416, []string{im, etag, "Range", "bytes=99-"}}, {206, []string{im, etag, "Range", "bytes=1-"}},
		{412, []string{im, `"x"`, "Range", "bytes=-0"}},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := do(h, method, "/lake/k", c.header...)
			if w.Code != c.status {
				t.Errorf("%s %q: %d, want %d", method, c.header, w.Code, c.status)
			}
			switch {
			case c.status == 304 && (w.Header().Get("Etag") != etag || w.Body.Len() != 0 || w.Header().Get("Last-Modified") != same):
				t.Errorf("%s %q: %v", method, c.header, w.Header())
			case c.status == 412 && method == "GET" && !strings.Contains(w.Body.String(), "<Condition>"+c.header[0]+"<"):
				t.Errorf("%q: %s", c.header, w.Body)
			}
		}
	}
	if w := do(h, "GET", "/lake/none", im, "*"); w.Code != 404 {
		t.Errorf("If-Match on nothing: %d", w.Code)
	}
}

// TestConditionsOfAnObjectBeingWritten: it has no ETag, and its time proves nothing.
func TestConditionsOfAnObjectBeingWritten(t *testing.T) {
	o := origin.Object{ModTime: fakeTime, Size: 10, Parts: []origin.Part{{ID: "a", Length: 5}, {Offset: 5, Length: 5}}}
	after := fakeTime.Add(time.Hour).Format(http.TimeFormat)
	for header, failed := range map[[2]string]bool{{"If-Match", `"x"`}: true, {"If-Match", `""`}: true, {"If-Match", "*"}: false, {"If-None-Match", `"x"`}: false,
		{"If-Modified-Since", after}: false, {"If-Unmodified-Since", after}: true} {
		c := parseConditions(http.Header{header[0]: {header[1]}})
		if err := c.check(&o); (err != nil) != failed || err == errNotModified {
			t.Errorf("%v: %v", header, err)
		}
	}
}

// TestChangedBetweenCheckAndBytes: the object that the bytes come from is the one that must meet the conditions.
func TestChangedBetweenCheckAndBytes(t *testing.T) {
	f := newFake("lake")
	etag := f.put("lake", "k", []byte("old"), nil)
	h := newHandler(t, Options{Backend: &switching{fake: f, to: []byte("new!")}})
	if w := do(h, "GET", "/lake/k", "If-Match", etag); w.Code != 412 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", "/lake/k"); w.Code != 200 || w.Body.String() != "new!" || w.Header().Get("Content-Length") != "4" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
}

// switching shows one version to check and serves another.
type switching struct {
	*fake
	to []byte
}

func (s *switching) Open(ctx context.Context, mount string, req origin.ReadRequest, check func(*origin.Object) error) (origin.Content, error) {
	old, err := s.find(mount, req.Path)
	if err == nil {
		err = check(&old.obj)
	}
	if err != nil {
		return origin.Content{}, err
	}
	s.put(mount, req.Path, s.to, nil)
	return s.fake.Open(ctx, mount, req, func(*origin.Object) error { return nil })
}

func TestErrorKinds(t *testing.T) {
	throttled := origin.NewError(origin.ErrThrottled, "read", "k", nil)
	throttled.RetryAfter = 2500 * time.Millisecond
	unknownSize := origin.NewError(origin.ErrInvalidRange, "read", "k", nil)
	for _, c := range []struct {
		err        error
		match      string
		status     int
		code       string
		retryAfter string
	}{
		{origin.NewError(origin.ErrNotFound, "read", "k", nil), "", 404, "NoSuchKey", ""},
		{origin.NewError(origin.ErrUnknownMount, "read", "k", nil), "", 404, "NoSuchBucket", ""},
		{origin.NewError(origin.ErrDenied, "read", "k", nil), "", 403, "AccessDenied", ""},
		{origin.NewError(origin.ErrVersionChanged, "read", "k", nil), "", 503, "ServiceUnavailable", ""},
		{origin.NewError(origin.ErrVersionChanged, "read", "k", nil), "*", 503, "ServiceUnavailable", ""},
		{origin.NewError(origin.ErrVersionChanged, "read", "k", nil), `"e"`, 412, "PreconditionFailed", ""},
		{throttled, "", 503, "SlowDown", "3"},
		{origin.ErrThrottled, "", 503, "SlowDown", "1"},
		{origin.NewError(origin.ErrUnavailable, "read", "k", errors.New("dial tcp: refused")), "", 503, "ServiceUnavailable", ""},
		{errors.New("anything"), "", 503, "ServiceUnavailable", ""},
		{unknownSize, "", 416, "InvalidRange", ""},
		{origin.NewError(origin.ErrInvalid, "read", "k", nil), "", 400, "InvalidRequest", ""},
		{origin.NewError(origin.ErrUnsupported, "read", "k", nil), "", 501, "NotImplemented", ""},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), "", 503, "ServiceUnavailable", ""},
		{fmt.Errorf("stopping: %w", context.Canceled), "", 503, "ServiceUnavailable", ""},
	} {
		f := newFake("lake")
		f.openErr = c.err
		h := newHandler(t, Options{Backend: f})
		var header []string
		if c.match != "" {
			header = []string{"If-Match", c.match}
		}
		w := do(h, "GET", "/lake/k", header...)
		body := w.Body.String()
		if w.Code != c.status || !strings.Contains(body, "<Code>"+c.code+"</Code>") || w.Header().Get("Retry-After") != c.retryAfter ||
			!strings.Contains(body, "<Resource>/lake/k</Resource>") || !strings.Contains(body, "<RequestId>"+w.Header().Get("X-Amz-Request-Id")+"<") {
			t.Errorf("%v: %d %s %v", c.err, w.Code, body, w.Header())
		}
		if w := do(h, "HEAD", "/lake/k", header...); w.Code != c.status || w.Body.Len() != 0 {
			t.Errorf("HEAD, %v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func TestAttributesAndChecksums(t *testing.T) {
	f := newFake("lake")
	etag := f.put("lake", "k", []byte("0123456789"), map[string]string{"Content-Type": "text/csv", "Content-Encoding": "gzip", "X-Amz-Meta-A": "b",
		"X-Amz-Checksum-Crc32": "pds9xg==", "X-Amz-Checksum-Type": "FULL_OBJECT", "Content-Length": "77", "Etag": `"forged"`, "Connection": "close"})
	h := newHandler(t, Options{Backend: f})
	for _, c := range []struct {
		sums   bool
		header []string
	}{
		{false, nil}, {true, []string{"X-Amz-Checksum-Mode", "ENABLED"}}, {false, []string{"X-Amz-Checksum-Mode", "ENABLED", "Range", "bytes=0-4"}},
		{false, []string{"X-Amz-Checksum-Mode", "ENABLED", "Range", "bytes=0-"}},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			hd := do(h, method, "/lake/k", c.header...).Header()
			if hd.Get("Content-Type") != "text/csv" || hd.Get("Content-Encoding") != "gzip" || hd.Get("X-Amz-Meta-A") != "b" || hd.Get("Etag") != etag || hd.Get("Connection") != "" {
				t.Errorf("%v: %v", c.header, hd)
			}
			if got := hd.Get("X-Amz-Checksum-Crc32") + hd.Get("X-Amz-Checksum-Type"); (got == "pds9xg==FULL_OBJECT") != c.sums || !c.sums && got != "" {
				t.Errorf("%s %v: checksums %q", method, c.header, got)
			}
		}
	}
	f.put("lake", "plain", nil, nil)
	if ct := do(h, "GET", "/lake/plain").Header().Get("Content-Type"); ct != "binary/octet-stream" {
		t.Errorf("content type %q", ct)
	}
}

// breaking gives part of a body and then fails.
type breaking struct {
	io.Reader
	err error
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (b *breaking) Close() error { return nil }

// writing is a body that writes itself.
type writing struct{ breaking }

func (w *writing) WriteTo(to io.Writer) (int64, error) {
	n, err := io.Copy(to, w.Reader)
	if err == nil && w.err != io.EOF {
		err = w.err
	}
	return n, err
}

// TestBrokenBodyIsNeverWhole: the client must see an error, not a short success, however the body ends early.
func TestBrokenBodyIsNeverWhole(t *testing.T) {
	for name, body := range map[string]func(d []byte) io.ReadCloser{
		"error":   func(d []byte) io.ReadCloser { return &breaking{bytes.NewReader(d[:len(d)/2]), origin.ErrUnavailable} },
		"end":     func(d []byte) io.ReadCloser { return &breaking{bytes.NewReader(d[:len(d)/2]), io.EOF} },
		"nothing": func([]byte) io.ReadCloser { return &breaking{bytes.NewReader(nil), origin.ErrVersionChanged} },
		"writer error": func(d []byte) io.ReadCloser {
			return &writing{breaking{bytes.NewReader(d[:len(d)/2]), origin.ErrUnavailable}}
		},
		"writer end": func(d []byte) io.ReadCloser { return &writing{breaking{bytes.NewReader(d[:len(d)/2]), io.EOF}} },
		"too long": func(d []byte) io.ReadCloser {
			return &writing{breaking{bytes.NewReader(append(bytes.Clone(d), 1)), io.EOF}}
		},
	} {
		for _, size := range []int{2, 1000, 1 << 20} {
			f := newFake("lake")
			f.put("lake", "k", make([]byte, size), nil)
			f.body = body
			h := newHandler(t, Options{Backend: f, Registerer: prometheus.NewRegistry()})
			s := httptest.NewServer(h)
			resp, err := s.Client().Get(s.URL + "/lake/k")
			if err == nil {
				var got []byte
				got, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && name != "too long" {
					t.Errorf("%s: the client took %d of %d bytes for the whole", name, len(got), size)
				}
			}
			s.Close()
			if n := counted(h.metrics.requests[opGet][codeAborted]); n != 1 && name != "too long" {
				t.Errorf("%s: counted %v aborted", name, n)
			}
		}
	}
}

// TestClientGoneIsQuiet: a client that hangs up is no failure of ours.
func TestClientGoneIsQuiet(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "k", make([]byte, 1<<20), nil)
	arrived := make(chan struct{})
	f.body = func(d []byte) io.ReadCloser { return &breaking{bytes.NewReader(nil), context.Canceled} }
	var logged bytes.Buffer
	o := Options{Backend: &waiting{fake: f, arrived: arrived}, Logger: newLogger(&logged)}
	h := newHandler(t, o)
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/lake/k", nil)
	if _, err := s.Client().Do(req); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-done
	if n := counted(h.metrics.requests[opGet][codeClientGone]); n != 1 || logged.Len() != 0 {
		t.Errorf("counted %v, logged %s", n, &logged)
	}
}

// waiting holds Open until the client has gone.
type waiting struct {
	*fake
	arrived chan struct{}
}

func (w *waiting) Open(ctx context.Context, _ string, _ origin.ReadRequest, _ func(*origin.Object) error) (origin.Content, error) {
	close(w.arrived)
	<-ctx.Done()
	return origin.Content{}, ctx.Err()
}
