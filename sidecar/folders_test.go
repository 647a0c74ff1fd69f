package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// aSecond gives every answer an age of a second.
func aSecond(o *sidecar.Options, _ *cache.Options) {
	o.Rules = []freshness.Rule{{Path: "**", MaxAge: time.Second}}
}

// prestoAsks is what Presto 0.287 asks the store for, planning a query over a Delta table (itest): folders by three questions, the log by a listing, files.
func (r *rig) prestoAsks(table string) (names []string) {
	ctx := r.t.Context()
	missing := func(path string) {
		r.t.Helper()
		if _, err := r.Stat(ctx, "lake", path); !errors.Is(err, origin.ErrNotFound) {
			r.t.Errorf("stat of %s: %v", path, err)
		}
	}
	folder := func(path string) {
		missing(path)
		missing(path + "/")
		first, err := r.List(ctx, "lake", origin.ListRequest{Prefix: path + "/", Delimiter: "/", MaxKeys: 1})
		if err != nil || len(first.Entries)+len(first.CommonPrefixes) != 1 || first.NextToken == "" {
			r.t.Errorf("the first name in %s: %v, %v", path, first, err)
		}
		rest, err := r.List(ctx, "lake", origin.ListRequest{Prefix: path + "/", Delimiter: "/", MaxKeys: 1, Token: first.NextToken})
		if err != nil || len(rest.Entries)+len(rest.CommonPrefixes) == 0 {
			r.t.Errorf("what follows in %s: %v, %v", path, rest, err)
		}
	}
	for range 3 {
		folder(table)
		r.want(table+"/_delta_log/_last_checkpoint", []byte("3"), 0, -1, 0)
		folder(table + "/_delta_log")
		l, err := r.List(ctx, "lake", origin.ListRequest{Prefix: table + "/_delta_log/", Delimiter: "/", MaxKeys: 1000})
		if err != nil {
			r.t.Error(err)
		}
		names = nil
		for _, e := range l.Entries {
			names = append(names, e.Path)
		}
		r.want(table+"/_delta_log/00000000000000000003.json", []byte("commit"), 0, -1, 0)
	}
	return names
}

func deltaTable(store *mem.Origin, table string) {
	store.Put(table+"/_delta_log/_last_checkpoint", []byte("3"))
	for i := range 4 {
		store.Put(fmt.Sprintf("%s/_delta_log/%020d.json", table, i), []byte("commit"))
	}
	store.Put(table+"/part-0.parquet", []byte("data"))
}

// All that an engine asks about a table's folders is answered by three requests a second: one for the table's path as a file, and a listing of each of its two folders.
// At 0 each question is asked. A commit that comes behind the sidecar's back is seen within a second.
func TestListingsOfFoldersAnswerForWhatIsInThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, aSecond)
		deltaTable(r.store, "t")
		r.prestoAsks("t")
		r.calls()
		<-time.After(2 * time.Second)
		r.prestoAsks("t")
		r.wantCalls("a second run", "list:2 stat:1")
		<-time.After(999 * time.Millisecond)
		r.store.Put("t/_delta_log/00000000000000000004.json", []byte("new"))
		r.prestoAsks("t")
		r.wantCalls("within the second", "")
		<-time.After(2 * time.Millisecond)
		if names := r.prestoAsks("t"); !slices.Contains(names, "t/_delta_log/00000000000000000004.json") {
			t.Errorf("a second later the commit is not there: %v", names)
		}
		r.wantCalls("after the second", "list:2 stat:1")
	})
}

func TestAtZeroEachQuestionIsAsked(t *testing.T) {
	r := newRig(t, 1)
	deltaTable(r.store, "t")
	r.prestoAsks("t")
	r.calls()
	r.prestoAsks("t")
	r.wantCalls("at 0", "list:15 stat:15")
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

// What was written through a door, or said to have been, is seen at once, whatever listing knew better.
func TestWritesOvertakeListingsOfTheirFolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, aSecond)
		deltaTable(r.store, "t")
		r.prestoAsks("t")
		const next = "t/_delta_log/00000000000000000004.json"
		if _, err := r.Stat(t.Context(), "lake", next); !errors.Is(err, origin.ErrNotFound) {
			t.Error(err)
		}
		r.store.Put(next, []byte("commit"))
		if err := r.Invalidate("lake", next, false); err != nil {
			t.Error(err)
		}
		if names := r.prestoAsks("t"); !slices.Contains(names, next) {
			t.Errorf("the commit is not listed: %v", names)
		}
		if _, err := r.Stat(t.Context(), "lake", next); err != nil {
			t.Error(err)
		}
	})
}

// What was heard of a file later than its folder's listing is believed before it: here by a listing of another kind.
func TestWhatWasHeardLaterIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
			o.Rules = []freshness.Rule{{Path: "**", Answers: []freshness.Kind{freshness.Listing, freshness.NotFound}, MaxAge: time.Second}, {Path: "**"}}
		})
		deltaTable(r.store, "t")
		const next = "t/_delta_log/00000000000000000004.json"
		list := func(delimiter string) {
			if _, err := r.List(t.Context(), "lake", origin.ListRequest{Prefix: "t/_delta_log/", Delimiter: delimiter, MaxKeys: 1000}); err != nil {
				t.Error(err)
			}
		}
		list("/")
		<-time.After(time.Millisecond)
		r.store.Put(next, []byte("commit"))
		if _, err := r.Stat(t.Context(), "lake", next); !errors.Is(err, origin.ErrNotFound) {
			t.Errorf("within the second: %v", err)
		}
		<-time.After(time.Millisecond)
		list("-")
		if _, err := r.Stat(t.Context(), "lake", next); err != nil {
			t.Errorf("after a listing that names it: %v", err)
		}
	})
}

