package s3

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
)

func TestConformance(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		store := mem.New("s3")
		server := httptest.NewServer(&fakeS3{store: store})
		t.Cleanup(server.Close)
		return origintest.Memory(store, func(origin.Origin) origin.Origin { return at(t, server.URL) })
	})
}

func TestConformanceBelowAPrefix(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		store := mem.New("s3")
		for _, key := range []string{"a b", "a b/", "a b/+%41x", "a c/+%41/x", "zz"} {
			store.Put(key, []byte("outside the mount"))
		}
		server := httptest.NewServer(&fakeS3{store: store})
		t.Cleanup(server.Close)
		return origintest.Fixture{
			Origin:  at(t, server.URL, func(o *Options) { o.Prefix = "a b/+%41" }),
			Put:     func(_ testing.TB, path string, data []byte) { store.Put("a b/+%41/"+path, data) },
			Delete:  func(_ testing.TB, path string) { store.Delete("a b/+%41/" + path) },
			Refuses: hasDots,
		}
	})
}

func TestConformanceWithoutETags(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		store := mem.New("s3")
		store.HideVersions(true)
		server := httptest.NewServer(&fakeS3{store: store})
		t.Cleanup(server.Close)
		return origintest.Memory(store, func(origin.Origin) origin.Origin { return at(t, server.URL) })
	})
}

func TestPathsDoNotClimbOutOfAPrefix(t *testing.T) {
	fake := &fakeS3{store: mem.New("s3")}
	o := at(t, serve(t, fake.ServeHTTP).URL, func(o *Options) { o.Prefix = "in" })
	for _, path := range []string{"..", "../x", "a/../../x", "./x"} {
		_, err1 := o.Stat(t.Context(), path)
		_, err2 := o.Read(t.Context(), origin.ReadRequest{Path: path, Length: 1})
		_, err3 := o.Forward(t.Context(), path, httptest.NewRequest("GET", "/", nil))
		for _, err := range []error{err1, err2, err3} {
			if origin.Kind(err) != origin.ErrInvalid {
				t.Errorf("%q: %v, want ErrInvalid", path, err)
			}
		}
	}
	if len(fake.seen) != 0 {
		t.Errorf("%d requests were sent", len(fake.seen))
	}
}

func TestPartIDsAreUnambiguous(t *testing.T) {
	o := at(t, "http://127.0.0.1:1")
	seen := map[string]string{}
	for _, c := range []struct {
		key, etag string
		size      int64
	}{{"a", `"1"`, 1}, {"a", `"1"`, 11}, {"a", `"1"/1`, 1}, {`a"@"\"1\"`, `"1"`, 1}, {`a"@"1`, `"1"`, 1}, {"a/", `"1"`, 1}, {"", `"1"`, 1}, {`a`, `"1\"@"`, 1},
		{`a`, `"1"@"2"`, 1}, {`a@"1"`, `"2"`, 1}} {
		id, what := o.describe(c.key, c.etag, c.size, time.Time{}).Parts[0].ID, fmt.Sprintf("%+v", c)
		if before, ok := seen[id]; ok {
			t.Errorf("%s and %s share the id %s", before, what, id)
		}
		seen[id] = what
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		etag string
		want origin.Version
	}{{`"abc-2"`, `"abc-2"/7`}, {"abc", `"abc"/7`}, {"", ""}, {`""`, ""}, {`W/"abc"`, ""}, {`"a/b"`, `"a/b"/7`}} {
		got := version(c.etag, 7)
		if got != c.want {
			t.Errorf("version of %s: %q, want %q", c.etag, got, c.want)
		}
		if etag, size, ok := split(got); ok != (got != "") || ok && (etag != canonical(c.etag) || size != 7) {
			t.Errorf("%q is split into %q and %d, %v", got, etag, size, ok)
		}
	}
	for _, v := range []origin.Version{"", "/", "x/1", `"x"/`, `"x"/-1`, `"x`, `"/1`} {
		if etag, size, ok := split(v); ok {
			t.Errorf("%q passes for a version: %q %d", v, etag, size)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	store := mem.New("s3")
	store.Put("x", make([]byte, 100_000))
	server := httptest.NewUnstartedServer(&fakeS3{store: store})
	var connections atomic.Int64
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	o := at(t, server.URL)
	for range 10 {
		c, err := o.Read(t.Context(), origin.ReadRequest{Path: "x", Offset: 10, Length: 70_000})
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, c.Length)
		for n := 0; n < len(buf); { // as io.ReadFull: without asking for the end
			m, err := c.Body.Read(buf[n:])
			n += m
			if err != nil && n < len(buf) {
				t.Fatal(err)
			}
		}
		if err := c.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Stat(t.Context(), "absent"); origin.Kind(err) != origin.ErrNotFound {
			t.Fatal(err)
		}
		if _, err := o.Read(t.Context(), origin.ReadRequest{Path: "absent", Length: 1}); origin.Kind(err) != origin.ErrNotFound {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("30 requests, one after the other, took %d connections", n)
	}
}

func TestTransport(t *testing.T) {
	tr := newTransport(Options{}.withDefaults())
	if tr.Proxy != nil || !tr.DisableCompression || tr.MaxIdleConnsPerHost != 256 || tr.ResponseHeaderTimeout != 30*time.Second || tr.TLSHandshakeTimeout != 10*time.Second {
		t.Errorf("transport %+v", tr)
	}
}

func TestOptionsTellEveryFault(t *testing.T) {
	err := Options{Bucket: "a/b", Prefix: "x/../y", Endpoint: "ftp://x", AccessKeyID: "k", Anonymous: true, Connections: -1,
		DialTimeout: -1, TLSTimeout: -1, HeaderTimeout: -1, StallTimeout: -1}.Validate()
	for _, want := range []string{`"a/b"`, `"x/../y"`, `"ftp://x"`, "secret", "anonymous", "Connections", "DialTimeout", "TLSTimeout", "HeaderTimeout", "StallTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not speak of %s: %v", want, err)
		}
	}
	for _, o := range []Options{{}, {Bucket: "x--x-s3"}, {Bucket: "arn:aws:s3:us-east-1:1:accesspoint/x"}, {Bucket: "lake", SessionToken: "t"},
		{Bucket: "lake", Endpoint: "http://u:hidden@h"}, {Bucket: "lake", Endpoint: "http://h?x"}, {Bucket: "lake", Endpoint: "h:80"}} {
		if err := o.Validate(); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := New(o); err == nil {
			t.Errorf("New took %+v", o)
		}
	}
	if err := (Options{Bucket: "My_old.bucket", Endpoint: "https://h:9000/base/"}).Validate(); err != nil {
		t.Error(err)
	}
}

