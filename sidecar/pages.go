package sidecar

import (
	"container/list"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// span is a page of a listing as what it tells: of the names with its prefix, those after from and up to the page's last. An answer is made from one span alone: it is
// what the origin could have answered when that page was sent for, never a mixture of two times. It counts as old as the first of the pages that led to it.
type span struct {
	asked origin.ListRequest
	from  string // "": it begins with the first name
	page  *origin.Listing
	sent  time.Time
}

// tells reports whether the page says if there is a name, as its listing would spell it.
func (p *span) tells(name string) bool {
	last, all := ends(p.page)
	return strings.HasPrefix(name, p.asked.Prefix) && (p.from == "" || name > p.from) && (all || name <= last)
}

// reaches reports whether no name that a listing wants comes before the page. What is below a common prefix that the page before ended with is not in it.
func (p *span) reaches(want origin.ListRequest) bool {
	if p.from == "" || want.StartAfter < want.Prefix {
		return p.from < want.Prefix || p.from == ""
	}
	if d := p.asked.Delimiter; d != "" && strings.HasSuffix(p.from, d) && strings.HasPrefix(want.StartAfter, p.from) {
		return want.Folded && want.StartAfter == p.from
	}
	return p.from <= want.StartAfter
}

// Limits of what is remembered of pages, beside the pages themselves, which the book of listings holds within its own limit.
const (
	maxPageRefs   = 4096 // in all folders, of some 300 bytes
	maxFolderRefs = 64   // of one folder; also the most pages of one that are listed for a question
)

// pageIndex finds pages of listings by the folder that they are about. What it says of a page is a hint: the page itself is in the book of listings, or is gone.
type pageIndex struct {
	mu struct {
		sync.Mutex
		folders map[string]*list.Element // of *folderPages
		lru     *list.List               // front: the one that a page was added to last
		refs    int
	}
}

// folderPages is what is known of the pages of a folder's listings.
type folderPages struct {
	key   string
	pages []*pageRef // which are never changed, only replaced; the oldest first

	walked bool               // clients have listed it to its end since it was last listed for their questions
	as     origin.ListRequest // in pages like this one
	begun  time.Time          // when it was last listed for questions
}

// pageRef is where a page begins and ends.
type pageRef struct {
	req        origin.ListRequest
	key        string // in the book
	from, last string
	next       string    // token of the one that follows; "": none does
	sent       time.Time // of the page itself
	dated      time.Time // when the first page of those that led to it was sent for: what lies just before it was told then
}

// hintOf tells whether the page is likely to tell of a path, as which it may list a folder above it.
func (p *pageRef) hintOf(path string) bool {
	if !strings.HasPrefix(path, p.req.Prefix) {
		return false
	}
	name, _ := nameIn(p.req, path)
	return (p.from == "" || name > p.from) && (p.next == "" || name <= p.last)
}

func newPageIndex() *pageIndex {
	x := &pageIndex{}
	x.mu.folders, x.mu.lru = make(map[string]*list.Element), list.New()
	return x
}

// add notes that a page has come. One that was asked for by a token begins where the page ended that told the token, if that one is still believed: present finds what
// is kept under a key.
func (x *pageIndex) add(folder, key string, req origin.ListRequest, a freshness.Answer[origin.Listing], present func(key string) (freshness.Answer[origin.Listing], bool)) {
	if a.Err != nil || req.Delimiter != "" && req.Delimiter != "/" {
		return
	}
	last, all := ends(&a.Value)
	now := &pageRef{req: req, key: key, from: req.StartAfter, last: last, next: a.Value.NextToken, sent: a.Sent, dated: a.Sent}
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.folderLocked(folder)
	at := slices.IndexFunc(f.pages, func(p *pageRef) bool { return p.key == key })
	switch {
	case at >= 0 && f.pages[at].sent.Equal(a.Sent):
	case !all && last == "" || req.Token != "" && !now.begins(f.pages, present): // an empty page does not tell where its token leads
		if at >= 0 {
			x.removeLocked(f, at)
		}
	case at >= 0:
		f.pages[at] = now
	default:
		f.pages = append(f.pages, now)
		x.mu.refs++
		x.trimLocked(f)
	}
}

// begins finds out where a page begins that was asked for by a token; false if that is not known.
func (p *pageRef) begins(pages []*pageRef, present func(key string) (freshness.Answer[origin.Listing], bool)) bool {
	for _, q := range pages {
		if q.next != p.req.Token || q.req.Prefix != p.req.Prefix || q.req.Delimiter != p.req.Delimiter {
			continue
		}
		if a, ok := present(q.key); ok && a.Err == nil && a.Sent.Equal(q.sent) {
			p.from = q.last
			if q.dated.Before(p.dated) {
				p.dated = q.dated
			}
			return true
		}
	}
	return false
}

func (x *pageIndex) folderLocked(folder string) *folderPages {
	el, ok := x.mu.folders[folder]
	if !ok {
		el = x.mu.lru.PushFront(&folderPages{key: folder})
		x.mu.folders[folder] = el
	}
	x.mu.lru.MoveToFront(el)
	return el.Value.(*folderPages)
}

// trimLocked drops what is over the limits: of a folder its oldest pages, of folders those that nothing was added to for longest.
func (x *pageIndex) trimLocked(f *folderPages) {
	if n := len(f.pages) - maxFolderRefs; n > 0 {
		f.pages = append([]*pageRef(nil), f.pages[n:]...)
		x.mu.refs -= n
	}
	for x.mu.refs > maxPageRefs || x.mu.lru.Len() > maxPageRefs {
		old := x.mu.lru.Remove(x.mu.lru.Back()).(*folderPages)
		delete(x.mu.folders, old.key)
		x.mu.refs -= len(old.pages)
	}
}

// find returns the pages of a folder for which want is true.
func (x *pageIndex) find(folder string, want func(*pageRef) bool) (out []*pageRef) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if el, ok := x.mu.folders[folder]; ok {
		for _, p := range el.Value.(*folderPages).pages {
			if want(p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// drop forgets a page that is not in the book any more.
func (x *pageIndex) drop(folder string, gone *pageRef) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if el, ok := x.mu.folders[folder]; ok {
		f := el.Value.(*folderPages)
		if at := slices.Index(f.pages, gone); at >= 0 {
			x.removeLocked(f, at)
		}
	}
}

func (x *pageIndex) removeLocked(f *folderPages, at int) {
	f.pages = append(f.pages[:at:at], f.pages[at+1:]...)
	x.mu.refs--
}

// walkedToEnd notes that a client has listed a folder to its end, page by page, in pages like this one.
func (x *pageIndex) walkedToEnd(folder string, like origin.ListRequest) {
	like.Token, like.StartAfter, like.Folded = "", "", false
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.folderLocked(folder)
	f.walked, f.as = true, like
	x.trimLocked(f)
}

// walks tells whether, and in what pages, a folder that does not fit into one page is to be listed for a question: clients have listed it to its end since that was last
// done, or it is being done.
func (x *pageIndex) walks(folder string, now time.Time, maxAge time.Duration) (like origin.ListRequest, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	el, ok := x.mu.folders[folder]
	if !ok {
		return like, false
	}
	f := el.Value.(*folderPages)
	return f.as, f.walked || !f.begun.IsZero() && !f.begun.Before(before(now, maxAge))
}

// walking notes that a folder is being listed for a question.
func (x *pageIndex) walking(folder string, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if el, ok := x.mu.folders[folder]; ok {
		f := el.Value.(*folderPages)
		f.begun = now
		f.walked = false
	}
}

// spans calls use for the pages of a folder, and of those above it, that are likely to be of use, were sent for no earlier than a time, and are still known, until
// use is true.
func (s *Sidecar) spans(m *mounted, folder string, since time.Time, hint func(*pageRef) bool, use func(*span) bool) bool {
	for range maxAncestors {
		key := m.key(folder)
		for _, ref := range s.pages.find(key, hint) {
			a, ok := s.lists.Peek(ref.key)
			if !ok {
				s.pages.drop(key, ref)
				continue
			}
			if a.Err == nil && a.Sent.Equal(ref.sent) && !ref.dated.Before(since) && use(&span{ref.req, ref.from, &a.Value, ref.dated}) {
				return true
			}
		}
		if folder == "" {
			return false
		}
		folder = folderOfKey(strings.TrimSuffix(folder, "/"))
	}
	return false
}

// walk lists a folder until use is true of a page. One that does not fit into one page is listed on only where clients list all of it, so that they would ask for these
// pages anyway, and no further than the book of listings can well hold.
func (s *Sidecar) walk(ctx context.Context, m *mounted, maxAge time.Duration, folder string, restore bool, use func(p *span, on bool) bool) bool {
	key, now, req := m.key(folder), time.Now(), folderRequest(folder, restore)
	as, on := s.pages.walks(key, now, maxAge)
	if on = on && (as.RestoreStatus || !restore); on {
		req = as
	} else if s.isBig(m, req, now) {
		return false
	}
	room, p := s.opts.MetadataMemory/8, span{asked: req}
	for range maxFolderRefs {
		a, asked, err := s.list(ctx, m, p.asked, maxAge)
		if err != nil {
			return false
		}
		if asked && on {
			s.pages.walking(key, now)
		}
		if p.page = &a.Value; p.sent.IsZero() || a.Sent.Before(p.sent) {
			p.sent = a.Sent
		}
		if use(&p, on) {
			return true
		}
		last, all := ends(p.page)
		if room -= weighListing("", a.Value); all || !on || last <= p.from || room < 0 {
			return false
		}
		p.from, p.asked.Token = last, a.Value.NextToken
	}
	return false
}

// endsBefore tells whether a page that is kept says nothing of a path, since it ends before it. It must have as many names as it may have: one that ended early has perhaps
// looked further than its last name, and so would the page that follows it.
func endsBefore(key string, kept *freshness.Answer[origin.Listing], path string) bool {
	if kept == nil || kept.Err != nil {
		return false
	}
	last, all := ends(&kept.Value)
	return !all && len(kept.Value.Entries)+len(kept.Value.CommonPrefixes) >= keysOf(key) && path > last && !strings.HasPrefix(path, last)
}

// isBig tells whether a folder is known not to fit into one page.
func (s *Sidecar) isBig(m *mounted, all origin.ListRequest, now time.Time) bool {
	a, ok := s.lists.Peek(m.listKey(all))
	return ok && a.Err == nil && a.Value.NextToken != "" && now.Sub(a.Sent) < bigFor
}

// before is maxAge before now, or the beginning of time.
func before(now time.Time, maxAge time.Duration) time.Time {
	if maxAge == freshness.Forever {
		return time.Time{}
	}
	return now.Add(-maxAge)
}
