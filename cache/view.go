package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/alio-lake/alio/origin"
)

// View is an object at one version, cut into pages: what a reader needs to find them, made once for any number of reads. It is immutable
// and safe for parallel use.
type View struct {
	obj    *origin.Object
	layout Layout
	within PartLayout // the layout, if it is one
	parts  []PartKey  // as obj.Parts; of one without an id the zero key, which is never used
}

// NewView makes a View. It fails, with an error of origin's kinds, for an object that cannot be cached. Neither obj nor layout may change
// afterwards.
func NewView(obj *origin.Object, layout Layout) (*View, error) {
	if err := cacheable(obj); err != nil {
		return nil, err
	}
	if layout == nil {
		return nil, origin.NewError(origin.ErrInvalid, "read", obj.Path, errors.New("no layout given"))
	}
	v := &View{obj: obj, layout: layout, parts: make([]PartKey, len(obj.Parts))}
	v.within, _ = layout.(PartLayout)
	for i := range obj.Parts {
		if id := obj.Parts[i].ID; id != "" {
			v.parts[i] = HashPart(id)
		}
	}
	return v, nil
}

// Object returns the object, which must not be changed.
func (v *View) Object() *origin.Object { return v.obj }

// Parts returns the keys of the object's parts, in the order of Object().Parts; the key of a part without an id means nothing.
func (v *View) Parts() []PartKey { return slices.Clone(v.parts) }

// Part returns the key of one part.
func (v *View) Part(i int) PartKey { return v.parts[i] }

// Page is one page of an object: bytes [Start, End) of the object, within one part.
type Page struct {
	Start, End int64
	Key        Key
	Class      uint8
}

// PageAt returns the page that holds the byte at off. An off outside the object, or in no part of it, or in one without
// an id, is an error of origin's kinds. It allocates nothing.
func (v *View) PageAt(off int64) (Page, error) {
	if off < 0 || off >= v.obj.Size {
		return Page{}, origin.NewError(origin.ErrInvalid, "read", v.obj.Path, fmt.Errorf("byte %d is not within the object's %d", off, v.obj.Size))
	}
	g := v.geometry()
	pg, err := g.pageAt(off, 0)
	return Page{Start: pg.start, End: pg.end, Key: pg.key, Class: pg.class}, err
}

// ReadPage returns n bytes from off within a page, if the page is resident; it never asks the origin. It waits no longer than the disk
// tier's deadline. false: the page is not there, or could not be read in time, or failed its sums, or it has no such bytes; the caller
// then reads by Open, which asks the origin. The bytes must not be changed; the caller frees the Buf.
//
// What it returns counts as asked for and as answered; where it returns nothing, nothing is counted, for Open will. It takes no lock and, but for
// a page that moves up from disk into memory, allocates nothing.
func (c *Cache) ReadPage(ctx context.Context, p *Page, off, n int64) (Buf, bool) {
	if p == nil || p.Start < 0 || p.End <= p.Start || c.base.Err() != nil {
		return Buf{}, false
	}
	size := p.End - p.Start
	if size > MaxPage || off < 0 || n <= 0 || off > size-n {
		return Buf{}, false
	}
	if data, ok := c.recall(&p.Key); ok && int64(len(data)) == size {
		c.count.paged(fromMemory, p.Class, n)
		return NewBuf(data[off:off+n:off+n], nil), true
	}
	if !c.onDisk(p.Key, false) {
		return Buf{}, false
	}
	buf, err := c.readDisk(ctx, page{start: p.Start, end: p.End, key: p.Key, class: p.Class}, off, n)
	if err != nil {
		if ctx.Err() == nil {
			c.count.fallback(err)
		}
		return Buf{}, false
	}
	c.count.paged(fromDisk, p.Class, n)
	return buf, true
}

// Has reports whether a page is resident, by the indexes alone. A read may still find it gone.
func (c *Cache) Has(k Key) bool { return c.resident(k, false) }

// Places tells where pages lie on disk, for clients that read segments themselves; nil where there is no such disk tier.
func (c *Cache) Places() Places { return c.places }
