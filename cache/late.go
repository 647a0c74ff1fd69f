package cache

import (
	"sync"
	"time"
)

// late remembers pages that the disk did not take when they came (its queue was full, or a write failed) and that are in memory, so that Run
// offers them again. Without it a page that memory holds on to would never get to the disk, and be gone after a restart.
type late struct {
	mu struct {
		sync.Mutex
		pages map[Key]uint8 // classes
	}
}

const (
	// maxLate bounds what is remembered, at some 40 bytes a page. What is beyond it is offered again only after a fill.
	maxLate = 16 << 10
	// lateEvery is how often they are offered.
	lateEvery = 250 * time.Millisecond
)

func (l *late) add(k Key, class uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.pages == nil {
		l.mu.pages = make(map[Key]uint8)
	}
	if len(l.mu.pages) < maxLate {
		l.mu.pages[k] = class
	}
}

// take empties the memory.
func (l *late) take() map[Key]uint8 {
	l.mu.Lock()
	defer l.mu.Unlock()
	pages := l.mu.pages
	l.mu.pages = nil
	return pages
}

// offerLate offers what was remembered, until the disk refuses again.
func (c *Cache) offerLate() {
	full := false
	for k, class := range c.late.take() {
		if full {
			c.late.add(k, class)
			continue
		}
		if data, ok := c.mem.peek(&k); ok && !c.disk.Contains(k) {
			full = !c.offerDisk(k, class, data)
		}
	}
}

// offerDisk gives a page in memory to the disk, from where it leaves memory unless it is metadata. false: the disk does not take it now.
func (c *Cache) offerDisk(k Key, class uint8, data []byte) bool {
	queued := c.disk.Write(k, class, data, func(stored bool) {
		switch {
		case !stored:
			c.late.add(k, class)
		case !c.metadata(class):
			c.mem.remove(k)
		}
	})
	if !queued {
		c.late.add(k, class)
	}
	return queued
}
