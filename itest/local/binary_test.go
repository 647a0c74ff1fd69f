package local

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/itest/harness"
)

// binary is the sidecar's binary over a real S3 server, with a gRPC door on a Unix socket.
type binary struct {
	t      testing.TB
	path   string
	config string
	output bytes.Buffer
	cmd    *exec.Cmd
}

func newBinary(t testing.TB, m *machine, s *harness.S3Server) *binary {
	path, err := harness.AlioBinary(t.Context(), t.Logf)
	need(t, err)
	b := &binary{t: t, path: path, config: filepath.Join(t.TempDir(), "alio.yaml")}
	q := strconv.Quote
	text := fmt.Sprintf(`mounts:
  lake: {uri: %s, s3: {endpoint: %s, region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}}
cache: {dir: %s, size: 64MiB, memory: 16MiB}
doors: {s3: {listen: "127.0.0.1:0"}, grpc: {socket: %s}}
admin: {listen: "127.0.0.1:0"}
freshness: {rules: [{path: "**", max_age: forever}]}
`, q("s3://"+s.Bucket), q(s.Endpoint), q(s.Region), q(s.AccessKey), q(s.SecretKey), q(m.dir), q(m.socket))
	need(t, os.WriteFile(b.config, []byte(text), 0o600))
	t.Cleanup(func() {
		b.kill()
		if t.Failed() {
			t.Logf("the sidecar wrote:\n%s", b.output.Bytes()[max(0, b.output.Len()-8000):])
		}
	})
	return b
}

func (b *binary) start() {
	b.cmd = exec.Command(b.path, "sidecar", "--config", b.config)
	b.cmd.Stdout, b.cmd.Stderr = &b.output, &b.output
	need(b.t, b.cmd.Start())
}

// kill is kill -9.
func (b *binary) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait() // says that it was killed
		b.cmd = nil
	}
}

// TestKilledBinary: readers go on through kill -9 of the real binary at random moments under load: every byte is right, no read fails, and what was
// written to segments is read locally again after each start.
func TestKilledBinary(t *testing.T) {
	seed := seed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	server := harness.S3(t)
	m := newStopped(t)
	const files = 6
	for i := range files {
		name := fmt.Sprint("f", i)
		m.put(name, 1<<20+i*1000, uint64(i))
		_, err := server.Client().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &server.Bucket, Key: &name, Body: bytes.NewReader(m.data[name])})
		need(t, err)
	}
	b := newBinary(t, m, server)
	b.start()
	d := &direct{m: m}
	u := m.client(func(o *client.Options) { o.Fallback, o.ControlDeadline = d, time.Second })
	readAll := func() error {
		for i := range files {
			f, err := u.Open(context.Background(), "lake", fmt.Sprint("f", i), client.OpenOptions{Size: 1<<20 + int64(i*1000)})
			if err != nil {
				return err
			}
			if err := m.read(f, 0, 2<<20); err != nil {
				return err
			}
		}
		return nil
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	var reads atomic.Int64
	defer wg.Wait()
	defer stop.Store(true)
	for range 4 {
		wg.Go(func() {
			for !stop.Load() && !t.Failed() {
				if err := readAll(); err != nil {
					t.Error(err)
				}
				reads.Add(files)
			}
		})
	}
	for range 5 {
		eventually(t, "the sidecar is used, and its segments are", func() bool {
			before := u.bytes("local")
			need(t, readAll())
			return u.bytes("local") >= before+files<<20 && u.bytes("sidecar") > 0
		})
		<-time.After(time.Duration(rng.IntN(100)) * time.Millisecond)
		b.kill()
		from := reads.Load()
		eventually(t, "readers go on", func() bool { return reads.Load() > from+files || t.Failed() })
		b.start()
	}
	stop.Store(true)
	wg.Wait()
	eventually(t, "the last process is met", func() bool {
		f, err := u.Open(t.Context(), "lake", "f0", client.OpenOptions{ETag: `"other"`})
		return err == nil && m.read(f, 0, 100) == nil && u.metric("alio_client_forgets_total", "") >= 1
	})
	t.Logf("%d reads of 1 MiB, %d by the fallback; locally %.0f MB, forgotten %v times", reads.Load(), d.reads.Load(), u.bytes("local")/1e6, u.metric("alio_client_forgets_total", ""))
}
