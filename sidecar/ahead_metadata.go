package sidecar

import (
	"container/list"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// maxChain is how far what was fetched ahead leads to more of it: a metadata file to its manifest list and that to its manifests, a commit to the next.
const maxChain = 16

func extentName(key string, at int64) string {
	return "extent " + strconv.FormatInt(at, 10) + " " + key
}

// passed is called when a file has been read that may name what is read next.
func (a *ahead) passed(mount string, m *mounted, obj *origin.Object) {
	if a.mode(mount, obj.Path) < prefetch.Metadata || obj.Version == "" || obj.Unfinished() {
		return
	}
	if f := formats.Identify(obj.Path); prefetch.Leads(&f) {
		own := *obj
		a.plan(mount, m, &own, 0)
	}
}

// plan queues the look into a file for what it names.
func (a *ahead) plan(mount string, m *mounted, obj *origin.Object, depth int) {
	if depth == maxChain {
		return
	}
	a.enqueue(&job{name: "plan " + m.key(obj.Path), mount: mount, m: m, path: obj.Path, mode: prefetch.Metadata, do: func(ctx context.Context, j *job) {
		steps, err := formats.Next(obj.Path, obj.Size, &atHand{ctx: ctx, pages: a.s.opts.Pages, obj: obj})
		if err != nil {
			a.s.opts.Logger.Debug().Err(err).Str("path", obj.Path).Msg("nothing is fetched ahead of its readers")
		}
		for _, step := range steps {
			if formats.Metadata(uint8(formats.ClassOf(step.Path))) { // data files that a commit names are left to who reads them
				a.step(mount, m, step, depth)
			}
		}
		for _, step := range formats.NextInFolder(obj.Path, a.folders.get(m.key(folderOf(obj.Path)))) {
			a.step(mount, m, step, depth)
		}
	}})
}

// step queues the fetching of a file that was named. A folder's listing is left to the reader: in what way it will ask is not known.
func (a *ahead) step(mount string, m *mounted, step formats.Step, depth int) {
	if step.Path == "" || step.Path[len(step.Path)-1] == '/' {
		return
	}
	rules := a.s.rules()
	if rules.MaxAge(mount, step.Path, freshness.Object) == 0 || step.Maybe && rules.MaxAge(mount, step.Path, freshness.NotFound) == 0 {
		return // the reader would have to ask again
	}
	file := formats.Identify(step.Path)
	owner := a.learner.Kind(m.key(prefetch.Table(step.Path)), file.Kind)
	if !owner.Trusted() {
		return
	}
	a.enqueue(&job{name: "file " + m.key(step.Path), mount: mount, m: m, path: step.Path, mode: prefetch.Metadata, request: true,
		do: func(ctx context.Context, j *job) { a.file(ctx, j, step, owner, depth) }})
}

// file fetches a file: all of it, or its end if it is large. What was found leads on.
func (a *ahead) file(ctx context.Context, j *job, step formats.Step, owner prefetch.Kind, depth int) {
	r := &reading{s: a.s, mount: j.mount, origin: j.m, req: origin.ReadRequest{Path: j.path, Length: prefetch.Span}, key: j.m.key(j.path), owner: owner}
	if step.Size > prefetch.Span {
		r.req.Length, r.req.Suffix = 0, formats.TailSize
	} else if step.Size > 0 {
		r.req.Length = step.Size
	}
	known, ok := a.s.objects.Peek(r.key)
	if ok && known.Err == nil {
		a.missing(ctx, j, &known, owner, depth)
		return
	}
	if ok && !step.Maybe {
		return // it is known that there is none
	}
	if !a.policy.Load().Pay(1) { // what it costs is known when it has come
		a.metrics.Refused[prefetch.RefusedBandwidth].Add(1)
		return
	}
	answer, asked, err := a.s.objects.Get(ctx, r.key, a.s.maxAge(j.mount, j.path, "", false, nil),
		func(ctx context.Context) (origin.Object, error) { return r.askAhead(ctx) })
	if asked {
		a.metrics.Requests[prefetch.KindMetadata][outcomeOf(ctx, err)].Add(1)
	}
	if err == nil {
		a.plan(j.mount, j.m, &answer.Value, depth+1)
	}
}

// missing fetches what is missing of a file that is known. One of which the last answer is too old is left to its readers: who still knows what is in it
// never asks.
func (a *ahead) missing(ctx context.Context, j *job, known *freshness.Answer[origin.Object], owner prefetch.Owner, depth int) {
	obj := &known.Value
	part := formats.Extent{Start: 0, End: obj.Size}
	if obj.Size > prefetch.Span {
		part.Start = obj.Size - formats.TailSize
	}
	layout, ok := a.s.known(ctx, obj)
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	if obj.Version == "" || obj.Unfinished() || obj.Size == 0 || a.s.opts.Pages.Resident(obj, layout, part.Start, part.End-part.Start) {
		return
	}
	if age := a.s.rules().MaxAge(j.mount, j.path, freshness.Object); age != freshness.Forever && time.Since(known.Sent) > age {
		return
	}
	a.pages(ctx, prefetch.KindMetadata, j.mount, j.m, obj, part, owner)
	if ctx.Err() == nil {
		a.plan(j.mount, j.m, obj, depth+1)
	}
}

// askAhead is ask for a file that no reader has asked for.
func (r *reading) askAhead(ctx context.Context) (origin.Object, error) {
	most := max(r.req.Suffix, r.req.Length)
	if !r.s.budget.TryAcquire(most) {
		r.s.metrics.confirmed(byStat, 1)
		return r.origin.Stat(ctx, r.req.Path)
	}
	obj, run, err := r.readFirst(ctx, r.req, most)
	if err != nil || run == nil {
		return obj, err
	}
	defer run.release()
	r.s.metrics.confirmed(byRead, 1)
	r.s.ahead.policy.Load().Owe(int64(len(run.data)))
	r.beyond = obj.Size
	r.adopt(ctx, &obj, run)
	return obj, nil
}

// offered enters the pages of a run that nobody has asked for in the ledger, before they are in the cache and before anyone else knows of the object: those before
// a point of the object, of which the run's reader wanted nothing.
func (a *ahead) offered(obj *origin.Object, layout *formats.Layout, r *run, before int64, owner prefetch.Owner) {
	view, err := cache.NewView(obj, layout)
	if err != nil {
		return
	}
	counted := int64(0)
	for at := r.off; at < min(before, r.end()); {
		p, err := view.PageAt(at)
		if err != nil {
			return
		}
		if p.Start >= r.off && p.End <= r.end() && p.Start < before && !a.s.opts.Pages.Has(p.Key) {
			a.ledger.Add(prefetch.Key(p.Key), owner, p.Start, p.End)
			counted += p.End - p.Start
		}
		at = p.End
	}
	if cut := min(before, r.end()) - r.off - counted; cut > 0 {
		a.ledger.Waste(cut, prefetch.Cut)
	}
}

func folderOf(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i+1]
		}
	}
	return ""
}

