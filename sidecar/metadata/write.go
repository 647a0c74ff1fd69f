package metadata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// write writes what is kept into the trees, until ctx has ended and nothing waits any more (true), or the trees are given up (false), which closes
// gone. A writer that hangs in a device is left behind: it touches nothing but its trees.
func (s *Store) write(ctx context.Context, ts *trees, gone chan struct{}) bool {
	done := make(chan bool, 1)
	go func() {
		w := &writer{s: s, ts: ts, broken: s.ending(gone)}
		defer func() {
			if p := recover(); p != nil {
				s.giveUp(w.ts, faultWrite, fmt.Errorf("%v", p))
				done <- false
			}
		}()
		done <- w.run(ctx)
	}()
	select {
	case <-gone:
		return false
	case ended := <-done:
		return ended
	}
}

// writer writes batches, one after the other, in the order in which they were filled. It belongs to one goroutine.
type writer struct {
	s       *Store
	ts      *trees
	broken  func(kind string, err error)
	written int64 // bytes since the trees were measured
}

func (w *writer) run(ctx context.Context) bool {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	w.room()
	for {
		stopping := ctx.Err() != nil
		b, ok := w.s.take(w.ts, stopping)
		switch {
		case !ok:
			return false
		case b != nil:
			if err := w.commit(b); err != nil {
				w.s.giveUp(w.ts, faultWrite, err)
				return false
			}
			w.s.finish(b)
			if w.written > min(w.s.opts.memtable()/2, w.s.opts.share()/4) {
				w.room()
			}
			continue
		case stopping:
			return true
		}
		select {
		case <-w.s.wake:
		case <-ctx.Done():
		case <-tick.C:
			if err := w.sync(); err != nil {
				w.s.giveUp(w.ts, faultWrite, err)
				return false
			}
			w.room()
		}
	}
}

// take gives the writer of ts what waits, nil if nothing does: what is pending belongs to the lock. Not ok: ts was given up.
func (s *Store) take(ts *trees, stopping bool) (*batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trees != ts {
		return nil, false
	}
	if stopping {
		s.state = closed
	}
	if s.pending.empty() {
		return nil, true
	}
	s.inflight, s.pending = s.pending, newBatch()
	return s.inflight, true
}

// finish says that a batch can be found in the trees, and its fences outlive the machine.
func (s *Store) finish(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inflight == b {
		s.inflight = nil
		close(b.done)
	}
}

// commit writes a batch. It is synced if a fence in it takes anything away: then what was written before is durable too.
func (w *writer) commit(b *batch) error {
	out := w.ts.young.db.NewBatch()
	defer out.Close()
	sync := false
	for _, prefix := range b.below {
		if err := w.below(out, []byte(prefix)); err != nil {
			return err
		}
		sync = true
	}
	keys := make([]string, 0, len(b.ops))
	for key := range b.ops {
		keys = append(keys, key)
	}
	slices.Sort(keys) // neighbours lie in one block
	l := w.s.life(w.ts)
	var buf []byte
	for _, key := range keys {
		durable, err := w.one(out, l, key, b.ops[key], len(b.below) > 0, &buf)
		if err != nil {
			return err
		}
		sync = sync || durable
	}
	if out.Empty() {
		return nil
	}
	if err := out.Set(countKey, number64(uint64(max(w.ts.young.count, 0))), nil); err != nil {
		return err
	}
	w.written += int64(out.Len())
	if sync {
		err := out.Commit(pebble.Sync)
		w.s.unsynced.Store(0)
		return err
	}
	w.s.unsynced.Add(b.weight)
	return out.Commit(pebble.NoSync)
}

// sync makes what was written durable. Pebble hands its log to the kernel by blocks of 32 KiB: without it, a kill could cost the last few hundred
// answers however long ago they came.
func (w *writer) sync() error {
	if w.s.unsynced.Load() == 0 {
		return nil
	}
	err := w.ts.young.db.LogData(nil, pebble.Sync)
	w.s.unsynced.Store(0)
	return err
}

// below takes away everything with a prefix: from the old generation at once, from the young one with the batch.
func (w *writer) below(out *pebble.Batch, prefix []byte) error {
	end := after(prefix)
	if w.ts.old != nil {
		if err := w.ts.old.db.DeleteRange(prefix, end, pebble.Sync); err != nil {
			return err
		}
	}
	w.s.metrics.fences.Inc()
	return out.DeleteRange(prefix, end, nil)
}

// after is the first key that is greater than every key with the prefix, which is not all 0xff: it begins with a space, the hash of a mount.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return append(slices.Clone(prefix), 0xff)
}

