package itest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/s3"
)

// store is a bucket that is changed behind the sidecar's back, and an origin that reads it.
type store struct {
	origin origin.Origin
	put    func(path string, data []byte) (etag string, err error)
	remove func(path string) error
}

// s3Store is a bucket of a real S3 server, with or without versions.
func s3Store(versions bool) func(t *testing.T) store {
	return func(t *testing.T) store {
		server := harness.S3(t, func(o *harness.S3Options) { o.Versions = versions })
		client := server.Client()
		o, err := s3.New(s3.Options{Bucket: server.Bucket, Endpoint: server.Endpoint, Region: server.Region, PathStyle: true,
			AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey})
		must(t, err)
		t.Cleanup(func() { _ = o.Close() }) // never fails
		return store{
			origin: o,
			put: func(path string, data []byte) (string, error) {
				out, err := client.PutObject(context.Background(), &awss3.PutObjectInput{Bucket: &server.Bucket, Key: &path, Body: bytes.NewReader(data)})
				if err != nil {
					return "", err
				}
				if got := aws.ToString(out.VersionId) != ""; got != versions {
					return "", fmt.Errorf("the bucket keeps versions: %v, want %v", got, versions)
				}
				return *out.ETag, nil
			},
			remove: func(path string) error {
				_, err := client.DeleteObject(context.Background(), &awss3.DeleteObjectInput{Bucket: &server.Bucket, Key: &path})
				return err
			},
		}
	}
}

// gcsStore is a bucket of the GCS emulator, with or without versions. One with versions still serves an old generation to whoever names it; a read
// that did so would confirm what is no longer so.
func gcsStore(versions bool) func(t *testing.T) store {
	return func(t *testing.T) store {
		b := newGCSBucket(t, harness.GCSServer(t), versions)
		return store{
			origin: b.origin(t),
			put: func(path string, data []byte) (string, error) {
				w := b.handle.Object(path).NewWriter(context.Background())
				if _, err := w.Write(data); err != nil {
					return "", err
				}
				if err := w.Close(); err != nil {
					return "", err
				}
				return fmt.Sprintf("\"%d\"", w.Attrs().Generation), nil
			},
			remove: func(path string) error { return b.handle.Object(path).Delete(context.Background()) },
		}
	}
}
