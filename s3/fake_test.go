package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	opts := Options{Bucket: "lake", Endpoint: endpoint, PathStyle: true, AccessKeyID: "key", SecretAccessKey: "secret"}
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

// fakeS3 is the reading half of S3 over objects in memory, by the letter of its documentation; unlike the real servers at hand it holds any
// key.
type fakeS3 struct {
	store *mem.Origin

	mu   sync.Mutex
	seen []*http.Request
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r)
	f.mu.Unlock()
	key, ok := strings.CutPrefix(r.URL.Path, "/lake/")
	switch {
	case r.URL.Path == "/lake" || ok && key == "":
		f.list(w, r)
	case ok:
		f.object(w, r, key)
	default:
		fail(w, 404, "NoSuchBucket", "The specified bucket does not exist")
	}
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}

func (f *fakeS3) object(w http.ResponseWriter, r *http.Request, key string) {
	obj, err := f.store.Stat(r.Context(), key)
	if err != nil {
		fail(w, 404, "NoSuchKey", "The specified key does not exist.")
		return
	}
	if m := r.Header.Get("If-Match"); m != "" && m != obj.ETag {
		fail(w, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		return
	}
	h := w.Header()
	h.Set("Last-Modified", obj.ModTime.Format(http.TimeFormat))
	if obj.ETag != "" {
		h.Set("ETag", obj.ETag)
	}
	h.Set("X-Amz-Request-Id", "R1")
	req, status := origin.ReadRequest{Path: key, Length: origin.WholeRange}, 200
	if span, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		first, last, _ := strings.Cut(span, "-")
		status = 206
		if first == "" {
			req.Suffix, _ = strconv.ParseInt(last, 10, 64)
		} else if req.Offset, _ = strconv.ParseInt(first, 10, 64); last != "" {
			end, _ := strconv.ParseInt(last, 10, 64)
			req.Length = end - req.Offset + 1
		}
	}
	c, err := f.store.Read(r.Context(), req)
	if errors.Is(err, origin.ErrInvalidRange) || status == 206 && obj.Size == 0 {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", obj.Size))
		fail(w, 416, "InvalidRange", "The requested range is not satisfiable")
		return
	}
	h.Set("Content-Length", fmt.Sprint(c.Length))
	if status == 206 {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", c.Offset, c.Offset+c.Length-1, obj.Size))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, c.Body) // a client that went away
	}
}

// listResult is ListObjectsV2's answer.
type listResult struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	EncodingType          string   `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listed
	CommonPrefixes        []struct{ Prefix string }
}

type listed struct {
	Key, LastModified, ETag string
	Size                    int64
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	keys, _ := strconv.Atoi(q.Get("max-keys"))
	token, err := url.QueryUnescape(q.Get("continuation-token"))
	if err != nil || q.Get("encoding-type") != "url" || q.Get("list-type") != "2" {
		fail(w, 400, "InvalidArgument", "want list-type 2, encoded")
		return
	}
	l, err := f.store.List(r.Context(), origin.ListRequest{Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), StartAfter: q.Get("start-after"), Token: token, MaxKeys: keys})
	if err != nil {
		fail(w, 500, "InternalError", err.Error())
		return
	}
	out := listResult{EncodingType: "url", IsTruncated: l.NextToken != "", NextContinuationToken: url.QueryEscape(l.NextToken)}
	for _, e := range l.Entries {
		out.Contents = append(out.Contents, listed{url.QueryEscape(e.Path), e.ModTime.Format("2006-01-02T15:04:05.000Z"), e.ETag, e.Size})
	}
	for _, p := range l.CommonPrefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, struct{ Prefix string }{url.QueryEscape(p)})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(out) // a client that went away
}

// readAll reads what o answers to req.
func readAll(o origin.Origin, req origin.ReadRequest) (origin.Content, []byte, error) {
	c, err := o.Read(context.Background(), req)
	if err != nil {
		return c, nil, err
	}
	b, err := io.ReadAll(c.Body)
	return c, b, errors.Join(err, c.Body.Close())
}
