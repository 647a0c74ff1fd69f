package main

import (
	"fmt"
	"strings"
)

// The plot's measures, in points.
const (
	plotLeft, plotBar, plotGap, plotWidth = 90, 14, 14, 520
)

var colours = map[string]string{"none": "#9e9e9e", "random": "#c98b2b", "presto": "#b5563c", "trino": "#8d5aa8", "affinity": "#2f7f86", "peers": "#1f4e8c"}

// plot draws, for each scenario, a bar for each mode: GETs at the origin, as a part of those without a cache (of the most, if that was not simulated).
func plot(o *options, results []result) string {
	var b strings.Builder
	y := 44
	for _, s := range o.scenarios {
		most := int64(1)
		for _, r := range results {
			if r.scenario == s {
				most = max(most, r.counts.OriginGETs)
			}
		}
		if n := none(results, s); n != nil {
			most = n.OriginGETs
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" font-weight="bold">%s</text>`+"\n", plotLeft-8, y+plotBar-3, s.name)
		for _, r := range results {
			if r.scenario != s {
				continue
			}
			part := ratio(r.counts.OriginGETs, most)
			width := min(1.05, part) * plotWidth
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", plotLeft, y, width, plotBar-2, colours[r.mode.name])
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s %.1f %%</text>`+"\n", plotLeft+width+5, y+plotBar-3, r.mode.name, 100*part)
			y += plotBar
		}
		y += plotGap
	}
	title := fmt.Sprintf("GETs at the origin, of those without a cache: %d workers, seed %d", o.workers, o.seed)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n"+`<rect width="100%%" height="100%%" fill="white"/>`+"\n"+
		`<text x="%d" y="24" font-size="14">%s</text>`+"\n%s</svg>\n", plotLeft+plotWidth+150, y+10, plotLeft, title, b.String())
}
