package freshness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mapStore is a Store in memory whose look-ups take time.
type mapStore struct {
	delay time.Duration

	mu      sync.Mutex
	kept    map[string]Answer[int]
	refuse  bool
	loads   int
	forgets int
}

func (m *mapStore) Load(key string) (Answer[int], bool) {
	m.mu.Lock()
	m.loads++
	a, ok := m.kept[key]
	m.mu.Unlock()
	if m.delay > 0 {
		advance(m.delay)
	}
	return a, ok
}

func (m *mapStore) Keep(key string, a Answer[int]) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse {
		return false
	}
	if !m.kept[key].Sent.After(a.Sent) {
		m.kept[key] = a
	}
	return true
}

func (m *mapStore) Forget(key string) func() { return m.ForgetBelow(key) }

func (m *mapStore) ForgetBelow(prefix string) func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgets++
	for key := range m.kept {
		if strings.HasPrefix(key, prefix) {
			delete(m.kept, key)
		}
	}
	return func() {}
}

func storedBook(limit int64, m *mapStore) *Book[int] {
	m.kept = map[string]Answer[int]{}
	return NewBook(Options[int]{
		Limit: limit, Weigh: func(string, int) int64 { return 1 }, Keep: func(err error) bool { return errors.Is(err, errGone) }, Store: m,
		Persist: func(_ string, a Answer[int]) bool { return a.Err == nil }, Same: func(a, b int) bool { return a == b },
	})
}

var errGone = errors.New("gone")

func never(context.Context) (int, error) { return 0, errors.New("asked") }

func TestWhatFallsOutOfMemoryComesBackFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mapStore{}
		b := storedBook(2, m)
		first := time.Now()
		b.Confirm("k", 7, first)
		advance(time.Second)
		b.Confirm("k", 7, time.Now()) // the same again: the store learns the time when it leaves memory
		if !m.kept["k"].Sent.Equal(first) {
			t.Error("every confirmation is written")
		}
		for i := range 3 {
			b.Confirm(fmt.Sprint("other", i), i, time.Now())
		}
		advance(time.Second)
		if a, asked, err := b.Get(t.Context(), "k", within(1500*time.Millisecond), never); a.Value != 7 || asked || err != nil {
			t.Errorf("got %+v, %v, %v", a, asked, err)
		}
		if n, _ := b.Usage(); n != 2 {
			t.Errorf("%d answers in memory", n)
		}
	})
}

func TestAnAnswerOfAnEarlierProcessServesOnlyForever(t *testing.T) {
	m := &mapStore{}
	b := storedBook(10, m)
	m.kept["k"] = Answer[int]{Value: 7} // its time is unknown
	if a, _, err := b.Get(t.Context(), "k", within(Forever), never); a.Value != 7 || err != nil {
		t.Errorf("got %+v, %v", a, err)
	}
	if a, asked, _ := b.Get(t.Context(), "k", within(100*365*24*time.Hour), func(context.Context) (int, error) { return 8, nil }); a.Value != 8 || !asked {
		t.Errorf("got %+v without asking", a)
	}
	if m.kept["k"].Value != 8 {
		t.Error("the store was not told")
	}
}

func TestReadersShareALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mapStore{delay: time.Second}
		b := storedBook(10, m)
		m.kept["k"] = Answer[int]{Value: 7}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { b.Get(t.Context(), "k", within(Forever), never) })
		}
		wg.Wait()
		if m.loads != 1 {
			t.Errorf("%d looks", m.loads)
		}
	})
}

func TestALookThatAFenceOvertakesBringsNothing(t *testing.T) {
	for name, fence := range map[string]func(*Book[int]){
		"one":   func(b *Book[int]) { b.Fence("dir/k")() },
		"below": func(b *Book[int]) { b.FenceBelow("dir/")() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &mapStore{delay: time.Second}
				b := storedBook(10, m)
				m.kept["dir/k"] = Answer[int]{Value: 7}
				var wg sync.WaitGroup
				ask := func(context.Context) (int, error) { return 8, nil }
				wg.Go(func() { b.Get(t.Context(), "dir/k", within(Forever), ask) })
				advance(500 * time.Millisecond)
				fence(b)
				wg.Wait()
				if a, _, _ := b.Get(t.Context(), "dir/k", within(Forever), ask); a.Value != 8 {
					t.Errorf("what was looked up before a fence is believed after it: %d", a.Value)
				}
				if m.forgets != 1 {
					t.Errorf("the store was told %d times", m.forgets)
				}
			})
		})
	}
}

