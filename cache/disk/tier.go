package disk

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/cache"
)

// closeWait is how long Close and the end of Run wait for a writer that hangs in the device.
const closeWait = 10 * time.Second

var errNotRunnable = errors.New("disk: Run needs an open Tier that is not running")

// Tier is the disk tier on one directory. The order is New, Open, Run (which blocks), Close. Between Open and Close all methods of
// cache.Disk may be called in parallel; before Open and after Close reads are cache.ErrSick and writes are shed.
type Tier struct {
	o           Options
	index       index
	table       segmentTable
	queue       queue
	buffers     bufferPool
	health      health
	metrics     *metrics
	ownsMetrics bool          // and unregisters them
	slow        chan struct{} // a token for each read that waits for the device
	slowDone    atomic.Int64  // how many such reads have ended
	number      uint16        // of the directory, in places
	retired     *retiredLog
	punch       punchState

	used  atomic.Int64 // bytes of the device, as they are charged; never above Options.Size
	dying atomic.Int64 // of these, bytes of removed segments that have not yet given their room back

	open       atomic.Bool // between Open and Close
	pauseUntil atomic.Int64
	writing    atomic.Int64 // unix nanoseconds since when the writer is at one page; 0 while it has nothing to do
	lastLog    atomic.Int64 // unix nanoseconds of the last log line about corrupt pages
	instance   uint64
	device     uint64 // the file system of the directory, since Open
	w          *writer

	mu         sync.Mutex
	started    bool          // Open was called
	closed     bool          // Close was called
	running    chan struct{} // closed when Run's writer has ended; nil if Run was not called
	segments   []*segment    // every one that is not unlinked, in the order of seq
	dead       []*segment    // nobody here holds them any more; the writer buries them
	unlinked   int
	lock       io.Closer
	id         string // the directory's identity
	recovery   Recovery
	stop       chan struct{} // closed by Close
	deadSignal chan struct{}
	ended      chan struct{} // closed when all that Close has to do is done
	closing    sync.Once
	closeErr   error

	// The writer's.
	graves     []*segment // dead, and not yet closed
	graveBytes int64      // what they count as
}

var _ cache.Disk = (*Tier)(nil)

// New checks the options and registers the metrics. It touches no file and starts nothing.
func New(o Options) (*Tier, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o)
	if err != nil {
		return nil, err
	}
	t, err := newTier(o, 0, newRetiredLog(), m)
	if err != nil {
		m.unregister()
		return nil, err
	}
	t.ownsMetrics = true
	m.tier.Store(t)
	return t, nil
}

// newTier makes a tier that counts in metrics, and tells retirements to a log, that may outlive it.
func newTier(o Options, number uint16, retired *retiredLog, m *metrics) (*Tier, error) {
	o = o.withDefaults()
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	t := &Tier{
		o: o, instance: binary.LittleEndian.Uint64(random[:]), number: number, retired: retired, metrics: m,
		slow: make(chan struct{}, o.Readers), stop: make(chan struct{}), deadSignal: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	t.queue.init(o.WriteQueue)
	t.health.failAfter = int64(o.FailAfter)
	t.w = newWriter(t)
	return t, nil
}

// Open locks the directory and recovers what it holds. It reads indexes, not data, except in segments that were not sealed. ctx
// is looked at between segments. A failed Open has closed the Tier.
func (t *Tier) Open(ctx context.Context) error {
	t.mu.Lock()
	again := t.started || t.closed
	t.started = true
	t.mu.Unlock()
	if again {
		return errors.New("disk: Open was called twice or after Close")
	}
	start := time.Now()
	err := t.prepareDir()
	if err == nil {
		err = t.recoverSegments(ctx)
	}
	if err != nil {
		_ = t.Close() // unlocks
		return err
	}
	t.mu.Lock()
	t.recovery.Took = time.Since(start)
	t.mu.Unlock()
	t.open.Store(true)
	return nil
}

// Run writes what is queued until ctx ends or Close is called, and returns nil then. It returns an error if the device hangs so
// that the writer cannot be stopped.
func (t *Tier) Run(ctx context.Context) error {
	t.mu.Lock()
	if !t.open.Load() || t.running != nil || t.closed {
		t.mu.Unlock()
		return errNotRunnable
	}
	done := make(chan struct{})
	t.running = done
	t.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(done)
		t.w.run(ctx)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	case <-t.stop:
		cancel()
	}
	t.queue.shut()
	return t.waitWriter(done)
}

