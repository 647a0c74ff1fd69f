package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
	units "github.com/alio-lake/alio/internal/config"
)

func newRingCommand() *cobra.Command {
	var f doorFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ring",
		Short:   "Show who owns which files, and what would move if the fleet changed",
		Long:    ringHelp,
		Example: ringExamples,
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.register(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newRingShowCommand(&f, &asJSON), newRingOwnerCommand(&f, &asJSON), newWhatIfCommand(&f, &asJSON))
	return cmd
}

// epoch fetches the one in force.
func (f *adminFlags) epoch(ctx context.Context) (*ring.Epoch, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	base := strings.TrimSuffix(f.admin, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/ring?format=bytes", nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--admin %q is no address: write host:port", f.admin), "alio ring"}
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("nobody answers at %s: %w; --admin names a sidecar's admin address, or that of alio affinity", f.admin, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil {
		return nil, fmt.Errorf("the epoch from %s: %w", f.admin, err)
	}
	var refusal struct {
		Error string `json:"error"`
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return ring.Decode(body)
	case json.Unmarshal(body, &refusal) == nil && refusal.Error != "":
		return nil, fmt.Errorf("%s: %s", f.admin, refusal.Error)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("the sidecar at %s belongs to no fleet: set affinity in its configuration (docs/affinity.md)", f.admin)
	}
	return nil, fmt.Errorf("what answers at %s is no sidecar of this version: %s", f.admin, resp.Status)
}

func newRingShowCommand(f *doorFlags, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "The members, what each owns, and how even it is",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := f.epoch(cmd.Context())
			if err != nil {
				return err
			}
			d := affinity.Describe(e)
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), d)
			}
			return printRing(cmd.OutOrStdout(), e, d)
		},
	}
}

func printRing(w io.Writer, e *ring.Epoch, d affinity.RingJSON) error {
	most := 0.0
	for _, m := range d.Members {
		most = max(most, m.OfFair)
	}
	s := d.Settings
	fmt.Fprintf(w, "epoch %d (%.12s): %d members, %d partitions, %d owners each, sections of %s\n", d.Epoch, d.Hash, len(d.Members), d.Partitions, s.Owners, units.Size(s.SectionSize))
	fmt.Fprintf(w, "the fullest owns %.3f of its fair share (bound %.3f); %d hot sections\n\n", most, 1+float64(s.Bound)/1000, d.Hot)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEMBER\tZONE\tWEIGHT\tSTATE\tFIRST\tSTANDBY\tSHARE\tOF FAIR\tWORKER\tSIDECAR")
	for _, m := range d.Members {
		state := "serves"
		switch {
		case m.Draining:
			state = "drains"
		case m.Excluded:
			state = "excluded"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%d\t%.2f%%\t%.3f\t%s\t%s\n", m.Name, cmp.Or(m.Zone, "-"), m.Weight, state, m.First, m.Standby, 100*m.Share, m.OfFair, m.Worker, cmp.Or(m.Sidecar, "-"))
	}
	return t.Flush()
}

// section is one section of a file with its owners.
type section struct {
	Section int64                `json:"section"`
	Offset  units.Size           `json:"offset"`
	Key     string               `json:"key"`
	Owners  []affinity.OwnerJSON `json:"owners"`
}

func newRingOwnerCommand(f *doorFlags, asJSON *bool) *cobra.Command {
	var size units.Size
	owners := 2
	cmd := &cobra.Command{
		Use:   "owner alio://mount/path",
		Short: "Who owns a file, section by section",
		Args:  exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parsePlace(args[0])
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			e, err := f.epoch(cmd.Context())
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("size") {
				if size, err = f.sizeOf(cmd.Context(), at); err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "alio: how large the file is, is not known (%v): only its first section is shown; --size tells\n", err)
				}
			}
			rows, err := sectionsOf(e, at, size, owners)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			return printSections(cmd.OutOrStdout(), e, rows)
		},
	}
	cmd.Flags().Var(&size, "size", "the file's size; none: the sidecar's gRPC door is asked")
	cmd.Flags().IntVar(&owners, "owners", owners, "how many owners of each section to show, in order")
	return cmd
}

// sizeOf asks the sidecar how large a file is.
func (f *doorFlags) sizeOf(ctx context.Context, at place) (units.Size, error) {
	api, ctx, done, err := f.open(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	st, err := api.Stat(ctx, &apiv1.StatRequest{Mount: at.mount, Path: at.path})
	if err != nil {
		return 0, saidBySidecar(at.String(), err)
	}
	return units.Size(st.Object.Size), nil
}

func sectionsOf(e *ring.Epoch, at place, size units.Size, owners int) ([]section, error) {
	if e.Most() == 0 {
		return nil, fmt.Errorf("nobody serves in %s", e)
	}
	length := e.Settings().SectionSize
	var out []section
	for offset := int64(0); offset == 0 || offset < int64(size); offset += length {
		key, err := e.Key(ring.Split{Mount: at.mount, Path: at.path, Offset: offset})
		if err != nil {
			return nil, err
		}
		slots, err := e.Owners(key, min(max(1, owners), e.Most()))
		if err != nil {
			return nil, err
		}
		row := section{Section: offset / length, Offset: units.Size(offset), Key: fmt.Sprintf("%016x", key)}
		for _, s := range slots {
			m := e.Members()[s]
			row.Owners = append(row.Owners, affinity.OwnerJSON{Name: m.Name, Worker: m.Worker, Sidecar: m.Sidecar, Zone: m.Zone})
		}
		out = append(out, row)
	}
	return out, nil
}

func printSections(w io.Writer, e *ring.Epoch, rows []section) error {
	fmt.Fprintf(w, "epoch %d, sections of %s\n\n", e.Number(), units.Size(e.Settings().SectionSize))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SECTION\tFROM\tKEY\tOWNERS, THE FIRST IS ASKED FIRST")
	for _, r := range rows {
		var names []string
		for _, o := range r.Owners {
			names = append(names, fmt.Sprintf("%s (%s)", o.Name, o.Worker))
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", r.Section, r.Offset, r.Key, strings.Join(names, ", "))
	}
	return t.Flush()
}

// errNothing is what a what-if without a change gets.
var errNothing = errors.New("nothing is changed: say --leave, --join, --drain, --undrain or --weight")
