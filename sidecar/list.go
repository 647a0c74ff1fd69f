package sidecar

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// List answers one page of a listing. Whatever its age may be, a listing that travels confirms the version of every object it names.
func (s *Sidecar) List(ctx context.Context, mount string, req origin.ListRequest) (origin.Listing, error) {
	o, err := s.mount(mount)
	if err != nil {
		return origin.Listing{}, err
	}
	maxAge := s.rules().MaxAge(mount, req.Prefix, freshness.Listing)
	a, asked, err := s.lists.GetDated(ctx, o.listKey(req), func(freshness.Answer[origin.Listing]) time.Duration { return maxAge }, s.presentList(o, req, maxAge))
	s.metrics.listed(asked)
	return a.Value, err
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
