package sidecar

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// The hit path: a read of a file that was read before, still fresh, all of it resident. It takes no lock and allocates nothing: the file is
// found in a table of atomic pointers, its version in the freshness book through a Watch, its pages by their keys in the cache's indexes.
// Whatever is not plain goes the general way, Sidecar.Open, which enters the file here when it knows enough.

// hotFile is what a hit needs of a file. It never changes.
type hotFile struct {
	name    string // mount/path
	epoch   uint64 // of the namespace; it is void once another one is in force
	watch   freshness.Watch[origin.Object]
	maxAge  time.Duration // of the object's version, by the path's rule
	version origin.Version
	final   bool                     // the layout is the object's own; else the grid that serves until that is known
	view    *cache.View              // if it takes next to no memory, else nil
	large   weak.Pointer[cache.View] // belongs to the layouts, within their limit
	used    *atomic.Bool             // tells the layouts that it is being read; nil if view is set
}

// smallLayout is up to how many bytes of layout and parts a hotFile keeps itself: grids, and files of one page, of up to three parts.
const smallLayout = 512

// hotWays is how many places a name may take in the table.
const hotWays = 4

// hotFiles finds files by name: a table of fixed size in which the newest of what collides stays. A file that was pushed out is read the
// general way and comes back.
type hotFiles struct {
	seed  maphash.Seed
	slots []atomic.Pointer[hotFile]
	next  atomic.Uint32
}

// hotSlotBytes is about what a file in the table takes: itself, its name, its view, its part's key.
const hotSlotBytes = 512

// newHotFiles makes a table for about as many files as fit so many bytes.
func newHotFiles(bytes int64) *hotFiles {
	n := int64(hotWays)
	for n*2*hotSlotBytes <= bytes && n < 1<<20 {
		n *= 2
	}
	return &hotFiles{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[hotFile], n)}
}

// places returns where a name may be: hotWays neighbours.
func (t *hotFiles) places(name []byte) []atomic.Pointer[hotFile] {
	i := maphash.Bytes(t.seed, name) & uint64(len(t.slots)-1) &^ (hotWays - 1)
	return t.slots[i : i+hotWays]
}

func (t *hotFiles) get(name []byte) *hotFile {
	places := t.places(name)
	for i := range places {
		if f := places[i].Load(); f != nil && f.name == string(name) {
			return f
		}
	}
	return nil
}

// put enters a file, in the place of its predecessor, of one that is of no use any more, or of any.
func (t *hotFiles) put(f *hotFile) {
	places := t.places([]byte(f.name))
	into := -1
	for i := range places {
		old := places[i].Load()
		if old != nil && old.name == f.name {
			into = i
			break
		}
		if into < 0 && (old == nil || old.epoch != f.epoch || old.watch.Answer() == nil) {
			into = i
		}
	}
	if into < 0 {
		into = int(t.next.Add(1) % hotWays)
	}
	places[into].Store(f)
}

// remember enters a file of which the version is in the book. final says that the layout will not change any more.
func (s *Sidecar) remember(m *mounted, obj *origin.Object, layout *formats.Layout, final bool) {
	now := s.namespace.Load()
	if now.mounts[m.name] != m {
		return // the mount was replaced while this reader was under way
	}
	name := m.name + "/" + obj.Path
	if f := s.hot.get([]byte(name)); f != nil && f.epoch == now.epoch && f.version == obj.Version && f.final == final && f.watch.Answer() != nil && f.cut() != nil {
		return
	}
	watch, ok := s.objects.Watch(m.key(obj.Path))
	if !ok {
		return
	}
	own := *obj
	view, err := cache.NewView(&own, layout)
	if err != nil {
		return
	}
	f := &hotFile{name: name, epoch: now.epoch, watch: watch, version: obj.Version, final: final,
		maxAge: now.rules.MaxAge(m.name, obj.Path, freshness.Object)}
	parts := partsWeight(obj)
	switch {
	case int64(layout.MemoryBytes())+parts <= smallLayout:
		f.view = view
	case obj.Unfinished(): // each version would have an id of its own: one for the file is enough
		f.used = s.layouts.hold("growing "+name, view, layout, parts)
	default:
		f.used = s.layouts.hold(layoutID(obj), view, layout, parts)
	}
	f.large = weak.Make(view)
	s.hot.put(f)
}

// cut returns the file's view, if it is still there.
func (f *hotFile) cut() *cache.View {
	if f.view != nil {
		return f.view
	}
	v := f.large.Value()
	if v != nil && !f.used.Load() {
		f.used.Store(true)
	}
	return v
}

