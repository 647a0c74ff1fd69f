package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
)

var (
	errBusy    = errors.New("as many segments are open and in use as may be")
	errRetired = errors.New("the segment is gone")
	errForeign = errors.New("not a segment that this build can read")
)

// segmentName names a segment; it is never used again.
type segmentName struct {
	instance, seq uint64
	dir           *directory
}

// segment is a segment file that views point to. It is one for its name, so that retiring it retires it in every view.
type segment struct {
	segmentName
	seed    uint32
	retired atomic.Bool            // its places are void
	handle  atomic.Pointer[handle] // nil: not open
	used    atomic.Bool            // since the clock's hand last passed

	opening chan struct{} // under segments.mu: closed when an attempt to open it has ended
	failed  error         // under segments.mu: of the last attempt
}

// handle is an open descriptor, and perhaps a mapping. It is closed when the last one lets go.
type handle struct {
	refs    atomic.Int64 // readers, and one while the segment points to it
	file    segmentFile
	mapping atomic.Pointer[[]byte] // nil: none
	tryMap  atomic.Int64           // unix nanoseconds before which it is not tried to map it; never: maxTime
	owner   *segments
}

// acquire takes a reference unless the handle is being closed.
func (h *handle) acquire() bool {
	for {
		n := h.refs.Load()
		if n <= 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release lets go. Closing a removed file can take milliseconds, since its blocks are freed then: no reader waits for that.
func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		h.owner.background.Go(h.close)
	}
}

func (h *handle) close() {
	h.unmap()
	_ = h.file.Close() // it was open for reading only: nothing can be lost
	h.owner.descriptors.Add(-1)
}

// segments are all segments that views point to, and those of them that are open: at most limit descriptors, those included that are being
// opened, and those that readers still hold. Which one is closed for another is decided by the clock algorithm.
type segments struct {
	limit      int
	openFile   func(path string) (segmentFile, error)
	deadline   time.Duration
	background *tasks

	descriptors atomic.Int64
	mapped      atomic.Int64 // bytes

	mu     sync.Mutex
	byName map[segmentName]*segment
	ring   []*segment // whose handle is not nil
	hand   int
	closed bool
}

func newSegments(limit int, deadline time.Duration, background *tasks) *segments {
	return &segments{limit: limit, deadline: deadline, background: background, openFile: openSegmentFile, byName: map[segmentName]*segment{}}
}

// get finds or makes the segment of a name. The caller holds no lock.
func (s *segments) get(name segmentName) *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.byName[name]
	if seg == nil {
		seg = &segment{segmentName: name, seed: segfile.Header{Instance: name.instance, Seq: name.seq}.Seed()}
		s.byName[name] = seg
	}
	return seg
}

// retire voids a segment's places and closes its descriptor once no reader holds it.
func (s *segments) retire(name segmentName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.byName[name]
	if seg == nil {
		return false
	}
	seg.retired.Store(true)
	delete(s.byName, name)
	s.dropHandle(seg)
	return true
}

// dropHandle closes a segment's descriptor once no reader holds it. The caller holds the lock.
func (s *segments) dropHandle(seg *segment) {
	h := seg.handle.Swap(nil)
	if h == nil {
		return
	}
	for i, other := range s.ring {
		if other == seg {
			last := len(s.ring) - 1
			s.ring[i], s.ring[last] = s.ring[last], nil
			s.ring = s.ring[:last]
			break
		}
	}
	h.release()
}

// forget voids every place that is known. Segments that are told again are opened again.
func (s *segments) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, seg := range s.byName {
		seg.retired.Store(true)
		delete(s.byName, name)
		s.dropHandle(seg)
	}
}

// closeIdle closes the descriptors that were not used since it was called last.
func (s *segments) closeIdle() (open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.ring) - 1; i >= 0; i-- {
		if seg := s.ring[i]; !seg.used.Swap(false) {
			s.dropHandle(seg)
		}
	}
	return len(s.ring)
}

// close drops everything; nothing is opened any more.
func (s *segments) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.forget()
}

// acquire returns an open handle, which the caller releases. A segment that is not open is opened, once for all who want it, in at most the
// local deadline.
func (s *segments) acquire(ctx context.Context, seg *segment) (*handle, error) {
	if h := seg.handle.Load(); h != nil && h.acquire() {
		if !seg.used.Load() {
			seg.used.Store(true)
		}
		return h, nil
	}
	return s.open(ctx, seg)
}

