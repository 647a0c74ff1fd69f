package parquet_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	xparquet "github.com/xitongsys/parquet-go/parquet"

	"github.com/alio-lake/alio/formats/parquet"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// fixtures are files of many shapes, by name.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	made.Do(func() { made.files = makeFixtures(t) })
	return made.files
}

var made struct {
	sync.Once
	files map[string][]byte
}

func makeFixtures(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	codecs := []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Zstd, compress.Codecs.Brotli}
	for i, codec := range codecs {
		for _, dictionary := range []bool{true, false} {
			for _, nested := range []bool{true, false} {
				s := parquettest.Spec{Columns: 1 + 4*i, RowGroups: i, Rows: 150, Codec: codec, Dictionary: dictionary, Nested: nested, Distinct: 40, Seed: uint64(i)}
				out["arrow_"+s.String()] = parquettest.Arrow(t, s)
			}
		}
	}
	for _, s := range []parquettest.Spec{
		{Columns: 3, RowGroups: 1},                                               // no rows
		{Columns: 0, RowGroups: 1},                                               // no columns
		{Columns: 2, RowGroups: 2, Rows: 3000, ValueSize: 500},                   // chunks above 1 MiB
		{Columns: 2, RowGroups: 1, Rows: 4000, ValueSize: 900, Dictionary: true}, // dictionary given up
		{Columns: 3, RowGroups: 2, Rows: 4000, ValueSize: 300, PageSize: 16 << 10, Codec: compress.Codecs.Snappy}, // many data pages
		{Columns: 50, RowGroups: 20, Rows: 5},
	} {
		file := parquettest.Arrow(t, s)
		out["arrow_"+s.String()] = file
		if s.Rows > 0 {
			out["indexed_"+s.String()], _ = parquettest.WithIndexes(t, file, parquettest.Extras{Bloom: 1000, Padding: 10})
		}
	}
	for _, codec := range []xparquet.CompressionCodec{xparquet.CompressionCodec_UNCOMPRESSED, xparquet.CompressionCodec_SNAPPY, xparquet.CompressionCodec_ZSTD} {
		out["xitongsys_"+codec.String()] = parquettest.Xitongsys(t, parquettest.Spec{RowGroups: 3, Rows: 800}, codec)
	}
	paths, err := filepath.Glob("../testdata/*.parquet")
	if err != nil || len(paths) < 4 {
		t.Fatalf("testdata: %v, %v", paths, err)
	}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = file
	}
	out["xitongsys_empty"] = parquettest.Xitongsys(t, parquettest.Spec{}, xparquet.CompressionCodec_SNAPPY)
	out["xitongsys_pages"] = parquettest.Xitongsys(t, parquettest.Spec{RowGroups: 1, Rows: 8000, ValueSize: 200, PageSize: 8 << 10}, xparquet.CompressionCodec_SNAPPY)
	return out
}

// footerOf cuts the footer out of a file.
func footerOf(t testing.TB, file []byte) []byte {
	t.Helper()
	n, encrypted, ok := parquet.Trailer(file)
	if !ok || encrypted {
		t.Fatal("no trailer")
	}
	end := int64(len(file) - parquet.TrailerSize)
	return file[end-n : end]
}

func chunksOf(footer []byte) (out []parquet.Chunk, err error) {
	err = parquet.ReadFooter(footer, func(c *parquet.Chunk) error {
		out = append(out, *c)
		return nil
	})
	return out, err
}

// byXitongsys reads the same fields with parquet-go. It knows no bloom filter length.
func byXitongsys(t *testing.T, file []byte) (out []parquet.Chunk) {
	meta, _ := parquettest.Footer(t, file)
	for g, group := range meta.RowGroups {
		for i, c := range group.Columns {
			m := c.MetaData
			out = append(out, parquet.Chunk{RowGroup: g, Column: i, DataPageOffset: m.DataPageOffset, DictionaryPageOffset: m.GetDictionaryPageOffset(),
				CompressedSize: m.TotalCompressedSize, BloomFilterOffset: m.GetBloomFilterOffset(),
				OffsetIndexOffset: c.GetOffsetIndexOffset(), OffsetIndexLength: int64(c.GetOffsetIndexLength()),
				ColumnIndexOffset: c.GetColumnIndexOffset(), ColumnIndexLength: int64(c.GetColumnIndexLength())})
		}
	}
	return out
}

// byArrow reads the same fields with arrow.
func byArrow(t *testing.T, footer []byte) (out []parquet.Chunk) {
	meta, err := metadata.NewFileMetaData(slices.Clone(footer), nil)
	if err != nil {
		t.Fatal(err)
	}
	for g, group := range meta.FileMetaData.RowGroups {
		for i, c := range group.Columns {
			m := c.MetaData
			out = append(out, parquet.Chunk{RowGroup: g, Column: i, DataPageOffset: m.DataPageOffset, DictionaryPageOffset: m.GetDictionaryPageOffset(),
				CompressedSize: m.TotalCompressedSize, BloomFilterOffset: m.GetBloomFilterOffset(),
				OffsetIndexOffset: c.GetOffsetIndexOffset(), OffsetIndexLength: int64(c.GetOffsetIndexLength()),
				ColumnIndexOffset: c.GetColumnIndexOffset(), ColumnIndexLength: int64(c.GetColumnIndexLength())})
		}
	}
	return out
}

