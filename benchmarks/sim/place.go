package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/alio-lake/alio/affinity/membership"
	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/affinity/ring/engines"
	"github.com/alio-lake/alio/affinity/spread"
)

// placer decides which worker runs a split.
type placer interface {
	// look is called at a tick that changed something of the fleet, and when the placer wanted to be called again. It gives the part of the sections that have another first worker now.
	look(c *cell, now int64) (moved float64, err error)
	// place gives the worker for a split, and whether it may put what it reads into its cache.
	place(c *cell, section uint32, us int64) (worker int32, cacheable bool)
}

// anywhere is an engine without affinity.
type anywhere struct{ r *rand.Rand }

func (a *anywhere) look(*cell, int64) (float64, error) { return 0, nil }

func (a *anywhere) place(c *cell, _ uint32, _ int64) (int32, bool) {
	return c.fleet.alive[a.r.IntN(len(c.fleet.alive))], true
}

// theirs is an engine's own placement, built anew when its nodes change.
type theirs struct {
	r      *rand.Rand
	presto bool
	build  func([]ring.Member) ring.Placement
	pairs  [][2]int32 // the first two workers of each section
}

// owners is how many workers both engines prefer for a split.
const owners = 2

func (p *theirs) look(c *cell, _ int64) (float64, error) {
	var members []ring.Member
	var number []int32
	for _, i := range c.fleet.alive { // numbers ascend as names do
		members = append(members, c.fleet.workers[i].member())
		number = append(number, i)
	}
	placement, moved := p.build(members), 0
	fresh := p.pairs == nil
	if fresh {
		p.pairs = make([][2]int32, len(c.lake.sections))
	}
	var dst []ring.Slot
	for i := range c.lake.sections {
		var err error
		if dst, err = placement.Locate(dst[:0], c.lake.sections[i].split, min(owners, len(members))); err != nil {
			return 0, err
		}
		pair := [2]int32{number[dst[0]], number[dst[len(dst)-1]]}
		if !p.presto && pair[0] > pair[1] { // Trino sorts them by name
			pair[0], pair[1] = pair[1], pair[0]
		}
		if pair != p.pairs[i] && pair[0] != p.pairs[i][0] && (p.presto || pair[0] != p.pairs[i][1] || pair[1] != p.pairs[i][0]) {
			moved++
		}
		p.pairs[i] = pair
	}
	if fresh {
		moved = 0
	}
	return float64(moved) / float64(len(c.lake.sections)), nil
}

func (p *theirs) place(c *cell, section uint32, us int64) (int32, bool) {
	pair := p.pairs[section]
	if p.presto { // the first, else the second, else any other, which is told not to cache
		for _, w := range pair {
			if c.fleet.workers[w].waiting(us) < busyAt {
				return w, true
			}
		}
		return c.fleet.alive[p.r.IntN(len(c.fleet.alive))], false
	}
	return c.leastLoaded(pair[:], us, p.r), true // Trino waits, however long the queue
}

// leastLoaded is who has the fewest splits waiting and running; of equals any.
func (c *cell) leastLoaded(of []int32, us int64, r *rand.Rand) int32 {
	best, least, ties := of[0], math.MaxInt, 0
	for _, w := range of {
		n := c.fleet.workers[w].waiting(us)
		for _, at := range c.fleet.workers[w].free {
			if at > us {
				n++
			}
		}
		switch {
		case n < least:
			best, least, ties = w, n, 1
		case n == least:
			if ties++; r.IntN(ties) == 0 {
				best = w
			}
		}
	}
	return best
}

// ours is Alio's: the epoch in force, and the editor that leads to the next.
type ours struct {
	r       *rand.Rand
	spread  *spread.Spread
	editor  *membership.Editor
	epoch   *ring.Epoch
	number  []int32 // worker by slot
	owner   []int32 // first owner of each section; -1: none
	before  []int32 // who was, -1: nobody
	movedAt []int64 // ms
	again   int64   // ms at which the editor wants to look; 0: when something changes
	asked   map[uint64]int
	heat    map[uint64]float64
	epochs  int
	hot     int     // the most hot sections at once
	worst   float64 // partitions of the fullest member over the mean, in any epoch
}

// ringSettings are the ring's, as configured by default, with zones.
func ringSettings() (s ring.Settings) {
	for z := range zones {
		s.Zones = append(s.Zones, string(rune('a'+z)))
	}
	return s
}

// hotRate is the default of affinity.load.hot_rate, queuedLimit what load.queued is set to where queues are modelled (it is off by default).
const (
	hotRate     = 50
	queuedLimit = 64
)

func newOurs(c *cell, seed uint64, queues bool) (*ours, error) {
	rules := membership.Rules{Settings: ringSettings(), Absent: c.o.absent}
	if queues {
		rules.Hotness.Rate, rules.Overload.Queued = hotRate, queuedLimit
	}
	e, err := ring.New(rules.Settings)
	if err != nil {
		return nil, err
	}
	by, err := spread.New(spread.Options{Ahead: c.o.ahead})
	if err != nil {
		return nil, err
	}
	p := &ours{spread: by, r: rand.New(rand.NewPCG(seed, 5)), editor: membership.NewEditor(rules), epoch: e, asked: map[uint64]int{}, heat: map[uint64]float64{}}
	for range c.lake.sections {
		p.owner, p.before, p.movedAt = append(p.owner, -1), append(p.before, -1), append(p.movedAt, 0)
	}
	return p, nil
}

