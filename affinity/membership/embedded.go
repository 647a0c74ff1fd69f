package membership

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"google.golang.org/grpc"
)

// Embedded is an etcd of one node inside this process.
type Embedded struct {
	etcd   *embed.Etcd
	end    context.CancelFunc // of clients' streams
	client *clientv3.Client
	once   sync.Once
}

// EmbeddedOptions say where it keeps its data and where it listens.
type EmbeddedOptions struct {
	Dir    string // what it knows survives a restart in the same directory
	Listen string // host:port for clients; "127.0.0.1:2379" by default. Whoever reaches it may change the ring, unless the three below are set
	// CertFile and KeyFile are the certificate (PEM) that it shows to clients, CAFile those by which it checks theirs: without one nobody comes in.
	CertFile, KeyFile, CAFile string
}

// secure says whether it speaks TLS and asks for certificates.
func (o EmbeddedOptions) secure() bool { return o.CertFile != "" }

// Validate reports every fault at once.
func (o EmbeddedOptions) Validate() error {
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("membership: the embedded etcd has no directory"))
	}
	if (o.CertFile == "") != (o.KeyFile == "") || (o.CertFile == "") != (o.CAFile == "") {
		faults = append(faults, errors.New("membership: the embedded etcd's TLS needs a certificate, its key, and the certificates by which it checks its clients'"))
	}
	return errors.Join(faults...)
}

// config is etcd's own configuration.
func (o EmbeddedOptions) config() *embed.Config {
	c := embed.NewConfig()
	c.Name, c.Dir, c.LogLevel, c.Logger, c.LogOutputs = "alio", o.Dir, "fatal", "zap", []string{"stderr"} // its errors reach us as answers; closing it in order logs four of them
	listen, peer := url.URL{Scheme: "http", Host: o.Listen}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	if o.secure() {
		listen.Scheme = "https"
		t := &c.ClientTLSInfo
		t.CertFile, t.KeyFile, t.TrustedCAFile, t.ClientCertAuth = o.CertFile, o.KeyFile, o.CAFile, true
	}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{listen}, []url.URL{listen}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", "1000"
	return c
}

// StartEmbedded starts etcd and waits until it answers.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:2379"
	}
	c := o.config()
	ending, end := context.WithCancel(context.Background())
	c.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainStreamInterceptor(endingWith(ending))}
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		end()
		return nil, fmt.Errorf("membership: the embedded etcd does not start in %s at %s: %w", o.Dir, o.Listen, err)
	}
	e := &Embedded{etcd: etcd, end: end}
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		e.Close()
		return nil, fmt.Errorf("membership: the embedded etcd stopped: %w", err)
	case <-ctx.Done():
		e.Close()
		return nil, ctx.Err()
	}
	e.client = v3client.New(etcd.Server)
	return e, nil
}

// Endpoint is where it answers clients.
func (e *Embedded) Endpoint() string {
	return e.etcd.Config().ListenClientUrls[0].Scheme + "://" + e.etcd.Clients[0].Addr().String()
}

// Connector starts it, for Options.Connect.
func (o EmbeddedOptions) Connector() (func(context.Context) (*clientv3.Client, func(), error), error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (*clientv3.Client, func(), error) {
		e, err := StartEmbedded(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		return e.Client(), e.Close, nil
	}, nil
}

// Client speaks to it without a connection; Close closes it.
func (e *Embedded) Client() *clientv3.Client { return e.client }

// Close stops it. Twice is fine.
func (e *Embedded) Close() {
	e.once.Do(func() {
		if e.client != nil {
			_ = e.client.Close()
		}
		e.end()
		e.etcd.Close()
	})
}

// endingWith ends streams when a context ends. Clients' watches last for ever, and etcd, when it closes, waits seven seconds for them.
func endingWith(ending context.Context) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, cancel := context.WithCancel(ss.Context())
		defer cancel()
		defer context.AfterFunc(ending, cancel)()
		return handler(srv, ended{ss, ctx})
	}
}

type ended struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (e ended) Context() context.Context { return e.ctx }
