package sidecar

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Engines ask about a table's folder in many ways: whether it is there (as an object, as one with a slash, by a listing of one name), what is in it, what comes after a
// name, whether this or that file is in it yet. Where a rule gives listings and not-found an age, one listing of the folder answers them all for that long: those that come
// by chance are used, and where questions come again, the folder is listed instead of asking each of them anew. At 0, the default, nothing here happens.

// folderKeys is how many names a listing of a folder asks for: as many as an origin answers at once.
const folderKeys = 1000

// bigFor is for how long a folder that did not fit into one page is left alone, where clients do not list all of it either.
const bigFor = 5 * time.Minute

// maxAncestors is how many folders above a path are looked at for a listing that answers.
const maxAncestors = 16

// folderOfKey is the folder that a path or prefix lies in, with its slash; "" for the mount's own. A path that ends with a slash lies in the folder of that name.
func folderOfKey(path string) string { return path[:strings.LastIndexByte(path, '/')+1] }

// folderRequest asks for all that lies directly in a folder.
func folderRequest(folder string, restore bool) origin.ListRequest {
	return origin.ListRequest{Prefix: folder, Delimiter: "/", MaxKeys: folderKeys, RestoreStatus: restore}
}

// listWhole answers a listing from a page of one of its folder that is young enough, and lists the folder if it may be worth it. False: neither tells.
func (s *Sidecar) listWhole(ctx context.Context, m *mounted, req origin.ListRequest, maxAge time.Duration) (out origin.Listing, ok bool) {
	if maxAge <= 0 || req.Token != "" || req.Delimiter != "" && req.Delimiter != "/" {
		return out, false
	}
	since, folder, same := before(time.Now(), maxAge), folderOfKey(req.Prefix), req
	same.Folded = false
	if a, known := s.lists.Peek(m.listKey(same)); known && a.Err == nil && !a.Sent.Before(since) {
		return out, false // it is as it was asked for
	}
	if out, ok = s.listKnown(m, req, since); ok {
		s.metrics.fromFolder("listing")
		return out, true
	}
	all := folderRequest(folder, req.RestoreStatus)
	if req.Delimiter == "" || req.Prefix != folder || m.listKey(all) == m.listKey(req) {
		return out, false
	}
	s.walk(ctx, m, maxAge, folder, req.RestoreStatus, func(p *span, on bool) bool {
		var short bool
		out, ok, short = p.narrow(req)
		ok = ok && (on || !short)
		return ok || p.tells(max(req.Prefix, req.StartAfter))
	})
	return out, ok
}

// listKnown answers a listing from a page that is known and was sent for no earlier than a time. An answer may be shorter than what was asked for, as an origin's may, if
// what follows is known too: else whoever lists on would make a request more for it.
func (s *Sidecar) listKnown(m *mounted, req origin.ListRequest, since time.Time) (out origin.Listing, ok bool) {
	folder, first, shortest := folderOfKey(req.Prefix), max(req.Prefix, req.StartAfter), origin.Listing{}
	hint := func(p *pageRef) bool {
		return strings.HasPrefix(req.Prefix, p.req.Prefix) && (p.next == "" || p.last >= first) && (p.req.RestoreStatus || !req.RestoreStatus)
	}
	if s.spans(m, folder, since, hint, func(p *span) bool {
		var short bool
		if out, ok, short = p.narrow(req); ok && short {
			shortest, ok = out, false
		}
		return ok
	}) {
		return out, true
	}
	if shortest.NextToken == "" {
		return out, false
	}
	after := req
	after.Token = shortest.NextToken
	after, first = resume(after), strings.TrimPrefix(shortest.NextToken, ownToken)
	return shortest, s.spans(m, folder, since, hint, func(p *span) bool {
		next, ok, _ := p.narrow(after)
		return ok && len(next.Entries)+len(next.CommonPrefixes) > 0
	})
}

