package load

import (
	"math/bits"
	"time"
)

// Latencies counts times in buckets that grow with the time: below 256 ns each nanosecond has its own, above it each power of two has 128, so a
// quantile is right to 0.4 % (the scheme of Gil Tene's HdrHistogram). It takes 20 KiB, allocates nothing, and belongs to one goroutine. The zero Latencies is
// empty.
type Latencies struct {
	buckets [latencyBuckets]uint32
	count   int64
	sum     time.Duration
	max     time.Duration
}

const (
	exactBits      = 8  // times below 2^8 ns are exact
	largestBits    = 46 // 2^46 ns are 19 hours; what is longer counts as that
	halfExact      = 1 << (exactBits - 1)
	latencyBuckets = 1<<exactBits + (largestBits-exactBits)*halfExact
)

// Add counts a time.
func (l *Latencies) Add(d time.Duration) {
	l.buckets[bucketOf(d)]++
	l.count++
	l.sum += d
	l.max = max(l.max, d)
}

// Merge adds what another has counted.
func (l *Latencies) Merge(o *Latencies) {
	for i, n := range &o.buckets {
		l.buckets[i] += n
	}
	l.count += o.count
	l.sum += o.sum
	l.max = max(l.max, o.max)
}

// Count is how many times were added.
func (l *Latencies) Count() int64 { return l.count }

// Sum is all times together.
func (l *Latencies) Sum() time.Duration { return l.sum }

// Quantile is the least time that at least the fraction q of all times do not exceed, for 0 < q <= 1; 0 if there is none.
func (l *Latencies) Quantile(q float64) time.Duration {
	if l.count == 0 {
		return 0
	}
	rank := min(max(int64(q*float64(l.count)+0.999999), 1), l.count)
	for i, n := range &l.buckets {
		if rank -= int64(n); rank <= 0 {
			return min(middle(i), l.max)
		}
	}
	return l.max
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<exactBits {
		return int(v)
	}
	v = min(v, 1<<largestBits-1)
	shift := bits.Len64(v) - exactBits
	return 1<<exactBits + (shift-1)*halfExact + int(v>>shift) - halfExact
}

// middle is the time in the middle of a bucket.
func middle(i int) time.Duration {
	if i < 1<<exactBits {
		return time.Duration(i)
	}
	i -= 1 << exactBits
	shift := i/halfExact + 1
	low := uint64(i%halfExact+halfExact) << shift
	return time.Duration(low + 1<<shift/2)
}
