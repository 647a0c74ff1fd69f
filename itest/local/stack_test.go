package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed is the test's random seed; ALIO_SEED replays one.
func seed(t testing.TB) uint64 {
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("ALIO_SEED"); v != "" {
		var err error
		s, err = strconv.ParseUint(v, 10, 64)
		need(t, err)
	}
	t.Logf("ALIO_SEED=%d", s)
	return s
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// machine is what stays when a sidecar ends: the origin, the disk, the socket's path.
type machine struct {
	t       testing.TB
	store   *mem.Origin
	data    map[string][]byte
	dir     string // of the disk tier
	socket  string
	size    int64 // of the disk tier
	segment int64
	rules   []freshness.Rule
	proc    *process
}

// process is one life of a sidecar.
type process struct {
	tier   *disk.Tier
	cache  *cache.Cache
	server *rpc.Server
	stop   context.CancelFunc
	ran    chan error
	served chan error
}

func newMachine(t testing.TB, size, segment int64, rules ...freshness.Rule) *machine {
	m := newStopped(t)
	m.size, m.segment, m.rules = size, segment, rules
	m.start()
	t.Cleanup(m.kill)
	return m
}

// newStopped is a machine without a sidecar.
func newStopped(t testing.TB) *machine {
	short, err := os.MkdirTemp("", "al")
	need(t, err)
	t.Cleanup(func() { os.RemoveAll(short) })
	return &machine{t: t, store: mem.New("lake"), data: map[string][]byte{}, dir: filepath.Join(t.TempDir(), "cache"), socket: filepath.Join(short, "s")}
}

func (m *machine) put(path string, size int, s uint64) {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(s), byte(s >> 8), byte(s >> 16), byte(size)}).Read(b)
	m.store.Put(path, b)
	m.data[path] = b
}

// start starts a sidecar as the binary does: disk tier, page cache, sidecar, gRPC door.
func (m *machine) start() {
	p := &process{ran: make(chan error, 1), served: make(chan error, 1)}
	var err error
	p.tier, err = disk.New(disk.Options{Dir: m.dir, Size: m.size, SegmentSize: m.segment, Sync: disk.SyncNever, ReadDeadline: 10 * time.Second})
	need(m.t, err)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	need(m.t, p.tier.Open(ctx))
	go func() { p.ran <- p.tier.Run(ctx) }()
	p.cache, err = cache.New(cache.Options{Memory: 1 << 20, UpOdds: -1, Disk: p.tier, Metadata: formats.Metadata, ClassNames: formats.ClassNames()})
	need(m.t, err)
	side, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": m.store}, Pages: p.cache, Rules: m.rules})
	need(m.t, err)
	p.server, err = rpc.New(rpc.Options{Sidecar: side, Cache: p.cache})
	need(m.t, err)
	ln, err := rpc.ListenUnix(m.socket)
	need(m.t, err)
	go func() { p.served <- p.server.Serve(ln) }()
	m.proc = p
}

// kill ends the sidecar with its calls under way.
func (m *machine) kill() {
	p := m.proc
	if p == nil {
		return
	}
	m.proc = nil
	p.server.Close()
	need(m.t, <-p.served)
	p.stop()
	<-p.ran
	need(m.t, p.tier.Close())
	need(m.t, p.cache.Close())
}

// retired is how many segments were retired in this process's life.
func (p *process) moment() uint64 {
	_, now, _ := p.tier.Retired(0)
	return now
}

// user is a client, and its metrics.
type user struct {
	*client.Client
	m        *machine
	registry *prometheus.Registry
}

func (m *machine) client(change ...func(*client.Options)) *user {
	u := &user{m: m, registry: prometheus.NewRegistry()}
	o := client.Options{Address: m.socket, Directories: []string{m.dir}, Registerer: u.registry, ControlDeadline: 10 * time.Second, LocalDeadline: 10 * time.Second,
		TouchInterval: 50 * time.Millisecond, RefreshInterval: time.Millisecond, DialBackoff: 50 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	c, err := client.New(o)
	need(m.t, err)
	u.Client = c
	m.t.Cleanup(func() { need(m.t, c.Close()) })
	return u
}

// bytes are those read from a source: local, sidecar, fallback, filler.
func (u *user) bytes(source string) float64 { return u.metric("alio_client_read_bytes_total", source) }

func (u *user) metric(name, label string) float64 {
	u.m.t.Helper()
	families, err := u.registry.Gather()
	need(u.m.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	u.m.t.Fatalf("no metric %s %s", name, label)
	return 0
}

// read compares a range of a file with the origin's.
func (m *machine) read(f *client.File, off int64, n int) error {
	want := m.data[f.Object().Path]
	want = want[off:min(off+int64(n), int64(len(want)))]
	p := make([]byte, len(want))
	if got, err := f.ReadAt(p, off); err != nil {
		return fmt.Errorf("%d of %d bytes at %d: %w", got, len(p), off, err)
	}
	if string(p) != string(want) {
		return fmt.Errorf("%d bytes of %q at %d are not the origin's", len(p), f.Object().Path, off)
	}
	return nil
}

// direct reads the origin without the sidecar.
type direct struct {
	m     *machine
	reads atomic.Int64
}

// ReadAt implements client.OriginReader.
func (d *direct) ReadAt(_ context.Context, o client.Object, p []byte, off int64) (int, error) {
	d.reads.Add(1)
	return copy(p, d.m.data[o.Path][off:]), nil
}
