package config_test

import (
	"strings"
	"testing"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
)

func TestAffinity(t *testing.T) {
	const etcd = "etcd: {endpoints: ['http://e:2379']}"
	for _, c := range []struct{ section, want string }{
		{"{}", ""},
		{"{name: a, worker: 'w:1', " + etcd + "}", ""},
		{"{worker: 'w:1'}", "affinity.worker: is set, and neither"},
		{"{worker: w, " + etcd + "}", "affinity.worker: \"w\" is no address"},
		{"{sidecar: 's:', " + etcd + "}", "affinity.sidecar: \"s:\" is no address"},
		{"{weight: -1, " + etcd + "}", "affinity.weight: -1 is outside"},
		{"{name: a/b, " + etcd + "}", "affinity.name: \"a/b\": a name has no slash"},
		{"{lease: 10ms, " + etcd + "}", "affinity.lease: 10ms is outside"},
		{"{absent: forever, " + etcd + "}", "affinity.absent: forever would never forget"},
		{"{absent: 0, " + etcd + "}", ""},
		{"{embedded: {listen: '127.0.0.1:1'}, dir: /d, " + etcd + "}", "affinity.embedded.listen: is set, and affinity.etcd.endpoints too"},
		{"{embedded: {listen: '127.0.0.1:1'}}", "affinity.embedded.dir: is missing"},
		{"{embedded: {listen: '0.0.0.0:1', dir: /d}}", "whoever reaches it may change the ring"},
		{"{embedded: {listen: '0.0.0.0:1', dir: /d, insecure: true}}", ""},
		{"{embedded: {listen: '0.0.0.0:1', dir: /d, tls: {cert_file: c, key_file: k}, ca_file: a}}", ""},
		{"{embedded: {listen: '127.0.0.1:1', dir: /d, tls: {cert_file: c, key_file: k}}}", "affinity.embedded.tls: needs"},
		{"{etcd: {endpoints: ['e:2379']}}", "affinity.etcd.endpoints[0]: \"e:2379\" is no URL"},
		{"{etcd: {endpoints: ['http://e:1', 'https://f:1']}}", "speaks one of them"},
		{"{etcd: {endpoints: ['http://e:1'], ca_file: x}}", "certificates are given"},
		{"{etcd: {endpoints: ['https://e:1'], tls: {cert_file: x}}}", "affinity.etcd.tls: needs both"},
		{"{etcd: {endpoints: ['https://e:1'], username: u}}", "belong together"},
		{"{etcd: {endpoints: ['https://e:1'], prefix: /x}}", "does not end in a slash"},
		{"{worker: 'w:1', zone: moon, ring: {zones: [a, b]}, " + etcd + "}", "affinity.zone: \"moon\" is none of affinity.ring.zones"},
		{"{worker: 'w:1', zone: moon, " + etcd + "}", "affinity.zone: \"moon\" is none"},
		{"{ring: {owners: 9}, " + etcd + "}", "affinity.ring.owners: 9"},
		{"{ring: {bound: 2}, " + etcd + "}", "affinity.ring.bound: 2"},
		{"{ring: {section_size: 1KiB}, " + etcd + "}", "affinity.ring.section_size"},
		{"{ring: {partitions: 1000}, " + etcd + "}", "affinity.ring.partitions: 1000 is no power of two"},
		{"{load: {queued: -1}, " + etcd + "}", "affinity.load.queued"},
		{"{load: {after: 0}, " + etcd + "}", "affinity.load.after: 0s is outside"},
		{"{load: {latency: forever}, " + etcd + "}", "affinity.load.latency"},
		{"{load: {excluded_share: 1}, " + etcd + "}", "affinity.load.excluded_share"},
		{"{load: {ahead: -1}, " + etcd + "}", "affinity.load.ahead"},
		{"{load: {hot_rate: -1}, " + etcd + "}", "affinity.load.hot_rate"},
		{"{load: {hot_owners: 65}, " + etcd + "}", "affinity.load.hot_owners"},
	} {
		if got := faultsOf(t, oneMount+"affinity: "+c.section+"\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.section, got, c.want)
		}
	}
}

