package membership

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/alio-lake/alio/affinity/ring"
)

// lead waits to be elected, then edits the ring until it is no longer the leader.
func (n *Node) lead(ctx context.Context) error {
	session, err := n.session(ctx)
	if err != nil {
		return err
	}
	defer n.revoke(session)
	n.well("lead")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-session.Done():
		case <-ctx.Done():
		}
	}()
	election := concurrency.NewElection(session, n.store.key("leader"))
	if err := election.Campaign(ctx, n.o.Self.Name); err != nil {
		return fmt.Errorf("membership: no election: %w", err)
	}
	defer n.leads.Store(false)
	n.leads.Store(true)
	n.o.Log.Info().Msg("elected to edit the ring")
	t := &term{leads: clientv3.Compare(clientv3.CreateRevision(election.Key()), "=", election.Rev()), editor: NewEditor(n.o.rules())}
	for {
		revision, err := n.editOnce(ctx, t)
		if err == nil {
			err = n.wait(ctx, revision, t)
		}
		if err != nil {
			return err
		}
	}
}

// term is one leader's time.
type term struct {
	leads  clientv3.Cmp
	editor *Editor
	// keep is until when nobody is taken out of the ring: a store that knows less than we do has lost its members too, and they need a moment to announce themselves again.
	keep time.Time
	next time.Duration // when the editor is to be asked again; 0: when something changes
}

// editOnce publishes an epoch if the members are others than those of the epoch in force. It gives the revision at which it read the members.
func (n *Node) editOnce(ctx context.Context, t *term) (int64, error) {
	p, modified, _, ok, err := n.store.current(ctx)
	base := n.epoch.Load()
	if err == nil && ok && (base == nil || base.Number() <= p.Number) {
		var stored *ring.Epoch
		if stored, err = n.store.epoch(ctx, p); err == nil {
			base = stored
		}
	}
	damaged := errors.Is(err, ring.ErrCorrupt) && base != nil
	if damaged {
		n.o.Log.Warn().Err(err).Uint64("epoch", base.Number()).Msg("what etcd has for an epoch is none; it gets one made of ours")
	} else if err != nil {
		return 0, err
	}
	if base == nil {
		if base, err = ring.New(n.o.Settings); err != nil {
			return 0, err
		}
	}
	members, bad, revision, err := n.store.members(ctx)
	if err != nil {
		return 0, err
	}
	drained, err := n.store.drained(ctx)
	if err != nil {
		return 0, err
	}
	rates, err := n.store.heats(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range bad {
		n.o.Log.Warn().Str("member", name).Msg("what it announced is no member; it is left out")
	}
	if !damaged && base.Number() > 0 && (!ok || base.Number() > p.Number) && t.keep.IsZero() {
		t.keep = time.Now().Add(2 * n.o.TTL)
		n.o.Log.Warn().Uint64("epoch", base.Number()).Msg("etcd has lost the epoch; it gets ours back, and members have time to announce themselves again")
	}
	edit := t.editor.Edit(base, Seen{Members: members, Drained: drained, Rates: rates, Keep: time.Now().Before(t.keep)}, time.Now())
	for _, u := range edit.Unfit {
		n.o.Log.Warn().Err(u.Err).Str("member", u.Name).Msg("what it announced does not fit the ring; it is left out")
	}
	t.next = edit.Again
	if !edit.Worth && !damaged && ok && base.Number() == p.Number {
		return revision, nil
	}
	next, err := base.Apply(edit.Change)
	if err != nil {
		return 0, err
	}
	return revision, n.store.publish(ctx, next, p, modified, t.leads, n.o.ChunkSize)
}

// wait returns when a member has announced something, its lease has ended, or an operator has said something of it, after a moment in which others may too; and after a TTL in any case, to see that all
// is as it should be.
func (n *Node) wait(ctx context.Context, revision int64, t *term) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := func(part string) clientv3.WatchChan {
		return n.o.Client.Watch(clientv3.WithRequireLeader(ctx), n.store.key(part, ""), clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	}
	look := n.o.TTL
	if left := time.Until(t.keep); left > 0 {
		look = min(look, left)
	}
	if t.next > 0 {
		look = min(look, t.next)
	}
	members, drained, heat := watch("members"), watch("drained"), watch("heat")
	var r clientv3.WatchResponse
	var ok bool
	select {
	case <-time.After(look):
		return nil
	case r, ok = <-members:
	case r, ok = <-drained:
	case r, ok = <-heat:
	}
	if !ok {
		return errors.New("membership: the watch of members ended")
	}
	if err := r.Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(n.o.Settle):
		return nil
	}
}