func (p *ours) look(c *cell, now int64) (float64, error) {
	seen := membership.Seen{Drained: map[string]bool{}, Rates: p.heat}
	for _, i := range c.fleet.alive {
		w := c.fleet.workers[i]
		load := membership.Load{Queued: w.waiting(now * microseconds), Disk: membership.DiskWell}.Coarse()
		seen.Members = append(seen.Members, membership.Announced{Member: w.member(), Load: &load})
		if w.draining {
			seen.Drained[w.name] = true
		}
	}
	edit := p.editor.Edit(p.epoch, seen, at(now))
	p.again = 0
	if edit.Again > 0 {
		p.again = now + edit.Again.Milliseconds()
	}
	if !edit.Worth {
		return 0, nil
	}
	next, err := p.epoch.Apply(edit.Change)
	if err != nil {
		return 0, err
	}
	p.epoch = next
	p.epochs++
	return p.takeOver(c, now)
}

// takeOver makes an epoch the one in force: it checks the bound that the ring promises, and notes which sections have moved.
func (p *ours) takeOver(c *cell, now int64) (float64, error) {
	ratio, err := checkBound(p.epoch)
	if err != nil {
		return 0, err
	}
	p.worst, p.hot = max(p.worst, ratio), max(p.hot, len(p.epoch.Hot()))
	p.number = p.number[:0]
	for _, m := range p.epoch.Members() {
		p.number = append(p.number, c.fleet.byName[m.Name])
	}
	moved := 0
	for i := range c.lake.sections {
		owner := int32(-1)
		if p.epoch.Most() > 0 {
			slots, err := p.epoch.Owners(c.lake.sections[i].key, 1)
			if err != nil {
				return 0, err
			}
			owner = p.number[slots[0]]
		}
		old := p.owner[i]
		if owner == old {
			continue
		}
		p.owner[i], p.before[i], p.movedAt[i] = owner, old, now
		if old < 0 {
			continue
		}
		if owner >= 0 && c.mode.peers {
			w := c.fleet.workers[owner]
			w.owed = append(w.owed, uint32(i))
		}
		moved++
	}
	return float64(moved) / float64(len(c.lake.sections)), nil
}

// checkBound says how full the fullest member is over the mean, and fails where one is over what the ring promises: the bound times its share among those that serve, rounded up.
func checkBound(e *ring.Epoch) (float64, error) {
	serving, fullest := 0, 0
	for _, h := range e.Holdings() {
		if h.First > 0 {
			serving++
		}
		fullest = max(fullest, h.First)
	}
	if serving == 0 {
		return 0, nil
	}
	share := float64(e.Partitions()) / float64(serving)
	limit := int(math.Ceil(share * (1 + float64(e.Settings().Bound)/1000)))
	if fullest > limit {
		return 0, fmt.Errorf("epoch %d: a member owns %d partitions first, and %d is the bound", e.Number(), fullest, limit)
	}
	return float64(fullest) / share, nil
}

func (p *ours) place(c *cell, section uint32, us int64) (int32, bool) {
	key := c.lake.sections[section].key
	if c.queues && c.on {
		p.asked[key]++
	}
	var found [ring.MaxHotOwners]ring.Slot
	slots, err := p.owners(c, found[:0], key, us)
	if err != nil { // nobody serves: the engine's own choice
		return c.fleet.alive[p.r.IntN(len(c.fleet.alive))], true
	}
	var room [ring.MaxHotOwners]int32
	of := room[:0]
	for _, s := range slots {
		if c.fleet.workers[p.number[s]].alive {
			of = append(of, p.number[s])
		}
	}
	if len(of) == 0 {
		return c.fleet.alive[p.r.IntN(len(c.fleet.alive))], true
	}
	return of[0], true
}

// owners asks for one, as the bridge of Trino does. Where time is not modelled nobody is ahead of anybody, and one that is
// missed is passed over for the next, as the bridge does.
func (p *ours) owners(c *cell, dst []ring.Slot, key uint64, us int64) ([]ring.Slot, error) {
	k := min(1, p.epoch.Most())
	if c.queues && c.on {
		return p.spread.Choose(dst, p.epoch, key, k, at(us/microseconds))
	}
	slots, err := p.epoch.Owners(key, min(owners, p.epoch.Most()))
	for i, s := range slots {
		if c.fleet.workers[p.number[s]].alive {
			return slots[i : i+1], err
		}
	}
	return nil, err
}

// at is a moment of the simulation.
func at(ms int64) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }

// told is what the coordinator has counted since it told last: which sections were asked about often enough to be mentioned, as cmd/alio does.
func (p *ours) told(ms int64) {
	p.heat = map[uint64]float64{}
	for k, n := range p.asked {
		if rate := float64(n) * 1000 / float64(ms); rate >= hotRate/16 {
			p.heat[k] = rate
		}
	}
	p.asked = map[uint64]int{}
}

// newPlacer makes the placer of a mode.
func newPlacer(c *cell) (placer, error) {
	r := rand.New(rand.NewPCG(c.seed, 4))
	switch c.mode.placement {
	case "presto":
		return &theirs{r: r, presto: true, build: func(m []ring.Member) ring.Placement { return engines.NewPresto(m, 0) }}, nil
	case "trino":
		return &theirs{r: r, build: func(m []ring.Member) ring.Placement { return engines.NewTrinoTable(m, owners) }}, nil
	case "alio":
		return newOurs(c, c.seed, c.queues)
	}
	return &anywhere{r}, nil
}
