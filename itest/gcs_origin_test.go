package itest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/formats/parquet/parquettest"
	"github.com/alio-lake/alio/gcs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// gcsBucket is a fresh bucket of an emulator and a client of the test's own beside the origin under test.
type gcsBucket struct {
	server *harness.GCS
	handle *storage.BucketHandle
	name   string
}

var gcsBuckets atomic.Int64

func newGCSBucket(t testing.TB, server *harness.GCS, versions bool) *gcsBucket {
	t.Helper()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // never fails
	b := &gcsBucket{server: server, name: fmt.Sprintf("origin-%d", gcsBuckets.Add(1))}
	b.handle = client.Bucket(b.name)
	if err := b.handle.Create(t.Context(), "alio", &storage.BucketAttrs{VersioningEnabled: versions}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *gcsBucket) origin(t testing.TB, change ...func(*gcs.Options)) *gcs.Origin {
	t.Helper()
	opts := gcs.Options{Bucket: b.name, Endpoint: b.server.Endpoint, Anonymous: true}
	for _, c := range change {
		c(&opts)
	}
	o, err := gcs.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() }) // never fails
	return o
}

func (b *gcsBucket) put(t testing.TB, name string, data []byte, change ...func(*storage.Writer)) {
	t.Helper()
	w := b.handle.Object(name).NewWriter(context.Background())
	for _, c := range change {
		c(w)
	}
	_, err := w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
}

func (b *gcsBucket) remove(t testing.TB, name string) {
	t.Helper()
	if err := b.handle.Object(name).Delete(context.Background()); err != nil {
		t.Fatalf("delete %q: %v", name, err)
	}
}

// refusedByGCS are names that Cloud Storage cannot hold, or that no path within a mount has.
func refusedByGCS(path string) bool {
	return path == "." || path == ".." || strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\r\n")
}

func (b *gcsBucket) fixture(o origin.Origin, prefix string) origintest.Fixture {
	return origintest.Fixture{
		Origin:  o,
		Put:     func(t testing.TB, path string, data []byte) { b.put(t, prefix+path, data) },
		Delete:  func(t testing.TB, path string) { b.remove(t, prefix+path) },
		Refuses: refusedByGCS,
	}
}

func TestGCSOriginConformance(t *testing.T) {
	server := harness.GCSServer(t)
	t.Run("alone", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newGCSBucket(t, server, false)
			return b.fixture(b.origin(t), "")
		})
	})
	t.Run("versions", func(t *testing.T) { // an old one is still there, and must not be answered
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newGCSBucket(t, server, true)
			return b.fixture(b.origin(t), "")
		})
	})
	t.Run("prefix", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newGCSBucket(t, server, false)
			for _, name := range []string{"ware", "ware house/db+1/", "warehouse-2/x", "x/warehouse/y", "zz"} {
				b.put(t, name, []byte("outside the mount"))
			}
			return b.fixture(b.origin(t, func(o *gcs.Options) { o.Prefix = "/ware house/db+1" }), "ware house/db+1/")
		})
	})
	t.Run("wrapped", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newGCSBucket(t, server, false)
			return b.fixture(stack(t, b.origin(t)), "")
		})
	})
}

