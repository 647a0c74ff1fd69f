package parquettest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/xitongsys/parquet-go/parquet"
)

// Footer reads a file's footer with xitongsys/parquet-go's structs; start is where it begins.
func Footer(t testing.TB, file []byte) (meta *parquet.FileMetaData, start int64) {
	t.Helper()
	n := int64(len(file))
	start = n - 8 - int64(binary.LittleEndian.Uint32(file[n-8:]))
	meta = parquet.NewFileMetaData()
	if _, err := read(meta, file[start:n-8]); err != nil {
		t.Fatal(err)
	}
	return meta, start
}

// read decodes one struct from the head of b and returns its length.
func read(v interface {
	Read(context.Context, thrift.TProtocol) error
}, b []byte) (int, error) {
	r := bytes.NewBuffer(b)
	err := v.Read(context.Background(), thrift.NewTCompactProtocolConf(&thrift.TMemoryBuffer{Buffer: r}, nil))
	return len(b) - r.Len(), err
}

// Thrift encodes one of parquet-go's structs.
func Thrift(t testing.TB, v thrift.TStruct) []byte {
	t.Helper()
	ts := thrift.NewTSerializer()
	ts.Protocol = thrift.NewTCompactProtocolFactoryConf(nil).GetProtocol(ts.Transport)
	b, err := ts.Write(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

// Seal ends a file with a footer.
func Seal(t testing.TB, body []byte, meta *parquet.FileMetaData) []byte {
	t.Helper()
	return SealRaw(body, Thrift(t, meta))
}

// SealRaw ends a file with a footer of raw bytes.
func SealRaw(body, footer []byte) []byte {
	out := append(bytes.Clone(body), footer...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...)
}

// Extras says what WithIndexes adds.
type Extras struct {
	Bloom   int // bytes of each chunk's bloom filter; 0: none
	Padding int // bytes of nothing between the data and the indexes
	After   int // bytes of nothing between the indexes and the footer: pushes the indexes out of the tail
}

// WithIndexes returns the file again with, after its data: bloom filters whose length the footer does not tell, a column index (of made up bytes) and a
// true offset index (from the page headers in the data) for every chunk. locations are those of every chunk in order.
func WithIndexes(t testing.TB, file []byte, x Extras) (out []byte, locations [][]*parquet.PageLocation) {
	t.Helper()
	meta, start := Footer(t, file)
	out = append(bytes.Clone(file[:start]), make([]byte, x.Padding)...)
	var chunks []*parquet.ColumnChunk
	for _, g := range meta.RowGroups {
		chunks = append(chunks, g.Columns...)
	}
	for _, c := range chunks {
		locations = append(locations, dataPages(t, file, c.MetaData))
		if x.Bloom > 0 {
			at := int64(len(out))
			c.MetaData.BloomFilterOffset = &at
			out = append(out, make([]byte, x.Bloom)...)
		}
	}
	for _, c := range chunks {
		at, n := int64(len(out)), int32(33)
		c.ColumnIndexOffset, c.ColumnIndexLength = &at, &n
		out = append(out, make([]byte, n)...)
	}
	for i, c := range chunks {
		index := Thrift(t, OffsetIndex(locations[i]))
		at, n := int64(len(out)), int32(len(index))
		c.OffsetIndexOffset, c.OffsetIndexLength = &at, &n
		out = append(out, index...)
	}
	return Seal(t, append(out, make([]byte, x.After)...), meta), locations
}

// OffsetIndex makes an index of locations.
func OffsetIndex(locations []*parquet.PageLocation) *parquet.OffsetIndex {
	return &parquet.OffsetIndex{PageLocations: locations}
}

// dataPages walks a chunk's page headers.
func dataPages(t testing.TB, file []byte, m *parquet.ColumnMetaData) (out []*parquet.PageLocation) {
	t.Helper()
	start := m.DataPageOffset
	if m.DictionaryPageOffset != nil && *m.DictionaryPageOffset > 0 {
		start = min(start, *m.DictionaryPageOffset)
	}
	var row int64
	for at := start; at < start+m.TotalCompressedSize; {
		h := parquet.NewPageHeader()
		n, err := read(h, file[at:])
		if err != nil {
			t.Fatal(fmt.Errorf("page header at %d: %w", at, err))
		}
		size := int64(n) + int64(h.CompressedPageSize)
		if h.Type != parquet.PageType_DICTIONARY_PAGE {
			out = append(out, &parquet.PageLocation{Offset: at, CompressedPageSize: int32(size), FirstRowIndex: row})
			row++
		}
		at += size
	}
	return out
}

// Synthetic is the footer of a file of columns by row groups of which only the footer exists: chunks of size bytes, every one with a dictionary
// page of a tenth and statistics, as Trino and Spark write them; 100 by 100 takes about 1 MB. end is where the last chunk ends.
func Synthetic(columns, rowGroups int, size int64) (meta *parquet.FileMetaData, end int64) {
	meta = parquet.NewFileMetaData()
	meta.Version, meta.NumRows = 1, int64(rowGroups)*10_000
	children := int32(columns)
	meta.Schema = append(meta.Schema, &parquet.SchemaElement{Name: "schema", NumChildren: &children})
	typ, repetition := parquet.Type_BYTE_ARRAY, parquet.FieldRepetitionType_OPTIONAL
	for c := range columns {
		meta.Schema = append(meta.Schema, &parquet.SchemaElement{Type: &typ, RepetitionType: &repetition, Name: fmt.Sprintf("column_%03d", c)})
	}
	end = 4
	for g := range rowGroups {
		group := &parquet.RowGroup{NumRows: 10_000, TotalByteSize: size * int64(columns)}
		for c := range columns {
			dictionary, nulls, distinct := end, int64(7), int64(g*c)
			group.Columns = append(group.Columns, &parquet.ColumnChunk{FileOffset: end, MetaData: &parquet.ColumnMetaData{
				Type: typ, Encodings: []parquet.Encoding{parquet.Encoding_PLAIN, parquet.Encoding_RLE, parquet.Encoding_RLE_DICTIONARY},
				PathInSchema: []string{fmt.Sprintf("column_%03d", c)}, Codec: parquet.CompressionCodec_SNAPPY, NumValues: 10_000,
				TotalUncompressedSize: 2 * size, TotalCompressedSize: size, DataPageOffset: end + size/10, DictionaryPageOffset: &dictionary,
				Statistics: &parquet.Statistics{NullCount: &nulls, DistinctCount: &distinct, MinValue: fmt.Appendf(nil, "value %09d", g),
					MaxValue: fmt.Appendf(nil, "value %09d", g+c)},
				EncodingStats: []*parquet.PageEncodingStats{{PageType: parquet.PageType_DATA_PAGE, Encoding: parquet.Encoding_RLE_DICTIONARY, Count: 3}},
			}})
			end += size
		}
		meta.RowGroups = append(meta.RowGroups, group)
	}
	return meta, end
}

// Indexed gives a Synthetic footer page indexes after its data, the column indexes of all chunks and then their offset indexes, and returns where they end.
func Indexed(meta *parquet.FileMetaData, end int64) int64 {
	for _, offsets := range []bool{false, true} {
		for _, g := range meta.RowGroups {
			for _, c := range g.Columns {
				at, n := end, int32(64)
				if offsets {
					c.OffsetIndexOffset, c.OffsetIndexLength = &at, &n
				} else {
					c.ColumnIndexOffset, c.ColumnIndexLength = &at, &n
				}
				end += int64(n)
			}
		}
	}
	return end
}