func TestPeers(t *testing.T) {
	const fleet = "affinity: {worker: 'w:1', sidecar: 'w:2', etcd: {endpoints: ['http://e:2379']}}\n"
	const tls = "tls: {cert_file: c, key_file: k}, ca_file: a"
	for _, c := range []struct{ text, want string }{
		{fleet + "peers: {listen: '0.0.0.0:2', " + tls + "}", ""},
		{fleet + "peers: {listen: '0.0.0.0:2', pull_rate: 0, " + tls + "}", ""},
		{fleet + "peers: {" + tls + "}", "peers.listen: is missing, and certificates are given"},
		{fleet + "peers: {listen: '0.0.0.0:2', ca_file: a}", "peers.tls: needs cert_file and key_file, and peers.ca_file"},
		{fleet + "peers: {listen: '0.0.0.0:2', tls: {cert_file: c, key_file: k}}", "peers.tls: needs"},
		{fleet + "peers: {listen: x, " + tls + "}", "peers.listen: \"x\" is no address"},
		{fleet + "peers: {listen: '127.0.0.1:9480', " + tls + "}", "peers.listen: is the same address as doors.s3.listen"},
		{fleet + "peers: {listen: '0.0.0.0:2', in_flight: 1KiB, " + tls + "}", "peers.in_flight"},
		{fleet + "peers: {listen: '0.0.0.0:2', pull_rate: 1KiB, " + tls + "}", "peers.pull_rate"},
		{fleet + "peers: {listen: '0.0.0.0:2', timeout: 1ms, " + tls + "}", "peers.timeout: 1ms is outside"},
		{fleet + "peers: {listen: '0.0.0.0:2', patience: 2s, " + tls + "}", "peers.patience: 2s is outside"},
		{"peers: {listen: '0.0.0.0:2', " + tls + "}", "peers.listen: is set, and this sidecar is no member of a fleet"},
		{"affinity: {worker: 'w:1', etcd: {endpoints: ['http://e:2379']}}\npeers: {listen: '0.0.0.0:2', " + tls + "}", "affinity.sidecar: is missing"},
	} {
		if got := faultsOf(t, oneMount+c.text+"\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

// TestAffinityAlone: a process that is no cache needs no mount, and has an etcd of some kind.
func TestAffinityAlone(t *testing.T) {
	c := config.Default()
	if err := c.ValidateAffinity().Err(); err == nil || !strings.Contains(err.Error(), "the service needs an etcd") {
		t.Errorf("without etcd: %v", err)
	}
	c.Affinity.Embedded.Listen, c.Affinity.Dir = "127.0.0.1:0", "d"
	if err := c.ValidateAffinity().Err(); err != nil || c.EtcdDir() != "d/etcd" {
		t.Errorf("%v, etcd in %s", err, c.EtcdDir())
	}
	c.Affinity.Worker = "w:1"
	if err := c.ValidateAffinity().Err(); err == nil || !strings.Contains(err.Error(), "this process is no sidecar") {
		t.Errorf("with a worker: %v", err)
	}
}

func TestMemberWeight(t *testing.T) {
	c := config.Default()
	if got := c.MemberWeight(); got != 1 {
		t.Errorf("memory only: weight %d", got)
	}
	c.Cache.Dir, c.Cache.Size, c.Cache.MoreDirs = "a", 500*units.GiB, []config.CacheDir{{Dir: "b"}}
	if got := c.MemberWeight(); got != 1000 || c.AffinityDir() != "a/affinity" {
		t.Errorf("two directories of 500 GiB: weight %d, kept in %s", got, c.AffinityDir())
	}
	if c.Affinity.Weight = 7; c.MemberWeight() != 7 {
		t.Errorf("given: %d", c.MemberWeight())
	}
}
