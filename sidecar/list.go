package sidecar

import (
	"context"
	"fmt"
	"strconv"
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
	goesOn := req.Token != ""
	req = resume(req)
	maxAge := s.rules().MaxAge(mount, req.Prefix, freshness.Listing)
	l, ok := s.listWhole(ctx, m, req, maxAge)
	if ok {
		s.metrics.listed(false)
	} else {
		a, asked, err := s.list(ctx, m, req, maxAge)
		s.metrics.listed(asked)
		if l = dropPast(req, a.Value); err == nil && req.Folded && len(l.Entries)+len(l.CommonPrefixes) == 0 && l.NextToken != "" {
			next := req // nothing is left of it
			next.Token = l.NextToken
			a, asked, err = s.list(ctx, m, next, maxAge)
			s.metrics.listed(asked)
			l = dropPast(req, a.Value)
		}
		if err != nil {
			return origin.Listing{}, err
		}
	}
	if maxAge > 0 && goesOn && l.NextToken == "" && isWhole(req) {
		s.pages.walkedToEnd(m.key(req.Prefix), req)
	}
	return l, nil
}

// isWhole tells whether a page is of a listing of a folder that is as large as pages come.
func isWhole(req origin.ListRequest) bool {
	return req.Delimiter == "/" && req.Prefix == folderOfKey(req.Prefix) && (req.MaxKeys <= 0 || req.MaxKeys >= folderKeys)
}

// list gets one page of an origin's, as origins and other sidecars know pages: of what was listed before, whoever calls it drops what comes again.
func (s *Sidecar) list(ctx context.Context, m *mounted, req origin.ListRequest, maxAge time.Duration) (freshness.Answer[origin.Listing], bool, error) {
	req.Folded = false
	key := m.listKey(req)
	a, asked, err := s.lists.GetDated(ctx, key, func(freshness.Answer[origin.Listing]) time.Duration { return maxAge }, s.presentList(m, req, maxAge))
	if err == nil && maxAge > 0 {
		s.pages.add(m.key(folderOfKey(req.Prefix)), key, req, a, s.lists.Peek)
	}
	return a, asked, err
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

// keysOf is how many names a page may have; what listKey says of an origin's own number is taken to be folderKeys.
func keysOf(listKey string) int {
	_, rest, _ := strings.Cut(listKey, "\x00")
	keys, _, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(keys); err == nil && n > 0 {
		return n
	}
	return folderKeys
}
