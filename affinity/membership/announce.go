package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/alio-lake/alio/affinity/ring"
)

// announce keeps this member's record under a lease, and takes it back when the context ends. It returns an error where the lease is lost, or the record is another's.
func (n *Node) announce(ctx context.Context) error {
	session, err := n.session(ctx)
	if err != nil {
		return err
	}
	defer n.revoke(session)
	defer n.announced.Store(false)
	for ours := false; ; ours = true {
		self, told := n.said()
		n.tries.Add(1)
		revision, err := n.put(ctx, self, session.Lease(), ours)
		if err != nil {
			return err
		}
		n.announced.Store(true)
		n.well("announce")
		if err := n.stay(ctx, session, told, revision); err != nil {
			return err
		}
	}
}

// stay returns nil when the record is to be written again: there is something else to say of this member, or it is not what was written at a revision.
func (n *Node) stay(ctx context.Context, session *concurrency.Session, told <-chan struct{}, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := n.o.Client.Watch(ctx, n.store.key("members", n.o.Self.Name), clientv3.WithRev(revision+1))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-session.Done():
		return errors.New("membership: the lease is lost")
	case <-told:
	case <-watch:
	}
	return nil
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

// put writes the record, unless another sidecar is a member under this name, and gives the revision at which it did. One with our own addresses is what we were before a restart; but if the record was ours and
// another process with our addresses has put its own there, that one is the member: two that take the name from each other would move keys for ever.
func (n *Node) put(ctx context.Context, self Announced, lease clientv3.LeaseID, ours bool) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := n.store.key("members", self.Name)
	value, err := self.encode()
	if err != nil {
		return 0, err
	}
	for {
		r, err := n.o.Client.Get(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("membership: %q cannot announce itself: %w", self.Name, err)
		}
		modified := int64(0)
		if len(r.Kvs) == 0 {
			n.displaced = false
		} else {
			modified = r.Kvs[0].ModRevision
			foreign := clientv3.LeaseID(r.Kvs[0].Lease) != lease
			n.displaced = n.displaced || foreign && ours
			if foreign {
				if err := n.claim(self.Member, r.Kvs[0].Value); err != nil {
					return 0, err
				}
			}
		}
		done, err := n.o.Client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", modified)).Then(clientv3.OpPut(key, value, clientv3.WithLease(lease))).Commit()
		if err != nil {
			return 0, fmt.Errorf("membership: %q cannot announce itself: %w", self.Name, err)
		}
		if done.Succeeded {
			return done.Header.Revision, nil
		}
	}
}

// claim says why a record that lies under our name is not ours to replace; nil: it is.
func (n *Node) claim(self ring.Member, record []byte) error {
	var other ring.Member
	switch {
	case json.Unmarshal(record, &other) != nil:
		return nil // no member
	case other.Sidecar != self.Sidecar || other.Worker != self.Worker:
		return fmt.Errorf("membership: %w: %q is the sidecar at %q beside the worker at %q, and this one is at %q beside %q: give each its own name",
			ErrNameTaken, self.Name, other.Sidecar, other.Worker, self.Sidecar, self.Worker)
	case n.displaced:
		return fmt.Errorf("membership: %w: two sidecars run as %q with the same addresses, and the other came later: stop one of them", ErrNameTaken, self.Name)
	}
	return nil
}
