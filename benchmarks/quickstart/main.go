package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	results := flag.String("results", "", "also write the report into this `folder`")
	flag.Parse()
	rep, err := run(ctx, *results)
	switch {
	case err == nil && rep.OK:
		return
	case err == nil: // the failures were printed
		os.Exit(1)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "stopped; everything that was started has ended")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run does it all. The RESULT line is the last of standard output, after all is stopped; with KEEP=1 before the wait for Ctrl-C.
func run(ctx context.Context, resultsDir string) (report, error) {
	rounds := 3
	if os.Getenv("ALIO_QUICK") != "" {
		rounds = 1
	}
	seed := uint64(1)
	if s := os.Getenv("ALIO_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return report{}, fmt.Errorf("ALIO_SEED: %w", err)
		}
		seed = n
	}
	built := commit() // before anything is measured: the checkout may move on meanwhile
	from := machine(built)
	say("A real Trino reads TPC-DS tables straight from an S3 server and through Alio. The first run on a machine fetches about 0.8 GB.")
	set, err := queries(ctx, say)
	if err != nil {
		return report{}, err
	}
	s, err := harness.StartStage(ctx, harness.StageOptions{Tables: tables, Latency: s3proxy.DefaultLatency, Seed: seed, Logf: say})
	if err != nil {
		return report{}, err
	}
	defer s.Stop()
	var all []result
	for i, q := range set {
		r, err := measure(ctx, s, s.Alio.Cold, q, rounds)
		if err != nil {
			return report{}, errors.Join(err, ctx.Err())
		}
		n := r.numbers(s3proxy.DefaultLatency)
		say("%2d of %d  %-9s rows %s; seconds %.2f straight, %.2f cold, %.2f warm; data GETs %d, %d, %d", i+1, len(set), q.name,
			equal(n.RowsEqual), n.StraightSeconds, n.ColdSeconds, n.WarmSeconds, n.StraightGETs, n.ColdGETs, n.WarmGETs)
		all = append(all, r)
	}
	rep := newReport(all, rounds, s3proxy.DefaultLatency)
	text := fmt.Sprintf("%s\n%s\n%s", from, rep.table(), rep.legend())
	fmt.Printf("\n%s", text)
	for _, f := range rep.Failures {
		fmt.Println("FAILED:", f)
	}
	if resultsDir != "" {
		if err := save(resultsDir, built, text, rep); err != nil {
			return rep, err
		}
	}
	return rep, finish(ctx, s, rep)
}

// finish says where to look next, stops or keeps what runs, and prints the RESULT line.
func finish(ctx context.Context, s *harness.Stage, rep report) error {
	keep := os.Getenv("KEEP") == "1"
	fmt.Print("\nWhere to look next: ARCHITECTURE.md (the life of a read), benchmarks/results (numbers with their commits),\n" +
		"`go run ./cmd/alio sidecar --help` (to put one before your own bucket), and with KEEP=1 the servers of this run.\n")
	if keep {
		fmt.Printf("\nEverything is still running:\n"+
			"  Trino            %s  (catalogs straight, alio and direct; schema tiny; any user)\n"+
			"  sidecar          %s  (S3 door; key %s, secret %s, bucket %s, path style)\n"+
			"  sidecar, admin   %s  (/metrics, /status)\n"+
			"  S3 server        %s  (same key)\n"+
			"  measuring proxy  %s  (before the S3 server)\n"+
			"Ctrl-C stops it all.\n\n", s.Trino.URL, s.Alio.Door, s.S3.AccessKey, s.S3.SecretKey, s.S3.Bucket, s.Alio.Admin, s.S3.Endpoint, s.Origin.URL())
	} else {
		s.Stop()
	}
	line, err := json.Marshal(rep)
	if err != nil {
		return err
	}
	fmt.Printf("RESULT %s\n", line)
	if keep {
		<-ctx.Done()
		s.Stop()
	}
	return nil
}

// save writes the report, with the command, the commit and the machine behind it.
func save(dir, built, text string, rep report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	line, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	path := filepath.Join(dir, "quickstart-"+now.Format("2006-01-02")+"-"+built+".md")
	body := fmt.Sprintf("# make quickstart, %s\n\nCommand: `make bench` (`make quickstart`, written here). Commit: %s.\n\n```\n%s```\n\n```json\n%s\n```\n",
		now.Format(time.RFC3339), built, text, line)
	say("report: %s", path)
	return os.WriteFile(path, []byte(body), 0o644)
}

// commit is the checkout's, with -dirty behind it if files differ from it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine is the shape of the machine and the versions that a number depends on, in a line.
func machine(built string) string {
	memory := "unknown"
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20))
		}
	}
	version := runtime.Version()
	if bi, ok := debug.ReadBuildInfo(); ok {
		version = bi.GoVersion
	}
	return fmt.Sprintf("Trino 476 (one node, 2 GB heap), versitygw, Alio at %s; %d cores, %s of memory, %s/%s, %s.\n",
		built, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, version)
}

// say prints progress.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
