package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
)

// GCS is a running GCS emulator (fake-gcs-server, objects in memory) on a loopback port of its own. It differs from Cloud Storage in what matters
// here: it ignores ifGenerationMatch on reads, checks no credentials, says of a 404 neither whether the object or the bucket is missing, and
// counts no common prefix against maxResults.
type GCS struct {
	Endpoint string // http://127.0.0.1:port; a proxy before it may keep its own Host header
	Bucket   string // exists, empty at the start

	proc   *Process
	port   *Port
	dir    string
	ownDir bool
	stop   sync.Once
}

// GCSServer starts a GCS emulator for one test and stops it when the test ends, with the end of its output in the test's log if the test
// failed. A start takes a fraction of a second once it is built; the first one on a machine builds it.
func GCSServer(t testing.TB) *GCS {
	t.Helper()
	g, err := StartGCS(context.Background(), t.TempDir())
	if err != nil {
		t.Fatalf("GCS emulator for the test: %v", err)
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("end of the GCS emulator's output:\n%s", g.proc.Tail(4000))
		}
	})
	return g
}

// StartGCS starts a GCS emulator and returns when its bucket "lake" exists. dir holds its output; "" is a new temporary folder, which Stop
// removes. The caller must Stop it. ctx bounds the start only.
func StartGCS(ctx context.Context, dir string) (*GCS, error) {
	bin, err := GoTool(ctx, "fake-gcs-server", Stderr)
	if err != nil {
		return nil, err
	}
	g := &GCS{Bucket: "lake", dir: dir}
	if g.dir == "" {
		if g.dir, err = os.MkdirTemp("", "alio-gcs-"); err != nil {
			return nil, err
		}
		g.ownDir = true
	}
	if err := g.start(ctx, bin); err != nil {
		g.Stop()
		return nil, err
	}
	return g, nil
}

// start runs the emulator. Its public host is named without the port, so that requests through a proxy on another port are still its own.
func (g *GCS) start(ctx context.Context, bin string) error {
	var err error
	if g.port, err = PickPort(); err != nil {
		return err
	}
	g.Endpoint = "http://" + g.port.Addr()
	g.proc, err = startProcess(processSpec{
		Name: "fake-gcs-server", Path: bin, Dir: g.dir, LogFile: filepath.Join(g.dir, "fake-gcs-server.log"),
		Args: []string{"-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", fmt.Sprint(g.port.Number),
			"-public-host", "127.0.0.1", "-external-url", g.Endpoint, "-log-level", "error"},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := g.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return g.proc.ready(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		err := client.Bucket(g.Bucket).Create(ctx, "alio", nil)
		if err == nil {
			return nil
		}
		_, again := client.Bucket(g.Bucket).Attrs(ctx) // made by an earlier try whose answer was lost
		if again == nil {
			return nil
		}
		return errors.Join(err, again)
	})
}

// Client is a client of the emulator that does not retry, with connections of its own. The caller closes it.
func (g *GCS) Client() (*storage.Client, error) {
	c, err := storage.NewClient(context.Background(), option.WithEndpoint(g.Endpoint+"/storage/v1/"), option.WithoutAuthentication(),
		option.WithHTTPClient(&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}))
	if err != nil {
		return nil, err
	}
	c.SetRetry(storage.WithPolicy(storage.RetryNever))
	return c, nil
}

// Output is the end of what the emulator wrote, for a failing test.
func (g *GCS) Output() string { return g.proc.Tail(8000) }

// Stop ends the emulator, whose objects are gone then, and removes what StartGCS made. It may be called more than once.
func (g *GCS) Stop() {
	g.stop.Do(func() {
		if g.proc != nil {
			g.proc.Stop(2 * time.Second)
		}
		if g.port != nil {
			g.port.Release()
		}
		if g.ownDir {
			_ = os.RemoveAll(g.dir)
		}
	})
}
