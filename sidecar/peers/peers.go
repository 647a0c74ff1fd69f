package peers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/sidecar"
)

// earlier is how many epochs before the one in force are remembered, and for how long: by then what moved was asked for, or is cold.
const (
	earlierEpochs = 8
	earlierFor    = time.Hour
)

// Peers asks other sidecars. All methods may be called in parallel.
type Peers struct {
	o        Options
	metrics  *metrics
	inFlight *semaphore.Weighted // bytes
	reading  atomic.Int64        // bytes of inFlight that readers wait for
	pull     *rate.Limiter       // bytes from owners of earlier epochs
	absent   *absences
	born     time.Time

	last    *ring.Epoch                // that Run has seen
	noticed atomic.Pointer[ring.Epoch] // last, for others
	taking  atomic.Pointer[takeover]
	past    atomic.Pointer[[]past] // newest first; the epoch in force is none of them
	members struct {
		sync.Mutex
		all    map[string]*member // by name
		closed bool
	}
	ending sync.Once
	base   context.Context // of calls that nobody waits for any more
	stop   context.CancelFunc
	calls  sync.WaitGroup
}

var _ sidecar.Peers = (*Peers)(nil)

// past is an epoch that was in force.
type past struct {
	epoch *ring.Epoch
	until time.Time // when another took its place
}

// New makes Peers. It starts nothing; without Run, no news is told and no earlier owner is known.
func New(o Options) (*Peers, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	p := &Peers{o: o, inFlight: semaphore.NewWeighted(o.InFlight), pull: rate.NewLimiter(0, 0), absent: newAbsences(), born: time.Now()}
	if o.PullRate > 0 {
		p.pull = rate.NewLimiter(rate.Limit(o.PullRate), int(max(o.PullRate, 16<<20)))
	}
	p.members.all = map[string]*member{}
	p.past.Store(&[]past{})
	p.last = o.Source.Epoch()
	p.noticed.Store(p.last)
	p.base, p.stop = context.WithCancel(context.Background())
	var err error
	if p.metrics, err = newMetrics(p, o.Registerer); err != nil {
		return nil, fmt.Errorf("metrics of peers: %w", err)
	}
	return p, nil
}

// Run remembers epochs as others take their place, passes on what is to be told, and has the pages of sections that are newly this sidecar's pulled into it (may be
// nil: no pages are), until ctx ends.
func (p *Peers) Run(ctx context.Context, into Taker) error {
	if into != nil && p.o.PullRate > 0 {
		p.taking.Store(newTakeover(p, into))
	}
	var tellers sync.WaitGroup
	defer tellers.Wait()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		changed := p.o.Source.Changed()
		if now := p.o.Source.Epoch(); now != p.last {
			p.replaced(p.last, now)
			if t := p.taking.Load(); t != nil {
				t.changed(p.last, now)
			}
			p.last = now
			p.noticed.Store(now)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.base.Done():
			return nil
		case <-tick.C:
			p.tellAll(ctx, &tellers)
		case <-changed:
		}
	}
}

// Close ends what is under way, and asks nobody any more: reads go to the origin. Closing twice is safe.
func (p *Peers) Close() error {
	p.ending.Do(func() {
		p.members.Lock()
		p.members.closed = true
		all := p.members.all
		p.members.all = map[string]*member{}
		p.members.Unlock()
		p.stop()
		for _, m := range all {
			m.close()
		}
		p.calls.Wait()
	})
	return nil
}

// spawn runs f beside; false: this side is closed, and f does not run.
func (p *Peers) spawn(f func()) bool {
	p.members.Lock()
	defer p.members.Unlock()
	if p.members.closed {
		return false
	}
	p.calls.Go(f)
	return true
}

// replaced remembers an epoch, and forgets members that are none any more.
func (p *Peers) replaced(before, now *ring.Epoch) {
	if before != nil {
		list := []past{{before, time.Now()}}
		for _, x := range *p.past.Load() {
			if len(list) < earlierEpochs && time.Since(x.until) < earlierFor {
				list = append(list, x)
			}
		}
		p.past.Store(&list)
	}
	p.members.Lock()
	defer p.members.Unlock()
	for name, m := range p.members.all {
		if now != nil {
			if at, ok := now.Find(name); ok && now.Members()[at].Sidecar == m.address {
				continue
			}
		}
		delete(p.members.all, name)
		go m.close()
	}
}

