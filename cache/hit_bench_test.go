package cache

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// hitReaders are how many goroutines hit at once.
var hitReaders = []int{1, 2, 16, 64}

// byReaders runs body in 1, 2, 16 and 64 goroutines, as near as GOMAXPROCS allows. body gets a number of its own in each.
func byReaders(b *testing.B, body func(b *testing.B, reader int64, pb *testing.PB)) {
	for _, readers := range hitReaders {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			procs := runtime.GOMAXPROCS(0)
			if readers < procs {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(readers))
				procs = readers
			}
			b.SetParallelism(readers / procs)
			b.ReportAllocs()
			numbers := make(chan int64, 2*readers)
			for i := range int64(cap(numbers)) {
				numbers <- i
			}
			b.RunParallel(func(pb *testing.PB) { body(b, <-numbers, pb) })
		})
	}
}

// hitCache holds 16 MiB of pages of a size, in memory or all on a disk that lends its own bytes (so that what is measured is this package's
// part of a disk hit). The memory limit is what a small sidecar has: one shard for all.
func hitCache(b *testing.B, onDisk bool, page int64) (*Cache, *View, []byte) {
	o := Options{Memory: 48 << 20}
	if onDisk {
		o.Disk = &lendingDisk{pages: map[Key][]byte{}}
	}
	c := newCache(b, o)
	obj, data := object("bench", 16<<20)
	v, err := NewView(obj, grid{size: page})
	if err != nil {
		b.Fatal(err)
	}
	c.Offer(obj, grid{size: page}, 0, data)
	if s := c.Stats(); (s.MemoryPages == 0) != onDisk {
		b.Fatalf("%d pages in memory", s.MemoryPages)
	}
	return c, v, data
}

// lendingDisk lends what it was given. It is filled before it is read.
type lendingDisk struct{ pages map[Key][]byte }

func (d *lendingDisk) Contains(k Key) bool {
	_, ok := d.pages[k]
	return ok
}

func (d *lendingDisk) Read(_ context.Context, k Key, pageLen, off, n int) (Buf, error) {
	p, ok := d.pages[k]
	if !ok || len(p) != pageLen {
		return Buf{}, ErrAbsent
	}
	return NewBuf(p[off:off+n], nil), nil
}

func (d *lendingDisk) Write(k Key, _ uint8, data []byte, done func(bool)) bool {
	d.pages[k] = data
	done(true)
	return true
}

// BenchmarkReadPage reads whole pages of a View: PageAt and ReadPage.
func BenchmarkReadPage(b *testing.B) {
	for _, tier := range []string{"memory", "disk"} {
		for _, page := range []int64{4 * kib, 64 * kib} {
			b.Run(fmt.Sprintf("%s/%dKiB", tier, page/kib), func(b *testing.B) {
				c, v, _ := hitCache(b, tier == "disk", page)
				size := v.Object().Size
				byReaders(b, func(b *testing.B, reader int64, pb *testing.PB) {
					ctx := context.Background()
					for i := reader * 7907; pb.Next(); i++ {
						pg, err := v.PageAt(i * 7919 * page % size)
						if err != nil {
							b.Fatal(err)
						}
						buf, ok := c.ReadPage(ctx, &pg, 0, page)
						if !ok || int64(len(buf.B)) != page {
							b.Fatal("a resident page was not read")
						}
						buf.Free()
					}
				})
			})
		}
	}
}

// BenchmarkHotPage has all readers ask for one and the same page in memory, whose key they know: what is left is what a hit shares.
func BenchmarkHotPage(b *testing.B) {
	c, v, _ := hitCache(b, false, 64*kib)
	pg, err := v.PageAt(0)
	if err != nil {
		b.Fatal(err)
	}
	byReaders(b, func(b *testing.B, _ int64, pb *testing.PB) {
		ctx, pg := context.Background(), pg
		for pb.Next() {
			buf, ok := c.ReadPage(ctx, &pg, 0, 64*kib)
			if !ok {
				b.Fatal("a resident page was not read")
			}
			buf.Free()
		}
	})
}

// BenchmarkOpen reads a page's worth by Open, Next and Close.
func BenchmarkOpen(b *testing.B) {
	for _, tier := range []string{"memory", "disk"} {
		for _, page := range []int64{4 * kib, 64 * kib} {
			b.Run(fmt.Sprintf("%s/%dKiB", tier, page/kib), func(b *testing.B) {
				c, v, data := hitCache(b, tier == "disk", page)
				size := v.Object().Size
				req := Request{View: v, Source: &fakeSource{data: data}}
				byReaders(b, func(b *testing.B, reader int64, pb *testing.PB) {
					req := req
					req.Length = page
					for i := reader * 7907; pb.Next(); i++ {
						req.Offset = i * 7919 * page % size
						r, err := c.Open(context.Background(), req)
						if err != nil {
							b.Fatal(err)
						}
						if piece, err := r.Next(); err != nil || int64(len(piece)) != page {
							b.Fatal(err)
						}
						if _, err := r.Next(); err != io.EOF {
							b.Fatal(err)
						}
						r.Close()
					}
				})
			})
		}
	}
}
