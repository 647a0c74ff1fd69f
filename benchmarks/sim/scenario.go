package main

import "math/rand/v2"

// scenario is what happens to a fleet.
type scenario struct {
	name, says string
	queues     bool // a few minutes with the queues of workers modelled, after the warm-up; else the hours of a day, without
	plan       func(c *cell, from, long int64) []event
	ready      func(c *cell) // when measuring begins
}

// event is something that happens at the beginning of a tick.
type event struct {
	at int64 // ms
	do func(*cell)
}

// Times of the scenarios of minutes.
const (
	queueTickMS = 1000
	queueMS     = 3 * 60 * 1000
	loadMS      = 5000 // how often loads and heat are told, as cmd/alio does
	// queueQueries is how many queries a second a worker's share is there: about half of what the slots can do when all is cached.
	queueQueries = .05
	// burstReads is how many reads a second of the one hot file there are, whatever the fleet: two and a half workers' slots are what it takes.
	burstReads = 400
	// queueDensity is by how much less the lake is thinned: sections that are read too often for one worker would else be seen where there are none.
	queueDensity = 4
)

const (
	minuteMS = 60 * 1000
	hourMS   = 60 * minuteMS
)

var scenarios = []*scenario{
	{name: "steady", says: "all workers stay"},
	{name: "churn", says: "a part of the workers leaves in each hour, without a word, and as many new ones come, with empty caches", plan: churn},
	{name: "rolling", says: "each worker is restarted once, a fiftieth of them at a time, a round each 3 minutes; each is away for 2 minutes, and its disk is kept", plan: rolling},
	{name: "autoscale", says: "the fleet doubles for the middle third of the time; those that go drain for half an hour first", plan: autoscale},
	{name: "zone", says: "one of three zones is lost for an hour, and comes back with its disks", plan: zoneLoss},
	{name: "busy", says: "three minutes at about half of what the slots can do when all is cached", queues: true, ready: busy},
	{name: "hot", says: "the same, and one file of 3 MB that is read 400 times a second", queues: true, ready: hot},
}

func (s *scenario) length(o *options) int64 {
	if s.queues {
		return queueMS
	}
	return o.longMS
}

func (s *scenario) events(c *cell, from, long int64) []event {
	if s.plan == nil {
		return nil
	}
	return s.plan(c, from, long)
}

func (s *scenario) prepare(c *cell) {
	if s.ready != nil {
		s.ready(c)
	}
}

// churn takes workers and brings new ones, four times an hour.
func churn(c *cell, from, long int64) (out []event) {
	r := rand.New(rand.NewPCG(c.seed, 6))
	debt := 0.0
	for at := from + 15*minuteMS; at < from+long; at += 15 * minuteMS {
		out = append(out, event{at, func(c *cell) {
			debt += c.o.churn / 100 * float64(c.o.workers) / 4
			for ; debt >= 1; debt-- {
				c.fleet.count()
				w := c.fleet.workers[c.fleet.alive[r.IntN(len(c.fleet.alive))]]
				w.stop()
				w.gone = true
				c.fleet.add()
			}
		}})
	}
	return out
}

// rolling restarts all, a fiftieth at a time.
func rolling(c *cell, from, _ int64) (out []event) {
	const rounds = 50
	for i := range rounds {
		at := from + hourMS/2 + int64(i)*3*minuteMS
		first, last := i*c.o.workers/rounds, (i+1)*c.o.workers/rounds
		if first == last {
			continue
		}
		out = append(out, event{at, func(c *cell) {
			for _, w := range c.fleet.workers[first:last] {
				w.stop()
			}
		}}, event{at + 2*minuteMS, func(c *cell) {
			for _, w := range c.fleet.workers[first:last] {
				w.alive = true
			}
		}})
	}
	return out
}

// autoscale doubles the fleet and halves it again.
func autoscale(c *cell, from, long int64) []event {
	n := c.o.workers
	return []event{
		{from + long/3, func(c *cell) {
			for range n {
				c.fleet.add()
			}
		}},
		{from + 2*long/3 - 30*minuteMS, func(c *cell) {
			for _, w := range c.fleet.workers[n:] {
				w.draining = true
			}
		}},
		{from + 2*long/3, func(c *cell) {
			for _, w := range c.fleet.workers[n:] {
				w.stop()
				w.gone = true
			}
		}},
	}
}

// zoneLoss takes zone b away for an hour.
func zoneLoss(c *cell, from, long int64) []event {
	set := func(alive bool) func(*cell) {
		return func(c *cell) {
			for _, w := range c.fleet.workers {
				if w.zone != "b" {
					continue
				}
				if w.stop(); alive {
					w.alive = true
				}
			}
		}
	}
	return []event{{from + long/4, set(false)}, {from + long/4 + hourMS, set(true)}}
}

func busy(c *cell) {
	if g, ok := c.source.(*generator); ok {
		g.plain, g.rate = true, queueQueries*float64(c.o.workers)/1000/float64(c.lake.density)
	}
}

func hot(c *cell) {
	busy(c)
	if g, ok := c.source.(*generator); ok {
		g.hot = &burst{rate: burstReads / 1000.}
	}
}
