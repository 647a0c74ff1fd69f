package prefetch

import (
	"strings"

	"github.com/alio-lake/alio/formats"
)

// Table is the folder that stands for the table of a file: the table's root where the path tells it, else the folder of the file without those of its
// partitions (name=value).
func Table(path string) string {
	if f := formats.Identify(path); f.Rooted {
		return f.Root
	}
	for {
		at := strings.LastIndexByte(path, '/')
		if at < 0 {
			return ""
		}
		path = path[:at]
		if last := path[strings.LastIndexByte(path, '/')+1:]; !strings.Contains(last, "=") {
			return path
		}
	}
}

// Leads reports whether a file of such a kind may name what is read next, so that it is worth a look when it has been read: formats.Next and
// formats.NextInFolder say of which files that is so.
func Leads(f *formats.File) bool {
	switch f.Class {
	case formats.Commit, formats.Checkpoint, formats.Timeline, formats.Manifest, formats.Pointer:
		return true
	}
	return f.Format == formats.Hudi && f.Kind == "base-file"
}
