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
	"github.com/alio-lake/alio/origin/origintest"
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
		names = r.listAll(origin.ListRequest{Prefix: table + "/_delta_log/", Delimiter: "/", MaxKeys: 1000})
		r.want(table+"/_delta_log/00000000000000000003.json", []byte("commit"), 0, -1, 0)
	}
	return names
}

// listAll lists to the end, page by page.
func (r *rig) listAll(req origin.ListRequest) (names []string) {
	r.t.Helper()
	for {
		l, err := r.List(r.t.Context(), "lake", req)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range l.Entries {
			names = append(names, e.Path)
		}
		if req.Token = l.NextToken; l.NextToken == "" {
			return names
		}
	}
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
	names  []string
	alone  int // questions that the origin was not asked for
}

// Random questions in random order, with writes of others between them: every answer is the store's at some time of the last second, be the folders of one page or of
// several.
func TestRandomQuestionsAreAnsweredFromTheLastSecond(t *testing.T) {
	for keys, names := range map[int]string{1000: "a b _delta_log c", 3: "a b _delta_log c d e f g h k"} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			seed := origintest.Seed(t)
			synctest.Test(t, func(t *testing.T) {
				a := &asker{rig: newRig(t, seed, aSecond, func(o *sidecar.Options, _ *cache.Options) {
					o.Mounts = map[string]origin.Origin{"lake": capped{o.Mounts["lake"], keys}}
				}), seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), states: []state{{time.Now(), map[string]string{}}}, names: strings.Fields(names)}
				for range 3000 {
					switch a.rng.IntN(9) {
					case 0, 1:
						a.write()
					case 2:
						<-time.After(time.Duration(a.rng.IntN(1200)) * time.Millisecond)
					case 3, 4:
						a.stat()
					case 5:
						a.folder()
					default:
						a.page()
					}
				}
				if a.alone < 200 { // of some 1,300; seeds differ
					t.Errorf("seed %d: only %d questions were answered without the origin", seed, a.alone)
				}
			})
		})
	}
}

// path is a random one of few, some of which are folders by their names.
func (a *asker) path() string {
	var p []string
	for range 1 + a.rng.IntN(3) {
		p = append(p, a.names[a.rng.IntN(len(a.names))])
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
	want, is := files[p]
	if is && (err != nil || string(obj.Version) != want) || !is && !errors.Is(err, origin.ErrNotFound) {
		a.t.Errorf("seed %d: %s after its fence: %v, %v, want %q", a.seed, p, obj.Version, err, want)
	}
	if names := a.listAll(origin.ListRequest{Prefix: p[:strings.LastIndexByte(p, '/')+1], Delimiter: "/", MaxKeys: []int{1000, 3, 2}[a.rng.IntN(3)]}); slices.Contains(names, p) != is {
		a.t.Errorf("seed %d: %s after its fence: listed %t, want %t", a.seed, p, !is, is)
	}
}

// folder lists a folder to its end, as clients do, each page of which is a page of the last second, and asks for what is in it and what is not.
func (a *asker) folder() {
	p := a.path()
	req := origin.ListRequest{Prefix: p[:strings.LastIndexByte(p, '/')+1], Delimiter: "/", MaxKeys: []int{1000, 3}[a.rng.IntN(2)]}
	for same := req; ; {
		l := a.compare(req, same)
		if l.NextToken == "" {
			break
		}
		req.Token = l.NextToken
		if same.StartAfter = last(l); strings.HasSuffix(same.StartAfter, "/") && len(l.CommonPrefixes) > 0 {
			same.StartAfter += "\U0010FFFF"
		}
	}
	for range 3 {
		a.stat()
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
	a.origin.Forget()
	l, err := a.List(a.t.Context(), "lake", req)
	if err != nil {
		a.t.Fatal(err)
	}
	n := len(l.Entries) + len(l.CommonPrefixes)
	more := l.NextToken != "" && n > 0
	if more {
		same.MaxKeys = n // a page may be shorter than what was asked for, and what follows it be gone by now
	}
	if len(a.origin.Calls("")) == 0 {
		a.alone++
	}
	a.possible(fmt.Sprintf("%+v: %s", req, spell(l)), func(files map[string]string) bool {
		store := mem.New("lake")
		for p := range files {
			store.Put(p, nil)
		}
		want, err := store.List(context.Background(), same)
		if more {
			want.NextToken = l.NextToken
		}
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
