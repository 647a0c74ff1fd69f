package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// oddKeys must survive the way through a client, the wire and the endpoint exactly.
var oddKeys = []string{"plain", "a//b", "/leading", "trailing/", "a/../b", "..", ".", "with space", "plus+plus", "per%cent", "%2F", "a%2Fb", "ü/日本語/🙂",
	"q?mark&amp=1", "hash#tag", "colon:semi;comma,", "quote'\"`", "br[ac]{k}<e>t", "tilde~star*bang!", "eq=at@dollar$", "back\\slash", "tab\tkey",
	"year=2024/month=02/part-0.parquet", strings.Repeat("k", 1024)}

// seed makes random tests replayable.
func seed(t testing.TB) *rand.Rand {
	s := uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("ALIO_SEED"), 10, 64); err == nil {
		s = v
	}
	t.Logf("ALIO_SEED=%d", s)
	return rand.New(rand.NewPCG(s, 1))
}

func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func apiCode(err error) string {
	var ae smithy.APIError
	if errors.As(err, &ae) {
		return ae.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestSDKReadsOddKeys(t *testing.T) {
	f := newFake("lake")
	c := sdk(serve(t, signedOptions(f), false))
	for i, key := range oddKeys {
		data := []byte(fmt.Sprintf("object %d %q", i, key))
		etag := f.put("lake", key, data, map[string]string{"Content-Type": "x/y", "X-Amz-Meta-N": "1"})
		out, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: &key})
		if err != nil {
			t.Errorf("%q: %v", key, err)
			continue
		}
		got, err := io.ReadAll(out.Body)
		out.Body.Close()
		if err != nil || !bytes.Equal(got, data) || *out.ETag != etag || *out.ContentType != "x/y" || out.Metadata["n"] != "1" ||
			!out.LastModified.Equal(fakeTime.Truncate(time.Second)) {
			t.Errorf("%q: %q %v %+v", key, got, err, out)
		}
		head, err := c.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String("lake"), Key: &key})
		if err != nil || *head.ContentLength != int64(len(data)) || *head.ETag != etag {
			t.Errorf("head %q: %v %+v", key, err, head)
		}
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests went to the origin", n)
	}
}

func TestSDKWritesOddKeys(t *testing.T) {
	f := newFake("lake")
	c := sdk(serve(t, signedOptions(f), false))
	for _, key := range oddKeys {
		body := []byte("data of " + key)
		if _, err := c.PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String("lake"), Key: &key, Body: bytes.NewReader(body)}); err != nil {
			t.Errorf("put %q: %v", key, err)
			continue
		}
		if got, ok := f.get("lake", key); !ok || !bytes.Equal(got, body) {
			t.Errorf("put %q stored %q", key, got)
		}
		if _, err := c.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: aws.String("lake"), Key: &key}); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
		if _, ok := f.get("lake", key); ok {
			t.Errorf("delete %q left it", key)
		}
	}
}

// TestSDKStreamingUpload sends what cannot be rewound over TLS: the SDK then uses STREAMING-UNSIGNED-PAYLOAD-TRAILER, with each of its
// checksums in turn.
func TestSDKStreamingUpload(t *testing.T) {
	rnd := seed(t)
	f := newFake("lake")
	c := sdk(serve(t, signedOptions(f), true))
	for _, alg := range types.ChecksumAlgorithmCrc32.Values() {
		if !slices.Contains([]types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"}, alg) {
			continue
		}
		for _, size := range []int{0, 1, 2, 65536, 300001} {
			data := randomBytes(rnd, size)
			_, err := c.PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("up"), ChecksumAlgorithm: alg,
				ContentEncoding: aws.String("gzip"), ContentLength: aws.Int64(int64(size)), Body: struct{ io.Reader }{bytes.NewReader(data)}})
			if err != nil {
				t.Fatalf("%s %d bytes: %v", alg, size, err)
			}
			if got, _ := f.get("lake", "up"); !bytes.Equal(got, data) {
				t.Fatalf("%s: %d bytes arrived as %d", alg, size, len(got))
			}
			sent := f.requests()[len(f.requests())-1]
			for _, name := range []string{"X-Amz-Decoded-Content-Length", "X-Amz-Trailer", "Authorization"} {
				if v := sent.Header.Get(name); v != "" {
					t.Errorf("%s: %s: %s went to the origin", alg, name, v)
				}
			}
			if sent.Header.Get("X-Amz-Sdk-Checksum-Algorithm") != "" && sent.Header.Get("X-Amz-Checksum-"+string(alg)) == "" {
				t.Errorf("%s, %d bytes: the algorithm is named without a checksum, which S3 refuses", alg, size)
			}
			if enc := sent.Header.Get("Content-Encoding"); enc != "gzip" || size > 0 && sent.Header.Get("X-Amz-Content-Sha256") != unsignedPayload {
				t.Errorf("%s: content-encoding %q, payload %q", alg, enc, sent.Header.Get("X-Amz-Content-Sha256"))
			}
		}
	}
}

