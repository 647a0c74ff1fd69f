package sidecar

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// namespace is what a reload replaces as a whole: the mounts and the freshness rules. It never changes, so that a request sees one of them from its
// beginning to its end.
type namespace struct {
	epoch  uint64 // counts reloads; what must not keep the origins of an older one alive remembers this
	mounts map[string]*mounted
	names  []string // sorted
	rules  *freshness.Rules
}

// mounted is an origin under its name. A reload that leaves a mount as it is keeps it.
type mounted struct {
	origin.Origin
	name string
	// about is what keys in the books begin with: the mount's name and the reload that made it. So what is heard of one origin, however late, is never
	// believed of another that has taken its name.
	about string
	// space is where what is known of the mount's objects is kept over restarts: another one for each origin, and each folder of it, under the name. "": it
	// is not kept, since the origin does not say where its paths begin.
	space string
}

func mountOrigin(name string, epoch uint64, o origin.Origin) *mounted {
	m := &mounted{Origin: o, name: name, about: fmt.Sprintf("%s@%d", name, epoch)}
	if r, ok := origin.As[origin.Rooted](o); ok {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", name, o.ID(), r.Root()))
		m.space = string(sum[:16])
	}
	return m
}

// key is what a path of the mount is called in the books; no mount name holds a slash.
func (m *mounted) key(path string) string { return m.about + "/" + path }

// about finds the mount that keys of a book begin with: one of those in force, or of those that a Reload is about to drop. nil: what is under such a
// key is of nobody's concern any more.
func (s *Sidecar) about(about string) *mounted {
	name := about[:strings.LastIndexByte(about, '@')]
	for _, n := range []*namespace{s.namespace.Load(), s.leaving.Load()} {
		if n != nil && n.mounts[name] != nil && n.mounts[name].about == about {
			return n.mounts[name]
		}
	}
	return nil
}

// owns tells whether a key of a book speaks of the mount.
func (m *mounted) owns(key string) bool { return strings.HasPrefix(key, m.about+"/") }

// newNamespace keeps of the one before (may be nil) the mounts that are the same.
func newNamespace(before *namespace, mounts map[string]origin.Origin, own []freshness.Rule) (*namespace, error) {
	var faults []error
	if len(mounts) == 0 {
		faults = append(faults, errors.New("no mounts: name at least one origin, as in --mount lake=s3://bucket"))
	}
	rules, err := freshness.NewRules(own)
	faults = append(faults, err)
	n := &namespace{mounts: make(map[string]*mounted, len(mounts)), names: slices.Sorted(maps.Keys(mounts)), rules: rules}
	if before != nil {
		n.epoch = before.epoch + 1
	}
	for _, name := range n.names {
		if err := CheckMountName(name); err != nil {
			faults = append(faults, err)
			continue
		}
		n.mounts[name] = mountOrigin(name, n.epoch, mounts[name])
		if before != nil && before.mounts[name] != nil && before.mounts[name].Origin == mounts[name] {
			n.mounts[name] = before.mounts[name]
		}
	}
	return n, errors.Join(faults...)
}

// Reload puts mounts and freshness rules in the place of those in force, all at once; with an error nothing changes. A name whose origin is the same
// value as before keeps what is known of it. Of every other one, and of names that are gone, nothing is believed any more. Requests under way
// finish with the mounts that they began with: an origin that was replaced is to be closed when nothing refers to it any more, not when Reload
// returns. Pages and layouts stay: they are of versions. One Reload runs at a time.
func (s *Sidecar) Reload(mounts map[string]origin.Origin, rules []freshness.Rule) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.namespace.Load()
	next, err := newNamespace(before, mounts, rules)
	if err != nil {
		return fmt.Errorf("sidecar: %w", err)
	}
	// From here on nobody begins with the old mounts; files that hits have found with them are void (see hotFile.current). Then what is believed is
	// dropped, and what was asked for until now will not be believed when it comes.
	s.leaving.Store(before)
	s.namespace.Store(next)
	for name, m := range before.mounts {
		if next.mounts[name] != m {
			durable := s.objects.FenceBelow(m.key(""))
			s.lists.FenceAll(m.owns)
			defer durable()
		}
	}
	s.leaving.Store(nil)
	s.ahead.drop(func(j *job) bool { return next.mounts[j.mount] != j.m })
	return nil
}

// Mounts names the mounts, sorted.
func (s *Sidecar) Mounts() []string { return slices.Clone(s.namespace.Load().names) }

func (s *Sidecar) mount(name string) (*mounted, error) {
	n := s.namespace.Load()
	m, ok := n.mounts[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q (there are: %s)", origin.ErrUnknownMount, name, strings.Join(n.names, ", "))
	}
	return m, nil
}

// rules are the freshness rules in force.
func (s *Sidecar) rules() *freshness.Rules { return s.namespace.Load().rules }
