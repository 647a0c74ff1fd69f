package affinity

import (
	"sync"
	"time"
)

// Counter counts how often sections are asked about. It forgets the rare ones when it holds too many: what is asked about less than once in MaxCounted times may be missing.
type Counter struct {
	mu     sync.Mutex
	counts map[uint64]uint32
	began  time.Time
	round  uint32 // which of a large batch's keys are counted
}

// The limits of a Counter.
const (
	MaxCounted = 32 << 10 // sections
	countAll   = 256      // keys in a batch of which all are counted; of larger ones each eighth, for eight
	countStep  = 8
)

// NewCounter makes an empty Counter.
func NewCounter() *Counter { return &Counter{counts: map[uint64]uint32{}, began: time.Now()} }

// Asked counts a batch.
func (c *Counter) Asked(keys []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(keys) <= countAll {
		for _, k := range keys {
			c.counts[k]++
		}
	} else {
		c.round++
		for i := int(c.round % countStep); i < len(keys); i += countStep {
			c.counts[keys[i]] += countStep
		}
	}
	for len(c.counts) > MaxCounted { // lossy counting (Manku and Motwani, 2002): all lose one, and who has none left goes
		for k := range c.counts {
			if c.counts[k] <= countStep {
				delete(c.counts, k)
			} else {
				c.counts[k] -= countStep
			}
		}
	}
}

// Rates are the sections that were asked about at least least times a second since Rates was called before, with how often; counting begins anew.
func (c *Counter) Rates(least float64) map[uint64]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	seconds := max(time.Since(c.began).Seconds(), 0.001)
	out := map[uint64]float64{}
	for k, n := range c.counts {
		if rate := float64(n) / seconds; rate >= least {
			out[k] = rate
		}
	}
	c.counts, c.began = map[uint64]uint32{}, time.Now()
	return out
}
