package cache

import (
	"context"
	"slices"

	"github.com/alio-lake/alio/origin"
)

// View is an object at one version, cut into pages: what a reader needs to find them, made once for any number of reads. It is immutable
// and safe for parallel use.
type View struct {
	obj    *origin.Object
	layout Layout
	parts  []PartKey // as obj.Parts
}

// NewView makes a View. It fails, with an error of origin's kinds, for an object that cannot be cached. Neither obj nor layout may change
// afterwards.
func NewView(obj *origin.Object, layout Layout) (*View, error) {
	if err := cacheable(obj); err != nil {
		return nil, err
	}
	v := &View{obj: obj, layout: layout, parts: make([]PartKey, len(obj.Parts))}
	for i := range obj.Parts {
		v.parts[i] = HashPart(obj.Parts[i].ID)
	}
	return v, nil
}

// Object returns the object, which must not be changed.
func (v *View) Object() *origin.Object { return v.obj }

// Parts returns the keys of the object's parts, in the order of Object().Parts.
func (v *View) Parts() []PartKey { return slices.Clone(v.parts) }

// Page is one page of an object: bytes [Start, End) of the object, within one part.
type Page struct {
	Start, End int64
	Key        Key
	Class      uint8
}

// PageAt returns the page that holds the byte at off. It allocates nothing.
func (v *View) PageAt(off int64) (Page, error) {
	g := newGeometry(v.obj, v.layout)
	pg, err := g.pageAt(off, 0)
	return Page{Start: pg.start, End: pg.end, Key: pg.key, Class: pg.class}, err
}

// ReadPage returns n bytes from off within a page, if the page is resident; it never asks the origin. It waits no longer than the disk
// tier's deadline. false: the page is not there, or could not be read in time, or failed its sums; the caller then reads by Open, which asks
// the origin. The bytes must not be changed; the caller frees the Buf.
func (c *Cache) ReadPage(ctx context.Context, p *Page, off, n int64) (Buf, bool) {
	if data, ok := c.mem.get(p.Key); ok {
		c.count.served(fromMemory, p.Class, n)
		return NewBuf(data[off:off+n], nil), true
	}
	if !c.onDisk(p.Key, false) {
		return Buf{}, false
	}
	buf, err := c.disk.Read(ctx, p.Key, int(p.End-p.Start), int(off), int(n))
	if err != nil || int64(len(buf.B)) != n {
		buf.Free()
		c.count.fallback(err)
		return Buf{}, false
	}
	c.count.served(fromDisk, p.Class, n)
	return buf, true
}

// Has reports whether a page is resident, by the indexes alone. A read may still find it gone.
func (c *Cache) Has(k Key) bool { return c.resident(k, false) }

// Places tells where pages lie on disk, for clients that read segments themselves; nil where there is no such disk tier.
func (c *Cache) Places() Places {
	p, _ := c.disk.(Places)
	return p
}
