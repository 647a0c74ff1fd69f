package disk

import (
	"slices"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
)

const (
	protectedShare = 4 // protected pages are spared while they take at most 1/4 of the tier
	removeRetry    = time.Minute
	sparedValue    = 1e18 // more than age can take away
)

// hasRoom says whether so many bytes more stay within the limit.
func (w *writer) hasRoom(bytes int64) bool { return w.t.used.Load()+bytes <= w.t.o.Size }

// waitRoom makes sure that a segment can be made within the limit. Room for one was kept when the last was made, so as a rule it
// returns at once, or after punching what was evicted then. If readers here still hold that, it waits for them, twice as long as a read may
// take; a reader that has not let go by then hangs in the device, and its segment's room is taken from others.
func (w *writer) waitRoom() error {
	t, charge := w.t, w.t.o.charge()
	t.reapFor(charge)
	w.restoreRoom(streams)
	t.reapFor(charge)
	if w.hasRoom(charge) {
		return nil
	}
	timer := time.NewTimer(2 * t.o.ReadDeadline)
	defer timer.Stop()
	for t.dying.Load() > t.graveBytes {
		select {
		case <-t.deadSignal:
			if t.reapFor(charge); w.hasRoom(charge) {
				return nil
			}
			continue
		case <-t.stop:
			return errNoRoom
		case <-timer.C:
		}
		break
	}
	w.stuck = t.dying.Load()
	w.restoreRoom(streams)
	t.reapFor(charge)
	if !w.hasRoom(charge) {
		return errNoRoom
	}
	return nil
}

// restoreRoom evicts until there is room for the next segment, so that one can always be made first and what is worth carrying be
// written into it. s is the stream that has just got a segment (streams: none). What was removed before counts as free here, unless a reader hangs
// in it: it soon is, and evicting more would not make it come sooner.
func (w *writer) restoreRoom(s stream) {
	for {
		w.t.mu.Lock()
		count := len(w.t.segments)
		w.t.mu.Unlock()
		dying := w.t.dying.Load()
		w.stuck = min(w.stuck, dying)
		if w.hasRoom(w.t.o.charge()-(dying-w.stuck)) && count < w.t.o.mostSegments() {
			if w.hotFull {
				w.t.reapFor(w.t.o.charge())
			}
			if !w.hotFull || !w.hasRoom(w.t.o.charge()) || s == streams {
				return
			}
			w.hotFull = false
			if err := w.create(hot); err != nil {
				w.failed(err)
				return
			}
			continue
		}
		if !w.evictOne(s) {
			return
		}
	}
}

// evictOne removes the least valuable segment, after carrying what is worth it (unless s is streams); false if there is none to remove.
func (w *writer) evictOne(s stream) bool {
	v := w.victim()
	if v == nil {
		return false
	}
	pages, whole := v.listed, true
	if v.is(stateSealed) {
		var err error
		pages, _, err = readFooter(v.file, v.header, v.size)
		whole = err == nil
	}
	if s != streams {
		w.carry(v, pages, s)
	}
	_ = w.remove(v, pages, whole) // if it fails another is tried, and this one not for a while
	return true
}

// standing is what a segment is judged by. Shares are of the room for its records.
type standing struct {
	live float64 // share that holds pages which can be read
	read float64 // share that holds pages which were read since they were written here
	age  float64 // segments made since, by segments there are: after one turnover it is 1
}

// evictionPolicy chooses victims and what is carried out of them. Tests compare others.
type evictionPolicy struct {
	value func(standing) float64 // the segment with the least is the victim
	carry float64                // at most such a share of a victim is carried forward, so that eviction always gains
}

var defaultPolicy = evictionPolicy{value: worth, carry: 1. / 2}

// worth falls by 1 a turnover, and is higher by 4 times the share that was read and lower by the share that is dead. So a scan's segments leave in
// the order they came, one that is read stays up to five times as long before what was read is carried out of it, and nothing stays for ever.
// doc.go has what was measured.
func worth(s standing) float64 { return 4*s.read + s.live - s.age }

// victim chooses the segment with the least value. Unknown formats go first, and what holds nothing any more. The protected stream is spared
// while it takes at most a quarter of the tier.
func (w *writer) victim() *segment {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	var protectedBytes int64
	for _, s := range w.t.segments {
		if s.header.Stream == uint8(protectedStream) {
			protectedBytes += s.charge.Load()
		}
	}
	spare := protectedBytes <= w.t.o.Size/protectedShare
	var best *segment
	var least float64
	now := time.Now().UnixNano()
	for _, s := range w.t.segments {
		if s.is(stateActive) || now < s.failed {
			continue
		}
		if s.is(stateUnknown) || s.live.Load() <= 0 {
			return s
		}
		value := w.policy.value(w.standing(s))
		if spare && s.header.Stream == uint8(protectedStream) {
			value += sparedValue
		}
		if best == nil || value < least {
			best, least = s, value
		}
	}
	return best
}