// absent tells, with an error of kind origin.ErrNotFound, that a listing which is young enough for that says that a path names nothing. fresh is as in Book.Get. Where
// the path was asked about before, and its last answer is too old, its folder is listed if that spares other questions.
func (s *Sidecar) absent(ctx context.Context, mount string, m *mounted, path string, fresh func(freshness.Answer[origin.Object]) time.Duration) error {
	missing := s.rules().MaxAge(mount, path, freshness.NotFound)
	if missing <= 0 {
		return nil
	}
	now := time.Now()
	known, ok := s.objects.Peek(m.key(path))
	if ok && freshness.Young(known, now, fresh) {
		return nil // the book has an answer
	}
	var listed time.Time // when the listing was asked for that gone looked at last
	gone := func(p *span) bool {
		if ok && known.Err == nil && known.Sent.After(p.sent) {
			return false // it was there later than that
		}
		there, tells := p.contains(path)
		listed = p.sent
		return tells && !there
	}
	if s.spans(m, folderOfKey(path), before(now, missing), func(p *pageRef) bool { return p.hintOf(path) }, gone) {
		s.metrics.fromFolder("not_found")
		return absentError(path, listed)
	}
	if !ok || !worthListing(path) || known.Err == nil && fresh(freshness.Answer[origin.Object]{Value: known.Value, Sent: now}) <= 0 {
		return nil
	}
	folder := folderOfKey(path)
	age, is := min(missing, s.rules().MaxAge(mount, folder, freshness.Listing)), false
	if age <= 0 {
		return nil
	}
	s.walk(ctx, m, age, folder, false, func(p *span, _ bool) bool {
		is = gone(p)
		return is || p.tells(path)
	})
	if !is {
		return nil
	}
	s.metrics.fromFolder("not_found")
	return absentError(path, listed)
}

func absentError(path string, listed time.Time) error {
	return origin.NewError(origin.ErrNotFound, "stat", path, &notListed{listed})
}

// notListed says that a folder's listing does not name a path.
type notListed struct{ asked time.Time } // when the origin was asked for the listing

func (*notListed) Error() string { return "its folder's listing does not name it" }

// worthListing tells whether other questions about a path's folder are likely to follow: it is one of a table's metadata, or the path is a folder itself.
func worthListing(path string) bool {
	if strings.HasSuffix(path, "/") {
		return true
	}
	f := formats.Identify(path)
	return f.Format != formats.NoFormat && formats.Metadata(uint8(f.Class))
}

// ends tells how far a page speaks: of names up to it; all is true where it is the last page.
func ends(page *origin.Listing) (last string, all bool) {
	if page.NextToken == "" {
		return "", true
	}
	if n := len(page.Entries); n > 0 {
		last = page.Entries[n-1].Path
	}
	if n := len(page.CommonPrefixes); n > 0 {
		last = max(last, page.CommonPrefixes[n-1])
	}
	return last, false
}

// contains says whether a path is among what a page names. tells is false where the page does not say.
func (p *span) contains(path string) (there, tells bool) {
	if !strings.HasPrefix(path, p.asked.Prefix) {
		return false, false
	}
	name, folded := nameIn(p.asked, path)
	if !p.tells(name) {
		return false, false
	}
	if folded {
		_, is := slices.BinarySearch(p.page.CommonPrefixes, name)
		return false, !is // what is below a common prefix is not told; and below none there is nothing
	}
	_, there = slices.BinarySearchFunc(p.page.Entries, path, func(e origin.Entry, p string) int { return strings.Compare(e.Path, p) })
	return there, true
}

// nameIn is what a path is listed as.
func nameIn(asked origin.ListRequest, path string) (name string, folded bool) {
	if asked.Delimiter != "" {
		if i := strings.Index(path[len(asked.Prefix):], asked.Delimiter); i >= 0 {
			return path[:len(asked.Prefix)+i+len(asked.Delimiter)], true
		}
	}
	return path, false
}

