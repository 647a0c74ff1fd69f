package itest

import (
	"bytes"
	"context"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/itest/harness"
)

// shutBucket is read by a catalog that names a directory which Presto's user may not enter.
const shutBucket = "shut"

// sick is a catalog with a bad setting, what its warning says, and the counter that rises with each query, in which the bridge goes on.
type sick struct {
	catalog, of, fault, remedy string
	counter                    string
	settings                   map[string]string
}

// sicks are the bad settings: a bucket of its own for each, which is how Presto keeps file systems apart.
func (s *prestoStage) sicks() []sick {
	shut := filepath.Join(s.shut, "cache")
	return []sick{
		{"astray", s.socket + ".no", "the sidecar cannot be reached", "Is the sidecar running there, and is that the address of its gRPC door?", "BypassedFiles",
			map[string]string{"alio.address": s.socket + ".no"}},
		{"newer", s.socket + ".newer", "speaks another version of the API", "Install the client of the sidecar's release, or a sidecar of the client's", "BypassedFiles",
			map[string]string{"alio.address": s.socket + ".newer"}},
		{shutBucket, shut, "cannot be identified", "May this user read it, and is it the sidecar's?", "SidecarBytes",
			map[string]string{"alio.directories": shut}},
	}
}

// badSettings are the bridge's settings in those catalogs. The directory that cannot be read is the sidecar's own, behind a folder that nobody may enter.
func (s *prestoStage) badSettings(t *testing.T) map[string]map[string]string {
	t.Helper()
	s.shut = filepath.Join(t.TempDir(), "shut")
	need(t, os.Mkdir(s.shut, 0o700))
	need(t, os.Symlink(s.alio.CacheDir, filepath.Join(s.shut, "cache")))
	need(t, os.Chmod(s.shut, 0))
	t.Cleanup(func() { need(t, os.Chmod(s.shut, 0o700)) }) // so that it can be removed
	all := map[string]map[string]string{}
	for _, bad := range s.sicks() {
		all[bad.catalog] = bad.settings
	}
	return all
}

// startOtherAPI serves gRPC at a socket as a sidecar of another major version does: none of this version's services is there, and the answer says so.
// There is no such version yet, so this is a stand-in.
func startOtherAPI(t *testing.T, socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	need(t, err)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.Unimplemented, "this sidecar speaks alio.v2.Sidecar and has no alio.v1.Sidecar: use a client of that version")
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is stopped
	}()
	t.Cleanup(func() { server.Stop(); <-done })
}

// badInput reads by catalogs with bad settings: the rows are right each time, a counter rises with each query, and however many files and queries there are, one
// warning a minute names the fault and the way out.
func (s *prestoStage) badInput(ctx context.Context, t *testing.T) {
	startOtherAPI(t, s.socket+".newer")
	const text = "SELECT max(i_item_id), min(i_current_price), count(DISTINCT i_item_sk) FROM ${database}.${schema}.item" // of any number of copies
	want, _ := s.rows(ctx, t, text, "stock", "here")
	for _, bad := range s.sicks() {
		s.inBucket(ctx, t, bad.catalog, 3)
		counted := 0.0
		for range 3 {
			got, _ := s.rows(ctx, t, text, bad.catalog, "in_"+bad.catalog)
			same(t, bad.catalog, want, got)
			all := s.counters(ctx, t, bad.catalog)
			if all[bad.counter] <= counted {
				t.Errorf("%s: %s is %.0f after another query, as before", bad.catalog, bad.counter, all[bad.counter])
			}
			counted = all[bad.counter]
		}
		n := s.warned(t, bad.of, bad.fault, bad.remedy)
		t.Logf("  %s: %s %.0f after 3 queries of 3 files, %d warning", bad.catalog, bad.counter, counted, n)
	}
}

// inBucket makes a bucket with copies of the file of the table item, as a table in schema in_<bucket>.
func (s *prestoStage) inBucket(ctx context.Context, t *testing.T, bucket string, copies int) {
	t.Helper()
	_, err := s.store.Client().CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &bucket})
	need(t, err)
	data := onlyFile(t, filepath.Join(s.meta, "here", "item"))
	for i := range copies {
		_, err := s.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: aws.String(path.Join("item", string(rune('a'+i)))), Body: bytes.NewReader(data)})
		need(t, err)
	}
	_, err = s.presto.Query(ctx, "CREATE SCHEMA stock.in_"+bucket)
	need(t, err)
	need(t, harness.EnterPrestoTables(s.meta, "here", "in_"+bucket, "s3a://"+bucket, []string{"item"}))
}

// warned looks for the bridge's warnings of something in the coordinator's log: there is one, and no more than one a minute. It holds the fault and the remedy.
func (s *prestoStage) warned(t *testing.T, of, fault, remedy string) int {
	t.Helper()
	log, err := s.presto.Log(0)
	need(t, err)
	n := 0
	for line := range strings.Lines(log) {
		if strings.Contains(line, "\talio: ") && strings.Contains(line, of) && strings.Contains(line, fault) {
			n++
			if !strings.Contains(line, remedy) || !strings.Contains(line, "WARN") {
				t.Errorf("a warning without a remedy, or none: %s", line)
			}
		}
	}
	if most := 1 + int(time.Since(s.begun).Minutes()); n == 0 || n > most {
		t.Errorf("%d warnings that %q, of %s; one is wanted, and at most %d", n, fault, of, most)
	}
	return n
}
