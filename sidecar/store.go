package sidecar

import (
	"maps"
	"strings"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Metadata keeps what is known of objects beyond memory and over restarts, apart from pages. A space is a mount as long as it is of the same
// folder of the same origin, in 16 bytes; what is kept in one is never seen in another. Otherwise the methods are those of
// freshness.Store. *metadata.Store is one.
type Metadata interface {
	Load(space, path string) (freshness.Answer[origin.Object], bool)
	Keep(space, path string, a freshness.Answer[origin.Object]) bool
	Forget(space, path string) (durable func())
	ForgetBelow(space, prefix string) (durable func())
}

// lasting tells whether an answer may be of use to a later process: objects that have a version. That a path names nothing is soon not so any
// more.
func lasting(_ string, a freshness.Answer[origin.Object]) bool {
	return a.Err == nil && a.Value.Version != ""
}

// sameObject tells whether next says nothing that prev does not.
func sameObject(prev, next origin.Object) bool {
	return prev.Version == next.Version && prev.ETag == next.ETag && prev.Size == next.Size && prev.ModTime.Equal(next.ModTime) &&
		(next.Attributes == nil || prev.Attributes != nil && maps.Equal(prev.Attributes, next.Attributes))
}

// objectStore is Metadata under the keys of the book of objects (see mounted.key).
type objectStore struct {
	metadata Metadata
	about    func(about string) *mounted
}

// split finds the space of a key; false if there is none.
func (s *objectStore) split(key string) (space, path string, ok bool) {
	about, path, _ := strings.Cut(key, "/")
	m := s.about(about)
	if m == nil || m.space == "" {
		return "", "", false
	}
	return m.space, path, true
}

// Load implements freshness.Store.
func (s *objectStore) Load(key string) (freshness.Answer[origin.Object], bool) {
	space, path, ok := s.split(key)
	if !ok {
		return freshness.Answer[origin.Object]{}, false
	}
	return s.metadata.Load(space, path)
}

// Keep implements freshness.Store.
func (s *objectStore) Keep(key string, a freshness.Answer[origin.Object]) bool {
	space, path, ok := s.split(key)
	return ok && s.metadata.Keep(space, path, a)
}

// Forget implements freshness.Store.
func (s *objectStore) Forget(key string) (durable func()) {
	space, path, ok := s.split(key)
	if !ok {
		return func() {}
	}
	return s.metadata.Forget(space, path)
}

// ForgetBelow implements freshness.Store.
func (s *objectStore) ForgetBelow(prefix string) (durable func()) {
	space, path, ok := s.split(prefix)
	if !ok {
		return func() {}
	}
	return s.metadata.ForgetBelow(space, path)
}
