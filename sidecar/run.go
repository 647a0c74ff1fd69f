package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// run is the bytes of a first read: of an object that was not known, or whose layout was not. They came in one request, tell the layout
// if they hold the footer, go to the page cache cut by it, and answer the reader that asked for them. They are counted against
// Options.RunMemory until released. A nil run is empty.
type run struct {
	off    int64
	data   []byte
	peer   bool // another sidecar had all of it
	once   sync.Once
	giveup func()
}

func (r *run) end() int64 { return r.off + int64(len(r.data)) }

// slice returns what the run holds of n bytes at off, from off on; nothing if it does not hold the byte at off.
func (r *run) slice(off, n int64) []byte {
	if r == nil || off < r.off || off >= r.end() {
		return nil
	}
	return r.data[off-r.off : min(off+n, r.end())-r.off]
}

// source is where the run came from.
func (r *run) source() string {
	if r != nil && r.peer {
		return fromPeer
	}
	return fromOrigin
}

func (r *run) covers(off, n int64) bool { return int64(len(r.slice(off, n))) == n }

func (r *run) release() {
	if r != nil {
		r.once.Do(r.giveup)
	}
}

// handover passes a run from the request, which belongs to no reader, to the reader that began it, if that one is still there.
type handover struct {
	mu    sync.Mutex
	run   *run
	taken bool
}

func (h *handover) give(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken {
		r.release()
		return
	}
	h.run = r
}

// take returns the run, if it is there, and has later ones released.
func (h *handover) take() *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.run
	h.run, h.taken = nil, true
	return r
}

// ask finds out the object's present version. If all that the reader wants is resident for the version last heard of, a Stat is cheapest;
// else the read itself is the Stat (design section 7).
func (r *reading) ask(ctx context.Context, mine *handover) (origin.Object, error) {
	req, stat := r.firstRequest(), false
	plain := req.Suffix
	req.Suffix = min(max(plain, r.s.ahead.tail(r, plain)), r.s.opts.FillSpan)
	if a, ok := r.s.objects.Peek(r.key); ok && a.Err == nil {
		req, stat = r.guess(ctx, &a.Value, req)
	}
	most := max(req.Suffix, req.Length)
	if !stat && r.s.budget.TryAcquire(most) {
		obj, run, err := r.readFirst(ctx, req, most)
		if err != nil || run == nil {
			return obj, err
		}
		r.s.metrics.confirmed(byRead, 1)
		if req.Suffix > plain {
			r.beyond = obj.Size - plain
		}
		r.adopt(ctx, &obj, run)
		mine.give(run)
		return obj, nil
	}
	r.s.metrics.confirmed(byStat, 1)
	return r.origin.Stat(ctx, r.req.Path)
}

// guess says how to ask for the present version of an object that was last heard of as obj: by a Stat, or by the read that it returns. req is what
// would be read of an unknown object.
func (r *reading) guess(ctx context.Context, obj *origin.Object, req origin.ReadRequest) (_ origin.ReadRequest, stat bool) {
	if obj.Version == "" {
		return req, false
	}
	off, n, err := r.req.Resolve(obj.Size)
	if err != nil || n == 0 || r.look && obj.Unfinished() {
		return req, true
	}
	if obj.Unfinished() && off >= obj.Settled() { // nothing of it will be cached, so nothing beside it is worth having
		exact := r.req
		exact.Version, exact.ETag = "", ""
		if exact.Suffix > 0 {
			exact.Suffix = min(exact.Suffix, r.s.opts.FillSpan)
		} else if exact.Length == origin.WholeRange || exact.Length > r.s.opts.FillSpan {
			exact.Length = r.s.opts.FillSpan
		}
		return exact, false
	}
	n = min(n, obj.Settled()-off)
	if len(obj.Parts) > 1 {
		n = 1 // an append leaves all but the end as it was: where the beginning is resident, it is not read again for the sake of an answer's version
	}
	if r.resident(ctx, obj, off, n) {
		return req, true
	}
	return r.withoutTail(ctx, obj, req), false
}

