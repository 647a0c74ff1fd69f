package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/alio-lake/alio/internal/config"
)

// Affinity makes the sidecar a member of a fleet (docs/affinity.md). It is off unless etcd.endpoints or embedded.listen is set.
type Affinity struct {
	// Who this member is, for good; unique in the fleet. Write ${NAME} to take it from the environment. Empty: the host's name.
	Name config.EnvString `yaml:"name"`
	// Host and port by which the engine's coordinator knows the worker beside this sidecar: what is answered to it. Empty: no member, this process
	// only follows and answers.
	Worker config.EnvString `yaml:"worker"`
	// Host and port at which other machines reach this sidecar: its door for peers where peers.listen is set, else its gRPC door. Empty: none.
	Sidecar config.EnvString `yaml:"sidecar"`
	// Zone, one of ring.zones. Empty where there are none.
	Zone config.EnvString `yaml:"zone"`
	// Share of the fleet's files that this member owns, beside the other members' weights. 0: the size of the disk tier (without one, of memory) in GiB.
	Weight int `yaml:"weight"`
	// Whether this process may be elected to edit the ring. One leads at a time; in a fleet of hundreds a few candidates are enough.
	Candidate bool `yaml:"candidate"`
	// Directory where the last epoch is kept, so that a start without etcd has it. Empty: "affinity" in cache.dir; without that, nothing is kept.
	Dir string `yaml:"dir"`
	// How long a member that says nothing stays one, at least 1s.
	Lease config.Duration `yaml:"lease"`
	// How long a member that is not there keeps its place in the ring: others stand in for it meanwhile, and when it comes back it has exactly its share
	// again. 0: it loses its place at once.
	Absent config.Duration `yaml:"absent"`
	// The etcd cluster.
	Etcd Etcd `yaml:"etcd"`
	// An etcd inside this process, in the place of a cluster.
	Embedded EmbeddedEtcd `yaml:"embedded"`
	// What the ring is like. All candidates of a fleet have the same here.
	Ring Ring `yaml:"ring"`
	// When members are left out of answers, and when sections get more owners. What the process that leads has here counts.
	Load LoadRules `yaml:"load"`
}

// LoadRules say what overloaded and hot mean.
type LoadRules struct {
	// Requests that wait for a member (in its sidecar, or as its engine reports) above which it is left out; 0: not looked at.
	Queued int `yaml:"queued"`
	// Time that the slowest of a hundred reads of a member's sidecar take, above which it is left out; 0: not looked at.
	Latency config.Duration `yaml:"latency"`
	// How long a member must be above a limit, or its disk tier failed, before it is left out.
	After config.Duration `yaml:"after"`
	// How long it must be below half of all limits before it is asked again.
	Back config.Duration `yaml:"back"`
	// The most members that are left out at once, as a fraction of those that do not drain, rounded down.
	ExcludedShare float64 `yaml:"excluded_share"`
	// How many splits more than the second owner of a section its first must have been given lately (3 s) for the second to be named first; it must be half as many again, too. 0: never.
	Ahead int `yaml:"ahead"`
	// How many times a second the fleet's coordinators must ask about a section for it to be hot; it gets one owner more for each time that. 0: none ever is.
	HotRate float64 `yaml:"hot_rate"`
	// The most owners of a hot section.
	HotOwners int `yaml:"hot_owners"`
	// How long a hot section must be below half of hot_rate before it has as many owners as any other.
	HotCool config.Duration `yaml:"hot_cool"`
}

// Etcd is a cluster of etcd.
type Etcd struct {
	// URLs of its nodes, all https:// or all http://.
	Endpoints []string `yaml:"endpoints"`
	// Beginning of all keys. Two fleets on one etcd have two.
	Prefix string `yaml:"prefix"`
	// PEM file with the certificates by which the nodes' are checked. Empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// This client's own certificate, where the cluster asks for one. Read at each connection, so a renewed one needs no restart.
	TLS TLS `yaml:"tls"`
	// Name of a user of the cluster, where it has users.
	Username config.EnvString `yaml:"username"`
	// The user's password. Write ${NAME} to take it from the environment.
	Password config.Secret `yaml:"password"`
}

