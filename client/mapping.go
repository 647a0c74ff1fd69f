package client

import (
	"math"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache/segfile"
)

// sealedAgain is after how long a segment that was not sealed is looked at again.
const sealedAgain = int64(2 * time.Second)

// mapped returns the segment's mapping, which it makes once the segment is sealed: from then on the file never changes and never shrinks. nil: it
// cannot be mapped, or not yet, or it is not the time to find out.
func (h *handle) mapped(seg *segment) []byte {
	if m := h.mapping.Load(); m != nil {
		return *m
	}
	now := time.Now().UnixNano()
	next := h.tryMap.Load()
	if now < next || !h.tryMap.CompareAndSwap(next, now+sealedAgain) {
		return nil
	}
	size, unlinked, err := h.file.stat()
	if err != nil || unlinked || size < segfile.HeaderSize+segfile.TrailerSize || size > math.MaxInt {
		return nil
	}
	var t [segfile.TrailerSize]byte
	if _, err := h.file.ReadAt(t[:], size-segfile.TrailerSize); err != nil {
		return nil
	}
	if _, err := segfile.ParseTrailer(t[:], segfile.Header{Instance: seg.instance, Seq: seg.seq}, size); err != nil {
		return nil // it is still being written
	}
	m, err := h.file.mmap(int(size))
	if err != nil {
		h.tryMap.Store(math.MaxInt64)
		return nil
	}
	h.owner.mapped.Add(size)
	h.mapping.Store(&m)
	return m
}

// unmap runs when nobody holds the handle any more.
func (h *handle) unmap() {
	if m := h.mapping.Swap(nil); m != nil {
		_ = unix.Munmap(*m)
		h.owner.mapped.Add(-int64(len(*m)))
	}
}

// readMapped is readNow for a mapping. A fault, which an I/O error of the device is here, ends the read and not the process.
func (r *pageRead) readMapped(m []byte) (ok bool) {
	if r.plan.At+int64(r.plan.Data) > int64(len(m)) {
		return false
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	header := r.s.header[:r.plan.Header]
	copy(header, m[r.plan.Loc.Off:])
	data := m[r.plan.At:][:r.plan.Data]
	n := copy(r.p, data[r.plan.Skip:])
	// What was not asked for is summed up where it lies; what was, in the caller's buffer, since the mapping may be punched between the two.
	r.head, r.tail = data[:r.plan.Skip], data[r.plan.Skip+n:]
	return r.headerHolds() && r.blocksHold(0, r.plan.Data)
}
