package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// catcher is a fleet that remembers which mount it was asked about.
type catcher struct{ at sidecar.Place }

func (c *catcher) Read(ctx context.Context, _ sidecar.Place, _ *origin.Object, off, n int64, own sidecar.Own) (io.ReadCloser, error) {
	return own(ctx, off, n)
}
func (c *catcher) Object(_ context.Context, at sidecar.Place, _ string) (a freshness.Answer[origin.Object], ok bool) {
	c.at = at
	return a, false
}
func (c *catcher) Listing(context.Context, sidecar.Place, origin.ListRequest) (a freshness.Answer[origin.Listing], ok bool) {
	return a, false
}
func (c *catcher) Tell(sidecar.Place, []sidecar.Told)          {}
func (c *catcher) Fence(sidecar.Place, string, bool, []string) {}
func (c *catcher) TellListing(sidecar.Place, origin.ListRequest, origin.Listing, time.Time) {
}

// TestOneListTellsAll: one sidecar lists a folder, and from then on none of them asks the origin about a file in it, whether it reads or wants the
// status with what a listing tells; also where listings and not-found have ages, those are answered from what one was told.
func TestOneListTellsAll(t *testing.T) {
	f := newFleet(t, 3, func(_ int, o *nodeOptions) { o.sidecar.Rules = []freshness.Rule{{Path: "**", MaxAge: time.Minute}} })
	for _, name := range []string{"t/a.bin", "t/b.bin", "t/c.bin"} {
		f.store.Put(name, noise(1, 1000))
	}
	first := f.nodes[0]
	if first.tellsNobody("t/a.bin") { // it is the home itself: let another one list
		first = f.nodes[1]
	}
	req := origin.ListRequest{Prefix: "t/", Delimiter: "/"}
	_, err := first.List(t.Context(), "lake", req)
	need(t, err)
	if _, err := first.Stat(t.Context(), "lake", "t/nothing"); !errors.Is(err, origin.ErrNotFound) {
		t.Fatal(err)
	}
	// The listing tells that there is no t/nothing, too.
	until(t, "the news has been told", func() bool { return first.count(t, "alio_peer_told_total") >= 4 })
	for _, x := range f.nodes {
		x.origin.Forget()
		l, err := x.List(t.Context(), "lake", req)
		need(t, err)
		if len(l.Entries) != 3 || l.Entries[1].Path != "t/b.bin" || l.Entries[1].Size != 1000 {
			t.Errorf("%s lists %+v", x.name, l)
		}
		for _, e := range l.Entries {
			found, err := x.LocateWhole(t.Context(), "lake", e.Path, "", 0)
			if err != nil || found.Object.Version != e.Version {
				t.Errorf("%s: %v, %+v", x.name, err, found.Object)
			}
		}
		if _, err := x.Stat(t.Context(), "lake", "t/nothing"); !errors.Is(err, origin.ErrNotFound) {
			t.Errorf("%s: %v", x.name, err)
		}
		stats, lists := x.origin.Calls(origintest.OpStat), x.origin.Calls(origintest.OpList)
		if len(stats)+len(lists) > 0 {
			t.Errorf("%s asked the origin: %+v %+v", x.name, stats, lists)
		}
	}
}