// narrow answers a listing from a page of one of a folder that it lies in; ok is false where that does not tell. short: the page ends before the answer has as many names
// as it may have, or does not tell whether there are more.
func (p *span) narrow(want origin.ListRequest) (out origin.Listing, ok, short bool) {
	if !strings.HasPrefix(want.Prefix, p.asked.Prefix) {
		return out, false, false
	}
	if name, folded := nameIn(p.asked, want.Prefix); folded { // it is below a common prefix, or below nothing
		_, is := slices.BinarySearch(p.page.CommonPrefixes, name)
		return out, !is && p.tells(name), false
	}
	if !p.reaches(want) {
		return out, false, false
	}
	n := narrowed{asked: p.asked, want: want, left: want.MaxKeys}
	if n.left <= 0 {
		n.left = folderKeys
	}
	entries, prefixes := p.page.Entries, p.page.CommonPrefixes
	for len(entries)+len(prefixes) > 0 {
		next := true
		if len(prefixes) == 0 || len(entries) > 0 && entries[0].Path < prefixes[0] {
			next = n.entry(&entries[0])
			entries = entries[1:]
		} else {
			next = n.prefix(prefixes[0])
			prefixes = prefixes[1:]
		}
		if !next {
			return n.out, !n.unknown, false
		}
	}
	if _, all := ends(p.page); all {
		return n.out, true, false
	}
	n.out.NextToken = ownToken + n.last // what follows is told by other pages
	return n.out, n.last != "", n.left > 0 || want.Prefix != p.asked.Prefix || want.Delimiter != p.asked.Delimiter
}

// narrowed is a listing that is made from another one, name by name, in their order.
type narrowed struct {
	asked, want origin.ListRequest
	out         origin.Listing
	left        int
	last        string // the name that was taken last
	unknown     bool   // the other one does not tell
}

// entry takes an object; false: there is no more to do.
func (n *narrowed) entry(e *origin.Entry) bool {
	if !strings.HasPrefix(e.Path, n.want.Prefix) {
		return n.passed(e.Path)
	}
	name, folded := nameIn(n.want, e.Path)
	if e.Path <= n.want.StartAfter && n.want.StartAfter != "" || n.isPast(name, folded) || folded && name == n.last {
		return true
	}
	if !n.take(name) {
		return false
	}
	if folded {
		n.out.CommonPrefixes = append(n.out.CommonPrefixes, name)
	} else {
		n.out.Entries = append(n.out.Entries, *e)
	}
	return true
}

// prefix takes a common prefix of the other listing, which has the delimiter "/".
func (n *narrowed) prefix(name string) bool {
	if !strings.HasPrefix(name, n.want.Prefix) {
		return n.passed(name)
	}
	switch after := n.want.StartAfter; {
	case n.want.Delimiter == "": // what is below it would have to be listed
		n.unknown = true
		return false
	case n.isPast(name, true), name < after && !strings.HasPrefix(after, name):
		return true
	case strings.HasPrefix(after, name): // whether anything below it is greater is not told
		n.unknown = true
		return false
	}
	if !n.take(name) {
		return false
	}
	n.out.CommonPrefixes = append(n.out.CommonPrefixes, name)
	return true
}

// isPast tells whether a common prefix has been listed by the page before.
func (n *narrowed) isPast(name string, folded bool) bool {
	return folded && n.want.Folded && name == n.want.StartAfter
}

// passed tells whether a name that has not the wanted prefix comes before those that have.
func (n *narrowed) passed(name string) bool { return name < n.want.Prefix }

// take counts a name; false: the page is full, and ends with a token of the sidecar's own.
func (n *narrowed) take(name string) bool {
	if n.left == 0 {
		n.out.NextToken = ownToken + n.last
		return false
	}
	n.left--
	n.last = name
	return true
}

// ownToken begins the tokens of pages that the sidecar has made; a name follows, a common prefix if it ends with the delimiter. No origin's begins so.
const ownToken = "\x00after\x00"

// resume turns a token of the sidecar's own into what an origin understands.
func resume(req origin.ListRequest) origin.ListRequest {
	name, own := strings.CutPrefix(req.Token, ownToken)
	if own {
		req.Token, req.StartAfter = "", name
		req.Folded = req.Delimiter != "" && len(name) > len(req.Prefix) && strings.HasPrefix(name, req.Prefix) && strings.HasSuffix(name, req.Delimiter)
	}
	return req
}

// dropPast takes away a common prefix that the page before has listed: an origin need not know of ListRequest.Folded.
func dropPast(req origin.ListRequest, l origin.Listing) origin.Listing {
	if req.Folded && len(l.CommonPrefixes) > 0 && l.CommonPrefixes[0] == req.StartAfter {
		l.CommonPrefixes = l.CommonPrefixes[1:]
	}
	return l
}
