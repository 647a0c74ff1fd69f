package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// Stat answers the object, attributes included, as fresh as the path's rule demands.
func (s *Sidecar) Stat(ctx context.Context, mount, path string) (origin.Object, error) {
	o, err := s.mount(mount)
	if err != nil {
		return origin.Object{}, err
	}
	fresh := s.maxAge(mount, path, "", true, nil)
	if err := s.absent(ctx, mount, o, path, fresh); err != nil {
		return origin.Object{}, err
	}
	a, _, err := s.objects.GetDated(ctx, o.key(path), fresh, s.present(o, path, fresh, func(ctx context.Context) (origin.Object, error) {
		s.metrics.confirmed(byStat, 1)
		return o.Stat(ctx, path)
	}))
	return a.Value, err
}

// maxAge says how old an answer about a path may be. An answer without attributes is of no use if they are needed. A client that names
// the ETag it wants confirms that version itself, except where the rule demands that the origin be asked every time. Where moves (may be nil) says that
// what is wanted may still change, the origin is asked whatever the rule: nobody could read it at a version that has been left behind.
func (s *Sidecar) maxAge(mount, path, etag string, attributes bool, moves func(*origin.Object) bool) func(freshness.Answer[origin.Object]) time.Duration {
	rules := s.rules()
	found := rules.MaxAge(mount, path, freshness.Object)
	missing := rules.MaxAge(mount, path, freshness.NotFound)
	return func(a freshness.Answer[origin.Object]) time.Duration {
		switch {
		case a.Err != nil:
			return missing
		case attributes && a.Value.Attributes == nil:
			return freshness.Never
		case moves != nil && moves(&a.Value):
			return 0
		case etag != "" && etag == a.Value.ETag && found > 0:
			return freshness.Forever
		}
		return found
	}
}

// Open reads a range of an object, exactly one version of it, no older than the path's rule allows. check (may be nil) sees the object
// before any byte is waited for; its error ends the read and is returned as it is. If the object changes at the origin before the first
// byte was handed out, the read starts once more at the new version. The caller closes the content's body, which also is an
// io.WriterTo.
func (s *Sidecar) Open(ctx context.Context, mount string, req origin.ReadRequest, check func(*origin.Object) error) (origin.Content, error) {
	o, err := s.mount(mount)
	if err != nil {
		return origin.Content{}, err
	}
	if err := req.Validate(); err != nil {
		return origin.Content{}, err
	}
	r := &reading{s: s, mount: mount, origin: o, req: req, check: check, key: o.key(req.Path)}
	c, err := r.open(ctx)
	if errors.Is(err, origin.ErrVersionChanged) {
		s.metrics.versionChanges.Inc()
		s.objects.Fence(r.key) // nothing that was sent for before this moment is to be believed any more
		s.ahead.changed(o, req.Path)
		c, err = r.open(ctx)
	}
	return c, err
}

// reading is one Open under way.
type reading struct {
	s      *Sidecar
	mount  string
	origin *mounted
	req    origin.ReadRequest
	check  func(*origin.Object) error
	key    string
	look   bool // the object is wanted, not its bytes

	owner  prefetch.Owner // of what is read beyond what a reader wants; nil: nobody in particular
	beyond int64          // of a first read, what lies before this point of the object was asked for by nobody; 0: nothing
}

func (r *reading) open(ctx context.Context) (origin.Content, error) {
	var mine handover
	fresh := r.s.maxAge(r.mount, r.req.Path, r.req.ETag, r.whole(), r.moves)
	if err := r.s.absent(ctx, r.mount, r.origin, r.req.Path, fresh); err != nil {
		return origin.Content{}, err
	}
	a, asked, err := r.s.objects.GetDated(ctx, r.key, fresh, r.s.present(r.origin, r.req.Path, fresh,
		func(ctx context.Context) (origin.Object, error) { return r.ask(ctx, &mine) }))
	first := mine.take()
	if err != nil {
		first.release()
		return origin.Content{}, err
	}
	if !asked { // what was read belongs to a request that this reader gave up
		first.release()
		first = nil
	}
	obj := a.Value
	if r.req.ETag != "" && r.req.ETag == obj.ETag {
		r.s.metrics.confirmed(byEngine, 1)
	}
	off, n, err := r.req.Resolve(obj.Size)
	if err == nil && r.check != nil {
		err = r.check(&obj)
	}
	if err != nil {
		first.release()
		return origin.Content{}, err
	}
	return r.serve(ctx, &obj, off, n, first)
}

