package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// askOnce lets nothing be asked twice, so that what a reload does not drop shows.
var askOnce = []freshness.Rule{{Path: "**", MaxAge: freshness.Forever}}

// lean reads a whole object the lean way; "" if it is not to be had so.
func (r *rig) lean(name string) string {
	h := r.Hit([]byte(name), 0, 1<<20, 0, nil)
	if h == nil {
		return ""
	}
	defer h.Close()
	var b strings.Builder
	for {
		p, err := h.Next(r.t.Context())
		if err != nil {
			return b.String()
		}
		b.Write(p)
	}
}

// says reads a whole object in every way there is, and checks that all say the same.
func (r *rig) says(what, mount, path, want string) {
	r.t.Helper()
	ctx := r.t.Context()
	if got := r.lean(mount + "/" + path); got != "" && got != want {
		r.t.Fatalf("%s: a hit says %q, want %q", what, got, want)
	}
	c, err := r.Open(ctx, mount, origin.ReadRequest{Path: path, Length: origin.WholeRange}, nil)
	if err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
	got, err := io.ReadAll(c.Body)
	c.Body.Close()
	if err != nil || string(got) != want {
		r.t.Fatalf("%s: a read says %q %v, want %q", what, got, err, want)
	}
	obj, err := r.Stat(ctx, mount, path)
	found, errLocate := r.Locate(ctx, mount, path, "")
	l, errList := r.List(ctx, mount, origin.ListRequest{Prefix: path})
	if err := errors.Join(err, errLocate, errList); err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
	if n := int64(len(want)); obj.Size != n || found.Object.Size != n || len(l.Entries) != 1 || l.Entries[0].Size != n {
		r.t.Fatalf("%s: stat %d, locate %d, list %+v; want %d bytes", what, obj.Size, found.Object.Size, l.Entries, n)
	}
}

func TestReload(t *testing.T) {
	sea := mem.New("sea")
	sea.Put("x", []byte("of the sea, as it was"))
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules, o.Mounts["sea"] = askOnce, sea })
	r.store.Put("x", []byte("before"))
	r.store.Put("only/old", []byte("before"))
	for range 2 { // the second time it is a hit
		r.says("before", "lake", "x", "before")
		r.says("before", "sea", "x", "of the sea, as it was")
	}
	if r.lean("lake/x") == "" || r.lean("sea/x") == "" {
		t.Fatal("no hits: the test shows nothing")
	}
	next := mem.New("next")
	next.Put("x", []byte("afterwards"))
	if _, err := r.Stat(t.Context(), "lake", "only/new"); !errors.Is(err, origin.ErrNotFound) {
		t.Fatal(err)
	}
	next.Put("only/new", []byte("afterwards"))
	sea.Put("x", []byte("of the sea, overwritten")) // which max_age forever does not see, unless the reload drops it
	if err := r.Reload(map[string]origin.Origin{"lake": next, "sea": sea, "pond": mem.New("pond")}, askOnce); err != nil {
		t.Fatal(err)
	}
	if r.lean("lake/x") != "" {
		t.Error("a hit outlives its mount")
	}
	for range 2 {
		r.says("afterwards", "lake", "x", "afterwards")
		r.says("a mount that stays", "sea", "x", "of the sea, as it was")
	}
	if r.lean("lake/x") == "" || r.lean("sea/x") == "" {
		t.Error("no hits after a reload")
	}
	if _, err := r.Stat(t.Context(), "lake", "only/old"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("an object of the origin before: %v", err)
	}
	r.says("not found before", "lake", "only/new", "afterwards")
	if got := fmt.Sprint(r.Mounts()); got != "[lake pond sea]" {
		t.Error(got)
	}
	if err := r.Reload(map[string]origin.Origin{"sea": sea}, askOnce); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Stat(t.Context(), "lake", "x"); !errors.Is(err, origin.ErrUnknownMount) || r.lean("lake/x") != "" {
		t.Errorf("a mount that is gone: %v", err)
	}
	if st := r.Status(); st.Objects != 1 || st.Listings != 1 { // those of the sea
		t.Errorf("what is known of mounts that are gone still takes memory: %+v", st)
	}
}