// TestFooterAgainstOthers: our reader and two independent ones find the same chunks in every fixture.
func TestFooterAgainstOthers(t *testing.T) {
	total := 0
	for name, file := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			ours, err := chunksOf(footerOf(t, file))
			if err != nil {
				t.Fatal(err)
			}
			total += len(ours)
			for i := range ours {
				ours[i].BloomFilterLength = 0 // a field that the two others do not know
			}
			if want := byXitongsys(t, file); !slices.Equal(ours, want) {
				t.Errorf("ours %v\nparquet-go %v", ours, want)
			}
			if want := byArrow(t, footerOf(t, file)); !slices.Equal(ours, want) {
				t.Errorf("ours %v\narrow %v", ours, want)
			}
		})
	}
	if total < 2000 {
		t.Errorf("only %d chunks compared", total)
	}
}

func TestOffsetIndexAgainstXitongsys(t *testing.T) {
	file, want := parquettest.WithIndexes(t, parquettest.Arrow(t, parquettest.Spec{Columns: 4, RowGroups: 2, Rows: 9000, ValueSize: 100, PageSize: 8 << 10}), parquettest.Extras{})
	chunks, err := chunksOf(footerOf(t, file))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range chunks {
		var got []xparquet.PageLocation
		index := file[c.OffsetIndexOffset : c.OffsetIndexOffset+c.OffsetIndexLength]
		err := parquet.ReadOffsetIndex(index, func(l parquet.PageLocation) error {
			got = append(got, xparquet.PageLocation{Offset: l.Offset, CompressedPageSize: int32(l.CompressedSize), FirstRowIndex: l.FirstRow})
			return nil
		})
		if err != nil || !slices.EqualFunc(got, want[i], func(a xparquet.PageLocation, b *xparquet.PageLocation) bool { return a == *b }) {
			t.Errorf("chunk %d: %d locations, want %d, %v", i, len(got), len(want[i]), err)
		}
		if len(want[i]) < 5 {
			t.Errorf("chunk %d has only %d pages: the fixture is too small to prove anything", i, len(want[i]))
		}
	}
}

// TestBloomFilterLength: the values are those that pyarrow reads.
func TestBloomFilterLength(t *testing.T) {
	chunks, err := chunksOf(footerOf(t, fixtures(t)["duckdb_bloom.parquet"]))
	if err != nil || len(chunks) < 2 || chunks[1].BloomFilterOffset != 1523 || chunks[1].BloomFilterLength != 80 {
		t.Errorf("%v, %v", chunks, err)
	}
}

// TestChunkOfDictionaryAlone: a row group of no rows, as pyarrow writes it.
func TestChunkOfDictionaryAlone(t *testing.T) {
	chunks, err := chunksOf(footerOf(t, fixtures(t)["pyarrow_empty.parquet"]))
	if err != nil || len(chunks) != 5 {
		t.Fatalf("%v, %v", chunks, err)
	}
	if c := chunks[0]; c.DataPageOffset != 0 || c.Start() != 4 || c.Data() != 4+c.CompressedSize {
		t.Errorf("%+v", c)
	}
}

// TestFooterSkipsElsewhere: chunks in another file or without readable metadata are left out, "" is this file.
func TestFooterSkipsElsewhere(t *testing.T) {
	meta, _ := parquettest.Synthetic(4, 1, 100)
	other, same := "part-0.parquet", ""
	columns := meta.RowGroups[0].Columns
	columns[0].FilePath, columns[1].FilePath = &other, &same
	columns[2].MetaData, columns[2].EncryptedColumnMetadata = nil, []byte("secret")
	got, err := chunksOf(parquettest.Thrift(t, meta))
	if err != nil || len(got) != 2 || got[0].Column != 1 || got[1].Column != 3 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFooterVisitError(t *testing.T) {
	meta, _ := parquettest.Synthetic(2, 2, 100)
	stop, calls := errors.New("stop"), 0
	err := parquet.ReadFooter(parquettest.Thrift(t, meta), func(*parquet.Chunk) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestTrailer(t *testing.T) {
	for _, c := range []struct {
		tail          string
		length        int64
		encrypted, ok bool
	}{
		{"\x01\x02\x00\x00PAR1", 513, false, true}, {"xx\xff\xff\xff\xffPAR1", 1<<32 - 1, false, true}, {"\x01\x00\x00\x00PARE", 1, true, true},
		{"PAR1", 0, false, false}, {"", 0, false, false}, {"PAR1\x00\x00\x00\x00", 0, false, false},
	} {
		n, encrypted, ok := parquet.Trailer([]byte(c.tail))
		if ok != c.ok || ok && (n != c.length || encrypted != c.encrypted) {
			t.Errorf("Trailer(%q) = %d, %t, %t", c.tail, n, encrypted, ok)
		}
	}
}

func ExampleReadFooter() {
	footer := []byte{0x49, 0x1c, // row_groups: a list of one struct
		0x19, 0x1c, // columns: a list of one struct
		0x3c,                  // meta_data
		0x76, 100, 0x26, 8, 0, // total_compressed_size 50, data_page_offset 4
		0, 0, 0}
	err := parquet.ReadFooter(footer, func(c *parquet.Chunk) error {
		fmt.Println(c.Start(), c.CompressedSize)
		return nil
	})
	fmt.Println(err)
	// Output:
	// 4 50
	// <nil>
}
