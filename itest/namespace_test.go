package itest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/itest/harness"
)

// threeKinds is a sidecar over a real HDFS, a GCS emulator and a real S3 server, in one namespace:
//
//	lake               HDFS /warehouse          writes pass through
//	lake/archive       the GCS bucket           writes pass through
//	lake/archive/2019  the S3 bucket
//	kept               HDFS /warehouse          read-only, as by default
//	private            HDFS /private            as a user who may not read it
//	nowhere            a GCS bucket that is not there
//	nobody             an S3 bucket that is not there
type threeKinds struct {
	*doors
	hdfs *harness.HDFS
	gcs  *storage.BucketHandle
	s3   *awss3.Client // of the S3 server itself
	bkt  string        // its bucket
}

func newThreeKinds(t *testing.T) *threeKinds {
	t.Helper()
	h, g, s := harness.NewHDFS(t, harness.HDFSOptions{Permissions: true, BlockSize: 1 << 20}), harness.GCSServer(t), harness.S3(t)
	for _, command := range []string{"mkdir /warehouse", "mkdir /private", "chmod /private 700"} {
		if _, err := h.Do(t.Context(), command); err != nil {
			t.Fatal(err)
		}
	}
	client, err := g.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // never fails
	s3At := fmt.Sprintf("s3: {endpoint: '%s', region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}", s.Endpoint, s.Region, s.AccessKey, s.SecretKey)
	hdfsAt := func(dir, user, more string) string {
		return fmt.Sprintf("{uri: '%s%s', hdfs: {conf_dir: '%s', user: %s}%s}\n", h.URI, dir, h.ConfDir, user, more)
	}
	const pass = ", writes: pass_through"
	d := newDoors(t, ""+
		"  lake: "+hdfsAt("/warehouse", harness.HDFSUser, pass)+
		"  lake/archive: {uri: 'gs://"+g.Bucket+"', gcs: {endpoint: '"+g.Endpoint+"', anonymous: true}"+pass+"}\n"+
		"  lake/archive/2019: {uri: 's3://"+s.Bucket+"', "+s3At+"}\n"+
		"  kept: "+hdfsAt("/warehouse", harness.HDFSUser, "")+
		"  private: "+hdfsAt("/private", "stranger", pass)+
		"  nowhere: {uri: 'gs://no-such-bucket', gcs: {endpoint: '"+g.Endpoint+"', anonymous: true}}\n"+
		"  nobody: {uri: 's3://no-such-bucket', "+s3At+"}\n")
	return &threeKinds{doors: d, hdfs: h, gcs: client.Bucket(g.Bucket), s3: harness.S3Client(s.Endpoint, s.Region, s.AccessKey, s.SecretKey), bkt: s.Bucket}
}

// oddNames are path names in which one layer or another has a syntax of its own, and which all three stores can hold.
var oddNames = []string{"sp ace/ü日本", "per%cent+plus", "dt=2024-01-01 00%3A00/part-0", "q?x#y&z", "quote'd;semi,comma", "(paren)[br]{ce}*"}

func TestNamespace(t *testing.T) {
	l := newThreeKinds(t)
	t.Run("EveryDoor", func(t *testing.T) { testEveryDoor(t, l) })
	t.Run("Listings", func(t *testing.T) { testListings(t, l) })
	t.Run("Refusals", func(t *testing.T) { testRefusals(t, l) })
	t.Run("Checks", func(t *testing.T) { testChecks(t, l) })
	t.Run("Writes", func(t *testing.T) { testNamespaceWrites(t, l) })
}

