package peers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Identity is who this sidecar is to others: its certificate, and the authority by whose signature it knows theirs. The files are read again when they have
// changed, at the next handshake; ones that cannot be used leave the last good ones in force.
type Identity struct {
	certFile, keyFile, caFile string

	mu struct {
		sync.Mutex
		seen  string // sizes and times of the files that were read
		cert  *tls.Certificate
		roots *x509.CertPool
		fault error // why files that have changed are not in force
	}
}

// NewIdentity reads the files. The error names the one that is wrong.
func NewIdentity(certFile, keyFile, caFile string) (*Identity, error) {
	i := &Identity{certFile: certFile, keyFile: keyFile, caFile: caFile}
	cert, roots, seen, err := i.read()
	if err != nil {
		return nil, err
	}
	i.mu.cert, i.mu.roots, i.mu.seen = cert, roots, seen
	return i, nil
}

func (i *Identity) read() (*tls.Certificate, *x509.CertPool, string, error) {
	seen := i.look()
	cert, err := tls.LoadX509KeyPair(i.certFile, i.keyFile)
	if err != nil {
		return nil, nil, "", fmt.Errorf("certificate %s with key %s: %w: give PEM files that belong together (peers.tls)", i.certFile, i.keyFile, err)
	}
	text, err := os.ReadFile(i.caFile)
	if err != nil {
		return nil, nil, "", fmt.Errorf("authority %s: %w: give the PEM file of the fleet's authority (peers.ca_file)", i.caFile, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, nil, "", fmt.Errorf("authority %s: there is no certificate in it: give the PEM file of the fleet's authority (peers.ca_file)", i.caFile)
	}
	return &cert, roots, seen, nil
}

// look tells the files apart from those of another time.
func (i *Identity) look() string {
	var b strings.Builder
	for _, name := range []string{i.certFile, i.keyFile, i.caFile} {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %s ", info.Size(), info.ModTime().Format(time.RFC3339Nano))
		}
	}
	return b.String()
}

func (i *Identity) current() (*tls.Certificate, *x509.CertPool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if seen := i.look(); seen != i.mu.seen {
		cert, roots, again, err := i.read()
		if i.mu.fault = err; err == nil {
			i.mu.cert, i.mu.roots, i.mu.seen = cert, roots, again
		}
	}
	return i.mu.cert, i.mu.roots
}

// Names are those of this side's certificate.
func (i *Identity) Names() []string {
	cert, _ := i.current()
	return names(cert.Leaf)
}

// Fault says why files that were changed are not in force; nil: they are.
func (i *Identity) Fault() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.fault
}

// names are what a certificate calls who shows it.
func names(c *x509.Certificate) []string {
	out := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// check finds out whether a certificate is of the fleet's authority, and for such use.
func (i *Identity) check(chain []*x509.Certificate, use x509.ExtKeyUsage) (*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("no certificate was shown: set peers.tls there")
	}
	_, roots := i.current()
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{use}}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return nil, fmt.Errorf("the certificate of %q is not good by %s: %w: give each member one that this authority has signed, for both sides of TLS, or put the other authority's certificate into that file (peers.ca_file)",
			names(chain[0]), i.caFile, err)
	}
	return chain[0], nil
}

// toward is the TLS of a connection to a member.
func (i *Identity) toward(member string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { c, _ := i.current(); return c, nil },
		InsecureSkipVerify:   true, // VerifyConnection does it: by the authority as it is now, and by the member's name instead of its address
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf, err := i.check(s.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if err == nil && !slices.Contains(names(leaf), member) {
				err = fmt.Errorf("the certificate is for %q, and the member's name is %q: issue the certificate of that sidecar (peers.tls.cert_file) with this DNS name, or correct its affinity.name", names(leaf), member)
			}
			return err
		},
	}
}

// door is the TLS of the door for peers. known tells whether a name is a member's.
func (i *Identity) door(known func(name string) bool, refused func(error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { c, _ := i.current(); return c, nil },
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf, err := i.check(s.PeerCertificates, x509.ExtKeyUsageClientAuth)
			if err == nil && !slices.ContainsFunc(names(leaf), known) {
				err = fmt.Errorf("the certificate is for %q, and no member has such a name: issue it with the member's affinity.name as DNS name", names(leaf))
			}
			if err != nil {
				refused(err)
			}
			return err
		},
	}
}
