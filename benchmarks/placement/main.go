// Command placement measures affinity/ring beside the placements of Presto and Trino on the same keys, and prints the report that lies in benchmarks/results: how even they are, what
// moves when members come and go, and what epochs and look-ups cost. Counts are exact and come out the same each time; times are medians on the machine at hand.
//
//	go run ./benchmarks/placement > report.md
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/affinity/ring/engines"
)

var (
	keyCount = flag.Int("keys", 10_000_000, "keys to place for the tables of evenness")
	only     = flag.String("only", "", "what to print: of even, movement, history, exclusions and zones, which are exact, and costs and lookups, which are times; all by default")
)

func main() {
	flag.Parse()
	fmt.Printf("%s, %s/%s, %d processors, %d keys, sections of files of a warehouse\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *keyCount)
	for _, part := range []struct {
		name  string
		print func()
	}{{"even", even}, {"movement", movement}, {"history", history}, {"exclusions", exclusions}, {"zones", zones}, {"costs", costs}, {"lookups", lookups}} {
		if *only == "" || slices.Contains(strings.Split(*only, ","), part.name) {
			part.print()
		}
	}
}

// must ends the program: nothing here fails but by a fault in it.
func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return v
}

func fleet(from, n, zones int) (out []ring.Member) {
	for i := from; i < from+n; i++ {
		m := ring.Member{Name: fmt.Sprintf("worker-%05d", i), Weight: 1, Sidecar: fmt.Sprintf("10.%d.%d.%d:4380", i>>16, i>>8&255, i&255), Worker: fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255)}
		if zones > 0 {
			m.Zone = string(rune('a' + i%zones))
		}
		out = append(out, m)
	}
	return out
}

func epoch(n, zones int) *ring.Epoch {
	var s ring.Settings
	for z := range zones {
		s.Zones = append(s.Zones, string(rune('a'+z)))
	}
	return must(must(ring.New(s)).Apply(ring.Change{Join: fleet(0, n, zones)}))
}

// split is key number i: one of two sections of a file, 200 files to a partition directory.
func split(i int, room []byte) ring.Split {
	b := append(room[:0], "warehouse/sales.db/orders_"...)
	b = strconv.AppendInt(b, int64(i/40000), 10)
	b = append(b, "/ds=2026-"...)
	b = strconv.AppendInt(b, int64(i/400%100), 10)
	b = append(b, "/part-"...)
	b = strconv.AppendInt(b, int64(i/2%200), 10)
	b = append(b, "-7c1f0b52-4a0e-4d0e-9c66-1d2b7f0a9e11.c000.snappy.parquet"...)
	return ring.Split{Mount: "lake", Path: string(b), Offset: int64(i%2) << 28}
}

type named struct {
	name string
	ring.Placement
	keys int // as many as it can place in a fair time
}

// placements are all of one fleet.
func placements(n int) []named {
	return []named{
		{"Alio", epoch(n, 0), *keyCount},
		{"Presto ring, 1,000 points (its default)", engines.NewPresto(fleet(0, n, 0), 0), *keyCount},
		{"Presto ring, virtual-node-count of 100 n", engines.NewPresto(fleet(0, n, 0), 100*n), *keyCount},
		{"Trino table, 2,048 buckets", engines.NewTrinoTable(fleet(0, n, 0), 2), *keyCount},
		{"rendezvous for each key", engines.NewTrinoKeys(fleet(0, n, 0)), min(*keyCount, 2_000_000)},
	}
}

func even() {
	fmt.Printf("## Evenness: keys of the fullest member over the mean, and of the emptiest\n\n| members | placement | keys | max / mean | min / mean | members without a key |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, n := range []int{3, 10, 100, 1000} {
		for _, p := range placements(n) {
			if n < 100 {
				p.keys = min(p.keys, 1_000_000)
			}
			held, room, dst := make([]int, n), make([]byte, 256), make([]ring.Slot, 0, 4)
			for i := range p.keys {
				dst = must(p.Locate(dst[:0], split(i, room), 1))
				held[dst[0]]++
			}
			empty := 0
			for _, h := range held {
				if h == 0 {
					empty++
				}
			}
			mean := float64(p.keys) / float64(n)
			fmt.Printf("| %d | %s | %d | %.3f | %.3f | %d |\n", n, p.name, p.keys, float64(slices.Max(held))/mean, float64(slices.Min(held))/mean, empty)
		}
	}
	fmt.Printf("\nOf partitions (what the ring bounds), each fleet as it is made:\n\n| members | partitions | a member | max / mean | bound / mean |\n| --- | --- | --- | --- | --- |\n")
	for _, n := range []int{3, 10, 100, 204, 205, 1000, 11000} {
		e := epoch(n, 0)
		mean := float64(e.Partitions()) / float64(n)
		fmt.Printf("| %d | %d | %.1f | %.3f | %.3f |\n", n, e.Partitions(), mean, skew(e), float64(int((1.05*mean)+0.9999999))/mean)
	}
	fmt.Println()
}

// firsts counts for each member the partitions whose answer begins with it.
func firsts(e *ring.Epoch) []int {
	held := make([]int, len(e.Members()))
	for p := range e.Partitions() {
		held[must(e.Owners(keyIn(e, p), 1))[0]]++
	}
	return held
}

