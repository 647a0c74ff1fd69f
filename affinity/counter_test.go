package affinity

import (
	"fmt"
	"maps"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/internal/clocktest"
)

// ago makes a counter that began so long ago.
func ago(d time.Duration) *Counter {
	c := NewCounter()
	c.began = time.Now().Add(-d)
	return c
}

// about compares rates with what is wanted, within what a slow machine takes between two lines.
func about(t *testing.T, got map[uint64]float64, want map[uint64]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("rates %v, want %v", got, want)
		return
	}
	for k, w := range want {
		if g := got[k]; g > w || g < w*.9 {
			t.Errorf("section %d: %.3f times a second, want %.3f", k, g, w)
		}
	}
}

// TestRates: what was asked about often enough is told with how often, and counting begins anew.
func TestRates(t *testing.T) {
	c := ago(1000 * time.Second)
	for range 100 {
		c.Asked([]uint64{1, 2, 1})
	}
	c.Asked([]uint64{3})
	c.Asked(nil)
	about(t, c.Rates(.05), map[uint64]float64{1: .2, 2: .1})
	if got := c.Rates(0); len(got) != 0 {
		t.Errorf("told twice: %v", got)
	}
	c.began = time.Now().Add(-1000 * time.Second)
	c.Asked([]uint64{3})
	about(t, c.Rates(0), map[uint64]float64{3: .001})
}

// TestRatesAtOnce: asked and told within one tick of the clock, rates are numbers.
func TestRatesAtOnce(t *testing.T) {
	c := NewCounter()
	c.began = time.Now().Add(time.Hour)
	c.Asked([]uint64{7})
	if got := c.Rates(0)[7]; got != 1000 || math.IsInf(got, 0) {
		t.Errorf("%v times a second", got)
	}
}

// TestLargeBatches: of each, an eighth is counted, for eight; over eight batches every section has its count.
func TestLargeBatches(t *testing.T) {
	keys := make([]uint64, countAll+countStep)
	for i := range keys {
		keys[i] = uint64(i)
	}
	c := ago(1000 * time.Second)
	for range 3 * countStep {
		c.Asked(keys)
	}
	got := c.Rates(0)
	if len(got) != len(keys) {
		t.Fatalf("%d sections of %d are told", len(got), len(keys))
	}
	for k, rate := range got {
		if rate > .024 || rate < .022 {
			t.Errorf("section %d: %.4f times a second, want .024", k, rate)
		}
	}
}

// TestCounterIsBounded: whatever is asked, it holds at most MaxCounted sections, and those that are asked about most are among them.
func TestCounterIsBounded(t *testing.T) {
	c, other := ago(1000*time.Second), uint64(1000)
	for range 60 {
		batch := []uint64{}
		for len(batch) < countAll*countStep {
			batch = append(batch, 1, 1, 2, other, other+1, other+2, other+3, other+4)
			other += 5
		}
		for range countStep {
			c.Asked(batch)
		}
		if len(c.counts) > MaxCounted {
			t.Fatalf("%d sections are counted", len(c.counts))
		}
	}
	asked := 60. * countStep * countAll
	if got := c.Rates(0); got[1]*1000 < .9*2*asked || got[1]*1000 > 2*asked || got[2]*1000 < .9*asked || got[1] < 1.8*got[2] {
		t.Errorf("of %.0f and %.0f times the hottest two were asked about, %.0f and %.0f are told", 2*asked, asked, got[1]*1000, got[2]*1000)
	}
}

// TestCounterWhileTheClockJumps: rates are of the time that went by.
func TestCounterWhileTheClockJumps(t *testing.T) {
	for _, by := range []time.Duration{240 * time.Hour, -240 * time.Hour} {
		c := ago(100 * time.Second)
		c.began = clocktest.Jumped(c.began, by)
		c.Asked([]uint64{1})
		about(t, c.Rates(0), map[uint64]float64{1: .01})
	}
}

// TestCounterInParallel: nothing that is asked is lost, and nothing told twice.
func TestCounterInParallel(t *testing.T) {
	c := NewCounter()
	var workers sync.WaitGroup
	told := map[uint64]float64{}
	for g := range uint64(4) {
		workers.Go(func() {
			for range 1000 {
				c.Asked([]uint64{g, 99})
			}
		})
	}
	workers.Wait()
	c.mu.Lock()
	for k, n := range c.counts {
		told[k] = float64(n)
	}
	c.mu.Unlock()
	if want := map[uint64]float64{0: 1000, 1: 1000, 2: 1000, 3: 1000, 99: 4000}; !maps.Equal(told, want) {
		t.Error(fmt.Sprint(told))
	}
}
