package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// AlioOptions say how StartAlio starts a sidecar. Endpoint, AccessKey and SecretKey are required, or Mounts: where the origins are.
type AlioOptions struct {
	Dir       string // absolute; configuration, cache folder, output. "": a new temporary folder, removed by Stop
	Mount     string // "": lake
	Bucket    string // "": lake
	Endpoint  string // of the origin
	Region    string // "": us-east-1
	AccessKey string
	SecretKey string

	DoorAccessKey string // what clients of the S3 door sign with; "": the origin's keys
	DoorSecretKey string

	Mounts string // YAML below "mounts:": more mounts beside the one that the fields above describe, or all of them if Endpoint is ""
	Socket string // path of a Unix socket for the gRPC door; "": none

	GRPCListen string       // address for the gRPC door on TCP; "": none
	GRPCToken  string       // what its clients show, if it listens
	GRPCTLS    Certificates // of the door on TCP; its zero: none

	CacheSize string   // "": 1GiB
	Memory    string   // "": 256MiB
	ExtraYAML string   // more top-level keys of the configuration file, such as freshness
	Env       []string // more environment, name=value

	Deadline time.Duration // until ready; 0: 30 s
	Logf     Logf          // progress; nil: Stderr
}

// Alio is a running sidecar: the real binary, with an S3 door and an admin address that survive Kill and Start. Its methods are
// for one goroutine at a time.
type Alio struct {
	Door      string // http://127.0.0.1:port of the S3 door
	Admin     string // http://127.0.0.1:port of /metrics, /readyz, /status
	CacheDir  string
	AccessKey string // of the door
	SecretKey string
	Region    string

	opts   AlioOptions
	bin    string
	dir    string
	ownDir bool
	ports  []*Port
	proc   *Process // nil when not running
	stop   sync.Once
}

var alioBuild struct {
	sync.Mutex
	bin string
}

// AlioBinary builds ./cmd/alio of this checkout, once for each process that asks, and returns its path. Several checkouts, and
// several processes of one, do not get in each other's way.
func AlioBinary(ctx context.Context, logf Logf) (string, error) {
	alioBuild.Lock()
	defer alioBuild.Unlock()
	if alioBuild.bin != "" {
		return alioBuild.bin, nil
	}
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	sum, err := toolSum(root) // the pins and the compiler; go build itself knows what else changed
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "bin", "alio-"+sum+"-"+shortHash(root))
	if err := goBuild(ctx, root, "./cmd/alio", bin, logf); err != nil {
		return "", err
	}
	alioBuild.bin = bin
	return bin, nil
}

// Sidecar starts a sidecar over an S3 server for one test and stops it when the test ends, with the end of its output in the
// test's log if the test failed.
func Sidecar(t testing.TB, s *S3Server) *Alio {
	t.Helper()
	return SidecarWith(t, AlioOptions{Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey})
}

// SidecarWith is Sidecar with every option open; Dir and Logf are the test's own.
func SidecarWith(t testing.TB, o AlioOptions) *Alio {
	t.Helper()
	o.Dir, o.Logf = t.TempDir(), t.Logf
	a, err := StartAlio(context.Background(), o)
	if err != nil {
		t.Fatalf("sidecar for the test: %v", err)
	}
	t.Cleanup(func() {
		out := a.Output()
		a.Stop()
		if t.Failed() {
			t.Logf("end of the sidecar's output:\n%s", out)
		}
	})
	return a
}

// StartAlio builds and starts a sidecar and returns when it is ready. The caller must Stop it. ctx bounds the start only.
func StartAlio(ctx context.Context, o AlioOptions) (*Alio, error) {
	o = o.withDefaults()
	bin, err := AlioBinary(ctx, o.Logf)
	if err != nil {
		return nil, err
	}
	a := &Alio{opts: o, bin: bin, dir: o.Dir, AccessKey: o.DoorAccessKey, SecretKey: o.DoorSecretKey, Region: o.Region}
	if a.dir == "" {
		if a.dir, err = os.MkdirTemp("", "alio-sidecar-"); err != nil {
			return nil, err
		}
		a.ownDir = true
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return nil, err
	}
	a.CacheDir = filepath.Join(a.dir, "cache")
	for _, to := range []*string{&a.Door, &a.Admin} {
		p, err := PickPort()
		if err != nil {
			a.Stop()
			return nil, err
		}
		a.ports = append(a.ports, p)
		*to = "http://" + p.Addr()
	}
	if err := os.WriteFile(a.configFile(), []byte(a.config()), 0o600); err != nil {
		a.Stop()
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		a.Stop()
		return nil, err
	}
	return a, nil
}

func (o AlioOptions) withDefaults() AlioOptions {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&o.Mount, "lake")
	set(&o.Bucket, "lake")
	set(&o.Region, "us-east-1")
	set(&o.DoorAccessKey, o.AccessKey)
	set(&o.DoorSecretKey, o.SecretKey)
	set(&o.CacheSize, "1GiB")
	set(&o.Memory, "256MiB")
	if o.Deadline == 0 {
		o.Deadline = 30 * time.Second
	}
	if o.Logf == nil {
		o.Logf = Stderr
	}
	return o
}