// Limits of folders.
const (
	maxFolders     = 64
	maxFolderNames = 1000
)

// folders remembers which files of Hudi lie in those folders with log files that were listed last: the slice of a base file is known by nothing else.
type folders struct {
	mu    sync.Mutex
	names map[string]*list.Element // of *folder
	lru   list.List
}

type folder struct {
	key   string
	files []string
}

// listed takes in a listing.
func (f *folders) listed(m *mounted, l *origin.Listing) {
	found, logs := map[string][]string{}, map[string]bool{}
	for i := range l.Entries {
		path := l.Entries[i].Object.Path
		id := formats.Identify(path)
		if id.Format != formats.Hudi || id.Kind != "log-file" && id.Kind != "base-file" {
			continue
		}
		dir := folderOf(path)
		logs[dir] = logs[dir] || id.Kind == "log-file"
		if len(found[dir]) < maxFolderNames {
			found[dir] = append(found[dir], path[len(dir):])
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names == nil {
		f.names = make(map[string]*list.Element)
	}
	for dir, files := range found {
		if !logs[dir] {
			continue
		}
		key := m.key(dir)
		if el, ok := f.names[key]; ok {
			f.lru.Remove(el)
		}
		f.names[key] = f.lru.PushFront(&folder{key, files})
		for f.lru.Len() > maxFolders {
			delete(f.names, f.lru.Remove(f.lru.Back()).(*folder).key)
		}
	}
}

func (f *folders) get(key string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if el, ok := f.names[key]; ok {
		f.lru.MoveToFront(el)
		return el.Value.(*folder).files
	}
	return nil
}
