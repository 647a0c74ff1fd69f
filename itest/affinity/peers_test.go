package affinity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// peered is three sidecars over one S3 server whose requests are counted, that read from one another. more are keys of their configuration.
type peered struct {
	t     *testing.T
	store *harness.S3Server
	proxy *s3proxy.Proxy
	all   map[string]*harness.Alio
	doors map[string]*awss3.Client
	files map[string][]byte
	size  int // of files that are put, about
}

func startPeered(t *testing.T, more string) *peered {
	t.Helper()
	p := &peered{t: t, store: harness.S3(t), all: map[string]*harness.Alio{}, doors: map[string]*awss3.Client{}, files: map[string][]byte{}, size: 300_000}
	var err error
	p.proxy, err = s3proxy.Start(s3proxy.Options{Target: p.store.Endpoint})
	need(t, err)
	t.Cleanup(func() { p.proxy.Close() })
	certificates, err := harness.NewCertificates(t.TempDir(), "a", "b", "c")
	need(t, err)
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
		p.all[name] = harness.SidecarWith(t, harness.AlioOptions{
			Endpoint: p.proxy.URL(), Bucket: p.store.Bucket, Region: p.store.Region, AccessKey: p.store.AccessKey, SecretKey: p.store.SecretKey, Socket: filepath.Join(t.TempDir(), "s"),
			ExtraYAML: fmt.Sprintf("affinity: {name: %s, worker: '%s:8080', sidecar: '%s', weight: 10, lease: %s, %s, ring: {partitions: 1024}}\n", name, name, port.Addr(), lease, part) +
				fmt.Sprintf("peers: {listen: '%s', ca_file: %s, tls: {cert_file: %s, key_file: %s}, %s}\n", port.Addr(), certificates.CA, certificates.Cert, certificates.Key, more),
		})
		p.doors[name] = harness.S3Client(p.all[name].Door, p.all[name].Region, p.all[name].AccessKey, p.all[name].SecretKey)
	}
	shares(t, 3, p.all["a"], p.all["b"], p.all["c"])
	return p
}

// put stores files whose names are used once.
func (p *peered) put(ctx context.Context, table string, n int) (paths []string) {
	p.t.Helper()
	for i := range n {
		path := fmt.Sprintf("%s/part-%05d-%08x-1111-4222-8333-%012x.bin", table, i, rand.Uint32(), rand.Uint64()>>16)
		data := make([]byte, p.size+i)
		rand.NewChaCha8([32]byte{byte(i), byte(len(p.files))}).Read(data)
		_, err := p.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &p.store.Bucket, Key: &path, Body: bytes.NewReader(data)})
		need(p.t, err)
		p.files[path], paths = data, append(paths, path)
	}
	return paths
}

// read reads a file through a sidecar and compares it.
func (p *peered) read(ctx context.Context, by, path string) {
	p.t.Helper()
	mount := "lake"
	got, err := p.doors[by].GetObject(ctx, &awss3.GetObjectInput{Bucket: &mount, Key: &path})
	need(p.t, err)
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(data, p.files[path]) {
		p.t.Fatalf("%s: %d bytes of %s are not the right ones: %v", by, len(data), path, err)
	}
}

// owners are who owns each file, as a sidecar says.
func (p *peered) owners(ctx context.Context, says string, paths []string) (names []string) {
	p.t.Helper()
	for _, path := range paths {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.all[says].Admin+"/v1/assign?mount=lake&owners=1&path="+url.QueryEscape(path), nil)
		need(p.t, err)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		need(p.t, err)
		var told affinity.AssignedJSON
		err = json.NewDecoder(resp.Body).Decode(&told)
		need(p.t, err)
		need(p.t, resp.Body.Close())
		names = append(names, told.Assignments[0].Owners[0].Name)
	}
	return names
}

// sum is a metric over all its labels, and over sidecars.
func (p *peered) sum(ctx context.Context, metric string, sidecars ...string) (sum float64) {
	p.t.Helper()
	for _, name := range sidecars {
		all, err := p.all[name].Metrics(ctx)
		need(p.t, err)
		for key, v := range all {
			if key == metric || strings.HasPrefix(key, metric+"{") {
				sum += v
			}
		}
	}
	return sum
}

