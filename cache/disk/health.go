package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
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

// readAnything reads a piece of a random segment from the device. Without a segment it tries the path.
func (t *Tier) readAnything() error {
	t.mu.Lock()
	var seg *segment
	seen := 0
	for _, s := range t.segments {
		if s.file == nil || s.is(stateActive) && len(t.segments) > 1 {
			continue
		}
		if seen++; rand.IntN(seen) == 0 {
			seg = s
		}
	}
	held := seg != nil && seg.hold()
	t.mu.Unlock()
	if !held {
		return t.tryPath()
	}
	defer t.release(seg)
	size, err := seg.file.Size()
	if err != nil {
		return err
	}
	b := make([]byte, 4096)
	if _, err = seg.file.ReadAt(b, rand.Int64N(max(size-int64(len(b)), 1))); err == io.EOF {
		err = nil
	}
	return err
}

// probeFile is made by tryPath.
const probeFile = "alio-probe.tmp"

// tryPath writes a small file under the path, makes it durable and removes it.
func (t *Tier) tryPath() error {
	path := filepath.Join(t.o.Dir, probeFile)
	_ = t.o.FS.Remove(path) // left over
	f, err := t.o.FS.Create(path, 0o640)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 4096), 0)
	return errors.Join(err, f.Sync(), f.Close(), t.o.FS.Remove(path))
}
