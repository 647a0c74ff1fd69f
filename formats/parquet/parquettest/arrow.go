// Package parquettest makes Parquet files for tests, by two independent writers (apache/arrow and xitongsys/parquet-go) and by hand,
// and reads their footers back with the second. Only tests import it. Start at Arrow, then WithIndexes.
package parquettest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// Spec says what to write. The same Spec makes the same file.
type Spec struct {
	Columns, RowGroups, Rows int // Rows in each row group
	Codec                    compress.Compression
	Dictionary               bool
	Nested                   bool  // adds a list and a struct that holds a list
	ValueSize                int   // bytes of a string; default 12
	PageSize                 int64 // data page size; default 1 MiB
	Distinct                 int   // distinct strings; 0: all differ
	Seed                     uint64
}

func (s Spec) String() string {
	return fmt.Sprintf("%dx%dx%d_%v_dict=%t_nested=%t_value=%d_page=%d", s.Columns, s.RowGroups, s.Rows, s.Codec, s.Dictionary, s.Nested,
		s.ValueSize, s.PageSize)
}

// Arrow writes a file with apache/arrow: columns alternate between int64, string and double, about one value in 16 is null.
func Arrow(t testing.TB, s Spec) []byte {
	t.Helper()
	options := []parquet.WriterProperty{parquet.WithCompression(s.Codec), parquet.WithDictionaryDefault(s.Dictionary), parquet.WithBatchSize(256)}
	if s.PageSize > 0 {
		options = append(options, parquet.WithDataPageSize(s.PageSize))
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root(t, s), file.WithWriterProps(parquet.NewWriterProperties(options...)))
	rnd := rand.New(rand.NewPCG(s.Seed, 1))
	for range s.RowGroups {
		g := w.AppendRowGroup()
		for range g.NumColumns() {
			c, err := g.NextColumn()
			if err == nil {
				err = writeColumn(c, s, rnd)
			}
			if err == nil {
				err = c.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// root is the schema: flat columns, and with Nested a list of doubles and a struct that holds a list of strings.
func root(t testing.TB, s Spec) *schema.GroupNode {
	t.Helper()
	const id = -1
	optional := parquet.Repetitions.Optional
	var fields schema.FieldList
	for i := range s.Columns {
		name := fmt.Sprintf("c%d", i)
		switch i % 3 {
		case 0:
			fields = append(fields, schema.NewInt64Node(name, optional, id))
		case 1:
			fields = append(fields, schema.NewByteArrayNode(name, optional, id))
		case 2:
			fields = append(fields, schema.NewFloat64Node(name, optional, id))
		}
	}
	if s.Nested {
		list := func(name string, element schema.Node) schema.Node {
			return schema.Must(schema.ListOfWithName(name, element, optional, id))
		}
		fields = append(fields, list("list", schema.NewFloat64Node("element", optional, id)),
			schema.Must(schema.NewGroupNode("struct", optional, schema.FieldList{
				schema.NewInt64Node("a", optional, id), list("b", schema.NewByteArrayNode("element", optional, id))}, id)))
	}
	return schema.MustGroup(schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, id))
}

// levels makes the definition and repetition levels of some rows, and tells how many of them carry a value.
func levels(c file.ColumnChunkWriter, rows int, rnd *rand.Rand) (def, rep []int16, values int) {
	highest, repeats := c.Descr().MaxDefinitionLevel(), c.Descr().MaxRepetitionLevel() > 0
	for range rows {
		n := 1
		if repeats {
			n = 1 + rnd.IntN(3)
		}
		for i := range n {
			level := highest
			if rnd.IntN(16) == 0 {
				level-- // a null
			}
			def = append(def, level)
			rep = append(rep, int16(min(i, 1)))
			if level == highest {
				values++
			}
		}
	}
	if !repeats {
		rep = nil
	}
	return def, rep, values
}

// writeColumn writes a row group's rows in batches, so that data pages can end between them.
func writeColumn(c file.ColumnChunkWriter, s Spec, rnd *rand.Rand) (err error) {
	for left := s.Rows; left > 0 && err == nil; left -= 100 {
		def, rep, n := levels(c, min(left, 100), rnd)
		switch c := c.(type) {
		case *file.Int64ColumnChunkWriter:
			_, err = c.WriteBatch(fill(n, func() int64 { return int64(rnd.Uint64()) }), def, rep)
		case *file.Float64ColumnChunkWriter:
			_, err = c.WriteBatch(fill(n, rnd.NormFloat64), def, rep)
		case *file.ByteArrayColumnChunkWriter:
			_, err = c.WriteBatch(fill(n, func() parquet.ByteArray { return parquet.ByteArray(text(s, rnd)) }), def, rep)
		default:
			err = fmt.Errorf("no values for %T", c)
		}
	}
	return err
}

func fill[T any](n int, value func() T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = value()
	}
	return out
}

// text makes a string that no codec can shrink much.
func text(s Spec, rnd *rand.Rand) string {
	size := s.ValueSize
	if size == 0 {
		size = 12
	}
	if s.Distinct > 0 {
		rnd = rand.New(rand.NewPCG(s.Seed, uint64(rnd.IntN(s.Distinct))))
	}
	b := make([]byte, size)
	for i := 0; i < size; i += 8 {
		word := rnd.Uint64()
		for j := i; j < min(i+8, size); j++ {
			b[j] = '!' + byte(word>>(8*(j-i)))&63
		}
	}
	return string(b)
}
