package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

// capped is an origin whose pages are short: as few names as a store may answer.
type capped struct {
	origin.Origin
	keys int
}

func (o capped) Unwrap() origin.Origin { return o.Origin }

func (o capped) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	if req.MaxKeys == 0 || req.MaxKeys > o.keys {
		req.MaxKeys = o.keys
	}
	return o.Origin.List(ctx, req)
}

// A folder that does not fit into one page is not listed again and again for the sake of questions that a page does not answer.
func TestALargeFolderIsAskedAsClientsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, aSecond)
		for i := range 1500 {
			r.store.Put(fmt.Sprintf("t/_delta_log/%020d.json", i), []byte("commit"))
		}
		const next = "t/_delta_log/00000000000000001500.json"
		for i := range 3 {
			if _, err := r.Stat(t.Context(), "lake", next); !errors.Is(err, origin.ErrNotFound) {
				t.Error(err)
			}
			r.wantCalls("the next commit", []string{"stat:1", "list:1 stat:1", "stat:1"}[i]) // unknown; the folder is tried; it is known to be large
			<-time.After(2 * time.Second)
		}
		// Of what a page has not, it says nothing.
		all := origin.ListRequest{Prefix: "t/_delta_log/", Delimiter: "/", MaxKeys: 1000}
		if _, err := r.List(t.Context(), "lake", all); err != nil {
			t.Error(err)
		}
		all.StartAfter = "t/_delta_log/00000000000000000990.json"
		if l, err := r.List(t.Context(), "lake", all); err != nil || len(l.Entries) != 509 {
			t.Errorf("%d of 509 names after the 990th, %v", len(l.Entries), err)
		}
	})
}

// A log of three pages costs three listings where it has to be asked for anew, and nothing besides, since whoever reads it lists all of it. What is asked of it within a
// second is answered from these pages; and a commit through a door, which comes after all others, costs the last of them anew.
func TestALongLogCostsItsPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, aSecond)
		deltaTable(r.store, "t")
		for i := 4; i < 2500; i++ {
			r.store.Put(fmt.Sprintf("t/_delta_log/%020d.json", i), []byte("commit"))
		}
		r.prestoAsks("t")
		r.calls()
		next := fmt.Sprintf("t/_delta_log/%020d.json", 2500)
		for i := range 3 {
			<-time.After(2 * time.Second)
			if names := r.prestoAsks("t"); len(names) != 2501+i {
				t.Errorf("%d names", len(names))
			}
			if _, err := r.Stat(t.Context(), "lake", next); !errors.Is(err, origin.ErrNotFound) {
				t.Error(err)
			}
			r.wantCalls("a repeated query", "list:4 stat:1") // three of the log, one of the table's folder, and whether the table's path is a file
			if tail := r.listAll(origin.ListRequest{Prefix: "t/_delta_log/", StartAfter: fmt.Sprintf("t/_delta_log/%020d.json", 2400), MaxKeys: 1000}); len(tail) != 100+i {
				t.Errorf("%d names after the 2,400th", len(tail))
			}
			r.wantCalls("the newest commits", "")
			r.store.Put(next, []byte("commit"))
			if err := r.Invalidate("lake", next, false); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Stat(t.Context(), "lake", next); err != nil {
				t.Error(err)
			}
			r.calls()
			if names := r.prestoAsks("t"); len(names) != 2502+i || !slices.Contains(names, next) {
				t.Errorf("%d names, and the new commit among them: %t", len(names), slices.Contains(names, next))
			}
			r.wantCalls("after a commit through a door", "list:2") // the last page of the log, and the table's folder, in which the log might have come or gone
			next = fmt.Sprintf("t/_delta_log/%020d.json", 2501+i)
		}
	})
}

// A write drops a page that has fewer names than it may have, whatever its last one: it may have looked further, and the page after it would not look there again. It drops the
// one that ends with a folder in which the path lies, too.
func TestAWriteDropsPagesThatItMayBeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			keys       int
			path, want string
		}{"a full page before it": {3, "t/x", ""}, "a short page": {1000, "t/x", "list:1"}, "into its last folder": {3, "t/d/x", "list:1"}, "into the page": {3, "t/aa", "list:1"}} {
			r := newRig(t, 1, aSecond, func(o *sidecar.Options, _ *cache.Options) {
				o.Mounts = map[string]origin.Origin{"lake": capped{o.Mounts["lake"], 3}}
			})
			for _, path := range []string{"t/a", "t/b", "t/d/1", "t/e", "t/f"} {
				r.store.Put(path, nil)
			}
			first := origin.ListRequest{Prefix: "t/", Delimiter: "/", MaxKeys: c.keys}
			list := func() {
				if l, err := r.List(t.Context(), "lake", first); err != nil || l.NextToken == "" || len(l.CommonPrefixes) != 1 && c.path != "t/aa" {
					t.Errorf("%s: %v, %v", name, l, err)
				}
			}
			list()
			<-time.After(2 * time.Second)
			list() // it is known to be large: this page is as it was asked for
			r.calls()
			r.store.Put(c.path, nil)
			if err := r.Invalidate("lake", c.path, false); err != nil {
				t.Fatal(err)
			}
			list()
			r.wantCalls(name, c.want)
		}
	})
}

// Who only asks whether a commit is there has a long log listed to its end no oftener than others list it: once, here.
func TestALongLogIsNotListedForOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, aSecond)
		for i := range 2500 {
			r.store.Put(fmt.Sprintf("t/_delta_log/%020d.json", i), []byte("commit"))
		}
		r.listAll(origin.ListRequest{Prefix: "t/_delta_log/", Delimiter: "/", MaxKeys: 1000})
		r.calls()
		for i, want := range []string{"", "stat:1", "list:3", "stat:1", "stat:1"} {
			if _, err := r.Stat(t.Context(), "lake", "t/_delta_log/00000000000000002500.json"); !errors.Is(err, origin.ErrNotFound) {
				t.Error(err)
			}
			r.wantCalls(fmt.Sprint("question ", i), want)
			<-time.After(2 * time.Second)
		}
	})
}

// A folder that is more than the memory for listings can hold is asked about as clients ask, and takes no more of it.
func TestAFolderLargerThanMemoryIsAskedAsClientsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, aSecond, func(o *sidecar.Options, _ *cache.Options) { o.MetadataMemory = 4 << 20 })
		for i := range 6000 {
			r.store.Put(fmt.Sprintf("t/_delta_log/%020d.json", i), []byte("commit"))
		}
		for i := range 3 {
			if names := r.listAll(origin.ListRequest{Prefix: "t/_delta_log/", Delimiter: "/", MaxKeys: 1000}); len(names) != 6000 {
				t.Errorf("%d names", len(names))
			}
			<-time.After(2 * time.Second)
			r.calls()
			if _, err := r.Stat(t.Context(), "lake", "t/_delta_log/00000000000000006000.json"); !errors.Is(err, origin.ErrNotFound) {
				t.Error(err)
			}
			if i > 0 { // half of the memory for listings, 512 KiB, is two pages
				r.wantCalls("the next commit", "list:2 stat:1")
			}
			if st := r.Status(); st.ListingBytes > 1<<20 {
				t.Errorf("listings take %d bytes", st.ListingBytes)
			}
		}
	})
}
