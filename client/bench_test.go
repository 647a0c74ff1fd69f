package client

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkWarm reads pages that are in the operating system's page cache, and prints how much longer that takes than a bare pread of the same
// bytes of the same files, the two taken in turns in one run. "4KiB-of-64KiB" reads 4 KiB of a page of 64 KiB, whose one checksum
// covers all of it.
func BenchmarkWarm(b *testing.B) {
	for _, c := range []struct{ read, page int }{{4 << 10, 4 << 10}, {4 << 10, 64 << 10}, {64 << 10, 64 << 10}, {64 << 10, 1 << 20}, {1 << 20, 1 << 20}} {
		for _, readers := range []int{1, 16} {
			for _, mapped := range []bool{false, true} {
				name := fmt.Sprintf("%dKiB-of-%dKiB/readers=%d/mmap=%v", c.read>>10, c.page>>10, readers, mapped)
				b.Run(name, func(b *testing.B) { benchWarm(b, c.read, c.page, readers, mapped) })
			}
		}
	}
}

func benchWarm(b *testing.B, read, page, readers int, mapped bool) {
	r := newRig(b, func(o *Options) { o.Mmap = mapped })
	const size = 256 << 20
	o := r.object("a", size, page)
	perSegment := (8 << 20) / page
	var files []*os.File
	for p := 0; p < o.pages(); p += perSegment {
		var pages []int
		for i := p; i < p+perSegment; i++ {
			pages = append(pages, i)
		}
		s := r.store(o, pages...)
		sealSegment(b, s)
		file, err := os.Open(s.path)
		need(b, err)
		defer file.Close()
		files = append(files, file)
	}
	f := r.open("a")
	whole := make([]byte, 1<<20)
	for off := int64(0); off < size; off += 1 << 20 { // opens, and maps
		_, err := f.ReadAt(whole, off)
		need(b, err)
	}
	var raw, hit, count atomic.Int64
	b.SetBytes(int64(read))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range readers {
		wg.Go(func() {
			p := make([]byte, read)
			var mine [2]time.Duration
			n := g * 977
			for ; int(count.Add(1)) <= b.N; n++ {
				at := n * 7919 % (size / read)
				other := (at + size/read/2) % (size / read) // far apart: neither finds the other's bytes in the processor's caches
				off := other * read
				in := o.places[off/page].Records[0]*64 + 128 + uint32(off%page)
				t0 := time.Now()
				if _, err := files[off/page/perSegment].ReadAt(p, int64(in)); err != nil {
					b.Error(err)
				}
				t1 := time.Now()
				if _, err := f.ReadAt(p, int64(at*read)); err != nil {
					b.Error(err)
				}
				mine[0], mine[1] = mine[0]+t1.Sub(t0), mine[1]+time.Since(t1)
			}
			raw.Add(int64(mine[0]))
			hit.Add(int64(mine[1]))
		})
	}
	wg.Wait()
	b.ReportMetric(float64(hit.Load())/float64(raw.Load()), "x-pread")
	b.ReportMetric(float64(hit.Load())/float64(b.N), "ns/hit")
	if r.remote() != 0 {
		b.Fatalf("%v bytes came from the sidecar", r.remote())
	}
}
