package peers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until polls a condition to a deadline.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

// authorities are all there are, by their files.
var authorities = map[string]*authority{}

type ringMember = ring.Member

// authority signs certificates.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	need(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.file = filepath.Join(a.dir, "ca.pem")
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	need(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	need(t, err)
	a.cert, err = x509.ParseCertificate(der)
	need(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	authorities[a.file] = a
	return a
}

// issue writes a certificate for a name into files.
func (a *authority) issue(t testing.TB, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	need(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	need(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	need(t, err)
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
	return certFile, keyFile
}

func (a *authority) identity(t testing.TB, name string) *Identity {
	t.Helper()
	cert, key := a.issue(t, name)
	i, err := NewIdentity(cert, key, a.file)
	need(t, err)
	return i
}

// epochs is a Source that a test changes.
type epochs struct {
	mu      sync.Mutex
	now     *ring.Epoch
	changed chan struct{}
}

func (e *epochs) Epoch() *ring.Epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *epochs) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

func (e *epochs) apply(t testing.TB, c ring.Change) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	next, err := e.now.Apply(c)
	need(t, err)
	e.now = next
	close(e.changed)
	e.changed = make(chan struct{})
}

// node is a sidecar of a fleet, over an origin whose calls are recorded.
type node struct {
	*sidecar.Sidecar
	name   string
	origin *origintest.Faulty
	cache  *cache.Cache
	peers  *Peers
	server *Server
	reg    *prometheus.Registry
	log    *syncBuffer
}

// syncBuffer is a log that a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// fleet is several sidecars over one store.
type fleet struct {
	t         testing.TB
	store     *mem.Origin
	authority *authority
	source    *epochs
	nodes     []*node
}

type nodeOptions struct {
	peers    Options
	sidecar  sidecar.Options
	cache    cache.Options
	identity *Identity
	door     func(inner net.Listener) net.Listener
	onDemand bool // nothing is pulled without a reader
}

// newFleet starts n sidecars; change may be nil.
func newFleet(t testing.TB, n int, change func(i int, o *nodeOptions)) *fleet {
	t.Helper()
	f := &fleet{t: t, store: mem.New("lake"), authority: newAuthority(t), source: &epochs{changed: make(chan struct{})}}
	var err error
	f.source.now, err = ring.New(ring.Settings{Partitions: 256, Owners: 2, SectionSize: 4 << 20})
	need(t, err)
	for i := range n {
		f.add(i, change)
	}
	return f
}

func (f *fleet) add(i int, change func(i int, o *nodeOptions)) *node {
	t := f.t
	x := &node{name: fmt.Sprintf("w%d", i), origin: origintest.NewFaulty(f.store, uint64(i)), reg: prometheus.NewRegistry(), log: &syncBuffer{}}
	o := nodeOptions{
		cache:    cache.Options{Memory: 64 << 20, Metadata: formats.Metadata, ClassNames: formats.ClassNames()},
		sidecar:  sidecar.Options{Mounts: map[string]origin.Origin{"lake": x.origin}, Registerer: x.reg},
		peers:    Options{Self: x.name, Source: f.source, Patience: 10 * time.Second, Registerer: x.reg, Logger: zerolog.New(x.log)},
		identity: f.authority.identity(t, x.name),
	}
	if change != nil {
		change(i, &o)
	}
	var err error
	x.cache, err = cache.New(o.cache)
	need(t, err)
	o.peers.Identity = o.identity
	x.peers, err = New(o.peers)
	need(t, err)
	o.sidecar.Pages, o.sidecar.Peers = x.cache, x.peers
	x.Sidecar, err = sidecar.New(o.sidecar)
	need(t, err)
	x.server, err = NewServer(ServerOptions{Sidecar: x.Sidecar, Pages: x.cache, Source: f.source, Identity: o.identity, Since: x.peers.Since, Registerer: x.reg, Logger: zerolog.New(x.log)})
	need(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	need(t, err)
	address := ln.Addr().String()
	if o.door != nil {
		ln = o.door(ln)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.server.Serve(ln) })
	var into Taker
	if !o.onDemand {
		into = x.Sidecar
	}
	wg.Go(func() { x.peers.Run(ctx, into) })
	t.Cleanup(func() {
		x.Sidecar.Close()
		need(t, x.cache.Close())
		stop()
		need(t, x.peers.Close())
		need(t, x.server.Close())
		wg.Wait()
	})
	f.source.apply(t, ring.Change{Join: []ring.Member{{Name: x.name, Weight: 1, Sidecar: address, Worker: x.name + ":8080"}}})
	f.nodes = append(f.nodes, x)
	return x
}

// at gives a node's door another address in the ring.
func (f *fleet) at(x *node, address string) {
	m := f.member(x)
	m.Sidecar = address
	f.source.apply(f.t, ring.Change{Update: []ring.Member{m}})
}

// owner is the node that owns a path's first section.
func (f *fleet) owner(path string) *node { return f.ownerOf(ring.Split{Mount: "lake", Path: path}) }

func (f *fleet) ownerOf(s ring.Split) *node {
	f.t.Helper()
	slots, err := f.source.Epoch().Locate(nil, s, 1)
	need(f.t, err)
	name := f.source.Epoch().Members()[slots[0]].Name
	return f.nodes[slices.IndexFunc(f.nodes, func(x *node) bool { return x.name == name })]
}

// owned is a path of which a node owns the first section, and folder another one's home is not asked about: it is unique by n.
func (f *fleet) owned(by *node, n int) string {
	for i := 0; ; i++ {
		if path := fmt.Sprintf("t%d/%d/part.bin", n, i); f.owner(path) == by {
			return path
		}
	}
}

// tellsNobody tells whether a node is itself the home of a path.
func (x *node) tellsNobody(path string) bool {
	m, why := x.peers.home("lake", folderOf(path))
	return m == nil || why == earlier
}

// read reads a range through a node.
func (x *node) read(ctx context.Context, path string, off, n int64) ([]byte, error) {
	c, err := x.Open(ctx, "lake", origin.ReadRequest{Path: path, Offset: off, Length: n}, nil)
	if err != nil {
		return nil, err
	}
	defer c.Body.Close()
	return io.ReadAll(c.Body)
}

// mustRead reads a range and compares it.
func (f *fleet) mustRead(x *node, path string, data []byte, off, n int64) {
	f.t.Helper()
	got, err := x.read(f.t.Context(), path, off, n)
	need(f.t, err)
	if !bytes.Equal(got, data[off:off+n]) {
		f.t.Fatalf("%s: %d bytes at %d of %s are not the right ones", x.name, n, off, path)
	}
}

// count is a counter's value, summed over its label pairs that contain all those given.
func (x *node) count(t testing.TB, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := x.reg.Gather()
	need(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			fits := true
			for i := 0; i+1 < len(labels); i += 2 {
				has := false
				for _, l := range m.GetLabel() {
					has = has || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				fits = fits && has
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// noise is bytes that no other call has made.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	mrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// ages gives all answers about objects an age.
func ages(d time.Duration) []freshness.Rule {
	return []freshness.Rule{{Path: "**", Answers: []freshness.Kind{freshness.Object}, MaxAge: d}}
}

// forget forgets all.
func (a *absences) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.mu.young)
	clear(a.mu.old)
}

// told tells whether no news waits, or is being told.
func (f *fleet) told() bool {
	for _, x := range f.nodes {
		x.peers.members.Lock()
		for _, m := range x.peers.members.all {
			m.news.mu.Lock()
			waits := len(m.news.waiting)+len(m.news.listings) > 0 || m.news.telling
			m.news.mu.Unlock()
			if waits {
				x.peers.members.Unlock()
				return false
			}
		}
		x.peers.members.Unlock()
	}
	return true
}
