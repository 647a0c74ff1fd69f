package endpoint

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/alio-lake/alio/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "AKIAIOSFODNN7EXAMPLE" // of AWS's published examples
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

type stored struct {
	data []byte
	obj  origin.Object
}

// fake is a Backend in memory.
type fake struct {
	mu        sync.Mutex
	mounts    map[string]map[string]stored
	forwarded []*http.Request // as they came to Forward
	openErr   error           // what Open and Stat fail with, if set
	forward   func(mount, path string, r *http.Request) (*http.Response, error)
	body      func(data []byte) io.ReadCloser
	lastETag  string // of the last Open's request
}

var fakeTime = time.Date(2024, 2, 29, 12, 34, 56, 789e6, time.UTC)

func newFake(mounts ...string) *fake {
	f := &fake{mounts: map[string]map[string]stored{}, body: func(d []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(d)) }}
	for _, m := range mounts {
		f.mounts[m] = map[string]stored{}
	}
	return f
}

func (f *fake) put(mount, key string, data []byte, attrs map[string]string) string {
	sum := md5.Sum(data)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts[mount][key] = stored{data, origin.Object{Path: key, Version: origin.Version(etag), Size: int64(len(data)), ModTime: fakeTime, ETag: etag, Attributes: attrs}}
	return etag
}

func (f *fake) get(mount, key string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.mounts[mount][key]
	return s.data, ok
}

func (f *fake) requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.forwarded)
}

func (f *fake) Mounts() []string { return slices.Sorted(maps.Keys(f.mounts)) }

func (f *fake) find(mount, path string) (stored, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.openErr != nil {
		return stored{}, f.openErr
	}
	m, ok := f.mounts[mount]
	if !ok {
		return stored{}, origin.NewError(origin.ErrUnknownMount, "read", mount, nil)
	}
	s, ok := m[path]
	if !ok {
		return stored{}, origin.NewError(origin.ErrNotFound, "read", path, nil)
	}
	return s, nil
}

func (f *fake) Stat(_ context.Context, mount, path string) (origin.Object, error) {
	s, err := f.find(mount, path)
	return s.obj, err
}

func (f *fake) Open(_ context.Context, mount string, req origin.ReadRequest, check func(*origin.Object) error) (origin.Content, error) {
	s, err := f.find(mount, req.Path)
	if err != nil {
		return origin.Content{}, err
	}
	f.mu.Lock()
	f.lastETag = req.ETag
	f.mu.Unlock()
	if err := check(&s.obj); err != nil {
		return origin.Content{}, err
	}
	off, n := req.Offset, req.Length
	if req.Suffix > 0 {
		n = min(req.Suffix, s.obj.Size)
		off = s.obj.Size - n
	}
	if off >= s.obj.Size {
		e := origin.NewError(origin.ErrInvalidRange, "read", req.Path, nil)
		e.Size = s.obj.Size
		return origin.Content{}, e
	}
	if n == origin.WholeRange || n > s.obj.Size-off {
		n = s.obj.Size - off
	}
	return origin.Content{Object: s.obj, Offset: off, Length: n, Body: f.body(s.data[off : off+n])}, nil
}

// List folds and pages as S3 does. Its tokens hold bytes that no URL takes as they are.
func (f *fake) List(_ context.Context, mount string, req origin.ListRequest) (origin.Listing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.mounts[mount]
	if !ok {
		return origin.Listing{}, origin.NewError(origin.ErrUnknownMount, "list", mount, nil)
	}
	after, folded := req.StartAfter, ""
	if req.Token != "" {
		after = strings.TrimPrefix(req.Token, "\x00+/& ")
		folded = after
	}
	var out origin.Listing
	last := ""
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(key, req.Prefix) || key <= after || folded != "" && strings.HasSuffix(folded, req.Delimiter) && strings.HasPrefix(key, folded) && req.Delimiter != "" {
			continue
		}
		name, prefix := key, false
		if i := strings.Index(key[len(req.Prefix):], req.Delimiter); req.Delimiter != "" && i >= 0 {
			name, prefix = key[:len(req.Prefix)+i+len(req.Delimiter)], true
			if n := len(out.CommonPrefixes); n > 0 && out.CommonPrefixes[n-1] == name {
				continue
			}
		}
		if len(out.Entries)+len(out.CommonPrefixes) == req.MaxKeys {
			out.NextToken = "\x00+/& " + last
			break
		}
		last = name
		if prefix {
			out.CommonPrefixes = append(out.CommonPrefixes, name)
		} else {
			out.Entries = append(out.Entries, origin.Entry{Object: m[key].obj})
		}
	}
	return out, nil
}

// Forward acts as the origin: it stores and deletes, and reads what the endpoint would not.
func (f *fake) Forward(_ context.Context, mount, path string, r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.forwarded = append(f.forwarded, r)
	hook := f.forward
	f.mu.Unlock()
	if hook != nil {
		return hook(mount, path, r)
	}
	switch r.Method {
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, origin.NewError(origin.ErrUnavailable, "forward", path, err)
		}
		if int64(len(data)) != r.ContentLength {
			return nil, origin.NewError(origin.ErrUnavailable, "forward", path, errors.New("short body"))
		}
		return answer(200, http.Header{"Etag": {f.put(mount, path, data, nil)}}, ""), nil
	case http.MethodDelete:
		f.mu.Lock()
		delete(f.mounts[mount], path)
		f.mu.Unlock()
		return answer(204, nil, ""), nil
	}
	return answer(200, http.Header{"X-From": {"origin"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}, "Content-Type": {"text/plain"}}, "the origin's"), nil
}

func answer(status int, h http.Header, body string) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// newHandler makes a Handler, or fails the test.
func newHandler(t testing.TB, o Options) *Handler {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve starts a server that ends with the test.
func serve(t testing.TB, o Options, tls bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(newHandler(t, o))
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// sdk makes the client that the tests speak to the endpoint with.
func sdk(s *httptest.Server, o ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL), Region: "us-east-1", UsePathStyle: true, HTTPClient: s.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""), RetryMaxAttempts: 1,
	}, o...)
}

func signedOptions(f *fake) Options {
	return Options{Backend: f, Credentials: []Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret}}}
}

// do sends an unsigned request straight to a handler.
func do(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.RequestURI = target // as it is: net/url would refuse some
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// counted reads a counter or a gauge.
func counted(c prometheus.Metric) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func newLogger(w io.Writer) zerolog.Logger { return zerolog.New(w) }
