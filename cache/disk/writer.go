package disk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
)

const (
	flushAt    = 1 << 20 // bytes of records that are written in one call
	firstPause = 100 * time.Millisecond
	lastPause  = time.Minute
)

// Why a page is not written. They end in the log and the failed counter.
var (
	errNoRoom = errors.New("no room: everything that could be evicted is held by readers, or other files fill the directory")
	errPaused = errors.New("writing is paused after a failure")

	errPageTooLarge = errors.New("the page does not fit a segment")
)

// writer appends pages to the active segments, seals them and makes room. One goroutine at a time uses it: Run's, or Open and Close when
// that does not run.
type writer struct {
	t       *Tier
	policy  evictionPolicy
	active  [streams]*segment
	apart   bool  // the streams have segments of their own
	hotFull bool  // what is carried found no room: the hot stream wants a new segment
	stuck   int64 // bytes of removed segments whose readers hang
	seq     uint64
	pause   time.Duration // how long the last pause was; 0 after a success

	// What is encoded but not yet written, all of it for one segment.
	buf     []byte
	bufFor  *segment
	pending []pendingPage
	inBuf   map[cache.Key]struct{}
}

// pendingPage is a page in the buffer.
type pendingPage struct {
	loc  segfile.Location
	done func(stored bool)
	from *segment // a carried page's segment until now, else nil
	old  int64    // where it lies there
}

func newWriter(t *Tier) *writer {
	return &writer{t: t, policy: defaultPolicy, apart: t.o.Size >= multiStreamFrom*t.o.charge(), inBuf: map[cache.Key]struct{}{}}
}

// run writes what is queued until ctx ends.
func (w *writer) run(ctx context.Context) {
	reap := time.NewTimer(0)
	defer reap.Stop()
	for {
		if at, ok := w.t.nextReap(); ok {
			reap.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-w.t.deadSignal:
			w.t.reap()
		case <-reap.C:
			w.t.reap()
		case <-w.t.queue.signal:
			for ctx.Err() == nil {
				batch := w.t.queue.take(flushAt)
				if len(batch) == 0 {
					break
				}
				w.writeBatch(batch)
				w.t.queue.release(batch)
				w.t.reap()
			}
		}
	}
}

// writeBatch writes items, those of one stream together so that they go out in few calls.
func (w *writer) writeBatch(batch []item) {
	defer w.t.writing.Store(0)
	for s := range streams {
		for _, it := range batch {
			if w.streamOf(it.class) == s {
				w.t.writing.Store(time.Now().UnixNano())
				w.store(s, it)
			}
		}
		w.flush()
	}
}

func (w *writer) streamOf(class uint8) stream {
	if w.apart && w.t.o.Protected(class) {
		return protectedStream
	}
	return probation
}

// store puts one page into the buffer, and calls its done now or when the buffer is written.
func (w *writer) store(s stream, it item) {
	_, waiting := w.inBuf[it.key]
	if waiting {
		w.flush() // so that done tells the truth
	}
	if w.t.index.contains(it.key) {
		w.t.metrics.duplicate.Inc()
		it.finish(true)
		return
	}
	if w.t.paused() {
		w.t.metrics.failed.Inc()
		it.finish(false)
		return
	}
	seg, err := w.segmentFor(s, len(it.data))
	if err != nil {
		w.failed(err)
		w.t.metrics.failed.Inc()
		it.finish(false)
		return
	}
	w.append(seg, pendingPage{loc: segfile.Location{Key: it.key, Length: len(it.data), Class: it.class}, done: it.done}, it.data)
}

// append encodes a page at the end of a segment that has room for it.
func (w *writer) append(seg *segment, p pendingPage, data []byte) {
	if w.bufFor != seg {
		w.flush()
		w.bufFor = seg
	}
	p.loc.Off = seg.end + int64(len(w.buf))
	w.buf = segfile.AppendRecord(w.buf, seg.seed, p.loc.Off, p.loc.Key, p.loc.Class, data)
	w.pending = append(w.pending, p)
	w.inBuf[p.loc.Key] = struct{}{}
	if len(w.buf) >= flushAt {
		w.flush()
	}
}

