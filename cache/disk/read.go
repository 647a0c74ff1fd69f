package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// readPlanned fills b with the header and then the blocks: in one call where they are neighbours, else in two. now asks for what needs no wait.
func readPlanned(p segfile.Plan, f vfs.File, now bool, b []byte) error {
	if p.First == 0 {
		return readWhole(f, now, b[:p.Header+p.Data], p.Loc.Off)
	}
	if err := readWhole(f, now, b[:p.Header], p.Loc.Off); err != nil {
		return err
	}
	return readWhole(f, now, b[p.Header:p.Header+p.Data], p.At)
}

func readWhole(f vfs.File, now bool, b []byte, off int64) (err error) {
	if now {
		_, err = f.ReadAtNow(b, off)
	} else {
		_, err = f.ReadAt(b, off)
	}
	return err // which is nil only if all was read
}

// Read implements cache.Disk. A hit whose bytes are in the page cache costs one preadv2 and no allocation. ctx's own error is returned when it
// ends first.
func (t *Tier) Read(ctx context.Context, k cache.Key, pageLen, off, n int) (cache.Buf, error) {
	if pageLen < 1 || pageLen > cache.MaxPage || off < 0 || n < 1 || n > pageLen || off > pageLen-n {
		return cache.Buf{}, fmt.Errorf("%w: bytes %d+%d of a page of %d", cache.ErrAbsent, off, n, pageLen)
	}
	if !t.open.Load() {
		return t.sick()
	}
	buf, found, err := t.tryRead(ctx, k, pageLen, off, n)
	if !found {
		t.metrics.absent.Inc()
		return cache.Buf{}, cache.ErrAbsent
	}
	return buf, err
}

// tryRead is Read of an open tier with arguments that were checked; it does not count a page that is not there (found is false).
func (t *Tier) tryRead(ctx context.Context, k cache.Key, pageLen, off, n int) (buf cache.Buf, found bool, err error) {
	seg, loc := t.index.acquire(k, pageLen, &t.table)
	if seg == nil {
		return cache.Buf{}, false, nil
	}
	buf, err = t.readFrom(ctx, seg, loc, off, n)
	return buf, true, err
}

// readFrom reads from a segment that is held, and sees to it that it is let go.
func (t *Tier) readFrom(ctx context.Context, seg *segment, loc segfile.Location, off, n int) (cache.Buf, error) {
	p := segfile.PlanRead(loc, off, n)
	if t.health.aside() {
		if t.health.startProbe() {
			go t.probe(seg, p)
		} else {
			t.release(seg)
		}
		return t.sick()
	}
	b := t.buffers.get(p.Data)
	err := readPlanned(p, seg.file, true, b.b)
	if errors.Is(err, vfs.ErrWouldBlock) {
		var mine bool
		if mine, err = t.readSlow(ctx, seg, p, b); !mine {
			return t.gaveUp(err)
		}
	}
	return t.answer(seg, p, b, n, err)
}

func (t *Tier) sick() (cache.Buf, error) {
	t.metrics.sick.Inc()
	return cache.Buf{}, cache.ErrSick
}

// answer turns a read that ended into the caller's result, and lets go of the segment.
func (t *Tier) answer(seg *segment, p segfile.Plan, b *buffer, n int, err error) (cache.Buf, error) {
	defer t.release(seg)
	if err == nil && p.Check(seg.seed, b.b) {
		t.metrics.hit.Inc()
		start := p.Header + p.Skip
		return cache.NewBuf(b.b[start:start+n:start+n], b.free), nil
	}
	b.free()
	// Whether its bytes are wrong, or the device cannot read them: the page is gone.
	t.drop(seg, p.Loc)
	if err != nil && err != io.EOF {
		t.deviceFailed(err)
		return t.sick()
	}
	t.metrics.corrupt.Inc()
	t.logSeldom(seg)
	return cache.Buf{}, cache.ErrCorrupt
}

// gaveUp is for a read that is still on its way, or never was. A caller that left says nothing about the device.
func (t *Tier) gaveUp(err error) (cache.Buf, error) {
	if err == cache.ErrSick {
		t.metrics.sick.Inc()
	}
	return cache.Buf{}, err
}

// drop takes a page out of the index.
func (t *Tier) drop(seg *segment, loc segfile.Location) {
	if removed, touched := t.index.remove(loc.Key, seg.slot, loc.Off); removed {
		seg.lose(loc.Length, touched)
	}
}

// readSlow reads on a goroutine of its own, of which there are at most Options.Readers, and waits for it until the deadline. mine says that the
// buffer and the segment are the caller's again. If not, the goroutine keeps both until the device lets it go, and err says why.
func (t *Tier) readSlow(ctx context.Context, seg *segment, p segfile.Plan, b *buffer) (mine bool, err error) {
	timer := time.NewTimer(t.o.ReadDeadline)
	defer timer.Stop()
	if err := t.queueUp(ctx, timer); err != nil {
		b.free()
		t.release(seg)
		return false, err
	}
	started := time.Now()
	done := make(chan error)
	left := make(chan struct{})
	go func() {
		err := readPlanned(p, seg.file, false, b.b)
		t.slowDone.Add(1)
		<-t.slow
		select {
		case done <- err:
		case <-left: // b is left to the garbage collector
			t.release(seg)
		}
	}()
	select {
	case err := <-done:
		if err == nil || err == io.EOF {
			t.health.ok()
		}
		return true, err
	case <-timer.C:
		close(left)
		// A read that had to queue for most of its time says that there are many, not that the device fails.
		if took := time.Since(started); took >= t.o.ReadDeadline/2 {
			t.deviceFailed(fmt.Errorf("a read did not end within %v", took))
		}
		return false, cache.ErrSick
	case <-ctx.Done():
		close(left)
		return false, ctx.Err()
	}
}

// queueUp waits for a place among the reads that wait for the device.
func (t *Tier) queueUp(ctx context.Context, timer *time.Timer) error {
	select {
	case t.slow <- struct{}{}:
		return nil
	default:
	}
	done := t.slowDone.Load()
	select {
	case t.slow <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	// If others came back meanwhile there are too many reads for this device. If none did, it hangs.
	if t.slowDone.Load() == done {
		t.deviceFailed(fmt.Errorf("none of %d reads ended within %v", t.o.Readers, t.o.ReadDeadline))
	}
	return cache.ErrSick
}

// deviceFailed counts a failure of the device.
func (t *Tier) deviceFailed(err error) {
	if t.health.fail() {
		t.retired.forget() // clients read no more of this device until they are told of its places again
		t.o.Log.Error().Err(err).Str("dir", t.o.Dir).Msg("the cache device fails and is set aside; reads go to the origin until it answers again")
	}
}

// probe reads a page from a device that was set aside. Nobody waits for it.
func (t *Tier) probe(seg *segment, p segfile.Plan) {
	b := make([]byte, p.Header+p.Data)
	err := readPlanned(p, seg.file, false, b)
	t.release(seg)
	t.health.endProbe(err == nil)
	if err == nil {
		t.o.Log.Info().Str("dir", t.o.Dir).Msg("the cache device answers again")
	}
}

// logSeldom says at most once a minute that pages are corrupt; the counter has them all.
func (t *Tier) logSeldom(seg *segment) {
	now, last := time.Now().UnixNano(), t.lastLog.Load()
	if now-last > int64(time.Minute) && t.lastLog.CompareAndSwap(last, now) {
		t.o.Log.Warn().Str("segment", seg.path).Msg("a cached page failed its checksum; it was dropped and is read from the origin")
	}
}
