package parquet_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/alio-lake/alio/formats/parquet"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// seed returns ALIO_SEED or a new one, and prints it.
func seed(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if s := os.Getenv("ALIO_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
	}
	t.Logf("ALIO_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// oneChunk is a footer's row_groups field that holds one chunk, and the stop field after it.
var oneChunk = []byte{0x49, 0x1c, 0x19, 0x1c, 0x3c, 0x76, 100, 0x26, 8, 0, 0, 0, 0}

func TestCorruptFooters(t *testing.T) {
	deep := append([]byte{0x1c}, bytes.Repeat([]byte{0x1c}, 1000)...) // structs in structs
	for name, c := range map[string]struct{ footer, want string }{
		"empty":                  {"", "unexpected end"},
		"no row groups":          {"\x00", "without row groups"},
		"row groups a number":    {"\x46\x02\x00", "wire type 6 where a list"},
		"row groups of numbers":  {"\x49\x16\x02\x00", "list of wire type 6 where structs"},
		"two lists":              {"\x49\x0c\x09\x08\x0c\x00", "two lists of row groups"},
		"list longer than bytes": {"\x49\xfc\xff\xff\xff\xff\x0f", "list of 4294967295 values in 0 bytes"},
		"huge list":              {"\x49\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "list of 18446744073709551615 values"},
		"truncated":              {string(oneChunk[:8]), "unexpected end"},
		"endless number":         {"\x16" + strings.Repeat("\xff", 20), "longer than 64 bits"},
		"number of 65 bits":      {"\x16" + strings.Repeat("\xff", 9) + "\x02", "longer than 64 bits"},
		"endless number in size": {"\x49\x1c\x19\x1c\x3c\x76" + strings.Repeat("\xff", 20), "longer than 64 bits"},
		"size a double":          {"\x49\x1c\x19\x1c\x3c\x77\x00\x00\x00\x00\x00\x00\x00\x00", "wire type 7 where an integer"},
		"no data page":           {"\x49\x1c\x19\x1c\x3c\x76\x64\x00\x00\x00\x00", "no size or no data page"},
		"no size":                {"\x49\x1c\x19\x1c\x3c\x96\x64\x00\x00\x00\x00", "no size or no data page"},
		"metadata a list":        {"\x49\x1c\x19\x1c\x39\x0c\x00\x00\x00", "meta_data of wire type 9"},
		"path a number":          {"\x49\x1c\x19\x1c\x16\x02\x00\x00\x00", "file_path of wire type 6"},
		"binary too long":        {"\x18\xff\x01ab", "binary of 255 bytes in 2"},
		"map too long":           {"\x1b\xff\x01\x55\x00", "map of 255 entries"},
		"unknown type":           {"\x1e\x00", "unknown wire type 14"},
		"list of stops":          {"\x19\x20\x00\x00", "unknown wire type 0"},
		"list of unknown":        {"\x19\x1f\x00", "unknown wire type 15"},
		"double cut off":         {"\x17\x00\x00", "unexpected end"},
		"field id too long":      {"\x06\xff\xff\xff\x01", "field id beyond 16 bits"},
		"deep structs":           {string(deep), "deeper than 32"},
		"deep lists":             {"\x19" + strings.Repeat("\x19", 1000), "deeper than 32"},
	} {
		t.Run(name, func(t *testing.T) {
			chunks, err := chunksOf([]byte(c.footer))
			if !errors.Is(err, parquet.ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", chunks, err, c.want)
			}
		})
	}
}

// TestTruncatedFooters: a footer that ends early anywhere is corrupt; nothing is guessed.
func TestTruncatedFooters(t *testing.T) {
	meta, _ := parquettest.Synthetic(3, 3, 1000)
	footer := parquettest.Thrift(t, meta)
	for n := range footer {
		if _, err := chunksOf(footer[:n]); !errors.Is(err, parquet.ErrCorrupt) {
			t.Errorf("the first %d of %d bytes: %v", n, len(footer), err)
		}
	}
	if chunks, err := chunksOf(append(footer, "signature"...)); err != nil || len(chunks) != 9 {
		t.Errorf("with bytes after it: %d chunks, %v", len(chunks), err)
	}
}

func TestCorruptOffsetIndexes(t *testing.T) {
	for index, want := range map[string]string{
		"": "unexpected end", "\x00": "without page locations", "\x19\x1c\x25\x02\x00\x00": "page location without an offset",
		"\x19\x15\x02\x00": "list of wire type 5 where structs", "\x19\x1c\x16": "unexpected end", "\x15\x02\x00": "wire type 5 where a list",
	} {
		err := parquet.ReadOffsetIndex([]byte(index), func(parquet.PageLocation) error { return nil })
		if !errors.Is(err, parquet.ErrCorrupt) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", index, err, want)
		}
	}
}

// TestSkipsWhatItDoesNotKnow: fields of every wire type, nested at random and encoded by Apache Thrift, are stepped over exactly.
func TestSkipsWhatItDoesNotKnow(t *testing.T) {
	rnd := seed(t)
	for range 2000 {
		ts := thrift.NewTMemoryBuffer()
		p := thrift.NewTCompactProtocolConf(ts, nil)
		if err := errors.Join(p.WriteStructBegin(context.Background(), ""), writeFields(p, rnd, 0, 1000), p.WriteFieldStop(context.Background()),
			p.WriteStructEnd(context.Background())); err != nil {
			t.Fatal(err)
		}
		unknown := ts.Bytes()
		unknown = unknown[:len(unknown)-1] // without its stop: the row groups follow in the same struct
		footer := append(bytes.Clone(unknown), 0x09, 8)
		footer = append(footer, oneChunk[1:]...)
		got, err := chunksOf(footer)
		if err != nil || len(got) != 1 || got[0].DataPageOffset != 4 || got[0].CompressedSize != 50 {
			t.Fatalf("%v, %v after % x", got, err, unknown)
		}
	}
}

var wireTypes = []thrift.TType{thrift.BOOL, thrift.BYTE, thrift.I16, thrift.I32, thrift.I64, thrift.DOUBLE, thrift.STRING, thrift.STRUCT, thrift.MAP, thrift.SET, thrift.LIST}

// writeFields writes a few fields with ids from first on, some far apart.
func writeFields(p thrift.TProtocol, rnd *rand.Rand, depth int, first int16) error {
	ctx := context.Background()
	for range rnd.IntN(5) {
		typ := wireTypes[rnd.IntN(len(wireTypes))]
		if err := errors.Join(p.WriteFieldBegin(ctx, "", typ, first), writeValue(p, rnd, typ, depth), p.WriteFieldEnd(ctx)); err != nil {
			return err
		}
		first += int16(1 + rnd.IntN(40))
	}
	return nil
}

func writeValue(p thrift.TProtocol, rnd *rand.Rand, typ thrift.TType, depth int) error {
	ctx := context.Background()
	elem, n := wireTypes[rnd.IntN(len(wireTypes))], rnd.IntN(20)
	if depth > 4 {
		n = 0
	}
	switch typ {
	case thrift.BOOL:
		return p.WriteBool(ctx, rnd.IntN(2) == 0)
	case thrift.BYTE:
		return p.WriteByte(ctx, int8(rnd.Uint32()))
	case thrift.I16:
		return p.WriteI16(ctx, int16(rnd.Uint32()))
	case thrift.I32:
		return p.WriteI32(ctx, int32(rnd.Uint32()))
	case thrift.I64:
		return p.WriteI64(ctx, int64(rnd.Uint64()))
	case thrift.DOUBLE:
		return p.WriteDouble(ctx, rnd.NormFloat64())
	case thrift.STRING:
		return p.WriteString(ctx, strings.Repeat("x", rnd.IntN(300)))
	case thrift.STRUCT:
		err := p.WriteStructBegin(ctx, "")
		if depth <= 4 {
			err = errors.Join(err, writeFields(p, rnd, depth+1, 1))
		}
		return errors.Join(err, p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
	case thrift.MAP:
		key := wireTypes[rnd.IntN(7)]
		err := p.WriteMapBegin(ctx, key, elem, min(n, 3))
		for range min(n, 3) {
			err = errors.Join(err, writeValue(p, rnd, key, depth+1), writeValue(p, rnd, elem, depth+1))
		}
		return errors.Join(err, p.WriteMapEnd(ctx))
	}
	if elem >= thrift.STRUCT {
		n = min(n, 3)
	}
	err := p.WriteListBegin(ctx, elem, n)
	for range n {
		err = errors.Join(err, writeValue(p, rnd, elem, depth+1))
	}
	return errors.Join(err, p.WriteListEnd(ctx))
}

// TestFooterAllocates: reading allocates the same few objects whatever the footer holds: one of them is what is remembered of its columns.
func TestFooterAllocates(t *testing.T) {
	meta, _ := parquettest.Synthetic(50, 20, 1000)
	footer := parquettest.Thrift(t, meta)
	if n := testing.AllocsPerRun(10, func() { _ = parquet.ReadFooter(footer, func(*parquet.Chunk) error { return nil }) }); n > 3 {
		t.Errorf("%v allocations for %d bytes", n, len(footer))
	}
}

func FuzzFooter(f *testing.F) {
	for _, file := range fixtures(f) {
		if footer := footerOf(f, file); len(footer) < 32<<10 {
			f.Add(footer)
		}
	}
	f.Add(oneChunk)
	f.Fuzz(func(t *testing.T, footer []byte) {
		n := 0
		err := parquet.ReadFooter(footer, func(c *parquet.Chunk) error {
			n++
			return nil
		})
		if err != nil && !errors.Is(err, parquet.ErrCorrupt) {
			t.Errorf("an error of no kind: %v", err)
		}
		if n > len(footer)/7 { // a chunk takes at least 7 bytes
			t.Errorf("%d chunks in %d bytes", n, len(footer))
		}
	})
}

func FuzzOffsetIndex(f *testing.F) {
	_, locations := parquettest.WithIndexes(f, parquettest.Arrow(f, parquettest.Spec{Columns: 3, RowGroups: 1, Rows: 3000, PageSize: 2 << 10}), parquettest.Extras{})
	for _, l := range locations {
		f.Add(parquettest.Thrift(f, parquettest.OffsetIndex(l)))
	}
	f.Fuzz(func(t *testing.T, index []byte) {
		n := 0
		err := parquet.ReadOffsetIndex(index, func(parquet.PageLocation) error { n++; return nil })
		if err != nil && !errors.Is(err, parquet.ErrCorrupt) {
			t.Errorf("an error of no kind: %v", err)
		}
		if n > len(index)/3 {
			t.Errorf("%d locations in %d bytes", n, len(index))
		}
	})
}
