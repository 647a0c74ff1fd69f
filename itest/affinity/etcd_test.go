package affinity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity/membership"
	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/itest/harness"
)

const ttl = 2 * time.Second

// node is one process's part in the fleet, as a sidecar has it: it connects by configuration, with TLS and a password.
type node struct {
	*membership.Node
	cancel context.CancelFunc
	done   chan error
}

func startNode(t *testing.T, e *harness.EtcdCluster, name, file string) *node {
	t.Helper()
	connect, err := membership.Etcd{Endpoints: e.Endpoints, CAFile: e.Files.CA, CertFile: e.Files.Cert, KeyFile: e.Files.Key, Username: harness.EtcdUser, Password: e.Password}.Connector()
	need(t, err)
	o := membership.Options{Connect: connect, TTL: ttl, Settle: 10 * time.Millisecond, File: file, Candidate: name != "", Settings: ring.Settings{Partitions: 256}}
	if name != "" {
		o.Self = ring.Member{Name: name, Weight: 1, Worker: name + ":8080", Sidecar: name + ":9490"}
	}
	m, err := membership.New(o)
	need(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{m, cancel, make(chan error, 1)}
	go func() { n.done <- m.Run(ctx) }()
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) stop() error {
	n.cancel()
	err := <-n.done
	n.done <- err
	return err
}

func (n *node) names() string {
	out := ""
	if e := n.Epoch(); e != nil {
		for _, m := range e.Members() {
			out += m.Name
		}
	}
	return out
}

// load asks all nodes for owners. A look-up that fails, or an epoch older than one that the node has given, is an error.
func load(t *testing.T, nodes ...*node) (lookups *atomic.Int64, stop func()) {
	lookups = &atomic.Int64{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			last, random := uint64(0), rand.New(rand.NewPCG(1, 2))
			for ctx.Err() == nil {
				e := n.Epoch()
				if e == nil || e.Number() < last {
					t.Errorf("the epoch went: %v after %d", e, last)
					return
				}
				last = e.Number()
				key, err := e.Key(ring.Split{Mount: "lake", Path: fmt.Sprintf("t/%d.parquet", random.IntN(1e6))})
				if err == nil {
					_, err = e.Owners(key, 1)
				}
				if err != nil {
					t.Errorf("a look-up failed: %v", err)
					return
				}
				if lookups.Add(1)%1000 == 0 { // the servers need the processors too
					select {
					case <-ctx.Done():
					case <-time.After(time.Millisecond):
					}
				}
			}
		})
	}
	return lookups, func() { cancel(); wg.Wait() }
}

func agree(t *testing.T, want string, nodes ...*node) {
	t.Helper()
	eventually(t, "members "+want, func() bool {
		for _, n := range nodes {
			if n.names() != want || n.Epoch().Hash() != nodes[0].Epoch().Hash() {
				return false
			}
		}
		return true
	})
}

// TestEtcdDies: of a three-node etcd the leader is killed, then a second node, then all, while every node of the fleet is asked for owners. No look-up fails and no epoch goes back; with the leader gone
// changes still happen, within a lease and an election; without a quorum the last epoch stays in force, also for a node that starts then; and when etcd returns, so do changes.
func TestEtcdDies(t *testing.T) {
	e := harness.Etcd(t, 3)
	file := filepath.Join(t.TempDir(), "epoch")
	a, b := startNode(t, e, "a", file), startNode(t, e, "b", "")
	follower := startNode(t, e, "", "")
	agree(t, "ab", a, b, follower)
	lookups, stop := load(t, a, b, follower)
	defer stop()

	first, err := e.Leader(t.Context())
	need(t, err)
	e.Kill(first)
	c := startNode(t, e, "c", "")
	agree(t, "abc", a, b, c, follower)
	need(t, c.stop())
	agree(t, "ab", a, b, follower)

	second := (first + 1) % 3
	e.Kill(second)
	before := a.Epoch()
	c = startNode(t, e, "c", "")
	eventually(t, "c has noticed that there is no quorum", func() bool { return c.Trouble() != nil })
	late := startNode(t, e, "", file)
	agree(t, "ab", a, late) // from the file
	e.Kill((first + 2) % 3)
	eventually(t, "all have noticed", func() bool { return a.Trouble() != nil && b.Trouble() != nil && late.Trouble() != nil })
	if a.Epoch() != before || b.Epoch().Hash() != before.Hash() || follower.Epoch().Hash() != before.Hash() {
		t.Error("the epoch changed without etcd")
	}

	for i := range 3 {
		need(t, e.Start(i))
	}
	agree(t, "abc", a, b, c, follower, late)
	eventually(t, "all is well", func() bool { return errors.Join(a.Trouble(), b.Trouble(), c.Trouble(), late.Trouble()) == nil })
	stop()
	t.Logf("%d look-ups, none failed; epoch %d after %d", lookups.Load(), a.Epoch().Number(), before.Number())
}

// TestEtcdRefuses: a wrong password, a certificate of nobody's and a cluster that is not there are told as what they are, and the node goes on trying.
func TestEtcdRefuses(t *testing.T) {
	e := harness.Etcd(t, 1)
	other, err := harness.NewCertificates(t.TempDir())
	need(t, err)
	right := membership.Etcd{Endpoints: e.Endpoints, CAFile: e.Files.CA, CertFile: e.Files.Cert, KeyFile: e.Files.Key, Username: harness.EtcdUser, Password: e.Password}
	for name, c := range map[string]struct {
		change func(*membership.Etcd)
		want   string
	}{
		"password":    {func(x *membership.Etcd) { x.Password = "wrong" }, "invalid user ID or password"},
		"authority":   {func(x *membership.Etcd) { x.CAFile = other.CA }, "certificate signed by unknown authority"},
		"certificate": {func(x *membership.Etcd) { x.CertFile, x.KeyFile = other.Cert, other.Key }, "remote error: tls:"},
		"nobody":      {func(x *membership.Etcd) { x.Endpoints = []string{"https://127.0.0.1:1"} }, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			x := right
			c.change(&x)
			connect, err := x.Connector()
			need(t, err)
			client, done, err := connect(t.Context())
			if err == nil {
				defer done()
				_, err = client.Get(t.Context(), "/alio/x")
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want one that says %q", err, c.want)
			}
		})
	}
}
