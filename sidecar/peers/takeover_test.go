package peers

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
)

// filled puts n files of a size, each read by its owner, and ages answers for an hour.
func (f *fleet) filled(n, size int) map[string][]byte {
	f.t.Helper()
	all := map[string][]byte{}
	for i := range n {
		path, data := fmt.Sprintf("x/%d.bin", i), noise(uint64(i), size)
		all[path] = data
		f.store.Put(path, data)
		f.mustRead(f.owner(path), path, data, 0, int64(size))
	}
	return all
}

// hour lets answers about objects be an hour old.
func hour(_ int, o *nodeOptions) { o.sidecar.Rules = ages(time.Hour) }

// pulled waits until a node has taken over what it is owed.
func (f *fleet) pulled(x *node, least int) {
	f.t.Helper()
	until(f.t, fmt.Sprintf("%s has pulled %d pages", x.name, least), func() bool {
		return x.count(f.t, "alio_peer_pulled_pages_total") >= float64(least) && x.peers.Pull().State == "idle"
	})
}

// drain has a member own nothing any more.
func (f *fleet) drain(x *node) {
	m := f.member(x)
	m.Draining = true
	f.source.apply(f.t, ring.Change{Update: []ring.Member{m}})
}

// served reads all files of a node through it: nothing of them comes from its origin, of any kind.
func (f *fleet) served(x *node, all map[string][]byte) (files int) {
	f.t.Helper()
	x.origin.Forget()
	for path, data := range all {
		if f.owner(path) == x {
			files++
			f.mustRead(x, path, data, 0, int64(len(data)))
		}
	}
	if calls := x.origin.Calls(""); len(calls) > 0 {
		f.t.Errorf("%s asked the origin %d times for what it has pulled: %+v", x.name, len(calls), calls[0])
	}
	return files
}

// TestTakeover: a third member joins, and has its share of what the others hold before any reader asks it; then one of the others drains, and the two that are left have its share, and serve it
// when it is gone. No origin is asked for any of it.
func TestTakeover(t *testing.T) {
	f := newFleet(t, 2, hour)
	all := f.filled(60, 300<<10)
	third := f.add(2, hour)
	mine := 0
	for path := range all {
		if f.owner(path) == third {
			mine++
		}
	}
	f.pulled(third, 2*mine) // a page of the grid and the tail
	if got := third.count(t, "alio_peer_pulled_bytes_total"); got != float64(mine*300<<10) {
		t.Errorf("of %d files %v bytes were pulled", mine, got)
	}
	if calls := third.origin.Calls(""); len(calls) > 0 {
		t.Errorf("the origin was asked: %+v", calls[0])
	}
	before := third.count(t, "alio_peer_reads_total")
	if n := f.served(third, all); n < 5 {
		t.Errorf("%d files moved", n)
	}
	if got := third.count(t, "alio_peer_reads_total"); got != before {
		t.Errorf("readers asked peers %v times for what had been pulled", got-before)
	}

	first := f.nodes[0]
	had := map[string][]byte{}
	for path, data := range all {
		if f.owner(path) == first {
			had[path] = data
		}
	}
	f.drain(first)
	lacks := func(x *node) (n int) {
		for path := range had {
			if f.owner(path) == x && x.heard(path) == nil {
				n++
			}
		}
		return n
	}
	until(t, "the two have the draining one's share", func() bool { return lacks(f.nodes[1]) == 0 && lacks(third) == 0 })
	f.pulled(f.nodes[1], 1)
	f.pulled(third, 1)
	if bytes, _ := first.server.Given(); bytes < int64(len(had)*300<<10) {
		t.Errorf("%d files were given, and %d bytes of them", len(had), bytes)
	}
	f.source.apply(t, ring.Change{Leave: []string{first.name}})
	if n := f.served(f.nodes[1], had) + f.served(third, had); n != len(had) || n < 5 {
		t.Errorf("%d of %d files were served", n, len(had))
	}
}

// named is the node of a name.
func (f *fleet) named(name string) *node {
	return f.nodes[slices.IndexFunc(f.nodes, func(x *node) bool { return x.name == name })]
}

