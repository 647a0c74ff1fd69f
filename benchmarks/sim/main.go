package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	workers   int
	seed      uint64
	scenarios []*scenario
	modes     []mode
	trace     string
	rounds    int
	cache     int64
	churn     float64
	absent    time.Duration
	ahead     int
	warmMS    int64
	longMS    int64
	tickMS    int64
	jobs      int
	results   string

	resumeFile string // where results of cells are kept for a later run

	queries []query // of a recorded trace
}

const usage = `sim simulates a fleet of workers with caches, and tells what the origin is asked for: one table for each scenario, one plot.

  go run ./benchmarks/sim                                       1,000 workers, all scenarios, all modes (some minutes)
  go run ./benchmarks/sim -workers 100 -scenarios steady,zone   smaller, sooner
  go run ./benchmarks/sim -workers 11000 -scenarios steady,churn -modes random,affinity,peers
  go run ./benchmarks/sim -workers 4 -trace benchmarks/sim/testdata/tpcds-trino.csv -cache 4
  make sim                                                      the first, written into benchmarks/results

A day of a large fleet is thinned: one of some hundred sections is simulated, and caches are as much smaller, which keeps hit ratios as they are (docs/sim.md). The same flags and seed give the
same report, byte for byte, on any machine; progress goes to standard error.

Scenarios:
`

func newFlags(o *options) (*flag.FlagSet, func() error) {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	f.IntVar(&o.workers, "workers", 1000, "workers at the beginning, 2 to 32,000")
	f.Uint64Var(&o.seed, "seed", 1, "of all that is drawn")
	scenarioNames := f.String("scenarios", "all", "which, by commas")
	modeNames := f.String("modes", "all", "which, by commas")
	f.StringVar(&o.trace, "trace", "", "a recorded trace, a CSV `file` (docs/sim.md), in place of the generated one; busy and hot need the generated one")
	f.IntVar(&o.rounds, "rounds", 50, "how often a recorded trace is read in all")
	cacheMiB := f.Int64("cache", 2048, "MiB of each worker's cache")
	f.Float64Var(&o.churn, "churn", 5, "per cent of the workers that are replaced in an hour of the scenario churn")
	f.DurationVar(&o.absent, "absent", 2*time.Hour, "how long a worker that is away keeps its place in Alio's ring (affinity.absent)")
	f.IntVar(&o.ahead, "ahead", 64, "how many splits more than the second owner the first must have been given lately for the second to be asked, in busy and hot (affinity.load.ahead)")
	warm, hours := f.Float64("warm", 4, "hours before anything is counted"), f.Float64("hours", 12, "hours that are counted")
	f.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "fleets that are simulated at once")
	f.StringVar(&o.results, "results", "", "write the report and the plot into this `folder`, not to standard output")
	f.StringVar(&o.resumeFile, "resume", "", "keep the result of each fleet in this `file`, and do not simulate again what it has: a long run may be stopped, and gone on with by the same command of the same build")
	f.Usage = func() {
		fmt.Fprint(f.Output(), usage)
		for _, s := range scenarios {
			fmt.Fprintf(f.Output(), "  %-10s %s\n", s.name, s.says)
		}
		fmt.Fprint(f.Output(), "\nModes:\n")
		for _, m := range modes {
			fmt.Fprintf(f.Output(), "  %-10s %s\n", m.name, m.says)
		}
		fmt.Fprint(f.Output(), "\nFlags:\n")
		f.PrintDefaults()
	}
	return f, func() error {
		o.cache, o.warmMS, o.longMS, o.tickMS = *cacheMiB<<20, int64(*warm*hourMS), int64(*hours*hourMS), minuteMS
		return o.choose(*scenarioNames, *modeNames)
	}
}

