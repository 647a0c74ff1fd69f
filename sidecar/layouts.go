package sidecar

import (
	"container/list"
	"context"
	"errors"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
)

// layouts keeps what was derived of objects, by the ids of their parts, within a limit of bytes.
type layouts struct {
	limit int64

	mu struct {
		sync.Mutex
		byID  map[string]*list.Element // of *layoutEntry
		lru   *list.List
		bytes int64
	}
}

type layoutEntry struct {
	id     string
	layout *formats.Layout // nil: none is known, or none is worth keeping; a view alone is kept
	weight int64           // of all but the view's parts
	parts  int64           // weight of these
	view   *cache.View     // of the file that was read last with it; hotFiles refer to it weakly
	used   *atomic.Bool    // the view was used since the entry was last looked at for eviction
}

// viewOverhead is about what a view of one part takes beside its layout.
const viewOverhead = 400

func newLayouts(limit int64) *layouts {
	l := &layouts{limit: limit}
	l.mu.byID = make(map[string]*list.Element)
	l.mu.lru = list.New()
	return l
}

// layoutID names an object's content: a layout belongs to bytes. Of an object of several parts the version names them, within the origin that the first
// part's id names; to hash the ids of 10,000 parts would take a millisecond at every read. Only of objects that are not being written: see known.
func layoutID(obj *origin.Object) string {
	if len(obj.Parts) == 1 {
		return obj.Parts[0].ID
	}
	return obj.Parts[0].ID + "\x00" + obj.Path + "\x00" + string(obj.Version)
}

// partsWeight is about what the parts beyond the first take in a view and in the object that it keeps, in bytes.
func partsWeight(obj *origin.Object) int64 {
	n := int64(0)
	for i := 1; i < len(obj.Parts); i++ {
		n += int64(len(obj.Parts[i].ID)) + 60
	}
	return n
}

func (l *layouts) get(id string) (*formats.Layout, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	el, ok := l.mu.byID[id]
	if !ok || el.Value.(*layoutEntry).layout == nil {
		return nil, false
	}
	l.mu.lru.MoveToFront(el)
	return el.Value.(*layoutEntry).layout, true
}

func (l *layouts) put(id string, layout *formats.Layout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if el, ok := l.mu.byID[id]; ok {
		l.removeLocked(el)
	}
	l.addLocked(&layoutEntry{id: id, layout: layout, weight: int64(layout.MemoryBytes())})
	l.trimLocked()
}

func (l *layouts) addLocked(e *layoutEntry) {
	e.used = new(atomic.Bool)
	e.weight += int64(3*len(e.id) + 200 + viewOverhead)
	l.mu.byID[e.id] = l.mu.lru.PushFront(e)
	l.mu.bytes += e.weight
}

func (l *layouts) trimLocked() {
	for l.mu.bytes > l.limit && l.mu.lru.Len() > 0 {
		oldest := l.mu.lru.Back()
		if oldest.Value.(*layoutEntry).used.Swap(false) && l.mu.lru.Len() > 1 {
			l.mu.lru.MoveToFront(oldest)
			continue
		}
		l.removeLocked(oldest)
	}
}

// hold keeps a view under the id of its layout, in the place of the one before, for as long as that layout is kept, or would be. parts is what the view's
// parts weigh. used is for whoever uses the view to set.
func (l *layouts) hold(id string, view *cache.View, layout *formats.Layout, parts int64) (used *atomic.Bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	el, ok := l.mu.byID[id]
	if !ok {
		l.addLocked(&layoutEntry{id: id, weight: int64(layout.MemoryBytes())})
		el = l.mu.byID[id]
	}
	e := el.Value.(*layoutEntry)
	l.mu.bytes += parts - e.parts
	e.view, e.parts = view, parts
	l.trimLocked()
	return e.used
}

func (l *layouts) removeLocked(el *list.Element) {
	e := el.Value.(*layoutEntry)
	l.mu.lru.Remove(el)
	delete(l.mu.byID, e.id)
	l.mu.bytes -= e.weight + e.parts
}

