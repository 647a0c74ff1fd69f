package sidecar

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Place is a mount as the sidecars of a fleet call it among themselves: they speak of the same one if both fields are equal.
type Place struct {
	Mount string
	Space string // names the origin and the folder in it; "": the origin does not say where its paths begin, and what is known of objects is not shared
}

// Own reads a range of an object from the origin, at the object's version.
type Own func(ctx context.Context, off, n int64) (io.ReadCloser, error)

// Peers are the other sidecars of a fleet, as this one asks them. Whatever is wrong with them costs a read a miss or a short wait, never an error. All methods
// may be called in parallel.
type Peers interface {
	// Read reads n bytes at off of obj, of which all may be cached: from another sidecar as far as one holds them, and the rest by own, at most one
	// range of it at the end of what was asked for.
	Read(ctx context.Context, at Place, obj *origin.Object, off, n int64, own Own) (io.ReadCloser, error)
	// Object asks what another sidecar has heard of a path. The answer's Err is nil or of kind origin.ErrNotFound; it was sent for at that time or later.
	Object(ctx context.Context, at Place, path string) (freshness.Answer[origin.Object], bool)
	// Listing asks for a page of a listing that another sidecar has heard.
	Listing(ctx context.Context, at Place, req origin.ListRequest) (freshness.Answer[origin.Listing], bool)
	News
}

// News is what other sidecars are told.
type News interface {
	// Tell passes on what the origin has told of paths. It does not wait.
	Tell(at Place, told []Told)
	// TellListing passes on a page of a listing, for which the origin was asked at a time. It does not wait.
	TellListing(at Place, req origin.ListRequest, l origin.Listing, sent time.Time)
	// Fence says that a path, or (below) all that begin with it, has just been written: whoever was told of them, or of listings of these folders, drops that. It returns when
	// they have, or when that takes too long.
	Fence(at Place, path string, below bool, folders []string)
}

// Told is what an origin has told of a path.
type Told struct {
	Path   string
	Answer freshness.Answer[origin.Object]
}

// ClientParts begin the ids of parts that clients have put; see LocateClient. Other sidecars neither see nor name them.
const ClientParts = "client "

// place is the mount for other sidecars.
func (m *mounted) place() Place { return Place{Mount: m.name, Space: m.space} }

// at finds the mount that another sidecar speaks of; nil if there is none, or it is another one under the same name.
func (s *Sidecar) at(p Place) *mounted {
	m := s.namespace.Load().mounts[p.Mount]
	if m == nil || m.space == "" || m.space != p.Space {
		return nil
	}
	return m
}

// Fetch implements cache.Source: another sidecar's pages come before the origin's.
func (f source) Fetch(ctx context.Context, obj *origin.Object, off, n int64) (io.ReadCloser, error) {
	own := func(ctx context.Context, off, n int64) (io.ReadCloser, error) { return f.fetch(ctx, obj, off, n) }
	if f.s.opts.Peers == nil {
		return own(ctx, off, n)
	}
	return f.s.opts.Peers.Read(ctx, f.origin.place(), obj, off, n, own)
}

// heard asks other sidecars what they know of a path, and takes it if it is as fresh as this reader wants it.
func (s *Sidecar) heard(ctx context.Context, m *mounted, path string, maxAge func(freshness.Answer[origin.Object]) time.Duration) (freshness.Answer[origin.Object], bool) {
	if s.opts.Peers == nil || m.space == "" || !s.agesAllowed(m.name, path) {
		return freshness.Answer[origin.Object]{}, false
	}
	a, ok := s.opts.Peers.Object(ctx, m.place(), path)
	if !ok || !s.objects.Takes(m.key(path), a, maxAge) {
		return freshness.Answer[origin.Object]{}, false
	}
	if a.Err == nil {
		s.metrics.confirmed(byPeer, 1)
	}
	return a, true
}

// agesAllowed tells whether any answer about a path may be older than its request: else there is nothing to ask other sidecars for.
func (s *Sidecar) agesAllowed(mount, path string) bool {
	rules := s.rules()
	return rules.MaxAge(mount, path, freshness.Object) > 0 || rules.MaxAge(mount, path, freshness.NotFound) > 0
}

