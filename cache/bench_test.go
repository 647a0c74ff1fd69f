package cache

import (
	"context"
	"io"
	"testing"
)

// BenchmarkHit reads 64 KiB from memory: one page, four pages, and a piece of a large page.
func BenchmarkHit(b *testing.B) {
	for _, bb := range []struct {
		name string
		page int64
	}{{"one page", 64 * kib}, {"four pages", 16 * kib}, {"within a page", 1 << 20}} {
		b.Run(bb.name, func(b *testing.B) {
			c := newCache(b, Options{})
			obj, data := object("bench", 64<<20)
			req := Request{Object: obj, Layout: grid{size: bb.page}, Source: &fakeSource{data: data}, Length: obj.Size}
			mustRead(b, c, req, data)
			req.Length = 64 * kib
			b.ReportAllocs()
			b.SetBytes(req.Length)
			b.RunParallel(func(pb *testing.PB) {
				req := req
				for i := int64(0); pb.Next(); i++ {
					req.Offset = i * 7919 % 1024 * 64 * kib
					r, err := c.Open(context.Background(), req)
					if err != nil {
						b.Fatal(err)
					}
					for err == nil {
						_, err = r.Next()
					}
					if err != io.EOF {
						b.Fatal(err)
					}
					r.Close()
				}
			})
		})
	}
}

// BenchmarkFill reads 4 MiB that nobody has read before from a source in memory.
func BenchmarkFill(b *testing.B) {
	c := newCache(b, Options{})
	obj, data := object("bench", 4<<20)
	req := Request{Object: obj, Layout: grid{size: 64 * kib}, Source: &fakeSource{data: data}, Length: obj.Size}
	b.ReportAllocs()
	b.SetBytes(req.Length)
	for i := 0; b.Loop(); i++ {
		fresh := *obj
		fresh.Parts = append(fresh.Parts[:0:0], obj.Parts...)
		fresh.Parts[0].ID = obj.Path + string(rune(i))
		req.Object = &fresh
		if _, _, err := read(c, req); err != nil {
			b.Fatal(err)
		}
	}
}
