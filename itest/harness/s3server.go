package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sys/unix"
)

// S3Options says how StartS3 starts a server. The zero value is a good one.
type S3Options struct {
	Dir       string        // absolute; holds objects and the server's output. "": a new temporary folder, removed by Stop
	AccessKey string        // "": "alio-test"
	SecretKey string        // "": "alio-test-secret"
	Region    string        // "": "us-east-1"
	Bucket    string        // made empty at the start; "": "lake"
	Versions  bool          // the bucket keeps old versions
	Deadline  time.Duration // until ready; 0: 30 s
	Logf      Logf          // progress; nil: Stderr
}

// S3Server is a running S3 server: a real one (versitygw on files, with metadata), on a loopback port of its own.
type S3Server struct {
	Endpoint  string // http://127.0.0.1:port; address it path-style
	AccessKey string
	SecretKey string
	Region    string
	Bucket    string // exists, empty at the start
	Dir       string // its objects lie below Dir/objects: read them there, write them through S3 only (no ETag otherwise)

	proc   *Process
	port   *Port
	ownDir bool
	stop   sync.Once
}

// S3 starts an S3 server with an empty bucket for one test and stops it when the test ends, with the end of its output in the
// test's log if the test failed. A start takes about half a second once versitygw is built; the first one on a machine builds it.
func S3(t testing.TB, change ...func(*S3Options)) *S3Server {
	t.Helper()
	o := S3Options{Dir: t.TempDir(), Logf: t.Logf}
	for _, c := range change {
		c(&o)
	}
	s, err := StartS3(context.Background(), o)
	if err != nil {
		t.Fatalf("S3 server for the test: %v", err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("end of the S3 server's output:\n%s", s.proc.Tail(4000))
		}
	})
	return s
}

// StartS3 starts an S3 server and returns when its bucket exists. The caller must Stop it. ctx bounds the start only.
func StartS3(ctx context.Context, o S3Options) (*S3Server, error) {
	o = o.withDefaults()
	bin, err := GoTool(ctx, "versitygw", o.Logf)
	if err != nil {
		return nil, err
	}
	s := &S3Server{AccessKey: o.AccessKey, SecretKey: o.SecretKey, Region: o.Region, Bucket: o.Bucket, Dir: o.Dir}
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "alio-s3-"); err != nil {
			return nil, err
		}
		s.ownDir = true
	}
	err = s.start(ctx, bin, o)
	if err == nil && o.Versions {
		_, err = s.Client().PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &s.Bucket,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (o S3Options) withDefaults() S3Options {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&o.AccessKey, "alio-test")
	set(&o.SecretKey, "alio-test-secret")
	set(&o.Region, "us-east-1")
	set(&o.Bucket, "lake")
	if o.Deadline == 0 {
		o.Deadline = 30 * time.Second
	}
	if o.Logf == nil {
		o.Logf = Stderr
	}
	return o
}

// start runs versitygw. Metadata stays on (in extended attributes): with --nometa it has no ETags and multipart fails. Without
// --keep-alive each request is a new connection, without --quiet each is a line of output.
func (s *S3Server) start(ctx context.Context, bin string, o S3Options) error {
	objects := filepath.Join(s.Dir, "objects")
	if err := os.MkdirAll(objects, 0o755); err != nil {
		return err
	}
	if err := unix.Setxattr(objects, "user.alio-test", []byte("1"), 0); err != nil {
		return fmt.Errorf("the S3 server keeps ETags in extended attributes, which %s does not take (set TMPDIR to another disk): %w", s.Dir, err)
	}
	var err error
	if s.port, err = PickPort(); err != nil {
		return err
	}
	s.Endpoint = "http://" + s.port.Addr()
	args := []string{"--port", s.port.Addr(), "--region", s.Region, "--keep-alive", "--quiet", "posix"}
	if o.Versions {
		old := filepath.Join(s.Dir, "versions") // no path may begin with the other's name
		if err := os.MkdirAll(old, 0o755); err != nil {
			return err
		}
		args = append(args, "--versioning-dir", old)
	}
	args = append(args, objects)
	s.proc, err = startProcess(processSpec{
		Name: "versitygw", Path: bin, Dir: s.Dir, LogFile: filepath.Join(s.Dir, "versitygw.log"),
		Env:  []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey},
		Args: args,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Deadline)
	defer cancel()
	client := s.Client()
	return s.proc.ready(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.Bucket})
		if err == nil {
			return nil
		}
		_, again := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.Bucket}) // made by an earlier try whose answer was lost
		if again == nil {
			return nil
		}
		return errors.Join(err, again)
	})
}

// Client is an S3 client of the server: path style, static keys, no retries.
func (s *S3Server) Client() *s3.Client {
	return S3Client(s.Endpoint, s.Region, s.AccessKey, s.SecretKey)
}

// S3Client is a plain S3 client of any endpoint: path style, static keys, and no retries, so that a test sees each answer.
func S3Client(endpoint, region, access, secret string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint:     &endpoint,
		Region:           region,
		UsePathStyle:     true,
		Credentials:      credentials.NewStaticCredentialsProvider(access, secret, ""),
		RetryMaxAttempts: 1,
		Retryer:          aws.NopRetryer{},
	})
}

// Output is the end of what the server wrote, for a failing test.
func (s *S3Server) Output() string { return s.proc.Tail(8000) }

// Stop ends the server and removes what StartS3 made. It may be called more than once.
func (s *S3Server) Stop() {
	s.stop.Do(func() {
		if s.proc != nil {
			s.proc.Stop(2 * time.Second)
		}
		if s.port != nil {
			s.port.Release()
		}
		if s.ownDir {
			_ = os.RemoveAll(s.Dir)
		}
	})
}
