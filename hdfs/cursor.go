package hdfs

import (
	"container/heap"
	"fmt"
	"strings"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// cursor walks one directory in the order in which its entries' paths stand among all paths, a page of the NameNode's at a time.
//
// HDFS sorts the names in a directory by their bytes taken as signed (DFSUtilClient.compareBytes), so that names with a character outside ASCII come
// before all others that agree up to it; and a directory "a" stands among paths as "a/", behind a file "a-b". So an entry waits in a heap until
// the names that HDFS has yet to list are all greater than its key. Few wait: a directory while names that begin with its own and go on with a
// character below the slash pass by, and names outside ASCII while those inside pass by.
type cursor struct {
	l     *lister
	dir   string // "" or "a/b/"
	begin string // what names begin with
	after string // keys up to this one were listed before

	page     []*namenode.Status
	last     string // the name that the NameNode lists after
	more     bool
	started  bool
	frontier string // all names to come are greater than, or equal to, this
	waiting  waiting
}

// maxWaiting bounds the entries that wait, and with them memory: about 1 KiB each.
const maxWaiting = 50_000

func newCursor(l *lister, dir, begin, after string) *cursor {
	return &cursor{l: l, dir: dir, begin: begin, after: after, more: true, last: before(begin)}
}

// key is what an entry is sorted by.
func key(s *namenode.Status) string {
	if s.Kind == namenode.Directory {
		return s.Name + "/"
	}
	return s.Name
}

// wanted reports whether an entry, or something below it, follows what was listed before.
func (c *cursor) wanted(s *namenode.Status) bool {
	k := key(s)
	return strings.HasPrefix(s.Name, c.begin) && (k > c.after || s.Kind == namenode.Directory && strings.HasPrefix(c.after, k))
}

// next is the directory's next entry, nil at its end.
func (c *cursor) next() (*namenode.Status, error) {
	if !c.started {
		c.started = true
		if err := c.skip(); err != nil {
			return nil, err
		}
	}
	for {
		if len(c.waiting) > 0 && (!c.more && len(c.page) == 0 || key(c.waiting[0]) <= c.frontier) {
			return heap.Pop(&c.waiting).(*namenode.Status), nil
		}
		if len(c.page) == 0 {
			if !c.more {
				return nil, nil
			}
			if err := c.turn(); err != nil {
				return nil, err
			}
			continue
		}
		s := c.page[0]
		c.page = c.page[1:]
		if !strings.HasPrefix(s.Name, c.begin) {
			if signedLess(c.begin, s.Name) {
				c.page, c.more = nil, false // names with one beginning stand together
			}
			continue
		}
		c.frontier = c.begin + ascii(s.Name[len(c.begin):])
		if c.wanted(s) {
			if err := c.wait(s); err != nil {
				return nil, err
			}
		}
	}
}

func (c *cursor) wait(s *namenode.Status) error {
	if len(c.waiting) >= maxWaiting {
		return c.tooMany()
	}
	heap.Push(&c.waiting, s)
	return nil
}

func (c *cursor) tooMany() error {
	return origin.NewError(origin.ErrUnsupported, "list", c.dir, fmt.Errorf(
		"the directory has more than %d names outside ASCII, which HDFS lists in another order than S3 does: list it by a narrower prefix", maxWaiting))
}

// turn asks for the next page.
func (c *cursor) turn() error {
	page, err := c.list(c.last, true)
	if err != nil {
		return err
	}
	c.page, c.more = page.Entries, page.Remaining > 0 && len(page.Entries) > 0
	if n := len(c.page); n > 0 {
		c.last = c.page[n-1].Name
	}
	return nil
}

// list asks the NameNode for entries after a name. A directory that is not there, or is a file, has none.
func (c *cursor) list(after string, located bool) (*namenode.Page, error) {
	path := c.l.o.cluster.dir + "/" + strings.TrimSuffix(c.dir, "/")
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	page, err := c.l.pages(c.l.ctx, path, after, located)
	if err != nil {
		return nil, err
	}
	if page == nil || len(page.Entries) == 1 && page.Entries[0].Name == "" {
		return &namenode.Page{}, nil
	}
	return page, nil
}

// skip moves to where the listing goes on, in a directory that may be large. Between the beginning and there HDFS may have listed entries that
// come later all the same: directories whose names begin the name to go on from, and names that leave it with a character outside ASCII. They
// are looked for at each beginning of that name; one page mostly answers for many of them.
func (c *cursor) skip() error {
	to, _, _ := strings.Cut(c.after, "/")
	to = ascii(to)
	if to <= c.begin || c.begin != ascii(c.begin) {
		return nil // all is wanted, or it is not worth the trouble
	}
	if !strings.HasPrefix(to, c.begin) {
		c.more = false // all was listed before
		return nil
	}
	if c.l.clean {
		c.last = before(to)
		return nil
	}
	var page *namenode.Page
	from := ""
	for n := len(c.begin); n < len(to); n++ {
		q := to[:n]
		if page == nil || page.Remaining > 0 && signedLess(page.Entries[len(page.Entries)-1].Name, q+"\xff") {
			var err error
			if page, from, err = c.probe(q, page, from); err != nil {
				return err
			}
			if n == len(c.begin) && page.Remaining == 0 {
				c.page, c.more = page.Entries, false // this is the whole directory
				return nil
			}
		}
		for _, s := range page.Entries {
			if leaves(s.Name, q) && c.wanted(s) {
				if err := c.wait(s); err != nil {
					return err
				}
			}
		}
	}
	c.last = before(to)
	return nil
}

// probe is the page that begins at q, or the rest of what leaves q there if the page at hand has its beginning.
func (c *cursor) probe(q string, page *namenode.Page, from string) (*namenode.Page, string, error) {
	at := before(q)
	all := &namenode.Page{}
	if page != nil && len(page.Entries) > 0 && signedLess(from, q) && signedLess(q, page.Entries[len(page.Entries)-1].Name) {
		at, all = page.Entries[len(page.Entries)-1].Name, page
	} else {
		from = at
	}
	for {
		next, err := c.list(at, true)
		if err != nil {
			return nil, "", err
		}
		all.Entries, all.Remaining = append(all.Entries, next.Entries...), next.Remaining
		if next.Remaining == 0 || len(next.Entries) == 0 {
			all.Remaining = 0
			return all, from, nil
		}
		if at = next.Entries[len(next.Entries)-1].Name; !signedLess(at, q+"\xff") {
			return all, from, nil
		}
		if len(all.Entries) > maxWaiting {
			return nil, "", c.tooMany()
		}
	}
}

// leaves reports whether a name is q itself, or goes on from it with a character outside ASCII.
func leaves(name, q string) bool {
	return strings.HasPrefix(name, q) && (len(name) == len(q) || name[len(q)] >= 0x80)
}

// ascii is what a name begins with before its first character outside ASCII.
func ascii(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return s[:i]
		}
	}
	return s
}

// before is a name that HDFS lists before the name s and behind almost all others that it lists before it.
func before(s string) string {
	if s == "" {
		return ""
	}
	n := len(s) - 1
	switch s[n] {
	case 0x80:
		return s[:n]
	case 0:
		return s[:n] + "\xff"
	}
	return s[:n] + string([]byte{s[n] - 1, 0x7f})
}

// signedLess is HDFS's order of names.
func signedLess(a, b string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return int8(a[i]) < int8(b[i])
		}
	}
	return len(a) < len(b)
}

// waiting is a heap by key.
type waiting []*namenode.Status

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return key(w[i]) < key(w[j]) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

// Push and Pop are container/heap's.
func (w *waiting) Push(x any) { *w = append(*w, x.(*namenode.Status)) }

// Pop is container/heap's.
func (w *waiting) Pop() any {
	old := *w
	n := len(old) - 1
	s := old[n]
	old[n] = nil
	*w = old[:n]
	return s
}
