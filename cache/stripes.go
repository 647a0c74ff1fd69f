package cache

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// stripes are counters that every hit raises. Each exists many times, and a goroutine raises its own copy, as good as: processors that raise one
// counter in turns pass its cache line around, at 50 to 100 ns each time, which is more than all the rest of a hit in memory costs.
type stripes struct {
	all   []atomic.Int64 // copy after copy
	width int            // counters of a copy, and what keeps copies on different cache lines
	shift int            // 64 less the bits of a copy's number
}

// newStripes makes n counters in eight copies for each processor, between 16 and 256: with 16 readers at work on 16 processors, one pair of
// them, on average, shares a copy.
func newStripes(n int) stripes {
	const line = lineBytes / 8
	copies := 1 << bits.Len(uint(min(max(8*runtime.NumCPU(), 16), 256)-1))
	width := (n + line - 1) / line * line
	return stripes{all: make([]atomic.Int64, copies*width), width: width, shift: 64 - bits.Len(uint(copies-1))}
}

// mine returns the counters for the goroutine that asks. It goes by where the stack lies, of which each goroutine has one of its own, of at
// least 2 KiB; nothing depends on its always being the same.
func (s *stripes) mine() []atomic.Int64 {
	var here byte
	i := int(uint64(uintptr(unsafe.Pointer(&here))) >> 11 * 0x9E3779B97F4A7C15 >> s.shift)
	return s.all[i*s.width:][:s.width]
}

// sum is the value of a counter.
func (s *stripes) sum(counter int) (n int64) {
	for i := counter; i < len(s.all); i += s.width {
		n += s.all[i].Load()
	}
	return n
}