// settled waits until nothing is being told any more.
func (p *peered) settled(ctx context.Context) {
	last, since := -1.0, time.Now()
	eventually(p.t, "all news has been told", func() bool {
		if now := p.sum(ctx, "alio_peer_told_total", "a", "b", "c"); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
}

// TestPeers: three sidecars, real processes, over a real S3 server. What one of them, the owner, has read, the others read from it: no GET of data, no HEAD. The owner is killed: right bytes. It comes
// back with an empty disk: before anybody asks it, it has its share from who held it meanwhile, and none from the origin; and with its disk, from that. It is drained: the others have its share from it, and serve it
// when it is gone.
func TestPeers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p := startPeered(t, "patience: 10s, timeout: 20s") // the machine may be busy
	paths := p.put(ctx, "t1", 24)
	owners := p.owners(ctx, "b", paths)
	for i, path := range paths {
		p.read(ctx, owners[i], path)
	}
	p.settled(ctx)
	cold := p.cost(ctx)
	for i, path := range paths {
		for by := range p.all {
			if by != owners[i] {
				p.read(ctx, by, path)
			}
		}
	}
	peers := p.cost(ctx)
	t.Logf("24 files of 300 KB: by their owners %v; by two others each %v", cold, peers)
	if cold.DataGETs != 24 || peers.DataGETs+peers.HEADs+peers.Other > 0 {
		t.Errorf("what the owners hold was read from the origin: %v", peers)
	}
	if got := p.sum(ctx, "alio_peer_read_bytes_total", "a", "b", "c"); got < 48*300_000 {
		t.Errorf("%v bytes came from peers", got)
	}

	later := p.put(ctx, "t2", 24)
	owners = p.owners(ctx, "b", later)
	for i, path := range later {
		p.read(ctx, owners[i], path)
	}
	p.all["c"].Kill()
	slowest := time.Duration(0)
	for _, path := range later {
		for _, by := range []string{"a", "b"} {
			began := time.Now()
			p.read(ctx, by, path)
			slowest = max(slowest, time.Since(began))
		}
	}
	killed := p.cost(ctx)
	t.Logf("24 more, c killed: slowest read %v, %v", slowest, killed)
	shares(t, 2, p.all["a"], p.all["b"])
	for _, path := range later { // all of it is with those who own it now
		p.read(ctx, "a", path)
		p.read(ctx, "b", path)
	}
	p.settledWithout(ctx)
	p.proxy.Reset()
	need(t, os.RemoveAll(p.all["c"].CacheDir))
	p.back(ctx, later, owners, "with an empty disk", true)
	p.all["c"].Shutdown()
	p.back(ctx, later, owners, "with its disk", false)
	p.drained(ctx)
}

// settledWithout waits as settled does, of those who run while c does not.
func (p *peered) settledWithout(ctx context.Context) {
	last, since := -1.0, time.Now()
	eventually(p.t, "all news has been told", func() bool {
		if now := p.sum(ctx, "alio_peer_told_total", "a", "b"); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
}

// back starts c and reads its share through it, when it has so many bytes from the others: nothing comes from the origin, and no reader waits for a peer.
func (p *peered) back(ctx context.Context, paths, owners []string, how string, pulls bool) {
	p.t.Helper()
	need(p.t, p.all["c"].Start(ctx))
	shares(p.t, 3, p.all["a"], p.all["b"], p.all["c"])
	n := 0
	for i := range paths {
		if owners[i] == "c" {
			n++
		}
	}
	began := time.Now()
	if pulls {
		p.pulled(ctx, n*p.size, "c")
	}
	took, asked := time.Since(began), p.sum(ctx, "alio_peer_reads_total", "c")
	for i, path := range paths {
		if owners[i] == "c" {
			p.read(ctx, "c", path)
		}
	}
	cost := p.cost(ctx)
	asked = p.sum(ctx, "alio_peer_reads_total", "c") - asked
	p.t.Logf("c is back %s: pulled %v bytes in %v; its %d files %v, and peers were asked %v times for them", how, p.sum(ctx, "alio_peer_pulled_bytes_total", "c"), took, n, cost, asked)
	if n == 0 || cost.DataGETs+cost.HEADs > 0 || asked > 0 {
		p.t.Errorf("c came back %s, and for its share the origin was asked %v, and peers %v times", how, cost, asked)
	}
}

// pulled waits until sidecars have pulled so many bytes, together, and nothing is left.
func (p *peered) pulled(ctx context.Context, least int, sidecars ...string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%v have pulled %d bytes", sidecars, least), func() bool {
		return p.sum(ctx, "alio_peer_pulled_bytes_total", sidecars...) >= float64(least) && p.sum(ctx, "alio_peer_pull_remaining_pages", sidecars...) == 0
	})
}

// drained drains c, and stops it when the others have what it alone has read.
func (p *peered) drained(ctx context.Context) {
	p.t.Helper()
	paths := p.put(ctx, "t3", 24)
	had := 0
	for i, owner := range p.owners(ctx, "b", paths) {
		p.read(ctx, owner, paths[i])
		if owner == "c" {
			had++
		}
	}
	before := p.sum(ctx, "alio_peer_pulled_bytes_total", "a", "b")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.all["a"].Admin+"/v1/drain?member=c", nil)
	need(p.t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	need(p.t, err)
	need(p.t, resp.Body.Close())
	shares(p.t, 2, p.all["a"], p.all["b"], p.all["c"])
	p.pulled(ctx, int(before)+had*p.size, "a", "b")
	p.all["c"].Shutdown()
	p.cost(ctx)
	for i, owner := range p.owners(ctx, "b", paths) {
		p.read(ctx, owner, paths[i])
	}
	cost := p.cost(ctx)
	p.t.Logf("c is drained, and stopped: of 24 files %d had been read by it alone: %v", had, cost)
	if had == 0 || cost.DataGETs+cost.HEADs > 0 {
		p.t.Errorf("c was drained, and its share was read from the origin: %v", cost)
	}
}

// cost is what the store was asked since the last call.
func (p *peered) cost(ctx context.Context) s3proxy.Summary {
	p.t.Helper()
	need(p.t, p.proxy.Settle(ctx))
	s := s3proxy.Summarize(p.proxy.Log())
	p.proxy.Reset()
	return s
}