// TestPagesOfLargeFolders: a page after a common prefix, by a client that wants it only once, is a page like others to peers.
func TestPagesOfLargeFolders(t *testing.T) {
	f := newFleet(t, 3, func(_ int, o *nodeOptions) { o.sidecar.Rules = []freshness.Rule{{Path: "**", MaxAge: time.Minute}} })
	for i := range 1100 {
		f.store.Put(fmt.Sprintf("t/d%04d/x", i), []byte("x"))
	}
	req := origin.ListRequest{Prefix: "t/", Delimiter: "/", StartAfter: "t/d1050/", Folded: true, MaxKeys: 10}
	first := f.nodes[0]
	if first.tellsNobody("t/x") { // it is the home itself: let another one list
		first = f.nodes[1]
	}
	_, err := first.List(t.Context(), "lake", req)
	need(t, err)
	until(t, "the pages have been told", func() bool { return first.count(t, "alio_peer_told_total") >= 2 }) // the folder's first, and what was asked for
	for _, x := range f.nodes {
		l, err := x.List(t.Context(), "lake", req)
		need(t, err)
		if len(l.CommonPrefixes) == 0 || l.CommonPrefixes[0] != "t/d1051/" {
			t.Errorf("%s lists %v", x.name, l.CommonPrefixes)
		}
		if n := x.count(t, "alio_peer_facts_total", "about", "listing", "result", factFailed); n > 0 {
			t.Errorf("%s: %v answers of peers were not understood", x.name, n)
		}
		if trouble := x.peers.Trouble(); len(trouble) > 0 {
			t.Errorf("%s: %v", x.name, trouble)
		}
	}
}

// TestAgesAdd: an answer that has gone through other sidecars is as old as its way is long: none is taken beyond max_age, and none from before a fence.
func TestAgesAdd(t *testing.T) {
	const maxAge = 400 * time.Millisecond
	f := newFleet(t, 3, func(_ int, o *nodeOptions) { o.sidecar.Rules = ages(maxAge) })
	path := f.owned(f.nodes[0], 0)
	f.store.Put(path, noise(1, 1000))
	replaced := time.Time{}
	version := map[origin.Version]time.Time{} // when another took its place
	old, err := f.nodes[0].Stat(t.Context(), "lake", path)
	need(t, err)
	asked := 0
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if time.Since(replaced) > 150*time.Millisecond {
			now := f.store.Put(path, noise(uint64(asked), 1000))
			replaced = time.Now()
			version[old.Version], old = replaced, now
		}
		for _, x := range f.nodes {
			began := time.Now()
			got, err := x.Stat(t.Context(), "lake", path)
			need(t, err)
			asked++
			if gone, ok := version[got.Version]; ok && began.Sub(gone) > maxAge {
				t.Fatalf("%s answers a version that was replaced %v before", x.name, began.Sub(gone))
			}
		}
	}
	calls, shared := 0, 0.0
	for _, x := range f.nodes {
		calls += len(x.origin.Calls(""))
		shared += x.count(t, "alio_peer_facts_total", "result", "known")
	}
	if calls > 12 || shared == 0 {
		t.Errorf("%d answers in 1.5 s, %d of the origin and %v by peers", asked, calls, shared)
	}
	for _, x := range f.nodes {
		now := f.store.Put(path, noise(99, 1001))
		need(t, x.Invalidate("lake", path, false))
		if got, err := x.Stat(t.Context(), "lake", path); err != nil || got.Version != now.Version {
			t.Errorf("%s takes an answer from before its fence: %v", x.name, err)
		}
	}
}

// TestTicks: what is told is dated by the clock of who is told: older than it is at most, never younger, whatever the way took.
func TestTicks(t *testing.T) {
	c := newClock()
	for _, d := range []time.Duration{-time.Minute, -time.Millisecond, 0, time.Millisecond, time.Minute} {
		tick := tick{us: c.now().Microseconds(), came: time.Now().Add(5 * time.Millisecond)} // it was on its way for 5 ms
		sent := tick.came.Add(d)
		got := c.start.Add(time.Duration(tick.us+tick.since(sent)) * time.Microsecond)
		if late := sent.Sub(got); late < 0 || late > 5*time.Millisecond+d.Abs()/500+10*time.Microsecond {
			t.Errorf("sent %v after the tick: dated %v before it", d, late)
		}
	}
	asked := time.Now()
	if sent, err := dated(asked, -1); err != nil || asked.Sub(sent) != agesAgo {
		t.Errorf("%v, %v", sent, err)
	}
	if _, err := dated(asked, -2); !errors.Is(err, errGarbage) {
		t.Error("an age below zero is taken")
	}
}
