package membership

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Etcd says where an etcd cluster is, and who we are to it.
type Etcd struct {
	// Endpoints are URLs of its members, all https:// or all http://. One that fails is passed over.
	Endpoints []string
	// CAFile has the certificates (PEM) by which the members' are checked; "": those of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate (PEM), where the cluster asks for one. They are read at each connection, so a renewed one needs no restart.
	CertFile, KeyFile string
	// Username and Password, where the cluster has users.
	Username, Password string
}

// Validate reports every fault at once.
func (e Etcd) Validate() error {
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("membership: etcd: "+format, args...))
		}
	}
	add(len(e.Endpoints) == 0, "no endpoints: give the URLs of its members, such as https://etcd-1:2379")
	schemes := map[string]bool{}
	for _, text := range e.Endpoints {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Path != "" && u.Path != "/" {
			add(true, "endpoint %q: write http://host:port or https://host:port", text)
			continue
		}
		schemes[u.Scheme] = true
	}
	add(len(schemes) > 1, "endpoints are http:// and https://: a cluster speaks one of them")
	add(schemes["http"] && (e.CAFile != "" || e.CertFile != "" || e.KeyFile != ""), "certificates are given, and the endpoints are http://: write https://")
	add((e.CertFile == "") != (e.KeyFile == ""), "a certificate needs both its file and its key's")
	add((e.Username == "") != (e.Password == ""), "a user name and a password belong together")
	return errors.Join(faults...)
}

// tls is the TLS of connections; nil without https://.
func (e Etcd) tls() (*tls.Config, error) {
	if u, err := url.Parse(e.Endpoints[0]); err != nil || u.Scheme != "https" {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("membership: etcd: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("membership: etcd: %s holds no certificate in PEM", e.CAFile)
		}
	}
	if e.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
			return &cert, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("membership: etcd: %w", err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return c, nil
}

// keepAlive notices connections whose other end is gone without a word.
func keepAlive(c clientv3.Config) clientv3.Config {
	c.DialTimeout, c.DialKeepAliveTime, c.DialKeepAliveTimeout = callTimeout, 5*time.Second, 3*time.Second
	c.DialOptions = []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: callTimeout, // else pauses between tries grow to two minutes
		Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}})}
	c.Logger = zap.NewNop() // what it has to say reaches us as errors
	return c
}

// Connector checks what can be checked without the cluster, and returns what connects to it: for Options.Connect.
func (e Etcd) Connector() (func(context.Context) (*clientv3.Client, func(), error), error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	secure, err := e.tls()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (*clientv3.Client, func(), error) {
		if err := e.probe(ctx, secure); err != nil {
			return nil, nil, fmt.Errorf("membership: no connection to etcd: %w", err)
		}
		c, err := clientv3.New(keepAlive(clientv3.Config{Endpoints: e.Endpoints, TLS: secure, Username: e.Username, Password: e.Password}))
		if err != nil { // with a user name it asks for a token at once, so it wants the cluster to be there
			return nil, nil, fmt.Errorf("membership: no connection to etcd at %v: %w", e.Endpoints, err)
		}
		if ctx.Err() != nil {
			return nil, nil, errors.Join(ctx.Err(), c.Close())
		}
		return c, func() { _ = c.Close() }, nil
	}, nil
}

// probe knocks at the endpoints until one answers. etcd's client would only say that the time ran out; here each tells why it cannot be reached.
func (e Etcd) probe(ctx context.Context, secure *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var faults []error
	for _, endpoint := range e.Endpoints {
		err := knock(ctx, endpoint, secure)
		if err == nil {
			return nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", endpoint, err))
	}
	return errors.Join(faults...)
}

func knock(ctx context.Context, endpoint string, secure *tls.Config) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if secure == nil {
		return nil
	}
	c := secure.Clone()
	c.ServerName, c.NextProtos = u.Hostname(), []string{"h2"}
	t := tls.Client(conn, c)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	// In TLS 1.3 a server refuses a client's certificate after the handshake has ended for the client.
	if err := t.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := t.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