func TestNotFoundTakesTheOlderAnswerOutOfTheStore(t *testing.T) {
	m := &mapStore{}
	b := storedBook(10, m)
	b.Confirm("k", 7, time.Now())
	b.Get(t.Context(), "k", within(Never), func(context.Context) (int, error) { return 0, errGone })
	if _, ok := m.kept["k"]; ok {
		t.Error("an object that is gone is still known")
	}
}

// A listing of a million must not cost what readers come back to, with a store, without one, and with one that takes nothing.
func TestHintsDoNotPushOutWhatIsHot(t *testing.T) {
	const limit, hot, listed = 1000, 500, 100_000
	for name, store := range map[string]*mapStore{"no store": nil, "store": {}, "store refuses": {refuse: true}} {
		t.Run(name, func(t *testing.T) {
			b := newBook(limit)
			if store != nil {
				b = storedBook(limit, store)
				store.refuse = name == "store refuses"
			}
			for i := range hot {
				b.Confirm(fmt.Sprint("hot", i), i, time.Now())
			}
			for i := range listed {
				b.Hint(fmt.Sprint("listed", i), i, time.Now())
			}
			lost := 0
			for i := range hot {
				if _, ok := b.Peek(fmt.Sprint("hot", i)); !ok {
					lost++
				}
			}
			if lost > 0 {
				t.Errorf("%d of %d answers that were asked for are gone", lost, hot)
			}
			n, bytes := b.Usage()
			if bytes > limit || n > hot+limit/4 {
				t.Errorf("%d answers, %d bytes in memory", n, bytes)
			}
			last := fmt.Sprint("listed", listed-1)
			if _, asked, err := b.Get(t.Context(), last, within(Forever), never); asked || err != nil {
				t.Errorf("what was listed last is not known: %v", err)
			}
		})
	}
}

// Readers, writers and listings at random over a book whose memory holds next to nothing: nobody gets a value that was replaced before a fence
// that was down when he came, or longer than max_age ago.
func TestRandomReadersOverAStore(t *testing.T) {
	seed := seedFor(t)
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := &mapStore{delay: 3 * time.Millisecond}
		b := storedBook(2, m)
		var mu sync.Mutex
		value, atLeast := map[string]int{}, map[string]int{}
		replaced := map[string]time.Time{} // "key value": when it ceased to be the present one
		write := func(key string) {
			mu.Lock()
			defer mu.Unlock()
			replaced[fmt.Sprint(key, value[key])] = time.Now()
			value[key]++
		}
		read := func(key string) int {
			mu.Lock()
			defer mu.Unlock()
			return value[key]
		}
		var wg sync.WaitGroup
		for range 4000 {
			key := fmt.Sprint("k", rng.IntN(5))
			switch rng.IntN(12) {
			case 0:
				write(key)
			case 1:
				b.Fence(key)()
				write(key)
				b.Fence(key)()
				mu.Lock()
				atLeast[key] = value[key]
				mu.Unlock()
			case 2:
				wg.Go(func() {
					sent := time.Now()
					v := read(key)
					advance(10 * time.Millisecond)
					b.Hint(key, v, sent)
				})
			default:
				age := time.Duration(rng.IntN(4)) * 15 * time.Millisecond
				mu.Lock()
				arrived, least := time.Now(), atLeast[key]
				mu.Unlock()
				wg.Go(func() {
					a, _, err := b.Get(t.Context(), key, within(age), func(context.Context) (int, error) {
						advance(6 * time.Millisecond)
						v := read(key)
						advance(6 * time.Millisecond)
						return v, nil
					})
					mu.Lock()
					defer mu.Unlock()
					if gone, ok := replaced[fmt.Sprint(key, a.Value)]; ok && gone.Before(arrived.Add(-age)) {
						t.Errorf("%s: %d was replaced %v before the reader came; max_age %v (ALIO_SEED=%d)", key, a.Value, arrived.Sub(gone), age, seed)
					}
					if a.Value < least || err != nil {
						t.Errorf("%s: %d from before the fence of %d, %v (ALIO_SEED=%d)", key, a.Value, least, err, seed)
					}
				})
			}
			advance(time.Duration(rng.IntN(6)) * time.Millisecond)
		}
		wg.Wait()
	})
}
