package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/limit"
	"github.com/alio-lake/alio/origin/meter"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/origin/retry"
	"github.com/alio-lake/alio/s3"
)

// bucket is a fresh bucket of a server and a client of the test's own beside the origin under test.
type bucket struct {
	server *harness.S3Server
	client *awss3.Client
	name   string
}

var buckets atomic.Int64

func newBucket(t testing.TB, server *harness.S3Server) *bucket {
	t.Helper()
	b := &bucket{server: server, client: server.Client(), name: fmt.Sprintf("origin-%d", buckets.Add(1))}
	if _, err := b.client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &b.name}); err != nil {
		t.Fatal(err)
	}
	return b
}

// options are what an origin of the bucket needs.
func (b *bucket) options() s3.Options {
	return s3.Options{Bucket: b.name, Endpoint: b.server.Endpoint, Region: b.server.Region, PathStyle: true,
		AccessKeyID: b.server.AccessKey, SecretAccessKey: b.server.SecretKey}
}

func (b *bucket) origin(t testing.TB, change ...func(*s3.Options)) *s3.Origin {
	t.Helper()
	opts := b.options()
	for _, c := range change {
		c(&opts)
	}
	o, err := s3.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() }) // never fails
	return o
}

func (b *bucket) put(t testing.TB, key string, data []byte) {
	t.Helper()
	if _, err := b.client.PutObject(context.Background(), &awss3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(data)}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func (b *bucket) remove(t testing.TB, key string) {
	t.Helper()
	if _, err := b.client.DeleteObject(context.Background(), &awss3.DeleteObjectInput{Bucket: &b.name, Key: &key}); err != nil {
		t.Fatalf("delete %q: %v", key, err)
	}
}

// refuses are keys that this server cannot hold: it keeps each as a file of that name, and lists them in XML without encoding.
func refuses(key string) bool {
	for s := range strings.SplitSeq(key, "/") {
		if s == "" || s == "." || s == ".." {
			return true
		}
	}
	return key == "t0" || strings.ContainsAny(key, "\x07")
}

func (b *bucket) fixture(o origin.Origin, prefix string) origintest.Fixture {
	return origintest.Fixture{
		Origin:  o,
		Put:     func(t testing.TB, path string, data []byte) { b.put(t, prefix+path, data) },
		Delete:  func(t testing.TB, path string) { b.remove(t, prefix+path) },
		Refuses: refuses,
	}
}

func TestS3OriginConformance(t *testing.T) {
	server := harness.S3(t)
	t.Run("alone", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newBucket(t, server)
			return b.fixture(b.origin(t), "")
		})
	})
	t.Run("prefix", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newBucket(t, server)
			for _, key := range []string{"ware", "warehouse1/x", "warehouse-2/x", "x/warehouse/y", "zz"} {
				b.put(t, key, []byte("outside the mount"))
			}
			return b.fixture(b.origin(t, func(o *s3.Options) { o.Prefix = "/ware house/db+1" }), "ware house/db+1/")
		})
	})
	t.Run("wrapped", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			b := newBucket(t, server)
			return b.fixture(stack(t, b.origin(t)), "")
		})
	})
}

