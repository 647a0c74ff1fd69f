package rpc

import (
	"context"
	"time"
	"unicode/utf8"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// teller writes the pages of the files of one Open into its reply. It serves one goroutine.
type teller struct {
	s     *Server
	x     *call
	reply *apiv1.OpenReply
	left  int // pages that may still be told

	segments map[cache.SegmentID]uint32 // positions in reply.Segments
	last     cache.SegmentID            // the one looked up last: neighbours in a file often are neighbours on disk
	lastAt   uint32

	row     row
	missing []cache.Page // of the file, if the client wants to fill them
	at      []uint32     // their numbers in the row
	extent  []int        // the extents that they are in
	counts  struct{ placed, memory, missing int }
}

// tell answers one file. An error is the whole call's.
func (t *teller) tell(ctx context.Context, f *apiv1.OpenFile, found *located) (*apiv1.OpenedFile, error) {
	if found.err != nil {
		e := fileError(ctx, found.err)
		e.Asked = found.asked
		return &apiv1.OpenedFile{Error: e}, nil
	}
	obj := &found.Object
	in, err := spans(f.GetRanges(), obj.Settled())
	if err != nil {
		return &apiv1.OpenedFile{Error: fileError(ctx, err)}, nil
	}
	out := &apiv1.OpenedFile{Object: object(obj), FreshForUs: microseconds(found.FreshFor)}
	if found.View == nil || out.Object.Version == "" {
		return out, nil
	}
	keys := found.View.Parts()
	for i, p := range found.View.Object().Parts {
		part := &apiv1.Part{Offset: p.Offset, Length: p.Length}
		if p.ID != "" {
			part.Key = keys[i][:]
		}
		out.Parts = append(out.Parts, part)
	}
	t.row.reset()
	t.missing, t.at, t.extent = t.missing[:0], t.at[:0], t.extent[:0]
	claim := f.GetFill() != nil && f.GetClaim()
	err = walk(ctx, found.View, in, func(p cache.Page) bool {
		if t.left == 0 {
			return false
		}
		t.left--
		t.page(out, &p, claim)
		return true
	})
	t.row.flush(out)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return &apiv1.OpenedFile{Error: fileError(ctx, err)}, nil
	}
	if len(t.missing) > 0 {
		t.claim(found.file, out)
	}
	return out, nil
}

// page tells one page.
func (t *teller) page(out *apiv1.OpenedFile, p *cache.Page, claim bool) {
	n := t.row.add(out, p)
	if places := t.s.opts.Places; places != nil {
		if at, ok := places.Place(p.Key); ok && int64(at.Length) == p.End-p.Start {
			t.row.place(n, t.segment(at.Segment), uint32(at.Off/64))
			t.counts.placed++
			return
		}
	}
	switch {
	case t.s.opts.Cache.Has(p.Key):
		t.row.memory.add(n)
		t.counts.memory++
		return
	case claim:
		t.missing, t.at, t.extent = append(t.missing, *p), append(t.at, n), append(t.extent, len(out.Extents))
	}
	t.counts.missing++
}

// segment returns a segment's position in the reply.
func (t *teller) segment(id cache.SegmentID) uint32 {
	if t.segments == nil {
		t.segments = map[cache.SegmentID]uint32{}
	} else if id == t.last {
		return t.lastAt
	}
	at, ok := t.segments[id]
	if !ok {
		at = uint32(len(t.reply.Segments))
		t.segments[id] = at
		t.reply.Segments = append(t.reply.Segments, segment(id))
	}
	t.last, t.lastAt = id, at
	return at
}