// heard is what a node knows of a path.
func (x *node) heard(path string) *origin.Object {
	a, ok := x.HeardObject(x.Places()[0], path)
	if !ok || a.Err != nil {
		return nil
	}
	return &a.Value
}

// owes is what a newcomer is owed: a member that pulls nothing by itself.
func (f *fleet) owes(change func(i int, o *nodeOptions)) (x *node, t *takeover, o *owed) {
	before := f.source.Epoch()
	x = f.add(len(f.nodes), func(i int, o *nodeOptions) {
		o.onDemand = true
		if change != nil {
			change(i, o)
		}
	})
	return x, newTakeover(x.peers, x.Sidecar), (&owed{}).after(before, f.source.Epoch(), x.name)
}

// TestHottestFirst: what readers came back to is named first, whichever member has it; what is too much is the coldest, and of that what was asked for longest ago.
func TestHottestFirst(t *testing.T) {
	f := newFleet(t, 2, hour)
	all := f.filled(60, 300<<10)
	hot, last := map[string]bool{}, ""
	before := f.source.Epoch()
	third, take, o := f.owes(nil)
	paths := slices.Sorted(func(yield func(string) bool) {
		for path := range all {
			if f.owner(path) == third && !yield(path) {
				return
			}
		}
	})
	was := func(path string) *node {
		key, err := before.Key(ring.Split{Mount: "lake", Path: path})
		need(t, err)
		return f.named(firstOwner(before, key))
	}
	for i, path := range paths {
		if i%3 == 0 {
			hot[path] = true
			for range 3 {
				f.mustRead(was(path), path, all[path], 0, 300<<10)
			}
		}
		last = path
	}
	f.mustRead(was(last), last, all[last], 0, 1000) // of one page
	runs := take.ask(t.Context(), f.source.Epoch(), o.members())
	seen := 0
	for i, r := range runs {
		is := hot[r.h.Object.Path] || r.h.Object.Path == last
		if is {
			seen++
		}
		if heat := r.pages[0].Heat; i > 0 && heat > runs[i-1].pages[0].Heat || hot[r.h.Object.Path] != (heat == cache.HeatOften) && r.h.Object.Path != last {
			t.Errorf("run %d is of %s with heat %d", i, r.h.Object.Path, heat)
		}
	}
	if len(runs) < len(paths) || seen < len(hot) {
		t.Errorf("%d runs of %d files, %d of the hot ones", len(runs), len(paths), len(hot))
	}
	for name, share := range o.members() { // three pages: of the hot ones
		m := third.peers.find(f.member(f.named(name)))
		for _, r := range take.askOne(t.Context(), m, holdingsRequest(f.source.Epoch(), share, third.Places(), 3), third.Places()) {
			if r.pages[0].Heat == cache.HeatNone {
				t.Errorf("of the three hottest pages of %s one is of %s, which nobody came back to", name, r.h.Object.Path)
			}
		}
	}
}

// stub is a Taker that takes at once.
type stub struct {
	took   func(n int64)
	busy   atomic.Bool
	forget bool
}

func (s *stub) Places() []sidecar.Place { return nil }
func (s *stub) Take(_ context.Context, _ sidecar.Place, _ *origin.Object, pages []sidecar.HeldPage, _ sidecar.Own) ([]cache.Key, int64, error) {
	n := pages[len(pages)-1].End - pages[0].Start
	s.took(n)
	return make([]cache.Key, len(pages)), n, nil
}
func (s *stub) Lacks(_ *origin.Object, pages []sidecar.HeldPage) int64 {
	return pages[len(pages)-1].End - pages[0].Start
}
func (s *stub) Has(cache.Key) bool                 { return !s.forget }
func (s *stub) Idle(sidecar.Place, string) bool    { return !s.busy.Load() }
func (s *stub) Hear(sidecar.Place, []sidecar.Told) {}

// manyRuns are runs of a MiB.
func manyRuns(n int) (runs []run) {
	for range n {
		runs = append(runs, run{h: &sidecar.Holding{}, pages: []sidecar.HeldPage{{End: 512 << 10}, {Start: 512 << 10, End: 1 << 20}}})
	}
	return runs
}

