package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// mode is a way of caching.
type mode struct {
	name, says string
	placement  string
	cache      bool
	peers      bool
}

var modes = []mode{
	{"none", "no cache", "any", false, false},
	{"random", "a cache beside each worker, splits placed anywhere", "any", true, false},
	{"presto", "Presto's soft affinity: its ring of 1,000 points, two preferred workers in order, any other, without its cache, when both are busy", "presto", true, false},
	{"trino", "Trino's: rendezvous over 2,048 buckets; the less loaded of two workers, waits for them", "trino", true, false},
	{"affinity", "Alio's affinity", "alio", true, false},
	{"peers", "Alio's affinity, and a miss asks a peer ahead of the origin: who owns the section, or the owner who owned it before; a new owner also takes what the former one holds, with no reader waiting", "alio", true, true},
}

// counts is what happened while it was measured. Reads are of pages.
type counts struct {
	Queries, Splits              int64
	Reads, Hits, Peer, Origin    int64
	Bytes, HitBytes, PeerBytes   int64
	OriginBytes, OriginGETs      int64
	AgainBytes                   int64 // of OriginBytes: what had been read from the origin before
	Uncached                     int64 // splits that a worker was told not to cache
	PulledBytes                  int64 // that new owners took over from old ones for a reader
	BackgroundBytes              int64 // and with no reader waiting
	Moved                        float64
	Epochs                       int
	Hot                          int     // sections with more owners than others, at most at once
	Fullest                      float64 // partitions of the fullest member over the mean, at worst
	MaxOverMean                  float64 // bytes read by workers
	QueryP50, QueryP95, QueryP99 int64   // ms
	BurstP50, BurstP99           int64
	Busiest, Busy                float64 // part of its slots' time that the busiest worker, and the mean one, was asked for
	Workers                      int     // at the end
}

// cell is one fleet in one scenario and one mode.
type cell struct {
	o        *options
	lake     *catalog
	scenario *scenario
	mode     mode
	seed     uint64
	queues   bool // time is modelled

	fleet  *fleet
	placer placer
	source source
	events []event
	seen   []uint64 // pages that were read from the origin, a bit each
	on     bool     // measured now
	n      counts
	times  []int64 // of queries, ms
	bursts []int64
}

func newCell(o *options, lake *catalog, s *scenario, m mode) (*cell, error) {
	c := &cell{o: o, lake: lake, scenario: s, mode: m, seed: o.seed, queues: s.queues}
	size := o.cache * int64(lake.density)
	if !m.cache {
		size = 0
	}
	c.fleet = newFleet(o.workers, size)
	c.seen = make([]uint64, len(lake.pages)/64+1)
	c.source = o.newSource(lake)
	var err error
	c.placer, err = newPlacer(c)
	return c, err
}

