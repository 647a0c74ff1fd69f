package main

// pullOwed models what a new owner does with no reader waiting: it takes from who owned a section before what that one holds, as peers.pull_rate allows after what readers were given at this
// rate, section by section in the order in which they moved (the product takes the hottest pages first; what a cache has seen asked for is not modelled here), for an hour. It ends where the former owner is gone, and
// where the section has moved on.
func (c *cell) pullOwed(now int64) {
	o, ours := c.placer.(*ours)
	if !ours || !c.mode.peers {
		return
	}
	for _, at := range c.fleet.alive {
		w := c.fleet.workers[at]
		for len(w.owed) > 0 && w.mayPull(now, c.fleet.cacheOf) {
			s := w.owed[0]
			before := o.before[s]
			if o.owner[s] != at || now-o.movedAt[s] >= rememberMoved || before < 0 || !c.fleet.workers[before].alive || c.pullSection(w, c.fleet.workers[before], s) {
				w.owed = w.owed[1:]
			}
		}
	}
}

// pullSection takes a section's pages as far as the rate allows; true: all of them.
func (c *cell) pullSection(w, from *worker, s uint32) bool {
	for p := c.lake.sections[s].first; p < c.lake.sections[s].last; p++ {
		size := int64(c.lake.pages[p].size)
		switch {
		case w.cache.Has(p) || !from.cache.Has(p):
			continue
		case w.allowed <= 0:
			return false
		}
		w.allowed -= size
		c.n.BackgroundBytes += size
		w.cache.Add(p, struct{}{}, size, c.lake.pages[p].metadata)
	}
	return true
}
