package config

import (
	"net"

	"github.com/alio-lake/alio/internal/config"
)

// Peers lets the sidecars of a fleet read from one another before an origin is asked (docs/peers.md). It is off unless listen is set, and needs affinity.
type Peers struct {
	// Host and port of the door for other sidecars, which they reach at affinity.sidecar. Empty: off.
	Listen string `yaml:"listen"`
	// PEM file with the certificates of the fleet's authority: who has none of it is refused, on both sides. Read again when it changes.
	CAFile string `yaml:"ca_file"`
	// This sidecar's certificate, for both sides of TLS, with affinity.name as a DNS name. Read again when it changes: no restart is needed.
	TLS TLS `yaml:"tls"`
	// Bytes that are asked of other sidecars at once; what is beyond goes to the origin.
	InFlight config.Size `yaml:"in_flight"`
	// Bytes a second that a new owner of sections takes from the one before: what a reader asks for, and in the background, as far as readers leave room, all else that it holds, the hottest
	// first. What a reader wants beyond goes to the origin. 0: nothing is taken.
	PullRate config.Size `yaml:"pull_rate"`
	// The least time that another sidecar is waited for before the origin is asked too; more where it nearly always takes longer, up to 200ms.
	Patience config.Duration `yaml:"patience"`
	// How long another sidecar may take to begin to answer. The origin is asked much earlier: when the other takes longer than it nearly always does.
	Timeout config.Duration `yaml:"timeout"`
}

// On tells whether sidecars read from one another.
func (p *Peers) On() bool { return p.Listen != "" }

func (c *Config) validatePeers(f *config.Faults) {
	p := &c.Peers
	if !p.On() {
		if p.CAFile != "" || p.TLS.On() {
			f.Add("peers.listen", "is missing, and certificates are given: give the address of the door for peers, such as 0.0.0.0:9492")
		}
		return
	}
	validateListen(f, "peers.listen", p.Listen)
	if p.CAFile == "" || p.TLS.CertFile == "" || p.TLS.KeyFile == "" {
		f.Add("peers.tls", "needs cert_file and key_file, and peers.ca_file beside them: without certificates nobody could tell members from others")
	}
	if _, ok := c.Affinity.Member(); !c.Affinity.On() || !ok {
		f.Add("peers.listen", "is set, and this sidecar is no member of a fleet: set affinity.worker and affinity.etcd.endpoints")
	}
	if _, port, err := net.SplitHostPort(string(c.Affinity.Sidecar)); err != nil || port == "" {
		f.Add("affinity.sidecar", "is missing: it is the address at which other sidecars reach peers.listen")
	}
	for key, at := range map[string]string{"doors.s3.listen": c.Doors.S3.Listen, "doors.grpc.listen": c.Doors.GRPC.Listen, "admin.listen": c.Admin.Listen} {
		if _, port, _ := net.SplitHostPort(p.Listen); at == p.Listen && port != "0" {
			f.Add("peers.listen", "is the same address as %s (%s): give each its own port", key, at)
		}
	}
	atLeast(f, "peers.in_flight", p.InFlight, config.MiB, "a page can be that large")
	if p.PullRate != 0 {
		atLeast(f, "peers.pull_rate", p.PullRate, config.MiB, "a page can be that large; 0 is none")
	}
	if p.Patience < millisecond || p.Patience > p.Timeout {
		f.Add("peers.patience", "%s is outside 1ms to peers.timeout (%s)", p.Patience, p.Timeout)
	}
	if p.Timeout < 10*millisecond || p.Timeout > 60*second {
		f.Add("peers.timeout", "%s is outside 10ms to 1m", p.Timeout)
	}
}
