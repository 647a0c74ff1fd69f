// Package access says what a client that has proved who it is may reach: everything, or mounts, each whole or below some folders. Every door
// that gives its clients keys or tokens uses it. It checks no credentials. Start at New.
package access

import (
	"slices"
	"strings"
)

// Grants are what one client may reach. They are immutable and safe for parallel use. The zero Grants open nothing.
type Grants struct {
	all    bool
	mounts map[string][]string // mount -> folders, each ending in a slash; "" is the whole mount
}

// Everything opens all of every mount.
func Everything() Grants { return Grants{all: true} }

// New makes Grants of entries "mount" (all of it) or "mount/folder" (what lies below the folder). No entries open everything.
func New(entries []string) Grants {
	g := Grants{all: len(entries) == 0, mounts: make(map[string][]string)}
	for _, e := range entries {
		mount, folder, _ := strings.Cut(e, "/")
		if folder = strings.TrimSuffix(folder, "/"); folder != "" {
			folder += "/"
		}
		g.mounts[mount] = append(g.mounts[mount], folder)
	}
	return g
}

// Mount reports whether anything of a mount is open: enough to see that it exists.
func (g *Grants) Mount(name string) bool {
	return g.all || len(g.mounts[name]) > 0
}

// Whole reports whether all of a mount is open.
func (g *Grants) Whole(name string) bool {
	return g.all || slices.Contains(g.mounts[name], "")
}

// Path reports whether an object is open. Paths are opaque to an object store, but an origin that has real directories may resolve dots, so a path
// that is restricted to a folder may not hold them.
func (g *Grants) Path(mount, path string) bool {
	if g.Whole(mount) {
		return true
	}
	for _, folder := range g.mounts[mount] {
		if strings.HasPrefix(path, folder) || path == strings.TrimSuffix(folder, "/") {
			return !hasDots(path)
		}
	}
	return false
}

// Prefix reports whether all paths that begin with a prefix are open.
func (g *Grants) Prefix(mount, prefix string) bool {
	if g.Whole(mount) {
		return true
	}
	for _, folder := range g.mounts[mount] {
		if strings.HasPrefix(prefix, folder) {
			return !hasDots(prefix)
		}
	}
	return false
}

// Folders names what is open of a mount, for an error that shows the way out.
func (g *Grants) Folders(mount string) string {
	names := make([]string, 0, len(g.mounts[mount]))
	for _, f := range g.mounts[mount] {
		names = append(names, mount+"/"+f)
	}
	return strings.Join(names, ", ")
}

func hasDots(path string) bool {
	for path != "" {
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
