package gcs

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/alio-lake/alio/origin"
)

// maxKeys is the most that Cloud Storage answers in one page.
const maxKeys = 1000

// List asks for one page. The token is the last name of the page before, after which the next one starts; Cloud Storage's own tokens would
// not let a page be cut, and its startOffset is inclusive, so that one entry is asked for more and left out. A page may hold fewer entries
// than were asked for and still have a next one.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	if req.MaxKeys < 0 {
		return origin.Listing{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("MaxKeys %d is negative", req.MaxKeys))
	}
	keys := maxKeys
	if req.MaxKeys > 0 {
		keys = min(req.MaxKeys, maxKeys)
	}
	start := req.Token
	if start == "" {
		start = req.StartAfter
	}
	query := &storage.Query{Prefix: o.opts.Prefix + req.Prefix, Delimiter: req.Delimiter, Projection: storage.ProjectionNoACL}
	if start != "" {
		query.StartOffset = o.opts.Prefix + start
	}
	// the names are the client's own
	if err := query.SetAttrSelection([]string{"Name", "Size", "Generation", "Updated", "StorageClass", "CustomerKeySHA256"}); err != nil {
		return origin.Listing{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, err)
	}
	inner, x := exchanging(ctx, false)
	it := o.bucket.Objects(inner, query)
	it.PageInfo().MaxSize = min(keys+1, maxKeys)
	found, more, err := o.page(it, func(name string, folded bool) bool {
		if start == "" || name > start {
			return false
		}
		return req.Token != "" || !folded || !strings.HasPrefix(start, name) // keys after StartAfter may fold into a prefix that is not
	})
	if err != nil {
		return origin.Listing{}, o.fail(ctx, "list", req.Prefix, x, err)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	if len(found) > keys {
		found, more = found[:keys], true
	}
	return listing(found, more), nil
}

// found is an object or a common prefix of a listing, by path.
type found struct {
	origin.Entry
	folded bool
}

// page reads pages until one holds something that is not left out. more says that others follow.
func (o *Origin) page(it *storage.ObjectIterator, leaveOut func(name string, folded bool) bool) (out []found, more bool, err error) {
	for {
		a, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return out, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		name := a.Name
		if a.Prefix != "" {
			name = a.Prefix
		}
		path, ok := strings.CutPrefix(name, o.opts.Prefix)
		if !ok {
			return nil, false, fmt.Errorf("the listing has the name %q, which does not begin with %q", name, o.opts.Prefix)
		}
		if path != "" && !leaveOut(path, a.Prefix != "") { // "" is the marker of the mount's own folder, which has no name below it
			out = append(out, o.entry(path, a))
		}
		if it.PageInfo().Remaining() == 0 && len(out) > 0 {
			return out, it.PageInfo().Token != "", nil
		}
	}
}

// entry is what a listing tells of a name. What is encrypted with its owner's key has no version: it cannot be read here.
func (o *Origin) entry(path string, a *storage.ObjectAttrs) found {
	if a.Prefix != "" {
		return found{Entry: origin.Entry{Object: origin.Object{Path: path}}, folded: true}
	}
	generation := a.Generation
	if a.CustomerKeySHA256 != "" {
		generation = 0
	}
	return found{Entry: origin.Entry{Object: o.describe(path, generation, a.Size, a.Updated), StorageClass: a.StorageClass}}
}

func listing(all []found, more bool) origin.Listing {
	var l origin.Listing
	for _, f := range all {
		if f.folded {
			l.CommonPrefixes = append(l.CommonPrefixes, f.Path)
		} else {
			l.Entries = append(l.Entries, f.Entry)
		}
	}
	if more {
		l.NextToken = all[len(all)-1].Path
	}
	return l
}
