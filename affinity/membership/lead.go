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
	t := &term{leads: clientv3.Compare(clientv3.CreateRevision(election.Key()), "=", election.Rev())}
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
	leads clientv3.Cmp
	// keep is until when nobody is taken out of the ring: a store that knows less than we do has lost its members too, and they need a moment to announce themselves again.
	keep time.Time
	// verdicts are on members' loads, cool since when hot sections are not hot any more; ripen is when one of them is to be looked at again, 0: when something changes.
	verdicts map[string]*verdict
	cool     map[uint64]time.Time
	ripen    time.Duration
	gone     map[string]time.Time // since when members of the ring are missed
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
	keep := time.Now().Before(t.keep)
	change, worth := n.change(base, n.judged(t, base, members, drained, keep), keep)
	var cools time.Duration
	if change.Hot, cools = t.heatUp(n.o.Hotness, base, rates, time.Now()); cools > 0 && (t.ripen == 0 || cools < t.ripen) {
		t.ripen = cools
	}
	worth = worth || len(change.Hot) > 0
	if !worth && !damaged && ok && base.Number() == p.Number {
		return revision, nil
	}
	next, err := base.Apply(change)
	if err != nil {
		return 0, err
	}
	return revision, n.store.publish(ctx, next, p, modified, t.leads, n.o.ChunkSize)
}

// judged are the members as the ring shall have them: with what operators say of them, and what their load does. One that the ring would refuse (a weight of 0, an unknown zone) is left out, so that it does
// not stop the others.
func (n *Node) judged(t *term, base *ring.Epoch, members []record, drained map[string]bool, keep bool) []ring.Member {
	fit := members[:0]
	for _, m := range members {
		if err := checkMember(n.o.Settings, m.Member); err != nil {
			n.o.Log.Warn().Err(err).Str("member", m.Name).Msg("what it announced does not fit the ring; it is left out")
			continue
		}
		m.Draining = m.Draining || drained[m.Name]
		fit = append(fit, m)
	}
	t.ripen = t.judge(n.o.Overload, base, fit, time.Now())
	out := make([]ring.Member, len(fit))
	for i, m := range fit {
		out[i] = m.Member
	}
	if keep || n.o.Absent == 0 {
		return out
	}
	return append(out, t.absent(n.o.Absent, base, fit, time.Now())...)
}

// absent are members of the ring that are missed, and not for too long: they keep their place and are left out of answers, so that one that was only restarted has exactly its share again.
func (t *term) absent(limit time.Duration, base *ring.Epoch, there []record, now time.Time) (out []ring.Member) {
	if t.gone == nil {
		t.gone = map[string]time.Time{}
	}
	for _, m := range there {
		delete(t.gone, m.Name)
	}
	known := map[string]bool{}
	for _, m := range there {
		known[m.Name] = true
	}
	for _, m := range base.Members() {
		if known[m.Name] {
			continue
		}
		if t.gone[m.Name].IsZero() {
			t.gone[m.Name] = now
		}
		if wait := limit - now.Sub(t.gone[m.Name]); wait > 0 {
			if t.ripen == 0 || wait < t.ripen {
				t.ripen = wait
			}
			m.Excluded = true
			out = append(out, m)
		}
	}
	return out
}

// change is what leads from an epoch to these members and our settings.
func (n *Node) change(base *ring.Epoch, members []ring.Member, keep bool) (c ring.Change, worth bool) {
	there := map[string]bool{}
	for _, m := range members {
		there[m.Name] = true
		slot, known := base.Find(m.Name)
		if !known {
			c.Join = append(c.Join, m)
		} else if base.Members()[slot] != m {
			c.Update = append(c.Update, m)
		}
	}
	for _, m := range base.Members() {
		if !there[m.Name] && !keep {
			c.Leave = append(c.Leave, m.Name)
		}
	}
	empty, err := ring.New(n.o.Settings)
	if err == nil && fmt.Sprint(empty.Settings()) != fmt.Sprint(base.Settings()) {
		c.Settings = &n.o.Settings
	}
	return c, len(c.Join)+len(c.Update)+len(c.Leave) > 0 || c.Settings != nil
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
	if t.ripen > 0 {
		look = min(look, t.ripen)
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
