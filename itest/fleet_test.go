package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/client/fleet"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// served is three sidecars over one S3 server whose requests are counted, with gRPC doors for processes elsewhere, and files of several sections.
type served struct {
	t     *testing.T
	store *harness.S3Server
	proxy *s3proxy.Proxy
	all   []*harness.Alio
	doors []string // of all
	tls   harness.Certificates
	files map[string][]byte
	puts  int
}

const fleetToken = "for-readers"

func startServed(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, store: harness.S3(t), files: map[string][]byte{}}
	var err error
	s.proxy, err = s3proxy.Start(s3proxy.Options{Target: s.store.Endpoint})
	need(t, err)
	t.Cleanup(func() { s.proxy.Close() })
	s.tls, err = harness.NewCertificates(t.TempDir())
	need(t, err)
	service := harness.AffinityService(t, harness.AffinityOptions{Lease: 30 * time.Second, Ring: "{partitions: 1024, section_size: 1MiB}"})
	for _, name := range []string{"a", "b", "c"} {
		port, err := harness.PickPort()
		need(t, err)
		t.Cleanup(port.Release)
		_, number, err := net.SplitHostPort(port.Addr())
		need(t, err)
		door := "localhost:" + number
		s.all = append(s.all, harness.SidecarWith(t, harness.AlioOptions{
			Endpoint: s.proxy.URL(), Bucket: s.store.Bucket, Region: s.store.Region, AccessKey: s.store.AccessKey, SecretKey: s.store.SecretKey,
			GRPCListen: port.Addr(), GRPCToken: fleetToken, GRPCTLS: s.tls,
			ExtraYAML: fmt.Sprintf("affinity: {name: %s, worker: '%s:8080', sidecar: '%s', weight: 10, lease: 30s, candidate: false, etcd: {endpoints: ['%s']}}\nfreshness: {rules: [{path: 'lake/**', max_age: 0s}]}\n", name, name, door, service.Etcd),
		}))
		s.doors = append(s.doors, door)
	}
	need(t, service.Await(t.Context(), len(s.all)))
	return s
}

func (s *served) put(ctx context.Context, path string, size int) {
	s.t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size), byte(len(s.files)), byte(s.puts)}).Read(data)
	s.puts++
	_, err := s.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.store.Bucket, Key: &path, Body: bytes.NewReader(data)})
	need(s.t, err)
	s.files[path] = data
}

// ReadAt reads the object straight, as a Fallback.
func (s *served) ReadAt(ctx context.Context, o client.Object, p []byte, off int64) (int, error) {
	span := fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)
	got, err := s.store.Client().GetObject(ctx, &awss3.GetObjectInput{Bucket: &s.store.Bucket, Key: &o.Path, Range: &span})
	if err != nil {
		return 0, err
	}
	defer got.Body.Close()
	return io.ReadFull(got.Body, p)
}

func (s *served) cost(ctx context.Context) s3proxy.Summary {
	s.t.Helper()
	need(s.t, s.proxy.Settle(ctx))
	defer s.proxy.Reset()
	return s3proxy.Summarize(s.proxy.Log())
}

// reader is a process without a sidecar.
type reader struct {
	*fleet.Fleet
	registry *prometheus.Registry
}

func (s *served) reader(o fleet.Options) *reader {
	s.t.Helper()
	r := &reader{registry: prometheus.NewRegistry()}
	secure, err := s.tls.TLS()
	need(s.t, err)
	o.Members, o.Token, o.TLS, o.Registerer = []string{"localhost:1", s.doors[1]}, fleetToken, secure, r.registry // the first of them is gone
	r.Fleet, err = fleet.New(o)
	need(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	s.t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			s.t.Error(err)
		}
	})
	return r
}

// answers is how often each kind of answerer has answered.
func (r *reader) answers(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	need(t, err)
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[label(m)] = m.GetCounter().GetValue()
		}
	}
	return out
}

func label(m *dto.Metric) string { return m.GetLabel()[0].GetValue() }

// readAll opens each file and reads it in random pieces and as a whole.
func (s *served) readAll(r *reader, rnd *rand.Rand, pieces int) {
	s.t.Helper()
	for path, data := range s.files {
		f, err := r.Open(s.t.Context(), "lake", path, client.OpenOptions{Size: int64(len(data))})
		need(s.t, err)
		for i := range pieces + 1 {
			off, n := 0, len(data)
			if i < pieces {
				off = rnd.IntN(len(data))
				n = 1 + rnd.IntN(2<<20)
			}
			got := make([]byte, n)
			n, err := f.ReadAt(got, int64(off))
			want := data[off:min(off+len(got), len(data))]
			if (err != nil && err != io.EOF) || n != len(want) || !bytes.Equal(got[:n], want) || (err == io.EOF) != (len(want) < len(got)) {
				s.t.Fatalf("%s: %d bytes at %d: %d of them, right: %t, %v", path, len(got), off, n, bytes.Equal(got[:n], want), err)
			}
		}
		need(s.t, f.Close())
		if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, client.ErrClosed) {
			s.t.Fatalf("a closed file was read: %v", err)
		}
	}
}