func (s *segments) open(ctx context.Context, seg *segment) (*handle, error) {
	s.mu.Lock()
	if h := seg.handle.Load(); h != nil && h.acquire() {
		s.mu.Unlock()
		return h, nil
	}
	if s.closed || seg.retired.Load() {
		s.mu.Unlock()
		return nil, errRetired
	}
	wait := seg.opening
	if wait == nil {
		if !s.makeRoom() {
			s.mu.Unlock()
			return nil, errBusy
		}
		s.descriptors.Add(1)
		wait = make(chan struct{})
		seg.opening = wait
		s.mu.Unlock()
		s.openNow(ctx, seg)
	} else {
		s.mu.Unlock()
	}
	if err := waitFor(ctx, wait, s.deadline); err != nil {
		return nil, err
	}
	if h := seg.handle.Load(); h != nil && h.acquire() {
		return h, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if seg.failed != nil {
		return nil, seg.failed
	}
	return nil, errBusy // it was closed for another already
}

func waitFor(ctx context.Context, done <-chan struct{}, deadline time.Duration) error {
	select {
	case <-done:
		return nil
	default:
	}
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errSlow
	case <-ctx.Done():
		return ctx.Err()
	}
}

// makeRoom closes descriptors that nobody uses until there is room for one more; false if there are none. The caller holds the lock.
func (s *segments) makeRoom() bool {
	for tries := 2 * len(s.ring); int(s.descriptors.Load()) >= s.limit; tries-- {
		if tries <= 0 || len(s.ring) == 0 {
			return false
		}
		s.hand %= len(s.ring)
		seg := s.ring[s.hand]
		h := seg.handle.Load()
		if seg.used.Swap(false) || h.refs.Load() > 1 {
			s.hand++
			continue
		}
		seg.handle.Store(nil)
		last := len(s.ring) - 1
		s.ring[s.hand], s.ring[last] = s.ring[last], nil
		s.ring = s.ring[:last]
		if h.refs.Add(-1) == 0 { // at once, so that its room is there at once
			h.close()
		}
	}
	return true
}

// openNow opens a segment on its device's goroutines and tells those who wait. It returns when that is done or given up; then it is finished
// in the background, however long the device takes.
func (s *segments) openNow(ctx context.Context, seg *segment) {
	var file segmentFile
	result := errSlow // until the work has run
	path := filepath.Join(seg.dir.path, segmentsDir, segfile.Name(seg.instance, seg.seq))
	work := func() error {
		if file, result = s.openFile(path); result == nil {
			result = checkHeader(file, seg)
		}
		return result
	}
	left := func() { s.opened(seg, file, result) }
	if gaveUp, _ := seg.dir.do(ctx, s.deadline, work, left); !gaveUp {
		s.opened(seg, file, result)
	}
}

// checkHeader compares the segment's header with its name, and finds formats of another version.
func checkHeader(file segmentFile, seg *segment) error {
	var b [segfile.HeaderSize]byte
	if _, err := file.ReadAt(b[:], 0); err == io.EOF {
		return fmt.Errorf("%w: it is too short", errForeign)
	} else if err != nil {
		return err
	}
	h, err := segfile.ParseHeader(b[:])
	if err != nil {
		return fmt.Errorf("%w: %w", errForeign, err)
	}
	if h.Instance != seg.instance || h.Seq != seg.seq {
		return fmt.Errorf("%w: it says that it is %s", errForeign, segfile.Name(h.Instance, h.Seq))
	}
	return nil
}

// opened ends an attempt: file is nil if there is none, err says whether it can be used.
func (s *segments) opened(seg *segment, file segmentFile, err error) {
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		seg.dir.ok()
	case !errors.Is(err, errForeign) && err != errSlow:
		seg.dir.fail()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && (s.closed || seg.retired.Load()) {
		err = errRetired
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // evicted, and not told yet; a name never means another file
		seg.retired.Store(true)
		if s.byName[seg.segmentName] == seg {
			delete(s.byName, seg.segmentName)
		}
	case errors.Is(err, errForeign): // kept by name, so that it is not tried again
		seg.retired.Store(true)
	}
	seg.failed = err
	if err == nil {
		h := &handle{file: file, owner: s}
		h.refs.Store(1)
		seg.handle.Store(h)
		seg.used.Store(true)
		s.ring = append(s.ring, seg)
	} else {
		s.background.Go(func() {
			if file != nil {
				_ = file.Close()
			}
			s.descriptors.Add(-1)
		})
	}
	close(seg.opening)
	seg.opening = nil
}
