package hdfs

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/alio-lake/alio/origin"
)

// unnameable says why HDFS has no file of this path, "" if it may have one. What HDFS or a layer before it would resolve to another path is refused
// here, so that no path ever names another one's file.
func unnameable(path string) string {
	if path == "" {
		return "the path is empty"
	}
	if !utf8.ValidString(path) {
		return "HDFS names are UTF-8, and this path is not"
	}
	first := true
	for c := range strings.SplitSeq(path, "/") {
		switch {
		case c == "":
			return "HDFS has no empty names: a path has no slash at its ends and no two in a row"
		case c == "." || c == "..":
			return `HDFS has no files named "." or ".."`
		case strings.Contains(c, ":"):
			return `HDFS has no names with a colon in them`
		case c == ".snapshot":
			return "snapshots are not read through: mount or read the live path"
		case first && c == ".reserved":
			return "/.reserved is HDFS's own"
		}
		first = false
	}
	return ""
}

// absolute is the path as the NameNode knows it.
func (o *Origin) absolute(op, path string) (string, error) {
	if why := unnameable(path); why != "" {
		return "", origin.NewError(origin.ErrInvalid, op, path, errors.New(why))
	}
	return o.cluster.dir + "/" + path, nil
}