// state is what a store held from a time on: versions by path.
type state struct {
	from  time.Time
	files map[string]string
}

// asker asks a sidecar at random, and knows what its store has held.
type asker struct {
	*rig
	seed   uint64
	rng    *rand.Rand
	states []state
}

// Random questions in random order, with writes of others between them: every answer is the store's at some time of the last second.
func TestRandomQuestionsAreAnsweredFromTheLastSecond(t *testing.T) {
	seed := rand.Uint64()
	synctest.Test(t, func(t *testing.T) {
		a := &asker{rig: newRig(t, seed, aSecond), seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), states: []state{{time.Now(), map[string]string{}}}}
		for range 3000 {
			switch a.rng.IntN(8) {
			case 0, 1:
				a.write()
			case 2:
				<-time.After(time.Duration(a.rng.IntN(1200)) * time.Millisecond)
			case 3, 4:
				a.stat()
			default:
				a.page()
			}
		}
	})
}

// path is a random one of few, some of which are folders by their names.
func (a *asker) path() string {
	var p []string
	for range 1 + a.rng.IntN(3) {
		p = append(p, []string{"a", "b", "_delta_log", "c"}[a.rng.IntN(4)])
	}
	return strings.Join(p, "/") + []string{"", "", "", "/"}[a.rng.IntN(4)]
}

// possible reports an answer that was at no time of the last second the right one.
func (a *asker) possible(what string, matches func(map[string]string) bool) {
	a.t.Helper()
	since := time.Now().Add(-time.Second)
	for i := len(a.states) - 1; i >= 0; i-- {
		if matches(a.states[i].files) {
			return
		}
		if !a.states[i].from.After(since) {
			break
		}
	}
	a.t.Errorf("seed %d: %s was not so within the last second", a.seed, what)
}

// write changes a file past the sidecar, and tells it of one in three: that one is then what it is.
func (a *asker) write() {
	p, files := a.path(), maps.Clone(a.states[len(a.states)-1].files)
	if _, is := files[p]; is && a.rng.IntN(2) == 0 {
		delete(files, p)
		a.store.Delete(p)
	} else {
		files[p] = string(a.store.Put(p, fmt.Append(nil, a.rng.Uint64())).Version)
	}
	a.states = append(a.states, state{time.Now(), files})
	if a.rng.IntN(3) > 0 {
		return
	}
	if err := a.Invalidate("lake", p, false); err != nil {
		a.t.Fatal(err)
	}
	obj, err := a.Stat(a.t.Context(), "lake", p)
	if want, is := files[p]; is && (err != nil || string(obj.Version) != want) || !is && !errors.Is(err, origin.ErrNotFound) {
		a.t.Errorf("seed %d: %s after its fence: %v, %v, want %q", a.seed, p, obj.Version, err, want)
	}
}

func (a *asker) stat() {
	p := a.path()
	obj, err := a.Stat(a.t.Context(), "lake", p)
	if err != nil && !errors.Is(err, origin.ErrNotFound) {
		a.t.Fatal(err)
	}
	a.possible(fmt.Sprintf("stat of %q, %q, %v", p, obj.Version, err), func(files map[string]string) bool {
		v, is := files[p]
		return is == (err == nil) && v == string(obj.Version)
	})
}

// page asks for a page of a random listing, and for the one after it.
func (a *asker) page() {
	req := origin.ListRequest{Prefix: strings.TrimSuffix(a.path(), "b"), Delimiter: []string{"/", "/", ""}[a.rng.IntN(3)], MaxKeys: []int{0, 1000, 1, 2}[a.rng.IntN(4)]}
	if a.rng.IntN(3) == 0 {
		req.StartAfter = req.Prefix + a.path()
	}
	first := a.compare(req, req)
	if first.NextToken == "" {
		return
	}
	next := req
	next.Token = first.NextToken
	req.StartAfter = last(first)
	if strings.HasSuffix(req.StartAfter, "/") && len(first.CommonPrefixes) > 0 {
		req.StartAfter += "\U0010FFFF" // nothing below it
	}
	a.compare(next, req)
}

// compare asks for a page, which is to be what a store answers to the same question without a token.
func (a *asker) compare(req, same origin.ListRequest) origin.Listing {
	l, err := a.List(a.t.Context(), "lake", req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.possible(fmt.Sprintf("%+v: %s", req, spell(l)), func(files map[string]string) bool {
		store := mem.New("lake")
		for p := range files {
			store.Put(p, nil)
		}
		want, err := store.List(context.Background(), same)
		return err == nil && spell(want) == spell(l)
	})
	return l
}

// spell is the names of a page, and whether another one follows.
func spell(l origin.Listing) string {
	var names []string
	for _, e := range l.Entries {
		names = append(names, e.Path)
	}
	return fmt.Sprintf("%q %q %t", names, l.CommonPrefixes, l.NextToken != "")
}

func last(l origin.Listing) (name string) {
	for _, e := range l.Entries {
		name = max(name, e.Path)
	}
	for _, p := range l.CommonPrefixes {
		name = max(name, p)
	}
	return name
}
