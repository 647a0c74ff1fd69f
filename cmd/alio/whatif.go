package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/alio-lake/alio/affinity/ring"
)

// whatIf is a change of the fleet that is only thought of.
type whatIf struct {
	leave, join, drain, undrain, weight []string
}

func newWhatIfCommand(f *doorFlags, asJSON *bool) *cobra.Command {
	var x whatIf
	cmd := &cobra.Command{
		Use:   "what-if",
		Short: "What would move if members left, joined, drained or changed their weight; nothing is done",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := f.epoch(cmd.Context())
			if err != nil {
				return err
			}
			change, err := x.change(e)
			if err != nil {
				return err
			}
			next, err := e.Apply(change)
			if err != nil {
				return err
			}
			r := movementOf(e, next)
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	set := cmd.Flags()
	set.StringArrayVar(&x.leave, "leave", nil, "`NAME` that would leave; may be repeated, as all of these")
	set.StringArrayVar(&x.join, "join", nil, "`NAME[=WEIGHT][@ZONE]` that would join; weight 1 without one")
	set.StringArrayVar(&x.drain, "drain", nil, "`NAME` that would drain")
	set.StringArrayVar(&x.undrain, "undrain", nil, "`NAME` that would own its share again")
	set.StringArrayVar(&x.weight, "weight", nil, "`NAME=WEIGHT`: another weight")
	set.SortFlags = false
	return cmd
}

// change is what it says, for an epoch.
func (x *whatIf) change(e *ring.Epoch) (c ring.Change, err error) {
	var faults []error
	updates := map[string]ring.Member{}
	update := func(name string, f func(*ring.Member)) {
		m, ok := updates[name]
		if s, known := e.Find(name); !ok && known {
			m, ok = e.Members()[s], true
		}
		if !ok {
			faults = append(faults, fmt.Errorf("%q is no member of epoch %d; alio ring show lists them", name, e.Number()))
			return
		}
		f(&m)
		updates[name] = m
	}
	c.Leave = x.leave
	for _, text := range x.join {
		rest, zone, _ := strings.Cut(text, "@")
		name, weight, given := strings.Cut(rest, "=")
		m := ring.Member{Name: name, Zone: zone, Weight: 1}
		if given {
			m.Weight, err = strconv.Atoi(weight)
			faults = append(faults, err)
		}
		c.Join = append(c.Join, m)
	}
	for _, name := range x.drain {
		update(name, func(m *ring.Member) { m.Draining = true })
	}
	for _, name := range x.undrain {
		update(name, func(m *ring.Member) { m.Draining = false })
	}
	for _, text := range x.weight {
		name, weight, _ := strings.Cut(text, "=")
		w, err := strconv.Atoi(weight)
		faults = append(faults, err)
		update(name, func(m *ring.Member) { m.Weight = w })
	}
	for _, m := range updates {
		c.Update = append(c.Update, m)
	}
	if len(c.Leave)+len(c.Join)+len(c.Update) == 0 {
		faults = append(faults, errNothing)
	}
	return c, errors.Join(faults...)
}

// movement is what a change would do.
type movement struct {
	Epoch      uint64        `json:"epoch"` // from which it is reckoned
	Partitions int           `json:"partitions"`
	Moved      int           `json:"moved_partitions"`
	Share      float64       `json:"moved_share"`
	Members    []memberMoves `json:"members"` // those that lose or gain
	Kept       int           `json:"unaffected_members"`
}

type memberMoves struct {
	Name   string  `json:"name"`
	Lost   int     `json:"lost_partitions"`
	Gained int     `json:"gained_partitions"`
	Before float64 `json:"share_before"`
	After  float64 `json:"share_after"`
}

func movementOf(from, to *ring.Epoch) movement {
	m := from.Move(to)
	out := movement{Epoch: from.Number(), Partitions: m.Partitions, Moved: m.Moved, Share: float64(m.Moved) / float64(m.Partitions)}
	held := map[*ring.Epoch][]ring.Holding{from: from.Holdings(), to: to.Holdings()}
	share := func(e *ring.Epoch, name string) float64 {
		s, ok := e.Find(name)
		if !ok {
			return 0
		}
		return float64(held[e][s].First) / float64(e.Partitions())
	}
	seen := map[string]bool{}
	for _, e := range []*ring.Epoch{from, to} {
		for _, x := range e.Members() {
			switch {
			case seen[x.Name]:
			case m.Lost[x.Name]+m.Gained[x.Name] == 0:
				out.Kept++
			default:
				out.Members = append(out.Members, memberMoves{x.Name, m.Lost[x.Name], m.Gained[x.Name], share(from, x.Name), share(to, x.Name)})
			}
			seen[x.Name] = true
		}
	}
	return out
}

func (r movement) print(w io.Writer) error {
	fmt.Fprintf(w, "from epoch %d: %d of %d partitions would have another first owner (%.2f%% of all sections); %d members keep exactly what they have\n\n",
		r.Epoch, r.Moved, r.Partitions, 100*r.Share, r.Kept)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEMBER\tLOSES\tGAINS\tSHARE NOW\tTHEN")
	for _, m := range r.Members {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.2f%%\t%.2f%%\n", m.Name, m.Lost, m.Gained, 100*m.Before, 100*m.After)
	}
	return t.Flush()
}

const ringHelp = `Show the ring that a running sidecar, or alio affinity, answers from: who owns a file,
what each member owns, and what would move if the fleet changed. What-if reckons on a
copy of the epoch, with the same code as the leader; nothing is changed.`

const ringExamples = `  # The members and their shares:
  alio ring show

  # Who owns a file, section by section:
  alio ring owner alio://lake/sales/part-7.parquet --size 3GiB

  # What would move if a worker's machine were taken away, or two more came:
  alio ring what-if --leave worker-7
  alio ring what-if --join worker-8=500 --join worker-9=500

  # The same of alio affinity, which has another admin address than a sidecar:
  alio ring show --admin 127.0.0.1:9483`