// fits says whether a segment still has room for a page and for its line in the index.
func (w *writer) fits(seg *segment, length int) bool {
	if seg == nil {
		return false
	}
	end, pages := seg.end, len(seg.listed)+1
	if w.bufFor == seg {
		end, pages = end+int64(len(w.buf)), pages+len(w.pending)
	}
	return end+segfile.RecordSize(length)+segfile.FooterSize(pages) <= w.t.o.SegmentSize
}

// segmentFor returns the stream's active segment with room for a page, sealing a full one and making the next.
func (w *writer) segmentFor(s stream, length int) (*segment, error) {
	if segfile.HeaderSize+segfile.RecordSize(length)+segfile.FooterSize(1) > w.t.o.SegmentSize {
		return nil, errPageTooLarge
	}
	for range 3 { // what is carried into a new segment may fill it
		if w.fits(w.active[s], length) {
			return w.active[s], nil
		}
		w.flush()
		w.seal(s)
		if w.t.paused() {
			return nil, errPaused
		}
		if err := w.waitRoom(); err != nil {
			return nil, err
		}
		if err := w.create(s); err != nil {
			return nil, err
		}
		w.restoreRoom(s)
	}
	return nil, errNoRoom
}

// flush writes the buffer and publishes its pages, or fails them all and gives their segment up.
func (w *writer) flush() {
	seg, pages, buf := w.bufFor, w.pending, w.buf
	if seg == nil {
		return
	}
	w.bufFor = nil
	clear(w.inBuf)
	if _, err := seg.file.WriteAt(buf, seg.end); err != nil {
		for _, p := range pages {
			if p.from == nil {
				w.t.metrics.failed.Inc()
			}
			p.finish(false)
		}
		w.giveUp(seg, err)
	} else {
		w.published(seg, pages, int64(len(buf)))
	}
	clear(pages)
	w.pending, w.buf = pages[:0], buf[:0]
}

func (p pendingPage) finish(stored bool) {
	if p.done != nil {
		p.done(stored)
	}
}

// published puts pages that are written into the index.
func (w *writer) published(seg *segment, pages []pendingPage, written int64) {
	w.pause = 0
	seg.end += written
	w.t.metrics.written.Add(float64(written))
	for _, p := range pages {
		seg.listed = append(seg.listed, p.loc)
		e := newEntry(p.loc, seg.slot)
		if p.from != nil {
			if moved, touched := w.t.index.move(e, p.from.slot, p.old); moved {
				p.from.lose(p.loc.Length, touched)
				seg.gain(p.loc.Length)
				w.t.metrics.carried.Add(float64(p.loc.Length))
			}
			continue
		}
		seg.gain(p.loc.Length) // before a reader can find it and lose it again
		if !w.t.index.insert(e) {
			seg.lose(p.loc.Length, false)
		}
		w.t.metrics.stored.Inc()
		w.t.metrics.admitted.Add(float64(p.loc.Length))
		p.finish(true)
	}
}

// create makes the stream's next active segment. The caller has seen that there is room for it.
func (w *writer) create(s stream) error {
	t := w.t
	w.seq++ // also after a failure: no name is used twice
	seg := &segment{header: segfile.Header{Instance: t.instance, Seq: w.seq, Created: time.Now().Unix(), Stream: uint8(s)}, end: segfile.HeaderSize}
	seg.seed, seg.path = seg.header.Seed(), t.segmentPath(t.instance, w.seq)
	seg.charge.Store(t.o.charge())
	f, err := t.o.FS.Create(seg.path, 0o640)
	if err != nil {
		return err
	}
	seg.file = f
	t.used.Add(seg.charge.Load())
	if err = t.sameDevice(seg.path); err == nil {
		err = f.Preallocate(t.o.SegmentSize)
	}
	if err == nil {
		_, err = f.WriteAt(seg.header.Encode(), 0)
	}
	if err == nil && !t.table.add(seg) {
		err = errors.New("too many segments")
	}
	if err != nil {
		_ = f.Truncate(0)
		err = errors.Join(err, f.Close())
		if rm := t.o.FS.Remove(seg.path); rm == nil {
			t.used.Add(-seg.charge.Load())
		} // else it counts until the next start
		return err
	}
	if t.punch.unknown() {
		t.probePunch() // the device may have been full at the start
	}
	t.mu.Lock()
	t.segments = append(t.segments, seg)
	t.mu.Unlock()
	w.active[s] = seg
	return nil
}

