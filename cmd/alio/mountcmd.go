package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newMountCommand() *cobra.Command {
	var f adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "mount",
		Short:   "Show what a running sidecar has mounted; check it, reload it",
		Long:    mountHelp,
		Example: mountExamples,
		Args:    unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			states, err := askMounts(cmd, &f)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), states)
			}
			return printMounts(cmd.OutOrStdout(), states)
		},
	}
	f.register(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newMountCheckCommand(&f, &asJSON), newMountReloadCommand(&f, &asJSON))
	return cmd
}

func askMounts(cmd *cobra.Command, f *adminFlags) (states []mountState, err error) {
	_, err = f.ask(cmd.Context(), http.MethodGet, "/mounts?check=true", checkTime+answerWithin, &states)
	return states, err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printMounts is a table, one mount a line.
func printMounts(w io.Writer, states []mountState) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tKIND\tURI\tWRITES\tSTATE")
	for _, s := range states {
		state := fmt.Sprintf("ok (%.0f ms)", s.Seconds*1000)
		if s.Error != "" {
			state = "failed: " + short(s.Error)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.Kind, s.URI, s.Writes, state)
	}
	return t.Flush()
}

// short is the beginning of an error; alio mount check tells all of it.
func short(text string) string {
	const most = 80
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

func newMountCheckCommand(f *adminFlags, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Ask each origin once, and say what to do about those that fail",
		Long: `Ask each origin for one name, through the running sidecar and with its credentials.

Of an origin that fails the whole error is printed, and where to look first. The
exit code is 1 if any fails.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			states, err := askMounts(cmd, f)
			if err != nil {
				return err
			}
			if *asJSON {
				err = printJSON(cmd.OutOrStdout(), states)
			} else {
				err = printChecks(cmd.OutOrStdout(), states)
			}
			var failed []string
			for _, s := range states {
				if s.Error != "" {
					failed = append(failed, s.Name)
				}
			}
			if len(failed) > 0 {
				err = errors.Join(err, fmt.Errorf("%d of %d mounts cannot be used: %s", len(failed), len(states), strings.Join(failed, ", ")))
			}
			return err
		},
	}
}

func printChecks(w io.Writer, states []mountState) error {
	var err error
	for _, s := range states {
		if s.Error == "" {
			_, e := fmt.Fprintf(w, "%s: ok, %s answers in %.0f ms\n", s.Name, s.URI, s.Seconds*1000)
			err = errors.Join(err, e)
			continue
		}
		_, e := fmt.Fprintf(w, "%s: FAILED, %s\n  error:  %s\n  remedy: %s\n", s.Name, s.URI, s.Error, s.Remedy)
		err = errors.Join(err, e)
	}
	return err
}

func newMountReloadCommand(f *adminFlags, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the sidecar read its configuration again",
		Long: `Have the running sidecar read its config file again (its command line's flags still
win over it), as SIGHUP does. Mounts, freshness rules and clients' keys take effect at
once; requests under way finish with what they began with. Other keys that have
changed are named: they need a restart. A faulty file changes nothing, and is the
error of this command.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r reloadReport
			code, err := f.ask(cmd.Context(), http.MethodPost, "/reload", 6*answerWithin, &r)
			switch {
			case err != nil:
				return err
			case r.Error != "":
				return fmt.Errorf("nothing was changed: %s", r.Error)
			case code != http.StatusOK:
				return fmt.Errorf("the sidecar answered with status %d", code)
			case *asJSON:
				return printJSON(cmd.OutOrStdout(), r)
			}
			return printReload(cmd.OutOrStdout(), r)
		},
	}
}

func printReload(w io.Writer, r reloadReport) error {
	list := func(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }
	_, err := fmt.Fprintf(w, "reloaded\n  mounts added:   %s\n  mounts changed: %s\n  mounts removed: %s\n", list(r.Added), list(r.Changed), list(r.Removed))
	if err == nil && len(r.NeedsRestart) > 0 {
		_, err = fmt.Fprintf(w, "  needs a restart: %s\n", list(r.NeedsRestart))
	}
	return err
}

const mountHelp = `Show what a running sidecar has mounted: names, kinds of origin, what writes do, and
whether each origin answers now.

A mount is one origin under one name: alio://<name>/<path>, and s3://<name>/<path>
at the S3 endpoint. Mounts are set with alio sidecar --mount NAME=URI, or under
mounts: in its config file (docs/config.md), and can be changed there without a
restart: see alio mount reload.`

const mountExamples = `  # All mounts, one a line:
  alio mount

  # What is wrong with those that fail:
  alio mount check

  # After a change of the config file:
  alio mount reload`
