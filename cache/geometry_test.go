package cache

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// parts cuts an object into parts at random places.
func parts(rnd *rand.Rand, obj *origin.Object, n int) {
	obj.Parts = nil
	for off := int64(0); off < obj.Size; {
		length := obj.Size - off
		if len(obj.Parts) < n-1 {
			length = 1 + rnd.Int64N(length)
		}
		obj.Parts = append(obj.Parts, origin.Part{ID: fmt.Sprintf("%s/block%d@%s", obj.Path, len(obj.Parts), obj.Version), Offset: off, Length: length})
		off += length
	}
}

// TestPagesEndAtParts: pages cover the object without gap or overlap, none crosses a part's bound, and a part's pages have the same keys in a
// longer object (an append keeps every earlier block warm).
func TestPagesEndAtParts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(origintest.Seed(t), 1))
	for range 50 {
		obj := &origin.Object{Path: "p", Version: "v", Size: 1 + rnd.Int64N(4<<20)}
		parts(rnd, obj, 1+rnd.IntN(6))
		layout := grid{size: 1 + rnd.Int64N(256*kib)}
		longer := *obj
		longer.Version = "w"
		longer.Size += 1000
		longer.Parts = append(append([]origin.Part(nil), obj.Parts...), origin.Part{ID: "more", Offset: obj.Size, Length: 1000})
		geo, geo2 := newGeometry(obj, layout), newGeometry(&longer, layout)
		for off := int64(0); off < obj.Size; {
			pg, err := geo.pageAt(off, off)
			if err != nil || pg.start != off || pg.end <= off {
				t.Fatalf("page at %d: %+v, %v", off, pg, err)
			}
			for _, p := range obj.Parts {
				if pg.start < p.Offset && pg.end > p.Offset {
					t.Fatalf("page %+v crosses the part bound at %d", pg, p.Offset)
				}
			}
			same, err := geo2.pageAt(off, off)
			if err != nil || same.key != pg.key {
				t.Fatalf("page %+v has another key in the longer object: %+v, %v", pg, same, err)
			}
			off = pg.end
		}
	}
}

// layoutFunc is a layout that answers what it likes.
type layoutFunc func(off int64) (int64, int64, uint8)

func (f layoutFunc) PageAt(off int64) (int64, int64, uint8) { return f(off) }

// TestMisbehavingLayouts reads through layouts that break every rule: the bytes are right.
func TestMisbehavingLayouts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(origintest.Seed(t), 2))
	for name, layout := range map[string]layoutFunc{
		"too long":    func(off int64) (int64, int64, uint8) { return 0, math.MaxInt64, 0 },
		"empty":       func(off int64) (int64, int64, uint8) { return off, off, 0 },
		"inverted":    func(off int64) (int64, int64, uint8) { return off + 5, off - 5, 0 },
		"elsewhere":   func(off int64) (int64, int64, uint8) { return off + 1, off + 100, 0 },
		"negative":    func(off int64) (int64, int64, uint8) { return -100, off + 300, 0 },
		"minimal":     func(off int64) (int64, int64, uint8) { return math.MinInt64, math.MinInt64, 0 },
		"overlapping": func(off int64) (int64, int64, uint8) { return max(0, off-1000), off + 1000, 0 },
		"contradictory": func(off int64) (int64, int64, uint8) {
			return off - rnd.Int64N(3000), off + rnd.Int64N(3000), uint8(off)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, Options{ClassNames: []string{"data"}})
			obj, data := object(name, 1<<20+77)
			parts(rnd, obj, 3)
			src := &fakeSource{data: data}
			for range 30 {
				off := rnd.Int64N(300 * kib)
				n := 1 + rnd.Int64N(20*kib)
				mustRead(t, c, Request{Object: obj, Layout: layout, Source: src, Offset: off, Length: n}, data)
				c.Resident(obj, layout, off, n)
				c.Offer(obj, layout, off, data[off:off+n])
			}
			mustRead(t, c, Request{Object: obj, Layout: layout, Source: src, Offset: 1000, Length: 300 * kib}, data)
		})
	}
}

// TestTinyPages: a layout of one-byte pages costs requests, not memory.
func TestTinyPages(t *testing.T) {
	c := newCache(t, Options{})
	obj, data := object("tiny", 3*maxWindow)
	src := &fakeSource{data: data}
	mustRead(t, c, Request{Object: obj, Layout: grid{size: 1}, Source: src, Length: obj.Size}, data)
	if got := len(src.asked()); got != 3 {
		t.Errorf("%d requests, want one for each %d pages", got, maxWindow)
	}
}

