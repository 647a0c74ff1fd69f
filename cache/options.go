package cache

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Defaults of Options.
const (
	DefaultMemory        = 256 << 20
	DefaultMetadataShare = 0.5
	DefaultFillSpan      = 16 << 20
	DefaultFillMemory    = 64 << 20
	DefaultUpOdds        = 8
)

// minMemory is the least memory limit, in bytes. A page that does not fit the tier is served all the same, but not kept.
const minMemory = 1 << 20

// Options says how large a cache may grow and what it stands on. The zero value is a cache in memory with the defaults.
type Options struct {
	// Memory is the hard limit of the memory tier in bytes, with each page's overhead and the ghosts (default 256 MiB). Pages that
	// readers hold, and pages on their way (FillMemory), come on top.
	Memory int64
	// MetadataShare is the fraction of Memory that data cannot take from metadata, above 0 and at most 1 (default 0.5).
	MetadataShare float64
	// FillSpan is the most bytes that one origin request asks for (default 16 MiB, at least MaxPage). Longer reads go in
	// windows of this size, the next one when the one before has been consumed.
	FillSpan int64
	// FillMemory is the most bytes of pages on their way in all fills together, from the request until their readers took them
	// (default 64 MiB, at least FillSpan). What slow readers leave lying gives way to new fills.
	FillMemory int64
	// Disk is the tier below memory; nil for none. The cache does not close it.
	Disk Disk
	// UpOdds is in how many reads of a whole page on disk one moves the page up into memory, where memory has room for it (default 8); where
	// others must go for it, it is one in eight times as many. -1: no page moves up but of metadata.
	UpOdds int
	// Metadata says which classes are metadata: protected in memory, and kept there beside disk. nil: none is.
	Metadata func(class uint8) bool
	// ClassNames are the classes' names by number, for metrics. Other classes are counted as "unknown".
	ClassNames []string
	// Registerer receives the metrics; nil registers none.
	Registerer prometheus.Registerer
	// Logger receives what an operator should look at. The zero value is silent.
	Logger zerolog.Logger
}

func (o Options) withDefaults() Options {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.MetadataShare == 0 {
		o.MetadataShare = DefaultMetadataShare
	}
	if o.FillSpan == 0 {
		o.FillSpan = DefaultFillSpan
	}
	if o.FillMemory == 0 {
		o.FillMemory = max(DefaultFillMemory, o.FillSpan)
	}
	if o.UpOdds == 0 {
		o.UpOdds = DefaultUpOdds
	}
	if o.Metadata == nil {
		o.Metadata = func(uint8) bool { return false }
	}
	return o
}

// Validate reports every fault of the options at once. Zero fields stand for their defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(o.Memory < minMemory, "cache memory of %d bytes is below the least of %d (1 MiB): give it more", o.Memory, minMemory)
	fault(!(o.MetadataShare > 0 && o.MetadataShare <= 1), "metadata share of %v is not a fraction above 0 and at most 1", o.MetadataShare)
	fault(o.FillSpan < MaxPage, "fill span of %d bytes is smaller than the largest page (%d, 1 MiB): make it larger", o.FillSpan, MaxPage)
	fault(o.FillMemory < o.FillSpan, "fill memory of %d bytes cannot hold one fill of %d bytes (fill span): make it larger, or the span smaller", o.FillMemory, o.FillSpan)
	fault(o.UpOdds < -1 || o.UpOdds > 1<<20, "up odds of one in %d: want 1 (each read of a whole page on disk moves it up) to 1048576, or -1 for none", o.UpOdds)
	fault(len(o.ClassNames) > 256, "%d class names given, a class is one of 256", len(o.ClassNames))
	seen := map[string]bool{unknownClass: true}
	for i, name := range o.ClassNames {
		fault(name == "" || seen[name], "class name %d, %q, is empty, taken or reserved", i, name)
		seen[name] = true
	}
	return errors.Join(faults...)
}
