package sidecar

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// aheadFile is a file of a table as its readers' next reads are fetched ahead of them. It owns the pages that were.
type aheadFile struct {
	a     *ahead
	mount string
	m     *mounted
	obj   *origin.Object
	known *prefetch.File
	more  atomic.Bool // there was no room for all that is wanted
}

// maxServing is the most pages of one read for which it is looked whether they were fetched ahead of it: more than may be ahead of all readers by default.
const maxServing = 4096

// serving is called when a read of n bytes at off is about to be served, before any of its pages is looked up.
func (a *ahead) serving(ctx context.Context, obj *origin.Object, off, n int64) {
	if n = min(n, obj.Settled()-off); a.ledger.Empty() || obj.Version == "" || n <= 0 {
		return
	}
	layout, ok := a.s.known(ctx, obj)
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	view, err := cache.NewView(obj, layout)
	if err != nil {
		return
	}
	for at, left := off, maxServing; at < off+n && left > 0; left-- {
		p, err := view.PageAt(at)
		if err != nil {
			return
		}
		if a.ledger.Watches((*prefetch.Key)(&p.Key)) {
			a.ledger.Touch(prefetch.Key(p.Key), a.s.opts.Pages.Has(p.Key))
		}
		at = p.End
	}
}

// maxFooters is the most footers of stripes that are fetched at once ahead of an ORC file's reader, who needs one after the other.
const maxFooters = 4

// served is called when a read is under way, and what is known of its object's layout is known. The file that it returns, if any, is one of which more is to be found once the
// read has ended.
func (a *ahead) served(mount string, m *mounted, obj *origin.Object, off, n int64) *aheadFile {
	if a.mode(mount, obj.Path) < prefetch.On || obj.Version == "" || obj.Unfinished() || obj.Size <= formats.SmallObject || formats.ClassOf(obj.Path) != formats.Other {
		return nil
	}
	if a.s.rules().MaxAge(mount, obj.Path, freshness.Object) == 0 {
		return nil // a read of what is resident asks the origin too: it would be one request more
	}
	known, look := a.learner.Read(m.key(prefetch.Table(obj.Path)), layoutID(obj), obj.Size, off, n)
	if layout, ok := a.s.known(a.ctx, obj); ok && len(obj.Parts) == 1 && n > 0 {
		start, _, _ := layout.PageAt(off)
		_, end, _ := layout.PageAt(off + n - 1)
		known.Came(start, min(end, obj.Size-formats.TailSize)) // in the last page are footers, which everybody wants, beside columns
	}
	later := !look && known.Tells(off, off+n)
	if !look && !later {
		return nil
	}
	own := *obj
	f := &aheadFile{a: a, mount: mount, m: m, obj: &own, known: known}
	if later {
		return f
	}
	a.find(f)
	return nil
}

// tail is how many bytes of the end of a file a first read is to bring, where its table's readers lately read more than plain.
func (a *ahead) tail(r *reading, plain int64) int64 {
	if plain <= 0 || r.owner != nil || a.mode(r.mount, r.req.Path) < prefetch.On {
		return 0
	}
	return a.learner.Tail(r.origin.key(prefetch.Table(r.req.Path)), plain)
}

// located is called when a client has been told where a file's pages lie, to read them itself: all of a file of so many bytes, or (0) what it wants.
func (a *ahead) located(mount string, m *mounted, obj *origin.Object, whole int64) {
	if whole > 0 {
		a.passed(mount, m, obj)
		return
	}
	a.served(mount, m, obj, obj.Size, 0)
}

// listed is called with every listing that came from an origin.
func (a *ahead) listed(m *mounted, l *origin.Listing) {
	if a.policy.Load().Any() {
		a.folders.listed(m, l)
	}
}

// find queues the search for what is wanted of a file.
func (a *ahead) find(f *aheadFile) {
	a.enqueue(&job{name: "find " + f.m.key(f.obj.Path), mount: f.mount, m: f.m, path: f.obj.Path, mode: prefetch.On,
		do: func(ctx context.Context, j *job) {
			a.rename(j) // what comes from now on may be missed by this search, and has one of its own
			f.look(ctx)
		}})
}

// rename lets another job of the name of one that is at work be queued.
func (a *ahead) rename(j *job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.known, j.name)
	j.name = ""
}

// look finds out where the file's columns lie, and queues those that its table's readers lately used.
func (f *aheadFile) look(ctx context.Context) {
	found := false
	f.known.Look(func() {
		known := &atHand{ctx: ctx, pages: f.a.s.opts.Pages, obj: f.obj}
		columns := f.known.Columns()
		if columns != nil {
			columns = columns.More(known)
		} else {
			var err error
			if columns, err = formats.ReadColumns(f.obj.Path, f.obj.Size, known); err != nil {
				return // of another format, or its end was not read yet
			}
		}
		f.known.Found(columns)
		found = true
	})
	if found {
		f.fetch(ctx)
	}
}