// TestReloadToAnotherViewOfTheSameOrigin has an origin of the same id, as after a change of credentials: what was believed is dropped all the same.
func TestReloadToAnotherViewOfTheSameOrigin(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules = askOnce })
	r.store.Put("x", []byte("before"))
	for range 2 {
		r.says("before", "lake", "x", "before")
	}
	again := mem.New("lake")
	if again.ID() != r.store.ID() {
		t.Fatal("not the same id: the test shows nothing")
	}
	again.Put("x", []byte("afterwards"))
	if err := r.Reload(map[string]origin.Origin{"lake": again}, askOnce); err != nil {
		t.Fatal(err)
	}
	r.says("afterwards", "lake", "x", "afterwards")
}

// TestReloadDropsWhatIsKept has a store beyond memory: what a listing has told goes there only, and is not found again by the mount that takes the name,
// though it is of the same origin.
func TestReloadDropsWhatIsKept(t *testing.T) {
	kept := metadataStore(t, t.TempDir())
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules, o.Metadata = askOnce, kept })
	r.store.Put("d/listed", []byte("before"))
	r.list("d/")
	again := mem.New("lake")
	again.Put("d/listed", []byte("afterwards"))
	if err := r.Reload(map[string]origin.Origin{"lake": again}, askOnce); err != nil {
		t.Fatal(err)
	}
	found, err := r.Locate(t.Context(), "lake", "d/listed", "") // which asks for no attributes, and reads nothing of a file so small
	if err != nil || found.Object.Size != int64(len("afterwards")) {
		t.Errorf("%+v %v", found.Object, err)
	}
	r.says("afterwards", "lake", "d/listed", "afterwards")
	r.list("d/")
	if err := r.Reload(map[string]origin.Origin{"lake": again}, nil); err != nil { // the same: other rules only
		t.Fatal(err)
	}
	r.says("a mount that stays", "lake", "d/listed", "afterwards")
}

func TestReloadThatIsFaultyChangesNothing(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules = askOnce })
	r.store.Put("x", []byte("as it was"))
	r.says("before", "lake", "x", "as it was")
	other := mem.New("other")
	for _, err := range []error{
		r.Reload(nil, nil),
		r.Reload(map[string]origin.Origin{"lake": other, "a/b": other}, nil),
		r.Reload(map[string]origin.Origin{"lake": other}, []freshness.Rule{{MaxAge: -1}}),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
	r.calls()
	r.says("afterwards", "lake", "x", "as it was")
	r.wantCalls("a reload that failed", "")
}

func TestReloadOfTheRules(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules = askOnce })
	r.store.Put("x", []byte("before"))
	for range 2 {
		r.says("before", "lake", "x", "before")
	}
	r.store.Put("x", []byte("afterwards"))
	if err := r.Reload(map[string]origin.Origin{"lake": r.origin}, []freshness.Rule{{Path: "**", MaxAge: 0}}); err != nil {
		t.Fatal(err)
	}
	if r.lean("lake/x") != "" {
		t.Error("a hit by the rules before")
	}
	r.says("the rule is to ask every time", "lake", "x", "afterwards")
}

