package sidecar

import (
	"context"
	"fmt"
	"net/http"
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
	maxAge := s.rules.MaxAge(mount, req.Prefix, freshness.Listing)
	key := listKey(mount, req)
	a, asked, err := s.lists.Get(ctx, key, func(freshness.Answer[origin.Listing]) time.Duration { return maxAge },
		func(ctx context.Context) (origin.Listing, error) {
			sent := time.Now()
			l, err := o.List(ctx, req)
			if err == nil {
				s.confirmAll(mount, l, sent)
			}
			return l, err
		})
	s.metrics.listed(asked)
	return a.Value, err
}

func (s *Sidecar) confirmAll(mount string, l origin.Listing, sent time.Time) {
	for i := range l.Entries {
		if obj := l.Entries[i].Object; obj.Version != "" {
			s.objects.Hint(bookKey(mount, obj.Path), obj, sent)
		}
	}
	s.metrics.confirmed(byListing, len(l.Entries))
}

// listKey is unambiguous: every field but the last is quoted or a number. It starts with mount/prefix (see fencing in Forward).
func listKey(mount string, r origin.ListRequest) string {
	return fmt.Sprintf("%s\x00%d %t %q %q %q", bookKey(mount, r.Prefix), r.MaxKeys, r.RestoreStatus, r.Delimiter, r.StartAfter, r.Token)
}

// prefixOf undoes the first part of listKey.
func prefixOf(listKey string) string {
	prefix, _, _ := strings.Cut(listKey, "\x00")
	return prefix
}

// Forward sends a request to the mount's origin as it is, but for signature, host and path. A request that may change data raises a
// fence on its path before it is sent and after it is answered, or has failed (it may have arrived all the same): answers sent
// for earlier are dropped, here and in the listings that could name the path.
func (s *Sidecar) Forward(ctx context.Context, mount, path string, r *http.Request) (*http.Response, error) {
	o, err := s.mount(mount)
	if err != nil {
		return nil, err
	}
	f, ok := origin.As[origin.Forwarder](o)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path,
			fmt.Errorf("the origin of mount %q does not speak S3", mount))
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.fence(mount, path)
		defer s.fence(mount, path)
	}
	s.metrics.forwards.Inc()
	return f.Forward(ctx, path, r)
}

// fence makes everybody who comes from now on ask again about a path, and waits until that outlives the process.
func (s *Sidecar) fence(mount, path string) {
	full := bookKey(mount, path)
	durable := s.objects.Fence(full)
	s.lists.FenceAll(func(key string) bool { return strings.HasPrefix(full, prefixOf(key)) })
	s.metrics.fences.Inc()
	durable()
}