// run goes through the warm-up and what is measured.
func (c *cell) run(ctx context.Context) (counts, error) {
	warm, long := c.o.warmMS, c.scenario.length(c.o)
	c.events = c.scenario.events(c, warm, long)
	slices.SortStableFunc(c.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	changed := true
	for now := int64(0); now < warm+long; {
		if err := ctx.Err(); err != nil {
			return c.n, err
		}
		step := c.o.tickMS
		if now >= warm && c.queues {
			step = queueTickMS
		}
		if now == warm {
			c.measure()
		}
		for len(c.events) > 0 && c.events[0].at <= now {
			c.events[0].do(c)
			c.events = c.events[1:]
			changed = true
		}
		if changed {
			c.fleet.count()
		}
		if err := c.look(now, changed); err != nil {
			return c.n, fmt.Errorf("%s, %s, at %d ms: %w", c.scenario.name, c.mode.name, now, err)
		}
		changed = false
		c.source.tick(now, now+step, c.query)
		c.pullOwed(now)
		if c.on {
			for _, i := range c.fleet.alive {
				c.fleet.workers[i].time += step
			}
		}
		now += step
	}
	c.finish()
	return c.n, nil
}

// look lets the placer look at the fleet where it must.
func (c *cell) look(now int64, changed bool) error {
	p, isOurs := c.placer.(*ours)
	if isOurs {
		heard := c.queues && c.on && now%loadMS == 0
		if heard {
			p.told(loadMS)
		}
		changed = changed || heard || p.again > 0 && now >= p.again
	}
	if !changed {
		return nil
	}
	moved, err := c.placer.look(c, now)
	if c.on {
		c.n.Moved += moved
	}
	return err
}

// measure begins to count.
func (c *cell) measure() {
	c.on, c.n = true, counts{}
	for _, w := range c.fleet.workers {
		w.load, w.time, w.busyTime = 0, 0, 0
	}
	if p, ok := c.placer.(*ours); ok {
		p.epochs, p.worst, p.hot = 0, 0, 0
	}
	c.scenario.prepare(c)
}

// query runs one.
func (c *cell) query(q *query) {
	us, end := q.at*microseconds, q.at*microseconds
	for i := range q.splits {
		s := &q.splits[i]
		w, cacheable := c.placer.place(c, s.section, us)
		service := c.read(w, s, cacheable, q.at)
		c.n.Splits++
		if !cacheable {
			c.n.Uncached++
		}
		if c.queues && c.on {
			end = max(end, c.fleet.workers[w].enqueue(us, service))
			c.fleet.workers[w].busyTime += service
		}
	}
	c.n.Queries++
	if c.queues && c.on {
		if ms := (end - us) / microseconds; q.burst {
			c.bursts = append(c.bursts, ms)
		} else {
			c.times = append(c.times, ms)
		}
	}
}

// read is a split's reading at a worker. It gives how long the split takes, in us, without waiting.
func (c *cell) read(at int32, s *split, cacheable bool, now int64) (service int64) {
	w := c.fleet.workers[at]
	cacheable = cacheable && w.cache != nil
	var before *page // the page before, if it came from the origin
	for _, p := range s.pages {
		page := &c.lake.pages[p]
		size := int64(page.size)
		c.n.Reads++
		c.n.Bytes += size
		w.load += size
		service += size * microseconds / processBytes
		if cacheable {
			if _, ok := w.cache.Get(p); ok {
				c.n.Hits++
				c.n.HitBytes += size
				service += size * microseconds / localBytes
				before = nil
				continue
			}
			if c.mode.peers && c.fromPeer(at, p, now) {
				c.n.Peer++
				c.n.PeerBytes += size
				service += peerMS*microseconds + size*microseconds/peerBytes
				w.cache.Add(p, struct{}{}, size, page.metadata)
				before = nil
				continue
			}
		}
		if before == nil || before.section != page.section || before.place+1 != page.place {
			c.n.OriginGETs++
			service += originMS * microseconds
		}
		before = page
		c.fromOrigin(p, size)
		service += size * microseconds / originBytes
		if cacheable {
			w.cache.Add(p, struct{}{}, size, page.metadata)
		}
	}
	return service
}

func (c *cell) fromOrigin(p uint32, size int64) {
	c.n.Origin++
	c.n.OriginBytes += size
	if bit := uint64(1) << (p % 64); c.seen[p/64]&bit != 0 {
		c.n.AgainBytes += size
	} else {
		c.seen[p/64] |= bit
	}
}

// fromPeer asks for a page who owns its section; the owner itself asks who owned it before, for an hour and no more bytes than its rate allows. A peer gives what it holds, and reads nothing for others.
func (c *cell) fromPeer(at int32, p uint32, now int64) bool {
	o := c.placer.(*ours)
	section, size := c.lake.pages[p].section, int64(c.lake.pages[p].size)
	holds := func(i int32) bool {
		if i < 0 || !c.fleet.workers[i].alive {
			return false
		}
		_, ok := c.fleet.workers[i].cache.Get(p)
		return ok
	}
	if owner := o.owner[section]; owner != at {
		return holds(owner)
	}
	before, w := o.before[section], c.fleet.workers[at]
	if now-o.movedAt[section] >= rememberMoved || !w.mayPull(now, c.fleet.cacheOf) || before < 0 || !holds(before) {
		return false
	}
	w.allowed -= size
	c.n.PulledBytes += size
	return true
}

// finish reckons what is told of the whole.
func (c *cell) finish() {
	n := &c.n
	if p, ok := c.placer.(*ours); ok {
		n.Epochs, n.Fullest, n.Hot = p.epochs, p.worst, p.hot
	}
	var rates []float64
	sum, most := 0.0, 0.0
	for _, w := range c.fleet.workers {
		if w.time*2 < c.scenario.length(c.o) {
			continue
		}
		rate := float64(w.load) / float64(w.time)
		rates = append(rates, rate)
		sum, most = sum+rate, max(most, rate)
		used := float64(w.busyTime) / microseconds / slots / float64(w.time)
		n.Busiest, n.Busy = max(n.Busiest, used), n.Busy+used
	}
	if len(rates) > 0 && sum > 0 {
		n.MaxOverMean = most / (sum / float64(len(rates)))
		n.Busy /= float64(len(rates))
	}
	n.Workers = len(c.fleet.alive)
	n.QueryP50, n.QueryP95, n.QueryP99 = percentile(c.times, .5), percentile(c.times, .95), percentile(c.times, .99)
	n.BurstP50, n.BurstP99 = percentile(c.bursts, .5), percentile(c.bursts, .99)
}

func percentile(of []int64, share float64) int64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[min(len(of)-1, int(share*float64(len(of))))]
}
