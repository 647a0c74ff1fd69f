package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/alio-lake/alio/itest/harness"
)

// stage is what an experiment needs of harness.Stage.
type stage interface {
	Query(ctx context.Context, way harness.Way, text string) (harness.Run, error)
}

// result is what the rounds of one query gave.
type result struct {
	query
	rows                 int
	straight, cold, warm []harness.Run
	differ               []string // how answers differed, with way and round
}

// measure runs one query: once straight to compile it, then in each round straight, cold (after empty has emptied the cache), warm.
func measure(ctx context.Context, s stage, empty func(context.Context) error, q query, rounds int) (result, error) {
	r := result{query: q}
	first, err := s.Query(ctx, harness.Straight, q.text)
	if err != nil {
		return r, fmt.Errorf("%s: %w", q.name, err)
	}
	r.rows = len(first.Rows)
	run := func(way harness.Way, label string, into *[]harness.Run) error {
		got, err := s.Query(ctx, way, q.text)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", q.name, label, err)
		}
		if err := harness.SameRows(first.Rows, got.Rows); err != nil {
			r.differ = append(r.differ, fmt.Sprintf("%s, %s, round %d: %v", q.name, label, len(*into)+1, err))
		}
		*into = append(*into, got)
		return nil
	}
	for range rounds {
		if err := run(harness.Straight, "straight", &r.straight); err != nil {
			return r, err
		}
		if err := empty(ctx); err != nil {
			return r, fmt.Errorf("%s: an empty cache: %w", q.name, err)
		}
		if err := run(harness.Through, "cold", &r.cold); err != nil {
			return r, err
		}
		if err := run(harness.Through, "warm", &r.warm); err != nil {
			return r, err
		}
	}
	return r, nil
}

// median is the median time of runs; of an even number the lower one.
func median(runs []harness.Run) time.Duration {
	var all []time.Duration
	for _, r := range runs {
		all = append(all, r.Elapsed)
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// total sums what of picks from each run.
func total[N int | int64](runs []harness.Run, pick func(harness.Run) N) (sum N) {
	for _, r := range runs {
		sum += pick(r)
	}
	return sum
}

func least(runs []harness.Run, pick func(harness.Run) int) int {
	n := pick(runs[0])
	for _, r := range runs {
		n = min(n, pick(r))
	}
	return n
}

func most(runs []harness.Run, pick func(harness.Run) int) int {
	n := 0
	for _, r := range runs {
		n = max(n, pick(r))
	}
	return n
}

func dataGETs(r harness.Run) int     { return r.Origin.DataGETs }
func heads(r harness.Run) int        { return r.Origin.HEADs }
func lists(r harness.Run) int        { return r.Origin.LISTs }
func fetched(r harness.Run) int64    { return r.Origin.BytesFetched }
func asked(r harness.Run) int64      { return r.Asked }
func fromCache(r harness.Run) int64  { return r.Served["memory"] + r.Served["disk"] }
func fromOrigin(r harness.Run) int64 { return r.Served["origin"] }

// numbers are a result's figures: what the table and the RESULT line say of one query.
type numbers struct {
	Query           string  `json:"query"`
	Rows            int     `json:"rows"`
	RowsEqual       bool    `json:"rows_equal"`
	StraightSeconds float64 `json:"straight_seconds"` // medians of the rounds
	ColdSeconds     float64 `json:"cold_seconds"`
	WarmSeconds     float64 `json:"warm_seconds"`
	// Data GETs at the store: the fewest of the straight rounds, the most of the cold and warm ones.
	StraightGETs  int `json:"straight_gets"`
	ColdGETs      int `json:"cold_gets"`
	WarmGETs      int `json:"warm_gets"`
	StraightHEADs int `json:"straight_heads"` // the most of the rounds, as are the LISTs
	ColdHEADs     int `json:"cold_heads"`
	WarmHEADs     int `json:"warm_heads"`
	StraightLISTs int `json:"straight_lists"`
	ColdLISTs     int `json:"cold_lists"`
	WarmLISTs     int `json:"warm_lists"`
	// Bytes of a cold run, means over the rounds.
	BytesAsked       int64   `json:"bytes_asked"`
	BytesFetchedCold int64   `json:"bytes_fetched_cold"`
	OverRead         float64 `json:"over_read"` // over all cold rounds
	// Bytes of the straight rounds' bodies, and what share of the warm rounds' bytes came from memory or disk.
	BytesFetchedStraight int64   `json:"bytes_fetched_straight"`
	WarmHitRatio         float64 `json:"warm_hit_ratio"`
	// Saved time over the bound that the saved latency sets: (straight - warm) / (GETs x latency). Above 1: more was saved than
	// the requests' latency one after another.
	SavedOverBound float64 `json:"saved_over_bound"`
}

func (r result) numbers(latency time.Duration) numbers {
	n := numbers{
		Query: r.name, Rows: r.rows, RowsEqual: len(r.differ) == 0,
		StraightSeconds: seconds(median(r.straight)), ColdSeconds: seconds(median(r.cold)), WarmSeconds: seconds(median(r.warm)),
		StraightGETs: least(r.straight, dataGETs), ColdGETs: most(r.cold, dataGETs), WarmGETs: most(r.warm, dataGETs),
		StraightHEADs: most(r.straight, heads), ColdHEADs: most(r.cold, heads), WarmHEADs: most(r.warm, heads),
		StraightLISTs: most(r.straight, lists), ColdLISTs: most(r.cold, lists), WarmLISTs: most(r.warm, lists),
	}
	rounds := int64(len(r.cold))
	n.BytesAsked, n.BytesFetchedCold = total(r.cold, asked)/rounds, total(r.cold, fetched)/rounds
	n.BytesFetchedStraight = total(r.straight, fetched) / rounds
	n.OverRead = ratio(total(r.cold, fetched), total(r.cold, asked))
	hits := total(r.warm, fromCache)
	n.WarmHitRatio = ratio(hits, hits+total(r.warm, fromOrigin))
	if bound := time.Duration(n.StraightGETs) * latency; bound > 0 {
		n.SavedOverBound = math.Round(1000*(n.StraightSeconds-n.WarmSeconds)/bound.Seconds()) / 1000
	}
	return n
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
