package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report is the markdown of all results. It holds no time and nothing of the machine: the same run gives the same text.
func report(o *options, l *lakes, results []result, command, plotName string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Command: `%s`\n\n", strings.TrimSpace(command))
	fmt.Fprintf(&b, "%d workers with %d MiB of cache each, seed %d; %.1f hours of warm-up, then %.1f hours. ", o.workers, o.cache>>20, o.seed, float64(o.warmMS)/hourMS, float64(o.longMS)/hourMS)
	for _, lake := range []*catalog{l.day, l.minutes} {
		if lake == nil {
			continue
		}
		what := "The lake"
		if lake == l.minutes {
			what = fmt.Sprintf("For the scenarios with queues it is thinned %d times less, and the caches are as much larger", queueDensity)
		}
		fmt.Fprintf(&b, "%s: %d sections, %d pages, %s, of which the caches together can hold %.0f %%. ", what, len(lake.sections), len(lake.pages), human(lake.bytes()),
			100*float64(o.cache)*float64(lake.density)*float64(o.workers)/float64(lake.bytes()))
	}
	b.WriteString("\n")
	if plotName != "" {
		fmt.Fprintf(&b, "\n![GETs at the origin, of those without a cache](%s)\n", plotName)
	}
	for _, queues := range []bool{false, true} {
		first := true
		for _, s := range o.scenarios {
			if s.queues != queues {
				continue
			}
			if first {
				b.WriteString(head(queues))
				first = false
			}
			for _, r := range results {
				if r.scenario == s {
					b.WriteString(line(r, none(results, s)))
				}
			}
		}
	}
	b.WriteString("\n")
	for _, s := range o.scenarios {
		fmt.Fprintf(&b, "- **%s**: %s.\n", s.name, s.says)
	}
	for _, m := range o.modes {
		fmt.Fprintf(&b, "- *%s*: %s.\n", m.name, m.says)
	}
	b.WriteString(ringLine(results))
	return b.String()
}

// none is the result without a cache of the same scenario, or nothing.
func none(results []result, s *scenario) *counts {
	for i := range results {
		if results[i].scenario == s && results[i].mode.name == "none" {
			return &results[i].counts
		}
	}
	return nil
}

func head(queues bool) string {
	if queues {
		return "\n| scenario | mode | splits | hits | peers | origin GETs | slots in use: mean, busiest worker | query s, p50 / p95 / p99 | reads of the hot file s, p50 / p99 | told not to cache |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
	}
	return "\n| scenario | mode | page reads | hits | peers | origin GETs | of no cache | from the origin | of it read before | from peers | of it from former owners | fullest / mean worker | sections moved |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
}

func line(r result, without *counts) string {
	n := r.counts
	if r.scenario.queues {
		hot := "-"
		if r.scenario.name == "hot" {
			hot = fmt.Sprintf("%.2f / %.2f", float64(n.BurstP50)/1000, float64(n.BurstP99)/1000)
		}
		return fmt.Sprintf("| %s | %s | %d | %.3f | %.3f | %d | %.2f, %.2f | %.1f / %.1f / %.1f | %s | %.3f |\n", r.scenario.name, r.mode.name, n.Splits, ratio(n.Hits, n.Reads), ratio(n.Peer, n.Reads), n.OriginGETs,
			n.Busy, n.Busiest, float64(n.QueryP50)/1000, float64(n.QueryP95)/1000, float64(n.QueryP99)/1000, hot, ratio(n.Uncached, n.Splits))
	}
	share, moved := "-", "-"
	if without != nil {
		share = fmt.Sprintf("%.3f", ratio(n.OriginGETs, without.OriginGETs))
	}
	if r.mode.placement != "any" {
		moved = fmt.Sprintf("%.2f", n.Moved)
	}
	return fmt.Sprintf("| %s | %s | %d | %.3f | %.3f | %d | %s | %s | %.2f | %s | %s | %.2f | %s |\n", r.scenario.name, r.mode.name, n.Reads, ratio(n.Hits, n.Reads), ratio(n.Peer, n.Reads), n.OriginGETs, share,
		human(n.OriginBytes), ratio(n.AgainBytes, n.OriginBytes), human(n.PeerBytes), fmt.Sprintf("%.2f", ratio(n.PulledBytes, n.PeerBytes)), n.MaxOverMean, moved)
}

// ringLine says what the ring's epochs were like.
func ringLine(results []result) string {
	epochs, fullest := 0, 0.0
	for _, r := range results {
		epochs += r.counts.Epochs
		fullest = max(fullest, r.counts.Fullest)
	}
	if fullest == 0 {
		return ""
	}
	return fmt.Sprintf("\nThe ring: %d epochs while counted, each within its bound; the fullest member had %.3f times the mean of partitions at worst.\n", epochs, fullest)
}

func human(n int64) string {
	switch {
	case n == 0:
		return "0"
	case n >= 1e12:
		return fmt.Sprintf("%.2f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// save writes report and plot, with what the run took on this machine.
func save(o *options, l *lakes, results []result, command string) error {
	commit := "unknown"
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	name := "sim-" + time.Now().UTC().Format("2006-01-02") + "-" + commit
	if o.workers != 1000 || o.trace != "" {
		name += fmt.Sprintf("-%d", o.workers)
	}
	if o.trace != "" {
		name += "-" + strings.TrimSuffix(filepath.Base(o.trace), filepath.Ext(o.trace))
	}
	took := 0.0
	for _, r := range results {
		took += r.took.Seconds()
	}
	text := fmt.Sprintf("# The simulator: a fleet and its origin, %s\n\nCommit: %s. What is simulated, and what is not: [docs/sim.md](../../docs/sim.md). All figures are counts of the simulation and come out the same on any machine; the fleets took %.0f s one after another (%d processors, %s, %s/%s).\n\n",
		time.Now().UTC().Format("2006-01-02"), commit, took, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH) + report(o, l, results, command, name+".svg")
	if err := os.WriteFile(filepath.Join(o.results, name+".md"), []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "report:", filepath.Join(o.results, name+".md"))
	return os.WriteFile(filepath.Join(o.results, name+".svg"), []byte(plot(o, results)), 0o644)
}