// withoutTail takes the object's end off a request that reaches it, if that is resident: the look which opened the file has just read it. The answer tells the
// version all the same.
func (r *reading) withoutTail(ctx context.Context, obj *origin.Object, req origin.ReadRequest) origin.ReadRequest {
	tail := obj.Size - formats.TailSize
	if req.Suffix == 0 && req.Offset < tail && req.Length > tail-req.Offset && r.resident(ctx, obj, tail, formats.TailSize) {
		req.Length = tail - req.Offset
	}
	return req
}

// resident tells whether a range of an object could be served without the origin.
func (r *reading) resident(ctx context.Context, obj *origin.Object, off, n int64) bool {
	layout, ok := r.s.known(ctx, obj)
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	return r.s.opts.Pages.Resident(obj, layout, off, n)
}

// firstRequest widens what the reader wants to what is worth having of an object that nothing is known of: a suffix to the tail page that
// all readers share, a closed range to the grid.
func (r *reading) firstRequest() origin.ReadRequest {
	req := origin.ReadRequest{Path: r.req.Path}
	if r.req.Suffix > 0 {
		req.Suffix = min(max(r.req.Suffix, formats.TailSize), r.s.opts.FillSpan)
		return req
	}
	const grid = formats.GridPage
	req.Offset = r.req.Offset - r.req.Offset%grid
	req.Length = r.s.opts.FillSpan
	if r.req.Length != origin.WholeRange && r.req.Length < req.Length {
		end := r.req.Offset + r.req.Length
		req.Length = min(req.Length, end+(grid-end%grid)%grid-req.Offset)
	}
	return req
}

// readFirst reads a run, for which held bytes of the budget were acquired. The run is nil if the object has no bytes there.
func (r *reading) readFirst(ctx context.Context, req origin.ReadRequest, held int64) (origin.Object, *run, error) {
	free := func() { r.s.budget.Release(held) }
	c, err := r.origin.Read(ctx, req)
	if errors.Is(err, origin.ErrInvalidRange) {
		// The widened range starts where the wanted one does or before: the object is shorter than either. A Stat says how short.
		free()
		obj, err := r.origin.Stat(ctx, req.Path)
		return obj, nil, err
	}
	if err != nil {
		free()
		return origin.Object{}, nil, err
	}
	defer c.Body.Close()
	if c.Length > held {
		free()
		return origin.Object{}, nil, origin.NewError(origin.ErrUnavailable, "read", req.Path,
			fmt.Errorf("asked for %d bytes, answered %d", held, c.Length))
	}
	data := make([]byte, c.Length)
	if _, err := io.ReadFull(c.Body, data); err != nil {
		free()
		return origin.Object{}, nil, broken(req.Path, err)
	}
	if unused := held - c.Length; unused > 0 {
		r.s.budget.Release(unused)
	}
	r.s.metrics.runs.Inc()
	r.s.metrics.runBytes.Add(float64(c.Length))
	return c.Object, &run{off: c.Offset, data: data, giveup: func() { r.s.budget.Release(c.Length) }}, nil
}

// readEnd reads a run of an object's version, for which held bytes of the budget were acquired.
func (r *reading) readEnd(ctx context.Context, obj *origin.Object, start, length, held int64) (*run, error) {
	body, err := source{r.s, r.origin}.Fetch(ctx, obj, start, length)
	if errors.Is(err, origin.ErrInvalidRange) { // the object is shorter now
		err = origin.NewError(origin.ErrVersionChanged, "read", obj.Path, err)
	}
	if err != nil {
		r.s.budget.Release(held)
		return nil, err
	}
	defer body.Close()
	data := make([]byte, length)
	if _, err := io.ReadFull(body, data); err != nil {
		r.s.budget.Release(held)
		return nil, broken(obj.Path, err)
	}
	r.s.metrics.runs.Inc()
	r.s.metrics.runBytes.Add(float64(length))
	return &run{off: start, data: data, peer: cache.Borrowed(body) == length, giveup: func() { r.s.budget.Release(held) }}, nil
}

