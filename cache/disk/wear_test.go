package disk

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// What eviction keeps, and what keeping it costs the device, on deterministic traces: requests that follow a Zipf law over a set ten times the
// tier's size, and scans of pages that nobody reads again. Where it drifts, a quarter of the set changes places with pages of all ranks each time as many
// pages were asked for as the set has. A miss is stored, as the cache does.

const (
	wearPage    = 4 << 10
	wearSegment = 256 << 10
	wearScan    = 5 // of 20 requests are a scan's
)

// kind of a trace.
type kind struct {
	alpha       float64
	scan, drift bool
}

func (k kind) String() string {
	return fmt.Sprintf("zipf=%v/scan=%v/drift=%v", k.alpha, k.scan, k.drift)
}

// trace draws page numbers.
type trace struct {
	rng   *rand.Rand
	sum   []float64 // of the law, up to each rank
	place []int     // of each rank
	scan  bool
	drift int    // requests until the next drift; 0: never
	next  uint64 // page of the scan
	left  int    // requests until the scan, or the law, has its turn again
	turn  bool
}

func newTrace(pages int, k kind) *trace {
	t := &trace{rng: rand.New(rand.NewPCG(1, uint64(k.alpha*100))), scan: k.scan, next: 1 << 40}
	if k.drift {
		t.drift = pages
	}
	sum := 0.0
	for r := range pages {
		sum += math.Pow(float64(r+1), -k.alpha)
		t.sum = append(t.sum, sum)
	}
	t.place = t.rng.Perm(pages)
	return t
}

func (t *trace) page() uint64 {
	if t.left--; t.scan && t.left < 0 { // in runs, as scans come
		t.turn = !t.turn
		t.left = 15 * 200
		if t.turn {
			t.left = wearScan * 200
		}
	}
	if t.scan && t.turn {
		t.next++
		return t.next
	}
	if t.drift > 0 {
		if t.drift--; t.drift == 0 {
			t.drift = len(t.place)
			for range len(t.place) / 8 { // two places each
				i, j := t.rng.IntN(len(t.place)), t.rng.IntN(len(t.place))
				t.place[i], t.place[j] = t.place[j], t.place[i]
			}
		}
	}
	r, _ := slices.BinarySearch(t.sum, t.rng.Float64()*t.sum[len(t.sum)-1])
	return uint64(t.place[min(r, len(t.place)-1)])
}

// wear is what a policy made of a trace.
type wear struct {
	hits          float64 // of all requests
	amplification float64 // bytes written to the device by bytes of pages stored
	perRequest    float64 // bytes written to the device by bytes asked for
}

// play runs a trace through a tier whose writer works within the call, so that the outcome is the same each time. The first third warms up.
func play(t testing.TB, p evictionPolicy, k kind, segments, requests int) wear {
	r := prometheus.NewRegistry()
	o := Options{Dir: "/cache", SegmentSize: wearSegment, FS: vfs.NewMem(), Sync: SyncNever, Registerer: r}
	o.Size = int64(segments) * o.charge()
	tier, err := New(o)
	need(t, err)
	need(t, tier.Open(context.Background()))
	defer func() { need(t, tier.Close()) }()
	tier.w.policy = p
	data := make([]byte, wearPage)
	tr := newTrace(segments*wearSegment/wearPage*10, k)
	part := cache.HashPart("wear")
	hits := 0
	var written, stored float64
	for i := range requests {
		if i == requests/3 {
			hits, written, stored = 0, counter(t, r, "alio_disk_written_bytes_total", ""), counter(t, r, "alio_disk_stored_bytes_total", "")
		}
		key := part.Page(int64(tr.page()), wearPage)
		if _, ok := tier.Touch(key); ok {
			hits++
			continue
		}
		tier.w.writeBatch([]item{{key: key, data: data}})
		tier.reap()
	}
	written = counter(t, r, "alio_disk_written_bytes_total", "") - written
	stored = counter(t, r, "alio_disk_stored_bytes_total", "") - stored
	n := float64(requests - requests/3)
	return wear{hits: float64(hits) / n, amplification: written / stored, perRequest: written / (n * wearPage)}
}

// playLRU is the same with a list of pages in the order of their last use, of the same size, for comparison.
func playLRU(k kind, segments, requests int) float64 {
	tr := newTrace(segments*wearSegment/wearPage*10, k)
	order, at := list.New(), map[uint64]*list.Element{}
	hits := 0
	for i := range requests {
		if i == requests/3 {
			hits = 0
		}
		n := tr.page()
		if e := at[n]; e != nil {
			hits++
			order.MoveToFront(e)
			continue
		}
		at[n] = order.PushFront(n)
		if len(at) > segments*wearSegment/wearPage {
			e := order.Back()
			delete(at, e.Value.(uint64))
			order.Remove(e)
		}
	}
	return float64(hits) / float64(requests-requests/3)
}

var valueFunctions = []struct {
	name  string
	value func(standing) float64
}{
	{"least live", func(s standing) float64 { return s.live }},
	{"least read", func(s standing) float64 { return s.read }},
	{"read - age", func(s standing) float64 { return s.read + s.live - s.age }},
	{"2 read - age", func(s standing) float64 { return 2*s.read + s.live - s.age }},
	{"4 read - age", worth},
	{"8 read - age", func(s standing) float64 { return 8*s.read + s.live - s.age }},
}

// TestEvictionIsWorthIt: on a trace with scans whose popular pages change, what is kept beats the last-used pages and the segments with the least live
// bytes by two points, and costs the device no more for each byte asked for.
func TestEvictionIsWorthIt(t *testing.T) {
	const segments, requests = 20, 20 * wearSegment / wearPage * 20
	k := kind{alpha: 0.9, scan: true, drift: true}
	lru := playLRU(k, segments, requests)
	plain := play(t, evictionPolicy{func(s standing) float64 { return s.live }, 1. / 4}, k, segments, requests)
	ours := play(t, defaultPolicy, k, segments, requests)
	t.Logf("LRU %.3f; least live %+v; ours %+v", lru, plain, ours)
	if ours.hits < lru+0.02 || ours.hits < plain.hits+0.02 || ours.perRequest > plain.perRequest || ours.amplification > 1.25 {
		t.Errorf("LRU %.3f; least live %+v; ours %+v", lru, plain, ours)
	}
}

// BenchmarkEviction prints the table of doc.go: value functions, and shares carried, on four traces. ALIO_WEAR_SEGMENTS is the tier's size in segments.
func BenchmarkEviction(b *testing.B) {
	segments := 100
	if v := os.Getenv("ALIO_WEAR_SEGMENTS"); v != "" {
		_, err := fmt.Sscan(v, &segments)
		need(b, err)
	}
	requests := segments * wearSegment / wearPage * 60
	for _, k := range []kind{{0.9, false, false}, {0.9, true, false}, {0.9, true, true}, {1.1, true, false}, {1.1, true, true}} {
		b.Run(k.String()+"/LRU", func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(playLRU(k, segments, requests), "hits")
			}
		})
		for _, v := range valueFunctions {
			for _, carry := range []float64{0, 1. / 8, 1. / 4, 1. / 2} {
				b.Run(fmt.Sprintf("%v/%s/carry=%v", k, v.name, carry), func(b *testing.B) {
					for b.Loop() {
						w := play(b, evictionPolicy{v.value, carry}, k, segments, requests)
						b.ReportMetric(w.hits, "hits")
						b.ReportMetric(w.amplification, "written/stored")
						b.ReportMetric(w.perRequest, "written/asked")
					}
				})
			}
		}
	}
}
