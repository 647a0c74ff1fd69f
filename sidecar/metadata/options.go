package metadata

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Defaults of Options.
const (
	DefaultMemory         = 32 << 20 // bytes
	DefaultLookupDeadline = 200 * time.Millisecond
	DefaultFenceDeadline  = 5 * time.Second
)

// The least that a store can work with, in bytes.
const (
	MinSize   = 16 << 20
	MinMemory = 4 << 20
)

// Options configure a Store.
type Options struct {
	// Dir is the store's directory, on a local file system, used by nothing else. It is made if need be. Required.
	Dir string
	// Size bounds what the directory takes on disk, everything counted, in bytes. Required, at least MinSize.
	Size int64
	// Memory bounds the block cache, what is not yet in sorted files, and what waits to be written, in bytes (default 32 MiB).
	Memory int64
	// LookupDeadline is how long a Load waits for the device; then there is nothing (default 200 ms).
	LookupDeadline time.Duration
	// FenceDeadline is how long a fence waits to be durable (default 5 s). Then the whole store is given up: it is not looked into any more,
	// and is removed as soon as the device lets it.
	FenceDeadline time.Duration
	// FS is the file system (default: the operating system's).
	FS vfs.FS
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	Logger     zerolog.Logger

	shareForTests int64 // of a generation, in the place of share's
}

func (o *Options) setDefaults() {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.LookupDeadline == 0 {
		o.LookupDeadline = DefaultLookupDeadline
	}
	if o.FenceDeadline == 0 {
		o.FenceDeadline = DefaultFenceDeadline
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("no directory"))
	}
	if o.Size < MinSize {
		faults = append(faults, fmt.Errorf("a size of %d bytes is too small: give at least %d", o.Size, MinSize))
	}
	if o.Memory != 0 && o.Memory < MinMemory {
		faults = append(faults, fmt.Errorf("memory of %d bytes is too small: give at least %d", o.Memory, MinMemory))
	}
	if o.LookupDeadline < 0 || o.FenceDeadline < 0 {
		faults = append(faults, errors.New("a deadline is negative"))
	}
	return errors.Join(faults...)
}

// share is how large a generation may become: two of them, and a quarter of the size for what compactions write before they remove what they
// have read, for logs, and for what files round up to.
func (o *Options) share() int64 {
	if o.shareForTests > 0 {
		return o.shareForTests
	}
	return o.Size * 3 / 8
}

// reserve is how much of the size is kept free by dropping the old generation before its time.
func (o *Options) reserve() int64 { return o.Size / 8 }

// memtable is how many bytes of new entries are kept sorted in memory before they become a file. There are at most two of a generation.
func (o *Options) memtable() int64 { return min(max(o.Memory/16, 256<<10), o.Size/32) }

// queue is how many bytes of answers may wait to be written.
func (o *Options) queue() int64 { return o.Memory / 8 }
