package cache

import "github.com/alio-lake/alio/origin"

// Request asks for a range of an object. The caller has already clamped it: 0 <= Offset, 0 < Length, Offset+Length <= Object.Size, and
// no further than Object.Settled: what may still change is not cached, and refused with origin.ErrUnsupported.
type Request struct {
	// View is the object and its layout, for a caller that reads it more than once: no part id is then hashed. Object and Layout are not
	// looked at then.
	View   *View
	Object *origin.Object // at a version that is known; not changed by the cache, not to be changed by the caller
	Layout Layout
	Source Source
	Offset int64
	Length int64
}

// ReadStats says where the bytes of one read came from, in bytes of the answer, and what they cost.
type ReadStats struct {
	Memory  int64 // bytes served from the memory tier
	Disk    int64 // bytes served from the disk tier
	Origin  int64 // bytes served from a fill that the origin answered, this reader's own or one it joined
	Peer    int64 // bytes served from a fill that another sidecar answered
	Fetched int64 // bytes that this reader's own fills asked the origin for
	Fills   int   // origin requests that this reader's own fills made
}
