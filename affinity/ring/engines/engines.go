package engines

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alio-lake/alio/affinity/ring"
)

// sectionSize is that of both engines' keys where they have one: Presto's hive.affinity-scheduling-file-section-size.
const sectionSize = 256 << 20

// changed lists the members after a change, by name: these placements are built anew from it each time, as the engines do.
func changed(members []ring.Member, c ring.Change) []ring.Member {
	gone := map[string]bool{}
	for _, name := range c.Leave {
		gone[name] = true
	}
	for _, m := range c.Update {
		gone[m.Name] = m.Draining || m.Excluded
	}
	out := slices.DeleteFunc(slices.Clone(members), func(m ring.Member) bool { return gone[m.Name] })
	return sorted(append(out, c.Join...))
}

func sorted(members []ring.Member) []ring.Member {
	return slices.SortedFunc(slices.Values(members), func(a, b ring.Member) int { return strings.Compare(a.Name, b.Name) })
}

// check refuses what ring would.
func check(members []ring.Member, s ring.Split, k int) error {
	if k < 1 || k > len(members) {
		return fmt.Errorf("engines: %w: %d owners of %d members", ring.ErrInvalid, k, len(members))
	}
	if s.Path == "" || s.Offset < 0 {
		return fmt.Errorf("engines: %w: split %+v", ring.ErrInvalid, s)
	}
	return nil
}

// appendSection appends Presto's identifier of a split: its path, "#" and its section.
func appendSection(b []byte, s ring.Split) []byte {
	b = append(append(append(b, s.Mount...), '/'), s.Path...)
	return strconv.AppendInt(append(b, '#'), s.Offset/sectionSize, 10)
}

// appendRange appends Trino's cache key of a split: path, offset and length, where the splits are sections.
func appendRange(b []byte, s ring.Split) []byte {
	b = append(append(append(b, s.Mount...), '/'), s.Path...)
	b = strconv.AppendInt(append(b, ':'), s.Offset, 10)
	return strconv.AppendInt(append(b, ':'), sectionSize, 10)
}
