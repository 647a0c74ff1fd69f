package consistency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/gcs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/s3"
)

// overwrites runs 300 puts and deletes of whole objects beside readers.
func overwrites(t *testing.T, o origin.Origin, put func(ctx context.Context, path string, data []byte) error, remove func(ctx context.Context, path string) error) {
	t.Helper()
	seed, h, s := origintest.Seed(t), newHistory(), &seeds{}
	var writers []writer
	for i := range 6 {
		writers = append(writers, paced{&objects{h: h, seeds: s, names: []string{fmt.Sprint("lake/", i, "/a"), fmt.Sprint("lake/", i, "/b")}, span: 400_000, put: put, remove: remove}, 20 * time.Millisecond})
	}
	n := plan{seed: seed, ops: 300, readers: 4, span: 400_000}.run(t, h, writers, sidecars(t, o, 0, 200*time.Millisecond))
	t.Logf("%d operations; %s", n, h.report())
	if n != 300 || h.overlapping.Load() == 0 {
		t.Errorf("%d operations, %d reads beside a write", n, h.overlapping.Load())
	}
}

// A real S3 server whose objects are overwritten and removed all the time, with and without versioning of the bucket.
func TestS3(t *testing.T) {
	for _, versions := range []bool{false, true} {
		t.Run(fmt.Sprint("versions ", versions), func(t *testing.T) {
			server, err := harness.StartS3(t.Context(), harness.S3Options{Dir: t.TempDir(), Versions: versions, Logf: t.Logf})
			must(t, err)
			t.Cleanup(server.Stop)
			o, err := s3.New(s3.Options{Bucket: server.Bucket, Endpoint: server.Endpoint, Region: server.Region, PathStyle: true,
				AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey})
			must(t, err)
			client := server.Client()
			overwrites(t, o, func(ctx context.Context, path string, data []byte) error {
				_, err := client.PutObject(ctx, &awss3.PutObjectInput{Bucket: &server.Bucket, Key: &path, Body: bytes.NewReader(data)})
				return err
			}, func(ctx context.Context, path string) error {
				_, err := client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &server.Bucket, Key: &path})
				return err
			})
		})
	}
}

// The GCS emulator, likewise.
func TestGCS(t *testing.T) {
	server := harness.GCSServer(t)
	client, err := server.Client()
	must(t, err)
	t.Cleanup(func() { _ = client.Close() }) // never fails
	for _, versions := range []bool{false, true} {
		t.Run(fmt.Sprint("versions ", versions), func(t *testing.T) {
			name := fmt.Sprint("versions-", versions)
			bucket := client.Bucket(name)
			must(t, bucket.Create(t.Context(), "alio", &storage.BucketAttrs{VersioningEnabled: versions}))
			o, err := gcs.New(gcs.Options{Bucket: name, Endpoint: server.Endpoint, Anonymous: true})
			must(t, err)
			t.Cleanup(func() { _ = o.Close() }) // never fails
			overwrites(t, o, func(ctx context.Context, path string, data []byte) error {
				w := bucket.Object(path).NewWriter(ctx)
				_, err := w.Write(data)
				return errors.Join(err, w.Close())
			}, func(ctx context.Context, path string) error {
				err := bucket.Object(path).Delete(ctx)
				if errors.Is(err, storage.ErrObjectNotExist) {
					err = nil
				}
				return err
			})
		})
	}
}
