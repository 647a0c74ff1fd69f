package disk

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// Options configures a Tier. Dir and Size are required; the zero of everything else means its default.
type Options struct {
	// Dir is the tier's directory, on a local file system; it is made if need be. One that holds anything of somebody else's is refused.
	Dir string
	// Size is the most bytes of the device that the directory may take, all of it counted: active segments at their full size, segments of an
	// unknown format, removed ones that have not yet given their room back, the directory itself.
	Size int64
	// SegmentSize is the size of a segment in bytes. Default: Size/32, at least 1 MiB and 64 KiB (so that the largest page fits), at
	// most 64 MiB, or more where there would be over 8,192 segments.
	SegmentSize int64
	// WriteQueue bounds the bytes of pages that wait to be written. Default 64 MiB.
	WriteQueue int64
	// ReadDeadline is how long a read may wait for the device. Default 500 ms.
	ReadDeadline time.Duration
	// WriteDeadline is how long storing one page may take, making room for it included, before the device counts as hung and pages are shed instead
	// of queued. Default 10 s.
	WriteDeadline time.Duration
	// Readers is how many reads may wait for the device at once. Default 32.
	Readers int
	// FailAfter is after how many device failures in a row the device is set aside. Default 4.
	FailAfter int
	// Grace is how long a removed segment stays readable to clients of other processes that hold it open; then its room is given back under
	// them, and earlier when it is needed. Until then it counts. Default 2 s.
	Grace time.Duration
	// Sync says when data is made durable. Default SyncAtSeal.
	Sync SyncMode
	// Protected says which classes hold metadata, which scans of data should not displace. Default: none. It must be quick, and safe for
	// parallel use.
	Protected func(class uint8) bool
	// FS is the file system. Default vfs.OS.
	FS vfs.FS
	// Log takes the rare events. The zero Logger writes nothing.
	Log zerolog.Logger
	// Registerer takes the metrics; nil for none. Two tiers in one registry need it wrapped with a label each.
	Registerer prometheus.Registerer
}

// SyncMode says when a Tier makes what it wrote durable. Truth does not depend on it, since every read is checked: only how much a power loss
// costs does. A process that is killed loses nothing that was written, in any mode.
type SyncMode uint8

const (
	// SyncAtSeal syncs a segment when it is full: a power loss costs at most the active segments.
	SyncAtSeal SyncMode = iota
	// SyncNever leaves it to the operating system.
	SyncNever
)

const (
	maxSegments     = 8192
	minSegmentSize  = 4 << 10
	maxSegmentSize  = 4 << 30
	autoSegmentMin  = cache.MaxPage + 64<<10
	autoSegmentMax  = 64 << 20
	segmentOverhead = 16 << 10 // what a file system may take for a file beside its data (extent blocks)
	multiStreamFrom = 16       // segments of Size, from which the streams are kept apart
	fewestSegments  = 4        // an active one, room for the next, and two to hold pages
)

func (o Options) withDefaults() Options {
	if o.SegmentSize == 0 {
		o.SegmentSize = min(max(o.Size/32, autoSegmentMin), autoSegmentMax)
		if o.Size/o.SegmentSize > maxSegments {
			o.SegmentSize = (o.Size/maxSegments + 1<<20) &^ (1<<20 - 1)
		}
	}
	if o.WriteQueue == 0 {
		o.WriteQueue = 64 << 20
	}
	if o.ReadDeadline == 0 {
		o.ReadDeadline = 500 * time.Millisecond
	}
	if o.WriteDeadline == 0 {
		o.WriteDeadline = 10 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 32
	}
	if o.FailAfter == 0 {
		o.FailAfter = 4
	}
	if o.Grace == 0 {
		o.Grace = 2 * time.Second
	}
	if o.Protected == nil {
		o.Protected = func(uint8) bool { return false }
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if o.Dir == "" {
		bad("disk: no directory given")
	}
	if o.Size <= 0 {
		bad("disk: size %d: must be above 0", o.Size)
	} else if o.SegmentSize < minSegmentSize || o.SegmentSize > maxSegmentSize {
		bad("disk: segment size %d: must be from %d to %d bytes", o.SegmentSize, minSegmentSize, int64(maxSegmentSize))
	} else if least := o.smallestSize(); o.Size < least {
		bad("disk: size %d is too small for segments of %d bytes: give at least %d", o.Size, o.SegmentSize, least)
	} else if o.Size/o.SegmentSize > maxSegments {
		bad("disk: segment size %d makes over %d segments of size %d: give at least %d", o.SegmentSize, maxSegments, o.Size, o.Size/maxSegments+1)
	}
	if o.WriteQueue < 0 {
		bad("disk: write queue %d: must be above 0 bytes", o.WriteQueue)
	}
	if o.ReadDeadline < 0 {
		bad("disk: read deadline %v: must be above 0", o.ReadDeadline)
	}
	if o.WriteDeadline < 0 {
		bad("disk: write deadline %v: must be above 0", o.WriteDeadline)
	}
	if o.Readers < 0 {
		bad("disk: readers %d: must be above 0", o.Readers)
	}
	if o.FailAfter < 0 {
		bad("disk: fail after %d: must be above 0", o.FailAfter)
	}
	if o.Grace < 0 {
		bad("disk: grace %v: must be above 0", o.Grace)
	}
	if o.Sync > SyncNever {
		bad("disk: sync mode %d: unknown", o.Sync)
	}
	return errors.Join(errs...)
}

// charge is what an active segment is counted as, from the moment it is made.
func (o Options) charge() int64 { return wholeBlocks(o.SegmentSize) + segmentOverhead }

// mostSegments bounds how many files there are: sealed segments may be smaller than SegmentSize, after restarts.
func (o Options) mostSegments() int { return int(min(maxSegments, 2*(o.Size/o.SegmentSize)+16)) }

// slack is room that directories may grow by: an entry takes less than 128 bytes.
func (o Options) slack() int64 { return 16<<10 + 128*int64(o.mostSegments()) }

// smallestSize is the least Size for the SegmentSize: so many segments, the identity, the lock and two directories, and slack, of which
// 256 bytes a segment grow with Size.
func (o Options) smallestSize() int64 {
	fixed := fewestSegments*o.charge() + 64<<10
	return wholeBlocks(fixed * o.SegmentSize / (o.SegmentSize - 256))
}

func wholeBlocks(n int64) int64 { return (n + 4095) &^ 4095 }
