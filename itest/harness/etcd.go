package harness

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// EtcdCluster is a real etcd of several nodes, each a process of its own that can be killed and started again, on loopback ports that it keeps. It speaks TLS and asks clients for a certificate and a password.
type EtcdCluster struct {
	Endpoints []string // https:// URLs, one a node
	Password  string   // of User and of root
	Files     Certificates

	bin   string
	dir   string
	ports []*Port // of clients, then of peers
	procs []*Process
}

// EtcdUser may read and write what lies below /alio/.
const EtcdUser = "alio"

// Certificates are PEM files of one little authority.
type Certificates struct{ CA, Cert, Key string }

// NewCertificates makes an authority and a certificate for localhost, 127.0.0.1 and more names that serves both ends of a connection.
func NewCertificates(dir string, names ...string) (c Certificates, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alio test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: append([]string{"localhost"}, names...),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return c, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return c, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, err
	}
	c = Certificates{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return c, errors.Join(write(c.CA, "CERTIFICATE", caDER), write(c.Cert, "CERTIFICATE", der), write(c.Key, "PRIVATE KEY", keyDER))
}

// TLS is what a client of this authority speaks.
func (c Certificates) TLS() (*tls.Config, error) {
	ca, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// Etcd starts a cluster for one test, and stops it when the test ends. The server is built from the product's own go.mod, which pins it: 6 s of CPU once, then 3 s a start.
func Etcd(t testing.TB, nodes int) *EtcdCluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	e, err := startEtcd(ctx, t.TempDir(), nodes, t.Logf)
	if e != nil {
		t.Cleanup(func() {
			for i := range e.procs {
				if t.Failed() && e.procs[i] != nil {
					t.Logf("end of etcd %d's output:\n%s", i, e.procs[i].Tail(2000))
				}
				e.Kill(i)
			}
			for _, p := range e.ports {
				p.Release()
			}
		})
	}
	if err != nil {
		t.Fatalf("etcd for the test: %v", err)
	}
	return e
}

func startEtcd(ctx context.Context, dir string, nodes int, logf Logf) (*EtcdCluster, error) {
	root, err := RepoRoot()
	if err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	sum, err := toolSum(root)
	if err != nil {
		return nil, err
	}
	e := &EtcdCluster{Password: "alio-test-secret", bin: filepath.Join(cache, "bin", "etcd-"+sum), dir: dir, procs: make([]*Process, nodes)}
	if _, err := os.Stat(e.bin); err != nil {
		if err := goBuild(ctx, root, "go.etcd.io/etcd/server/v3", e.bin, logf); err != nil {
			return nil, err
		}
	}
	if e.Files, err = NewCertificates(dir); err != nil {
		return nil, err
	}
	for range 2 * nodes {
		p, err := PickPort()
		if err != nil {
			return e, err
		}
		e.ports = append(e.ports, p)
	}
	for i := range nodes {
		e.Endpoints = append(e.Endpoints, "https://"+e.ports[i].Addr())
	}
	for i := range nodes {
		if err := e.Start(i); err != nil {
			return e, err
		}
	}
	return e, e.users(ctx)
}

// Start starts node i again after Kill, with its data. It does not wait: a node without a quorum is not ready.
func (e *EtcdCluster) Start(i int) (err error) {
	n := len(e.procs)
	var peers []string
	for j := range n {
		peers = append(peers, fmt.Sprintf("n%d=http://%s", j, e.ports[n+j].Addr()))
	}
	peer := "http://" + e.ports[n+i].Addr()
	e.procs[i], err = startProcess(processSpec{Name: fmt.Sprintf("etcd %d", i), Path: e.bin, Dir: e.dir, LogFile: filepath.Join(e.dir, fmt.Sprintf("etcd-%d.log", i)), Args: []string{
		"--name", fmt.Sprintf("n%d", i), "--data-dir", filepath.Join(e.dir, fmt.Sprintf("data-%d", i)), "--log-level", "error",
		"--listen-client-urls", e.Endpoints[i], "--advertise-client-urls", e.Endpoints[i], "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(peers, ","), "--heartbeat-interval", "50", "--election-timeout", "500",
		"--cert-file", e.Files.Cert, "--key-file", e.Files.Key, "--trusted-ca-file", e.Files.CA, "--client-cert-auth",
	}})
	return err
}

// Kill ends node i with SIGKILL.
func (e *EtcdCluster) Kill(i int) {
	if e.procs[i] != nil {
		e.procs[i].Kill()
	}
}

// users makes the users, and switches passwords on.
func (e *EtcdCluster) users(ctx context.Context) error {
	c, err := e.client("", "")
	if err != nil {
		return err
	}
	defer c.Close()
	err = e.procs[0].ready(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := c.Put(ctx, "/ready", "")
		return err
	})
	if err != nil {
		return err
	}
	do := func(_ any, e error) { err = errors.Join(err, e) }
	do(c.UserAdd(ctx, "root", e.Password))
	do(c.RoleAdd(ctx, "root"))
	do(c.UserGrantRole(ctx, "root", "root"))
	do(c.UserAdd(ctx, EtcdUser, e.Password))
	do(c.RoleAdd(ctx, EtcdUser))
	do(c.RoleGrantPermission(ctx, EtcdUser, "/alio/", clientv3.GetPrefixRangeEnd("/alio/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	do(c.UserGrantRole(ctx, EtcdUser, EtcdUser))
	do(c.AuthEnable(ctx))
	return err
}

// client connects as a user, or nobody.
func (e *EtcdCluster) client(user, password string) (*clientv3.Client, error) {
	secure, err := e.Files.TLS()
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{Endpoints: e.Endpoints, TLS: secure, Username: user, Password: password, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

// Leader is the number of the node that leads.
func (e *EtcdCluster) Leader(ctx context.Context) (int, error) {
	c, err := e.client("root", e.Password)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for i, endpoint := range e.Endpoints {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		st, err := c.Status(ctx, endpoint)
		cancel()
		if err == nil && st.Leader == st.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("no node of etcd leads")
}
