package main

import (
	"github.com/spf13/cobra"

	"github.com/alio-lake/alio/cmd/alio/bench"
	units "github.com/alio-lake/alio/internal/config"
)

func newBenchSmallCommand() *cobra.Command {
	var f benchFlags
	var o bench.SmallOptions
	bytes := 10 * units.KiB
	cmd := &cobra.Command{
		Use:     "small",
		Short:   "Time small files through every door, cold, warm and after a restart, beside a file for each page",
		Long:    benchSmallHelp,
		Example: benchSmallExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Dir, o.Seed, o.Bytes, o.Progress = f.dir, f.seed, int(min(bytes, units.GiB)), f.progress(cmd)
			if err := o.Validate(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			results, err := bench.Small(cmd.Context(), o)
			return report(cmd, f.json, results, err, bench.WriteSmallTable)
		},
	}
	set := cmd.Flags()
	set.IntVar(&o.Objects, "objects", 100_000, "at the origin, each read whole")
	set.Var(&bytes, "bytes", "of one object")
	set.IntVar(&o.Readers, "readers", 16, "at once")
	f.register(cmd)
	return cmd
}

func newBenchMetadataCommand() *cobra.Command {
	var f benchFlags
	var o bench.MetadataOptions
	memory := 32 * units.MiB
	cmd := &cobra.Command{
		Use:     "metadata",
		Short:   "Time the store of what is known of objects, and what an entry costs",
		Long:    benchMetadataHelp,
		Example: benchMetadataExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Dir, o.Seed, o.Memory, o.Progress = f.dir, f.seed, int64(memory), f.progress(cmd)
			if err := o.Validate(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			results, err := bench.Metadata(cmd.Context(), o)
			return report(cmd, f.json, results, err, bench.WriteMetadataTable)
		},
	}
	set := cmd.Flags()
	set.IntSliceVar(&o.Entries, "entries", []int{1_000_000}, "`numbers` of objects that are known, a store for each")
	set.IntVar(&o.Lookups, "lookups", 20_000, "of each kind")
	set.Var(&memory, "memory", "of the store")
	f.register(cmd)
	return cmd
}
