package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// pinned asks for five bytes at 10 of the version that the tests' servers no longer have.
var pinned = origin.ReadRequest{Path: "x", Version: `"old"/100`, ETag: `"old"`, Offset: 10, Length: 5}

// answer writes a 206 with the headers given, over good ones.
func answer(w http.ResponseWriter, body string, header map[string]string) {
	h := w.Header()
	h.Set("ETag", `"old"`)
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

// TestAnswersAreCompared: what an answer says is believed over what the server should have done.
func TestAnswersAreCompared(t *testing.T) {
	for _, c := range []struct {
		name   string
		header map[string]string
		kind   error // nil: the read succeeds
	}{
		{"as asked", nil, nil},
		{"an ETag without quotes", map[string]string{"ETag": "old"}, nil},
		{"If-Match was ignored", map[string]string{"ETag": `"new"`}, origin.ErrVersionChanged},
		{"the ETag is the same, the size is not", map[string]string{"Content-Range": "bytes 10-14/101"}, origin.ErrVersionChanged},
		{"no ETag", map[string]string{"ETag": ""}, origin.ErrVersionChanged},
		{"a weak ETag", map[string]string{"ETag": `W/"old"`}, origin.ErrVersionChanged},
		{"another range", map[string]string{"Content-Range": "bytes 11-15/100"}, origin.ErrUnavailable},
		{"a shorter range", map[string]string{"Content-Range": "bytes 10-13/100", "Content-Length": "4"}, origin.ErrUnavailable},
		{"a range and a length that disagree", map[string]string{"Content-Length": "4"}, origin.ErrUnavailable},
		{"no Content-Range", map[string]string{"Content-Range": ""}, origin.ErrUnavailable},
		{"a Content-Range without a size", map[string]string{"Content-Range": "bytes 10-14/*"}, origin.ErrUnavailable},
		{"a Content-Range that lies", map[string]string{"Content-Range": "bytes 10-14/12"}, origin.ErrUnavailable},
		{"a Content-Range backwards", map[string]string{"Content-Range": "bytes 14-10/100"}, origin.ErrUnavailable},
		{"a Content-Range with signs", map[string]string{"Content-Range": "bytes +10-+14/100"}, origin.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-Match") != `"old"` || r.Header.Get("Range") != "bytes=10-14" || r.Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("the request's headers: %v", r.Header)
				}
				answer(w, "abcde", c.header)
			})
			o := at(t, server.URL)
			for _, req := range []origin.ReadRequest{pinned, {Path: "x", Version: pinned.Version, Offset: 10, Length: 5}} {
				content, b, err := readAll(o, req)
				if !errors.Is(err, c.kind) || (err == nil) != (c.kind == nil) {
					t.Errorf("%v, want %v", err, c.kind)
				}
				if c.kind == nil && (string(b) != "abcde" || content.Object.Version != pinned.Version || content.Object.Size != 100) {
					t.Errorf("%q of %+v", b, content.Object)
				}
			}
		})
	}
}

func TestAnETagAloneIsACondition(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Match") != `"old"` {
			t.Errorf("If-Match is %q", r.Header.Get("If-Match"))
		}
		answer(w, "abcde", map[string]string{"ETag": `"new"`})
	})
	if _, _, err := readAll(at(t, server.URL), origin.ReadRequest{Path: "x", ETag: `"old"`, Offset: 10, Length: 5}); !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("%v, want ErrVersionChanged", err)
	}
}

func TestObjectsWithoutAStrongETagHaveNoVersion(t *testing.T) {
	for _, etag := range []string{"", `W/"x"`, `""`} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if _, ok := r.Header["If-Match"]; ok {
				t.Errorf("If-Match: %q", r.Header.Get("If-Match"))
			}
			answer(w, "abcde", map[string]string{"ETag": etag})
		})
		c, b, err := readAll(at(t, server.URL), origin.ReadRequest{Path: "x", ETag: etag, Offset: 10, Length: 5})
		if err != nil || string(b) != "abcde" || c.Object.Version != "" || len(c.Object.Parts) != 0 {
			t.Errorf("ETag %q: %q, %+v, %v", etag, b, c.Object, err)
		}
	}
}