func TestSDKRangesAndConditions(t *testing.T) {
	f := newFake("lake")
	c := sdk(serve(t, signedOptions(f), false))
	etag := f.put("lake", "k", []byte("0123456789"), nil)
	get := func(in s3.GetObjectInput) (string, error) {
		in.Bucket, in.Key = aws.String("lake"), aws.String("k")
		out, err := c.GetObject(context.Background(), &in)
		if err != nil {
			return "", err
		}
		defer out.Body.Close()
		b, err := io.ReadAll(out.Body)
		return string(b) + " " + aws.ToString(out.ContentRange), err
	}
	if got, err := get(s3.GetObjectInput{Range: aws.String("bytes=-4"), IfMatch: &etag}); got != "6789 bytes 6-9/10" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if f.lastETag != etag {
		t.Errorf("the client's confirmation did not reach the backend: %q", f.lastETag)
	}
	if _, err := get(s3.GetObjectInput{IfMatch: aws.String(`"other"`)}); apiCode(err) != "PreconditionFailed" {
		t.Error(err)
	}
	if _, err := get(s3.GetObjectInput{Range: aws.String("bytes=10-")}); apiCode(err) != "InvalidRange" {
		t.Error(err)
	}
	if _, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("none")}); apiCode(err) != "NoSuchKey" {
		t.Error(err)
	}
	if _, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("pond"), Key: aws.String("k")}); apiCode(err) != "NoSuchBucket" ||
		!strings.Contains(err.Error(), "--mount pond=s3://") {
		t.Error(err)
	}
	var nf *types.NotFound
	if _, err := c.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String("lake"), Key: aws.String("none")}); !errors.As(err, &nf) {
		t.Error(err)
	}
}

func TestSDKBuckets(t *testing.T) {
	f := newFake("lake", "pond")
	o := signedOptions(f)
	o.Region = "eu-west-1"
	c := sdk(serve(t, o, false), func(o *s3.Options) { o.Region = "eu-west-1" })
	out, err := c.ListBuckets(context.Background(), &s3.ListBucketsInput{})
	if err != nil || len(out.Buckets) != 2 || *out.Buckets[0].Name != "lake" || *out.Buckets[1].Name != "pond" {
		t.Fatalf("%v %+v", err, out)
	}
	if out, err := c.HeadBucket(context.Background(), &s3.HeadBucketInput{Bucket: aws.String("lake")}); err != nil || *out.BucketRegion != "eu-west-1" {
		t.Error(err)
	}
	var nf *types.NotFound
	if _, err := c.HeadBucket(context.Background(), &s3.HeadBucketInput{Bucket: aws.String("sea")}); !errors.As(err, &nf) {
		t.Error(err)
	}
	if loc, err := c.GetBucketLocation(context.Background(), &s3.GetBucketLocationInput{Bucket: aws.String("lake")}); err != nil || loc.LocationConstraint != "eu-west-1" {
		t.Errorf("%v %+v", err, loc)
	}
	wrong := sdk(serve(t, o, false)) // signs for us-east-1
	if _, err := wrong.ListBuckets(context.Background(), &s3.ListBucketsInput{}); apiCode(err) != "AuthorizationHeaderMalformed" {
		t.Error(err)
	}
}

func TestSDKPresigned(t *testing.T) {
	f := newFake("lake")
	s := serve(t, signedOptions(f), false)
	for _, key := range oddKeys {
		f.put("lake", key, []byte("v:"+key), nil)
		req, err := s3.NewPresignClient(sdk(s)).PresignGetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Get(req.URL)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != "v:"+key {
			t.Errorf("%q: %d %q", key, resp.StatusCode, b)
		}
		resp, err = s.Client().Get(strings.Replace(req.URL, "X-Amz-Expires=900", "X-Amz-Expires=901", 1))
		if err != nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("%q: a changed URL: %v %v", key, err, resp)
		}
		resp.Body.Close()
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d presigned reads went to the origin", n)
	}
}

// TestSDKForwardsWhatItDoesNotKnow: the request reaches the origin without the client's signature, and the answer comes back whole.
func TestSDKForwardsWhatItDoesNotKnow(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "k", []byte("cached"), nil)
	s := serve(t, signedOptions(f), false)
	in := []s3.GetObjectInput{
		{VersionId: aws.String("v1")}, {PartNumber: aws.Int32(1)}, {ResponseContentType: aws.String("a/b")}, {ExpectedBucketOwner: aws.String("1")},
		{RequestPayer: "requester"}, {SSECustomerAlgorithm: aws.String("AES256"), SSECustomerKey: aws.String("a2V5")},
	}
	for i, one := range in {
		one.Bucket, one.Key = aws.String("lake"), aws.String("k")
		out, err := sdk(s).GetObject(context.Background(), &one)
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		b, _ := io.ReadAll(out.Body)
		out.Body.Close()
		if string(b) != "the origin's" || *out.ContentType != "text/plain" {
			t.Errorf("%d: %q was served from the cache", i, b)
		}
	}
	sent := f.requests()
	if len(sent) != len(in) {
		t.Fatalf("%d forwarded", len(sent))
	}
	for _, r := range sent {
		if r.Header.Get("Authorization")+r.Header.Get("X-Amz-Date") != "" || r.Header.Get("X-Amz-Content-Sha256") != emptySHA256 || r.RequestURI != "" {
			t.Errorf("forwarded with the client's signature: %v", r.Header)
		}
	}
	if v := sent[0].URL.Query().Get("versionId"); v != "v1" {
		t.Errorf("versionId %q", v)
	}
	req, err := s3.NewPresignClient(sdk(s)).PresignGetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("k"), VersionId: aws.String("v 2")})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Get(req.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	q := f.requests()[len(in)].URL.Query()
	if q.Get("versionId") != "v 2" || q.Has("X-Amz-Signature") || q.Has("X-Amz-Credential") {
		t.Errorf("a presigned request went on as %v", q)
	}
}
