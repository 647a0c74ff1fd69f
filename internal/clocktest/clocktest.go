// Package clocktest makes times as time.Now would have read them had the day's clock been set meanwhile: what the clock on the wall says has jumped, what has really gone by has not.
// It is for tests only, and changes no clock. Start at Jumped.
package clocktest

import (
	"time"
	"unsafe"
)

// layout is time.Time's: wall has a flag for a monotonic reading, 33 bits of seconds since 1885 and 30 bits of nanoseconds; ext is the monotonic reading.
type layout struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

const hasMonotonic = 1 << 63

// Jumped is t, which time.Now has read, as it would be had the wall clock then been set by so much (whole seconds). It panics where time.Time is not as this package knows it: then this package has to change.
func Jumped(t time.Time, by time.Duration) time.Time {
	out := t
	l := (*layout)(unsafe.Pointer(&out))
	if unsafe.Sizeof(out) != unsafe.Sizeof(layout{}) || l.wall&hasMonotonic == 0 {
		panic("clocktest: the time has no monotonic reading")
	}
	l.wall = uint64(int64(l.wall) + int64(by/time.Second)<<30)
	if out.Sub(t) != 0 || out.Round(0).Sub(t.Round(0)) != by/time.Second*time.Second {
		panic("clocktest: time.Time is not laid out as it was")
	}
	return out
}
