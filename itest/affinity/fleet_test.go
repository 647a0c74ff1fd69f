package affinity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	all   map[string]*harness.Alio
	doors []string // of all, in the order of their names
	files map[string][]byte
}

const fleetToken = "for-readers"

func startServed(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, store: harness.S3(t), all: map[string]*harness.Alio{}, files: map[string][]byte{}}
	var err error
	s.proxy, err = s3proxy.Start(s3proxy.Options{Target: s.store.Endpoint})
	need(t, err)
	t.Cleanup(func() { s.proxy.Close() })
	etcd, err := harness.PickPort()
	need(t, err)
	t.Cleanup(etcd.Release)
	for _, name := range []string{"a", "b", "c"} {
		port, err := harness.PickPort()
		need(t, err)
		t.Cleanup(port.Release)
		part := "etcd: {endpoints: ['http://" + etcd.Addr() + "']}"
		if name == "a" {
			part = "embedded: {listen: '" + etcd.Addr() + "'}"
		}
		s.all[name] = harness.SidecarWith(t, harness.AlioOptions{
			Endpoint: s.proxy.URL(), Bucket: s.store.Bucket, Region: s.store.Region, AccessKey: s.store.AccessKey, SecretKey: s.store.SecretKey, Socket: filepath.Join(t.TempDir(), "s"),
			GRPCListen: port.Addr(), GRPCToken: fleetToken,
			ExtraYAML: fmt.Sprintf("affinity: {name: %s, worker: '%s:8080', sidecar: '%s', weight: 10, lease: 30s, %s, ring: {partitions: 1024, section_size: 1MiB}}\n", name, name, port.Addr(), part),
		})
		s.doors = append(s.doors, port.Addr())
	}
	shares(t, 3, s.all["a"], s.all["b"], s.all["c"])
	return s
}

func (s *served) put(ctx context.Context, path string, size int) {
	s.t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size), byte(len(s.files))}).Read(data)
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
	o.Token, o.Registerer = fleetToken, r.registry
	if o.Members == nil {
		o.Members = []string{"127.0.0.1:1", s.doors[1]} // the first of them is gone
	}
	var err error
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 6 {
		s.put(ctx, fmt.Sprintf("t/part-%d.bin", i), 2<<20+i*700_000)
	}
	one, two := s.reader(fleet.Options{}), s.reader(fleet.Options{Fallback: s, ControlDeadline: 10 * time.Second})
	s.readAll(one, rnd, 12)
	cold := s.cost(ctx)
	s.readAll(two, rnd, 6)
	warm := s.cost(ctx)
	t.Logf("the origin, for the first reader: %v; for the second: %v; answers %v, %v", cold, warm, one.answers(t), two.answers(t))
	if cold.DataGETs == 0 || warm.DataGETs > 0 {
		t.Errorf("what the members hold was read from the origin again: %v", warm)
	}
	for _, r := range []*reader{one, two} {
		if a := r.answers(t); a["owner"] == 0 || a["standby"]+a["failed"]+a["fallback"] > 0 {
			t.Errorf("all members are well, and answers came from %v", a)
		}
	}

	began := time.Now()
	s.all["c"].Kill()
	s.readAll(two, rnd, 3)
	if a := two.answers(t); a["standby"] == 0 || a["fallback"] > 0 {
		t.Errorf("a member is gone, and answers came from %v", a)
	}
	t.Logf("one is gone: %v", time.Since(began))
	s.overwritten(ctx, two)
	began = time.Now()
	s.all["a"].Kill()
	s.all["b"].Kill()
	s.readAll(two, rnd, 1)
	if a := two.answers(t); a["fallback"] == 0 {
		t.Errorf("all members are gone, and answers came from %v", a)
	}
	t.Logf("all are gone: %v", time.Since(began))
	_, err := one.Open(ctx, "lake", "t/never.bin", client.OpenOptions{})
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), s.doors[0]) && !strings.Contains(err.Error(), s.doors[1]) {
		t.Errorf("all members are gone, there is no fallback, and the error is %v", err)
	}
}

// overwritten changes a file that is open: reads give the old bytes, from who holds them, or say that it has changed.
func (s *served) overwritten(ctx context.Context, r *reader) {
	s.t.Helper()
	const path = "t/overwritten.bin"
	s.put(ctx, path, 3<<20)
	old := s.files[path]
	f, err := r.Open(ctx, "lake", path, client.OpenOptions{})
	need(s.t, err)
	got := make([]byte, 1<<20)
	_, err = f.ReadAt(got, 0)
	need(s.t, err)
	s.put(ctx, path, 3<<20+1)
	changed := 0
	for off := int64(0); off < 3<<20; off += 1 << 20 {
		switch _, err := f.ReadAt(got, off); {
		case errors.Is(err, client.ErrVersionChanged):
			changed++
		case err != nil || !bytes.Equal(got, old[off:off+1<<20]):
			s.t.Fatalf("a file that was overwritten while it was open, at %d: not its bytes, %v", off, err)
		}
	}
	if changed == 0 {
		s.t.Error("no read of the parts that nobody holds said that the file has changed")
	}
}
