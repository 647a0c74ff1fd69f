package client

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache/segfile"
)

// outcome is how the attempt to read a page locally ended.
type outcome uint8

const (
	served    outcome = iota
	absent            // no place is known
	retired           // its segment is gone
	corrupt           // a checksum or the record's header did not hold, or the file ended: evicted in the meantime, or damaged
	failing           // the device answered an error, or is set aside
	slow              // the device did not answer in time
	busy              // too many segments are open and in use
	cancelled         // the caller's context ended
	outcomes
)

var outcomeNames = [outcomes]string{"served", "absent", "retired", "corrupt", "failing", "slow", "busy", "cancelled"}

// scratch is what a read needs beside the caller's buffer. It is lent by a pool.
type scratch struct {
	header [maxHeader]byte
	key    segfile.Key
	pads   []byte // of two blocks: what they hold before and after the bytes asked for; nil: was not needed yet
	iov    [4]unix.Iovec
}

const maxHeader = 128 // of the record of the largest page

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// pageRead is one page being read: p gets len(p) bytes, which begin at plan.Skip of plan's data.
type pageRead struct {
	plan       segfile.Plan
	seed       uint32
	p          []byte
	s          *scratch
	head, tail []byte   // the data before and after p
	sums       []uint32 // the page's place in its table's sums; nil: none
	known      bool     // the sums are those of the page: its header was checked before
}

// readPage fills p from in of a page, straight from its segment. Nothing in p counts unless it was served.
func (c *Client) readPage(ctx context.Context, t *table, pg *page, p []byte, in int) outcome {
	record := atomic.LoadUint32(&pg.record)
	if record == 0 {
		return absent
	}
	seg := t.segments[pg.segment]
	if seg.retired.Load() {
		return retired
	}
	if !seg.dir.usable() {
		return failing
	}
	h, err := c.segments.acquire(ctx, seg)
	if err != nil {
		return c.openFailed(err)
	}
	loc := segfile.Location{Key: pg.key, Off: int64(record) * segfile.Align, Length: int(pg.length)}
	r := pageRead{plan: segfile.PlanRead(loc, in, len(p)), seed: seg.seed, p: p, sums: t.sumsOf(pg)}
	ok, err := c.readNow(&r, h, seg)
	if err == errWouldBlock {
		ok, err = c.readSlow(ctx, &r, h, seg) // which lets go of h
	} else {
		defer h.release()
	}
	switch {
	case ok:
		if seg.dir.until.Load() != 0 {
			seg.dir.ok()
		}
		return served
	case err == nil || err == io.EOF:
		pg.void(record)
		c.suspect(seg)
		return corrupt
	case err == errSlow:
		return slow
	case ctx.Err() != nil:
		return cancelled
	}
	pg.void(record)
	c.deviceFailed(seg.dir, err)
	return failing
}

// openFailed sorts the errors of opening a segment.
func (c *Client) openFailed(err error) outcome {
	switch {
	case err == errSlow:
		return slow
	case err == errBusy:
		return busy
	case errors.Is(err, fs.ErrNotExist):
		c.session.suspectDirectories()
		return retired
	case err == errRetired || errors.Is(err, errForeign):
		return retired
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return cancelled
	}
	return failing
}

// suspect looks whether the segment of a page that did not hold was removed: then its holes are punched, and no page of it will hold.
func (c *Client) suspect(seg *segment) {
	h := seg.handle.Load()
	if h == nil || !h.acquire() {
		return
	}
	_, unlinked, err := h.file.stat()
	h.release()
	if err != nil || unlinked {
		c.segments.retire(seg.segmentName)
	}
}

func (c *Client) deviceFailed(d *directory, err error) {
	if d.fail() {
		c.o.Logger.Warn().Err(err).Str("dir", d.path).Msg("the cache directory's device fails and is set aside; pages are asked of the sidecar until it answers again")
	}
}

// readNow reads what the page cache holds: in one call, or two where the record's header is not in front of the blocks.
func (c *Client) readNow(r *pageRead, h *handle, seg *segment) (ok bool, err error) {
	r.s = scratches.Get().(*scratch)
	defer func() {
		clear(r.s.iov[:])
		scratches.Put(r.s)
		r.s, r.head, r.tail = nil, nil, nil
	}()
	if c.o.Mmap {
		if m := h.mapped(seg); m != nil {
			return r.readMapped(m), nil
		}
	}
	r.pads()
	header := r.s.header[:r.plan.Header]
	if r.plan.First > 0 && r.sumsKnown() {
		header = nil
	} else if r.plan.First > 0 {
		if err := h.file.readNow(r.vector(header, 0, 0), len(header), r.plan.Loc.Off); err != nil {
			return false, err
		}
		header = nil
	}
	for lo := 0; lo < r.plan.Data; lo += chunk {
		hi := min(lo+chunk, r.plan.Data)
		at := r.plan.At + int64(lo-len(header))
		if err := h.file.readNow(r.vector(header, lo, hi), len(header)+hi-lo, at); err != nil {
			return false, err
		}
		if lo == 0 && !r.known && !r.headerHolds() {
			return false, nil
		}
		if !r.blocksHold(lo, hi) {
			return false, nil
		}
		header = nil
	}
	return true, nil
}