// broken makes sure that a body which ended early is an error of a kind, never an end.
func broken(path string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return origin.NewError(origin.ErrUnavailable, "read", path, io.ErrUnexpectedEOF)
	}
	return err
}

// adopt derives the object's layout from a run, if it tells, and gives its pages to the cache.
func (r *reading) adopt(ctx context.Context, obj *origin.Object, run *run) {
	if obj.Version == "" {
		return
	}
	layout, ok := r.s.known(ctx, obj)
	if !ok && run.end() == obj.Size {
		// Kept only when the pages are there: who finds it looks for them at once.
		if layout, ok = r.s.workOut(ctx, obj, run); ok {
			defer func() { r.s.layouts.put(layoutID(obj), layout) }()
		}
	}
	if r.beyond > 0 {
		cut := layout
		if !ok {
			cut = formats.Provisional(obj.Path, obj.Size)
		}
		r.s.ahead.offered(obj, cut, run, r.beyond, r.owner)
	}
	if tail := obj.Size - formats.TailSize; !ok && run.end() == obj.Size && run.off <= tail {
		// The footer is longer than the run. Of what came, only the tail will be a page whatever the footer says; it tells how
		// long the footer is.
		r.s.opts.Pages.Offer(obj, formats.Provisional(obj.Path, obj.Size), tail, run.data[tail-run.off:])
		return
	}
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	r.s.opts.Pages.Offer(obj, layout, run.off, run.data)
}

// firstRun reads the wanted range of an object whose version is known but whose layout is not, if the range reaches the object's end: its
// bytes then tell the layout. Readers that come meanwhile wait for it and find the layout known; they, and all others, get a nil run.
func (r *reading) firstRun(ctx context.Context, obj *origin.Object, off, n int64) (*run, error) {
	if off+n != obj.Size {
		return nil, nil
	}
	if _, ok := r.s.known(ctx, obj); ok {
		return nil, nil
	}
	if len(obj.Parts) > 1 && r.resident(ctx, obj, off, 1) {
		return nil, nil // an append, after which the range is mostly there still: the last pages alone tell the layout
	}
	start := min(off, obj.Size-formats.TailSize)
	if n := r.s.ahead.tail(r, obj.Size-start); obj.Size-n < start && n > 0 {
		r.beyond = start
		start = max(0, obj.Size-n)
	}
	length := obj.Size - start
	if length > r.s.opts.FillSpan {
		return nil, nil
	}
	var mine handover
	always := func(freshness.Answer[struct{}]) time.Duration { return freshness.Forever }
	_, asked, err := r.s.runs.Get(ctx, layoutID(obj), always, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.readTail(ctx, obj, start, length, &mine)
	})
	run := mine.take()
	if err != nil || !asked {
		run.release()
		run = nil
	}
	return run, err
}

// readTail reads the end of an object at its version and adopts it. Without budget it reads nothing: the pages are then read on the grid.
func (r *reading) readTail(ctx context.Context, obj *origin.Object, start, length int64, mine *handover) error {
	if _, ok := r.s.known(ctx, obj); ok || !r.s.budget.TryAcquire(length) {
		return nil
	}
	// A tail page that is resident (its footer is longer than it) need not travel again.
	tail, kept := cache.Buf{}, false
	if at := obj.Size - formats.TailSize; start < at {
		if tail, kept = r.s.opts.Pages.Lookup(ctx, obj, at, formats.TailSize); kept {
			defer tail.Free()
			length = at - start
		}
	}
	run, err := r.readEnd(ctx, obj, start, length, length+int64(len(tail.B)))
	if err != nil {
		return err
	}
	if kept {
		run.data = append(run.data, tail.B...)
	}
	r.adopt(ctx, obj, run)
	mine.give(run)
	return nil
}