// find returns what is known of a member; nil if it has no address, or this side is closed.
func (p *Peers) find(who ring.Member) *member {
	p.members.Lock()
	defer p.members.Unlock()
	old := p.members.all[who.Name]
	if old != nil && old.address == who.Sidecar {
		return old
	}
	if who.Sidecar == "" || p.members.closed {
		return nil
	}
	if old != nil { // it has another address now
		go old.close()
	}
	m := newMember(who.Name, who.Sidecar, p.o.Identity, p.o.Patience)
	p.members.all[who.Name] = m
	return m
}

// Why a member is asked, as the label "owner".
type relation uint8

const (
	owner   relation = iota // it owns the section now
	earlier                 // it owned the section before this sidecar did
	relations
)

var relationNames = [relations]string{"now", "before"}

// holder is who should hold a piece of a file: its owner, if that is another one; of one of several owners the first, who was asked before it was hot; and where this
// sidecar is the owner itself, who was it last.
func (p *Peers) holder(at ring.Split) (*member, relation) {
	e := p.o.Source.Epoch()
	if e == nil || e.Most() == 0 {
		return nil, owner
	}
	key, err := e.Key(at)
	if err != nil {
		return nil, owner
	}
	owners, err := e.Owners(key, 1)
	if err != nil {
		return nil, owner
	}
	mine := -1
	for i, s := range owners {
		if e.Members()[s].Name == p.o.Self {
			mine = i
		}
	}
	switch {
	case mine > 0:
		return p.find(e.Members()[owners[0]]), owner
	case mine < 0:
		return p.find(e.Members()[owners[rand.IntN(len(owners))]]), owner
	}
	return p.holderBefore(e, at), earlier
}

// holderBefore is the last other member that owned what this sidecar owns now, if it still is one.
func (p *Peers) holderBefore(now *ring.Epoch, at ring.Split) *member {
	for _, x := range *p.past.Load() {
		if time.Since(x.until) > earlierFor {
			return nil
		}
		key, err := x.epoch.Key(at)
		if err != nil || x.epoch.Most() == 0 {
			continue
		}
		owners, err := x.epoch.Owners(key, 1)
		if err != nil {
			continue
		}
		name := x.epoch.Members()[owners[0]].Name
		if slot, ok := now.Find(name); ok && name != p.o.Self {
			return p.find(now.Members()[slot])
		}
	}
	return nil
}

// home is who knows best what was heard of a path: whoever owns its folder, so that what one listing tells goes to few; of a folder that is this sidecar's own,
// whoever owned it before.
func (p *Peers) home(mount, folder string) (*member, relation) {
	return p.holder(ring.Split{Mount: mount, Path: folder + "/*"})
}

// homeBefore is who may know what home does not: whoever owned the folder before it.
func (p *Peers) homeBefore(home *member, mount, folder string) *member {
	for _, m := range p.homes(ring.Split{Mount: mount, Path: folder + "/*"}) {
		if m != home {
			return m
		}
	}
	return nil
}

// folderOf is the folder of a path.
func folderOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return strings.TrimSuffix(dir, "/")
	}
	return ""
}

// folderOfPrefix is the folder whose names begin with a listing's prefix.
func folderOfPrefix(prefix string) string { return folderOf(prefix + "x") }

// gaveUp says once what a member fails with.
func (p *Peers) gaveUp(m *member, err error) {
	p.o.Logger.Warn().Err(err).Str("peer", m.name).Str("address", m.address).
		Msg("a peer fails; what it holds is read from the origin until it is well again")
}

// Pull tells how far the takeover of what this sidecar newly owns has come.
func (p *Peers) Pull() Pull {
	if t := p.taking.Load(); t != nil {
		return t.status()
	}
	return Pull{State: "off"}
}

// Trouble is what each member that is left alone fails with, by name.
func (p *Peers) Trouble() map[string]string {
	p.members.Lock()
	defer p.members.Unlock()
	out := map[string]string{}
	for name, m := range p.members.all {
		if err := m.trouble(); err != nil {
			out[name] = err.Error()
		}
	}
	return out
}
