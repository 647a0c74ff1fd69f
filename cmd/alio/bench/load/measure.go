package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Reader reads ranges of a data set by one path, on behalf of one goroutine. One whose Read may wait for somebody is an Interrupter too.
type Reader interface {
	// Prepare makes everything ready to read n bytes from a place, within one object: it is not timed.
	Prepare(at int64, n int) error
	// Read reads what was prepared. The bytes are the Reader's, until the next call.
	Read() ([]byte, error)
	Close() error
}

// Interrupter ends a Read that waits, and those that follow, with an error. It is called from another goroutine.
type Interrupter interface{ Interrupt() }

// Cell is one measurement: so many readers, each with a Reader of its own, read blocks of one size for a time.
type Cell struct {
	Data     Data
	Bytes    int
	Readers  int
	Access   Access
	Duration time.Duration
	Seed     uint64 // equal seeds read equal ranges
	// Dial makes a Reader. It is called Readers times, before the time begins.
	Dial func() (Reader, error)
	// Around, if not nil, is called right before the first timed read and right after the last, when no reader runs.
	Around func(done bool) error
}

// Result is what one Cell came to.
type Result struct {
	Latencies Latencies     // of single reads, from the request to the last byte
	Reads     int64         // that were timed
	Bytes     int64         // they returned
	Wall      time.Duration // from the start to when the last reader stopped; it holds what is not in Latencies too: signing, checking
	Mallocs   uint64        // of this process meanwhile
}

// GBPerSecond is the throughput of all readers together, 10^9 bytes.
func (r *Result) GBPerSecond() float64 { return float64(r.Bytes) / 1e9 / r.Wall.Seconds() }

const (
	// Every answer is glanced at, and one in so many is compared whole; both outside of what Latencies holds.
	checkWhole = 64
	// Each reader first makes so many reads whose every byte is compared and which do not count.
	warmReads = 8
)

// Measure runs a cell. It returns early, with ctx's error, when ctx ends; a wrong byte is an error too.
func Measure(ctx context.Context, c Cell) (*Result, error) {
	workers, err := c.dial()
	defer func() {
		for _, w := range workers {
			w.reader.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { // a reader that waits for an answer is not kept waiting
		for _, w := range workers {
			if i, ok := w.reader.(Interrupter); ok {
				i.Interrupt()
			}
		}
	})()
	if err := all(ctx, workers, (*worker).warm); err != nil {
		return nil, err
	}
	if err := c.around(false); err != nil {
		return nil, err
	}
	before := mallocs()
	start := time.Now()
	err = all(ctx, workers, func(w *worker, stop *atomic.Bool) error { return w.run(start.Add(c.Duration), stop) })
	wall := time.Since(start)
	after := mallocs()
	if err := errors.Join(err, c.around(true)); err != nil {
		return nil, err
	}
	r := &Result{Wall: wall, Mallocs: after - before - min(after-before, mallocsOf(c.Readers))}
	for _, w := range workers {
		r.Latencies.Merge(&w.latencies)
	}
	r.Reads = r.Latencies.Count()
	r.Bytes = r.Reads * int64(c.Bytes)
	return r, nil
}

func (c Cell) around(done bool) error {
	if c.Around == nil {
		return nil
	}
	return c.Around(done)
}

func (c Cell) dial() ([]*worker, error) {
	var workers []*worker
	for i := range c.Readers {
		ranges, err := NewRanges(c.Data, c.Bytes, c.Access, SeedOf(c.Seed, i))
		if err != nil {
			return workers, err
		}
		r, err := c.Dial()
		if err != nil {
			return workers, err
		}
		workers = append(workers, &worker{data: c.Data, bytes: c.Bytes, ranges: ranges, reader: r})
	}
	return workers, nil
}

// all runs f for each worker in parallel. The first error stops the others, and is returned; ctx's own goes before it.
func all(ctx context.Context, workers []*worker, f func(*worker, *atomic.Bool) error) error {
	var wg sync.WaitGroup
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	errs := make([]error, len(workers))
	for i, w := range workers {
		wg.Go(func() {
			if errs[i] = f(w, &stop); errs[i] != nil {
				stop.Store(true)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// worker is one reader with what it draws and counts.
type worker struct {
	data      Data
	bytes     int
	ranges    *Ranges
	reader    Reader
	latencies Latencies
}

func (w *worker) warm(stop *atomic.Bool) error {
	for range warmReads {
		if stop.Load() {
			return nil
		}
		at := w.ranges.Next()
		if _, err := w.one(at, true); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) run(end time.Time, stop *atomic.Bool) error {
	for n := 1; !stop.Load(); n++ {
		took, err := w.one(w.ranges.Next(), n%checkWhole == 0)
		if err != nil {
			return err
		}
		w.latencies.Add(took)
		if time.Now().After(end) {
			return nil
		}
	}
	return nil
}

// one makes one read and checks it.
func (w *worker) one(at int64, whole bool) (time.Duration, error) {
	if err := w.reader.Prepare(at, w.bytes); err != nil {
		return 0, err
	}
	start := time.Now()
	b, err := w.reader.Read()
	took := time.Since(start)
	switch {
	case err != nil:
	case len(b) != w.bytes:
		err = fmt.Errorf("%d bytes were read, and not %d", len(b), w.bytes)
	case whole:
		err = w.data.Check(b, at)
	default:
		err = w.data.Glance(b, at)
	}
	if err != nil {
		return took, fmt.Errorf("read of %d bytes at %d of %s: %w", w.bytes, at%w.data.ObjectSize, w.data.Name(int(at/w.data.ObjectSize)), err)
	}
	return took, nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// mallocsOf is what the loop itself allocates for its goroutines: closures, the list of errors, the timer. Measured as an upper bound; a path that
// allocates once a read makes thousands.
func mallocsOf(readers int) uint64 { return 16 + 4*uint64(readers) }
