package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alio-lake/alio/origin"
)

// Names are ordered by their bytes, so those below a mount's path are neighbours: from "path/" to just before "path0". The mounts cut all names
// into segments, each with one origin that answers for it, and a listing is the segments' listings, one after another. Where it is folded at a
// delimiter that lies in a mount's own path, the mount is one common prefix, which needs no question: mount points are listed even if what is
// mounted there is empty, or cannot be reached.

// defaultKeys is the page size of a listing that names none, and the most that S3 answers at once.
const defaultKeys = 1000

// segment is the names from start to end that one mount answers for.
type segment struct {
	start, end string // start <= name < end; end "" has no bound
	of         *mount
}

// cut makes the segments of mounts, which are sorted by path.
func cut(mounts []*mount) []segment {
	var out []segment
	var open []*mount // from the outermost to the innermost that has begun and not ended
	at := ""
	upTo := func(end string) {
		if len(open) > 0 && (at < end || end == "") {
			out = append(out, segment{at, end, open[len(open)-1]})
		}
		at = end
	}
	byStart := slices.SortedFunc(slices.Values(mounts), func(a, b *mount) int { return strings.Compare(a.below(), b.below()) })
	for _, m := range byStart {
		for len(open) > 0 && !strings.HasPrefix(m.below(), open[len(open)-1].below()) {
			upTo(successor(open[len(open)-1].below()))
			open = open[:len(open)-1]
		}
		upTo(m.below())
		open = append(open, m)
	}
	for ; len(open) > 0; open = open[:len(open)-1] {
		upTo(successor(open[len(open)-1].below()))
	}
	return out
}

// successor is the least name greater than every name that begins with a prefix; "" if there is none.
func successor(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return ""
	}
	b[len(b)-1]++
	return string(b)
}

// cursor is how far a listing has come: what follows is greater than name, and does not begin with it if it was folded. The zero cursor is the
// beginning.
type cursor struct {
	name   string
	folded bool
}

// last is the greatest code point: no name of a store that holds UTF-8 begins with a folded name, and then goes on beyond it.
const last = "\U0010FFFF"

// startAfter is the cursor as a ListRequest has it.
func (c cursor) startAfter() string {
	if c.folded {
		return c.name + last
	}
	return c.name
}

// passed tells whether nothing before end is still to come.
func (c cursor) passed(end string) bool {
	if end == "" || c.name == "" {
		return false
	}
	if c.folded {
		next := successor(c.name)
		return next == "" || end <= next
	}
	return end <= c.name
}

// admits tells whether a name, or the names that were folded to it, are still to come. A common prefix is listed for as long as any name below it may
// come.
func (c cursor) admits(name string, folded bool) bool {
	switch {
	case c.name == "":
		return true
	case c.folded:
		return name > c.name && !strings.HasPrefix(name, c.name)
	}
	return name > c.name || folded && strings.HasPrefix(c.name, name)
}

// token spells the cursor for a later page.
func (c cursor) token() string {
	if c.folded {
		return "p" + c.name
	}
	return "k" + c.name
}

func start(req origin.ListRequest) (cursor, error) {
	switch {
	case req.Token == "":
		return cursor{name: req.StartAfter}, nil
	case req.Token[0] == 'k' || req.Token[0] == 'p':
		return cursor{req.Token[1:], req.Token[0] == 'p'}, nil
	}
	return cursor{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("the token %q is not one of ours", req.Token))
}

// List answers one page of all origins together. A page costs at least one request to every origin that has a segment in it; an origin that fails fails the
// page, since what it holds cannot be left out. A page may be empty and yet have a next one.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	if err := ctx.Err(); err != nil {
		return origin.Listing{}, origin.NewError(origin.ErrUnavailable, "list", req.Prefix, err)
	}
	if req.MaxKeys < 0 {
		return origin.Listing{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("MaxKeys %d is negative", req.MaxKeys))
	}
	at, err := start(req)
	if err != nil {
		return origin.Listing{}, err
	}
	l := &listing{req: req, at: at, limit: req.MaxKeys}
	if l.limit == 0 {
		l.limit = defaultKeys
	}
	for _, s := range o.segments {
		if s.end != "" && s.end <= req.Prefix || l.at.passed(s.end) {
			continue
		}
		if s.start > req.Prefix && !strings.HasPrefix(s.start, req.Prefix) {
			break
		}
		if err := l.segment(ctx, s); err != nil {
			return origin.Listing{}, outer(err, "list", req.Prefix)
		}
		if l.full {
			break
		}
	}
	return l.out, nil
}

