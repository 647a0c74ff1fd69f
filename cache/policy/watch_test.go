package policy

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// counted is an entry of a caller that counts accesses itself, up to three.
type counted struct{ k, hits int64 }

// TestCountedElsewhere runs the same random accesses on the model and on a policy that learns of them only by asking: both hold the same
// keys, and the caller, told of each eviction, knows which.
func TestCountedElsewhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 4))
	for round := range 20 {
		limit := int64(2000 + rnd.IntN(60_000))
		p, m, mine := NewS3FIFO[int64, *counted](limit), &model{limit: limit}, map[int64]*counted{}
		p.Watch(Watch[int64, *counted]{
			Accesses: func(e *counted) uint32 {
				n := e.hits
				e.hits = 0
				return uint32(n)
			},
			Evicted: func(k int64, e *counted) {
				if e == nil || e.k != k || mine[k] != e {
					t.Fatalf("round %d: evicted %d, which holds %+v", round, k, e)
				}
				delete(mine, k)
			},
		})
		keys, maxWeight := 10+rnd.Int64N(300), 1+rnd.Int64N(limit/4)
		for step := range 3000 {
			k := min(rnd.Int64N(keys), rnd.Int64N(keys))
			switch op := rnd.IntN(10); {
			case op < 6:
				if e := mine[k]; e != nil {
					e.hits = min(e.hits+1, maxFreq)
				}
				m.get(k)
			case op < 9 && mine[k] == nil:
				weight := 1 + (k*7919)%maxWeight
				e := &counted{k: k}
				held := p.Add(k, e, weight)
				if held {
					mine[k] = e
				}
				if held != m.add(k, weight) {
					t.Fatalf("round %d step %d: Add(%d, %d) = %v", round, step, k, weight, held)
				}
			case op == 9:
				if p.Remove(k) != m.remove(k) {
					t.Fatalf("round %d step %d: Remove(%d) differs", round, step, k)
				}
				delete(mine, k)
			}
			want := map[int64]bool{}
			for _, e := range append(append([]modelEntry{}, m.small...), m.main...) {
				want[e.k] = true
			}
			got := map[int64]bool{}
			for k := range mine {
				got[k] = p.Has(k)
			}
			if !maps.Equal(got, want) || p.Bytes() != m.bytes() {
				t.Fatalf("round %d step %d: holds %v, want %v; %d bytes, want %d", round, step, got, want, p.Bytes(), m.bytes())
			}
		}
	}
}

// TestProtectedTellsEvictions: the caller of a Protected is told of every entry that goes, of either kind.
func TestProtectedTellsEvictions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 5))
	p, mine := NewProtected[int, int](64<<10, 0.5), map[int]bool{}
	asked := 0
	p.Watch(Watch[int, int]{
		Accesses: func(int) uint32 { asked++; return uint32(rnd.IntN(3)) },
		Evicted:  func(k, _ int) { delete(mine, k) },
	})
	for range 20_000 {
		k := rnd.IntN(400)
		if p.Add(k, k, 1+rnd.Int64N(4000), k%3 == 0) {
			mine[k] = true
		}
		if !p.Has(k) && mine[k] {
			t.Fatalf("key %d is gone and nobody was told", k)
		}
	}
	if len(mine) != p.Len() || asked == 0 {
		t.Errorf("the caller knows of %d entries, the policy of %d; asked %d times", len(mine), p.Len(), asked)
	}
}
