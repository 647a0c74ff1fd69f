package cache

// Touched is what a Disk may offer besides: whether a page has been read since it was written. touched says so; not ok: the page is not there. Neither the device
// nor the page's own marks are touched.
type Touched interface {
	Touched(k Key) (touched, ok bool)
}

// The heat of a page, as Heat tells it.
const (
	// HeatNone: nobody has come back to it, as far as is known.
	HeatNone = 0
	// HeatRead: it was read again after it came.
	HeatRead = 1
	// HeatOften: memory has seen it asked for again and again.
	HeatOften = 2
)

// Heat tells whether a page is resident, and how much it is asked for, by the indexes alone. It counts as no read.
func (c *Cache) Heat(k Key) (heat uint8, ok bool) {
	if e := c.mem.of(&k).index.find(&k); e != nil {
		heat, ok = uint8(min(e.hits.Load(), HeatOften)), true
	}
	if t, can := c.disk.(Touched); can {
		touched, there := t.Touched(k)
		if touched {
			heat = max(heat, HeatRead)
		}
		return heat, ok || there
	}
	return heat, ok || c.onDisk(k, false)
}
