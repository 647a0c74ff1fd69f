package sidecar_test

import (
	"context"
	"io"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// BenchmarkHit is a read of 64 KiB that is resident in memory, below the door: rules, freshness, layout, page.
func BenchmarkHit(b *testing.B) {
	pages, err := cache.New(cache.Options{Metadata: formats.Metadata, ClassNames: formats.ClassNames()})
	if err != nil {
		b.Fatal(err)
	}
	defer pages.Close()
	store := mem.New("lake")
	store.Put("sales/year=2026/part-0.parquet", lakeFile(b, 10, 1, 50_000))
	s, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": store}, Pages: pages,
		Rules: []freshness.Rule{{Path: "**", MaxAge: freshness.Forever}}})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		req  origin.ReadRequest
	}{{"tail", origin.ReadRequest{Suffix: 48 << 10}}, {"chunk", origin.ReadRequest{Offset: 4, Length: 64 << 10}}} {
		b.Run(c.name, func(b *testing.B) {
			c.req.Path = "sales/year=2026/part-0.parquet"
			b.ReportAllocs()
			for b.Loop() {
				content, err := s.Open(b.Context(), "lake", c.req, nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, content.Body); n != content.Length || err != nil {
					b.Fatal(n, err)
				}
				content.Body.Close()
			}
		})
	}
}

// BenchmarkHitPath is the same read by the hit path, by one reader and by many.
func BenchmarkHitPath(b *testing.B) {
	pages, err := cache.New(cache.Options{Metadata: formats.Metadata, ClassNames: formats.ClassNames()})
	if err != nil {
		b.Fatal(err)
	}
	defer pages.Close()
	store := mem.New("lake")
	store.Put("part-0.parquet", lakeFile(b, 10, 1, 50_000))
	s, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": store}, Pages: pages,
		Rules: []freshness.Rule{{Path: "**", MaxAge: freshness.Forever}}})
	if err != nil {
		b.Fatal(err)
	}
	for range 3 {
		c, err := s.Open(b.Context(), "lake", origin.ReadRequest{Path: "part-0.parquet", Length: 1 << 20}, nil)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, c.Body)
		c.Body.Close()
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		name := []byte("lake/part-0.parquet")
		for pb.Next() {
			h := s.Hit(name, 4, 64<<10, 0, nil)
			if h == nil {
				b.Error("no hit")
				return
			}
			for {
				if _, err := h.Next(context.Background()); err != nil {
					break
				}
			}
			h.Close()
		}
	})
}