// stubbed is a takeover into a stub.
func stubbed(t *testing.T, s *stub, rate int64) (*takeover, *Peers) {
	e, err := ring.New(ring.Settings{})
	need(t, err)
	p, err := New(Options{Self: "a", Source: &epochs{now: e, changed: make(chan struct{})}, Identity: newAuthority(t).identity(t, "a"), PullRate: rate})
	need(t, err)
	t.Cleanup(func() { need(t, p.Close()) })
	return newTakeover(p, s), p
}

// TestTakeoverRate: at no time has more been pulled than the rate allows and a tenth of a second of it, or one page; and nothing at all is while readers take the room.
func TestTakeoverRate(t *testing.T) {
	for _, rate := range []int64{1 << 20, 10 << 20, 64 << 20} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var sum atomic.Int64
			s := &stub{}
			s.took = func(n int64) {
				if most := int64(time.Since(began).Seconds()*float64(rate)) + max(rate/10, 1<<20) + 1; sum.Add(n) > most {
					t.Errorf("%d bytes after %v at %d a second", sum.Load(), time.Since(began), rate)
				}
				if s.busy.Load() {
					t.Error("a page was pulled while readers took the room")
				}
			}
			take, p := stubbed(t, s, rate)
			go func() {
				sleep(t.Context(), time.Second+333*time.Nanosecond) // at no moment at which a page is taken
				s.busy.Store(true)
				sleep(t.Context(), 5*time.Second)
				s.busy.Store(false)
				p.reading.Store(p.o.InFlight)
				was := sum.Load()
				sleep(t.Context(), 5*time.Second)
				if now := sum.Load(); now > was+1<<20 {
					t.Errorf("%d bytes were pulled while readers waited for peers", now-was)
				}
				p.reading.Store(0)
			}()
			n := int(30 * rate >> 20)
			if state := take.pull(t.Context(), manyRuns(n)); state != "idle" || sum.Load() != int64(n)<<20 {
				t.Errorf("it ended %s, with %d bytes", state, sum.Load())
			}
			if took := time.Since(began); took < 29*time.Second || took > 50*time.Second {
				t.Errorf("30 seconds' worth took %v", took)
			}
		})
	}
}

// TestTakeoverFull: when what was pulled does not stay, the rest is left.
func TestTakeoverFull(t *testing.T) {
	took := 0
	take, _ := stubbed(t, &stub{took: func(int64) { took++ }, forget: true}, 1<<40)
	if state := take.pull(t.Context(), manyRuns(500)); state != "full" || took > (agingPages+goneMax)/2+1 {
		t.Errorf("it ended %s after %d runs", state, took)
	}
}

// TestTakeoverStops: another change of the ring ends what is under way, and what is owed then begins.
func TestTakeoverStops(t *testing.T) {
	f := newFleet(t, 2, hour)
	f.filled(60, 300<<10)
	slow := func(i int, o *nodeOptions) { hour(i, o); o.peers.PullRate = 1 << 20 }
	third := f.add(2, slow)
	until(t, "it has begun", func() bool { return third.count(t, "alio_peer_pulled_bytes_total") > 0 })
	if st := third.peers.Pull(); st.State != "pulling" || st.Remaining.Pages == 0 || third.count(t, "alio_peer_pull_remaining_bytes") == 0 {
		t.Errorf("it says %+v", st)
	}
	f.drain(third)
	until(t, "it has ended", func() bool { return third.peers.Pull().State == "idle" })
	if got := third.count(t, "alio_peer_pull_refused_pages_total", "reason", "changed"); got == 0 || third.peers.Pull().Remaining.Pages != 0 {
		t.Errorf("%v pages were given up, %+v", got, third.peers.Pull())
	}
	got := third.count(t, "alio_peer_pulled_bytes_total")
	m := f.member(third)
	m.Draining = false
	f.source.apply(t, ring.Change{Update: []ring.Member{m}})
	until(t, "it has begun again", func() bool { return third.count(t, "alio_peer_pulled_bytes_total") > got })
}

