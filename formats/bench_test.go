package formats

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/thrift/lib/go/thrift"
	xparquet "github.com/xitongsys/parquet-go/parquet"

	"github.com/alio-lake/alio/formats/parquet"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// wide is an object of 100 columns by 100 row groups, whose footer is about 1 MB; with page indexes as most writers put them, if they are wanted.
func wide(b *testing.B, indexes bool) (o *object, footer []byte) {
	meta, end := parquettest.Synthetic(100, 100, 40<<10)
	if indexes {
		end = parquettest.Indexed(meta, end)
	}
	footer = parquettest.Thrift(b, meta)
	sealed := parquettest.SealRaw(nil, footer)
	return &object{size: end + int64(len(sealed)), blobs: map[int64][]byte{end: sealed}}, footer
}

// BenchmarkFooter compares what a layout of a footer of 100 columns by 100 row groups costs with what general readers take to read
// the same footer, before any layout: go test -run - -bench Footer -benchmem ./formats
func BenchmarkFooter(b *testing.B) {
	b.Run("alio-layout", func(b *testing.B) { benchDerive(b, false) })
	b.Run("alio-layout-page-indexes", func(b *testing.B) { benchDerive(b, true) })
	_, footer := wide(b, false)
	b.Run("alio-footer", func(b *testing.B) {
		b.SetBytes(int64(len(footer)))
		b.ReportAllocs()
		for b.Loop() {
			if err := parquet.ReadFooter(footer, func(*parquet.Chunk) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("arrow", func(b *testing.B) {
		b.SetBytes(int64(len(footer)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := metadata.NewFileMetaData(slices.Clone(footer), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("xitongsys", func(b *testing.B) {
		b.SetBytes(int64(len(footer)))
		b.ReportAllocs()
		for b.Loop() {
			p := thrift.NewTCompactProtocolConf(&thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(footer)}, nil)
			if err := xparquet.NewFileMetaData().Read(context.Background(), p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchDerive(b *testing.B, indexes bool) {
	o, footer := wide(b, indexes)
	b.SetBytes(int64(len(footer)))
	b.ReportAllocs()
	var l *Layout
	for b.Loop() {
		o.reads = o.reads[:0]
		var err error
		if l, err = Derive("t/f", o.size, o); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(l.Pages()), "pages")
	b.ReportMetric(float64(l.MemoryBytes()), "layout-B")
}

// BenchmarkPageAt looks bytes up in a layout of 20,000 pages.
func BenchmarkPageAt(b *testing.B) {
	o, _ := wide(b, false)
	l, err := Derive("t/f", o.size, o)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		off = (off + 7_654_321) % o.size
		l.PageAt(off)
	}
}