// stack is what a mount has around its origin.
func stack(t testing.TB, o origin.Origin) origin.Origin {
	t.Helper()
	m, err := meter.New(o, meter.Options{Mount: "lake", Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := limit.New(m, limit.Options{Concurrency: 4, BytesPerSecond: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	r, err := retry.New(l, retry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readAll(o origin.Origin, req origin.ReadRequest) (origin.Content, []byte, error) {
	c, err := o.Read(context.Background(), req)
	if err != nil {
		return c, nil, err
	}
	b, err := io.ReadAll(c.Body)
	return c, b, errors.Join(err, c.Body.Close())
}

func TestS3OriginAttributes(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	_, err := b.client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: &b.name, Key: aws.String("x"), Body: strings.NewReader("0123456789"), ContentType: aws.String("text/csv"), ContentEncoding: aws.String("gzip"),
		CacheControl: aws.String("max-age=60"), ContentLanguage: aws.String("de"), ContentDisposition: aws.String(`attachment; filename="x"`),
		Metadata: map[string]string{"owner": "finance", "note": "a b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := b.origin(t)
	stat, err := o.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	c, body, err := readAll(o, origin.ReadRequest{Path: "x", Offset: 2, Length: 3})
	if err != nil || string(body) != "234" { // not unzipped on the way
		t.Fatalf("%q, %v", body, err)
	}
	for _, a := range []map[string]string{stat.Attributes, c.Object.Attributes} {
		for name, want := range map[string]string{"Content-Type": "text/csv", "Content-Encoding": "gzip", "Cache-Control": "max-age=60", "Content-Language": "de",
			"Content-Disposition": `attachment; filename="x"`, "X-Amz-Meta-Owner": "finance", "X-Amz-Meta-Note": "a b"} {
			if a[name] != want {
				t.Errorf("attribute %s is %q, want %q", name, a[name], want)
			}
		}
		for name := range a {
			if strings.Contains(name, "Checksum") || name == "Content-Length" || name == "Content-Range" || name == "Etag" || strings.Contains(name, "Request-Id") {
				t.Errorf("the attribute %s = %q is not the object's", name, a[name])
			}
		}
	}
}

func TestS3OriginRefusals(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	b.put(t, "x", []byte("0123456789"))
	absent := "no-such-bucket-here"
	for _, c := range []struct {
		name   string
		change func(*s3.Options)
		kind   error
		says   string
	}{
		{"wrong secret", func(o *s3.Options) { o.SecretAccessKey = "wrong" }, origin.ErrDenied, b.name},
		{"unknown key", func(o *s3.Options) { o.AccessKeyID = "nobody" }, origin.ErrDenied, b.name},
		{"anonymous", func(o *s3.Options) { o.AccessKeyID, o.SecretAccessKey, o.Anonymous = "", "", true }, origin.ErrDenied, b.name},
		{"unknown bucket", func(o *s3.Options) { o.Bucket = absent }, origin.ErrNotFound, absent},
		{"no server", func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" }, origin.ErrUnavailable, "http://127.0.0.1:1"},
	} {
		o := b.origin(t, c.change)
		_, statErr := o.Stat(t.Context(), "x")
		_, readErr := o.Read(t.Context(), origin.ReadRequest{Path: "x", Length: 1})
		_, listErr := o.List(t.Context(), origin.ListRequest{})
		if c.name == "unknown key" {
			statErr = readErr // this server answers a HEAD of an unknown user with a bare 404
		}
		for op, err := range map[string]error{"stat": statErr, "read": readErr, "list": listErr} {
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%s, %s: %v; want one that is %q and names %s", c.name, op, err, c.kind, c.says)
			}
			if err != nil && strings.Contains(err.Error(), b.server.SecretKey) {
				t.Errorf("%s, %s: the error tells the secret", c.name, op)
			}
		}
	}
}

func TestS3OriginAnonymous(t *testing.T) {
	b := newBucket(t, harness.S3(t))
	b.put(t, "x", []byte("0123456789"))
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}`, b.name, b.name)
	if _, err := b.client.PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{Bucket: &b.name, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	o := b.origin(t, func(o *s3.Options) { o.AccessKeyID, o.SecretAccessKey, o.Anonymous = "", "", true })
	if _, body, err := readAll(o, origin.ReadRequest{Path: "x", Suffix: 4}); err != nil || string(body) != "6789" {
		t.Errorf("%q, %v", body, err)
	}
	if l, err := o.List(t.Context(), origin.ListRequest{}); err != nil || len(l.Entries) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestS3OriginIDsNameTheBucketNotTheMount: pages of one object are shared by mounts of it, and not by those of another.
func TestS3OriginIDsNameTheBucketNotTheMount(t *testing.T) {
	server := harness.S3(t)
	one, two := newBucket(t, server), newBucket(t, server)
	one.put(t, "a/x", []byte("same"))
	two.put(t, "a/x", []byte("same"))
	id := func(o *s3.Origin, path string) string {
		obj, err := o.Stat(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return obj.Parts[0].ID
	}
	whole, folder, other := one.origin(t), one.origin(t, func(o *s3.Options) { o.Prefix = "a" }), two.origin(t)
	if a, b := id(whole, "a/x"), id(folder, "x"); a != b || whole.ID() != folder.ID() {
		t.Errorf("two mounts name one object %q and %q", a, b)
	}
	if a, b := id(whole, "a/x"), id(other, "a/x"); a == b || whole.ID() == other.ID() {
		t.Errorf("objects of two buckets share the id %q", a)
	}
}