// fetch queues what is wanted of the file, in requests of up to prefetch.Span bytes, and then what tells more of that.
func (f *aheadFile) fetch(ctx context.Context) {
	layout, ok := f.a.s.known(ctx, f.obj)
	if !ok {
		layout = formats.Provisional(f.obj.Path, f.obj.Size)
	}
	for _, e := range paged(f.obj, layout, f.known.Wanted()) {
		for at := e.Start; at < e.End; at += prefetch.Span {
			if part := (formats.Extent{Start: at, End: min(at+prefetch.Span, e.End)}); !f.a.s.opts.Pages.Resident(f.obj, layout, part.Start, part.End-part.Start) {
				f.extent(part, nil)
			}
		}
	}
	if f.more.Load() {
		return // its reader is to come nearer first
	}
	for _, e := range paged(f.obj, layout, f.known.Footers(maxFooters)) {
		here := func() bool { return f.a.s.opts.Pages.Resident(f.obj, layout, e.Start, e.End-e.Start) }
		if here() {
			continue // and was of no use
		}
		f.extent(e, func() {
			if here() { // else a reader has it fetched, after whom is looked again
				f.a.find(f)
			}
		})
	}
}

// extent queues a part of the file. then (may be nil) is called when it was fetched.
func (f *aheadFile) extent(part formats.Extent, then func()) {
	f.a.enqueue(&job{name: extentName(f.m.key(f.obj.Path), part.Start), mount: f.mount, m: f.m, path: f.obj.Path, mode: prefetch.On, request: true,
		do: func(ctx context.Context, _ *job) {
			switch room := f.a.pages(ctx, prefetch.KindColumns, f.mount, f.m, f.obj, part, f); {
			case !room:
				f.more.Store(true)
			case then != nil:
				then()
			}
		}})
}

// paged are extents in whole pages. Those that touch then are one: they travel in one request.
func paged(obj *origin.Object, layout *formats.Layout, extents []formats.Extent) (out []formats.Extent) {
	if len(extents) == 0 {
		return nil
	}
	view, err := cache.NewView(obj, layout)
	if err != nil {
		return extents
	}
	for _, e := range extents {
		first, err := view.PageAt(e.Start)
		last, err2 := view.PageAt(e.End - 1)
		if err != nil || err2 != nil {
			return extents
		}
		if n := len(out); n > 0 && first.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, last.End)
		} else {
			out = append(out, formats.Extent{Start: first.Start, End: last.End})
		}
	}
	return out
}

// Used implements prefetch.Owner. A reader that has come nearer to what there was no room for makes room for it.
func (f *aheadFile) Used(start, end int64) {
	f.known.Used(start, end)
	if f.more.Swap(false) {
		f.a.find(f)
	}
}

// Lost implements prefetch.Owner.
func (f *aheadFile) Lost(start, end int64) { f.known.Lost(start, end) }

// pages fetches what is missing of a part of an object, if that is still the present version. False: there was no room for all of it.
func (a *ahead) pages(ctx context.Context, kind int, mount string, m *mounted, obj *origin.Object, part formats.Extent, owner prefetch.Owner) bool {
	if now, ok := a.s.objects.Peek(m.key(obj.Path)); !ok || now.Err != nil || now.Value.Version != obj.Version {
		a.metrics.Cancelled[prefetch.CancelledChanged].Add(1)
		return true
	}
	layout, ok := a.s.known(ctx, obj)
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	full := false
	for at := part.Start; at < part.End && !full && ctx.Err() == nil; {
		asked := false
		req := cache.Request{Object: obj, Layout: layout, Source: source{a.s, m}, Offset: at, Length: part.End - at}
		next, err := a.s.opts.Pages.Ahead(ctx, req, func(p *cache.Page) bool { return !full && a.claim(p, owner, &full) },
			func(p *cache.Page, outcome cache.AheadOutcome) { asked = a.ended(ctx, p, outcome) || asked })
		if asked {
			a.metrics.Requests[kind][outcomeOf(ctx, err)].Add(1)
		}
		if err != nil || next <= at {
			return true
		}
		at = next
	}
	return !full
}

// claim enters a page in the ledger, if there is room for it.
func (a *ahead) claim(p *cache.Page, owner prefetch.Owner, full *bool) bool {
	policy := a.policy.Load()
	ok, over := a.ledger.Claim(prefetch.Key(p.Key), owner, p.Start, p.End, policy.Ahead())
	switch {
	case over:
		*full = true
		a.metrics.Refused[prefetch.RefusedAhead].Add(1)
	case ok && !policy.Pay(p.End-p.Start):
		*full = true
		a.ledger.Left(prefetch.Key(p.Key))
		a.metrics.Refused[prefetch.RefusedBandwidth].Add(1)
		return false
	}
	return ok
}

// ended enters what became of a page, and reports whether the origin was asked for it.
func (a *ahead) ended(ctx context.Context, p *cache.Page, outcome cache.AheadOutcome) bool {
	key := prefetch.Key(p.Key)
	switch {
	case outcome == cache.AheadLeft:
		a.ledger.Left(key)
		return false
	case outcome == cache.AheadLanded:
		a.ledger.Came(key)
	case ctx.Err() != nil:
		a.ledger.Failed(key, prefetch.Cancelled)
	default:
		a.ledger.Failed(key, prefetch.Lost)
	}
	return true
}

// outcomeOf tells how a request ended.
func outcomeOf(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return prefetch.RequestDone
	case ctx.Err() != nil:
		return prefetch.RequestCancelled
	case errors.Is(err, origin.ErrNotFound):
		return prefetch.RequestNotFound
	}
	return prefetch.RequestFailed
}
