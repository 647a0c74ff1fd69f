package disk

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// BenchmarkHit reads pages whose bytes are in the page cache, and prints how much longer that takes than a pread of the same bytes of the same
// file, the two taken in turns in one run.
func BenchmarkHit(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			h, keys := benchTier(b, size)
			files := make([]vfs.File, len(keys))
			at := make([]int64, len(keys))
			for i, k := range keys {
				e, _ := h.index.peek(k)
				files[i], at[i] = h.table.get(e.slot).file, e.location().Off+int64(segfile.RecordHeaderSize(size))
			}
			p := make([]byte, size)
			var raw, hit time.Duration
			b.SetBytes(int64(size))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n, r := i%len(keys), (i+len(keys)/2)%len(keys) // far apart: neither finds the other's bytes in the processor's caches
				i++
				t0 := time.Now()
				if _, err := files[r].ReadAt(p, at[r]); err != nil {
					b.Fatal(err)
				}
				t1 := time.Now()
				buf, err := h.Read(context.Background(), keys[n], size, 0, size)
				if err != nil {
					b.Fatal(err)
				}
				buf.Free()
				raw, hit = raw+t1.Sub(t0), hit+time.Since(t1)
			}
			b.ReportMetric(float64(hit)/float64(raw), "x-pread")
			b.ReportMetric(float64(hit.Nanoseconds())/float64(i), "ns/hit")
		})
	}
}

// BenchmarkIndex finds a page and lets go of it again, on 1, 2 and 16 goroutines: random ones of 10,000 in 64 segments, and the same one.
func BenchmarkIndex(b *testing.B) {
	var x index
	var table segmentTable
	x.release = func(s *segment) { s.letGo() }
	segs := make([]*segment, 64)
	for i := range segs {
		segs[i] = &segment{}
		table.add(segs[i])
	}
	keys := make([]cache.Key, 10_000)
	part := cache.HashPart("x")
	for i := range keys {
		keys[i] = part.Page(int64(i), 1)
		x.insert(newEntry(segfile.Location{Key: keys[i], Off: int64(64 + 128*i), Length: 1}, segs[i%64].slot))
	}
	for what, of := range map[string]int{"random": len(keys), "same": 1} {
		for _, goroutines := range []int{1, 2, 16} {
			b.Run(fmt.Sprintf("%s-%d", what, goroutines), func(b *testing.B) {
				b.ReportAllocs()
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() {
						for i, n := g*7919, b.N/goroutines; n > 0; n-- {
							i += 7919
							seg, _ := x.acquire(keys[i%of], 1, &table)
							seg.letGo()
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

func benchTier(b *testing.B, size int) (*harness, []cache.Key) {
	o := Options{Dir: filepath.Join(b.TempDir(), "cache"), Size: 256 << 20, SegmentSize: 8 << 20, Sync: SyncNever}
	h := openTier(b, o)
	var keys []cache.Key
	for n := range uint64(min(2000, (64<<20)/size)) {
		k, data := sizedPage(n, size)
		if !h.put(k, 0, data) {
			b.Fatal("not stored")
		}
		keys = append(keys, k)
	}
	return h, keys
}

// BenchmarkOpen is what a restart costs a page: 64 segments of 16,000 small pages each, sealed.
func BenchmarkOpen(b *testing.B) {
	m := vfs.NewMem()
	o := Options{Dir: "/cache", Size: 1 << 40, FS: m}
	o.SegmentSize = o.withDefaults().SegmentSize
	need(b, m.MkdirAll("/cache/segments", 0o750))
	t, err := New(o)
	need(b, err)
	need(b, t.writeIdentity(false))
	const segments, pages = 64, 16_000
	part := cache.HashPart("x")
	for s := range uint64(segments) {
		h := segfile.Header{Instance: 1, Seq: s}
		list := make([]segfile.Location, pages)
		for i := range list {
			list[i] = segfile.Location{Key: part.Page(int64(s)<<32|int64(i), 1), Off: int64(segfile.HeaderSize + 128*i), Length: 1}
		}
		end := int64(segfile.HeaderSize + 128*pages)
		writeFile(b, m, t.segmentPath(1, s), 0, h.Encode())
		writeFile(b, m, t.segmentPath(1, s), end, segfile.EncodeFooter(h, list, end))
	}
	for b.Loop() {
		t, err := New(o)
		need(b, err)
		need(b, t.Open(context.Background()))
		if s := t.Stats(); s.Pages != segments*pages {
			b.Fatalf("%+v", s)
		}
		b.StopTimer()
		need(b, t.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(segments*pages), "ns/page")
}

// BenchmarkWrite stores pages of 64 KiB as fast as the queue takes them.
func BenchmarkWrite(b *testing.B) {
	o := Options{Dir: filepath.Join(b.TempDir(), "cache"), Size: 1 << 30, Sync: SyncNever}
	h := openTier(b, o)
	_, data := sizedPage(1, 64<<10)
	part := cache.HashPart("w")
	b.SetBytes(64 << 10)
	done := make(chan bool, 512)
	b.ReportAllocs()
	waiting, n := 0, int64(0)
	for b.Loop() {
		if waiting == cap(done) {
			<-done
			waiting--
		}
		if !h.Write(part.Page(n, 64<<10), 0, data, func(ok bool) { done <- ok }) {
			b.Fatal("shed")
		}
		waiting, n = waiting+1, n+1
	}
	for range waiting {
		<-done
	}
}
