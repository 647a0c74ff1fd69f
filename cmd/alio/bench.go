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
	cmd.AddCommand(newBenchReadCommand(), newBenchWriteCommand(), newBenchRecoverCommand(), newBenchSmallCommand(), newBenchMetadataCommand(),
		newBenchReopenCommand())
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

func newBenchWriteCommand() *cobra.Command {
	var f benchFlags
	var o bench.WriteOptions
	var bytes []string
	amount := 1 * units.GiB
	cmd := &cobra.Command{
		Use:     "write",
		Short:   "Time pages into the disk tier, beside plain writes and a file per page",
		Long:    benchWriteHelp,
		Example: benchWriteExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Bytes, err = sizes("--bytes", bytes); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			o.Seed, o.Amount, o.Progress = f.seed, int64(amount), f.progress(cmd)
			if f.dir != "" {
				o.Dirs = append([]string{f.dir}, o.Dirs...)
			}
			if err := o.Validate(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			results, err := bench.Write(cmd.Context(), o)
			return report(cmd, f.json, results, err, bench.WriteWriteTable)
		},
	}
	set := cmd.Flags()
	set.StringSliceVar(&bytes, "bytes", []string{"4KiB", "16KiB", "64KiB", "256KiB", "1MiB"}, "`sizes` of a page")
	set.Var(&amount, "amount", "of pages in one run (or 65,536 pages, if that is less); three times of it must be free on the disk")
	set.IntVar(&o.Runs, "runs", 3, "of each cell; medians are reported")
	set.StringArrayVar(&o.Dirs, "also-dir", nil, "another `directory`, on another disk, for the figure of several; may be repeated")
	f.register(cmd)
	return cmd
}

func newBenchRecoverCommand() *cobra.Command {
	var f benchFlags
	var o bench.RecoverOptions
	bytes := 1 * units.KiB
	cmd := &cobra.Command{
		Use:     "recover",
		Short:   "Time a start on a full cache, and what a page costs in memory",
		Long:    benchRecoverHelp,
		Example: benchRecoverExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Dir, o.Seed, o.Progress = f.dir, f.seed, f.progress(cmd)
			o.Bytes = int(min(bytes, units.GiB))
			if err := o.Validate(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			results, err := bench.Recover(cmd.Context(), o)
			return report(cmd, f.json, results, err, bench.WriteRecoverTable)
		},
	}
	set := cmd.Flags()
	set.IntVar(&o.Pages, "pages", 1_000_000, "in the cache")
	set.Var(&bytes, "bytes", "of a page")
	set.IntVar(&o.Files, "files", 0, "of the walk that it is compared with (default a tenth of --pages, at most 100,000)")
	set.IntVar(&o.Probes, "probes", 20_000, "hits that are timed after each start")
	set.IntVar(&o.Runs, "runs", 3, "starts of each kind; medians are reported")
	f.register(cmd)
	return cmd
}

// newBenchReopenCommand is a process that bench recover starts; nobody else has a use for it.
func newBenchReopenCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "reopen",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.Reopen(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
}