// EmbeddedEtcd is an etcd inside this process.
type EmbeddedEtcd struct {
	// Host and port where other members reach it. Anything wider than loopback needs tls and ca_file, or insecure. Empty: none.
	Listen string `yaml:"listen"`
	// Directory of its data, used by nothing else. Empty: "etcd" in affinity.dir.
	Dir string `yaml:"dir"`
	// Certificate that it shows to its clients.
	TLS TLS `yaml:"tls"`
	// PEM file with the certificates by which it checks its clients': without one of those nobody comes in.
	CAFile string `yaml:"ca_file"`
	// Listen to other machines without tls: whoever reaches the address may change the ring. For a network that is trusted.
	Insecure bool `yaml:"insecure"`
}

// Ring are the settings of the ring.
type Ring struct {
	// Members that the table keeps for each section, in order: the first owns it, the others stand by.
	Owners int `yaml:"owners"`
	// By how much a member's part of the table may exceed its share, as a fraction of the share.
	Bound float64 `yaml:"bound"`
	// Length of the file ranges that are placed as one.
	SectionSize config.Size `yaml:"section_size"`
	// Least size of the table, a power of two. It grows with the fleet.
	Partitions int `yaml:"partitions"`
	// Names that a member's zone may have. Empty: there are no zones.
	Zones []string `yaml:"zones"`
}

// On tells whether there is an affinity section at all.
func (a *Affinity) On() bool { return len(a.Etcd.Endpoints) > 0 || a.Embedded.Listen != "" }

// Member tells whether this process is a member of the ring, and under which name.
func (a *Affinity) Member() (name string, ok bool) {
	if a.Worker == "" {
		return "", false
	}
	if a.Name != "" {
		return string(a.Name), true
	}
	host, err := os.Hostname()
	return host, err == nil
}

// AffinityDir is where the last epoch is kept; "": nowhere.
func (c *Config) AffinityDir() string {
	if c.Affinity.Dir != "" || c.Cache.Dir == "" {
		return c.Affinity.Dir
	}
	return filepath.Join(c.Cache.Dir, affinityName)
}

// affinityName is the folder of affinity in the first directory of the disk tier, which knows it.
const affinityName = "affinity"

// EtcdDir is where the embedded etcd keeps its data.
func (c *Config) EtcdDir() string {
	if dir := c.AffinityDir(); c.Affinity.Embedded.Dir == "" && dir != "" {
		return filepath.Join(dir, "etcd")
	}
	return c.Affinity.Embedded.Dir
}

// MemberWeight is the weight that this member announces.
func (c *Config) MemberWeight() int {
	if c.Affinity.Weight != 0 {
		return c.Affinity.Weight
	}
	var size config.Size
	for _, d := range c.Cache.Dirs() {
		size += d.Size
	}
	if size == 0 {
		size = c.Cache.Memory
	}
	return int(min(max(1, size/config.GiB), maxWeight))
}

// maxWeight is the ring's own limit.
const maxWeight = 1_000_000

func (c *Config) validateAffinity(f *config.Faults) {
	a := &c.Affinity
	if !a.On() {
		if a.Worker != "" {
			f.Add("affinity.worker", "is set, and neither affinity.etcd.endpoints nor affinity.embedded.listen: a member needs one of them")
		}
		return
	}
	if len(a.Etcd.Endpoints) > 0 && a.Embedded.Listen != "" {
		f.Add("affinity.embedded.listen", "is set, and affinity.etcd.endpoints too: use the cluster, or the etcd inside this process")
	}
	for key, address := range map[string]string{"affinity.worker": string(a.Worker), "affinity.sidecar": string(a.Sidecar)} {
		if _, port, err := net.SplitHostPort(address); address != "" && (err != nil || port == "") {
			f.Add(key, "%q is no address: write host:port", address)
		}
	}
	if a.Weight < 0 || a.Weight > maxWeight {
		f.Add("affinity.weight", "%d is outside 1 to %d: leave it out for the size of the disk tier, and to let the member own nothing, drain it", a.Weight, maxWeight)
	}
	if a.Lease < second || a.Lease > 600*second {
		f.Add("affinity.lease", "%s is outside 1s to 10m: it is how long a member that has died is still answered", a.Lease)
	}
	if a.Absent == config.Forever {
		f.Add("affinity.absent", "forever would never forget a machine that is gone: give a duration, such as 5m")
	}
	if strings.Contains(string(a.Name), "/") {
		f.Add("affinity.name", "%q: a name has no slash", a.Name)
	}
	a.Etcd.validate(f)
	c.validateEmbedded(f)
	a.Load.validate(f)
	a.Ring.validate(f, string(a.Zone), a.Worker != "")
}

