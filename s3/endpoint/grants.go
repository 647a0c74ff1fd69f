package endpoint

import "github.com/alio-lake/alio/internal/access"

// grants are what an access key opens: everything, or mounts, each whole or below some folders.
type grants struct {
	all  bool
	some access.Grants
}

func newGrants(entries []string) grants { return grants{some: access.New(entries)} }

// mount reports whether anything of a mount is open: enough to see that it exists.
func (g *grants) mount(name string) bool { return g.all || g.some.Mount(name) }

// whole reports whether all of a mount is open.
func (g *grants) whole(name string) bool { return g.all || g.some.Whole(name) }

// key reports whether an object is open.
func (g *grants) key(mount, key string) bool { return g.all || g.some.Path(mount, key) }

// prefix reports whether all keys that begin with a prefix are open.
func (g *grants) prefix(mount, prefix string) bool { return g.all || g.some.Prefix(mount, prefix) }

// folders names what is open of a mount, for an error that shows the way out.
func (g *grants) folders(mount string) string { return g.some.Folders(mount) }
