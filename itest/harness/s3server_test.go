package harness

import (
	"bytes"
	"context"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The server keeps ETags and answers the suffix range that Trino reads footers with; after Stop nothing of it runs.
func TestS3ServesAndStops(t *testing.T) {
	s := S3(t)
	ctx := context.Background()
	body := bytes.Repeat([]byte("0123456789"), 1000)
	put, err := s.Client().PutObject(ctx, &s3.PutObjectInput{Bucket: &s.Bucket, Key: aws.String("a/b"), Body: bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	get, err := s.Client().GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: aws.String("a/b"), Range: aws.String("bytes=-7")})
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	tail, err := io.ReadAll(get.Body)
	if err != nil || string(tail) != "3456789" {
		t.Errorf("suffix read gave %q, %v", tail, err)
	}
	if aws.ToString(get.ETag) == "" || aws.ToString(get.ETag) != aws.ToString(put.ETag) {
		t.Errorf("ETag of the PUT %q, of the GET %q: metadata is off?", aws.ToString(put.ETag), aws.ToString(get.ETag))
	}
	pid := s.proc.PID()
	s.Stop()
	s.Stop()
	if err := syscall.Kill(-pid, 0); err == nil {
		t.Errorf("process group %d still lives after Stop", pid)
	}
}

// A server that ends at once is an error with its output, not a wait for the deadline.
func TestProcessThatEndsIsAnError(t *testing.T) {
	p, err := startProcess(processSpec{Name: "sh", Path: "sh", Args: []string{"-c", "echo no such luck; exit 3"}, LogFile: t.TempDir() + "/log"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.ready(context.Background(), 1e6, func(context.Context) error { return io.ErrUnexpectedEOF })
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("want the exit status and the output, got %v", err)
	}
}

// Two harnesses never hold one port.
func TestPortsAreHeld(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		p, err := PickPort()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Release()
		if seen[p.Number] {
			t.Fatalf("port %d was picked twice", p.Number)
		}
		seen[p.Number] = true
	}
}
