package ring

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Epoch is one numbered partition table with all that changes an answer. It never changes, and may be used by many at once.
type Epoch struct {
	number     uint64
	settings   Settings
	members    []Member // by name
	partitions int
	home       []Slot    // settings.Owners for each partition; none fills up what is missing, at the end
	standins   []standin // by partition: who is first while the first owner is excluded
	hot        []hotKey  // by key

	derived
	hashed sync.Once
	hash   Hash
}

// standin is who stands first for a partition whose first owner is excluded.
type standin struct {
	partition int
	slot      Slot
}

// hotKey is a section that has more owners than others: count in all, of which extras come after those of its partition.
type hotKey struct {
	key    uint64
	count  int
	extras []Slot
}

// derived follows from the rest of the epoch: what look-ups read.
type derived struct {
	serving []Slot // whom answers may name: not draining, and not excluded unless all are
	width   int    // how many owners a row has: the epoch's, or all who serve
	rows    []Slot // width for each partition
	hotRows map[uint64]hotRow
}

type hotRow struct {
	owners []Slot
	count  int // of them the answer has at least
}

// New makes epoch 0, which has no members.
func New(s Settings) (*Epoch, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	e := &Epoch{settings: s, partitions: s.Partitions, home: make([]Slot, s.Partitions*s.Owners)}
	for i := range e.home {
		e.home[i] = none
	}
	e.derive()
	return e, nil
}

// Number counts the epochs: each change makes one more.
func (e *Epoch) Number() uint64 { return e.number }

// Settings are what Apply was given last, defaults filled in.
func (e *Epoch) Settings() Settings {
	s := e.settings
	s.Zones = slices.Clone(s.Zones)
	return s
}

// Members are all members by name: a Slot is a place in this list. The caller must not change it.
func (e *Epoch) Members() []Member { return e.members }

// Find looks a member up by its name.
func (e *Epoch) Find(name string) (Slot, bool) {
	i, ok := slices.BinarySearchFunc(e.members, name, func(m Member, name string) int { return strings.Compare(m.Name, name) })
	return Slot(i), ok
}

// Partitions is the size of the table.
func (e *Epoch) Partitions() int { return e.partitions }

// Most is the largest number of owners that Owners gives: what the table keeps, or as many as serve.
func (e *Epoch) Most() int { return e.width }

// Owners are the k distinct members that own the key, in order: the first should be asked, the others stand by. A hot key has more than k if the epoch says so, and
// never fewer. Excluded and draining members are not among them. The caller must not change the slice: it is a part of the table. The cost is a table read; nothing
// is allocated.
func (e *Epoch) Owners(key uint64, k int) ([]Slot, error) {
	if k < 1 || k > e.width {
		return nil, e.tooMany(k)
	}
	if len(e.hotRows) > 0 {
		if row, ok := e.hotRows[key]; ok {
			n := max(k, row.count)
			return row.owners[:n:n], nil
		}
	}
	at := scale(key, e.partitions) * e.width
	return e.rows[at : at+k : at+k], nil
}

func (e *Epoch) tooMany(k int) error {
	switch {
	case k < 1:
		return invalid("%d owners asked for: ask for at least 1", k)
	case e.width == 0:
		return invalid("epoch %d has no member that could own anything", e.number)
	case k > len(e.serving):
		return invalid("%d owners asked for, and only %d members serve in epoch %d", k, len(e.serving), e.number)
	}
	return invalid("%d owners asked for, and epoch %d keeps %d for each partition: raise Settings.Owners", k, e.number, e.width)
}

// Assignment is the answer for one split: its owners in order, or what was wrong with it.
type Assignment struct {
	Owners []Slot
	Err    error
}

// Assign appends to dst the k owners of each split, in the splits' order. A malformed split has its own error, and the others their answers; the error of Assign is about k.
func (e *Epoch) Assign(dst []Assignment, splits []Split, k int) ([]Assignment, error) {
	if k < 1 || k > e.width {
		return dst, e.tooMany(k)
	}
	for _, s := range splits {
		var a Assignment
		key, err := e.Key(s)
		if err == nil {
			a.Owners, err = e.Owners(key, k)
		}
		a.Err = err
		dst = append(dst, a)
	}
	return dst, nil
}

// String names the epoch in a line.
func (e *Epoch) String() string {
	return fmt.Sprintf("epoch %d: %d members, %d partitions", e.number, len(e.members), e.partitions)
}

// Placement is a way of placing splits on members; Epoch is ours, package engines has others to measure against. Placements never change.
type Placement interface {
	// Members are those that own something, by name.
	Members() []Member
	// Locate appends the k owners of a split to dst, as places in Members, in order.
	Locate(dst []Slot, s Split, k int) ([]Slot, error)
	// Change makes the placement after a change.
	Change(c Change) (Placement, error)
}

// Locate appends the owners of a split to dst; see Placement.
func (e *Epoch) Locate(dst []Slot, s Split, k int) ([]Slot, error) {
	key, err := e.Key(s)
	if err != nil {
		return dst, err
	}
	owners, err := e.Owners(key, k)
	return append(dst, owners...), err
}

// Change is Apply behind Placement.
func (e *Epoch) Change(c Change) (Placement, error) { return e.Apply(c) }