// TestBadRequests names what is wrong with each.
func TestBadRequests(t *testing.T) {
	c := newCache(t, Options{})
	obj, data := object("bad", 1000)
	good := Request{Object: obj, Layout: grid{size: 100}, Source: &fakeSource{data: data}, Length: 1000}
	for name, tt := range map[string]struct {
		change func(r *Request)
		kind   error
	}{
		"no object":     {func(r *Request) { r.Object = nil }, origin.ErrInvalid},
		"no layout":     {func(r *Request) { r.Layout = nil }, origin.ErrInvalid},
		"no source":     {func(r *Request) { r.Source = nil }, origin.ErrInvalid},
		"no length":     {func(r *Request) { r.Length = 0 }, origin.ErrInvalid},
		"past the end":  {func(r *Request) { r.Offset = 1 }, origin.ErrInvalid},
		"before":        {func(r *Request) { r.Offset = -1 }, origin.ErrInvalid},
		"overflow":      {func(r *Request) { r.Offset, r.Length = math.MaxInt64, math.MaxInt64 }, origin.ErrInvalid},
		"no version":    {func(r *Request) { o := *obj; o.Version = ""; r.Object = &o }, origin.ErrUnsupported},
		"no parts":      {func(r *Request) { o := *obj; o.Parts = nil; r.Object = &o }, origin.ErrUnsupported},
		"part unnamed":  {func(r *Request) { o := *obj; o.Parts = []origin.Part{{Length: 1000}}; r.Object = &o }, origin.ErrUnsupported},
		"parts too few": {func(r *Request) { o := *obj; o.Parts = []origin.Part{{ID: "x", Length: 10}}; r.Object = &o }, origin.ErrInvalid},
		"part starts":   {func(r *Request) { o := *obj; o.Parts = []origin.Part{{ID: "x", Offset: 5, Length: 995}}; r.Object = &o }, origin.ErrInvalid},
		"part overflows": {func(r *Request) {
			o := *obj
			o.Parts = []origin.Part{{ID: "x", Offset: 0, Length: 10}, {ID: "y", Offset: 10, Length: math.MaxInt64}}
			r.Object = &o
		}, origin.ErrInvalid},
	} {
		req := good
		tt.change(&req)
		if _, _, err := read(c, req); !errors.Is(err, tt.kind) {
			t.Errorf("%s: %v, want %v", name, err, tt.kind)
		}
	}
	mustRead(t, c, good, data)
}

// partGrid is a grid that starts anew in each part.
type partGrid struct{ grid }

func (g partGrid) PageIn(off, lo, hi int64) (int64, int64, uint8) {
	start := off - (off-lo)%g.size
	return start, min(start+g.size, hi), g.class
}

// TestPartLayouts are asked for one part at a time, by readers and by views alike; a part without an id has no page.
func TestPartLayouts(t *testing.T) {
	obj, data := object("parts", 1000)
	obj.Parts = []origin.Part{{ID: "a", Length: 333}, {ID: "b", Offset: 333, Length: 500}, {Offset: 833, Length: 167}}
	layout := partGrid{grid{size: 100}}
	view, err := NewView(obj, layout)
	if err != nil {
		t.Fatal(err)
	}
	geo := newGeometry(obj, layout)
	for _, want := range []struct {
		at, start, end int64
		part           string
	}{{0, 0, 100, "a"}, {332, 300, 333, "a"}, {333, 333, 433, "b"}, {832, 733, 833, "b"}} {
		pg, err := geo.pageAt(want.at, 0)
		seen, err2 := view.PageAt(want.at)
		key := HashPart(want.part).Page(want.start-map[string]int64{"a": 0, "b": 333}[want.part], want.end-want.start)
		if err != nil || err2 != nil || pg.start != want.start || pg.end != want.end || pg.key != key || seen != (Page{want.start, want.end, key, 0}) {
			t.Errorf("%+v: %+v %v, %+v %v", want, pg, err, seen, err2)
		}
	}
	c := newCache(t, Options{})
	c.Offer(obj, layout, 0, data)
	if s := c.Stats(); s.MemoryPages != 9 {
		t.Errorf("%d pages were offered, want the 9 of the complete parts", s.MemoryPages)
	}
	src := &fakeSource{data: data}
	mustRead(t, c, Request{Object: obj, Layout: layout, Source: src, Length: 833}, data)
	for _, req := range []Request{{Length: 834}, {Offset: 900, Length: 10}} {
		req.Object, req.Layout, req.Source = obj, layout, src
		if _, _, err := read(c, req); !errors.Is(err, origin.ErrUnsupported) {
			t.Errorf("%d+%d: %v", req.Offset, req.Length, err)
		}
	}
	large, data := object("large", 2<<20)
	large.Parts = []origin.Part{{ID: "a", Length: 2<<20 - 1}, {Offset: 2<<20 - 1, Length: 1}}
	few := newCache(t, Options{FillSpan: 1 << 20})
	if r, err := few.Open(t.Context(), Request{Object: large, Layout: grid{size: 64 * kib}, Source: &fakeSource{data: data}, Length: large.Size}); !errors.Is(err, origin.ErrUnsupported) {
		t.Errorf("a read that would fail after its first window begins: %v, %v", r, err)
	}
	if _, err := view.PageAt(833); !errors.Is(err, origin.ErrUnsupported) {
		t.Error(err)
	}
	if _, ok := c.Lookup(t.Context(), obj, 833, 100); ok || c.Resident(obj, layout, 800, 40) || len(src.asked()) != 0 {
		t.Errorf("what may still change is resident; asked %v", src.asked())
	}
}
