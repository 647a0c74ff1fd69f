package itest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
)

// doorSecret is what clients of a test's S3 door sign with.
const doorSecret = "door-secret"

// doors are the two ways into one sidecar, which is the real binary.
type doors struct {
	door   *awss3.Client
	rpc    apiv1.SidecarClient
	socket string // of the gRPC door
	admin  string // URL
	output func() string
}

// newDoors starts a sidecar over mounts, in YAML.
func newDoors(t *testing.T, mounts string) *doors {
	t.Helper()
	dir, err := os.MkdirTemp("", "alio") // t.TempDir's paths can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	a := harness.SidecarWith(t, harness.AlioOptions{DoorAccessKey: "door", DoorSecretKey: doorSecret, Socket: socket, Mounts: mounts})
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &doors{door: harness.S3Client(a.Door, "us-east-1", a.AccessKey, a.SecretKey), rpc: apiv1.NewSidecarClient(conn), socket: socket, admin: a.Admin,
		output: a.Output}
}

// byS3 reads an object through the S3 door.
func (d *doors) byS3(ctx context.Context, mount, key string) ([]byte, error) {
	return d.partByS3(ctx, mount, key, 0, origin.WholeRange)
}

// byGRPC reads an object through the gRPC door.
func (d *doors) byGRPC(ctx context.Context, mount, key string) ([]byte, error) {
	return d.partByGRPC(ctx, mount, key, 0, origin.WholeRange)
}

// partByS3 reads n bytes at off. What came before an error is returned with it.
func (d *doors) partByS3(ctx context.Context, mount, key string, off, n int64) ([]byte, error) {
	in := &awss3.GetObjectInput{Bucket: &mount, Key: &key}
	if n != origin.WholeRange {
		r := fmt.Sprintf("bytes=%d-%d", off, off+n-1)
		in.Range = &r
	}
	out, err := d.door.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// partByGRPC reads n bytes at off. What came before an error is returned with it.
func (d *doors) partByGRPC(ctx context.Context, mount, key string, off, n int64) ([]byte, error) {
	req := &apiv1.ReadRequest{Mount: mount, Path: key, Offset: off}
	if n != origin.WholeRange {
		req.Length = n
	}
	stream, err := d.rpc.Read(ctx, req)
	if err != nil {
		return nil, err
	}
	var all []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, part.Data...)
	}
}
