package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
	"github.com/alio-lake/alio/sidecar/metadata"
)

// Mount is the name under which a Sidecar serves its data set, and the bucket that it has at its origin.
const Mount = "bench"

// The key that readers of the S3 door sign with: it opens nothing but a sidecar on loopback that holds made-up bytes.
const (
	AccessKeyID     = "ALIOBENCH"
	SecretAccessKey = "alio-bench-secret"
)

// Sidecar is "alio sidecar" in a process of its own over an origin in this process, with every door open on loopback and signatures checked.
type Sidecar struct {
	Data   load.Data
	Origin *load.Origin
	S3     string // host:port of the S3 door
	Socket string // of the gRPC door
	Dir    string // of the disk tier

	memory int64
	self   Command
	config string // file
	admin  string // URL
	child  *proc.Process
	origin *http.Server
	client *http.Client
}

// StartSidecar starts one that keeps its files below dir, whose cache holds the whole data set on disk and has so many bytes of memory, and returns when
// it is ready. The caller must Close it.
func StartSidecar(ctx context.Context, self Command, data load.Data, dir string, memory int64) (*Sidecar, error) {
	s := &Sidecar{
		Data: data, memory: memory, Origin: &load.Origin{Data: data, Bucket: Mount}, Dir: filepath.Join(dir, "cache"), Socket: filepath.Join(dir, "alio.sock"),
		client: &http.Client{Transport: &http.Transport{}},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.origin = &http.Server{Handler: s.Origin, ReadHeaderTimeout: time.Minute}
	go s.origin.Serve(ln) // ends with Close, and returns its error to nobody who could use it
	s.self, s.config = self, filepath.Join(dir, "sidecar.yaml")
	if err := os.WriteFile(s.config, []byte(s.settings(ln.Addr().String())), 0o600); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sidecar) start(ctx context.Context) (err error) {
	var at ready
	s.child, at, err = startSidecar(ctx, s.self, "--config", s.config)
	s.admin, s.S3 = at.Admin, strings.TrimPrefix(at.S3, "http://")
	return err
}

// Restart kills the process (kill -9) and starts another on the same files. It returns how long that one took to be ready.
func (s *Sidecar) Restart(ctx context.Context) (time.Duration, error) {
	s.child.Kill()
	began := time.Now()
	err := s.start(ctx)
	return time.Since(began), err
}

// DefaultMemory is the size of a sidecar's memory tier where nothing else is asked for: the product's default.
const DefaultMemory = cache.DefaultMemory

// CacheSize is the size that a Sidecar's disk tier gets for a data set: no eviction, with room for the active segments.
func CacheSize(data load.Data) int64 { return max(2*data.Size, 128<<20) }

func (s *Sidecar) settings(originAddress string) string {
	return fmt.Sprintf(`mounts:
  %s:
    uri: s3://%s
    s3: {endpoint: "http://%s", region: us-east-1, path_style: true, anonymous: true}
cache: {dir: %q, size: %d, metadata_size: %d, memory: %d}
freshness:
  rules:
    - {path: "%s/**", max_age: forever}
doors:
  s3:
    listen: 127.0.0.1:0
    credentials:
      - {access_key_id: %s, secret_access_key: %s}
  grpc: {socket: %q}
admin: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
`, Mount, Mount, originAddress, s.Dir, CacheSize(s.Data), max(CacheSize(s.Data)/16, metadata.MinSize), s.memory, Mount, AccessKeyID, SecretAccessKey, s.Socket)
}

// Close ends the process and the origin at once. It is safe twice.
func (s *Sidecar) Close() error {
	if s.child != nil {
		s.child.Kill()
		s.child = nil
	}
	s.client.CloseIdleConnections()
	return s.origin.Close()
}

// PID is the process's.
func (s *Sidecar) PID() int { return s.child.PID() }

// DialS3 makes a Reader of the S3 door.
func (s *Sidecar) DialS3(maxBytes int) (load.Reader, error) {
	return load.DialHTTP(load.HTTPOptions{
		Network: "tcp", Address: s.S3, Bucket: Mount, AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey, Data: s.Data, MaxBytes: maxBytes,
	})
}

// Mallocs is how many objects the process has allocated since it started, and what asking cost of them.
func (s *Sidecar) Mallocs(ctx context.Context) (n, cost float64, err error) {
	first, err := s.metric(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return 0, 0, err
	}
	second, err := s.metric(ctx, "go_memstats_mallocs_total")
	return second, second - first, err
}

// metric reads one metric without labels.
func (s *Sidecar) metric(ctx context.Context, name string) (float64, error) {
	text, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s/metrics has no %s", s.admin, name)
}

func (s *Sidecar) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s%s: %s", s.admin, path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

const (
	warmPasses = 8
	warmBytes  = 1 << 20
	// After so many bytes the disk tier is waited for, so that its queue (64 MiB) never sheds: a page that was shed would stay in memory.
	warmPace = 32 << 20
)

// Warm reads the whole data set through the S3 door until all of it lies in segments and a pass asks the origin for nothing. It returns where every
// page lies, each checked byte by byte (which leaves all of them in the page cache). progress takes a line a pass.
func (s *Sidecar) Warm(ctx context.Context, progress func(string, ...any)) (*Places, error) {
	var last error
	for pass := range warmPasses {
		before := s.Origin.Bytes()
		if err := s.readAll(ctx); err != nil {
			return nil, fmt.Errorf("warm the cache: %w", s.explain(err))
		}
		if err := s.settle(ctx); err != nil {
			return nil, fmt.Errorf("warm the cache: %w", s.explain(err))
		}
		fetched := s.Origin.Bytes() - before
		progress("warming, pass %d: %s read from the origin", pass+1, size(fetched))
		if fetched > 0 {
			continue
		}
		var p *Places
		if p, last = scanSegments(s.Data, filepath.Join(s.Dir, "segments")); last == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the cache did not take the whole data set in %d passes (%v); its log ends:\n%s", warmPasses, last, s.child.Output())
}

// liftPasses is after how many passes MoveUp gives up. A page that is read whole moves up in one pass of eight.
const liftPasses = 150

// MoveUp reads the data set, which must be in segments, until all of it is in memory too.
func (s *Sidecar) MoveUp(ctx context.Context, progress func(string, ...any)) error {
	for pass := range liftPasses {
		have, err := s.metric(ctx, "alio_cache_memory_bytes")
		if err != nil {
			return s.explain(err)
		}
		if int64(have) >= s.Data.Size {
			progress("all of the data set is in memory after %d passes", pass)
			return nil
		}
		if err := s.readAll(ctx); err != nil {
			return fmt.Errorf("move pages up: %w", s.explain(err))
		}
	}
	return fmt.Errorf("the data set did not move up into a memory of %s in %d passes", size(s.memory), liftPasses)
}

// explain adds the end of the sidecar's log to an error, unless the sidecar is not to blame.
func (s *Sidecar) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w; the sidecar's log ends:\n%s", err, s.child.Output())
}

// explainIf is explain for an error that may be nil.
func (s *Sidecar) explainIf(err error) error {
	if err == nil {
		return nil
	}
	return s.explain(err)
}

func (s *Sidecar) readAll(ctx context.Context) error {
	r, err := s.DialS3(warmBytes)
	if err != nil {
		return err
	}
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.(load.Interrupter).Interrupt() })()
	for object := range s.Data.Objects() {
		base, n := int64(object)*s.Data.ObjectSize, s.Data.SizeOf(object)
		for off := int64(0); off < n; off += warmBytes {
			err := readOne(r, s.Data, base+off, int(min(warmBytes, n-off)))
			if err == nil && (base+off)%warmPace == warmPace-warmBytes {
				err = s.settle(ctx)
			}
			if err != nil {
				return errors.Join(ctx.Err(), err)
			}
		}
	}
	return ctx.Err()
}

func readOne(r load.Reader, data load.Data, at int64, n int) error {
	if err := r.Prepare(at, n); err != nil {
		return err
	}
	b, err := r.Read()
	if err != nil {
		return err
	}
	return data.Check(b, at)
}

// settle waits until the disk tier has written what it was given.
func (s *Sidecar) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := s.get(ctx, "/metrics")
		if err != nil {
			return err
		}
		if idle(text) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the disk tier is still writing: %w", ctx.Err())
		}
	}
}

// idle reports whether no directory of the disk tier has pages that wait, and the store of metadata nothing.
func idle(metrics []byte) bool {
	for line := range bytes.Lines(metrics) {
		if (bytes.HasPrefix(line, []byte("alio_disk_write_queue_bytes")) || bytes.HasPrefix(line, []byte("alio_metadata_queue_bytes"))) && !bytes.HasSuffix(bytes.TrimSpace(line), []byte(" 0")) {
			return false
		}
	}
	return true
}
