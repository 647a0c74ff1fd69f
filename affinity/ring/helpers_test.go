package ring

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed gives a test its random seed: ALIO_SEED, or a new one; printed so that a failure can be run again.
func seed(t testing.TB) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("ALIO_SEED"); v != "" {
		var err error
		s, err = strconv.ParseUint(v, 10, 64)
		need(t, err)
	}
	t.Logf("ALIO_SEED=%d", s)
	return s
}

// fleet makes n members of weight 1 in so many zones.
func fleet(from, n, zones int) (out []Member) {
	for i := from; i < from+n; i++ {
		m := Member{Name: fmt.Sprintf("worker-%05d", i), Weight: 1}
		if zones > 0 {
			m.Zone = string(rune('a' + i%zones))
		}
		out = append(out, m)
	}
	return out
}

func zoneNames(n int) (out []string) {
	for i := range n {
		out = append(out, string(rune('a'+i)))
	}
	return out
}

func newEpoch(t testing.TB, s Settings, members []Member) *Epoch {
	t.Helper()
	e, err := New(s)
	need(t, err)
	return apply(t, e, Change{Join: members})
}

// apply applies a change and checks all that must hold of any epoch.
func apply(t testing.TB, e *Epoch, c Change) *Epoch {
	t.Helper()
	next, err := e.Apply(c)
	need(t, err)
	if err := next.check(); err != nil {
		t.Fatalf("epoch %d: %v", next.number, err)
	}
	return next
}

// moved is the part of the keys whose answer begins with another member.
func moved(before, after *Epoch) (share float64) {
	n := max(before.partitions, after.partitions)
	count := 0
	for p := range n {
		a, b := before.rows[p*before.partitions/n*before.width], after.rows[p*after.partitions/n*after.width]
		if before.members[a].Name != after.members[b].Name {
			count++
		}
	}
	return float64(count) / float64(n)
}

// skew is the most that a member serves first over the mean.
func skew(e *Epoch) float64 {
	held := make([]int, len(e.members))
	for p := range e.partitions {
		held[e.rows[p*e.width]]++
	}
	return float64(slices.Max(held)) * float64(len(e.serving)) / float64(e.partitions)
}
