package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	units "github.com/alio-lake/alio/internal/config"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signals(context.Background(), os.Exit)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// signals returns a context that ends at the first SIGINT or SIGTERM; the second one leaves at once.
func signals(parent context.Context, exit func(int)) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	came := make(chan os.Signal, 2)
	signal.Notify(came, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 2 {
			select {
			case <-came:
				if ctx.Err() != nil {
					exit(exitFailed)
					return
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(came)
		close(done)
		<-ended
		cancel()
	}
}

// usageError is a command line that cannot be understood.
type usageError struct {
	err error
	cmd string
}

func (e usageError) Error() string { return fmt.Sprintf("%v (see %s --help)", e.err, e.cmd) }
func (e usageError) Unwrap() error { return e.err }

// execute runs one command line and returns the exit code. Every line that it prints about an error says what is wrong and the way out.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(stderr, "alio: "+line)
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "alio",
		Short:         "A format-aware cache beside Presto and Trino workers",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{err, cmd.CommandPath()} })
	root.AddCommand(newSidecarCommand(stderr), newLsCommand(), newStatCommand(), newCatCommand(), newMountCommand(), newAffinityCommand(stderr), newRingCommand(), newBenchCommand(), newVersionCommand())
	return root
}

// unknownCommand names the command that comes nearest.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	if near := units.Nearest(args[0], known); near != "" {
		return usageError{fmt.Errorf("unknown command %q; did you mean %q?", args[0], near), cmd.CommandPath()}
	}
	return usageError{fmt.Errorf("unknown command %q", args[0]), cmd.CommandPath()}
}

// noArguments is for commands that take flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("unexpected argument %q: %s takes flags only", args[0], cmd.CommandPath()), cmd.CommandPath()}
}

const rootHelp = `Alio gives locality back to data lakes: a cache beside every query worker that
answers S3 reads from memory and local SSD, and reads what is missing from the
object store once.

Start a sidecar on a bucket, with no file to write:

  alio sidecar --mount lake=s3://my-bucket --cache-dir /ssd/alio --cache-size 200GiB`