// testEveryDoor puts objects into each store past the sidecar and reads them by both doors.
func testEveryDoor(t *testing.T, l *threeKinds) {
	ctx := t.Context()
	for i, name := range append([]string{"plain"}, oddNames...) {
		data := generation(uint64(i), 2<<20+16*i) // three blocks of HDFS
		if err := l.hdfs.Put(ctx, "/warehouse/"+name, data); err != nil {
			t.Fatal(err)
		}
		w := l.gcs.Object(name).NewWriter(ctx)
		_, err := w.Write(data[:len(data)-1])
		_, errS3 := l.s3.PutObject(ctx, &awss3.PutObjectInput{Bucket: &l.bkt, Key: aws.String(name), Body: bytes.NewReader(data[1:])})
		if err := errors.Join(err, w.Close(), errS3); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string][]byte{name: data, "archive/" + name: data[:len(data)-1], "archive/2019/" + name: data[1:]} {
			for door, read := range map[string]func(context.Context, string, string) ([]byte, error){"S3": l.byS3, "gRPC": l.byGRPC} {
				got, err := read(ctx, "lake", path)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("lake/%s through the %s door: %d bytes, %v; want %d", path, door, len(got), err, len(want))
				}
			}
		}
	}
}

func testListings(t *testing.T, l *threeKinds) {
	var want []string
	for _, name := range append([]string{"plain"}, oddNames...) {
		want = append(want, name, "archive/"+name, "archive/2019/"+name)
	}
	slices.Sort(want)
	for _, keys := range []int32{1000, 4} {
		var got []string
		pages := awss3.NewListObjectsV2Paginator(l.door, &awss3.ListObjectsV2Input{Bucket: aws.String("lake"), MaxKeys: aws.Int32(keys)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				got = append(got, *o.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %q, want %q", keys, got, want)
		}
	}
	for prefix, want := range map[string]string{"": "archive/", "archive/": "archive/2019/"} {
		page, err := l.door.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: &prefix, Delimiter: aws.String("/")})
		if err != nil {
			t.Fatal(err)
		}
		var folders []string
		for _, p := range page.CommonPrefixes {
			folders = append(folders, *p.Prefix)
		}
		if !slices.Contains(folders, want) || !slices.Contains(folders, prefix+"sp ace/") {
			t.Errorf("below %q: the folders %q", prefix, folders)
		}
	}
}

// refusal is what a door should say of a path.
type refusal struct {
	mount, path string
	s3          string // S3's code
	status      int
	grpc        codes.Code
	says        string // in the text, through either door, where the S3 door tells it
}

func testRefusals(t *testing.T, l *threeKinds) {
	if err := l.hdfs.Put(t.Context(), "/private/x", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	for _, r := range []refusal{
		{"lake", "none", "NoSuchKey", 404, codes.NotFound, ""},
		{"lake", "archive/none", "NoSuchKey", 404, codes.NotFound, ""},
		{"lake", "archive/2019/none", "NoSuchKey", 404, codes.NotFound, ""},
		{"lake", "sp ace", "NoSuchKey", 404, codes.NotFound, "directory"},
		{"private", "x", "AccessDenied", 403, codes.PermissionDenied, "stranger"},
		{"nowhere", "x", "NoSuchKey", 404, codes.NotFound, ""},
		{"nobody", "x", "NoSuchKey", 404, codes.NotFound, "no-such-bucket"},
		{"sea", "x", "NoSuchBucket", 404, codes.FailedPrecondition, "sea"},
		{"lake", "a//b", "InvalidRequest", 400, codes.InvalidArgument, "HDFS has no empty names"},
		{"lake", "a/../b", "InvalidRequest", 400, codes.InvalidArgument, "HDFS has no files named"},
		{"lake", "archive/a//b", "NoSuchKey", 404, codes.NotFound, ""},
	} {
		_, err := l.byS3(t.Context(), r.mount, r.path)
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != r.s3 || !strings.Contains(err.Error(), fmt.Sprint(r.status)) || !strings.Contains(err.Error(), r.says) {
			t.Errorf("%s/%s through the S3 door: %v, want %s that says %q", r.mount, r.path, err, r.s3, r.says)
		}
		_, err = l.byGRPC(t.Context(), r.mount, r.path)
		if status.Code(err) != r.grpc || !strings.Contains(err.Error(), r.says) {
			t.Errorf("%s/%s through the gRPC door: %v, want %v that says %q", r.mount, r.path, err, r.grpc, r.says)
		}
	}
	for _, mount := range []string{"nowhere", "nobody"} {
		_, err := l.door.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &mount})
		_, err2 := l.rpc.List(t.Context(), &apiv1.ListRequest{Mount: mount})
		if err == nil || !strings.Contains(err.Error(), "NoSuchBucket") || !strings.Contains(err.Error(), "no-such-bucket") || status.Code(err2) != codes.NotFound {
			t.Errorf("a listing of a bucket that is not there: %v; %v", err, err2)
		}
	}
}