func (e *Etcd) validate(f *config.Faults) {
	const path = "affinity.etcd"
	schemes := map[string]bool{}
	for i, text := range e.Endpoints {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" {
			f.Add(fmt.Sprintf("%s.endpoints[%d]", path, i), "%q is no URL of etcd: write https://host:2379", text)
			continue
		}
		schemes[u.Scheme] = true
	}
	if len(schemes) > 1 {
		f.Add(path+".endpoints", "are http:// and https://: a cluster speaks one of them")
	}
	if schemes["http"] && (e.CAFile != "" || e.TLS.On()) {
		f.Add(path+".endpoints", "are http://, and certificates are given: write https://")
	}
	if e.TLS.On() && (e.TLS.CertFile == "" || e.TLS.KeyFile == "") {
		f.Add(path+".tls", "needs both cert_file and key_file")
	}
	if (e.Username == "") != (e.Password == "") {
		f.Add(path+".username", "and affinity.etcd.password belong together")
	}
	if !strings.HasSuffix(e.Prefix, "/") {
		f.Add(path+".prefix", "%q does not end in a slash", e.Prefix)
	}
}

func (c *Config) validateEmbedded(f *config.Faults) {
	const path = "affinity.embedded"
	e := &c.Affinity.Embedded
	if e.Listen == "" {
		return
	}
	secure := e.TLS.CertFile != "" && e.TLS.KeyFile != "" && e.CAFile != ""
	if wide := validateListen(f, path+".listen", e.Listen); wide && !secure && !e.Insecure {
		f.Add(path+".listen", "%s is reachable from other machines, and whoever reaches it may change the ring: set affinity.embedded.tls and ca_file, or insecure: true where the network is trusted", e.Listen)
	}
	if (e.TLS.On() || e.CAFile != "") && !secure {
		f.Add(path+".tls", "needs cert_file and key_file, and affinity.embedded.ca_file beside them")
	}
	if c.EtcdDir() == "" {
		f.Add(path+".dir", "is missing: etcd keeps its data on disk; give a directory, or set affinity.dir or cache.dir")
	}
}

func (r *Ring) validate(f *config.Faults, zone string, member bool) {
	if r.Owners < 1 || r.Owners > 8 {
		f.Add("affinity.ring.owners", "%d is outside 1 to 8", r.Owners)
	}
	if r.Bound < 0.01 || r.Bound > 1 {
		f.Add("affinity.ring.bound", "%v is outside 0.01 to 1", r.Bound)
	}
	atLeast(f, "affinity.ring.section_size", r.SectionSize, config.MiB, "a section is placed as a whole")
	if r.Partitions < 64 || r.Partitions > 1<<21 || r.Partitions&(r.Partitions-1) != 0 {
		f.Add("affinity.ring.partitions", "%d is no power of two from 64 to 2097152", r.Partitions)
	}
	known := len(r.Zones) == 0 && zone == ""
	for _, z := range r.Zones {
		known = known || z == zone
	}
	if member && !known {
		f.Add("affinity.zone", "%q is none of affinity.ring.zones, which are %q: add it there, for the whole fleet, or correct it", zone, r.Zones)
	}
}

func (l *LoadRules) validate(f *config.Faults) {
	if l.Queued < 0 {
		f.Add("affinity.load.queued", "%d is negative: 0 does not look at it", l.Queued)
	}
	for key, d := range map[string]config.Duration{"after": l.After, "back": l.Back, "hot_cool": l.HotCool} {
		if d < second || d > 3600*second {
			f.Add("affinity.load."+key, "%s is outside 1s to 1h: without a pause owners would go to and fro", d)
		}
	}
	if l.Latency == config.Forever {
		f.Add("affinity.load.latency", "forever is no limit: 0 does not look at it")
	}
	if l.ExcludedShare <= 0 || l.ExcludedShare > 0.9 {
		f.Add("affinity.load.excluded_share", "%v is outside 0.01 to 0.9", l.ExcludedShare)
	}
	if l.Ahead < 0 || l.Ahead > 1_000_000 {
		f.Add("affinity.load.ahead", "%d is outside 0 to 1,000,000; 0 keeps the ring's order", l.Ahead)
	}
	if l.HotRate < 0 {
		f.Add("affinity.load.hot_rate", "%v is negative: 0 makes no section hot", l.HotRate)
	}
	if l.HotOwners < 1 || l.HotOwners > 64 {
		f.Add("affinity.load.hot_owners", "%d is outside 1 to 64", l.HotOwners)
	}
}
