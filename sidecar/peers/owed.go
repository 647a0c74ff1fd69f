package peers

import (
	"maps"
	"slices"

	"github.com/alio-lake/alio/affinity/ring"
)

// owed is what this sidecar owns and has not yet taken over from those who had it before: partitions of a table and hot sections, each with the member that is to be asked.
type owed struct {
	table      int // partitions of the table that partitions count in
	partitions map[int]string
	keys       map[uint64]string
}

func (o *owed) empty() bool { return len(o.partitions)+len(o.keys) == 0 }

func (o *owed) equal(other *owed) bool {
	return o.table == other.table && maps.Equal(o.partitions, other.partitions) && maps.Equal(o.keys, other.keys)
}

// after is what is owed to a member once an epoch has taken the place of another (nil: there was none), given what was owed before: what it still owns, and what it owns newly. A
// section that had several owners in the epoch before, this member among them, is not new. Nothing is asked of members that are gone, or are left out of answers since they are absent or overloaded.
func (o *owed) after(before, now *ring.Epoch, self string) *owed {
	next := &owed{partitions: map[int]string{}, keys: map[uint64]string{}}
	if now == nil || now.Most() == 0 {
		return next
	}
	next.table = now.Partitions()
	for p := range next.table {
		key := now.FirstKey(p)
		if firstOwner(now, key) != self {
			continue
		}
		from, has := o.partition(p, next.table)
		if was := firstOwner(before, key); was != "" && was != self {
			from, has = was, true
		}
		if has && answers(now, from) {
			next.partitions[p] = from
		}
	}
	for _, h := range now.Hot() {
		owners := ownersOf(now, h.Key)
		_, has := o.keys[h.Key]
		has = has || before != nil && !slices.Contains(ownersOf(before, h.Key), self)
		if has && slices.Index(owners, self) > 0 && answers(now, owners[0]) {
			next.keys[h.Key] = owners[0]
		}
	}
	return next
}

// partition is who owes a partition of a table of so many, which may have grown since.
func (o *owed) partition(p, table int) (from string, has bool) {
	if o.table == 0 || table%o.table != 0 {
		return "", false
	}
	from, has = o.partitions[p/(table/o.table)]
	return from, has
}

// members are those that are to be asked, by name, each with its share.
func (o *owed) members() map[string]*owed {
	all := map[string]*owed{}
	of := func(name string) *owed {
		if all[name] == nil {
			all[name] = &owed{table: o.table, partitions: map[int]string{}, keys: map[uint64]string{}}
		}
		return all[name]
	}
	for p, name := range o.partitions {
		of(name).partitions[p] = name
	}
	for k, name := range o.keys {
		of(name).keys[k] = name
	}
	return all
}

// bits are the partitions as they are asked for.
func (o *owed) bits() []byte {
	b := make([]byte, (o.table+7)/8)
	for p := range o.partitions {
		b[p/8] |= 1 << (p % 8)
	}
	return b
}

func firstOwner(e *ring.Epoch, key uint64) string {
	if all := ownersOf(e, key); len(all) > 0 {
		return all[0]
	}
	return ""
}

// ownersOf are the owners of a key by name: one, or more of a hot one.
func ownersOf(e *ring.Epoch, key uint64) (names []string) {
	if e == nil || e.Most() == 0 {
		return nil
	}
	slots, err := e.Owners(key, 1)
	if err != nil {
		return nil
	}
	for _, s := range slots {
		names = append(names, e.Members()[s].Name)
	}
	return names
}

// answers tells whether a member is there to be asked.
func answers(e *ring.Epoch, name string) bool {
	slot, ok := e.Find(name)
	return ok && !e.Members()[slot].Excluded && e.Members()[slot].Sidecar != ""
}
