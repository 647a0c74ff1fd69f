package rpc

import (
	"container/list"
	"crypto/rand"
	"sync"
	"time"

	"github.com/alio-lake/alio/cache"
)

// claims are the pages that clients are filling: each page one client's, until a deadline. All methods may be called in parallel.
type claims struct {
	deadline time.Duration
	most     int // pages
	metrics  *metrics

	mu      sync.Mutex
	pages   map[cache.Key]*claim
	byToken map[claimToken]*claim
	all     *list.List // of *claim, in the order in which they run out
}

type claimToken [16]byte

// claim is one client's right to fill some pages of one file. Its fields but pages are fixed when it is made.
type claim struct {
	token   claimToken
	conn    *conn
	file    fileID
	expires time.Time
	pages   map[cache.Key]span
	place   *list.Element
}

// fileID names a client's file within its trust domain: what keys are made of, and no more.
type fileID struct {
	domain, mount, path, kind, version string
	size                               int64
}

// span is bytes [start, end) of an object.
type span struct{ start, end int64 }

func newClaims(deadline time.Duration, most int) *claims {
	return &claims{deadline: deadline, most: most, pages: map[cache.Key]*claim{}, byToken: map[claimToken]*claim{}, all: list.New()}
}

// grant tries to claim missing pages of a file for a client. It returns the claim, nil if there is none, and for each page whether it was granted
// (claimGranted), is another's (claimTaken), or is neither because too many are claimed (claimFull).
func (c *claims) grant(conn *conn, file fileID, pages []cache.Page) (*claim, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.expireLocked(now)
	outcomes := make([]string, len(pages))
	var mine *claim
	for i := range pages {
		k := pages[i].Key
		switch {
		case c.pages[k] != nil:
			outcomes[i] = claimTaken
		case len(c.pages) >= c.most:
			outcomes[i] = claimFull
		default:
			if mine == nil {
				mine = c.makeLocked(conn, file, now)
			}
			c.pages[k], mine.pages[k] = mine, span{pages[i].Start, pages[i].End}
			outcomes[i] = claimGranted
		}
		c.metrics.claimed[outcomes[i]].Inc()
	}
	return mine, outcomes
}

func (c *claims) makeLocked(conn *conn, file fileID, now time.Time) *claim {
	m := &claim{conn: conn, file: file, expires: now.Add(c.deadline), pages: map[cache.Key]span{}}
	rand.Read(m.token[:]) // never fails: it would end the process
	m.place = c.all.PushBack(m)
	c.byToken[m.token] = m
	conn.claimed.Store(true)
	return m
}

// check says whether a token is a claim on all of the pages of a file. The error is a status that says what to do.
func (c *claims) check(token []byte, file fileID, pages []cache.Key) (*claim, error) {
	if len(token) != len(claimToken{}) {
		return nil, invalid("token: %d bytes are no claim's token: send the one that Open has answered, %d bytes", len(token), len(claimToken{}))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked(time.Now())
	m := c.byToken[claimToken(token)]
	if m == nil {
		return nil, precondition("the claim has run out (it holds %v), was given back, or never was: open the file again and claim its pages", c.deadline)
	}
	if m.file != file {
		return nil, invalid("the claim is on %q of mount %q, at another kind, version or size, or by another client: put pages of the file that was opened", m.file.path, m.file.mount)
	}
	for i, k := range pages {
		if _, ok := m.pages[k]; !ok {
			return nil, precondition("pages[%d] was not granted by this claim, or was put already: open the file again and claim it", i)
		}
	}
	return m, nil
}

// release gives pages of a claim back; the claim ends with its last page.
func (c *claims) release(m *claim, pages []cache.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range pages {
		c.dropLocked(m, k)
	}
	if len(m.pages) == 0 {
		c.endLocked(m)
	}
}

func (c *claims) dropLocked(m *claim, k cache.Key) {
	if _, ok := m.pages[k]; ok {
		delete(m.pages, k)
		delete(c.pages, k)
	}
}

func (c *claims) endLocked(m *claim) {
	if c.byToken[m.token] != m {
		return
	}
	for k := range m.pages {
		c.dropLocked(m, k)
	}
	delete(c.byToken, m.token)
	c.all.Remove(m.place)
}

// end gives a claim back.
func (c *claims) end(m *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(m)
}

// left returns what a claim still grants.
func (c *claims) left(m *claim) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := make([]span, 0, len(m.pages))
	for _, s := range m.pages {
		spans = append(spans, s)
	}
	return spans
}

// leave gives back all that a connection has claimed.
func (c *claims) leave(conn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for el := c.all.Front(); el != nil; {
		m, next := el.Value.(*claim), el.Next()
		if m.conn == conn {
			c.endLocked(m)
		}
		el = next
	}
}

// expireLocked ends the claims that have run out: the first ones, since all have the same deadline.
func (c *claims) expireLocked(now time.Time) {
	for el := c.all.Front(); el != nil; el = c.all.Front() {
		m := el.Value.(*claim)
		if now.Before(m.expires) {
			return
		}
		c.metrics.claimed[claimEnded].Add(float64(len(m.pages)))
		c.endLocked(m)
	}
}

// held is how many pages are claimed.
func (c *claims) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked(time.Now())
	return len(c.pages)
}