// listing is a page as it grows.
type listing struct {
	req   origin.ListRequest
	at    cursor
	limit int
	out   origin.Listing
	full  bool
}

func (l *listing) size() int { return len(l.out.Entries) + len(l.out.CommonPrefixes) }

// segment adds what one mount answers for.
func (l *listing) segment(ctx context.Context, s segment) error {
	below := s.of.below()
	if name, folded := l.fold(below); folded && len(below) > len(l.req.Prefix) {
		l.add(name, nil) // the mount point itself
		return nil
	}
	if s.start != below && l.at.name < s.start { // what is hidden ends where this segment starts
		l.at = cursor{s.start[:len(s.start)-1] + "/", true}
	}
	ask := l.inner(s)
	for {
		page, err := s.of.origin.List(ctx, ask)
		if err != nil {
			return err
		}
		if done := l.take(s, &page); done || page.NextToken == "" {
			return nil
		}
		if l.size() == l.limit { // whether anything follows is for the next page to find out
			l.end()
			return nil
		}
		if page.NextToken == ask.Token {
			return origin.NewError(origin.ErrUnavailable, "list", l.req.Prefix, errors.New("the origin's listing does not move on"))
		}
		ask.Token, ask.StartAfter, ask.MaxKeys = page.NextToken, "", l.want()
	}
}

// want is how many names to ask for: those that fit, and one that tells whether the page is the last, unless a store would not answer that many.
func (l *listing) want() int {
	left := l.limit - l.size()
	return min(left+1, max(left, defaultKeys))
}

// inner is the request for a segment as its origin understands it.
func (l *listing) inner(s segment) origin.ListRequest {
	below := s.of.below()
	ask := l.req
	ask.Token, ask.StartAfter, ask.MaxKeys = "", "", l.want()
	ask.Prefix = strings.TrimPrefix(l.req.Prefix, below)
	if len(l.req.Prefix) < len(below) {
		ask.Prefix = ""
	}
	if after := l.at.startAfter(); strings.HasPrefix(after, below) {
		ask.StartAfter = after[len(below):]
	}
	if len(ask.Delimiter) > 1 { // it could begin in the mount's path and end in the origin's
		ask.Delimiter = ""
	}
	return ask
}

// take adds a page of a segment's origin, in order, and tells whether no more of it is wanted.
func (l *listing) take(s segment, page *origin.Listing) (done bool) {
	below := s.of.below()
	entries, prefixes := page.Entries, page.CommonPrefixes
	for len(entries)+len(prefixes) > 0 && !l.full {
		var name string
		var entry *origin.Entry
		if len(prefixes) == 0 || len(entries) > 0 && entries[0].Path < prefixes[0] {
			entry, entries = &entries[0], entries[1:]
			name = below + entry.Path
		} else {
			name, prefixes = below+prefixes[0], prefixes[1:]
		}
		if s.end != "" && name >= s.end {
			return true
		}
		if entry != nil {
			if entry.Path == "" { // a marker of the store for the place that is a mount point here
				continue
			}
			folded := false
			if name, folded = l.fold(name); folded {
				entry = nil
			}
		}
		l.add(name, entry)
	}
	return l.full
}

// add adds a name, a common prefix if entry is nil, unless it has been passed, or ends the page if it does not fit.
func (l *listing) add(name string, entry *origin.Entry) {
	if !l.at.admits(name, entry == nil) {
		return
	}
	if l.size() == l.limit {
		l.end()
		return
	}
	l.at = cursor{name, entry == nil}
	if entry == nil {
		l.out.CommonPrefixes = append(l.out.CommonPrefixes, name)
		return
	}
	e := *entry
	e.Path = name
	l.out.Entries = append(l.out.Entries, e)
}

// end ends the page here; another one follows.
func (l *listing) end() {
	l.full = true
	l.out.NextToken = l.at.token()
}

// fold returns what a name is listed as: itself, or the common prefix that it falls under.
func (l *listing) fold(name string) (string, bool) {
	if l.req.Delimiter == "" || len(name) < len(l.req.Prefix) {
		return name, false
	}
	before, _, found := strings.Cut(name[len(l.req.Prefix):], l.req.Delimiter)
	if !found {
		return name, false
	}
	return l.req.Prefix + before + l.req.Delimiter, true
}
