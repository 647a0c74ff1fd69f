package sidecar

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
)

// Holding is an object that this sidecar was asked for, and those of its pages that it holds.
type Holding struct {
	Object origin.Object
	Sent   time.Time // when the origin was asked that told of it
	Pages  []HeldPage
}

// HeldPage is one page: bytes [Start, End) of the object.
type HeldPage struct {
	Start, End int64
	Class      uint8
	Heat       uint8 // as cache.Heat tells it, but MetadataHeat for what every reader of the file wants first
}

// MetadataHeat is the heat of footers and what else is metadata: above all else.
const MetadataHeat = cache.HeatOften + 1

// Places are the mounts that other sidecars may be spoken to about.
func (s *Sidecar) Places() []Place {
	n := s.namespace.Load()
	var all []Place
	for _, name := range n.names {
		if m := n.mounts[name]; m.space != "" {
			all = append(all, m.place())
		}
	}
	return all
}

// Holdings tells another sidecar which pages of a mount this one holds, of the sections for which wanted is true; a page belongs to the section that it begins in. Objects
// come in the order in which readers last asked for them, the last first, until yield returns false. It reads indexes, and where an object's layout is not in
// memory its footer from disk, and takes no lock for longer than a few objects need. What was asked for before this sidecar started, or is not in its memory any more, is not told.
func (s *Sidecar) Holdings(ctx context.Context, at Place, wanted func(path string, off int64) bool, yield func(Holding) bool) {
	m := s.at(at)
	if m == nil {
		return
	}
	seen := map[string]bool{}
	s.objects.Keys(func(key string) bool {
		path, mine := strings.CutPrefix(key, m.about+"/")
		if !mine || seen[path] {
			return ctx.Err() == nil
		}
		seen[path] = true
		h, ok := s.holding(ctx, m, key, func(off int64) bool { return wanted(path, off) })
		return ctx.Err() == nil && (!ok || yield(h))
	})
}

// holding looks for the wanted pages of one object.
func (s *Sidecar) holding(ctx context.Context, m *mounted, key string, wanted func(off int64) bool) (h Holding, ok bool) {
	w, ok := s.objects.Watch(key)
	if !ok {
		return h, false
	}
	a := w.Look()
	if a == nil || a.Err != nil || a.Value.Version == "" || a.Value.Unfinished() || a.Value.Size == 0 {
		return h, false
	}
	h.Object, h.Sent = a.Value, a.Sent
	layout, ok := s.known(ctx, &h.Object)
	if !ok {
		layout = formats.Provisional(h.Object.Path, h.Object.Size)
	}
	view, err := cache.NewView(&h.Object, layout)
	if err != nil {
		return h, false
	}
	for at := int64(0); at < h.Object.Size; {
		p, err := view.PageAt(at)
		if err != nil {
			break
		}
		at = p.End
		if heat, there := s.opts.Pages.Heat(p.Key); there && wanted(p.Start) {
			if formats.Metadata(p.Class) {
				heat = MetadataHeat
			}
			h.Pages = append(h.Pages, HeldPage{p.Start, p.End, p.Class, heat})
		}
	}
	return h, len(h.Pages) > 0
}

// held is a layout of pages that another sidecar tells of, which follow one another.
type held []HeldPage

// PageAt implements cache.Layout.
func (h held) PageAt(off int64) (start, end int64, class uint8) {
	for _, p := range h {
		if off < p.End {
			return p.Start, p.End, p.Class
		}
	}
	return off, off, 0 // outside, which the cache cuts on a grid
}

// takeSource reads for Take.
type takeSource struct{ from Own }

// Fetch implements cache.Source.
func (t takeSource) Fetch(ctx context.Context, _ *origin.Object, off, n int64) (io.ReadCloser, error) {
	return t.from(ctx, off, n)
}

// ErrNotMounted is what Take answers for a mount that this sidecar does not have, or not as the other one has it.
var ErrNotMounted = errors.New("the mount is another one here")

// Take fills the cache with pages of an object that follow one another, which nobody has asked for here, from another sidecar. What is resident, or on its way, is left out.
// from fails with cache.ErrAgain where the other one cannot do it. It tells the keys of the pages that came, and their bytes. No origin is asked.
func (s *Sidecar) Take(ctx context.Context, at Place, obj *origin.Object, pages []HeldPage, from Own) (came []cache.Key, bytes int64, err error) {
	if s.at(at) == nil || len(pages) == 0 {
		return nil, 0, ErrNotMounted
	}
	end := pages[len(pages)-1].End
	ended := func(p *cache.Page, what cache.AheadOutcome) {
		if what == cache.AheadLanded {
			came, bytes = append(came, p.Key), bytes+p.End-p.Start
		}
	}
	for off := pages[0].Start; off < end && err == nil; {
		req := cache.Request{Object: obj, Layout: held(pages), Source: takeSource{from}, Offset: off, Length: end - off}
		off, err = s.opts.Pages.Ahead(ctx, req, func(*cache.Page) bool { return true }, ended)
	}
	return came, bytes, err
}

// Has tells whether a page is in the cache.
func (s *Sidecar) Has(k cache.Key) bool { return s.opts.Pages.Has(k) }

// Lacks is how many bytes of pages of an object are not here.
func (s *Sidecar) Lacks(obj *origin.Object, pages []HeldPage) (bytes int64) {
	for _, p := range pages {
		if !s.opts.Pages.Resident(obj, held{p}, p.Start, p.End-p.Start) {
			bytes += p.End - p.Start
		}
	}
	return bytes
}

// Idle tells whether readers leave room for a page of a path that nobody waits for, as they do for a prefetch.
func (s *Sidecar) Idle(at Place, path string) bool {
	m := s.at(at)
	return m == nil || idle(m.Origin, path, 0)
}
