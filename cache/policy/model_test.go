package policy

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// seed gives a test its random seed: ALIO_SEED, or a new one; printed so that a failure can be run again.
func seed(t testing.TB) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("ALIO_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
		s = n
	}
	t.Logf("ALIO_SEED=%d", s)
	return s
}

// model is S3-FIFO written as plainly as it can be: slices, oldest first, and sums made anew each time.
type model struct {
	limit              int64
	small, main, ghost []modelEntry
}

type modelEntry struct {
	k, weight int64
	freq      int
}

func sum(q []modelEntry) (n int64) {
	for _, e := range q {
		n += e.weight
	}
	return n
}

func find(q []modelEntry, k int64) int {
	return slices.IndexFunc(q, func(e modelEntry) bool { return e.k == k })
}

func (m *model) bytes() int64 {
	return sum(m.small) + sum(m.main) + Overhead*int64(len(m.small)+len(m.main)+len(m.ghost))
}

func (m *model) get(k int64) bool {
	for _, q := range [][]modelEntry{m.small, m.main} {
		if i := find(q, k); i >= 0 {
			q[i].freq = min(q[i].freq+1, 3)
			return true
		}
	}
	return false
}

func (m *model) add(k, weight int64) bool {
	if find(m.small, k) >= 0 || find(m.main, k) >= 0 {
		return true
	}
	if weight+Overhead > m.limit {
		return false
	}
	g := find(m.ghost, k)
	if g >= 0 {
		m.ghost = slices.Delete(m.ghost, g, g+1)
	}
	for m.bytes()+weight+Overhead > m.limit {
		m.evict()
	}
	if g >= 0 {
		m.main = append(m.main, modelEntry{k: k, weight: weight})
	} else {
		m.small = append(m.small, modelEntry{k: k, weight: weight})
	}
	return true
}

func (m *model) evict() {
	for len(m.small) > 0 && (len(m.main) == 0 || sum(m.small)*10 >= sum(m.small)+sum(m.main)) {
		e := m.small[0]
		m.small = m.small[1:]
		if e.freq > 1 {
			m.main = append(m.main, e)
			continue
		}
		m.ghost = append(m.ghost, e)
		for sum(m.ghost) > m.limit/10*9 || int64(len(m.ghost))*Overhead > m.limit/32 {
			m.ghost = m.ghost[1:]
		}
		return
	}
	for len(m.main) > 0 {
		e := m.main[0]
		m.main = m.main[1:]
		if e.freq == 0 {
			return
		}
		e.freq--
		m.main = append(m.main, e)
	}
	if len(m.ghost) > 0 {
		m.ghost = m.ghost[1:]
	}
}

func (m *model) remove(k int64) bool {
	if i := find(m.small, k); i >= 0 {
		m.small = slices.Delete(m.small, i, i+1)
		return true
	}
	if i := find(m.main, k); i >= 0 {
		m.main = slices.Delete(m.main, i, i+1)
		return true
	}
	return false
}

// TestAgainstModel runs the same random operations on the policy and on the model: every answer, every sum and the limit agree.
func TestAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 1))
	for round := range 20 {
		limit := int64(2000 + rnd.IntN(60_000))
		p, m := NewS3FIFO[int64, int64](limit), &model{limit: limit}
		keys := 10 + rnd.Int64N(300)
		maxWeight := 1 + rnd.Int64N(limit/4)
		for step := range 3000 {
			k := rnd.Int64N(keys)
			weight := 1 + (k*7919)%maxWeight
			switch op := rnd.IntN(10); {
			case op < 5:
				v, ok := p.Get(k)
				if want := m.get(k); ok != want || ok && v != -k {
					t.Fatalf("round %d step %d: Get(%d) = %d, %v, want %v", round, step, k, v, ok, want)
				}
			case op < 9:
				if got, want := p.Add(k, -k, weight), m.add(k, weight); got != want {
					t.Fatalf("round %d step %d: Add(%d, %d) = %v, want %v", round, step, k, weight, got, want)
				}
			default:
				if got, want := p.Remove(k), m.remove(k); got != want {
					t.Fatalf("round %d step %d: Remove(%d) = %v, want %v", round, step, k, got, want)
				}
			}
			if p.Bytes() != m.bytes() || p.Len() != len(m.small)+len(m.main) || p.Ghosts() != len(m.ghost) {
				t.Fatalf("round %d step %d: %d bytes, %d entries, %d ghosts; want %d, %d, %d", round, step, p.Bytes(), p.Len(), p.Ghosts(),
					m.bytes(), len(m.small)+len(m.main), len(m.ghost))
			}
			if p.Bytes() > limit {
				t.Fatalf("round %d step %d: %d bytes over the limit of %d", round, step, p.Bytes(), limit)
			}
		}
	}
}
