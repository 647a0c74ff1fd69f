package itest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
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

// turns keeps a fault of the S3 server out of a test: it finds an object's ETag by its path and then opens the file by its path, so that a GET beside a PUT can
// have the ETag of one version and the bytes of another (20 of 15,438 GETs without a sidecar, beside writes without a pause). A write takes its turn alone, a
// request until its answer begins; bodies are read beside writes all the same, of files that stay what they are.
type turns struct {
	sync.RWMutex
	http.RoundTripper
}

func (t *turns) RoundTrip(r *http.Request) (*http.Response, error) {
	t.RLock()
	defer t.RUnlock()
	return t.RoundTripper.RoundTrip(r)
}

// s3Store is a bucket of a real S3 server, with or without versions.
func s3Store(versions bool) func(t *testing.T) store {
	return func(t *testing.T) store {
		server := harness.S3(t, func(o *harness.S3Options) { o.Versions = versions })
		client := server.Client()
		turn := &turns{RoundTripper: &http.Transport{DisableCompression: true}}
		o, err := s3.New(s3.Options{Bucket: server.Bucket, Endpoint: server.Endpoint, Region: server.Region, PathStyle: true,
			AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey, HTTPClient: &http.Client{Transport: turn}})
		must(t, err)
		t.Cleanup(func() { _ = o.Close() }) // never fails
		return store{
			origin: o,
			put: func(path string, data []byte) (string, error) {
				turn.Lock()
				defer turn.Unlock()
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
				turn.Lock()
				defer turn.Unlock()
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
