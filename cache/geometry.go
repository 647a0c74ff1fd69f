package cache

import (
	"fmt"
	"math"
	"sort"

	"github.com/alio-lake/alio/origin"
)

// gridPage is the page size, in bytes, that stands in where a layout's answer cannot be right.
const gridPage = 256 << 10

// page is one page of an object: bytes [start, end) of the object, within one part.
type page struct {
	start, end int64
	key        Key
	class      uint8
}

func (p page) size() int64 { return p.end - p.start }

// outside is how many bytes of the page lie outside [from, to).
func (p page) outside(from, to int64) int64 {
	return p.size() - max(0, min(p.end, to)-max(p.start, from))
}

// geometry finds the pages of one object: the layout's bounds, cut at part bounds. It serves one goroutine.
//
// A key is made from the bounds that come out here and names exactly those bytes, so whatever a layout answers, the worst that can
// happen is a page that nobody else shares.
type geometry struct {
	obj    *origin.Object
	layout Layout
	within PartLayout // the layout, if it is one
	view   *View      // that knows the parts' keys; nil: a part's id is hashed when a read comes to it
	part   int        // the part that hash is of; -1: none yet
	hash   PartKey
}

func newGeometry(obj *origin.Object, layout Layout) geometry {
	within, _ := layout.(PartLayout)
	return geometry{obj: obj, layout: layout, within: within, part: -1}
}

// geometry begins to find a View's pages.
func (v *View) geometry() geometry {
	return geometry{obj: v.obj, layout: v.layout, within: v.within, view: v, part: -1}
}

// cacheable says why an object cannot be cached, or nil.
func cacheable(obj *origin.Object) error {
	switch {
	case obj == nil:
		return origin.NewError(origin.ErrInvalid, "read", "", fmt.Errorf("no object given"))
	case obj.Version == "":
		return origin.NewError(origin.ErrUnsupported, "read", obj.Path, fmt.Errorf("the object has no version, so it cannot be cached: read it from the origin"))
	case len(obj.Parts) == 0:
		return origin.NewError(origin.ErrUnsupported, "read", obj.Path, fmt.Errorf("the object has no parts, so it cannot be cached: read it from the origin"))
	}
	return nil
}

// unfinished is the error of a read that reaches a part whose bytes may still change.
func unfinished(obj *origin.Object, at int64) error {
	return origin.NewError(origin.ErrUnsupported, "read", obj.Path,
		fmt.Errorf("the part at %d is still being written (it has no id), so it cannot be cached: read it from the origin", at))
}

// seek moves to the part that holds the byte at off.
func (g *geometry) seek(off int64) (*origin.Part, error) {
	parts := g.obj.Parts
	i := g.part
	if i < 0 || off < parts[i].Offset || off-parts[i].Offset >= parts[i].Length {
		i = sort.Search(len(parts), func(i int) bool { return parts[i].Offset > off }) - 1
		if i < 0 || off-parts[i].Offset >= parts[i].Length {
			return nil, origin.NewError(origin.ErrInvalid, "read", g.obj.Path, fmt.Errorf("no part of the object holds the byte at %d", off))
		}
		if parts[i].Length > math.MaxInt64-parts[i].Offset {
			return nil, origin.NewError(origin.ErrInvalid, "read", g.obj.Path, fmt.Errorf("the part at %d has an impossible length", parts[i].Offset))
		}
		if parts[i].ID == "" {
			return nil, unfinished(g.obj, parts[i].Offset)
		}
		g.part = i
		if g.view != nil {
			g.hash = g.view.parts[i]
		} else {
			g.hash = HashPart(parts[i].ID)
		}
	}
	return &parts[i], nil
}

// pageAt returns the page that holds the byte at off. floor is where the page before ended (0 if there is none): no page reaches back over
// it, even if the layout contradicts itself.
func (g *geometry) pageAt(off, floor int64) (page, error) {
	part, err := g.seek(off)
	if err != nil {
		return page{}, err
	}
	lo, hi := part.Offset, min(part.Offset+part.Length, g.obj.Size)
	var start, end int64
	var class uint8
	if g.within != nil {
		start, end, class = g.within.PageIn(off, lo, hi)
	} else {
		start, end, class = g.layout.PageAt(off)
	}
	start, end = max(start, lo), min(end, hi)
	if off < start || off >= end || end-start > MaxPage {
		start = off - (off-lo)%gridPage
		end = min(start+gridPage, hi)
	}
	start = max(start, floor)
	return page{start: start, end: end, class: class, key: g.hash.Page(start-lo, end-start)}, nil
}

// exact returns the key of the bytes [off, off+length), if they may be one page.
func (g *geometry) exact(off, length int64) (Key, bool) {
	if off < 0 || length <= 0 || length > MaxPage || off > g.obj.Size-length {
		return Key{}, false
	}
	part, err := g.seek(off)
	if err != nil || off+length > part.Offset+part.Length {
		return Key{}, false
	}
	return g.hash.Page(off-part.Offset, length), true
}
