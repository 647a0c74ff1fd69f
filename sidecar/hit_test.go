package sidecar_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// hit reads by the hit path; false if that has no answer, or loses a page on the way.
func (r *rig) hit(ctx context.Context, req origin.ReadRequest) (origin.Content, []byte, bool) {
	h := r.Hit([]byte("lake/"+req.Path), req.Offset, req.Length, req.Suffix, []byte(req.ETag))
	if h == nil {
		return origin.Content{}, nil, false
	}
	defer h.Close()
	c := origin.Content{Object: *h.Object()}
	c.Offset, c.Length = h.Range()
	var got []byte
	for {
		b, err := h.Next(ctx)
		if err == io.EOF {
			return c, got, true
		}
		if err != nil {
			return c, nil, false
		}
		got = append(got, b...)
	}
}

// forever is the rule that a version is never asked for again.
func forever(o *sidecar.Options, _ *cache.Options) {
	o.Rules = []freshness.Rule{{Path: "**", MaxAge: freshness.Forever}}
}

func TestHitAnswersWhatIsResidentAndFresh(t *testing.T) {
	r := newRig(t, 1, forever)
	data := lakeFile(t, 8, 2, 40_000)
	r.store.Put("t/x.parquet", data)
	size := int64(len(data))
	tail := origin.ReadRequest{Path: "t/x.parquet", Suffix: 48 << 10}
	if _, _, ok := r.hit(t.Context(), tail); ok {
		t.Fatal("a hit of a file that nobody has read")
	}
	r.want("t/x.parquet", data, 0, size-1, 0) // all but the last byte: pages, not a first read
	r.want("t/x.parquet", data, 0, 0, 48<<10)
	r.want("t/x.parquet", data, 0, 0, 48<<10)
	r.calls()
	for _, req := range []origin.ReadRequest{tail, {Path: tail.Path, Offset: 4, Length: 100_000}, {Path: tail.Path, Offset: size - 10, Length: 1 << 40},
		{Path: tail.Path, Offset: 1, Length: origin.WholeRange}, {Path: tail.Path, Suffix: size * 2}, {Path: tail.Path, Length: origin.WholeRange}} {
		c, got, ok := r.hit(t.Context(), req)
		off, n, _ := req.Resolve(size)
		if !ok || c.Offset != off || c.Length != n || !bytes.Equal(got, data[off:off+n]) || c.Object.Size != size {
			t.Errorf("%+v: hit %v, %d bytes at %d", req, ok, len(got), c.Offset)
		}
	}
	for _, req := range []origin.ReadRequest{{Path: "t/y", Length: 1}, {Path: tail.Path, Offset: size, Length: 1}, {Path: tail.Path, Offset: -1, Length: 1}, {Path: tail.Path}} {
		if _, _, ok := r.hit(t.Context(), req); ok {
			t.Errorf("%+v: a hit", req)
		}
	}
	r.wantCalls("hits", "")
}

// A file whose end nobody reads is cut on the grid; once its own layout is known, the hit path follows.
func TestHitFollowsTheLayout(t *testing.T) {
	r := newRig(t, 1, forever)
	data := lakeFile(t, 8, 2, 40_000)
	r.store.Put("x.parquet", data)
	at := origin.ReadRequest{Path: "x.parquet", Offset: 300_000, Length: 50_000}
	for _, step := range []string{"on the grid", "by the layout"} {
		for range 3 {
			r.want(at.Path, data, at.Offset, at.Length, 0)
		}
		if _, got, ok := r.hit(t.Context(), at); !ok || !bytes.Equal(got, data[at.Offset:at.Offset+at.Length]) {
			t.Errorf("%s: hit %v, %d bytes", step, ok, len(got))
		}
		r.want(at.Path, data, 0, 0, 64<<10)
		at.Offset += 600_000
	}
}

func TestHitWantsEveryPageResident(t *testing.T) {
	r := newRig(t, 1, forever)
	data := lakeFile(t, 8, 2, 40_000)
	r.store.Put("x.parquet", data)
	r.want("x.parquet", data, 0, 0, 64<<10)
	for range 3 {
		r.want("x.parquet", data, 4, 1000, 0)
	}
	if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x.parquet", Offset: 4, Length: 1000}); !ok {
		t.Error("no hit of what is resident")
	}
	if h := r.Hit([]byte("lake/x.parquet"), 4, 1<<20, 0, nil); h != nil {
		h.Close()
		t.Error("a hit of a range of which one page is resident")
	}
}

// A listing that names another version ends the hits of the one before, whose pages are still resident.
func TestHitSeesTheVersionThatAListingNames(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		o.Rules = []freshness.Rule{{Path: "**", Answers: []freshness.Kind{freshness.Object}, MaxAge: freshness.Forever}}
	})
	for _, text := range []string{"the first version", "and the second one"} {
		r.store.Put("x", []byte(text))
		r.list("")
		if c, got, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x", Length: 9}); ok {
			t.Errorf("%q of %+v, before anybody read it", got, c.Object)
		}
		for range 3 {
			r.want("x", []byte(text), 0, 9, 0)
		}
		if _, got, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x", Length: 9}); !ok || string(got) != text[:9] {
			t.Errorf("hit %v %q", ok, got)
		}
	}
}