// testChecks has each origin asked once: what fails says where to look.
func testChecks(t *testing.T, l *threeKinds) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.admin+"/mounts?check=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []struct {
		Name, Kind, Writes, Error, Remedy string
		Reachable                         bool
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"nowhere": "does not exist", "nobody": "does not exist", "private": "check the credentials"}
	if len(all) != 7 {
		t.Errorf("%d mounts, want 7", len(all))
	}
	for _, m := range all {
		if remedy, fails := want[m.Name]; m.Reachable == fails || !strings.Contains(m.Remedy, remedy) || (m.Error != "") != fails {
			t.Errorf("%+v", m)
		}
	}
}

// testNamespaceWrites writes through the S3 door: what is read back right afterwards, by either door, is what was written.
func testNamespaceWrites(t *testing.T, l *threeKinds) {
	ctx := t.Context()
	put := func(mount, key, data string, change ...func(*awss3.PutObjectInput)) error {
		in := &awss3.PutObjectInput{Bucket: &mount, Key: &key, Body: strings.NewReader(data)}
		for _, c := range change {
			c(in)
		}
		_, err := l.door.PutObject(ctx, in)
		return err
	}
	for _, key := range []string{"written/x", "archive/written/x", "archive/2019/written/x"} {
		for i, data := range []string{"one", "another one", ""} {
			if err := put("lake", key, data); err != nil {
				t.Errorf("put %s: %v", key, err)
				continue
			}
			got, err := l.byS3(ctx, "lake", key)
			again, err2 := l.byGRPC(ctx, "lake", key)
			if err := errors.Join(err, err2); err != nil || string(got) != data || string(again) != data {
				t.Errorf("%s after put %d: %q, %q, %v; want %q", key, i, got, again, err, data)
			}
		}
		if _, err := l.door.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String("lake"), Key: &key}); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
		if _, err := l.byGRPC(ctx, "lake", key); status.Code(err) != codes.NotFound {
			t.Errorf("%s after its delete: %v", key, err)
		}
	}
	for _, key := range []string{"created", "archive/created", "archive/2019/created"} { // on HDFS, GCS and S3
		create := func(in *awss3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }
		if err := put("lake", key, "one", create); err != nil {
			t.Errorf("a put of %s, which is not there: %v", key, err)
		}
		if err := put("lake", key, "another", create); err == nil || !strings.Contains(err.Error(), "PreconditionFailed") {
			t.Errorf("a put of %s, which is there: %v", key, err)
		}
		if got, err := l.byS3(ctx, "lake", key); err != nil || string(got) != "one" {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		if _, err := l.door.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String("lake"), Key: &key}); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"a put of a version to HDFS": {put("lake", "new", "x", func(in *awss3.PutObjectInput) { in.IfMatch = aws.String(`"e"`) }), "NotImplemented"},
		"metadata to HDFS":           {put("lake", "new", "x", func(in *awss3.PutObjectInput) { in.Metadata = map[string]string{"a": "b"} }), "NotImplemented"},
		"a put to a read-only one":   {put("kept", "new", "x"), "mounts.kept.writes"},
		"a put without the right":    {put("private", "new", "x"), "AccessDenied"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, c.err, c.want)
		}
	}
	if _, err := l.byGRPC(ctx, "lake", "new"); status.Code(err) != codes.NotFound {
		t.Errorf("an object was written by a request that was refused: %v", err)
	}
}