// tell passes on what the origin has just told of a path.
func (s *Sidecar) tell(m *mounted, path string, obj origin.Object, sent time.Time, err error) {
	if s.opts.Peers == nil || m.space == "" || !s.agesAllowed(m.name, path) {
		return
	}
	if err == nil && obj.Version != "" && !obj.Unfinished() {
		s.opts.Peers.Tell(m.place(), []Told{{path, freshness.Answer[origin.Object]{Value: obj, Sent: sent}}})
	} else if errors.Is(err, origin.ErrNotFound) && s.rules().MaxAge(m.name, path, freshness.NotFound) > 0 {
		s.opts.Peers.Tell(m.place(), []Told{{path, freshness.Answer[origin.Object]{Err: err, Sent: sent}}})
	}
}

// tellListing passes on what a listing has told: of each object that may be taken for the present one later, and the listing, if it may be used again.
func (s *Sidecar) tellListing(m *mounted, req origin.ListRequest, l origin.Listing, sent time.Time, maxAge time.Duration) {
	if s.opts.Peers == nil || m.space == "" {
		return
	}
	var told []Told
	for i := range l.Entries {
		obj := &l.Entries[i].Object
		if obj.Version != "" && !obj.Unfinished() && s.rules().MaxAge(m.name, obj.Path, freshness.Object) > 0 {
			told = append(told, Told{obj.Path, freshness.Answer[origin.Object]{Value: *obj, Sent: sent}})
		}
	}
	if len(told) > 0 {
		s.opts.Peers.Tell(m.place(), told)
	}
	if maxAge > 0 {
		s.opts.Peers.TellListing(m.place(), req, l, sent)
	}
}

// present finds out an object's version for GetDated: what another sidecar has heard, else ask's answer, which is passed on.
func (s *Sidecar) present(m *mounted, path string, maxAge func(freshness.Answer[origin.Object]) time.Duration,
	ask func(context.Context) (origin.Object, error)) func(context.Context) (origin.Object, time.Time, error) {
	return func(ctx context.Context) (origin.Object, time.Time, error) {
		if a, ok := s.heard(ctx, m, path, maxAge); ok {
			return a.Value, a.Sent, a.Err
		}
		sent := time.Now()
		obj, err := ask(ctx)
		s.tell(m, path, obj, sent, err)
		return obj, time.Time{}, err
	}
}

// presentList is present for a page of a listing.
func (s *Sidecar) presentList(m *mounted, req origin.ListRequest, maxAge time.Duration) func(context.Context) (origin.Listing, time.Time, error) {
	return func(ctx context.Context) (origin.Listing, time.Time, error) {
		if s.opts.Peers != nil && m.space != "" && maxAge > 0 {
			a, ok := s.opts.Peers.Listing(ctx, m.place(), req)
			if ok && s.lists.Takes(m.listKey(req), a, func(freshness.Answer[origin.Listing]) time.Duration { return maxAge }) {
				s.confirmAll(m, a.Value, a.Sent)
				return a.Value, a.Sent, nil
			}
		}
		sent := time.Now()
		l, err := m.List(ctx, req)
		if err == nil {
			s.confirmAll(m, l, sent)
			s.ahead.listed(m, &l)
			s.tellListing(m, req, l, sent, maxAge)
		}
		return l, time.Time{}, err
	}
}

// written is fence after a write that has passed here, told to those whom other sidecars ask about the path: so that none of them gives an answer any more
// that was sent for before.
func (s *Sidecar) written(m *mounted, path string) {
	s.fence(m, path)
	s.tellWritten(m, path, false)
}

func (s *Sidecar) tellWritten(m *mounted, path string, below bool) {
	if s.opts.Peers == nil || m.space == "" {
		return
	}
	if folders := s.folderAges(m.name, path, below); len(folders) > 0 {
		s.opts.Peers.Fence(m.place(), path, below, folders)
	}
}