func TestAServerThatIgnoresRanges(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"old"`)
		_, _ = io.WriteString(w, "0123456789")
	})
	o := at(t, server.URL)
	for _, req := range []origin.ReadRequest{{Path: "x", Length: 10}, {Path: "x", Length: 11}, {Path: "x", Suffix: 10}, {Path: "x", Length: origin.WholeRange}} {
		if _, b, err := readAll(o, req); err != nil || string(b) != "0123456789" {
			t.Errorf("%+v: %q, %v; the whole is what was asked for", req, b, err)
		}
	}
	for _, req := range []origin.ReadRequest{{Path: "x", Length: 9}, {Path: "x", Offset: 1, Length: 5}, {Path: "x", Suffix: 9}} {
		if _, b, err := readAll(o, req); !errors.Is(err, origin.ErrUnsupported) {
			t.Errorf("%+v: %q, %v; want ErrUnsupported", req, b, err)
		}
	}
}

// TestShortBodies: a body that ends early is never an end of file, however the connection ends.
func TestShortBodies(t *testing.T) {
	for name, end := range map[string]func(w http.ResponseWriter){
		"the connection breaks": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"the chunks end":        func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				length := map[string]string{}
				if name == "the chunks end" {
					length["Content-Length"] = "" // sent in chunks, which end properly
				}
				answer(w, "abc", length)
				w.(http.Flusher).Flush()
				end(w)
			})
			c, err := at(t, server.URL).Read(t.Context(), pinned)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c.Body)
			if !errors.Is(err, origin.ErrUnavailable) || errors.Is(err, io.EOF) || string(b) != "abc" || origin.Permanent(err) {
				t.Errorf("%q, %v; want the three bytes that came and ErrUnavailable", b, err)
			}
			if _, again := c.Body.Read(make([]byte, 1)); !errors.Is(again, origin.ErrUnavailable) {
				t.Errorf("the next read: %v", again)
			}
			if err := c.Body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestABodyThatIsTooLongIsCut(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "abc", map[string]string{"Content-Length": ""})
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "defghijkl") // in chunks; a client that went away
	})
	if _, b, err := readAll(at(t, server.URL), pinned); err != nil || string(b) != "abcde" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestStalls: an answer or a body that never comes ends by the origin's own time limits.
func TestStalls(t *testing.T) {
	hung := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answer(w, "abc", nil)
			w.(http.Flusher).Flush()
		}
		<-hung
	})
	defer close(hung)
	if _, err := at(t, server.URL, func(o *Options) { o.HeaderTimeout = 20 * time.Millisecond }).Stat(t.Context(), "x"); !errors.Is(err, origin.ErrUnavailable) || origin.Permanent(err) {
		t.Errorf("a HEAD that is not answered: %v", err)
	}
	_, b, err := readAll(at(t, server.URL, func(o *Options) { o.StallTimeout = 20 * time.Millisecond }), pinned)
	if !errors.Is(err, origin.ErrUnavailable) || !errors.Is(err, outbound.ErrStalled) || errors.Is(err, context.Canceled) || !strings.HasPrefix("abc", string(b)) {
		t.Errorf("a body that stalls: %q, %v", b, err)
	}
}

func TestContextsShowThrough(t *testing.T) {
	arrived, hung := make(chan struct{}, 8), make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-hung
	})
	defer close(hung)
	o := at(t, server.URL)
	for name, call := range map[string]func(ctx context.Context) error{
		"stat": func(ctx context.Context) error { _, err := o.Stat(ctx, "x"); return err },
		"read": func(ctx context.Context) error { _, err := o.Read(ctx, pinned); return err },
		"list": func(ctx context.Context) error { _, err := o.List(ctx, origin.ListRequest{}); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		if err := call(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, origin.ErrUnavailable) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}

// TestAnEndedContextIsTold: whatever a request failed with after its caller had gone, the error says that the caller had gone.
func TestAnEndedContextIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := errors.New("a cause of its own")
	if err := at(t, "http://127.0.0.1:1").broke(ctx, "read", "x", other); !errors.Is(err, context.Canceled) || !errors.Is(err, other) {
		t.Errorf("%v", err)
	}
}

func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		kind   error
	}{
		{404, "NoSuchKey", origin.ErrNotFound}, {404, "NoSuchBucket", origin.ErrNotFound}, {404, "", origin.ErrNotFound},
		{403, "AccessDenied", origin.ErrDenied}, {403, "", origin.ErrDenied}, {401, "", origin.ErrDenied}, {400, "ExpiredToken", origin.ErrDenied},
		{412, "PreconditionFailed", origin.ErrVersionChanged}, {412, "", origin.ErrVersionChanged},
		{429, "TooManyRequests", origin.ErrThrottled}, {503, "SlowDown", origin.ErrThrottled}, {503, "ServiceUnavailable", origin.ErrThrottled}, {503, "", origin.ErrThrottled},
		{400, "SlowDown", origin.ErrThrottled}, {500, "InternalError", origin.ErrUnavailable}, {502, "", origin.ErrUnavailable}, {504, "", origin.ErrUnavailable},
		{400, "RequestTimeout", origin.ErrUnavailable}, {408, "", origin.ErrUnavailable}, {501, "NotImplemented", origin.ErrUnsupported},
		{405, "MethodNotAllowed", origin.ErrUnsupported}, {400, "InvalidArgument", origin.ErrInvalid}, {301, "PermanentRedirect", origin.ErrInvalid}, {307, "", origin.ErrInvalid},
	} {
		var requests atomic.Int64
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "/elsewhere")
			if c.code == "" {
				w.WriteHeader(c.status)
				return
			}
			fail(w, c.status, c.code, "a message")
		})
		o := at(t, server.URL)
		_, readErr := o.Read(t.Context(), pinned)
		_, listErr := o.List(t.Context(), origin.ListRequest{Prefix: "p"})
		for _, err := range []error{readErr, listErr} {
			var e *origin.Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(err.Error(), `bucket "lake" at `+server.URL) || !strings.Contains(err.Error(), c.code) {
				t.Errorf("%d %s: %v, want %v that names the bucket", c.status, c.code, err, c.kind)
				continue
			}
			if want := time.Duration(map[bool]int{true: 7}[!origin.Permanent(err)]) * time.Second; e.RetryAfter != want {
				t.Errorf("%d %s: retry after %v, want %v", c.status, c.code, e.RetryAfter, want)
			}
		}
		if n := requests.Load(); n != 2 {
			t.Errorf("%d %s: %d requests, want 2: nothing is tried again or followed here", c.status, c.code, n)
		}
	}
}

func TestTheBucketsRegionIsTold(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
		w.WriteHeader(301)
	})
	if _, err := at(t, server.URL).Stat(t.Context(), "x"); !errors.Is(err, origin.ErrInvalid) || !strings.Contains(err.Error(), "region eu-north-1, this mount's region is us-east-1") {
		t.Errorf("%v", err)
	}
}

func TestRangeErrors(t *testing.T) {
	size, contentRange := 100, ""
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("ETag", `"old"`)
			w.Header().Set("Content-Length", fmt.Sprint(size))
			return
		}
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		fail(w, 416, "InvalidRange", "")
	})
	o := at(t, server.URL)
	past := origin.ReadRequest{Path: "x", Offset: 100, Length: 5}
	pinnedPast := past
	pinnedPast.Version = pinned.Version
	for _, c := range []struct {
		name         string
		size         int
		contentRange string
		req          origin.ReadRequest
		kind         error
		told         int64
	}{
		{"the answer tells the size", 0, "bytes */100", past, origin.ErrInvalidRange, 100},
		{"it does not: a HEAD does", 100, "", past, origin.ErrInvalidRange, 100},
		{"neither makes sense", 100, "bytes */x", past, origin.ErrInvalidRange, 100},
		{"pinned, of another size by now", 0, "bytes */90", pinnedPast, origin.ErrVersionChanged, -1},
		{"pinned, of another size by a HEAD", 90, "", pinnedPast, origin.ErrVersionChanged, -1},
		{"grown since", 200, "", past, origin.ErrUnavailable, -1},
		{"a suffix, empty then, not now", 200, "bytes */0", origin.ReadRequest{Path: "x", Suffix: 5}, origin.ErrUnavailable, -1},
		{"a suffix of an empty object", 0, "bytes */0", origin.ReadRequest{Path: "x", Suffix: 5}, nil, 0},
	} {
		size, contentRange = c.size, c.contentRange
		content, b, err := readAll(o, c.req)
		var e *origin.Error
		if c.kind == nil {
			if err != nil || len(b) != 0 || content.Length != 0 || content.Object.Version != `"old"/0` {
				t.Errorf("%s: %+v, %v", c.name, content, err)
			}
		} else if !errors.As(err, &e) || e.Kind != c.kind || e.Size != c.told {
			t.Errorf("%s: %v, want %v with the size %d", c.name, err, c.kind, c.told)
		}
	}
}

func TestListTellsTheRestoreStatus(t *testing.T) {
	const answer = `<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>` +
		`<ETag>"e"</ETag><Size>3</Size><StorageClass>GLACIER</StorageClass>%s</Contents></ListBucketResult>`
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var status string
		if r.Header.Get("X-Amz-Optional-Object-Attributes") == "RestoreStatus" {
			status = `<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2026-02-03T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>`
		}
		fmt.Fprintf(w, answer, status)
	})
	o := at(t, server.URL)
	for _, ask := range []bool{false, true} {
		l, err := o.List(t.Context(), origin.ListRequest{RestoreStatus: ask})
		if err != nil || len(l.Entries) != 1 || l.Entries[0].StorageClass != "GLACIER" {
			t.Fatalf("%+v, %v", l, err)
		}
		switch r := l.Entries[0].Restore; {
		case (r != nil) != ask:
			t.Errorf("asked %t, told %+v", ask, r)
		case ask && (r.InProgress || r.Expires.Format(time.DateOnly) != "2026-02-03"):
			t.Errorf("told %+v", r)
		}
	}
}
