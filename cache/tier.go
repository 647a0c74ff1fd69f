package cache

import (
	"context"
	"errors"
	"io"

	"github.com/alio-lake/alio/origin"
)

// Layout says how an object is cut into pages. Implementations are immutable and safe for parallel use. (formats.Layout is one;
// the types here are plain so that neither package needs to know the other.)
type Layout interface {
	// PageAt returns the bounds of the page that holds the byte at off (0 <= off < the object's size), start <= off < end, at most
	// MaxPage long, and the page's class. Pages of one layout neither overlap nor leave gaps.
	PageAt(off int64) (start, end int64, class uint8)
}

// PartLayout is a Layout that is asked about one part of an object of several at a time, so that how a part is cut need not depend on where it
// lies.
type PartLayout interface {
	Layout
	// PageIn is PageAt of the part [lo, hi) of the object, which holds off: lo <= start <= off < end <= hi.
	PageIn(off, lo, hi int64) (start, end int64, class uint8)
}

// Source reads an object from its origin on behalf of a fill. It is called in a context that belongs to no single reader.
type Source interface {
	// Fetch opens length bytes of obj at off. Every byte of the body is of obj's version, or Fetch or the body's Read fails (with
	// origin.ErrVersionChanged if the origin holds another version now).
	Fetch(ctx context.Context, obj *origin.Object, off, length int64) (io.ReadCloser, error)
}

// Borrowed tells how many of the bytes that were read from a Source's body came from another sidecar, and not from the origin: a body that knows has a method of this name.
func Borrowed(body any) int64 {
	if b, ok := body.(interface{ Borrowed() int64 }); ok {
		return b.Borrowed()
	}
	return 0
}

// Errors of a Disk. None of them ever reaches a reader: the cache reads the origin instead.
var (
	ErrAbsent  = errors.New("page is not on disk")
	ErrCorrupt = errors.New("page failed its checksum")
	ErrSick    = errors.New("disk did not answer in time or failed")
)

// Disk is a tier that keeps pages over restarts. All methods may be called in parallel. cache/disk implements it.
type Disk interface {
	// Contains answers from the index in memory, without touching the device.
	Contains(k Key) bool
	// Read returns n bytes from offset off of the page k, after checking the sums of every 64 KiB block it touched. The page's whole
	// length is pageLen (the key fixes it; a stored page of another length is ErrAbsent). It waits no longer than the tier's
	// read deadline, whatever the device does. On any error nothing was returned and the caller reads the origin.
	Read(ctx context.Context, k Key, pageLen, off, n int) (Buf, error)
	// Write queues a page and returns at once; false means that the queue was full and the page was shed. data must not change
	// afterwards. done (may be nil) is called once for a queued page, with whether it is now readable from this tier.
	Write(k Key, class uint8, data []byte, done func(stored bool)) bool
}

// Places is what a Disk offers besides, where clients may read its segments themselves (docs/protocol.md). A Disk need not implement it. All
// methods may be called in parallel and touch no device.
type Places interface {
	// Directories are those whose segments may be read by clients now. A number is never given to another directory while the process
	// lives.
	Directories() []Directory
	// Place tells where a page lies now, without counting a read. It is false where the page is not there, or its device is set aside, or
	// clients may not read that directory. The place stays right until the segment is retired; a read from it must be checked in any case.
	Place(k Key) (Place, bool)
	// Touch counts a read of a page that a client made itself, as Read counts its own; it returns what the page is. False: it is gone.
	Touch(k Key) (Place, bool)
	// Retired names the segments that were removed, or became unreadable, since a moment, and tells the moment now. ok is false if that
	// moment is too long ago or of another process: the caller then forgets every place it knows.
	Retired(since uint64) (gone []SegmentID, now uint64, ok bool)
}

// Directory is a directory of segments that clients may read.
type Directory struct {
	Number uint16
	ID     string // its identity: 32 hex digits, in alio-disk.json within it
	Path   string // as this process has it
}

// SegmentID names a segment file: Directory is a Directory's number, the rest is the file's name (segfile.Name). It is never used again.
type SegmentID struct {
	Instance  uint64
	Seq       uint64
	Directory uint16
}

// Place is where a page lies on disk.
type Place struct {
	Segment SegmentID
	Off     int64 // of the record's header in the segment, a multiple of segfile.Align
	Length  int   // of the page
	Class   uint8
}

// Buf is bytes on loan: Free hands them back, after which they must not be touched. The zero Buf is empty and Free is safe on it.
type Buf struct {
	B    []byte
	free func()
}

// NewBuf lends b; free (may be nil) is called once, when the borrower is done.
func NewBuf(b []byte, free func()) Buf { return Buf{B: b, free: free} }

// Lent reports whether Free gives anything back: a page of the memory tier is shared with it, a page of the disk tier is on loan.
func (b Buf) Lent() bool { return b.free != nil }

// Free ends the loan. It may be called once.
func (b Buf) Free() {
	if b.free != nil {
		b.free()
	}
}
