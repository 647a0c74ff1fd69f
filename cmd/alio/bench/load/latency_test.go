package load

import (
	"math"
	"slices"
	"testing"
	"time"
)

// A plain sorted list is what quantiles are held against.
func TestQuantilesAgreeWithASortedList(t *testing.T) {
	rng := random(t)
	for range 200 {
		var l, other Latencies
		var all []time.Duration
		for range 1 + rng.IntN(2000) {
			d := time.Duration(math.Exp(rng.Float64() * 30)) // 1 ns to 3 hours
			all = append(all, d)
			if rng.IntN(2) == 0 {
				l.Add(d)
			} else {
				other.Add(d)
			}
		}
		l.Merge(&other)
		slices.Sort(all)
		for _, q := range []float64{0.001, .1, .5, .9, .99, .999, 1} {
			want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
			if got := l.Quantile(q); math.Abs(float64(got-want)) > .004*float64(want) {
				t.Fatalf("quantile %v of %d times is %v, want %v to 0.4 %%", q, len(all), got, want)
			}
		}
		if l.Count() != int64(len(all)) {
			t.Fatalf("%d counted, want %d", l.Count(), len(all))
		}
	}
}

func TestQuantilesAtTheEdges(t *testing.T) {
	var l Latencies
	if l.Quantile(.5) != 0 {
		t.Error("no times have a median")
	}
	l.Add(-time.Second)
	if l.Quantile(1) != 0 {
		t.Error("a clock that went back does not count as 0")
	}
	l.Add(1 << 62)
	if got := l.Quantile(1); got < 1<<45 {
		t.Errorf("a time beyond all buckets counts as %v", got)
	}
	for i := range 256 {
		if middle(bucketOf(time.Duration(i))) != time.Duration(i) {
			t.Errorf("%d ns is not exact", i)
		}
	}
	for d := time.Duration(256); d < 1<<45; d += d/100 + 1 {
		if b := bucketOf(d); b < 0 || b >= latencyBuckets || bucketOf(middle(b)) != b {
			t.Fatalf("%v: bucket %d, and its middle %v is in another", d, b, middle(b))
		}
	}
}

func TestThroughputIsBytesPerWall(t *testing.T) {
	r := Result{Bytes: 3e9, Wall: 2 * time.Second}
	if r.GBPerSecond() != 1.5 {
		t.Errorf("%v GB/s", r.GBPerSecond())
	}
}
