package parquettest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/xitongsys/parquet-go/parquet"
	"github.com/xitongsys/parquet-go/writer"
)

// row is what Xitongsys writes: its third column has a dictionary, the fourth is nested.
type row struct {
	ID   int64   `parquet:"name=id, type=INT64"`
	Name string  `parquet:"name=name, type=BYTE_ARRAY, convertedtype=UTF8"`
	City string  `parquet:"name=city, type=BYTE_ARRAY, convertedtype=UTF8, encoding=PLAIN_DICTIONARY"`
	Tags []int32 `parquet:"name=tags, type=MAP, convertedtype=LIST, valuetype=INT32"`
}

// Xitongsys writes a file with xitongsys/parquet-go, which adds column and offset indexes. Of the Spec it takes RowGroups, Rows,
// ValueSize, PageSize, Distinct and Seed.
func Xitongsys(t testing.TB, s Spec, codec parquet.CompressionCodec) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := writer.NewParquetWriterFromWriter(&out, new(row), 1)
	if err != nil {
		t.Fatal(err)
	}
	w.CompressionType = codec
	if s.PageSize > 0 {
		w.PageSize = s.PageSize
	}
	rnd := rand.New(rand.NewPCG(s.Seed, 2))
	for range s.RowGroups {
		for range s.Rows {
			r := row{ID: int64(rnd.Uint64()), Name: text(Spec{ValueSize: s.ValueSize}, rnd), City: text(Spec{Distinct: 50, Seed: s.Seed}, rnd)}
			for range rnd.IntN(3) {
				r.Tags = append(r.Tags, int32(rnd.Uint32()))
			}
			if err := w.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteStop(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