// TestGCSOriginTellsAttributes: what describes an object is told by a Stat and by a Read alike, and its bytes are those that are stored, even
// where Cloud Storage would unzip them for most clients.
func TestGCSOriginTellsAttributes(t *testing.T) {
	b := newGCSBucket(t, harness.GCSServer(t), false)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(bytes.Repeat([]byte("0123456789"), 1000))
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	b.put(t, "x", zipped.Bytes(), func(w *storage.Writer) {
		w.ContentType, w.ContentEncoding, w.CacheControl, w.ContentLanguage = "text/csv", "gzip", "max-age=60", "de"
		w.ContentDisposition = `attachment; filename="x"`
		w.Metadata = map[string]string{"owner": "finance", "note": "a b"}
	})
	o := b.origin(t)
	stat, err := o.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	whole, body, err := readAll(o, origin.ReadRequest{Path: "x", Length: origin.WholeRange})
	if err != nil || !bytes.Equal(body, zipped.Bytes()) {
		t.Fatalf("%d bytes of %d, %v", len(body), zipped.Len(), err)
	}
	part, body, err := readAll(o, origin.ReadRequest{Path: "x", Version: stat.Version, ETag: stat.ETag, Offset: 2, Length: 3})
	if err != nil || !bytes.Equal(body, zipped.Bytes()[2:5]) {
		t.Fatalf("%q, %v", body, err)
	}
	want := map[string]string{"Content-Type": "text/csv", "Content-Encoding": "gzip", "Cache-Control": "max-age=60", "Content-Language": "de",
		"Content-Disposition": `attachment; filename="x"`, "X-Amz-Meta-Owner": "finance", "X-Amz-Meta-Note": "a b"}
	for what, got := range map[string]map[string]string{"stat": stat.Attributes, "whole": whole.Object.Attributes, "part": part.Object.Attributes} {
		if !maps.Equal(got, want) {
			t.Errorf("%s: attributes %v, want %v", what, got, want)
		}
	}
	if attrs, err := b.handle.Object("x").Attrs(t.Context()); err != nil || stat.ETag != fmt.Sprintf("\"%d\"", attrs.Generation) {
		t.Errorf("the ETag is %s, the generation %d, %v", stat.ETag, attrs.Generation, err)
	}
}

func TestGCSOriginRefusals(t *testing.T) {
	b := newGCSBucket(t, harness.GCSServer(t), false)
	b.put(t, "x", []byte("0123456789"))
	for _, c := range []struct {
		name   string
		change func(*gcs.Options)
		kind   error
		says   string
	}{
		{"unknown bucket", func(o *gcs.Options) { o.Bucket = "no-such-bucket-here" }, origin.ErrNotFound, "no-such-bucket-here"},
		{"no server", func(o *gcs.Options) { o.Endpoint = "http://127.0.0.1:1" }, origin.ErrUnavailable, "http://127.0.0.1:1"},
	} {
		o := b.origin(t, c.change)
		_, statErr := o.Stat(t.Context(), "x")
		_, readErr := o.Read(t.Context(), origin.ReadRequest{Path: "x", Length: 1})
		_, listErr := o.List(t.Context(), origin.ListRequest{})
		_, putErr := o.Put(t.Context(), "x", strings.NewReader("x"), 1, origin.PutOptions{})
		for op, err := range map[string]error{"stat": statErr, "read": readErr, "list": listErr, "put": putErr} {
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%s, %s: %v; want one that is %q and names %s", c.name, op, err, c.kind, c.says)
			}
		}
		if c.kind == origin.ErrNotFound && !strings.Contains(listErr.Error(), "check the name in the mount") {
			t.Errorf("%s: %v does not say what to do", c.name, listErr)
		}
	}
}

