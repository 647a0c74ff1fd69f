package consistency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/retry"
	"github.com/alio-lake/alio/s3/endpoint"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// mount is the name of the one mount of each sidecar.
const mount = "lake"

// hitting is a sidecar with the S3 door's lean way, as cmd/alio has it.
type hitting struct{ *sidecar.Sidecar }

func (b hitting) Hit(name []byte, r endpoint.HitRange, etag []byte) endpoint.Hit {
	if h := b.Sidecar.Hit(name, r.Offset, r.Length, r.Suffix, etag); h != nil {
		return h
	}
	return nil
}

// sidecars assembles a sidecar over an origin for each max_age, with a memory tier and a disk tier of a few pages, and returns two ways
// into each: in process, and through its S3 door.
func sidecars(t *testing.T, o origin.Origin, maxAges ...time.Duration) []reader {
	t.Helper()
	var ways []reader
	for _, maxAge := range maxAges {
		sc := newSidecar(t, o, maxAge)
		ways = append(ways, reader{fmt.Sprintf("sidecar at max_age %v", maxAge), maxAge, func(ctx context.Context, req origin.ReadRequest) (answer, error) {
			return take(sc.Open(ctx, mount, req, nil))
		}})
		client := newDoor(t, sc)
		ways = append(ways, reader{fmt.Sprintf("S3 door at max_age %v", maxAge), maxAge, func(ctx context.Context, req origin.ReadRequest) (answer, error) {
			return getObject(ctx, client, req)
		}})
	}
	return ways
}

// newSidecar stacks an origin, its retries, a small cache on memory and disk, and a sidecar, as cmd/alio does.
func newSidecar(t *testing.T, o origin.Origin, maxAge time.Duration) *sidecar.Sidecar {
	t.Helper()
	around, err := retry.New(o, retry.Options{MaxAttempts: 4, BaseWait: 5 * time.Millisecond, MaxWait: 200 * time.Millisecond})
	must(t, err)
	tier, err := disk.New(disk.Options{Dir: filepath.Join(t.TempDir(), "cache"), Size: 24 << 20, SegmentSize: 1<<20 + 64<<10, WriteQueue: 4 << 20,
		ReadDeadline: time.Second, Protected: formats.Metadata})
	must(t, err)
	must(t, tier.Open(t.Context()))
	pages, err := cache.New(cache.Options{Memory: 2 << 20, UpOdds: 2, FillSpan: 1 << 20, FillMemory: 4 << 20, Disk: tier, Metadata: formats.Metadata, ClassNames: formats.ClassNames()})
	must(t, err)
	sc, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{mount: around}, Pages: pages, FillSpan: 1 << 20,
		Rules: []freshness.Rule{{Path: "**", MaxAge: maxAge}}})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { tier.Run(ctx) })
	wg.Go(func() { pages.Run(ctx) })
	t.Cleanup(func() {
		stop()
		wg.Wait()
		pages.Close()
		tier.Close()
	})
	return sc
}

// newDoor serves a sidecar's S3 door and returns a client of it.
func newDoor(t *testing.T, sc *sidecar.Sidecar) *awss3.Client {
	t.Helper()
	handler, err := endpoint.New(endpoint.Options{Backend: hitting{sc}, Credentials: []endpoint.Credential{{AccessKeyID: "reader", SecretAccessKey: "reader-secret"}}})
	must(t, err)
	door, err := endpoint.NewDoor(endpoint.DoorOptions{Handler: handler})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { door.Serve(ln) })
	t.Cleanup(func() {
		door.Close()
		wg.Wait()
	})
	return harness.S3Client("http://"+ln.Addr().String(), "us-east-1", "reader", "reader-secret")
}

// getObject reads through an S3 door and words its errors as origins do.
func getObject(ctx context.Context, client *awss3.Client, req origin.ReadRequest) (answer, error) {
	in := &awss3.GetObjectInput{Bucket: aws.String(mount), Key: &req.Path}
	switch {
	case req.Suffix > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=-%d", req.Suffix))
	case req.Length != origin.WholeRange:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", req.Offset, req.Offset+req.Length-1))
	}
	out, err := client.GetObject(ctx, in)
	if err != nil {
		return answer{}, kindOf(err)
	}
	defer out.Body.Close()
	a := answer{version: aws.ToString(out.ETag), size: aws.ToInt64(out.ContentLength)}
	if r := aws.ToString(out.ContentRange); r != "" {
		if _, err := fmt.Sscanf(r, "bytes %d-", &a.off); err != nil {
			return answer{}, fmt.Errorf("Content-Range %q: %w", r, err)
		}
		_, total, _ := strings.Cut(r, "/")
		if a.size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return answer{}, err
		}
	}
	if a.data, err = io.ReadAll(out.Body); err != nil {
		return answer{}, errors.Join(origin.ErrUnavailable, err)
	}
	return a, nil
}

// kindOf words an S3 client's error as origins do. A connection that ends without an answer is a file that changed while it was answered.
func kindOf(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return errors.Join(origin.ErrUnavailable, err)
	}
	for code, kind := range map[string]error{"NoSuchKey": origin.ErrNotFound, "InvalidRange": origin.ErrInvalidRange,
		"PreconditionFailed": origin.ErrVersionChanged, "ServiceUnavailable": origin.ErrUnavailable, "InternalError": origin.ErrUnavailable, "SlowDown": origin.ErrUnavailable} {
		if api.ErrorCode() == code {
			return errors.Join(kind, err)
		}
	}
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
