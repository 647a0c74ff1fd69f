// Command compare holds Alio's warm reads against others' on one machine: nginx's slice cache, Alluxio's cache inside the JVM, a bare TCP copy, bare preads.
// The same bytes, the same ranges, the same HTTP client, rounds that go from one to the next so that whatever else the machine does meets all of them.
// It lives in a module of its own: nothing of what it compares with is in the product. Start at measure.go; run it by "make compare".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// options are what the command line says.
type options struct {
	peers   []string
	bytes   []int
	readers []int
	rounds  int

	processes int
	duration  time.Duration
	size      int64
	seed      uint64
	dir       string
	results   string

	oneProcessor bool
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "copy-server":
			fail(serveCopies(os.Args[2:]))
		case "floor-server":
			fail(serveFloor(os.Args[2:]))
		}
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fail(err)
	}
	if o.oneProcessor {
		if err := onOneProcessor(); err != nil {
			fail(err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped; what was made is removed, downloads are kept")
		}
		fail(err)
	}
}

func fail(err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "compare: "+line)
	}
	os.Exit(1)
}

// onOneProcessor starts this program anew where it may use only the first of its processors; what it starts is held there too.
func onOneProcessor() error {
	var set, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("-one-processor: %w", err)
	}
	if set.Count() == 1 {
		return nil
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if set.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	runtime.LockOSThread()
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("-one-processor: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// progress tells what is going on.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// parse reads the command line and reports every fault at once.
func parse(args []string) (o options, err error) {
	set := flag.NewFlagSet("compare", flag.ContinueOnError)
	peers := set.String("peers", strings.Join(allPeers, ","), "what is compared")
	bytes := set.String("bytes", "65536,1048576", "sizes of one read, in bytes")
	readers := set.String("readers", "1,16", "numbers of readers at once")
	set.IntVar(&o.rounds, "rounds", 5, "runs of each cell, of which medians are taken")
	set.IntVar(&o.processes, "processes", 1, "of nginx and of the sidecar with its pages in memory: rounds take them in turns")
	set.DurationVar(&o.duration, "duration", 2*time.Second, "of one run")
	mib := set.Int64("size", 256, "of the data set, MiB; some ten copies of it must fit disk and page cache")
	set.Uint64Var(&o.seed, "seed", 1, "of the ranges")
	set.StringVar(&o.dir, "dir", "", "folder for a temporary folder, on a disk (default: the system's)")
	set.StringVar(&o.results, "results", "", "folder that the report is written to, as compare-<date>-<commit>.md, besides being printed")
	set.BoolVar(&o.oneProcessor, "one-processor", false, "hold client and servers on one processor, the same for all: with one reader the median otherwise tells "+
		"where the kernel happened to put them")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	o.peers, o.size = strings.Split(*peers, ","), *mib<<20
	for _, p := range o.peers {
		if !slices.Contains(allPeers, p) {
			bad("-peers: %q is none of %s", p, strings.Join(allPeers, ", "))
		}
	}
	if o.bytes, err = numbers(*bytes, 4096, 1<<20); err != nil {
		bad("-bytes: %w", err)
	}
	if o.readers, err = numbers(*readers, 1, 256); err != nil {
		bad("-readers: %w", err)
	}
	if o.rounds < 1 || o.processes < 1 || o.duration < 10*time.Millisecond || *mib < 1 {
		bad("-rounds, -processes, -duration and -size: at least 1, 1, 10ms and 1")
	}
	if len(set.Args()) > 0 {
		bad("unexpected argument %q: there are flags only", set.Arg(0))
	}
	return o, errors.Join(errs...)
}

// numbers parses a list; sizes of reads are multiples of 4 KiB where the least is.
func numbers(list string, least, most int) (out []int, err error) {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most || least == 4096 && n%4096 != 0 {
			return nil, fmt.Errorf("%q must be a number from %d to %d (sizes: multiples of 4096)", text, least, most)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp(o.dir, "alio-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := load.Data{Seed: o.seed, Size: o.size, ObjectSize: min(64<<20, o.size)}
	field, err := gather(ctx, o, data, dir)
	defer func() { err = errors.Join(err, field.close()) }()
	if err != nil {
		return err
	}
	if o.results != "" { // found out before the minutes of measuring, not after
		if err := os.MkdirAll(o.results, 0o755); err != nil {
			return err
		}
	}
	cells, err := measure(ctx, o, data, field)
	if err != nil {
		return err
	}
	text := report(o, field, cells, machineShape(ctx))
	fmt.Print(text)
	if o.results == "" {
		return nil
	}
	commit, _ := output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	name := fmt.Sprintf("compare-%s-%s", time.Now().UTC().Format("2006-01-02"), commit)
	if o.oneProcessor {
		name += "-one-processor"
	}
	file := filepath.Join(o.results, name+".md")
	progress("written to %s", file)
	return os.WriteFile(file, []byte(text), 0o644)
}