// Whoever asks for the whole object expects its attributes, which a listing does not tell.
func TestHitOfAWholeObjectHasItsAttributes(t *testing.T) {
	r := newRig(t, 1, forever)
	r.store.Put("x", []byte("all of it"))
	r.want("x", []byte("all of it"), 1, 8, 0)
	r.restart()
	r.list("")
	for range 3 {
		r.want("x", []byte("all of it"), 1, 8, 0)
	}
	whole := origin.ReadRequest{Path: "x", Length: origin.WholeRange}
	if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x", Offset: 1, Length: 8}); !ok {
		t.Error("no hit of a part")
	}
	if c, _, ok := r.hit(t.Context(), whole); ok || c.Object.Attributes != nil {
		t.Error("a hit of the whole without attributes")
	}
	r.want("x", []byte("all of it"), 0, origin.WholeRange, 0)
	if c, got, ok := r.hit(t.Context(), whole); !ok || c.Object.Attributes == nil || string(got) != "all of it" {
		t.Errorf("hit %v, %+v", ok, c.Object)
	}
}

func TestHitIsNotFoundOnceTheVersionMayHaveChanged(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		o.Rules = []freshness.Rule{{Path: "lake/zero", MaxAge: 0}, {Path: "lake/ten", MaxAge: 10 * time.Second}, {Path: "**", MaxAge: freshness.Forever}}
	})
	for _, path := range []string{"zero", "ten", "ever"} {
		obj := r.store.Put(path, []byte(path))
		for range 3 {
			r.want(path, []byte(path), 0, 3, 0)
		}
		_, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: path, Length: 3})
		if ok != (path != "zero") {
			t.Errorf("%s: hit %v", path, ok)
		}
		if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: path, Length: 3, ETag: obj.ETag}); ok != (path != "zero") {
			t.Errorf("%s: hit %v with the version named", path, ok)
		}
		r.store.Put(path, []byte("another"))
		if err := r.Invalidate("lake", path, false); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: path, Length: 3}); ok {
			t.Errorf("%s: a hit after a fence", path)
		}
		if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: path, Length: 3, ETag: obj.ETag}); ok {
			t.Errorf("%s: a hit after a fence, since the client named the version of before", path)
		}
		for range 3 {
			r.want(path, []byte("another"), 0, 5, 0)
		}
		if c, got, ok := r.hit(t.Context(), origin.ReadRequest{Path: path, Length: 5}); ok && string(got) != "anoth" {
			t.Errorf("%s: %q of %+v", path, got, c.Object)
		}
	}
}

// The client's own confirmation keeps a hit alive when the rule's age has passed.
func TestHitTakesTheClientsConfirmation(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		o.Rules = []freshness.Rule{{Path: "**", MaxAge: time.Nanosecond}}
	})
	obj := r.store.Put("x", []byte("some bytes"))
	for range 3 {
		r.want("x", []byte("some bytes"), 0, 4, 0)
	}
	if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x", Length: 4}); ok {
		t.Error("a hit beyond max_age")
	}
	if _, got, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x", Length: 4, ETag: obj.ETag}); !ok || string(got) != "some" {
		t.Errorf("hit %v %q, and the client had named the version", ok, got)
	}
	if _, _, ok := r.hit(t.Context(), origin.ReadRequest{Path: "x", Length: 4, ETag: `"other"`}); ok {
		t.Error("a hit for a client that named another version")
	}
}

// A layout that was evicted is not kept alive by the hit path: its memory is limited.
func TestHitDoesNotKeepEvictedLayouts(t *testing.T) {
	r := newRig(t, 1, forever, func(o *sidecar.Options, _ *cache.Options) { o.LayoutMemory = 6 << 10 })
	data := lakeFile(t, 60, 3, 2000) // 1.4 KiB of layout
	paths := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, p := range paths {
		r.store.Put(p, data)
		for range 3 {
			r.want(p, data, 0, int64(len(data))-1, 0)
			r.want(p, data, 0, 0, 64<<10)
		}
	}
	runtime.GC()
	runtime.GC()
	alive := 0
	for _, p := range paths {
		if _, got, ok := r.hit(t.Context(), origin.ReadRequest{Path: p, Offset: 4, Length: 100}); ok {
			alive++
			if !bytes.Equal(got, data[4:104]) {
				t.Errorf("%s: wrong bytes", p)
			}
		}
	}
	if alive == 0 || alive == len(paths) {
		t.Errorf("%d of %d files hit: the limit of layouts is 6 KiB", alive, len(paths))
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	r := newRig(t, 1, forever)
	data := lakeFile(t, 8, 2, 40_000)
	r.store.Put("t/x.parquet", data)
	for range 3 {
		r.want("t/x.parquet", data, 0, int64(len(data))-1, 0)
		r.want("t/x.parquet", data, 0, 0, 64<<10)
	}
	name, ctx := []byte("lake/t/x.parquet"), t.Context()
	failed := 0
	read := func() {
		h := r.Hit(name, 4, 64<<10, 0, nil)
		if h == nil {
			failed++
			return
		}
		defer h.Close()
		for {
			if _, err := h.Next(ctx); err != nil {
				if !errors.Is(err, io.EOF) {
					failed++
				}
				return
			}
		}
	}
	read()
	if n := testing.AllocsPerRun(2000, read); n > 0.1 || failed > 0 {
		t.Errorf("%v allocations a hit, %d failed", n, failed)
	}
}
