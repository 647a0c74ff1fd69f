package ring

import (
	"fmt"
	"slices"
)

// check says what is wrong with an epoch that was read: everything that Apply promises of one, but how it came to be.
func (e *Epoch) check() error {
	for i, m := range e.members {
		if err := m.check(e.settings); err != nil {
			return err
		}
		if i > 0 && e.members[i-1].Name >= m.Name {
			return fmt.Errorf("members are not in order, or %q is there twice", m.Name)
		}
	}
	weights := make([]int64, len(e.members))
	active := 0
	for i, m := range e.members {
		if !m.Draining {
			weights[i] = int64(m.Weight)
			active++
		}
	}
	q, err := e.checkRows(weights, min(active, e.settings.Owners))
	if err == nil {
		err = q.checkBound(e, "owns")
	}
	if err == nil {
		err = e.checkStandins(weights)
	}
	if err == nil {
		err = e.checkHotKeys(weights)
	}
	return err
}

// checkRows: every partition has as many owners as there can be, distinct, none draining.
func (e *Epoch) checkRows(weights []int64, width int) (*quota, error) {
	q, r := shares(e.partitions, weights, e.settings.Bound), e.settings.Owners
	for p := range e.partitions {
		row := e.home[p*r : p*r+r]
		for c, s := range row {
			switch {
			case (s == none) != (c >= width):
				return nil, fmt.Errorf("partition %d has not %d owners", p, width)
			case s == none:
			case weights[s] == 0:
				return nil, fmt.Errorf("partition %d belongs to %q, which drains", p, e.members[s].Name)
			case slices.Contains(row[:c], s):
				return nil, fmt.Errorf("partition %d belongs to %q twice", p, e.members[s].Name)
			}
		}
		if width > 0 {
			q.held[row[0]]++
		}
	}
	return q, nil
}

func (q *quota) checkBound(e *Epoch, what string) error {
	for i := range q.held {
		if q.held[i] > q.limit[i] {
			return fmt.Errorf("member %q %s %d partitions, and %d is its bound", e.members[i].Name, what, q.held[i], q.limit[i])
		}
	}
	return nil
}

// checkStandins: those partitions have one whose first owner is excluded, it serves, and the bound holds with them.
func (e *Epoch) checkStandins(weights []int64) error {
	serving := slices.Clone(weights)
	for i, m := range e.members {
		if m.Excluded {
			serving[i] = 0
		}
	}
	if !slices.ContainsFunc(serving, func(w int64) bool { return w > 0 }) {
		if len(e.standins) > 0 {
			return fmt.Errorf("there are stand-ins, and nobody serves")
		}
		return nil
	}
	q, rest := shares(e.partitions, serving, e.settings.Bound), e.standins
	for p := range e.partitions {
		first := e.home[p*e.settings.Owners]
		has := len(rest) > 0 && rest[0].partition == p
		if has != (serving[first] == 0) {
			return fmt.Errorf("partition %d lacks a stand-in, or has one without need", p)
		}
		if has {
			first, rest = rest[0].slot, rest[1:]
			if serving[first] == 0 {
				return fmt.Errorf("the stand-in of partition %d does not serve", p)
			}
		}
		q.held[first]++
	}
	return q.checkBound(e, "with stand-ins serves")
}

func (e *Epoch) checkHotKeys(weights []int64) error {
	for _, h := range e.hot {
		if h.count < 1 {
			return fmt.Errorf("hot section %#x has no owners", h.key)
		}
		for i, s := range h.extras {
			if weights[s] == 0 || slices.Contains(h.extras[:i], s) {
				return fmt.Errorf("hot section %#x has %q twice, or it drains", h.key, e.members[s].Name)
			}
		}
	}
	return nil
}