// moves tells whether the wanted range reaches what may still change.
func (r *reading) moves(obj *origin.Object) bool {
	if !obj.Unfinished() {
		return false
	}
	off, n, err := r.req.Resolve(obj.Size)
	return err != nil || off+n > obj.Settled()
}

// whole tells whether the answer is the object as such, whose attributes the client then expects.
func (r *reading) whole() bool {
	return r.req.Suffix == 0 && r.req.Offset == 0 && r.req.Length == origin.WholeRange
}

// serve answers n bytes at off of obj, beginning with what a first read has already brought (may be nil).
func (r *reading) serve(ctx context.Context, obj *origin.Object, off, n int64, first *run) (origin.Content, error) {
	c := origin.Content{Object: *obj, Offset: off, Length: n}
	r.s.ahead.serving(ctx, obj, off, n)
	if n == 0 {
		first.release()
		c.Body = io.NopCloser(eof{})
		return c, nil
	}
	if obj.Version == "" && !first.covers(off, n) {
		first.release()
		return r.origin.Read(ctx, origin.ReadRequest{Path: obj.Path, Offset: off, Length: n})
	}
	if first == nil {
		run, err := r.firstRun(ctx, obj, off, n)
		if err != nil {
			return origin.Content{}, err
		}
		first = run
	}
	told := r.s.ahead.served(r.mount, r.origin, obj, off, n)
	head := first.slice(off, n)
	b := &stream{ctx: ctx, r: r, told: told, obj: obj, run: first, head: head, off: off + int64(len(head)), left: n - int64(len(head))}
	r.s.metrics.served(first.source(), int64(len(head)))
	r.s.metrics.requested.Add(float64(n))
	if len(head) == 0 {
		first.release()
		b.run = nil
		if err := b.more(); err != nil {
			return origin.Content{}, err
		}
	}
	c.Body = b
	return c, nil
}

// pages opens a range of obj in the page cache, cut by the layout if that is known by now, else on the grid.
func (r *reading) pages(ctx context.Context, obj *origin.Object, off, n int64) (*cache.Reader, error) {
	layout, ok := r.s.known(ctx, obj)
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	r.s.remember(r.origin, obj, layout, ok)
	return r.s.opts.Pages.Open(ctx, cache.Request{Object: obj, Layout: layout, Source: source{r.s, r.origin}, Offset: off, Length: n})
}

// source reads misses for the page cache: at the object's version, confirming it on the way.
type source struct {
	s      *Sidecar
	origin *mounted
}

// fetch asks the origin.
func (f source) fetch(ctx context.Context, obj *origin.Object, off, n int64) (io.ReadCloser, error) {
	body, err := f.read(ctx, obj, off, n)
	if errors.Is(err, origin.ErrVersionChanged) {
		return f.fetchElsewhere(ctx, obj, off, n, err)
	}
	return body, err
}

// read reads from the origin at the object's version.
func (f source) read(ctx context.Context, obj *origin.Object, off, n int64) (io.ReadCloser, error) {
	sent := time.Now()
	c, err := f.origin.Read(ctx, origin.ReadRequest{Path: obj.Path, Version: obj.Version, ETag: obj.ETag, Offset: off, Length: n})
	if err != nil {
		return nil, err
	}
	if err := sameAs(obj, &c, off, n); err != nil {
		c.Body.Close()
		return nil, err
	}
	f.s.objects.Confirm(f.origin.key(obj.Path), c.Object, sent)
	f.s.metrics.confirmed(byRead, 1)
	return c.Body, nil
}

// sameAs checks that an answer is of the version and the range that were asked for.
func sameAs(obj *origin.Object, c *origin.Content, off, n int64) error {
	switch {
	case c.Object.Version != obj.Version:
		return origin.NewError(origin.ErrVersionChanged, "read", obj.Path,
			fmt.Errorf("asked for version %s, answered %s", obj.Version, c.Object.Version))
	case c.Offset != off || c.Length != n:
		return origin.NewError(origin.ErrUnavailable, "read", obj.Path,
			fmt.Errorf("asked for %d bytes at %d, answered %d at %d", n, off, c.Length, c.Offset))
	}
	return nil
}

type eof struct{}

func (eof) Read([]byte) (int, error)         { return 0, io.EOF }
func (eof) WriteTo(io.Writer) (int64, error) { return 0, nil }
