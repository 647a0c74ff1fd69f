package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// overReadLimit is how many times the bytes asked a cold run may fetch.
const overReadLimit = 1.10

// report is what the RESULT line says. The sums are over the TPC-DS set; the two-column query stands apart.
type report struct {
	OK               bool      `json:"ok"`
	Failures         []string  `json:"failures"`
	Queries          int       `json:"queries"`
	RowsEqual        bool      `json:"rows_equal"`
	Rounds           int       `json:"rounds"`
	LatencyMS        float64   `json:"latency_ms"`
	StraightSeconds  float64   `json:"straight_seconds"`
	ColdSeconds      float64   `json:"cold_seconds"`
	WarmSeconds      float64   `json:"warm_seconds"`
	StraightGETs     int       `json:"straight_gets"`
	ColdGETs         int       `json:"cold_gets"`
	WarmGETs         int       `json:"warm_gets"`
	StraightHEADs    int       `json:"straight_heads"`
	ColdHEADs        int       `json:"cold_heads"`
	WarmHEADs        int       `json:"warm_heads"`
	StraightLISTs    int       `json:"straight_lists"`
	ColdLISTs        int       `json:"cold_lists"`
	WarmLISTs        int       `json:"warm_lists"`
	BytesAsked       int64     `json:"bytes_asked"`
	BytesFetchedCold int64     `json:"bytes_fetched_cold"`
	OverRead         float64   `json:"over_read"`
	TwoColumns       numbers   `json:"two_columns"`
	PerQuery         []numbers `json:"per_query"`
}

// newReport sums up and judges.
func newReport(results []result, rounds int, latency time.Duration) report {
	r := report{RowsEqual: true, Rounds: rounds, LatencyMS: float64(latency) / 1e6, Failures: []string{}}
	for _, res := range results {
		n := res.numbers(latency)
		r.Failures = append(r.Failures, res.differ...)
		r.RowsEqual = r.RowsEqual && n.RowsEqual
		r.judge(n)
		if !res.inSet {
			r.TwoColumns = n
			if n.OverRead > overReadLimit {
				r.fail("%s fetched %.2f times the bytes asked; the limit is %.2f", n.Query, n.OverRead, overReadLimit)
			}
			continue
		}
		r.PerQuery = append(r.PerQuery, n)
		r.add(n)
	}
	if r.OverRead = ratio(r.BytesFetchedCold, r.BytesAsked); r.OverRead > overReadLimit {
		r.fail("the set fetched %.2f times the bytes asked; the limit is %.2f", r.OverRead, overReadLimit)
	}
	r.OK = len(r.Failures) == 0
	return r
}

func (r *report) fail(format string, args ...any) {
	r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
}

// judge looks at what each query must show by itself.
func (r *report) judge(n numbers) {
	if n.WarmGETs > 0 {
		r.fail("%s made %d data GETs when warm; there must be none", n.Query, n.WarmGETs)
	}
	if n.WarmHEADs > 0 {
		r.fail("%s made %d HEADs when warm; there must be none", n.Query, n.WarmHEADs)
	}
	if n.ColdGETs > n.StraightGETs {
		r.fail("%s made %d data GETs when cold, %d straight; there must not be more", n.Query, n.ColdGETs, n.StraightGETs)
	}
	if n.BytesAsked == 0 || n.StraightGETs == 0 {
		r.fail("%s asked for %d bytes and made %d data GETs straight: nothing was measured", n.Query, n.BytesAsked, n.StraightGETs)
	}
}

func (r *report) add(n numbers) {
	r.Queries++
	r.StraightSeconds = round3(r.StraightSeconds + n.StraightSeconds)
	r.ColdSeconds = round3(r.ColdSeconds + n.ColdSeconds)
	r.WarmSeconds = round3(r.WarmSeconds + n.WarmSeconds)
	r.StraightGETs += n.StraightGETs
	r.ColdGETs += n.ColdGETs
	r.WarmGETs += n.WarmGETs
	r.StraightHEADs += n.StraightHEADs
	r.ColdHEADs += n.ColdHEADs
	r.WarmHEADs += n.WarmHEADs
	r.StraightLISTs += n.StraightLISTs
	r.ColdLISTs += n.ColdLISTs
	r.WarmLISTs += n.WarmLISTs
	r.BytesAsked += n.BytesAsked
	r.BytesFetchedCold += n.BytesFetchedCold
}

func round3(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }

// table is the report for people. Each cell of three is straight/cold/warm.
func (r report) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "query\trows\tseconds\tdata GETs\tHEADs\tLISTs\tKB asked\tKB fetched cold\tover-read\twarm hits\tbound\t")
	line := func(name, rows string, n numbers) {
		fmt.Fprintf(w, "%s\t%s\t%.2f / %.2f / %.2f\t%d / %d / %d\t%d / %d / %d\t%d / %d / %d\t%.0f\t%.0f\t%.3f\t%.0f %%\t%.2f\t\n", name, rows,
			n.StraightSeconds, n.ColdSeconds, n.WarmSeconds, n.StraightGETs, n.ColdGETs, n.WarmGETs, n.StraightHEADs, n.ColdHEADs, n.WarmHEADs,
			n.StraightLISTs, n.ColdLISTs, n.WarmLISTs, float64(n.BytesAsked)/1000, float64(n.BytesFetchedCold)/1000, n.OverRead,
			100*n.WarmHitRatio, n.SavedOverBound)
	}
	var hits float64
	for _, n := range r.PerQuery {
		line(n.Query, fmt.Sprintf("%d %s", n.Rows, equal(n.RowsEqual)), n)
		hits += n.WarmHitRatio / float64(len(r.PerQuery))
	}
	line("all", equal(r.RowsEqual), numbers{StraightSeconds: r.StraightSeconds, ColdSeconds: r.ColdSeconds, WarmSeconds: r.WarmSeconds,
		StraightGETs: r.StraightGETs, ColdGETs: r.ColdGETs, WarmGETs: r.WarmGETs, StraightHEADs: r.StraightHEADs, ColdHEADs: r.ColdHEADs,
		WarmHEADs: r.WarmHEADs, StraightLISTs: r.StraightLISTs, ColdLISTs: r.ColdLISTs, WarmLISTs: r.WarmLISTs, BytesAsked: r.BytesAsked,
		BytesFetchedCold: r.BytesFetchedCold, OverRead: r.OverRead, WarmHitRatio: hits,
		SavedOverBound: (r.StraightSeconds - r.WarmSeconds) * 1000 / (float64(max(1, r.StraightGETs)) * r.LatencyMS)})
	line(r.TwoColumns.Query, fmt.Sprintf("%d %s", r.TwoColumns.Rows, equal(r.TwoColumns.RowsEqual)), r.TwoColumns)
	_ = w.Flush()
	return b.String()
}

func equal(same bool) string {
	if same {
		return "same"
	}
	return "DIFFER"
}

// legend explains the table.
func (r report) legend() string {
	return fmt.Sprintf(`Cells of three are straight / cold / warm. Seconds: medians of %d. GETs, HEADs, LISTs: requests that reached the store in a run
(data GETs: the fewest of the straight runs, the most of the others). KB asked: the union of the ranges that Trino asked Alio for.
Over-read: fetched / asked. Warm hits: share of bytes from memory or disk. Bound: (straight - warm) / (data GETs x latency).
Latency of the store: %.0f ms to the first byte, for every way (the proxy adds it; it varies by a fifth).
`, r.Rounds, r.LatencyMS)
}
