package cache

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/origin"
)

// Cache keeps pages in memory and on disk and reads what is missing from an origin. All methods may be called in parallel.
//
// A read goes: geometry cuts the range into pages; plan finds which are resident and gives the others flights, new ones or those of other
// readers; one fill asks the origin for all new flights of a window and publishes them page by page; the Reader takes each page from
// wherever it is by then.
type Cache struct {
	mem      *memory
	disk     Disk   // nil: none
	places   Places // the disk tier, if it is one
	upOdds   int64
	die      func(n int64) int64
	fills    *table
	count    *counters
	late     late
	metadata func(class uint8) bool
	fillSpan int64
	arrays   sync.Pool // *array: of windows
	log      zerolog.Logger

	base   context.Context // of every fill
	stop   context.CancelFunc
	ending sync.Once
	ended  error
}

// closeWait is how long Close waits for the sources of cancelled fills to return.
const closeWait = 10 * time.Second

// New makes a cache. It starts nothing; the cache works from here on, until Close.
func New(o Options) (*Cache, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("cache options: %w", err)
	}
	o = o.withDefaults()
	c := &Cache{
		mem: newMemory(o.Memory, o.MetadataShare), disk: o.Disk, fills: newTable(o.FillMemory), metadata: o.Metadata,
		fillSpan: o.FillSpan, log: o.Logger, upOdds: int64(o.UpOdds), die: die,
	}
	c.places, _ = o.Disk.(Places)
	c.base, c.stop = context.WithCancel(context.Background())
	c.count = newCounters(c, o.ClassNames)
	if err := c.count.register(o.Registerer); err != nil {
		c.stop()
		return nil, fmt.Errorf("cache metrics: %w", err)
	}
	return c, nil
}

// Run offers pages to the disk again that it did not take when they came, until ctx ends or the cache is closed, and closes the cache. The
// cache works without it, but such pages then stay in memory at best.
func (c *Cache) Run(ctx context.Context) error {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.offerLate()
			continue
		case <-ctx.Done():
		case <-c.base.Done():
		}
		return c.Close()
	}
}

// Close cancels every fill, waits for them, and ends the cache: reads that wait for the origin, and those that begin later, fail with
// ErrClosed; a Reader that needs only what is resident may finish. The disk tier is not closed. Closing twice is safe.
func (c *Cache) Close() error {
	c.ending.Do(func() {
		idle := c.fills.close()
		c.stop()
		c.count.unregister()
		t := time.NewTimer(closeWait)
		defer t.Stop()
		select {
		case <-idle:
		case <-t.C:
			_, _, n := c.fills.usage()
			c.ended = fmt.Errorf("close the cache: %d fills did not end within %v of being cancelled; their sources ignore their context", n, closeWait)
		}
	})
	return c.ended
}

// onDisk reports whether the disk tier says that it holds a page, and is to be believed.
func (c *Cache) onDisk(k Key, noDisk bool) bool {
	return c.disk != nil && !noDisk && c.disk.Contains(k)
}

func (c *Cache) resident(k Key, noDisk bool) bool {
	return c.mem.has(&k) || c.onDisk(k, noDisk)
}

// Offer gives the cache bytes of obj, from off on, that were read from the origin at obj's version by other means. Every page that lies
// wholly within them and is not resident is stored as if a fill had read it. data is copied, not kept. What cannot be right (no version, bytes
// outside the object) is ignored.
func (c *Cache) Offer(obj *origin.Object, layout Layout, off int64, data []byte) {
	if cacheable(obj) != nil || layout == nil || c.base.Err() != nil || off < 0 || off > obj.Size-int64(len(data)) {
		return
	}
	geo, end := newGeometry(obj, layout), off+int64(len(data))
	for at, floor := off, int64(0); at < end; {
		pg, err := geo.pageAt(at, floor)
		if err != nil || pg.end > end {
			return
		}
		if pg.start >= off && !c.resident(pg.key, false) {
			c.store(pg.key, pg.class, bytes.Clone(data[pg.start-off:pg.end-off]))
			c.count.offered.Add(pg.size())
		}
		at, floor = pg.end, pg.end
	}
}

// Lookup returns one page of obj by its exact bounds, if it is resident; it never asks the origin. The bytes must not be changed; the caller
// frees the Buf.
func (c *Cache) Lookup(ctx context.Context, obj *origin.Object, off, length int64) (Buf, bool) {
	if cacheable(obj) != nil {
		return Buf{}, false
	}
	geo := newGeometry(obj, nil)
	k, ok := geo.exact(off, length)
	if !ok {
		return Buf{}, false
	}
	if data, ok := c.recall(&k); ok {
		return NewBuf(data, nil), true
	}
	if !c.onDisk(k, false) {
		return Buf{}, false
	}
	buf, err := c.disk.Read(ctx, k, int(length), 0, int(length))
	if err == nil && int64(len(buf.B)) == length {
		return buf, true
	}
	if err == nil {
		buf.Free()
		err = ErrCorrupt
	}
	if ctx.Err() == nil {
		c.count.fallback(err)
	}
	return Buf{}, false
}

// Resident reports whether every page of a range of obj is in memory or on disk, by the indexes alone. A read may still find one gone.
func (c *Cache) Resident(obj *origin.Object, layout Layout, off, length int64) bool {
	if cacheable(obj) != nil || layout == nil || off < 0 || length <= 0 || off > obj.Size-length {
		return false
	}
	geo := newGeometry(obj, layout)
	for at, floor := off, int64(0); at < off+length; {
		pg, err := geo.pageAt(at, floor)
		if err != nil || !c.resident(pg.key, false) {
			return false
		}
		at, floor = pg.end, pg.end
	}
	return true
}