// TestFleet: processes without a sidecar read files section by section from the members that own them: right bytes, the origin once, however many they are. One member is killed: who stands by answers. A
// file that is overwritten is never a mixture. All are gone: the fallback reads, and without one the error says who could not.
func TestFleet(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := startServed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for i := range 6 {
		s.put(ctx, fmt.Sprintf("part-%d.bin", i), 2<<20+i*700_000)
	}
	s.put(ctx, "overwritten.bin", 6<<20)
	one, two := s.reader(fleet.Options{}), s.reader(fleet.Options{Fallback: s, ControlDeadline: 10 * time.Second})
	s.readAll(one, rnd, 12)
	cold := s.cost(ctx)
	s.readAll(two, rnd, 6)
	warm := s.cost(ctx)
	t.Logf("the origin, for the first reader: %v; for the second: %v; answers %v, %v", cold, warm, one.answers(t), two.answers(t))
	if cold.DataGETs == 0 || warm.DataGETs > 0 {
		t.Errorf("what the members hold was read from the origin again: %v", warm)
	}
	java := s.java(t)
	if a := java.read(rnd, 6, false); a["owner"] == 0 || a["standby"]+a["failed"] > 0 || s.cost(ctx).DataGETs > 0 {
		t.Errorf("all members are well, and Java's answers came from %v", a)
	}
	for _, r := range []*reader{one, two} {
		if a := r.answers(t); a["owner"] == 0 || a["standby"]+a["failed"]+a["fallback"] > 0 {
			t.Errorf("all members are well, and answers came from %v", a)
		}
	}

	began := time.Now()
	s.all[2].Kill()
	s.readAll(two, rnd, 3)
	if a := two.answers(t); a["standby"] == 0 || a["fallback"] > 0 {
		t.Errorf("a member is gone, and answers came from %v", a)
	}
	t.Logf("one is gone: %v", time.Since(began))
	if a := java.read(rnd, 3, false); a["standby"] == 0 {
		t.Errorf("a member is gone, and Java's answers came from %v", a)
	}
	s.overwritten(ctx, two, java)
	began = time.Now()
	s.all[0].Kill()
	s.all[1].Kill()
	s.readAll(two, rnd, 1)
	if a := two.answers(t); a["fallback"] == 0 {
		t.Errorf("all members are gone, and answers came from %v", a)
	}
	if a := java.read(rnd, 3, true); a["fallback"] == 0 {
		t.Errorf("all members are gone, and Java's answers came from %v", a)
	}
	t.Logf("all are gone: %v", time.Since(began))
	_, err := one.Open(ctx, "lake", "never.bin", client.OpenOptions{})
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), s.doors[0]) && !strings.Contains(err.Error(), s.doors[1]) {
		t.Errorf("all members are gone, there is no fallback, and the error is %v", err)
	}
}

// javaFleet is the Java program FleetReader.
type javaFleet struct {
	*javaPlacer
	folder string
}

func (s *served) java(t *testing.T) *javaFleet {
	t.Helper()
	folder := t.TempDir()
	for name, data := range s.files {
		need(t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	r := startJava(t, nil, javaJars(t), "io.alio.client.FleetReader", fleetToken, s.tls.CA, folder, "localhost:1", s.doors[1])
	return &javaFleet{javaPlacer: &javaPlacer{t: t, in: r.in, lines: r.out}, folder: folder}
}

// read has it open each file and read it in random pieces, compared with the folder, and returns who has answered since it began.
func (j *javaFleet) read(rnd *rand.Rand, pieces int, fallback bool) map[string]float64 {
	j.t.Helper()
	answer := j.ask(fmt.Sprintf("read %d %d %t", rnd.Int64(), pieces, fallback))
	if !strings.HasPrefix(answer, "owner=") {
		j.t.Fatalf("Java: %s", answer)
	}
	return counted(j.t, strings.ReplaceAll(answer, " ", ","))
}

// overwritten changes a file that is open here and in Java: reads give the old bytes, from who holds them, or say that it has changed.
func (s *served) overwritten(ctx context.Context, r *reader, java *javaFleet) {
	s.t.Helper()
	const path = "overwritten.bin"
	old := s.files[path]
	f, err := r.Open(ctx, "lake", path, client.OpenOptions{})
	need(s.t, err)
	got := make([]byte, 1<<20)
	_, err = f.ReadAt(got, 0)
	need(s.t, err)
	if answer := java.ask("first " + path); answer != "read 1" {
		s.t.Fatalf("Java: %s", answer)
	}
	need(s.t, s.all[0].Cold(ctx)) // so that the old bytes are not with everybody
	need(s.t, s.all[1].Cold(ctx))
	s.put(ctx, path, len(old)) // other bytes
	right, changed := 0, 0
	for off := 0; off < len(old); off += 1 << 20 {
		switch _, err := f.ReadAt(got, int64(off)); {
		case errors.Is(err, client.ErrVersionChanged):
			changed++
		case err != nil || !bytes.Equal(got, old[off:off+1<<20]):
			s.t.Fatalf("a file that was overwritten while it was open, at %d: not its bytes, %v", off, err)
		default:
			right++
		}
	}
	answer := java.ask("rest " + path)
	s.t.Logf("overwritten while it was open: %d pieces as before, %d said that it has changed; Java: %s", right, changed, answer)
	if changed == 0 || !strings.HasPrefix(answer, "right=") || strings.HasSuffix(answer, "changed=0") {
		s.t.Error("no read of the parts that nobody holds said that the file has changed, or a read was wrong")
	}
}