func (t *Tier) waitWriter(done <-chan struct{}) error {
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("disk: %s: the device has not answered a write for %v", t.o.Dir, closeWait)
	}
}

// Close stops the writer, drops what is still queued, seals the active segments and unlocks the directory. It is safe twice, and after a
// failed Open. If the device hangs it gives up after 10 s with an error; the rest is done when the device answers, and until then the
// directory stays locked.
func (t *Tier) Close() error {
	t.closing.Do(func() { t.closeErr = t.close() })
	return t.closeErr
}

func (t *Tier) close() error {
	t.open.Store(false)
	close(t.stop)
	t.mu.Lock()
	running := t.running
	t.mu.Unlock()
	t.queue.shut()
	if t.ownsMetrics {
		t.metrics.unregister()
	}
	var err error // the goroutine's until it has ended
	go func() {
		defer close(t.ended)
		if running != nil {
			<-running
		}
		t.dropQueue()
		t.w.sealAll()
		err = t.closeFiles()
	}()
	if hung := t.waitWriter(t.ended); hung != nil {
		t.dropQueue() // their pages are needed elsewhere
		t.index.clear()
		return hung
	}
	return err
}

func (t *Tier) dropQueue() {
	for _, it := range t.queue.drain() {
		it.finish(false)
	}
}

// closeFiles is the end of a tier whose writer has stopped.
func (t *Tier) closeFiles() error {
	t.mu.Lock()
	t.closed = true
	segments, lock := t.segments, t.lock
	t.segments, t.lock = nil, nil
	t.mu.Unlock()
	t.index.clear()
	t.reapAll()
	for _, s := range segments {
		t.release(s)
	}
	if lock == nil {
		return nil
	}
	return lock.Close()
}

// Contains implements cache.Disk.
func (t *Tier) Contains(k cache.Key) bool { return t.index.contains(k) }

// Write implements cache.Disk. The page is shed when the queue is full, the device is set aside, the writer hangs, or writing is paused after
// a failure.
// done runs on the writer's goroutine, or on Close's: it must be quick and must not call Close.
func (t *Tier) Write(k cache.Key, class uint8, data []byte, done func(stored bool)) bool {
	if len(data) > 0 && len(data) <= cache.MaxPage && t.writable() &&
		t.queue.push(item{key: k, class: class, data: data, done: done}) {
		return true
	}
	t.metrics.shed.Inc()
	return false
}

// writable says whether pages are taken.
func (t *Tier) writable() bool {
	return t.open.Load() && !t.paused() && !t.health.aside() && !t.stalled()
}

// stalled says whether the writer hangs in the device.
func (t *Tier) stalled() bool {
	since := t.writing.Load()
	return since != 0 && time.Now().UnixNano()-since > int64(t.o.WriteDeadline)
}

func (t *Tier) paused() bool {
	until := t.pauseUntil.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// Stats is a Tier's state at one moment.
type Stats struct {
	Pages      int            // readable pages
	IndexBytes int64          // memory of the index
	Bytes      int64          // of the device, all that is counted against the limit
	LiveBytes  int64          // of the device, that hold readable pages
	Size       int64          // the limit
	QueueBytes int64          // pages that wait to be written
	Segments   map[string]int // by state: active, sealed, abandoned, unknown, unlinked
	SetAside   bool           // the device fails and is not asked
	Recovery   Recovery
}

// Recovery says what Open found.
type Recovery struct {
	Took      time.Duration
	Pages     int // readable pages
	Sealed    int // segments opened by their index
	Scanned   int // segments without a whole index, whose records were read and checked
	Skipped   int // segments of an unknown format, left alone until their room is needed
	Discarded int // segments with nothing readable in them, removed
}

// Stats returns the state. It costs microseconds; it is not for every request.
func (t *Tier) Stats() Stats {
	s := Stats{Bytes: t.used.Load(), Size: t.o.Size, QueueBytes: t.queue.size(), SetAside: t.health.aside(), Segments: map[string]int{}}
	s.Pages, s.IndexBytes = t.index.sizes()
	for _, name := range stateNames {
		s.Segments[name] = 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Recovery = t.recovery
	for _, seg := range t.segments {
		s.Segments[stateNames[seg.state.Load()]]++
		s.LiveBytes += seg.live.Load()
	}
	s.Segments[stateNames[stateUnlinked]] = t.unlinked
	return s
}