// seal ends the stream's active segment: what it holds is made durable, then its index, so that an index that is there stands for data
// that is there. An empty one is removed. On failure the segment is given up.
func (w *writer) seal(s stream) {
	seg := w.active[s]
	if seg == nil {
		return
	}
	if len(seg.listed) == 0 {
		w.active[s] = nil
		seg.set(stateAbandoned)
		_ = w.remove(seg, nil, true) // on failure it stays counted, and is a victim like others
		return
	}
	if err := w.writeIndex(seg); err != nil {
		w.giveUp(seg, err)
		return
	}
	w.active[s] = nil
}

func (w *writer) writeIndex(seg *segment) error {
	sync := func() error { return nil }
	if w.t.o.Sync == SyncAtSeal {
		sync = seg.file.Sync
	}
	if err := sync(); err != nil {
		return err
	}
	footer := segfile.EncodeFooter(seg.header, seg.listed, seg.end)
	if _, err := seg.file.WriteAt(footer, seg.end); err != nil {
		return err
	}
	size := seg.end + int64(len(footer))
	if err := seg.file.Truncate(size); err != nil { // gives back what was preallocated
		return err
	}
	if err := sync(); err != nil {
		return err
	}
	if w.t.o.Sync == SyncAtSeal {
		if err := w.t.o.FS.SyncDir(filepath.Dir(seg.path)); err != nil {
			return err
		}
	}
	w.t.metrics.written.Add(float64(len(footer)))
	seg.size, seg.listed = size, nil
	w.recharge(seg, size)
	seg.set(stateSealed)
	return nil
}

// recharge counts a segment as what it takes, once that is known; never as more than before, for which room was made.
func (w *writer) recharge(seg *segment, size int64) {
	allocated, err := seg.file.Allocated()
	if err != nil {
		return
	}
	old := seg.charge.Load()
	charge := min(max(allocated, wholeBlocks(size)), old)
	seg.charge.Store(charge)
	w.t.used.Add(charge - old)
}

// giveUp ends an active segment that cannot be written any more. What was published stays readable; after a restart the records are
// scanned. Room that cannot be given back stays counted.
func (w *writer) giveUp(seg *segment, err error) {
	for s := range w.active {
		if w.active[s] == seg {
			w.active[s] = nil
		}
	}
	seg.set(stateAbandoned)
	if seg.file.Truncate(seg.end) == nil { // gives back what was preallocated, and what was half written
		w.recharge(seg, seg.end)
	}
	w.failed(fmt.Errorf("%s: %w", seg.path, err))
}

// failed pauses writing after a failure of the device, longer each time in a row.
func (w *writer) failed(err error) {
	if errors.Is(err, errPaused) || errors.Is(err, errPageTooLarge) {
		return
	}
	w.pause = min(max(2*w.pause, firstPause), lastPause)
	w.t.pauseUntil.Store(time.Now().Add(w.pause).UnixNano())
	w.t.o.Log.Warn().Err(err).Dur("pause", w.pause).Str("dir", w.t.o.Dir).Msg("writing to the cache device failed; pages are not stored for a while, reads go on")
}

// sealAll is for Close.
func (w *writer) sealAll() {
	w.flush()
	for s := range streams {
		w.seal(s)
	}
}
