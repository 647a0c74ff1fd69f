package cache

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/alio-lake/alio/origin/origintest"
)

// crowded is the n-th key of those whose searches all begin within a few slots of each other, at the end of any table and over it.
func crowded(n uint64) (k Key) {
	binary.LittleEndian.PutUint64(k[:], n)
	binary.LittleEndian.PutUint64(k[8:], -(1 + n%7))
	return k
}

// check compares an index with what should be in it, slot by slot.
func (w *indexWriter) check(t *testing.T, want map[Key]*entry) {
	t.Helper()
	var live, dead int
	table := *w.table.Load()
	for i := range table {
		switch e := table[i].Load(); {
		case e == left:
			dead++
		case e != nil:
			live++
			if want[e.key] != e {
				t.Fatalf("slot %d holds %x, which was removed", i, e.key)
			}
		}
	}
	if live != len(want) || live != w.live || dead != w.dead {
		t.Fatalf("%d entries and %d marks, the index counts %d and %d, want %d entries", live, dead, w.live, w.dead, len(want))
	}
	if len(table) > minSlots && live*sparseSlots < len(table) || (live+dead)*4 > len(table)*3 {
		t.Fatalf("%d entries and %d marks in %d slots", live, dead, len(table))
	}
	for k, e := range want {
		if w.find(&k) != e {
			t.Fatalf("%x is not found", k)
		}
	}
}

// TestIndexAgainstMap inserts and removes at random, keys that crowd together among them, and compares the index with a map.
func TestIndexAgainstMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(origintest.Seed(t), 1))
	for range 6 {
		var x index
		w, want := newIndexWriter(&x), map[Key]*entry{}
		keys := 1 + rnd.Uint64N(400)
		for range 2 { // grow, then shrink
			for _, grow := range []int{8, 2} {
				for step := range 1000 {
					k := crowded(rnd.Uint64N(keys))
					if k[0]%2 == 0 {
						binary.LittleEndian.PutUint64(k[8:], uint64(k[0])*0x9E3779B97F4A7C15)
					}
					e, held := want[k]
					switch {
					case held != (x.find(&k) != nil):
						t.Fatalf("found %x: %v, want %v", k, !held, held)
					case !held && rnd.IntN(10) < grow:
						want[k] = &entry{key: k}
						w.insert(want[k])
					case held && rnd.IntN(10) >= grow:
						delete(want, k)
						w.remove(e)
						w.remove(e) // once more: nothing happens
					}
					if step%100 == 0 {
						w.check(t, want)
					}
				}
			}
		}
		for k, e := range want {
			w.remove(e)
			delete(want, k)
		}
		w.check(t, want)
		if n := len(*x.table.Load()); n != minSlots || w.dead != 0 {
			t.Errorf("an empty index keeps %d slots and %d marks", n, w.dead)
		}
		if x.find(new(Key)) != nil {
			t.Error("the key of no page is found")
		}
	}
}

// TestIndexFindsWhatStays searches for keys that are there all the while, among neighbours that come and go and tables that are replaced:
// each is found every time, and a key that was never there never.
func TestIndexFindsWhatStays(t *testing.T) {
	seed := origintest.Seed(t)
	const stay, rounds = 30, 100
	var x index
	w := newIndexWriter(&x)
	churn := func(rnd *rand.Rand, n uint64) { // n more entries, then none of them
		var mine []*entry
		for i := range n {
			e := &entry{key: crowded(1000 + i)}
			mine = append(mine, e)
			w.insert(e)
		}
		rnd.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		for _, e := range mine {
			w.remove(e)
		}
	}
	for n := range uint64(stay) { // with holes between them
		between := &entry{key: crowded(500 + n)}
		w.insert(between)
		w.insert(&entry{key: crowded(n)})
		w.remove(between)
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for r := range 4 {
		readers.Go(func() {
			for n := uint64(r); ; n++ {
				k, never := crowded(n%stay), crowded(1<<40+n)
				if e := x.find(&k); e == nil || e.key != k {
					t.Errorf("%x is there and was not found", k)
					return
				}
				if x.find(&never) != nil {
					t.Errorf("%x was never there and was found", never)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range rounds {
		churn(rnd, 1+rnd.Uint64N(150))
	}
	close(stop)
	readers.Wait()
}
