package membership

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// Embedded is an etcd of one node inside this process.
type Embedded struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	once   sync.Once
}

// EmbeddedOptions say where it keeps its data and where it listens.
type EmbeddedOptions struct {
	Dir    string // what it knows survives a restart in the same directory
	Listen string // host:port for clients; "127.0.0.1:2379" by default. Beyond loopback it wants a network that is trusted: it speaks neither TLS nor passwords
}

// StartEmbedded starts etcd and waits until it answers.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	if o.Dir == "" {
		return nil, fmt.Errorf("membership: the embedded etcd has no directory")
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:2379"
	}
	c := embed.NewConfig()
	c.Name, c.Dir, c.LogLevel, c.Logger, c.LogOutputs = "alio", o.Dir, "fatal", "zap", []string{"stderr"} // its errors reach us as answers; closing it in order logs four of them
	listen, peer := url.URL{Scheme: "http", Host: o.Listen}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{listen}, []url.URL{listen}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", "1000"
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("membership: the embedded etcd does not start in %s at %s: %w", o.Dir, o.Listen, err)
	}
	e := &Embedded{etcd: etcd}
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		e.Close()
		return nil, fmt.Errorf("membership: the embedded etcd stopped: %w", err)
	case <-ctx.Done():
		e.Close()
		return nil, ctx.Err()
	}
	e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{e.Endpoint()}, DialTimeout: callTimeout, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second})
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("membership: %w", err)
	}
	return e, nil
}

// Endpoint is where it answers clients.
func (e *Embedded) Endpoint() string { return "http://" + e.etcd.Clients[0].Addr().String() }

// Client speaks to it; Close closes it.
func (e *Embedded) Client() *clientv3.Client { return e.client }

// Close stops it. Twice is fine.
func (e *Embedded) Close() {
	e.once.Do(func() {
		if e.client != nil {
			_ = e.client.Close()
		}
		e.etcd.Close()
	})
}
