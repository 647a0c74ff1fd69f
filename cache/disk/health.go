package disk

import (
	"sync/atomic"
	"time"
)

// health decides when a device is set aside. A read that failed or missed its deadline counts; failAfter of them in a row set the device aside:
// nothing is asked of it for a while, then one read in the background, which no caller waits for, finds out. Each failed probe doubles the
// while, from 1 s to 1 min; a device that comes back and fails again soon starts where it left off.
type health struct {
	failAfter int64

	failures atomic.Int64 // in a row
	until    atomic.Int64 // unix nanoseconds until which no probe is sent; 0: not set aside
	probing  atomic.Bool
	backoff  atomic.Int64 // nanoseconds, of the last time it was set aside
	since    atomic.Int64 // unix nanoseconds when it came back
}

const (
	firstBackoff = time.Second
	lastBackoff  = time.Minute
)

func (h *health) aside() bool { return h.until.Load() != 0 }

// ok counts an answer of the device itself; hits in the page cache say nothing about it.
func (h *health) ok() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}

// fail counts a failure; true if it has just set the device aside.
func (h *health) fail() bool {
	if h.failures.Add(1) < h.failAfter {
		return false
	}
	now := time.Now()
	d := firstBackoff
	if last := time.Duration(h.backoff.Load()); last != 0 && now.Sub(time.Unix(0, h.since.Load())) < lastBackoff {
		d = min(2*last, lastBackoff)
	}
	if !h.until.CompareAndSwap(0, now.Add(d).UnixNano()) {
		return false
	}
	h.backoff.Store(int64(d))
	return true
}

// startProbe reports whether the caller is the one that shall probe the device now.
func (h *health) startProbe() bool {
	until := h.until.Load()
	return until != 0 && time.Now().UnixNano() >= until && h.probing.CompareAndSwap(false, true)
}

func (h *health) endProbe(ok bool) {
	if ok {
		h.failures.Store(0)
		h.since.Store(time.Now().UnixNano())
		h.until.Store(0)
	} else {
		d := min(2*time.Duration(h.backoff.Load()), lastBackoff)
		h.backoff.Store(int64(d))
		h.until.Store(time.Now().Add(d).UnixNano())
	}
	h.probing.Store(false)
}
