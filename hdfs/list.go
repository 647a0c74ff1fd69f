package hdfs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// defaultKeys is the page size of a listing that names none, S3's.
const defaultKeys = 1000

// List answers one page in the order of the paths' bytes, over directories that HDFS lists in an order of its own. Directories are folded without
// a look inside when the delimiter is a slash: one that holds no file is listed as a common prefix all the same.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	return o.list(ctx, o.names.List, req)
}

// pages answers a page of a directory's entries after a name (namenode.Client.List).
type pages func(ctx context.Context, path, after string, located bool) (*namenode.Page, error)

func (o *Origin) list(ctx context.Context, from pages, req origin.ListRequest) (origin.Listing, error) {
	limit := req.MaxKeys
	if limit < 0 {
		return origin.Listing{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("MaxKeys %d is negative", limit))
	}
	if limit == 0 {
		limit = defaultKeys
	}
	l := &lister{o: o, pages: from, ctx: ctx, req: req, limit: limit}
	if err := l.start(); err != nil {
		return origin.Listing{}, err
	}
	if err := ctx.Err(); err != nil {
		return origin.Listing{}, o.fail(ctx, "list", req.Prefix, err)
	}
	dir, name := split(req.Prefix)
	if dir != "" && unnameable(strings.TrimSuffix(dir, "/")) != "" {
		return origin.Listing{}, nil // HDFS cannot hold such a path
	}
	err := l.walk(dir, name)
	if err == errFull {
		l.out.NextToken = l.last
		if !l.dirty {
			l.out.NextToken = strings.ToUpper(l.last[:1]) + l.last[1:]
		}
		return l.out, nil
	}
	if err != nil {
		return origin.Listing{}, o.fail(ctx, "list", req.Prefix, err)
	}
	return l.out, nil
}

// start says where the page begins. A token is the last path of the page before, behind a letter: k for a file, p for a common prefix, in upper case if
// no entry waited that HDFS had listed before it.
func (l *lister) start() error {
	token := l.req.Token
	if token == "" {
		l.after = l.req.StartAfter
		return nil
	}
	l.after = token[1:]
	switch token[0] {
	case 'K':
		l.clean = true
	case 'P':
		l.clean, l.folded = true, l.after
	case 'p':
		l.folded = l.after
	case 'k':
	default:
		return origin.NewError(origin.ErrInvalid, "list", l.req.Prefix, fmt.Errorf("the token %q is not one of ours", token))
	}
	return nil
}

// split cuts a path behind its last slash: the directory with the slash, and the beginning of a name.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/') + 1
	return path[:i], path[i:]
}

// lister fills one page.
type lister struct {
	o      *Origin
	pages  pages
	ctx    context.Context
	req    origin.ListRequest
	limit  int
	after  string // list what follows this path
	folded string // the common prefix that the page before ended with
	out    origin.Listing
	last   string // token of what was listed last
	clean  bool   // nothing that HDFS lists before the start is wanted
	dirty  bool   // when the page is full: something that HDFS has listed before its last path is still to come
}

// errFull ends a walk: the page is full and there is more.
var errFull = errors.New("the page is full")

// walk lists the files below dir ("" or "a/b/") whose names, or those of the directories that they are in, begin with begin.
func (l *lister) walk(dir, begin string) error {
	after := ""
	switch {
	case strings.HasPrefix(l.after, dir):
		after = l.after[len(dir):]
	case l.after > dir:
		return nil // all of it was listed before
	}
	c := newCursor(l, dir, begin, after)
	for {
		e, err := c.next()
		if err != nil || e == nil {
			return err
		}
		err = l.visit(dir, e)
		if err == errFull {
			to, _, _ := strings.Cut(strings.TrimPrefix(l.last[1:], dir), "/")
			l.dirty = l.dirty || len(c.waiting) > 0 || signedLess(e.Name, ascii(to))
		}
		if err != nil {
			return err
		}
	}
}

// visit lists one entry of a directory: a file, or all that is below a directory.
func (l *lister) visit(dir string, e *namenode.Status) error {
	path := dir + e.Name
	switch e.Kind {
	case namenode.Directory:
		path += "/"
		if p, ok := l.fold(path); ok {
			if l.after != "" && strings.HasPrefix(l.after, path) && l.folded != p { // something of it is before the start: is anything behind?
				probe := &lister{o: l.o, pages: l.pages, ctx: l.ctx, limit: 1, after: l.after}
				if err := probe.walk(path, ""); err != nil && err != errFull {
					return err
				}
				if len(probe.out.Entries) == 0 {
					return nil
				}
			}
			return l.addPrefix(p)
		}
		return l.walk(path, "")
	case namenode.File:
		if path <= l.after || isTemporary(e.Name) {
			return nil
		}
		if p, ok := l.fold(path); ok {
			return l.addPrefix(p)
		}
		return l.addFile(path, e)
	}
	return nil // a symbolic link is no object
}

// fold is the common prefix that a path, or all below a directory's, is listed as.
func (l *lister) fold(path string) (string, bool) {
	if l.req.Delimiter == "" || len(path) < len(l.req.Prefix) {
		return "", false
	}
	i := strings.Index(path[len(l.req.Prefix):], l.req.Delimiter)
	if i < 0 {
		return "", false
	}
	return path[:len(l.req.Prefix)+i+len(l.req.Delimiter)], true
}

func (l *lister) addPrefix(p string) error {
	if n := len(l.out.CommonPrefixes); p == l.folded || n > 0 && l.out.CommonPrefixes[n-1] == p {
		return nil
	}
	if err := l.room(); err != nil {
		return err
	}
	l.out.CommonPrefixes, l.last = append(l.out.CommonPrefixes, p), "p"+p
	return nil
}

func (l *lister) addFile(path string, e *namenode.Status) error {
	if err := l.room(); err != nil {
		return err
	}
	obj := origin.Object{Path: path, Size: e.Length, ModTime: time.UnixMilli(e.ModTime).UTC()}
	if readable("list", path, e) == nil {
		var err error
		if obj, err = l.o.object(path, e); err != nil {
			return err
		}
	}
	l.out.Entries, l.last = append(l.out.Entries, origin.Entry{Object: obj, StorageClass: "STANDARD"}), "k"+path
	return nil
}

// room fails when the page is full.
func (l *lister) room() error {
	if len(l.out.Entries)+len(l.out.CommonPrefixes) < l.limit {
		return nil
	}
	return errFull
}