// current returns the object if it may be taken for the present one without asking. etag is the version that the client knows to be so.
func (f *hotFile) current(epoch uint64, etag []byte) *origin.Object {
	if f.epoch != epoch {
		return nil
	}
	a := f.watch.Answer()
	if a == nil || a.Err != nil || a.Value.Version != f.version {
		return nil
	}
	switch {
	case f.maxAge == freshness.Forever:
	case f.maxAge == 0:
		return nil
	case len(etag) > 0 && a.Value.ETag == string(etag):
	case time.Since(a.Sent) > f.maxAge:
		return nil
	}
	return &a.Value
}

// maxHitPages is the most pages of one hit. A longer read costs more than the general way adds.
const maxHitPages = 64

// Hit is a range of an object that is resident: what the S3 door's lean way serves. It serves one goroutine and is closed once.
type Hit struct {
	s       *Sidecar
	obj     *origin.Object
	off, n  int64
	pos     int64
	next    int
	last    int
	buf     cache.Buf
	fromMem int64
	pages   [maxHitPages]cache.Page
}

var hits = sync.Pool{New: func() any { return new(Hit) }}

// errPageGone says that a page was evicted after Hit had seen it, or cannot be read now.
var errPageGone = errors.New("the page is not resident any more")

// Hit opens n bytes from off of a file (suffix > 0: its last bytes; n = origin.WholeRange: to the end) if that needs nobody to be asked: the
// version is fresh enough by the path's rule and every page is resident. name is mount/path and is not kept. nil otherwise, whatever the
// reason; Open tells.
func (s *Sidecar) Hit(name []byte, off, n, suffix int64, etag []byte) *Hit {
	f := s.hot.get(name)
	if f == nil {
		return nil
	}
	obj := f.current(s.namespace.Load().epoch, etag)
	if obj == nil || obj.Attributes == nil && off == 0 && n == origin.WholeRange && suffix == 0 {
		return nil
	}
	if suffix > 0 {
		n = min(suffix, obj.Size)
		off = obj.Size - n
	} else if n == origin.WholeRange || n > obj.Size-off {
		n = obj.Size - off
	}
	if off < 0 || n <= 0 {
		return nil
	}
	view := f.cut()
	if view == nil {
		return nil
	}
	h := hits.Get().(*Hit)
	if !h.find(s, view, off, n) {
		hits.Put(h)
		return nil
	}
	h.s, h.obj, h.off, h.n, h.pos, h.next = s, obj, off, n, off, 0
	return h
}

// find looks up the pages of a range; false if one of them is not resident.
func (h *Hit) find(s *Sidecar, view *cache.View, off, n int64) bool {
	h.last = 0
	for at := off; at < off+n; h.last++ {
		if h.last == maxHitPages {
			return false
		}
		p := &h.pages[h.last]
		var err error
		if *p, err = view.PageAt(at); err != nil || !s.opts.Pages.Has(p.Key) {
			return false
		}
		at = p.End
	}
	return true
}

// Object is what the range is of, with what an earlier answer told of it. It must not be changed, nor touched after Close.
func (h *Hit) Object() *origin.Object { return h.obj }

// Range is what the answer holds: clamped to the object, never empty.
func (h *Hit) Range() (offset, length int64) { return h.off, h.n }

// Next returns the next bytes, one page's at most, valid until the next call of Next or Close. io.EOF at the end. Another error says that
// the page cannot be had from the cache any more: the rest has to be read through Open.
func (h *Hit) Next(ctx context.Context) ([]byte, error) {
	h.buf.Free()
	h.buf = cache.Buf{}
	if h.next == h.last {
		return nil, io.EOF
	}
	p := &h.pages[h.next]
	end := min(p.End, h.off+h.n)
	buf, ok := h.s.opts.Pages.ReadPage(ctx, p, h.pos-p.Start, end-h.pos)
	if !ok {
		return nil, errPageGone
	}
	h.s.ahead.ledger.Touch(prefetch.Key(p.Key), true)
	if !buf.Lent() {
		h.fromMem += end - h.pos
	}
	h.buf, h.pos = buf, end
	h.next++
	return buf.B, nil
}

// Close ends the read and counts it.
func (h *Hit) Close() {
	h.buf.Free()
	m := h.s.metrics
	m.requested.Add(float64(h.n))
	m.fromMemory.Add(float64(h.fromMem))
	m.fromDisk.Add(float64(h.pos - h.off - h.fromMem))
	h.s, h.obj, h.buf, h.fromMem = nil, nil, cache.Buf{}, 0
	hits.Put(h)
}
