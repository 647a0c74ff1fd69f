package endpoint

import (
	"slices"
	"strings"
)

// grants are what an access key opens: everything, or mounts, each whole or below some folders.
type grants struct {
	all    bool
	mounts map[string][]string // mount -> folders, each ending in a slash; "" is the whole mount
}

func newGrants(entries []string) grants {
	g := grants{all: len(entries) == 0, mounts: make(map[string][]string)}
	for _, e := range entries {
		mount, folder, _ := strings.Cut(e, "/")
		if folder = strings.TrimSuffix(folder, "/"); folder != "" {
			folder += "/"
		}
		g.mounts[mount] = append(g.mounts[mount], folder)
	}
	return g
}

// mount reports whether anything of a mount is open: enough to see that it exists.
func (g *grants) mount(name string) bool {
	return g.all || len(g.mounts[name]) > 0
}

// whole reports whether all of a mount is open.
func (g *grants) whole(name string) bool {
	return g.all || slices.Contains(g.mounts[name], "")
}

// key reports whether an object is open. Keys are opaque to S3, but an origin that has real directories may resolve dots, so a key
// that is restricted to a folder may not hold them.
func (g *grants) key(mount, key string) bool {
	if g.whole(mount) {
		return true
	}
	for _, folder := range g.mounts[mount] {
		if strings.HasPrefix(key, folder) || key == strings.TrimSuffix(folder, "/") {
			return !hasDots(key)
		}
	}
	return false
}

// prefix reports whether all keys that begin with a prefix are open.
func (g *grants) prefix(mount, prefix string) bool {
	if g.whole(mount) {
		return true
	}
	for _, folder := range g.mounts[mount] {
		if strings.HasPrefix(prefix, folder) {
			return !hasDots(prefix)
		}
	}
	return false
}

// folders names what is open of a mount, for an error that shows the way out.
func (g *grants) folders(mount string) string {
	names := make([]string, 0, len(g.mounts[mount]))
	for _, f := range g.mounts[mount] {
		names = append(names, mount+"/"+f)
	}
	return strings.Join(names, ", ")
}

func hasDots(key string) bool {
	for key != "" {
		var segment string
		segment, key, _ = strings.Cut(key, "/")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