// quiet takes the AWS environment of whoever runs the test away.
func quiet(t *testing.T) {
	for _, v := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(v, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestNewReadsTheEnvironment(t *testing.T) {
	quiet(t)
	if o, err := New(Options{Bucket: "lake"}); err != nil || o.region != "us-east-1" {
		t.Errorf("without a region: %v", err)
	}
	fake := &fakeS3{store: mem.New("s3")}
	server := serve(t, fake.ServeHTTP)
	t.Setenv("AWS_REGION", "eu-west-3")
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL+"/")
	t.Setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	o, err := New(Options{Bucket: "lake", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if want := fmt.Sprintf("s3:%q/%q", server.URL, "lake"); o.ID() != want {
		t.Errorf("id %s, want %s", o.ID(), want)
	}
	if _, err := o.Stat(t.Context(), "absent"); origin.Kind(err) != origin.ErrNotFound {
		t.Errorf("stat: %v", err)
	}
	if auth := fake.seen[0].Header.Get("Authorization"); !strings.Contains(auth, "Credential=from-the-environment/") || !strings.Contains(auth, "/eu-west-3/s3/") {
		t.Errorf("signed as %s", auth)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	quiet(t)
	for _, c := range []struct {
		opts     Options
		base, id string
	}{
		{Options{Region: "eu-west-1"}, "https://lake.s3.eu-west-1.amazonaws.com", `s3:"https://s3.eu-west-1.amazonaws.com"/"lake"`},
		{Options{Region: "eu-west-1", PathStyle: true}, "https://s3.eu-west-1.amazonaws.com/lake", `s3:"https://s3.eu-west-1.amazonaws.com"/"lake"`},
		{Options{Endpoint: "http://STORE:9000/"}, "http://lake.STORE:9000", `s3:"http://store:9000"/"lake"`},
		{Options{Endpoint: "http://store:9000", PathStyle: true, Prefix: "x"}, "http://store:9000/lake", `s3:"http://store:9000"/"lake"`},
		{Options{Endpoint: "https://h/base", PathStyle: true}, "https://h/base/lake", `s3:"https://h/base"/"lake"`},
	} {
		c.opts.Bucket = "lake"
		o, err := New(c.opts)
		if err != nil {
			t.Fatal(err)
		}
		if o.base.String() != c.base || o.ID() != c.id {
			t.Errorf("%+v: base %s, id %s; want %s, %s", c.opts, o.base.String(), o.ID(), c.base, c.id)
		}
	}
}