func (l *layouts) usage() (n int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.lru.Len(), l.mu.bytes
}

// known returns the object's layout if it can be had without a request: kept, evident from its size, or derived from pages that are
// resident (as they are after a restart). Of an object that is being written it is a grid, and nothing is kept: what it will be is not yet there.
func (s *Sidecar) known(ctx context.Context, obj *origin.Object) (*formats.Layout, bool) {
	if obj.Unfinished() || obj.Settled() < obj.Size {
		return formats.Growing(obj.Path, obj.Size), true
	}
	if obj.Size <= formats.SmallObject {
		return formats.Provisional(obj.Path, obj.Size), true
	}
	if l, ok := s.layouts.get(layoutID(obj)); ok {
		return l, true
	}
	tail := obj.Size - formats.TailSize
	if !s.opts.Pages.Resident(obj, whole{tail, obj.Size}, tail, formats.TailSize) {
		return nil, false
	}
	return s.derive(ctx, obj)
}

// derive works out the layout from resident pages, and keeps it. If the file is of no known format, or its footer is not to be believed, that is kept
// too: the grid serves. It is false if not enough bytes are at hand.
func (s *Sidecar) derive(ctx context.Context, obj *origin.Object) (*formats.Layout, bool) {
	l, ok := s.workOut(ctx, obj, nil)
	if ok {
		s.layouts.put(layoutID(obj), l)
	}
	return l, ok
}

// workOut is derive from a run of bytes (may be nil) and resident pages, and keeps nothing.
func (s *Sidecar) workOut(ctx context.Context, obj *origin.Object, r *run) (*formats.Layout, bool) {
	l, err := formats.Derive(obj.Path, obj.Size, &atHand{ctx: ctx, pages: s.opts.Pages, obj: obj, run: r})
	var need *formats.NeedError
	switch {
	case err == nil:
		s.metrics.derived(l.Format().String())
	case errors.Is(err, formats.ErrUnknownFormat):
		s.metrics.derived("grid")
		l = formats.Provisional(obj.Path, obj.Size)
	case errors.As(err, &need), errors.Is(err, formats.ErrAbsent):
		return nil, false
	default:
		s.metrics.derived("corrupt")
		s.opts.Logger.Warn().Err(err).Str("path", obj.Path).Int64("size_bytes", obj.Size).
			Msg("footer cannot be read; the object is cached on a fixed grid")
		l = formats.Provisional(obj.Path, obj.Size)
	}
	return l, true
}

// whole is the layout of one page.
type whole struct{ start, end int64 }

// PageAt implements cache.Layout.
func (w whole) PageAt(int64) (start, end int64, class uint8) { return w.start, w.end, 0 }

// atHand reads an object's bytes where that costs no request: from a run in memory, else from resident pages of exactly the bounds that are
// asked for (formats.Derive reads in units of pages), or of these cut at the bounds of parts, as the cache cuts them.
type atHand struct {
	ctx   context.Context
	pages Pages
	obj   *origin.Object
	run   *run
}

func (a *atHand) ReadAt(p []byte, off int64) (int, error) {
	if a.run != nil && off >= a.run.off && off+int64(len(p)) <= a.run.end() {
		return copy(p, a.run.data[off-a.run.off:]), nil
	}
	parts := a.obj.Parts
	done, i := 0, sort.Search(len(parts), func(i int) bool { return parts[i].Offset+parts[i].Length > off })
	for ; i < len(parts) && done < len(p); i++ {
		n := int(min(int64(len(p)-done), parts[i].Offset+parts[i].Length-off))
		buf, ok := a.pages.Lookup(a.ctx, a.obj, off, int64(n))
		if !ok {
			return 0, formats.ErrAbsent
		}
		done += copy(p[done:], buf.B)
		off += int64(n)
		buf.Free()
	}
	return done, nil
}
