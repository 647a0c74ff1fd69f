package membership

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"golang.org/x/sync/errgroup"

	"github.com/alio-lake/alio/affinity/ring"
)

// ErrNameTaken is wrapped by Run's error when another sidecar is a member under our name.
var ErrNameTaken = errors.New("the name is taken")

// Node is one process's part in the fleet.
type Node struct {
	o     Options
	store store
	epoch atomic.Pointer[ring.Epoch]
	leads atomic.Bool

	mu struct {
		sync.Mutex
		self    ring.Member
		changed chan struct{} // closed when the epoch changes
		told    chan struct{} // closed when self changes
	}
}

// New reads the last epoch from the file, if there is one, and starts nothing. A file that cannot be used is an error of its own: the node is there beside it, without an epoch.
func New(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	n := &Node{o: o, store: store{o.Client, o.Prefix}}
	n.mu.self, n.mu.changed, n.mu.told = o.Self, make(chan struct{}), make(chan struct{})
	if o.File == "" {
		return n, nil
	}
	e, err := readFile(o.File)
	if e != nil {
		n.epoch.Store(e)
	}
	if err != nil {
		n.o.Log.Warn().Err(err).Msg("the last epoch on disk is of no use; it will come from etcd")
	}
	return n, nil
}

// Epoch is the last one known; nil before the first. It never blocks.
func (n *Node) Epoch() *ring.Epoch { return n.epoch.Load() }

// Leads says whether this node edits the ring now.
func (n *Node) Leads() bool { return n.leads.Load() }

// Changed is closed when there is another epoch than Epoch gave before Changed was called; so call Changed first.
func (n *Node) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.changed
}

// Announce changes what is said of this member: weight, draining, addresses. Its name stays.
func (n *Node) Announce(m ring.Member) error {
	if m.Name != n.o.Self.Name || m.Name == "" {
		return fmt.Errorf("membership: %q cannot announce %q", n.o.Self.Name, m.Name)
	}
	if err := checkMember(n.o.Settings, m); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.self = m
	close(n.mu.told)
	n.mu.told = make(chan struct{})
	return nil
}

func (n *Node) said() (ring.Member, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.self, n.mu.told
}

// Run announces, follows and, for candidates, leads, until the context ends; then it takes the announcement back, so that the others need not wait for the lease. It returns an error only where no
// waiting helps: the name belongs to another. etcd that is away is waited for.
func (n *Node) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.again(ctx, "follow", n.follow) })
	if n.o.Self.Name != "" {
		g.Go(func() error { return n.again(ctx, "announce", n.announce) })
	}
	if n.o.Candidate {
		g.Go(func() error { return n.again(ctx, "lead", n.lead) })
	}
	return g.Wait()
}

// again runs f until the context ends, with pauses that grow while it fails.
func (n *Node) again(ctx context.Context, what string, f func(ctx context.Context) error) error {
	for pause := 50 * time.Millisecond; ; {
		began := time.Now()
		err := f(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, ErrNameTaken) {
			return err
		}
		n.o.Log.Warn().Err(err).Str("task", what).Dur("pause", pause).Msg("etcd did not answer or said no; the last epoch stays in force")
		if time.Since(began) > 10*time.Second {
			pause = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// follow takes over each epoch that the pointer names.
func (n *Node) follow(ctx context.Context) error {
	p, _, revision, ok, err := n.store.current(ctx)
	if err != nil {
		return err
	}
	if ok {
		if err := n.take(ctx, p); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := n.o.Client.Watch(clientv3.WithRequireLeader(ctx), n.store.key("epoch"), clientv3.WithRev(revision+1))
	look := time.NewTicker(n.o.TTL) // an etcd that came back empty counts from the beginning, and a watch from a later revision would wait for it to get there
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r, ok := <-watch:
			if !ok {
				return errors.New("membership: the watch of epochs ended")
			}
			if err := n.told(ctx, r); err != nil {
				return err
			}
		case <-look.C:
			p, _, now, ok, err := n.store.current(ctx)
			if err == nil && ok {
				err = n.take(ctx, p)
			}
			if err == nil && now < revision {
				err = errors.New("membership: etcd is another than it was")
			}
			if err != nil {
				return err
			}
			revision = now
		}
	}
}

// told takes over what a watch reports.
func (n *Node) told(ctx context.Context, r clientv3.WatchResponse) error {
	if err := r.Err(); err != nil {
		return err
	}
	for _, event := range r.Events {
		if event.Type != clientv3.EventTypePut {
			continue
		}
		p, err := parsePointer(event.Kv.Value)
		if err == nil {
			err = n.take(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take makes an epoch the one in force here.
func (n *Node) take(ctx context.Context, p pointer) error {
	if e := n.epoch.Load(); e != nil {
		if hash := e.Hash(); hex.EncodeToString(hash[:]) == p.Hash {
			return nil
		}
	}
	e, err := n.store.epoch(ctx, p)
	if err != nil {
		return err
	}
	n.epoch.Store(e)
	n.mu.Lock()
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
	n.mu.Unlock()
	if n.o.File != "" {
		if err := writeFile(n.o.File, e); err != nil {
			n.o.Log.Warn().Err(err).Msg("the epoch is in force and not on disk; a start without etcd would have an older one")
		}
	}
	return nil
}

// announce keeps this member's record under a lease, and takes it back when the context ends.
func (n *Node) announce(ctx context.Context) error {
	session, err := n.session(ctx)
	if err != nil {
		return err
	}
	defer n.revoke(session)
	for {
		self, told := n.said()
		if err := n.put(ctx, self, session.Lease()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-session.Done():
			return errors.New("membership: the lease is lost")
		case <-told:
		}
	}
}

// session makes a lease that is kept alive.
func (n *Node) session(ctx context.Context) (*concurrency.Session, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	lease, err := n.o.Client.Grant(call, int64((n.o.TTL+time.Second-1)/time.Second))
	if err != nil {
		return nil, fmt.Errorf("membership: no lease: %w", err)
	}
	return concurrency.NewSession(n.o.Client, concurrency.WithLease(lease.ID), concurrency.WithContext(ctx))
}

// revoke ends a lease, whatever has become of the context that it lived in.
func (n *Node) revoke(s *concurrency.Session) {
	s.Orphan()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = n.o.Client.Revoke(ctx, s.Lease())
}

// put writes the record, unless another sidecar is a member under this name. One with our own address is what we were before a restart.
func (n *Node) put(ctx context.Context, self ring.Member, lease clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := n.store.key("members", self.Name)
	value, err := json.Marshal(self)
	if err != nil {
		return err
	}
	for {
		r, err := n.o.Client.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("membership: %q cannot announce itself: %w", self.Name, err)
		}
		modified := int64(0)
		if len(r.Kvs) > 0 {
			var other ring.Member
			modified = r.Kvs[0].ModRevision
			if json.Unmarshal(r.Kvs[0].Value, &other) == nil && other.Sidecar != self.Sidecar && clientv3.LeaseID(r.Kvs[0].Lease) != lease {
				return fmt.Errorf("membership: %w: %q is the sidecar at %q, and this one is at %q: give each its own name", ErrNameTaken, self.Name, other.Sidecar, self.Sidecar)
			}
		}
		done, err := n.o.Client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", modified)).Then(clientv3.OpPut(key, string(value), clientv3.WithLease(lease))).Commit()
		if err != nil {
			return fmt.Errorf("membership: %q cannot announce itself: %w", self.Name, err)
		}
		if done.Succeeded {
			return nil
		}
	}
}
