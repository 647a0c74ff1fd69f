package membership

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/alio-lake/alio/affinity/ring"
)

// ErrNameTaken is wrapped by what Trouble tells when another sidecar is a member under our name.
var ErrNameTaken = errors.New("the name is taken")

// Node is one process's part in the fleet.
type Node struct {
	o     Options
	store store
	epoch atomic.Pointer[ring.Epoch]
	leads atomic.Bool

	announced atomic.Bool
	tries     atomic.Int64 // of announcing
	displaced bool         // the record was ours and another process has put its own there; only announce looks

	mu struct {
		sync.Mutex
		trouble   map[string]error // what each task last failed with
		self      ring.Member
		load      *Load     // as it was told last
		loadTold  time.Time // when
		heat      map[string]float64
		heated    chan struct{} // closed when heat changes
		changed   chan struct{} // closed when the epoch changes
		told      chan struct{} // closed when self changes
		connected bool
	}
}

// New makes a Node. It starts nothing.
func New(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	n := &Node{o: o, store: store{prefix: o.Prefix}}
	n.mu.trouble = map[string]error{}
	n.mu.self, n.mu.changed, n.mu.told, n.mu.heated = o.Self, make(chan struct{}), make(chan struct{}), make(chan struct{})
	return n, nil
}

// load takes the epoch from the file, if there is one and no other came first. A file that cannot be used is as none.
func (n *Node) load() {
	if n.o.File == "" {
		return
	}
	e, err := readFile(n.o.File)
	if err != nil {
		n.o.Log.Warn().Err(err).Msg("the last epoch on disk is of no use; it will come from etcd")
	}
	if e != nil && n.epoch.CompareAndSwap(nil, e) {
		n.announceEpoch()
	}
}

// keep loads the file, then writes each epoch to it, the newest one only where they come faster than the disk takes them. A disk that hangs holds up nothing but this.
func (n *Node) keep(ctx context.Context) {
	n.load()
	last := n.Epoch()
	for {
		changed := n.Changed()
		if e := n.Epoch(); e != last {
			last = e
			if err := writeFile(n.o.File, e); err != nil {
				n.o.Log.Warn().Err(err).Msg("the epoch is in force and not on disk; a start without etcd would have an older one")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
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
	if err := n.o.Settings.Check(m); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.self = m
	close(n.mu.told)
	n.mu.told = make(chan struct{})
	return nil
}

// Report says how this member fares. It is passed on rounded up to powers of two, and only when that has changed and the last word is a fifth of a TTL old.
func (n *Node) Report(l Load) {
	l = l.Coarse()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.load != nil && *n.mu.load == l || time.Since(n.mu.loadTold) < n.o.TTL/5 {
		return
	}
	n.mu.load, n.mu.loadTold = &l, time.Now()
	close(n.mu.told)
	n.mu.told = make(chan struct{})
}

func (n *Node) said() (Announced, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Announced{n.mu.self, n.mu.load}, n.mu.told
}

// Run announces, follows and, for candidates, leads, until the context ends; then it takes the announcement back, so that the others need not wait for the lease. etcd that is away is waited for, and so
// is the end of another member with our name: Trouble tells. The error is nil.
func (n *Node) Run(ctx context.Context) error {
	defer n.startKeeping(ctx)()
	done, ok := n.connect(ctx)
	if !ok { // told to stop before there was a connection
		return nil
	}
	defer done()
	g, group := errgroup.WithContext(ctx)
	g.Go(func() error { return n.again(group, "follow", n.follow) })
	g.Go(func() error { return n.again(group, "heat", n.heat) })
	if n.o.Self.Name != "" {
		g.Go(func() error { return n.again(group, "announce", n.announce) })
	}
	if n.o.Candidate {
		g.Go(func() error { return n.again(group, "lead", n.lead) })
	}
	return g.Wait()
}

// startKeeping begins to keep the epoch on disk. The function that it returns waits for the end of that, but not for a disk that hangs.
func (n *Node) startKeeping(ctx context.Context) (wait func()) {
	if n.o.File == "" {
		return func() {}
	}
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		n.keep(ctx)
	}()
	return func() {
		select {
		case <-kept:
		case <-time.After(time.Second):
		}
	}
}

// connect tries to connect until it succeeds; not ok: the context has ended before.
func (n *Node) connect(ctx context.Context) (done func(), ok bool) {
	closeClient := func() {}
	if n.o.Client == nil {
		err := n.again(ctx, "connect", func(ctx context.Context) (err error) {
			n.o.Client, closeClient, err = n.o.Connect(ctx)
			return err
		})
		if err != nil || n.o.Client == nil {
			return nil, false
		}
	}
	n.store.client = n.o.Client
	n.setConnected(true)
	return func() {
		n.setConnected(false)
		closeClient()
	}, true
}

func (n *Node) setConnected(is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.connected = is
}

// Trouble is what each task of Run last failed with and has not yet got right: connect, follow, announce, lead, heat.
func (n *Node) Trouble() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []error
	for _, task := range []string{"connect", "follow", "announce", "lead", "heat"} {
		if err := n.mu.trouble[task]; err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Announced says whether this node is a member in etcd now, as far as it knows.
func (n *Node) Announced() bool { return n.announced.Load() }

// trouble notes what a task failed with, or that it is well again (nil). It tells whether that is news.
func (n *Node) trouble(task string, err error) (news bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.mu.trouble[task]
	n.mu.trouble[task] = err
	return (before == nil) != (err == nil)
}

// well notes that a task works.
func (n *Node) well(task string) {
	if n.trouble(task, nil) {
		n.o.Log.Info().Str("task", task).Msg("etcd answers again")
	}
}

// The pauses of again, and how often it repeats itself in the log.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
	sayAgain   = time.Minute
)

// again runs f until it returns nil or the context ends, with pauses that grow while it fails.
func (n *Node) again(ctx context.Context, what string, f func(ctx context.Context) error) error {
	var said time.Time
	for pause := firstPause; ; {
		began := time.Now()
		err := f(ctx)
		if err == nil {
			n.well(what)
		}
		if ctx.Err() != nil || err == nil {
			return nil
		}
		if news := n.trouble(what, err); news || time.Since(said) > sayAgain {
			said = time.Now()
			n.say(what, err)
		}
		switch {
		case errors.Is(err, ErrNameTaken):
			pause = n.o.TTL // until its lease has ended, if it is gone
		case time.Since(began) > 10*time.Second:
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (n *Node) say(what string, err error) {
	if errors.Is(err, ErrNameTaken) {
		n.o.Log.Error().Err(err).Str("task", what).Msg("this sidecar is no member of the ring until the other one goes, or one of them gets another name; reads are not affected")
		return
	}
	n.o.Log.Warn().Err(err).Str("task", what).Msg("etcd did not answer or said no; the last epoch stays in force")
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
	n.well("follow")
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
	n.announceEpoch()
	return nil
}

// announceEpoch wakes who waits for another epoch.
func (n *Node) announceEpoch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
}