// keyIn is a key in the middle of a partition.
func keyIn(e *ring.Epoch, p int) uint64 {
	return (uint64(p)<<32/uint64(e.Partitions()) + 1) << 32
}

func skew(e *ring.Epoch) float64 {
	held := firsts(e)
	serving := 0
	for _, h := range held {
		if h > 0 {
			serving++
		}
	}
	return float64(slices.Max(held)) * float64(serving) / float64(e.Partitions())
}

// difference is the part of the first keys whose first owner, and of whose first two owners as a set, differ.
func difference(a, b ring.Placement, keys int) (first, two float64) {
	var x, y []ring.Slot
	room := make([]byte, 256)
	am, bm := a.Members(), b.Members()
	f, s := 0, 0
	for i := range keys {
		k := split(i, room)
		x, y = must(a.Locate(x[:0], k, 2)), must(b.Locate(y[:0], k, 2))
		if am[x[0]].Name != bm[y[0]].Name {
			f++
		}
		for _, o := range x {
			if am[o].Name != bm[y[0]].Name && am[o].Name != bm[y[1]].Name {
				s++
			}
		}
	}
	return float64(f) / float64(keys), float64(s) / float64(2*keys)
}

func movement() {
	fmt.Printf("## Movement: the part of the keys whose first owner changes, times n; in brackets of (key, owner) pairs with two owners\n\n| members | placement | one joins | one leaves | one takes another's place |\n| --- | --- | --- | --- | --- |\n")
	for _, n := range []int{10, 100, 1000} {
		for _, p := range placements(n) {
			keys := min(p.keys, 500_000)
			if p.name == "rendezvous for each key" {
				keys = 100_000
			}
			fmt.Printf("| %d | %s |", n, p.name)
			for _, c := range []ring.Change{{Join: fleet(n, 1, 0)}, {Leave: []string{"worker-00005"}}, {Join: fleet(n, 1, 0), Leave: []string{"worker-00005"}}} {
				first, two := difference(p, must(p.Change(c)), keys)
				fmt.Printf(" %.2f (%.2f) |", first*float64(n), two*float64(n))
			}
			fmt.Println()
		}
		fresh, _ := difference(epoch(n, 0), epoch(n+1, 0), 1_000_000)
		fmt.Printf("| %d | Alio's table rebuilt from the list of members, not edited | %.2f | | |\n", n, fresh*float64(n))
	}
	fmt.Println()
}

// history walks: members join and leave one by one, more of one or the other by turns.
func history() {
	fmt.Printf("## A long history: single joins and leaves at random (seed 1), up and down by turns\n\n| from | steps | members seen | partitions | most that a step moved, times n | fullest member over the mean, at worst |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, begin := range []int{20, 190, 1000} {
		r, e, serial := rand.New(rand.NewPCG(1, 1)), epoch(begin, 0), begin
		low, high, worst, most := begin, begin, 0.0, 0.0
		steps := min(2000, 600_000/begin)
		for step := range steps {
			members := e.Members()
			c := ring.Change{Join: fleet(serial, 1, 0)}
			if up := step/250%2 == 0; r.IntN(10) < 2 == up && len(members) > 2 {
				c = ring.Change{Leave: []string{members[r.IntN(len(members))].Name}}
			}
			serial++
			next := must(e.Apply(c))
			moved := 0
			for p := range next.Partitions() {
				k := keyIn(next, p)
				if members[must(e.Owners(k, 1))[0]].Name != next.Members()[must(next.Owners(k, 1))[0]].Name {
					moved++
				}
			}
			n := max(len(members), len(next.Members()))
			worst, most = max(worst, float64(moved)*float64(n)/float64(next.Partitions())), max(most, skew(next))
			e, low, high = next, min(low, len(next.Members())), max(high, len(next.Members()))
		}
		fmt.Printf("| %d | %d | %d to %d | %d | %.3f | %.3f |\n", begin, steps, low, high, e.Partitions(), worst, most)
	}
	fmt.Println()
}

func exclusions() {
	fmt.Printf("## Members excluded for now (1,000 of them): the fullest of the others over their mean\n\n| excluded | with stand-ins | if each key went to who stands next | answers that moved |\n| --- | --- | --- | --- |\n")
	e := epoch(1000, 3)
	for _, n := range []int{1, 10, 50, 100, 300} {
		var c ring.Change
		out := map[ring.Slot]bool{}
		for i := range n {
			m := e.Members()[i*3%1000]
			m.Excluded = true
			c.Update = append(c.Update, m)
			out[ring.Slot(i*3%1000)] = true
		}
		without := must(e.Apply(c))
		plain, moved := make([]int, 1000), 0
		for p := range e.Partitions() {
			row := must(e.Owners(keyIn(e, p), 3))
			i := slices.IndexFunc(row, func(s ring.Slot) bool { return !out[s] })
			plain[row[max(i, 0)]]++
			if row[0] != must(without.Owners(keyIn(e, p), 1))[0] {
				moved++
			}
		}
		fmt.Printf("| %d | %.3f | %.3f | %.4f |\n", n, skew(without), float64(slices.Max(plain))*float64(1000-n)/float64(e.Partitions()), float64(moved)/float64(e.Partitions()))
	}
	fmt.Println()
}

