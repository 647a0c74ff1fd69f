package disk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// found is a segment file that Open came upon, and what became of it.
type found struct {
	seg  *segment
	info vfs.Info
	c    contents
	err  error
}

// recoverSegments opens every segment in the directory. Nothing that is wrong with a segment stops the start: it costs that segment's
// pages at most.
func (t *Tier) recoverSegments(ctx context.Context) error {
	all, err := t.listSegments()
	if err != nil {
		return err
	}
	t.used.Store(t.otherBytes(t.o.Dir, 0) + t.o.slack())
	for _, f := range all {
		t.used.Add(f.seg.charge.Load())
		t.w.seq = max(t.w.seq, f.seg.header.Seq)
	}
	t.index.release = t.release
	if err := t.openAll(ctx, all); err != nil {
		return err
	}
	var unsealed []*segment
	var r Recovery
	for _, f := range all {
		if t.adopt(f, &r) && !f.c.sealed {
			unsealed = append(unsealed, f.seg)
		}
	}
	// The limit may be lower than last time. Sealing what was not comes after: it adds an index, for which there then is room.
	t.w.restoreRoom(streams)
	t.reap()
	for _, seg := range unsealed {
		if !seg.is(stateUnlinked) {
			t.w.sealRecovered(seg)
		}
	}
	r.Pages, _ = t.index.sizes()
	t.mu.Lock()
	t.recovery = r
	t.mu.Unlock()
	if r.Scanned+r.Skipped+r.Discarded > 0 {
		t.o.Log.Info().Str("dir", t.o.Dir).Int("pages", r.Pages).Int("sealed", r.Sealed).Int("scanned", r.Scanned).Int("skipped", r.Skipped).
			Int("discarded", r.Discarded).Msg("cache directory recovered; some segments were not whole or of another format")
	}
	if !t.w.hasRoom(t.o.charge()) {
		t.o.Log.Warn().Str("dir", t.o.Dir).Int64("size", t.o.Size).Int64("used", t.used.Load()).
			Msg("the cache directory has no room for a segment, since other files or segments that cannot be removed fill it; pages are not stored")
	}
	return nil
}

// listSegments names the segment files, oldest first.
func (t *Tier) listSegments() ([]*found, error) {
	infos, err := t.o.FS.ReadDir(filepath.Join(t.o.Dir, segmentsDir))
	if err != nil {
		return nil, fmt.Errorf("disk: cache directory: %w", err)
	}
	var all []*found
	for _, info := range infos {
		instance, seq, ok := segfile.ParseName(info.Name)
		if !ok || info.Dir {
			continue
		}
		seg := &segment{header: segfile.Header{Instance: instance, Seq: seq}, path: t.segmentPath(instance, seq)}
		seg.set(stateUnknown)
		seg.refs.Store(1)
		seg.charge.Store(fileCharge(info))
		all = append(all, &found{seg: seg, info: info})
	}
	slices.SortStableFunc(all, func(a, b *found) int {
		switch x, y := a.seg.header.Seq, b.seg.header.Seq; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return all, nil
}

// openWorkers is how many segments are opened at once: enough to keep an SSD and the processors busy.
func openWorkers() int { return min(16, 2*runtime.GOMAXPROCS(0)) }

// forAll calls do(0, …) to do(n-1, …) on a few goroutines, each of which has a number of its own.
func forAll(n int, do func(i, worker int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range min(n, openWorkers()) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i), worker)
			}
		})
	}
	wg.Wait()
}

// inspect opens the file and reads both its ends.
func (f *found) inspect(fsys vfs.FS) {
	file, err := fsys.Open(f.seg.path, false)
	if err != nil {
		f.err = err
		return
	}
	f.seg.file = file
	if f.c, f.err = inspect(file, f.info.Size); f.err != nil {
		return
	}
	want := f.seg.header
	if f.c.header.Instance != want.Instance || f.c.header.Seq != want.Seq {
		f.err = fmt.Errorf("%w: its header names another segment", segfile.ErrDamaged)
		return
	}
	f.seg.header, f.seg.seed = f.c.header, f.c.header.Seed()
}