// TestHotPagesReplicate: who is made an owner of a hot section beside others has its pages before a reader asks.
func TestHotPagesReplicate(t *testing.T) {
	f := newFleet(t, 3, hour)
	all := f.filled(20, 300<<10)
	var c ring.Change
	for path := range all {
		key, err := f.source.Epoch().Key(ring.Split{Mount: "lake", Path: path})
		need(t, err)
		c.Hot = append(c.Hot, ring.Hot{Key: key, Owners: 3})
	}
	firsts := map[string]*node{}
	for path := range all {
		firsts[path] = f.owner(path)
	}
	for _, x := range f.nodes {
		x.origin.Forget()
	}
	f.source.apply(t, c)
	for _, x := range f.nodes {
		x.Sidecar.Close() // nothing is prefetched either
		until(t, x.name+" has the hot pages", func() bool {
			n := 0
			for path := range all {
				if firsts[path] != x {
					n += 2
				}
			}
			return x.count(t, "alio_peer_pulled_pages_total") >= float64(n)
		})
		if calls := x.origin.Calls(""); len(calls) > 0 {
			t.Errorf("%s asked its origin: %+v", x.name, calls[0])
		}
		for path, data := range all {
			f.mustRead(x, path, data, 0, int64(len(data)))
		}
		if calls := x.origin.Calls(origintest.OpRead); len(calls) > 0 {
			t.Errorf("%s read from its origin: %+v", x.name, calls[0])
		}
	}
}

// TestOwed: for many random histories, what is owed after random changes is what was owed before and is still owned, and what changed hands; partition by partition, also when the table grows.
func TestOwed(t *testing.T) {
	seed := origintest.Seed(t)
	grown := 0
	for i := range uint64(20) {
		grown += owedHistory(t, rand.New(rand.NewPCG(seed, i)))
	}
	if grown < 5 {
		t.Errorf("the table grew %d times while something was owed", grown)
	}
}

func owedHistory(t *testing.T, rng *rand.Rand) (grown int) {
	e, err := ring.New(ring.Settings{Partitions: 64, Owners: 2})
	need(t, err)
	o, want := &owed{}, map[uint64]string{} // by a key of each 1024th of all
	for step := range 60 {
		var c ring.Change
		name := fmt.Sprintf("w%d", rng.IntN(24)*rng.IntN(2))
		if at, ok := e.Find(name); !ok {
			c.Join = []ring.Member{{Name: name, Weight: 1 + rng.IntN(3), Sidecar: name + ":1"}}
		} else if m := e.Members()[at]; rng.IntN(3) > 0 {
			m.Draining, m.Excluded = rng.IntN(4) == 0, rng.IntN(6) == 0
			c.Update = []ring.Member{m}
		} else {
			c.Leave = []string{name}
		}
		next, err := e.Apply(c)
		need(t, err)
		if next.Partitions() > e.Partitions() && len(o.partitions) > 0 {
			grown++
		}
		o = o.after(e, next, "w0")
		for i := range uint64(1024) {
			key := i << 54
			was, is := firstOwner(e, key), firstOwner(next, key)
			if is == "w0" && was != "w0" && was != "" {
				want[key] = was
			}
			if at, there := next.Find(want[key]); is != "w0" || !there || next.Members()[at].Excluded {
				delete(want, key)
			}
			p := ring.Partition(key, next.Partitions())
			if o.partitions[p] != want[key] {
				t.Fatalf("step %d: partition %d of %d is owed by %q, and was %q's last", step, p, next.Partitions(), o.partitions[p], want[key])
			}
			if set := o.table > 0 && o.bits()[p/8]>>(p%8)&1 == 1; set != (want[key] != "") {
				t.Fatalf("step %d: the bit of partition %d is %v", step, p, set)
			}
		}
		sum := 0
		for _, b := range o.bits() {
			sum += bits.OnesCount8(b)
		}
		if sum != len(o.partitions) {
			t.Fatalf("%d bits for %d partitions", sum, len(o.partitions))
		}
		if e = next; rng.IntN(5) == 0 { // it came to its end
			o, want = &owed{}, map[uint64]string{}
		}
	}
	return grown
}