func zones() {
	fmt.Printf("## Zones: partitions whose owners lie in fewer zones than they could\n\n| fleet | first two in one zone | three in fewer than three zones |\n| --- | --- | --- |\n")
	count := func(what string, e *ring.Epoch, most int) {
		bad := [4]int{}
		for p := range e.Partitions() {
			seen := map[string]bool{}
			for i, s := range must(e.Owners(keyIn(e, p), 3)) {
				seen[e.Members()[s].Zone] = true
				if len(seen) < min(i+1, most) {
					bad[i+1]++
				}
			}
		}
		fmt.Printf("| %s | %d of %d | %d |\n", what, bad[2], e.Partitions(), bad[3])
	}
	e := epoch(999, 3)
	count("333 members in each of three zones", e, 3)
	var lost, back ring.Change
	for _, m := range e.Members() {
		if m.Zone == "b" {
			lost.Leave, back.Join = append(lost.Leave, m.Name), append(back.Join, m)
		}
	}
	two := must(e.Apply(lost))
	count("one zone lost (of two zones left)", two, 2)
	first, _ := difference(e, two, 1_000_000)
	again := must(two.Apply(back))
	count("the zone has come back", again, 3)
	return1, _ := difference(two, again, 1_000_000)
	fmt.Printf("\nThe loss moved %.4f of the keys, the return %.4f; a third had to, each time.\n\n", first, return1)
}

// median runs f several times.
func median(runs int, f func()) time.Duration {
	var took []time.Duration
	for range runs {
		at := time.Now()
		f()
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func costs() {
	fmt.Printf("## Cost of an epoch, medians of 9 (of 3 at 11,000), one core; three zones\n\n| members | first table | one joins | one leaves | 10 join, 10 leave | a weight | encode | decode | difference | patch | bytes | bytes of a difference |\n|%s\n", " --- |"+"--- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, n := range []int{100, 1000, 11000} {
		runs := 9
		if n > 10000 {
			runs = 3
		}
		e := epoch(n, 3)
		m := e.Members()[7]
		m.Weight = 2
		leave, many := ring.Change{Leave: []string{"worker-00004"}}, ring.Change{Join: fleet(n, 10, 3)}
		for i := range 10 {
			many.Leave = append(many.Leave, fmt.Sprintf("worker-%05d", 7*i))
		}
		left := must(e.Apply(leave))
		encoded := e.Encode()
		var diff []byte
		change := func(c ring.Change) time.Duration { return median(runs, func() { must(e.Apply(c)) }) }
		fmt.Printf("| %d | %s | %s | %s | %s | %s | %s | %s |", n, ms(median(3, func() { epoch(n, 3) })), ms(change(ring.Change{Join: fleet(n, 1, 3)})), ms(change(leave)), ms(change(many)),
			ms(change(ring.Change{Update: []ring.Member{m}})), ms(median(runs, func() { e.Encode() })), ms(median(runs, func() { must(ring.Decode(encoded)) })))
		fmt.Printf(" %s |", ms(median(runs, func() { diff = ring.Diff(e, left) })))
		fmt.Printf(" %s | %d | %d |\n", ms(median(runs, func() { must(e.Patch(diff)) })), len(encoded), len(diff))
	}
	fmt.Printf("\nRebuilding at 1,000 members: Presto's ring %s, Trino's table %s.\n\n", ms(median(5, func() { engines.NewPresto(fleet(0, 1000, 0), 0) })), ms(median(3, func() { engines.NewTrinoTable(fleet(0, 1000, 0), 2) })))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

func lookups() {
	fmt.Printf("## Look-ups, one core: batches of 1,000 splits with paths of 114 characters, two owners each\n\n| members | placement | splits a second | ns a split |\n| --- | --- | --- | --- |\n")
	splits := make([]ring.Split, 1000)
	for i := range splits {
		splits[i] = split(i*9973, make([]byte, 256))
	}
	for _, n := range []int{100, 1000, 11000} {
		e := epoch(n, 3)
		dst := make([]ring.Assignment, 0, len(splits))
		line(n, "Alio, Assign", median(21, func() {
			for range 100 {
				dst = must(e.Assign(dst[:0], splits, 2))
			}
		}))
		if n > 1000 {
			continue
		}
		for _, p := range placements(n)[1:] {
			rounds := 100
			if p.keys < *keyCount || p.name == "rendezvous for each key" {
				rounds = 2
			}
			slots := make([]ring.Slot, 0, 4)
			line(n, p.name, median(5, func() {
				for range rounds {
					for _, s := range splits {
						slots = must(p.Locate(slots[:0], s, 2))
					}
				}
			})*time.Duration(100/rounds))
		}
	}
}

func line(n int, what string, took time.Duration) {
	each := took.Seconds() / 100 / 1000
	fmt.Printf("| %d | %s | %.2f million | %.0f |\n", n, what, 1/each/1e6, each*1e9)
}
