package sidecar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Located is a file as a client finds it that reads pages itself.
type Located struct {
	Object origin.Object
	// View cuts the object into pages, as far as it is settled (Object.Settled); nil if it has no version or no parts, so that
	// it can only be read through.
	View *cache.View
	// FreshFor is for how long from now the object may be taken for the present one without asking again: 0 is only for who asked,
	// freshness.Forever needs no asking.
	FreshFor time.Duration
	// Asked is, with an error of kind origin.ErrNotFound, when the origin was asked that said so, for the file or for a listing of its folder; zero if that is not known.
	Asked time.Time
}

// Locate answers a file's present version, as fresh as the path's rule demands, and its layout. Of an object that nothing is known of, the
// last 64 KiB are read: they tell the version and, as a rule, the layout, and every reader begins with them. etag (may be "") is the
// version that the client knows to be the present one.
func (s *Sidecar) Locate(ctx context.Context, mount, path, etag string) (Located, error) {
	return s.LocateWhole(ctx, mount, path, etag, 0)
}

// LocateWhole is Locate for a client that is about to read the whole file, which it takes to be of that many bytes (0: it is not). Of
// a file that nothing is known of, or not how it is cut, all is then read in one request instead of the end first and then the rest;
// not if it is larger than Options.FillSpan.
func (s *Sidecar) LocateWhole(ctx context.Context, mount, path, etag string, whole int64) (Located, error) {
	o, err := s.mount(mount)
	if err != nil {
		return Located{}, err
	}
	req := origin.ReadRequest{Path: path, ETag: etag, Suffix: formats.TailSize}
	key := o.key(path)
	if _, known := s.objects.Peek(key); whole > s.opts.FillSpan {
		whole = 0
	} else if whole > 0 && !known {
		req.Suffix, req.Length = 0, whole
	}
	if err := req.Validate(); err != nil {
		return Located{}, err
	}
	r := &reading{s: s, mount: mount, origin: o, req: req, key: key, look: true}
	fresh := s.maxAge(mount, path, etag, false, (*origin.Object).Unfinished)
	if err := s.absent(ctx, mount, o, path, fresh); err != nil {
		var l *notListed
		if errors.As(err, &l) {
			return Located{Asked: l.asked}, err
		}
		return Located{}, err
	}
	var mine handover
	a, _, err := s.objects.GetDated(ctx, r.key, fresh, s.present(o, path, fresh, func(ctx context.Context) (origin.Object, error) { return r.ask(ctx, &mine) }))
	mine.take().release() // the pages are in the cache
	if errors.Is(err, origin.ErrNotFound) {
		return Located{Asked: a.Sent}, err
	}
	if err != nil {
		return Located{}, err
	}
	found := Located{Object: a.Value, FreshFor: s.freshFor(mount, path, a.Sent)}
	if found.Object.Unfinished() {
		found.FreshFor = 0
	}
	if found.Object.Version == "" || len(found.Object.Parts) == 0 {
		return found, nil
	}
	if found.View, err = r.view(ctx, &found.Object, whole); err == nil {
		s.ahead.located(mount, o, &found.Object, whole)
	}
	return found, err
}

// view cuts an object whose version is known, reading its end if nothing else tells how, or all of it if whole is its size.
func (r *reading) view(ctx context.Context, obj *origin.Object, whole int64) (*cache.View, error) {
	layout, ok := r.s.known(ctx, obj)
	if !ok && obj.Size > 0 {
		n := min(obj.Size, formats.TailSize)
		if whole == obj.Size {
			n = whole
		}
		first, err := r.firstRun(ctx, obj, obj.Size-n, n)
		first.release()
		if err != nil {
			return nil, err
		}
		layout, ok = r.s.known(ctx, obj)
	}
	if !ok {
		layout = formats.Provisional(obj.Path, obj.Size)
	}
	return cache.NewView(obj, layout)
}

// freshFor is what is left of an answer's greatest age.
func (s *Sidecar) freshFor(mount, path string, sent time.Time) time.Duration {
	age := s.rules().MaxAge(mount, path, freshness.Object)
	if age == freshness.Forever {
		return freshness.Forever
	}
	return max(0, age-time.Since(sent))
}

// ClientFile is a file that clients of one trust domain read from the origin themselves and put page by page.
type ClientFile struct {
	Domain  string // the trust domain
	Mount   string // any name that the clients agree on; no mount of the sidecar's need have it
	Path    string
	Kind    string // what Version is made of
	Version string
	Size    int64 // bytes
}

// LocateClient cuts a client's file into pages: by its format once the pages that tell it were put, on a grid until then. It asks no
// origin. The pages' keys are of the domain and the kind of version, so that they never mix with pages that the sidecar has read.
func (s *Sidecar) LocateClient(ctx context.Context, f ClientFile) (Located, error) {
	if f.Size < 0 {
		return Located{}, origin.NewError(origin.ErrInvalid, "open", f.Path, fmt.Errorf("size %d is negative", f.Size))
	}
	id := fmt.Sprintf(ClientParts+"%q %q %q %q %q %d", f.Domain, f.Mount, f.Path, f.Kind, f.Version, f.Size)
	obj := origin.Object{Path: f.Path, Version: origin.Version(f.Kind + " " + f.Version), Size: f.Size,
		Parts: []origin.Part{{ID: id, Length: f.Size}}}
	found := Located{Object: obj, FreshFor: freshness.Forever}
	layout, ok := s.known(ctx, &found.Object)
	if !ok {
		layout = formats.Provisional(f.Path, f.Size)
	}
	view, err := cache.NewView(&found.Object, layout)
	found.View = view
	return found, err
}

// Invalidate says that a path, or everything below a prefix, was written by other means: nothing that was sent for until now is believed
// any more. It touches no page: those are of versions.
func (s *Sidecar) Invalidate(mount, path string, prefix bool) error {
	m, err := s.mount(mount)
	if err != nil {
		return err
	}
	s.fence(m, path)
	if prefix {
		s.fenceBelow(m, path)
	}
	s.tellWritten(m, path, prefix)
	return nil
}

// fenceBelow is fence for all paths that begin with a prefix.
func (s *Sidecar) fenceBelow(m *mounted, prefix string) {
	full := m.key(prefix)
	s.ahead.changedBelow(m, prefix)
	durable := s.objects.FenceBelow(full)
	s.lists.FenceAll(func(key string) bool {
		listed := prefixOf(key)
		return strings.HasPrefix(listed, full) || strings.HasPrefix(full, listed)
	})
	durable()
}