// folderAges are the folders whose owners may have been told of a path: its own, if answers about it may have an age, and those above it whose listings may.
func (s *Sidecar) folderAges(mount, path string, below bool) (folders []string) {
	rules := s.rules()
	for end, first := strings.LastIndexByte(path, '/')+1, true; ; first = false {
		prefix := path[:end]
		if first && (below || s.agesAllowed(mount, path)) || rules.MaxAge(mount, prefix, freshness.Listing) > 0 {
			folders = append(folders, strings.TrimSuffix(prefix, "/"))
		}
		if end == 0 {
			return folders
		}
		end = strings.LastIndexByte(path[:end-1], '/') + 1
	}
}

// Fence takes it that another sidecar has seen a path, or all below it, being written.
func (s *Sidecar) Fence(at Place, path string, below bool) {
	if m := s.at(at); m != nil {
		s.fence(m, path)
		if below {
			s.fenceBelow(m, path)
		}
	}
}

// Held is an object's version as this sidecar cuts it, for another one that asks for its pages; nil if it cannot be told. part is the id of the
// object's part, if it is all of one; the version of an object of several parts must be known here. Whether a page is there is for the cache to say. No origin is asked.
func (s *Sidecar) Held(ctx context.Context, at Place, path string, version origin.Version, size int64, part string) *cache.View {
	m := s.at(at)
	if m == nil || version == "" || size <= 0 || strings.HasPrefix(part, ClientParts) {
		return nil
	}
	obj := origin.Object{Path: path, Version: version, Size: size, Parts: []origin.Part{{ID: part, Length: size}}}
	if part == "" {
		a, ok := s.objects.Recall(m.key(path))
		if !ok || a.Err != nil || a.Value.Version != version || a.Value.Size != size || len(a.Value.Parts) == 0 {
			return nil
		}
		obj = a.Value
	}
	layout, ok := s.known(ctx, &obj)
	if !ok {
		layout = formats.Provisional(path, size)
	}
	view, err := cache.NewView(&obj, layout)
	if err != nil {
		return nil
	}
	return view
}

// HeardObject is the newest answer of the origin about a path, however old, for another sidecar. No origin is asked.
func (s *Sidecar) HeardObject(at Place, path string) (freshness.Answer[origin.Object], bool) {
	m := s.at(at)
	if m == nil {
		return freshness.Answer[origin.Object]{}, false
	}
	a, ok := s.objects.Recall(m.key(path))
	if ok && a.Err == nil && (a.Value.Version == "" || a.Value.Unfinished()) {
		return a, false // nobody may take it for the present one
	}
	return a, ok
}

// HeardListing is the newest answer of the origin for a page of a listing, for another sidecar. No origin is asked.
func (s *Sidecar) HeardListing(at Place, req origin.ListRequest) (freshness.Answer[origin.Listing], bool) {
	m := s.at(at)
	if m == nil {
		return freshness.Answer[origin.Listing]{}, false
	}
	a, ok := s.lists.Peek(m.listKey(req))
	return a, ok && a.Err == nil
}

// Hear takes what another sidecar was told of paths.
func (s *Sidecar) Hear(at Place, told []Told) {
	m := s.at(at)
	if m == nil {
		return
	}
	for i := range told {
		if s.agesAllowed(m.name, told[i].Path) {
			s.objects.Hear(m.key(told[i].Path), told[i].Answer)
		}
	}
}

// HearListing takes a page of a listing that another sidecar was told.
func (s *Sidecar) HearListing(at Place, req origin.ListRequest, a freshness.Answer[origin.Listing]) {
	if m := s.at(at); m != nil && s.rules().MaxAge(m.name, req.Prefix, freshness.Listing) > 0 {
		s.lists.Hear(m.listKey(req), a)
		if kept, ok := s.lists.Peek(m.listKey(req)); ok {
			s.pages.add(m.key(folderOfKey(req.Prefix)), m.listKey(req), req, kept, s.lists.Peek)
		}
		s.confirmAll(m, a.Value, a.Sent)
	}
}
