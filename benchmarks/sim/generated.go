package main

import (
	"math"
	"math/rand/v2"
	"sort"
)

// split is what one worker reads for a query: pages of one section, and the footer before them.
type split struct {
	section uint32
	pages   []uint32
}

// query is splits that come at one time.
type query struct {
	at     int64 // ms
	burst  bool  // one of those that read the hot file
	splits []split
}

// source makes the queries of a tick. What it emits is valid until emit returns.
type source interface {
	tick(from, to int64, emit func(*query))
}

// How a generated day is read. Rates are for a day and a worker.
const (
	adHoc        = 8.0  // queries of people
	meanDays     = 3    // partitions that a query reads, the newest first
	scans        = .03  // of queries read all partitions, half of them all columns
	dashboards   = .125 // for each table: one query that comes again and again
	dashboardDay = 7    // partitions that it reads
	dashboardMS  = 30 * 60e3
	driftDaily   = .5 // of the tables change their rank in a day, by up to ten places
	dayMS        = 24 * 3600e3
)

// generator is the source of a generated trace.
type generator struct {
	c     *catalog
	r     *rand.Rand
	rate  float64 // queries of people in a ms
	cdf   []float64
	order []int // table by rank
	debt  float64
	drift float64
	dash  []int // tables of dashboards
	plain bool  // nothing but people's queries
	hot   *burst
	q     query
	room  []uint32
}

// burst is one small file, catalog.hot, that many read at once.
type burst struct {
	rate float64 // reads in a ms
	debt float64
}

func newGenerator(c *catalog, workers int, seed uint64) *generator {
	g := &generator{c: c, r: rand.New(rand.NewPCG(seed, 2)), rate: adHoc * float64(workers) / dayMS}
	sum := 0.0
	for i := range c.tables {
		sum += math.Pow(float64(i+1), -querySkew)
		g.cdf = append(g.cdf, sum)
		g.order = append(g.order, i)
	}
	for range max(1, int(dashboards*float64(len(c.tables)))) {
		g.dash = append(g.dash, g.table())
	}
	return g
}

// table draws one by its rank.
func (g *generator) table() int {
	x := g.r.Float64() * g.cdf[len(g.cdf)-1]
	return g.order[min(sort.SearchFloat64s(g.cdf, x), len(g.order)-1)]
}

// newest is how many partitions of a table lie there at a time.
func (g *generator) newest(t int, at int64) int {
	n := history + int((at-g.c.tables[t].bornAt*60e3)/dayMS)
	if at >= g.c.tables[t].bornAt*60e3 {
		n++
	}
	return min(n, len(g.c.tables[t].partitions))
}

func (g *generator) tick(from, to int64, emit func(*query)) {
	if !g.plain {
		g.shuffle(to - from)
		g.scheduled(from, to, emit)
	}
	g.debt += g.rate * float64(to-from)
	n := int(g.debt)
	g.debt -= float64(n)
	bursts := 0
	if g.hot != nil {
		g.hot.debt += g.hot.rate * float64(to-from)
		bursts = int(g.hot.debt)
		g.hot.debt -= float64(bursts)
	}
	for i, j := 0, 0; i < n || j < bursts; { // evenly over the tick, both in turn
		at := func(k, of int) int64 { return from + int64(k)*(to-from)/int64(max(1, of)) }
		if j >= bursts || i < n && at(i, n) <= at(j, bursts) {
			g.adHoc(at(i, n), emit)
			i++
		} else {
			g.readHot(at(j, bursts), emit)
			j++
		}
	}
}

// readHot is one read of all of the hot file.
func (g *generator) readHot(at int64, emit func(*query)) {
	all := g.room[:0]
	for p := g.c.sections[g.c.hot].first; p < g.c.sections[g.c.hot].last; p++ {
		all = append(all, p)
	}
	g.q.at, g.q.burst, g.q.splits = at, true, append(g.q.splits[:0], split{g.c.hot, all})
	emit(&g.q)
	g.q.burst = false
}

// scheduled are the readers of partitions that have just come, and dashboards.
func (g *generator) scheduled(from, to int64, emit func(*query)) {
	all := make([]uint32, columns)
	for i := range all {
		all[i] = uint32(i)
	}
	for t := range g.c.tables {
		if born := g.newest(t, to-1); born > g.newest(t, from-1) {
			g.run(from, t, born-1, born, all, emit)
		}
	}
	for i, t := range g.dash {
		phase := int64(i) * dashboardMS / int64(len(g.dash))
		if (to-1-phase+dashboardMS)/dashboardMS > (from-1-phase+dashboardMS)/dashboardMS {
			n := g.newest(t, from)
			g.run(from, t, max(0, n-dashboardDay), n, g.c.tables[t].templates[i%templateCount], emit)
		}
	}
}

// adHoc is a person's query.
func (g *generator) adHoc(at int64, emit func(*query)) {
	t := g.table()
	tab := &g.c.tables[t]
	cols := tab.templates[min(int(g.r.ExpFloat64()*1.5), templateCount-1)]
	days := 1
	for days < history && g.r.IntN(meanDays) > 0 {
		days++
	}
	if g.r.Float64() < scans {
		days = history
		if g.r.IntN(2) == 0 {
			cols = cols[:0:0]
			for i := range uint32(columns) {
				cols = append(cols, i)
			}
		}
	}
	n := g.newest(t, at)
	g.run(at, t, max(0, n-days), n, cols, emit)
}

// run emits a query that reads columns of a table's partitions.
func (g *generator) run(at int64, t, from, to int, cols []uint32, emit func(*query)) {
	g.q.at, g.q.splits, g.room = at, g.q.splits[:0], g.room[:0]
	for _, p := range g.c.tables[t].partitions[from:to] {
		for s := p.from; s < p.to; s++ {
			begin := len(g.room)
			g.room = g.read(g.room, g.c.sections[s], cols)
			g.q.splits = append(g.q.splits, split{s, g.room[begin:len(g.room):len(g.room)]})
		}
	}
	emit(&g.q)
}

// read appends the pages of a section that are read for columns, the footer first.
func (g *generator) read(dst []uint32, s section, cols []uint32) []uint32 {
	dst = append(dst, s.footer)
	for _, col := range cols {
		dst = append(dst, s.first+col)
	}
	return dst
}

// shuffle lets tables change their ranks.
func (g *generator) shuffle(ms int64) {
	g.drift += driftDaily * float64(len(g.order)) * float64(ms) / dayMS
	for ; g.drift >= 1; g.drift-- {
		i := g.r.IntN(len(g.order))
		j := min(len(g.order)-1, i+1+g.r.IntN(10))
		g.order[i], g.order[j] = g.order[j], g.order[i]
	}
}