func (a *Alio) configFile() string { return filepath.Join(a.dir, "alio.yaml") }

// config is the sidecar's configuration file. Strings are quoted as JSON, which YAML reads.
func (a *Alio) config() string {
	o, q := a.opts, strconv.Quote
	mounts := o.Mounts
	if o.Endpoint != "" {
		mounts += fmt.Sprintf(`  %s:
    uri: %s
    s3:
      endpoint: %s
      region: %s
      path_style: true
      access_key_id: %s
      secret_access_key: %s
`, q(o.Mount), q("s3://"+o.Bucket), q(o.Endpoint), q(o.Region), q(o.AccessKey), q(o.SecretKey))
	}
	return fmt.Sprintf(`mounts:
%scache:
  dir: %s
  size: %s
  memory: %s
doors:
  s3:
    listen: %s
    credentials:
      - access_key_id: %s
        secret_access_key: %s
  grpc:
    socket: %s
%sadmin:
  listen: %s
%s`, mounts, q(a.CacheDir), o.CacheSize, o.Memory, q(a.ports[0].Addr()), q(o.DoorAccessKey), q(o.DoorSecretKey), q(o.Socket), o.grpcOverTCP(), q(a.ports[1].Addr()),
		o.ExtraYAML)
}

func (o AlioOptions) grpcOverTCP() string {
	if o.GRPCListen == "" {
		return ""
	}
	door := fmt.Sprintf("    listen: %s\n    tokens: [{name: test, token: %s}]\n", strconv.Quote(o.GRPCListen), strconv.Quote(o.GRPCToken))
	if o.GRPCTLS.Cert != "" {
		door += fmt.Sprintf("    tls: {cert_file: %s, key_file: %s}\n", strconv.Quote(o.GRPCTLS.Cert), strconv.Quote(o.GRPCTLS.Key))
	}
	return door
}

// Start starts the sidecar again after Kill, Shutdown or a crash, on the same ports and folder, and waits until it is ready.
func (a *Alio) Start(ctx context.Context) error {
	if a.running() {
		return fmt.Errorf("the sidecar of %s already runs", a.dir)
	}
	var err error
	a.proc, err = startProcess(processSpec{
		Name: "alio sidecar", Path: a.bin, Dir: a.dir, LogFile: filepath.Join(a.dir, "alio.log"), Env: a.opts.Env,
		Args: []string{"sidecar", "--config", a.configFile()},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.Deadline)
	defer cancel()
	return a.proc.ready(ctx, 10*time.Millisecond, func(ctx context.Context) error {
		_, err := get(ctx, a.Admin+"/readyz")
		return err
	})
}

func (a *Alio) running() bool {
	if a.proc == nil {
		return false
	}
	select {
	case <-a.proc.Done():
		return false
	default:
		return true
	}
}

// Kill ends the sidecar with SIGKILL: a crash.
func (a *Alio) Kill() {
	if a.proc != nil {
		a.proc.Kill()
	}
}

// Shutdown ends the sidecar with SIGTERM, as an operator would.
func (a *Alio) Shutdown() {
	if a.proc != nil {
		a.proc.Stop(15 * time.Second)
	}
}

// Cold stops the sidecar, empties its cache folder and starts it on the same ports: nothing is cached, in memory or on disk.
func (a *Alio) Cold(ctx context.Context) error {
	a.Shutdown()
	if err := os.RemoveAll(a.CacheDir); err != nil {
		return err
	}
	return a.Start(ctx)
}

// Metrics reads the sidecar's counters and gauges, by name with labels as Prometheus writes them: alio_x_total{kind="get"}.
func (a *Alio) Metrics(ctx context.Context) (map[string]float64, error) {
	text, err := get(ctx, a.Admin+"/metrics")
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, ok := cutLast(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			all[name] = v
		}
	}
	return all, lines.Err()
}

// Output is the end of what the sidecar wrote.
func (a *Alio) Output() string {
	if a.proc == nil {
		return ""
	}
	return a.proc.Tail(8000)
}

// Socket is the path of the gRPC door's socket; "" if there is none.
func (a *Alio) Socket() string { return a.opts.Socket }

// PID is the sidecar's process id.
func (a *Alio) PID() int { return a.proc.PID() }

// Stop ends the sidecar and removes what StartAlio made. It may be called more than once.
func (a *Alio) Stop() {
	a.stop.Do(func() {
		a.Shutdown()
		for _, p := range a.ports {
			p.Release()
		}
		if a.ownDir {
			_ = os.RemoveAll(a.dir)
		}
	})
}

// get is the body of a 200; any other answer is an error.
func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.200s", url, res.Status, b)
	}
	return string(b), err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