// What was asked of an origin before a reload comes after it, and is neither believed nor shared with those who came later.
func TestAnswersThatOutliveTheirMount(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.Rules = askOnce })
	r.store.Put("x", []byte("before"))
	release := make(chan struct{})
	held := make(chan struct{}, 8)
	slow := &gated{Origin: r.origin, held: held, release: release}
	if err := r.Reload(map[string]origin.Origin{"lake": slow}, askOnce); err != nil {
		t.Fatal(err)
	}
	var late sync.WaitGroup
	for _, ask := range []func() error{
		func() error { _, err := r.Stat(t.Context(), "lake", "x"); return err },
		func() error { _, _, err := r.read("x", 0, origin.WholeRange, 0); return err },
		func() error { _, err := r.List(t.Context(), "lake", origin.ListRequest{}); return err },
	} {
		late.Go(func() {
			if err := ask(); err != nil {
				t.Errorf("a request that was under way: %v", err)
			}
		})
	}
	<-held
	<-held
	next := mem.New("next")
	next.Put("x", []byte("afterwards"))
	if err := r.Reload(map[string]origin.Origin{"lake": next}, askOnce); err != nil {
		t.Fatal(err)
	}
	r.says("while the old ones are held up", "lake", "x", "afterwards")
	close(release)
	late.Wait()
	r.says("when they have come", "lake", "x", "afterwards")
	r.says("when they have come", "lake", "x", "afterwards")
}

// TestRequestsThatAreSentAfterTheirMount has a reader that began before a reload and asks the old origin afterwards, too: what it hears is believed of nothing.
func TestRequestsThatAreSentAfterTheirMount(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, c *cache.Options) {
		o.Rules, o.FillSpan, o.RunMemory, c.FillSpan = askOnce, 1<<20, 1<<20, 1<<20
	})
	r.store.Put("x", make([]byte, 8<<20))
	c, err := r.Open(t.Context(), "lake", origin.ReadRequest{Path: "x", Length: origin.WholeRange}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Body.Close()
	next := mem.New("next")
	next.Put("x", []byte("afterwards"))
	if err := r.Reload(map[string]origin.Origin{"lake": next}, askOnce); err != nil {
		t.Fatal(err)
	}
	r.calls()
	if n, err := io.Copy(io.Discard, c.Body); err != nil || n != 8<<20 {
		t.Errorf("the reader that was under way: %d bytes, %v", n, err)
	}
	if r.calls() == "" {
		t.Error("the old origin was not asked any more: the test shows nothing")
	}
	if obj, err := r.Stat(t.Context(), "lake", "x"); err != nil || obj.Size != int64(len("afterwards")) {
		t.Errorf("%+v %v", obj, err)
	}
	r.says("afterwards", "lake", "x", "afterwards")
}

// gated holds up what it is asked until it is released.
type gated struct {
	origin.Origin
	held    chan struct{}
	release chan struct{}
}

func (g *gated) wait() { g.held <- struct{}{}; <-g.release }

func (g *gated) Stat(ctx context.Context, path string) (origin.Object, error) {
	defer g.wait() // what is answered is what was there before
	return g.Origin.Stat(ctx, path)
}

func (g *gated) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	defer g.wait()
	return g.Origin.Read(ctx, req)
}

func (g *gated) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	defer g.wait()
	return g.Origin.List(ctx, req)
}

// TestReadersDuringReloads has readers that never stop while one mount changes its origin again and again: whoever begins after a reload sees the
// origin that it has brought.
func TestReadersDuringReloads(t *testing.T) {
	r := newRig(t, origintest.Seed(t), func(o *sidecar.Options, _ *cache.Options) { o.Rules = askOnce })
	stores := []*mem.Origin{mem.New("a"), mem.New("b")}
	for i, s := range stores {
		s.Put("x", []byte(strings.Repeat("ab"[i:i+1], 1000+i)))
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	if err := r.Reload(map[string]origin.Origin{"lake": stores[1]}, askOnce); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				if got, _, err := r.read("x", 0, origin.WholeRange, 0); err != nil || len(got) < 1000 {
					t.Errorf("%d bytes, %v", len(got), err)
					return
				}
				r.lean("lake/x")
			}
		})
	}
	for i := range 300 {
		if err := r.Reload(map[string]origin.Origin{"lake": stores[i%2]}, askOnce); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r.says(fmt.Sprintf("reload %d", i), "lake", "x", strings.Repeat("ab"[i%2:i%2+1], 1000+i%2))
		}
	}
	stop.Store(true)
	readers.Wait()
}
