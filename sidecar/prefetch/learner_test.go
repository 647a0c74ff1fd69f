package prefetch

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/alio-lake/alio/formats"
)

// parquetFile is a file whose int64 columns have these names, each a chunk of rows*8 bytes or so.
func parquetFile(t *testing.T, rows int, names ...string) []byte {
	t.Helper()
	var fields schema.FieldList
	for _, name := range names {
		fields = append(fields, schema.NewInt64Node(name, parquet.Repetitions.Required, -1))
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := file.NewParquetWriter(&buf, root, file.WithWriterProps(parquet.NewWriterProperties(parquet.WithDictionaryDefault(false))))
	g := w.AppendRowGroup()
	for range names {
		c, err := g.NextColumn()
		if err != nil {
			t.Fatal(err)
		}
		values := make([]int64, rows)
		for i := range values {
			values[i] = int64(i) * 2654435761
		}
		if _, err := c.(*file.Int64ColumnChunkWriter).WriteBatch(values, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func columnsOf(t *testing.T, data []byte) *formats.Columns {
	t.Helper()
	c, err := formats.ReadColumns("f", int64(len(data)), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// chunk is where the nth column of a file of one row group lies.
func chunk(c *formats.Columns, n int) formats.Extent {
	i := -1
	all := c.Extents(func(uint64) bool { i++; return i == n })
	return all[0]
}

// read has a file opened and some of its columns read.
func read(l *Learner, root, id string, data []byte, c *formats.Columns, columns ...int) *File {
	f, _ := l.Read(root, id, int64(len(data)), int64(len(data))-1000, 1000)
	f.Found(c)
	for _, n := range columns {
		e := chunk(c, n)
		l.Read(root, id, int64(len(data)), e.Start, e.End-e.Start)
	}
	return f
}

// Columns are known by their names: in a file that has them in another order they are others.
func TestColumnsAreLearntByName(t *testing.T) {
	c := newClock()
	l := NewLearner(DefaultMemory, c.now)
	one, other := parquetFile(t, 30_000, "a", "b", "c"), parquetFile(t, 30_000, "c", "d", "a", "b")
	for i := range 3 {
		if got := read(l, "t", fmt.Sprint(i), one, columnsOf(t, one), 0, 2).Wanted(); got != nil {
			t.Errorf("file %d: %v wanted before three were read", i, got)
		}
	}
	at := columnsOf(t, other)
	got := read(l, "t", "other", other, at).Wanted()
	want := []formats.Extent{chunk(at, 0), chunk(at, 2)} // c and a
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
	if got := read(l, "u", "x", other, at).Wanted(); got != nil {
		t.Errorf("of another table, %v", got)
	}
}

// What is not read any more is forgotten, by opens and by time, and so is what turned out useless.
func TestWhatWasLearntDecays(t *testing.T) {
	data := parquetFile(t, 30_000, "a", "b", "c")
	at := columnsOf(t, data)
	start := func() (*clock, *Learner) {
		c := newClock()
		l := NewLearner(DefaultMemory, c.now)
		for i := range 8 {
			read(l, "t", fmt.Sprint(i), data, at, 0)
		}
		if got := read(l, "t", "then", data, at).Wanted(); len(got) != 1 {
			t.Fatalf("%v wanted, want the first column", got)
		}
		return c, l
	}
	_, l := start()
	for i := range 8 {
		read(l, "t", fmt.Sprint("later", i), data, at, 1)
	}
	if got := read(l, "t", "now", data, at).Wanted(); len(got) != 1 || got[0] != chunk(at, 1) {
		t.Errorf("after eight files of which another column was read: %v", got)
	}
	c, l := start()
	c.advance(2 * forget)
	if got := read(l, "t", "now", data, at).Wanted(); got != nil {
		t.Errorf("after a long time: %v", got)
	}
	c, l = start()
	f := read(l, "t", "now", data, at)
	for range maxFailures {
		f.Lost(0, 1<<20)
	}
	if got := f.Wanted(); got != nil {
		t.Errorf("after it was of no use: %v", got)
	}
	c.advance(pause + time.Second)
	for i := range 8 {
		read(l, "t", fmt.Sprint("again", i), data, at, 0)
	}
	if f.Wanted(); read(l, "t", "last", data, at).Wanted() == nil {
		t.Error("after the pause it is not tried again")
	}
}

// A column of which only a part was read, or only in some files, is not fetched.
func TestOnlyWhatIsReadInMostFilesIsWanted(t *testing.T) {
	data := parquetFile(t, 30_000, "a", "b", "c")
	at := columnsOf(t, data)
	l := NewLearner(DefaultMemory, newClock().now)
	for i := range 8 {
		columns := []int{0}
		if i%2 == 0 {
			columns = append(columns, 1)
		}
		f := read(l, "t", fmt.Sprint(i), data, at, columns...)
		e := chunk(at, 2)
		f.Note(e.Start, e.Start+(e.End-e.Start)/4)
	}
	if got := read(l, "t", "now", data, at).Wanted(); len(got) != 1 || got[0] != chunk(at, 0) {
		t.Errorf("%v wanted, want %v", got, chunk(at, 0))
	}
}

// What is kept is bounded, whatever is read.
func TestTheLearnerIsBounded(t *testing.T) {
	data := parquetFile(t, 30_000, "a", "b", "c")
	at := columnsOf(t, data)
	const limit = 40 << 10
	l := NewLearner(limit, newClock().now)
	for i := range 2000 {
		root := fmt.Sprintf("table%d%s", i%700, strings.Repeat("x", i%50))
		f := read(l, root, fmt.Sprint(i), data, at, 0, 1)
		for j := range int64(50) {
			f.Note(j*20, j*20+5)
		}
		l.Kind(root, fmt.Sprint(i%100)).Used(0, 10)
		if tables, n := l.Usage(); tables > maxTables || n > limit {
			t.Fatalf("%d tables, %d bytes", tables, n)
		}
	}
	f := read(l, "long", "f", data, at)
	for j := range int64(3 * maxRanges) {
		f.Note(j*20, j*20+5)
	}
	if f.table != nil && len(f.ranges) > maxRanges {
		t.Errorf("%d ranges of one file", len(f.ranges))
	}
	l = NewLearner(int64(at.MemoryBytes())*4, newClock().now)
	if f := read(l, "t", "f", data, at, 0); f.columns != nil || f.Wanted() != nil {
		t.Error("a file whose columns take more than an eighth of all was kept")
	}
}

func TestTable(t *testing.T) {
	for path, want := range map[string]string{
		"w/sales/part-0.parquet": "w/sales", "w/sales/year=2026/month=1/part-0.parquet": "w/sales", "f": "", "year=1/f": "",
		"w/t/_delta_log/00000000000000000001.json": "w/t", "w/t/metadata/v1.metadata.json": "w/t",
	} {
		if got := Table(path); got != want {
			t.Errorf("table of %s: %q, want %q", path, got, want)
		}
	}
}

func TestPolicy(t *testing.T) {
	p, err := NewPolicy(Settings{Rules: []Rule{{"lake/hot/**", On}, {"lake/**", Metadata}}, Bandwidth: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Mode{"hot/a": On, "cold/a": Metadata} {
		if got := p.Mode("lake", path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if got := p.Mode("pond", "a"); got != Off || !p.Any() || p.Requests() != DefaultRequests || p.Ahead() != DefaultAhead {
		t.Errorf("%v, %+v", got, p)
	}
	for i := range 3 {
		if got := p.Pay(1 << 20); got != (i < 2) {
			t.Errorf("page %d of 1 MiB, of a bandwidth of 2 MiB a second: %v", i+1, got)
		}
	}
	p.Owe(3 << 20) // blocks nobody
	for _, s := range []Settings{{Mode: 9}, {Rules: []Rule{{"", On}}}, {Rules: []Rule{{"x", 9}}}, {Requests: -1}, {Ahead: 1}, {Bandwidth: -1}} {
		if _, err := NewPolicy(s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	for i, name := range Modes {
		if m, err := ParseMode(name); err != nil || m != Mode(i) || m.String() != name {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := ParseMode("maybe"); err == nil {
		t.Error("a mode that does not exist was read")
	}
}