// choose picks scenarios and modes by name, and checks the rest. It names every fault.
func (o *options) choose(scenarioNames, modeNames string) error {
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(o.workers < 2 || o.workers > 32000, "-workers %d: give 2 to 32,000 (a ring has at most 65,000 members, and the fleet doubles)", o.workers)
	add(o.cache < 1<<20, "-cache: give at least 1 MiB")
	add(o.churn < 0 || o.churn > 100, "-churn %v: give 0 to 100", o.churn)
	add(o.warmMS < minuteMS || o.longMS < 6*hourMS || o.warmMS+o.longMS > 20*dayMS, "-warm and -hours: give at least a minute and 6 hours, and 20 days in all")
	add(o.absent < 0, "-absent %v is negative", o.absent)
	add(o.rounds < 1 || o.jobs < 1, "-rounds and -jobs are at least 1")
	o.warmMS, o.longMS = o.warmMS/minuteMS*minuteMS, o.longMS/minuteMS*minuteMS
	for _, name := range strings.Split(scenarioNames, ",") {
		i := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.name == name })
		add(i < 0 && name != "all", "-scenarios: there is none called %q; -help lists them", name)
		for j, s := range scenarios {
			if (j == i || name == "all") && !(o.trace != "" && s.queues && name == "all") {
				add(o.trace != "" && s.queues, "-scenarios %s needs the generated trace", s.name)
				o.scenarios = append(o.scenarios, s)
			}
		}
	}
	for _, name := range strings.Split(modeNames, ",") {
		i := slices.IndexFunc(modes, func(m mode) bool { return m.name == name })
		add(i < 0 && name != "all", "-modes: there is none called %q; -help lists them", name)
		for j, m := range modes {
			if j == i || name == "all" {
				o.modes = append(o.modes, m)
			}
		}
	}
	return errors.Join(faults...)
}

// newSource makes the trace anew.
func (o *options) newSource(lake *catalog) source {
	if o.trace == "" {
		return newGenerator(lake, o.workers, o.seed)
	}
	queries := make([]query, len(o.queries))
	copy(queries, o.queries)
	return &recorded{queries: queries, perMS: float64(o.rounds*len(queries)) / float64(o.warmMS+o.longMS)}
}

// lakes are what is read: for the scenarios of a day, and for those of minutes.
type lakes struct{ day, minutes *catalog }

func (l *lakes) of(s *scenario) *catalog {
	if s.queues {
		return l.minutes
	}
	return l.day
}

// lakes makes those that the scenarios need.
func (o *options) lakes() (l *lakes, err error) {
	l = &lakes{}
	if o.trace != "" {
		l.day, o.queries, err = readTrace(o.trace)
		return l, err
	}
	days := int((o.warmMS+o.longMS+dayMS-1)/dayMS) + 1
	for _, s := range o.scenarios {
		switch {
		case s.queues && l.minutes == nil:
			l.minutes, err = generate(o.workers, 1+int(o.warmMS/dayMS)+1, queueDensity, o.seed)
		case !s.queues && l.day == nil:
			l.day, err = generate(o.workers, days, 1, o.seed)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// result is what one cell gave.
type result struct {
	scenario *scenario
	mode     mode
	counts   counts
	took     time.Duration
}

// runAll simulates all cells, some at once, and gives their results in the order of scenarios and modes.
func runAll(ctx context.Context, o *options, l *lakes, progress io.Writer) ([]result, error) {
	var out []result
	for _, s := range o.scenarios {
		for _, m := range o.modes {
			out = append(out, result{scenario: s, mode: m})
		}
	}
	there, err := o.resume(out)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var all sync.WaitGroup
	next, done, began := 0, 0, time.Now()
	work := func() {
		for {
			mu.Lock()
			i := next
			next++
			mu.Unlock()
			if i >= len(out) || ctx.Err() != nil {
				return
			}
			if there[i] {
				continue
			}
			r, at := &out[i], time.Now()
			c, err := newCell(o, l.of(r.scenario), r.scenario, r.mode)
			if err == nil {
				r.counts, err = c.run(ctx)
			}
			r.took = time.Since(at)
			mu.Lock()
			if err == nil {
				err = o.keep(*r)
			}
			if err != nil {
				mu.Unlock()
				cancel(err)
				return
			}
			done++
			fmt.Fprintf(progress, "%2d of %d  %-9s %-8s %5.1f s; hits %.3f, %d GETs; %d s so far\n", done, len(out), r.scenario.name, r.mode.name, r.took.Seconds(),
				ratio(r.counts.Hits, r.counts.Reads), r.counts.OriginGETs, int(time.Since(began).Seconds()))
			mu.Unlock()
		}
	}
	for range min(o.jobs, len(out)) {
		all.Go(work)
	}
	all.Wait()
	return out, context.Cause(ctx)
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := &options{}
	flags, ready := newFlags(o)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	began := time.Now()
	l, err := o.lakes()
	if err != nil {
		return err
	}
	results, err := runAll(ctx, o, l, os.Stderr)
	if err != nil {
		return err
	}
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	fmt.Fprintf(os.Stderr, "%.0f s, at most %.0f MB from the system\n", time.Since(began).Seconds(), float64(before.Sys)/1e6)
	command := "go run ./benchmarks/sim " + strings.Join(args, " ")
	if o.results == "" {
		_, err = fmt.Print(report(o, l, results, command, ""))
		return err
	}
	return save(o, l, results, command)
}