// chunk is how many bytes are read before they are summed up: few enough to be still in the processor's cache then. A multiple of the block size.
const chunk = 256 << 10

// pads makes room for what the blocks hold beside the bytes asked for.
func (r *pageRead) pads() {
	head := r.plan.Skip
	tail := r.plan.Data - head - len(r.p)
	if head+tail == 0 {
		return
	}
	if r.s.pads == nil {
		r.s.pads = make([]byte, 2*segfile.BlockSize)
	}
	r.head, r.tail = r.s.pads[:head], r.s.pads[segfile.BlockSize:][:tail]
}

// between returns the three pieces of the data from lo to hi.
func (r *pageRead) between(lo, hi int) (a, b, c []byte) {
	n, m := len(r.head), len(r.head)+len(r.p)
	return r.head[min(lo, n):min(hi, n)], r.p[min(max(lo, n), m)-n : min(max(hi, n), m)-n], r.tail[max(lo, m)-m : max(hi, m)-m]
}

// vector names the header and the data from lo to hi to the kernel.
func (r *pageRead) vector(header []byte, lo, hi int) []unix.Iovec {
	a, b, c := r.between(lo, hi)
	v := r.s.iov[:0]
	v = addPiece(v, header)
	v = addPiece(v, a)
	v = addPiece(v, b)
	return addPiece(v, c)
}

func addPiece(v []unix.Iovec, b []byte) []unix.Iovec {
	if len(b) == 0 {
		return v
	}
	v = v[:len(v)+1]
	v[len(v)-1].Base = unsafe.SliceData(b)
	v[len(v)-1].SetLen(len(b))
	return v
}

// sumsKnown reports whether the page's sums are known from an earlier read: they depend on its content alone, and hold wherever it lies. That
// spares a call where the header is not in front of the blocks.
func (r *pageRead) sumsKnown() bool {
	r.known = r.sums != nil && atomic.LoadUint32(&r.sums[0]) == 1
	return r.known
}

// headerHolds checks the record's header, which must name this page at this place of this segment, and keeps its sums.
func (r *pageRead) headerHolds() bool {
	header := r.s.header[:r.plan.Header]
	rec, need, err := segfile.ParseRecord(header, r.seed, r.plan.Loc.Off)
	if err != nil || need > 0 || rec.Key != r.plan.Loc.Key || rec.Length != r.plan.Loc.Length {
		return false
	}
	if r.sums != nil && atomic.LoadUint32(&r.sums[0]) == 0 {
		for i := 1; i < len(r.sums); i++ {
			atomic.StoreUint32(&r.sums[i], segfile.BlockSum(header, i-1))
		}
		atomic.StoreUint32(&r.sums[0], 1)
	}
	return true
}

// blocksHold checks the blocks of the data from lo to hi, both multiples of the block size or the data's end.
func (r *pageRead) blocksHold(lo, hi int) bool {
	r.s.key = r.plan.Loc.Key // r would be allocated for the sake of a slice of it
	seed := segfile.Crc(0, r.s.key[:])
	for ; lo < hi; lo += segfile.BlockSize {
		a, b, c := r.between(lo, min(lo+segfile.BlockSize, hi))
		if segfile.Crc(segfile.Crc(segfile.Crc(seed, a), b), c) != r.sumOf(r.plan.First+lo/segfile.BlockSize) {
			return false
		}
	}
	return true
}

func (r *pageRead) sumOf(block int) uint32 {
	if r.known {
		return atomic.LoadUint32(&r.sums[1+block])
	}
	return segfile.BlockSum(r.s.header[:r.plan.Header], block)
}

// readSlow waits for the device, no longer than the local deadline, and lets go of h. It reads into a buffer of its own, since a read that was
// given up still writes into it.
func (c *Client) readSlow(ctx context.Context, r *pageRead, h *handle, seg *segment) (ok bool, err error) {
	plan := r.plan
	b := make([]byte, plan.Header+plan.Data)
	gaveUp, err := seg.dir.do(ctx, c.o.LocalDeadline, func() error { return readPlanned(h.file, plan, b) }, h.release)
	if gaveUp {
		return false, err
	}
	h.release()
	if err != nil {
		return false, err
	}
	seg.dir.ok()
	if !plan.Check(r.seed, b) {
		return false, nil
	}
	copy(r.p, b[plan.Header+plan.Skip:])
	return true, nil
}

func readPlanned(f io.ReaderAt, p segfile.Plan, b []byte) error {
	if _, err := f.ReadAt(b[:p.Header], p.Loc.Off); err != nil {
		return err
	}
	_, err := f.ReadAt(b[p.Header:p.Header+p.Data], p.At)
	return err
}