// standing judges a segment; the caller holds the tier's lock.
func (w *writer) standing(s *segment) standing {
	full := float64(s.end - segfile.HeaderSize)
	return standing{
		live: float64(s.live.Load()) / full, read: float64(s.touched.Load()) / full,
		age: float64(w.seq-s.header.Seq) / float64(len(w.t.segments)),
	}
}

// carry writes the victim's pages that are worth it into an active segment: first those of protected classes that were read, then others that
// were read, then protected ones that share the segment with data; no more than the policy allows.
func (w *writer) carry(v *segment, pages []segfile.Location, s stream) {
	type candidate struct {
		loc  segfile.Location
		rank int
	}
	var chosen []candidate
	for _, p := range pages {
		e, ok := w.t.index.peek(p.Key)
		if !ok || e.slot != v.slot || e.location().Off != p.Off {
			continue
		}
		read, protected := e.meta&touchedFlag != 0, w.t.o.Protected(p.Class)
		switch {
		case read && protected:
			chosen = append(chosen, candidate{p, 0})
		case read:
			chosen = append(chosen, candidate{p, 1})
		case protected && v.header.Stream != uint8(protectedStream):
			chosen = append(chosen, candidate{p, 2})
		}
	}
	slices.SortStableFunc(chosen, func(a, b candidate) int { return a.rank - b.rank })
	budget := int64(float64(min(w.t.o.SegmentSize, v.end)) * w.policy.carry)
	for _, c := range chosen {
		if size := segfile.RecordSize(c.loc.Length); size <= budget && w.carryPage(v, c.loc, s) {
			budget -= size
		}
		if w.t.paused() {
			break
		}
	}
	w.flush()
}

// carryPage copies one page, checked, into the segment where it belongs: that of its class, or the one just made, if they have room.
func (w *writer) carryPage(v *segment, p segfile.Location, s stream) bool {
	target := w.carryTarget(p, s)
	if target == nil {
		return false
	}
	plan := segfile.PlanRead(p, 0, p.Length)
	b := w.t.buffers.get(plan.Data)
	defer b.free()
	if readPlanned(plan, v.file, false, b.b) != nil || !plan.Check(v.seed, b.b) {
		return false
	}
	to := pendingPage{loc: segfile.Location{Key: p.Key, Length: p.Length, Class: p.Class}, from: v, old: p.Off}
	w.append(target, to, b.b[plan.Header:plan.Header+p.Length])
	return true
}

func (w *writer) carryTarget(p segfile.Location, s stream) *segment {
	own := probation
	if w.apart {
		own = hot
		if w.t.o.Protected(p.Class) {
			own = protectedStream
		}
	}
	if w.fits(w.active[own], p.Length) {
		return w.active[own]
	}
	if own == hot && !w.hotFull {
		w.flush()
		w.seal(hot)
		w.hotFull = true // restoreRoom makes a new one as soon as there is room
	}
	if w.fits(w.active[s], p.Length) && s != protectedStream {
		return w.active[s]
	}
	return nil
}

// remove takes a segment's name away and drops its pages, which are listed in pages or, if that could not be read (whole is false), found by
// walking the index. punch.go tells how its room comes back.
func (w *writer) remove(v *segment, pages []segfile.Location, whole bool) error {
	t := w.t
	if err := t.entomb(v); err != nil {
		v.failed = time.Now().Add(removeRetry).UnixNano()
		t.o.Log.Warn().Err(err).Msg("removing a cache segment failed; it is tried again later")
		return err
	}
	var evicted int64
	for _, p := range pages {
		if removed, touched := t.index.remove(p.Key, v.slot, p.Off); removed {
			v.lose(p.Length, touched)
			evicted += int64(p.Length)
		}
	}
	if !whole {
		evicted += v.live.Load()
		t.index.removeSlot(v.slot)
	}
	t.metrics.evicted.Add(float64(evicted))
	t.mu.Lock()
	if i := slices.Index(t.segments, v); i >= 0 {
		t.segments = slices.Delete(t.segments, i, i+1)
	}
	t.unlinked++
	t.mu.Unlock()
	t.retired.add(cache.SegmentID{Instance: v.header.Instance, Seq: v.header.Seq, Directory: t.number})
	v.listed = nil
	v.set(stateUnlinked)
	t.dying.Add(v.charge.Load())
	t.release(v)
	return nil
}