// claim tries to give the client the missing pages of a file to fill. What was put between the look at the cache and the claim is given back at once: the
// client sees it at its next Open.
func (t *teller) claim(file fileID, out *apiv1.OpenedFile) {
	mine, outcomes := t.s.claims.grant(t.x.conn, file, t.missing)
	var granted, claimed steps
	current, held := -1, 0
	put := func() {
		if current >= 0 {
			out.Extents[current].Granted, out.Extents[current].Claimed = granted.take(), claimed.take()
		}
	}
	var present []cache.Key
	for i, outcome := range outcomes {
		if t.extent[i] != current {
			put()
			current = t.extent[i]
		}
		switch {
		case outcome == claimGranted && t.s.opts.Cache.Has(t.missing[i].Key):
			present = append(present, t.missing[i].Key)
		case outcome == claimGranted:
			granted.add(t.at[i])
			held++
		case outcome == claimTaken:
			claimed.add(t.at[i])
		}
	}
	put()
	if mine == nil {
		return
	}
	t.s.claims.release(mine, present)
	if held > 0 {
		out.Claim = &apiv1.Claim{Token: mine.token[:], DeadlineMs: uint32(t.s.opts.ClaimDeadline.Milliseconds())}
	}
}

func (t *teller) count() {
	m := t.s.metrics.told
	m[toldPlaced].Add(float64(t.counts.placed))
	m[toldMemory].Add(float64(t.counts.memory))
	m[toldMissing].Add(float64(t.counts.missing))
}

// steps is a list of page numbers, each as its distance from the one before.
type steps struct {
	list []uint32
	last uint32
}

func (s *steps) add(n uint32) {
	s.list = append(s.list, n-s.last)
	s.last = n
}

// take returns a copy of the list, nil if it is empty, and starts anew.
func (s *steps) take() []uint32 {
	out := exact(s.list)
	s.list, s.last = s.list[:0], 0
	return out
}

func exact[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return append(make([]T, 0, len(list)), list...)
}

// row is an extent as it grows: pages without a gap. Its lists are used again for the next one.
type row struct {
	start, end int64
	pages      uint32
	lengths    []uint32
	counts     []uint32
	classes    []byte
	placed     steps
	segments   []uint32
	records    []uint32
	memory     steps
}

func (r *row) reset() {
	r.pages, r.lengths, r.counts, r.classes = 0, r.lengths[:0], r.counts[:0], r.classes[:0]
	r.segments, r.records = r.segments[:0], r.records[:0]
}

// add appends a page, beginning a new extent where it does not follow the last one, and returns its number.
func (r *row) add(out *apiv1.OpenedFile, p *cache.Page) uint32 {
	if r.pages > 0 && p.Start != r.end {
		r.flush(out)
	}
	if r.pages == 0 {
		r.start = p.Start
	}
	length := uint32(p.End - p.Start)
	if n := len(r.lengths); n > 0 && r.lengths[n-1] == length && r.classes[n-1] == p.Class {
		r.counts[n-1]++
	} else {
		r.lengths, r.counts, r.classes = append(r.lengths, length), append(r.counts, 1), append(r.classes, p.Class)
	}
	r.end = p.End
	r.pages++
	return r.pages - 1
}

func (r *row) place(n, segment, record uint32) {
	r.placed.add(n)
	r.segments, r.records = append(r.segments, segment), append(r.records, record)
}

// flush ends the extent.
func (r *row) flush(out *apiv1.OpenedFile) {
	if r.pages == 0 {
		return
	}
	out.Extents = append(out.Extents, &apiv1.Extent{
		Offset: r.start, Lengths: exact(r.lengths), Counts: exact(r.counts), Classes: exact(r.classes),
		Placed: r.placed.take(), Segments: exact(r.segments), Records: exact(r.records), Memory: r.memory.take(),
	})
	r.reset()
}

// object is an origin's object on the wire. Protobuf's strings are UTF-8: a version that is not cannot be named, so its object is read through.
func object(o *origin.Object) *apiv1.Object {
	out := &apiv1.Object{Path: text(o.Path), Size: o.Size, Etag: text(o.ETag)}
	if utf8.ValidString(string(o.Version)) {
		out.Version = string(o.Version)
	}
	if !o.ModTime.IsZero() {
		out.ModifiedMs = o.ModTime.UnixMilli()
	}
	return out
}

func microseconds(d time.Duration) int64 {
	if d == freshness.Forever {
		return -1
	}
	return d.Microseconds()
}
