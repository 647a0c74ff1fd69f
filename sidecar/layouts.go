package sidecar

import (
	"container/list"
	"context"
	"errors"
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
	layout *formats.Layout
	weight int64
	view   *cache.View  // of the file that was read last with it; hotFiles refer to it weakly
	used   *atomic.Bool // the view was used since the entry was last looked at for eviction
}

// viewOverhead is about what a view of one part takes beside its layout.
const viewOverhead = 400

func newLayouts(limit int64) *layouts {
	l := &layouts{limit: limit}
	l.mu.byID = make(map[string]*list.Element)
	l.mu.lru = list.New()
	return l
}

// layoutID names an object's content as its parts do: a layout belongs to bytes, not to a path.
func layoutID(obj *origin.Object) string {
	if len(obj.Parts) == 1 {
		return obj.Parts[0].ID
	}
	id := make([]byte, 0, 16*len(obj.Parts))
	for _, p := range obj.Parts {
		key := cache.HashPart(p.ID)
		id = append(id, key[:]...)
	}
	return string(id)
}

func (l *layouts) get(id string) (*formats.Layout, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	el, ok := l.mu.byID[id]
	if !ok {
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
	e := &layoutEntry{id: id, layout: layout, weight: int64(layout.MemoryBytes() + 3*len(id) + 200 + viewOverhead), used: new(atomic.Bool)}
	l.mu.byID[id] = l.mu.lru.PushFront(e)
	l.mu.bytes += e.weight
	for l.mu.bytes > l.limit && l.mu.lru.Len() > 0 {
		oldest := l.mu.lru.Back()
		if oldest.Value.(*layoutEntry).used.Swap(false) && l.mu.lru.Len() > 1 {
			l.mu.lru.MoveToFront(oldest)
			continue
		}
		l.removeLocked(oldest)
	}
}

// hold keeps a view that is cut by a layout for as long as the layout is kept, in the place of the one before; false if the layout is not
// kept. used is for whoever uses the view to set.
func (l *layouts) hold(id string, view *cache.View) (used *atomic.Bool, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	el, ok := l.mu.byID[id]
	if !ok {
		return nil, false
	}
	e := el.Value.(*layoutEntry)
	e.view = view
	return e.used, true
}

func (l *layouts) removeLocked(el *list.Element) {
	e := el.Value.(*layoutEntry)
	l.mu.lru.Remove(el)
	delete(l.mu.byID, e.id)
	l.mu.bytes -= e.weight
}

func (l *layouts) usage() (n int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.lru.Len(), l.mu.bytes
}

// known returns the object's layout if it can be had without a request: kept, evident from its size, or derived from pages that are
// resident (as they are after a restart).
func (s *Sidecar) known(ctx context.Context, obj *origin.Object) (*formats.Layout, bool) {
	if obj.Size <= formats.SmallObject {
		return formats.Provisional(obj.Path, obj.Size), true
	}
	if l, ok := s.layouts.get(layoutID(obj)); ok {
		return l, true
	}
	tail := obj.Size - formats.TailSize
	if !s.opts.Pages.Resident(obj, formats.Provisional(obj.Path, obj.Size), tail, formats.TailSize) {
		return nil, false
	}
	return s.derive(ctx, obj, nil)
}

// derive works out the layout from a run of bytes (may be nil) and resident pages, and keeps it. If the file is of no known format, or its
// footer is not to be believed, that is kept too: the grid serves. It is false if not enough bytes are at hand.
func (s *Sidecar) derive(ctx context.Context, obj *origin.Object, r *run) (*formats.Layout, bool) {
	l, err := formats.Derive(obj.Path, obj.Size, &atHand{ctx: ctx, pages: s.opts.Pages, obj: obj, run: r})
	var need *formats.NeedError
	switch {
	case err == nil:
		s.metrics.derived("parquet")
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
	s.layouts.put(layoutID(obj), l)
	return l, true
}

// atHand reads an object's bytes where that costs no request: from a run in memory, else from resident pages of exactly the bounds that are
// asked for (formats.Derive reads in units of pages).
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
	buf, ok := a.pages.Lookup(a.ctx, a.obj, off, int64(len(p)))
	if !ok {
		return 0, formats.ErrAbsent
	}
	defer buf.Free()
	return copy(p, buf.B), nil
}