// TestGCSOriginWrites: a Put answers the generation that it made, of whatever size, and what it wrote is read at once; a Delete of nothing is
// no error.
func TestGCSOriginWrites(t *testing.T) {
	b := newGCSBucket(t, harness.GCSServer(t), false)
	o := b.origin(t, func(o *gcs.Options) { o.Prefix = "w" })
	seen := map[origin.Version]bool{}
	for _, size := range []int{0, 1, 100, 20 << 20} {
		for _, told := range []int64{int64(size), -1} {
			data := bytes.Repeat([]byte{byte(size), byte(told)}, size/2+1)[:size]
			put, err := o.Put(t.Context(), "a b/c+%41", bytes.NewReader(data), told, origin.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			stat, err := o.Stat(t.Context(), "a b/c+%41")
			if err != nil || put.Version != stat.Version || put.ETag != stat.ETag || put.Size != int64(size) || seen[put.Version] {
				t.Errorf("wrote %+v, found %+v, %v", put, stat, err)
			}
			seen[put.Version] = true
			if _, got, err := readAll(o, origin.ReadRequest{Path: "a b/c+%41", Version: put.Version, ETag: put.ETag, Length: origin.WholeRange}); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d, %v", len(got), size, err)
			}
		}
	}
	before, err := o.Stat(t.Context(), "a b/c+%41")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Put(t.Context(), "a b/c+%41", io.LimitReader(zeros{}, 1000), 1001, origin.PutOptions{}); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("a body that is too short: %v", err)
	}
	if after, err := o.Stat(t.Context(), "a b/c+%41"); err != nil || after.Version != before.Version {
		t.Errorf("a body that is too short has replaced %s by %s, %v", before.Version, after.Version, err)
	}
	for range 2 {
		if err := o.Delete(t.Context(), "a b/c+%41"); err != nil {
			t.Error(err)
		}
	}
	if _, err := o.Stat(t.Context(), "a b/c+%41"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestGCSRequestsAreCounted: the measuring proxy can stand before the emulator, and a Read is one request.
func TestGCSRequestsAreCounted(t *testing.T) {
	b := newGCSBucket(t, harness.GCSServer(t), false)
	b.put(t, "t/x.parquet", bytes.Repeat([]byte("x"), 1000))
	p, err := s3proxy.Start(s3proxy.Options{Target: b.server.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // never fails
	o := b.origin(t, func(o *gcs.Options) { o.Endpoint = p.URL() })
	obj, err := o.Stat(t.Context(), "t/x.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []origin.ReadRequest{{Suffix: 100}, {Offset: 10, Length: 20, Version: obj.Version}} {
		req.Path = "t/x.parquet"
		if _, _, err := readAll(o, req); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.List(t.Context(), origin.ListRequest{Prefix: "t/"}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Put(t.Context(), "t/y", strings.NewReader("y"), 1, origin.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	_, got, err := p.Take(t.Context())
	if want := (s3proxy.Summary{DataGETs: 2, Footers: 1, MetadataGETs: 1, LISTs: 1, Writes: 1, Requests: 5, BytesFetched: got.BytesFetched}); err != nil || got != want || got.BytesFetched < 120 {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// TestGCSIsReadOnce: what an S3 client has read of a GCS object through the sidecar is not asked of GCS again.
func TestGCSIsReadOnce(t *testing.T) {
	b := newGCSBucket(t, harness.GCSServer(t), false)
	p, err := s3proxy.Start(s3proxy.Options{Target: b.server.Endpoint})
	must(t, err)
	t.Cleanup(func() { _ = p.Close() }) // never fails
	const maxAge = 20 * time.Second
	door, _ := newDoor(t, b.origin(t, func(o *gcs.Options) { o.Endpoint = p.URL() }), 1, maxAge, 8<<20, false)
	file := parquettest.Arrow(t, parquettest.Spec{Columns: 6, RowGroups: 2, Rows: 9000, ValueSize: 20})
	key := "t/dt=2024-01-01/part 0+1.parquet"
	b.put(t, key, file)
	read := func(what string, want []byte) s3proxy.Summary {
		t.Helper()
		for _, rng := range []*string{aws.String("bytes=-49152"), nil, aws.String("bytes=1000-99999")} {
			out, err := door.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: &key, Range: rng})
			must(t, err)
			got, err := io.ReadAll(out.Body)
			must(t, errors.Join(err, out.Body.Close()))
			if rng == nil && !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes are not the %d of the object", what, len(got), len(want))
			}
		}
		_, s, err := p.Take(t.Context())
		must(t, err)
		return s
	}
	if s := read("first", file); s.DataGETs == 0 || s.BytesFetched > int64(len(file))*11/10 {
		t.Errorf("the first time: %+v for an object of %d bytes", s, len(file))
	}
	if s := read("second", file); s.Requests != 0 {
		t.Errorf("the second time: %+v; want no request at all", s)
	}
}

// TestGCSOriginIDsNameTheBucketNotTheMount: pages of one object are shared by mounts of it, and not by those of another.
func TestGCSOriginIDsNameTheBucketNotTheMount(t *testing.T) {
	server := harness.GCSServer(t)
	one, two := newGCSBucket(t, server, false), newGCSBucket(t, server, false)
	one.put(t, "a/x", []byte("same"))
	two.put(t, "a/x", []byte("same"))
	id := func(o *gcs.Origin, path string) string {
		obj, err := o.Stat(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return obj.Parts[0].ID
	}
	whole, folder, other := one.origin(t), one.origin(t, func(o *gcs.Options) { o.Prefix = "a" }), two.origin(t)
	if a, b := id(whole, "a/x"), id(folder, "x"); a != b || whole.ID() != folder.ID() {
		t.Errorf("two mounts name one object %q and %q", a, b)
	}
	if a, b := id(whole, "a/x"), id(other, "a/x"); a == b || whole.ID() == other.ID() {
		t.Errorf("objects of two buckets share the id %q", a)
	}
}
