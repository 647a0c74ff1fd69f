package cache

import "math/rand/v2"

// A page leaves memory when it is on disk, unless it is metadata. The operating system's page cache keeps what is read from there again, but each read
// copies and sums it, which costs more than all else of a hit. So pages of the disk tier that are asked for often move up into memory, where they lie
// beside their place on disk, and stay as long as S3-FIFO sees them used.
//
// Which ones, a die says: each read of a page throws it, with odds in proportion to the part of the page that was asked for. So it needs no
// memory of what was asked, pages that are read often come up soon, and moving up never copies more than a fixed part of the bytes that are read.
const (
	// fullOdds is by how much less likely it is where another page must go for it: less is to be won, and a working set that memory will never
	// hold would be copied for nothing.
	fullOdds = 8
	// touchOdds is in how many hits in memory one is told to the disk tier, which else would take what memory serves for cold and evict it; then
	// a restart, or a client that reads the disk itself, would miss it.
	touchOdds = 64
)

// movesUp decides whether a read of n bytes of a page on disk brings the page into memory.
func (c *Cache) movesUp(pg *page, n int64) bool {
	if c.metadata(pg.class) {
		return true
	}
	odds := c.upOdds
	if odds < 0 {
		return false
	}
	if c.mem.full(&pg.key) {
		odds *= fullOdds
	}
	return c.die(odds*pg.size()) < n
}

// recall returns a page of the memory tier, which must not be changed, and counts the hit.
func (c *Cache) recall(k *Key) ([]byte, bool) {
	data, ok := c.mem.get(k)
	if ok && c.places != nil && c.die(touchOdds) == 0 {
		c.places.Touch(*k)
	}
	return data, ok
}

// die throws a die of n sides.
func die(n int64) int64 { return rand.Int64N(n) }