// one writes one op. durable tells that it took something away. cleared says that prefixes were taken away in the same batch, so that what the
// trees have may be gone.
func (w *writer) one(out *pebble.Batch, l life, key string, o *op, cleared bool, buf *[]byte) (durable bool, err error) {
	t := w.ts.young
	prev := w.ts.look(l, key)
	if prev.err != nil {
		return false, prev.err
	}
	inYoung := (prev.ok || prev.fence) && !prev.old
	if !o.keep {
		if !prev.ok {
			return false, nil // nothing to take away
		}
		w.s.metrics.fences.Inc()
		if !prev.old {
			t.count--
		}
		return true, out.Set([]byte(key), []byte{kindFence}, nil)
	}
	if o.promote && inYoung {
		return false, nil
	}
	a := o.answer // the op is being looked at by others meanwhile
	if prev.ok && !o.fence && !cleared {
		if !o.promote && a.Sent.Before(prev.answer.Sent) {
			return false, nil // a newer one is there
		}
		a.Value = merge(&prev.answer.Value, a.Value)
	}
	if !prev.ok || prev.old {
		t.count++
	}
	w.s.metrics.stored.Inc()
	*buf = appendEntry((*buf)[:0], l, &a)
	return o.fence && prev.ok, out.Set([]byte(key), *buf, nil)
}

// room measures the trees and makes room: the young one becomes the old one when it has reached its share, and the old one goes; it goes before that
// if both together come near the limit. What cannot be helped so is helped by taking no more answers.
func (w *writer) room() {
	s := w.s
	w.written = 0
	size := w.measure()
	switch {
	case w.ts.young.size.Load() >= s.opts.share():
		if err := w.rotate(); err != nil {
			s.giveUp(w.ts, faultWrite, err)
			return
		}
	case size > s.opts.Size-s.opts.reserve() && w.ts.old != nil:
		w.replace(&trees{young: w.ts.young}, w.ts.old)
	}
	size = w.measure() + s.dropping.Load()
	full := size > s.opts.Size-s.opts.reserve()/2
	if u, err := s.opts.FS.GetDiskUsage(s.opts.Dir); err == nil && u.AvailBytes < uint64(max(64<<20, 8*s.opts.memtable())) {
		full = true // fences must find room
	}
	s.metrics.full.Store(full)
	s.metrics.bytes.Store(size)
}

// measure returns what both trees take on disk.
func (w *writer) measure() int64 {
	var size, entries, memory int64
	for _, t := range []*tree{w.ts.young, w.ts.old} {
		if t != nil {
			m := t.db.Metrics()
			t.size.Store(int64(m.DiskSpaceUsage()))
			size += t.size.Load()
			entries += t.count
		}
	}
	memory = w.ts.young.db.Metrics().BlockCache.Size // memtables are taken from the block cache's limit, and counted there
	w.s.mu.Lock()
	memory += w.s.pending.weight
	w.s.mu.Unlock()
	w.s.metrics.entries.Store(entries)
	w.s.metrics.resident.Store(memory)
	return size
}

// rotate begins a new generation.
func (w *writer) rotate() error {
	t, err := w.s.makeTree(w.ts.young.number+1, w.broken)
	if err != nil {
		return err
	}
	t.life = w.ts.young.life
	if err := t.db.Set(lifeKey, number64(t.life), pebble.Sync); err != nil {
		return errors.Join(err, t.close())
	}
	w.s.metrics.rotated.Inc()
	w.replace(&trees{young: t, old: w.ts.young}, w.ts.old)
	return nil
}

// replace puts other trees in the place of those in use, and drops one that is not among them (may be nil) once nobody looks into it.
func (w *writer) replace(next *trees, drop *tree) {
	s := w.s
	s.mu.Lock()
	if s.trees == w.ts {
		s.trees = next
		s.using = next.all()
	}
	s.mu.Unlock()
	w.ts = next
	if drop == nil {
		return
	}
	s.dropping.Add(drop.size.Load())
	s.drops.Go(func() {
		err := drop.close()
		if err == nil {
			err = s.remove([]string{s.opts.FS.PathBase(drop.dir)})
		}
		if err != nil { // the next start removes it
			s.log.Warn().Err(err).Str("metadata_dir", s.opts.Dir).Msg("an old half of the metadata store cannot be removed; its bytes count until it can")
			return
		}
		s.dropping.Add(-drop.size.Load())
	})
}

func (ts *trees) all() []*tree {
	if ts.old == nil {
		return []*tree{ts.young}
	}
	return []*tree{ts.young, ts.old}
}
