package sidecar

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// List answers one page of a listing. Whatever its age may be, a listing that travels confirms the version of every object it names, and where its age may be above 0,
// it answers other questions about its folder (folders.go).
func (s *Sidecar) List(ctx context.Context, mount string, req origin.ListRequest) (origin.Listing, error) {
	m, err := s.mount(mount)
	if err != nil {
		return origin.Listing{}, err
	}
	req = resume(req)
	maxAge := s.rules().MaxAge(mount, req.Prefix, freshness.Listing)
	if l, ok := s.listWhole(ctx, m, req, maxAge); ok {
		s.metrics.listed(false)
		return l, nil
	}
	a, asked, err := s.list(ctx, m, req, maxAge)
	s.metrics.listed(asked)
	return dropPast(req, a.Value), err
}

// list gets one page of an origin's, as origins and other sidecars know pages: of what was listed before, whoever calls it drops what comes again.
func (s *Sidecar) list(ctx context.Context, m *mounted, req origin.ListRequest, maxAge time.Duration) (freshness.Answer[origin.Listing], bool, error) {
	req.Folded = false
	return s.lists.GetDated(ctx, m.listKey(req), func(freshness.Answer[origin.Listing]) time.Duration { return maxAge }, s.presentList(m, req, maxAge))
}

func (s *Sidecar) confirmAll(m *mounted, l origin.Listing, sent time.Time) {
	for i := range l.Entries {
		if obj := l.Entries[i].Object; obj.Version != "" {
			s.objects.Hint(m.key(obj.Path), obj, sent)
		}
	}
	s.metrics.confirmed(byListing, len(l.Entries))
}

// listKey is unambiguous: every field but the last is quoted or a number. It starts with the prefix's key (see fencing in Forward).
func (m *mounted) listKey(r origin.ListRequest) string {
	return fmt.Sprintf("%s\x00%d %t %q %q %q", m.key(r.Prefix), r.MaxKeys, r.RestoreStatus, r.Delimiter, r.StartAfter, r.Token)
}

// prefixOf undoes the first part of listKey.
func prefixOf(listKey string) string {
	prefix, _, _ := strings.Cut(listKey, "\x00")
	return prefix
}
