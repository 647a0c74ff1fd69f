package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/alio-lake/alio/cmd/alio/bench"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
	units "github.com/alio-lake/alio/internal/config"
)

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure reads, writes and restarts on this machine",
		Long:  benchHelp,
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchReadCommand())
	return cmd
}

// benchFlags are those that every benchmark has.
type benchFlags struct {
	dir  string
	json bool
	seed uint64
}

func (f *benchFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "`directory` for a temporary folder, on the disk that is to be measured (default: the working directory)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the results as JSON, without progress")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "of what is drawn at random; equal seeds ask for equal ranges")
	cmd.Flags().SortFlags = false
}

// progress writes lines to standard error, or nothing where JSON is wanted.
func (f *benchFlags) progress(cmd *cobra.Command) func(string, ...any) {
	if f.json {
		return func(string, ...any) {}
	}
	return func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
}

// report prints results, or why there are none.
func report[T any](cmd *cobra.Command, asJSON bool, results []T, err error, table func(io.Writer, []T) error) error {
	if err != nil {
		if cmd.Context().Err() != nil {
			return errors.New("stopped; what the benchmark had made is removed")
		}
		return err
	}
	if asJSON {
		return bench.WriteJSON(cmd.OutOrStdout(), results)
	}
	return table(cmd.OutOrStdout(), results)
}

// sizes parses sizes that a flag lists.
func sizes(flag string, texts []string) (out []int, err error) {
	var errs []error
	for _, text := range texts {
		n, err := units.ParseSize(text)
		if err != nil || n > 1<<30 {
			errs = append(errs, fmt.Errorf("%s: %q is not a size up to 1GiB: write 4KiB, 1MiB, …", flag, text))
		}
		out = append(out, int(n))
	}
	return out, errors.Join(errs...)
}

func newBenchReadCommand() *cobra.Command {
	var f benchFlags
	var o bench.ReadOptions
	var bytes []string
	var access string
	total := 512 * units.MiB
	cmd := &cobra.Command{
		Use:     "read",
		Short:   "Time warm reads: pread, local reads, the gRPC door, the S3 door, side by side",
		Long:    benchReadHelp,
		Example: benchReadExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Bytes, err = sizes("--bytes", bytes); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			o.Access = []load.Access{load.Access(access)}
			if access == "both" {
				o.Access = nil
			}
			o.Dir, o.Seed, o.Size, o.Progress = f.dir, f.seed, int64(total), f.progress(cmd)
			if err := o.Validate(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			results, err := bench.Read(cmd.Context(), o)
			return report(cmd, f.json, results, err, bench.WriteReadTable)
		},
	}
	set := cmd.Flags()
	set.StringSliceVar(&o.Paths, "paths", bench.Paths, "`paths` to measure")
	set.StringSliceVar(&bytes, "bytes", []string{"4KiB", "16KiB", "64KiB", "256KiB", "1MiB"}, "`sizes` of one read")
	set.IntSliceVar(&o.Readers, "readers", []int{1, 16, 64}, "`numbers` of readers at once")
	set.StringVar(&access, "access", "both", "how ranges are drawn: zipf (a few are hot), uniform or both")
	set.DurationVar(&o.Duration, "duration", 2e9, "of one run of one cell")
	set.IntVar(&o.Runs, "runs", 3, "of each cell; medians are reported")
	set.Var(&total, "size", "of the data set; it must fit the page cache, and twice of it the disk")
	f.register(cmd)
	return cmd
}

const benchHelp = `Measure Alio on this machine, with bytes that are made up. Each benchmark makes
one temporary folder, and removes it at the end and on Ctrl-C. Results are a
table on standard output, or JSON with --json; progress goes to standard error.

Run them on an idle machine: what else it does is in the figures.`

const benchReadHelp = `Time reads of a warm cache by every path to its bytes:

  pread  bare preads of the cache's own segment files: no header, no checksum,
         no look-up. What the machine can do, and what the others are held to
  local  the Go client: finds a page, reads its segment itself, checks its sums
  grpc   Read of the gRPC door on its Unix socket, by a client that keeps the
         bytes as they came
  s3     signed ranged GETs of the S3 door on loopback TCP, one connection for
         each reader

"alio sidecar" runs in a process of its own, signatures are checked, and every
page lies in the page cache when the clock starts. Reads are aligned to their
size. A time is from the request to the last byte. Outside of it, but inside of
GB/s, are drawing the range, signing the request, and checking the answer: three
words of each, every byte of one in 64 (and of the first eight of each reader).

allocs/op are the sidecar's for s3 and grpc, the reader's own for pread and
local. CPU s/GB is the sidecar's processor time. Readers and sidecar share the
machine's processors.`

const benchReadExamples = `  # The whole grid, some 12 minutes:
  alio bench read

  # One size, quickly, as JSON:
  alio bench read --bytes 64KiB --readers 1,16 --access uniform --duration 1s --json

  # The S3 door beside pread, on another disk:
  alio bench read --paths pread,s3 --dir /ssd`
