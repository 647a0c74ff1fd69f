package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/internal/vfs"
	"github.com/alio-lake/alio/sidecar/config"
)

// safeBuffer is a log that a test reads while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// inProcess is a sidecar that runs in the test's own process.
type inProcess struct {
	*parts
	log  safeBuffer
	stop func() error // ends it and returns what run returned
}

// runOn runs a sidecar whose disk tier is on a file system that goes wrong by rule.
func runOn(t *testing.T, o *s3Origin, fsys vfs.FS, change func(*config.Config)) *inProcess {
	t.Helper()
	cfg := config.Default()
	m := config.DefaultMount()
	m.URI, m.S3 = "s3://bucket", config.S3{Endpoint: o.url, PathStyle: true, Anonymous: true}
	cfg.Mounts = map[string]config.Mount{"lake": m}
	cfg.Doors.S3.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Cache.Dir, cfg.Cache.Size = filepath.Join(t.TempDir(), "cache"), 64*units.MiB
	if change != nil {
		change(cfg)
	}
	p := &inProcess{}
	var err error
	if p.parts, err = assembleOn(cfg, zerolog.New(&p.log), fsys, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	l, err := openListeners(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- p.run(ctx, l) }()
	p.stop = sync.OnceValue(func() error { cancel(); return <-ran })
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	eventually(t, "readiness", func() bool { return p.state.notReady() == nil })
	return p
}

func (p *inProcess) read(t *testing.T, path string) string {
	t.Helper()
	a, err := request(t.Context(), http.MethodGet, p.state.addresses.Load().S3+"/lake/"+path)
	if err != nil || a.code != 200 {
		t.Fatalf("%d %v %s", a.code, err, a.body)
	}
	return a.body
}

func TestADeviceThatFailsAtTheStartCostsNoStart(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("a", []byte("from the origin"))
	fsys := vfs.NewFaulty(vfs.OS)
	fsys.Add(vfs.Rule{Op: vfs.OpMkdir, Err: syscall.EIO})
	p := runOn(t, o, fsys, nil)
	if got := p.read(t, "a"); got != "from the origin" {
		t.Errorf("read %q", got)
	}
	if !strings.Contains(p.log.String(), "device fails or hangs; it is used once it answers") {
		t.Error("the failing device is not said")
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

func TestADeviceThatHangsAtTheStart(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("a", []byte("from the origin"))
	hang := make(chan struct{})
	release := sync.OnceFunc(func() { close(hang) })
	defer release()
	fsys := vfs.NewFaulty(vfs.OS)
	fsys.Add(vfs.Rule{Op: vfs.OpMkdir, Hang: hang})
	p := runOn(t, o, fsys, nil)
	if got := p.read(t, "a"); got != "from the origin" {
		t.Errorf("read %q", got)
	}
	release()
	for n := 0; p.tier.Stats().Pages == 0; n++ { // until the device is open, pages stay in memory
		if name := fmt.Sprint("b", n); n == 1000 {
			t.Fatal("no page went to disk")
		} else {
			o.Put(name, []byte("to the disk"))
			p.read(t, name)
		}
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

func TestADeviceThatHangsDoesNotHoldTheEnd(t *testing.T) {
	isolate(t)
	hang := make(chan struct{})
	fsys := vfs.NewFaulty(vfs.OS)
	fsys.Add(vfs.Rule{Op: vfs.OpMkdir, Hang: hang})
	p := runOn(t, startOrigin(t), fsys, nil)
	if err := p.stop(); err != nil || !strings.Contains(p.log.String(), "not closed cleanly") {
		t.Errorf("%v\n%s", err, p.log.String())
	}
	close(hang)
	eventually(t, "the end of what hung", func() bool { // it still makes files, which the test's folder is removed with
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "alio/cache/disk.")
	})
}

// TestTheEndWritesWhatIsQueued holds the device back until the sidecar is told to stop: what readers have caused to be queued is on disk afterwards.
func TestTheEndWritesWhatIsQueued(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	hang := make(chan struct{})
	release := sync.OnceFunc(func() { close(hang) })
	defer release()
	fsys := vfs.NewFaulty(vfs.OS)
	p := runOn(t, o, fsys, nil)
	eventually(t, "the recovery", func() bool { return strings.Contains(p.log.String(), "cache directory recovered") })
	fsys.Add(vfs.Rule{Op: vfs.OpWrite, Glob: filepath.Join(p.cfg.Cache.Dir, "*", "*"), Hang: hang})
	for _, name := range []string{"a", "b", "c", "d"} {
		o.Put(name, []byte("page of "+name))
		p.read(t, name)
	}
	eventually(t, "a queue", func() bool { return p.tier.Stats().QueueBytes > 0 })
	ended := make(chan error, 1)
	go func() { ended <- p.stop() }()
	eventually(t, "the end's beginning", func() bool { return strings.Contains(p.log.String(), "shutting down") })
	release()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	again, err := assembleOn(p.cfg, zerolog.Nop(), vfs.OS, recoverWait)
	if err != nil {
		t.Fatal(err)
	}
	defer again.discard()
	if err := again.tier.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := again.tier.Stats().Recovery.Pages; n != 4 {
		t.Errorf("%d of 4 pages are on disk", n)
	}
}

// writeCertificate makes a key pair for 127.0.0.1 and returns its files.
func writeCertificate(t *testing.T) config.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out := config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{out.CertFile: {Type: "CERTIFICATE", Bytes: cert}, out.KeyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestTLS(t *testing.T) {
	isolate(t)
	files := writeCertificate(t)
	p := runOn(t, startOrigin(t), vfs.OS, func(c *config.Config) {
		c.Cache.Dir = ""
		c.Doors.S3.TLS = files
		c.Doors.S3.Credentials = []config.Credential{{AccessKeyID: "a", SecretAccessKey: "b"}}
	})
	pool := x509.NewCertPool()
	text, err := os.ReadFile(files.CertFile)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	url := p.state.addresses.Load().S3
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("the door is announced as %s", url)
	}
	resp, err := client.Get(url + "/lake/a")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned request got %d, want 403", resp.StatusCode)
	}
}
