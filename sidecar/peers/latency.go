package peers

import (
	"sync"
	"time"
)

// The hedge's bounds, beside Options.Patience: above the most a reader would rather have asked the origin at once.
const (
	firstHedge = 20 * time.Millisecond
	mostHedge  = 200 * time.Millisecond
)

// latency follows the 95th percentile of how long a peer takes, without keeping what it saw: each answer that was slower moves the figure up by 19 times what
// one that was faster moves it down, so that it rests where one in twenty is slower (Ma, Muthukrishnan and Sandler, "Frugal Streaming for Estimating
// Quantiles", 2013, here in proportions instead of units). To ask somebody else after that percentile is Dean and Barroso's hedged request ("The Tail at
// Scale", 2013): about a twentieth more requests for the slowest answers.
type latency struct {
	least time.Duration // that a peer is waited for

	mu sync.Mutex
	p  float64 // seconds; 0: nothing was seen yet
}

// share is the percentile.
const share = 0.95

// step is how far one answer moves the figure.
const step = 0.02

// saw notes how long an answer took.
func (l *latency) saw(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s := took.Seconds(); {
	case l.p == 0:
		l.p = 2 * s
	case s > l.p:
		l.p *= 1 + step*share/(1-share)
	default:
		l.p /= 1 + step
	}
	l.p = min(max(l.p, l.least.Seconds()/2), 2*max(mostHedge, l.least).Seconds())
}

// hedge is how long to wait for an answer before somebody else is asked.
func (l *latency) hedge() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.p == 0 {
		return max(firstHedge, l.least)
	}
	return max(min(time.Duration(l.p*float64(time.Second)), mostHedge), l.least)
}