// openAll opens the segments, and makes the index of the pages of those that are whole or were scanned. First it reads the ends of all, to make
// room for as many pages as the trailers promise; then the indexes, in pieces that stay in the processor's caches.
func (t *Tier) openAll(ctx context.Context, all []*found) error {
	forAll(len(all), func(i, _ int) {
		if ctx.Err() == nil {
			all[i].inspect(t.o.FS)
		}
	})
	pages := 0
	for _, f := range all { // slots are given by one goroutine
		if f.seg.file != nil && !t.table.add(f.seg) {
			f.err = errors.Join(segfile.ErrDamaged, f.seg.file.Close())
			f.seg.file = nil
		}
		if f.err == nil {
			pages += f.c.trailer.Pages
		}
	}
	if ctx.Err() == nil {
		t.load(ctx, all, newLoader(pages))
	}
	t.mu.Lock()
	for _, f := range all { // also when ctx ended: Close closes them
		t.segments = append(t.segments, f.seg)
	}
	t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("disk: opening %s: %w", t.o.Dir, err)
	}
	return nil
}

// load makes the index of the segments' pages.
func (t *Tier) load(ctx context.Context, all []*found, l *loader) {
	workers := make([]*loading, openWorkers())
	bufs := make([][]byte, openWorkers())
	forAll(len(all), func(i, n int) {
		f := all[i]
		if f.seg.file == nil || f.err != nil || ctx.Err() != nil {
			return
		}
		if workers[n] == nil {
			workers[n], bufs[n] = l.worker(), make([]byte, indexPiece)
		}
		w := workers[n]
		w.start(f.seg.slot)
		if f.err = f.c.readPages(f.seg.file, f.info.Size, bufs[n], w); f.err == nil {
			f.seg.pages.Add(w.pages)
			f.seg.live.Add(w.bytes)
		}
	})
	for _, w := range workers {
		if w != nil {
			w.flush()
		}
	}
	scratch := make([][]cell, openWorkers())
	forAll(shards, func(i, n int) {
		scratch[n] = l.settle(i, &t.index, scratch[n], func(c *cell) { t.table.get(c.slot()).lose(c.length(), false) })
	})
	for _, f := range all {
		for _, p := range f.c.pages { // what was scanned: a segment or three
			if t.index.insert(newEntry(p, f.seg.slot)) {
				f.seg.gain(p.Length)
			}
		}
	}
}

// indexPiece is how much of a segment's index is read at once, in bytes.
const indexPiece = 2048 * segfile.EntrySize

// adopt gives a segment that was opened its state; false if it holds nothing.
func (t *Tier) adopt(f *found, r *Recovery) bool {
	seg := f.seg
	switch {
	case f.err == nil && len(f.c.pages) == 0 && !f.c.sealed, errors.Is(f.err, segfile.ErrDamaged):
		r.Discarded++
		t.discard(seg)
		return false
	case f.err != nil:
		r.Skipped++
		t.metrics.skipped.Inc()
		t.o.Log.Warn().Err(f.err).Str("segment", seg.path).Msg("a cache segment was skipped; its room is reclaimed when it is needed")
		t.discardFile(seg)
		return false
	}
	seg.end, seg.size = f.c.end, f.info.Size
	if f.c.sealed {
		r.Sealed++
		seg.set(stateSealed)
		return true
	}
	r.Scanned++
	seg.listed = f.c.pages
	seg.set(stateAbandoned)
	return true
}

// discardFile closes a segment that is not read but stays where it is.
func (t *Tier) discardFile(seg *segment) {
	if seg.file == nil {
		return
	}
	t.table.clear(seg)
	if err := seg.file.Close(); err != nil {
		t.o.Log.Warn().Err(err).Msg("closing a cache segment failed")
	}
	seg.file = nil
}

// discard removes a segment with nothing in it. If that fails it stays counted, and is tried again when room is needed.
func (t *Tier) discard(seg *segment) {
	t.discardFile(seg)
	_ = t.w.remove(seg, nil, true)
	t.reap()
}

// sealRecovered cuts the torn tail off a segment that a crash left unsealed, and gives it its index. If the device does not take that,
// the pages are served all the same.
func (w *writer) sealRecovered(seg *segment) {
	grow := wholeBlocks(segfile.FooterSize(len(seg.listed)))
	if !w.hasRoom(grow) {
		return
	}
	f, err := w.t.o.FS.Open(seg.path, true)
	if err != nil {
		w.t.o.Log.Warn().Err(err).Msg("a recovered cache segment cannot be sealed; it is read as it is")
		return
	}
	readOnly := seg.file
	seg.file = f
	seg.charge.Add(grow)
	w.t.used.Add(grow)
	err = w.writeIndex(seg) // over the torn tail, and cuts off what is left of it
	_ = readOnly.Close()
	if err != nil {
		seg.set(stateAbandoned)
		w.t.o.Log.Warn().Err(err).Msg("a recovered cache segment cannot be sealed; it is read as it is")
	}
}
