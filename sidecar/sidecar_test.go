package sidecar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"go.uber.org/goleak"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a sidecar over an in-memory origin whose calls are recorded.
type rig struct {
	*sidecar.Sidecar
	t      *testing.T
	store  *mem.Origin
	origin *origintest.Faulty
	cache  *cache.Cache
}

func newRig(t *testing.T, seed uint64, change ...func(*sidecar.Options, *cache.Options)) *rig {
	t.Helper()
	r := &rig{t: t, store: mem.New("lake")}
	r.origin = origintest.NewFaulty(r.store, seed)
	copts := cache.Options{Memory: 64 << 20, Metadata: formats.Metadata, ClassNames: formats.ClassNames()}
	opts := sidecar.Options{Mounts: map[string]origin.Origin{"lake": r.origin}}
	for _, c := range change {
		c(&opts, &copts)
	}
	var err error
	if r.cache, err = cache.New(copts); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.cache.Run(ctx) }()
	t.Cleanup(func() {
		if r.Sidecar != nil {
			r.Sidecar.Close()
		}
		stop()
		<-done
		r.cache.Close()
	})
	opts.Pages = r.cache
	if r.Sidecar, err = sidecar.New(opts); err != nil {
		t.Fatal(err)
	}
	return r
}

// restart makes a sidecar that knows nothing over the pages that are there.
func (r *rig) restart() {
	s, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": r.origin}, Pages: r.cache})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Sidecar = s
}

func (r *rig) read(path string, off, n, suffix int64) ([]byte, origin.Object, error) {
	c, err := r.Open(r.t.Context(), "lake", origin.ReadRequest{Path: path, Offset: off, Length: n, Suffix: suffix}, nil)
	if err != nil {
		return nil, origin.Object{}, err
	}
	defer c.Body.Close()
	b, err := io.ReadAll(c.Body)
	if err == nil && int64(len(b)) != c.Length {
		err = fmt.Errorf("content of %d bytes announced as %d", len(b), c.Length)
	}
	return b, c.Object, err
}

// want reads and compares with data.
func (r *rig) want(path string, data []byte, off, n, suffix int64) {
	r.t.Helper()
	got, _, err := r.read(path, off, n, suffix)
	o, l, rerr := origin.ReadRequest{Path: path, Offset: off, Length: n, Suffix: suffix}.Resolve(int64(len(data)))
	if err != nil || rerr != nil {
		r.t.Fatalf("read %s at %d+%d, suffix %d: %v", path, off, n, suffix, err)
	}
	if !bytes.Equal(got, data[o:o+l]) {
		r.t.Fatalf("read %s at %d+%d, suffix %d: %d bytes, and they differ from the origin's", path, off, n, suffix, len(got))
	}
}

func (r *rig) list(prefix string) origin.Listing {
	r.t.Helper()
	l, err := r.List(r.t.Context(), "lake", origin.ListRequest{Prefix: prefix})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// calls counts what arrived at the origin since the last time, as "list:1 read:3".
func (r *rig) calls() string {
	n := map[string]int{}
	for _, c := range r.origin.Calls("") {
		n[c.Op]++
	}
	r.origin.Forget()
	var out []string
	for _, op := range []string{origintest.OpList, origintest.OpRead, origintest.OpStat} {
		if n[op] > 0 {
			out = append(out, fmt.Sprintf("%s:%d", op, n[op]))
		}
	}
	return strings.Join(out, " ")
}

func (r *rig) wantCalls(what, want string) {
	r.t.Helper()
	if got := r.calls(); got != want {
		r.t.Errorf("%s: origin saw %q, want %q", what, got, want)
	}
}

// lakeFile is a Parquet file of columns int64 columns of random values in row groups.
func lakeFile(t testing.TB, columns, groups, rows int) []byte {
	t.Helper()
	var fields schema.FieldList
	for i := range columns {
		fields = append(fields, schema.NewInt64Node(fmt.Sprintf("column_with_a_name_%03d", i), parquet.Repetitions.Required, -1))
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := file.NewParquetWriter(&buf, root, file.WithWriterProps(parquet.NewWriterProperties(parquet.WithDictionaryDefault(false))))
	rng := rand.New(rand.NewPCG(uint64(columns), uint64(rows)))
	for range groups {
		rg := w.AppendRowGroup()
		for range columns {
			cw, err := rg.NextColumn()
			if err != nil {
				t.Fatal(err)
			}
			values := make([]int64, rows)
			for i := range values {
				values[i] = rng.Int64()
			}
			if _, err := cw.(*file.Int64ColumnChunkWriter).WriteBatch(values, nil, nil); err != nil {
				t.Fatal(err)
			}
			if err := cw.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A Trino query over a plain Parquet file: the listing tells version and size, the tail read tells the layout, chunks fill alone; the
// second time only the listing travels.
func TestParquetQueryColdAndWarm(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 10, 1, 50_000) // chunks of about 400 KB
	r.store.Put("t/f", data)
	query := func() {
		r.list("t/")
		r.want("t/f", data, 0, 0, 48<<10)
		r.want("t/f", data, 4, 400_000, 0)
		r.want("t/f", data, 2_000_000, 100_000, 0)
	}
	query()
	r.wantCalls("cold", "list:1 read:3")
	query()
	r.wantCalls("warm", "list:1")
	r.restart()
	query()
	r.wantCalls("after a restart", "list:1")
}

func TestColumnReadsDoNotFetchTheirNeighbours(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 10, 1, 50_000)
	r.store.Put("t/f", data)
	r.list("t/")
	r.want("t/f", data, 0, 0, 48<<10)
	layout, err := formats.Derive("t/f", int64(len(data)), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	asked, fetched := int64(48<<10), int64(0)
	for _, at := range []int64{1_000_000, 3_000_000} {
		start, end, _ := layout.PageAt(at)
		r.want("t/f", data, start, end-start, 0)
		asked += end - start
	}
	for _, c := range r.origin.Calls("") {
		if c.Op == origintest.OpRead {
			_, n, _ := c.Read.Resolve(int64(len(data)))
			fetched += n
		}
	}
	if ratio := float64(fetched) / float64(asked); ratio > 1.03 {
		t.Errorf("%d bytes asked, %d fetched: over-read %.3f", asked, fetched, ratio)
	}
}

// An ORC file's last stripe is cut by columns, so that a reader of one column fetches that column; and after a restart by the same pages.
func TestORCColumnReadsDoNotFetchTheirNeighbours(t *testing.T) {
	r := newRig(t, 1)
	data, err := os.ReadFile("../formats/testdata/orc/pyarrow_large.orc")
	if err != nil {
		t.Fatal(err)
	}
	r.store.Put("t/f.orc", data)
	query := func() {
		r.list("t/")
		r.want("t/f.orc", data, 0, 0, 16<<10)
		r.want("t/f.orc", data, 180_752, 108_000, 0) // the DATA stream of column 2, by orc-tools
		r.want("t/f.orc", data, 3, 123, 0)           // the row index of the first stripe
	}
	query()
	fetched := int64(0)
	for _, c := range r.origin.Calls("") {
		if c.Op == origintest.OpRead {
			_, n, _ := c.Read.Resolve(int64(len(data)))
			fetched += n
		}
	}
	if want := int64(64<<10 + 72 + 108_000 + 123); fetched != want { // the column's LENGTH stream lies before its data, in the same page
		t.Errorf("%d bytes fetched, want %d", fetched, want)
	}
	r.wantCalls("cold", "list:1 read:3")
	query()
	r.restart()
	query()
	r.wantCalls("warm, and after a restart", "list:2")
	r.want("t/f.orc", data, 0, int64(len(data)), 0)
}

func TestSmallFilesReadWholeAreOneRequest(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 20, 2, 5_000) // 1.6 MB: below Trino's threshold, so it reads the file as a suffix of its length
	r.store.Put("t/f", data)
	for range 2 {
		r.list("t/")
		r.want("t/f", data, 0, 0, int64(len(data)))
	}
	r.wantCalls("two queries", "list:2 read:1")
	r.restart()
	r.list("t/")
	r.want("t/f", data, 0, 0, int64(len(data)))
	r.wantCalls("after a restart", "list:1")
}

func TestFirstReadIsAlsoTheStat(t *testing.T) {
	for _, c := range []struct {
		name           string
		off, n, suffix int64
	}{{"suffix", 0, 0, 100}, {"closed", 300_000, 1000, 0}, {"open", 1_000_000, origin.WholeRange, 0}, {"whole", 0, origin.WholeRange, 0}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 1)
			data := lakeFile(t, 4, 1, 50_000)
			r.store.Put("f", data)
			r.want("f", data, c.off, c.n, c.suffix)
			r.wantCalls("unknown object", "read:1")
			r.want("f", data, c.off, c.n, c.suffix)
			r.wantCalls("again", "")
		})
	}
}

func TestFooterLargerThanTheTail(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 200, 12, 40) // a footer of more than 64 KiB
	r.store.Put("f", data)
	r.list("")
	r.want("f", data, 0, 0, 48<<10)
	footer := int64(data[len(data)-8]) | int64(data[len(data)-7])<<8 | int64(data[len(data)-6])<<16
	if footer <= formats.TailSize {
		t.Fatalf("the footer has only %d bytes", footer)
	}
	r.want("f", data, 0, 0, footer+8)
	calls := r.origin.Calls("")
	last := calls[len(calls)-1].Read
	if last.Offset+last.Length != int64(len(data))-formats.TailSize {
		t.Errorf("the tail that was resident travelled again: %+v of %d bytes", last, len(data))
	}
	r.wantCalls("tail, then footer", "list:1 read:2")
	r.restart()
	r.list("")
	r.want("f", data, 0, 0, footer+8)
	r.wantCalls("after a restart", "list:1")
}

func TestCorruptFooterFallsBackToTheGrid(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 4, 1, 50_000)
	for i := len(data) - 200; i < len(data)-8; i++ {
		data[i] ^= 0x5a
	}
	r.store.Put("f", data)
	for range 2 {
		r.want("f", data, 0, 0, 64<<10)
		r.want("f", data, 100_000, 1000, 0)
	}
	r.wantCalls("two rounds", "read:2")
}

func TestListingConfirmsAndOldAnswersAreAskedAgain(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		o.Rules = []freshness.Rule{{Path: "lake/pointer", MaxAge: 0}, {Path: "lake/**", Answers: []freshness.Kind{freshness.NotFound, freshness.Listing}, MaxAge: time.Hour}}
	})
	one, two := []byte("first version"), []byte("second one")
	r.store.Put("pointer", one)
	r.want("pointer", one, 0, origin.WholeRange, 0)
	r.wantCalls("first", "read:1")
	r.want("pointer", one, 0, origin.WholeRange, 0)
	r.wantCalls("max_age 0, resident", "stat:1")
	r.store.Put("pointer", two)
	r.want("pointer", two, 0, origin.WholeRange, 0)
	r.wantCalls("max_age 0, changed", "read:1 stat:1")

	if _, err := r.Stat(t.Context(), "lake", "missing"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	r.calls()
	if _, _, err := r.read("missing", 0, 10, 0); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	r.list("")
	r.list("")
	r.wantCalls("not found and listings have a max_age of an hour", "list:1")
}

func TestEngineSuppliedETagConfirms(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		o.Rules = []freshness.Rule{{Path: "lake/data", MaxAge: time.Nanosecond}}
	})
	data := bytes.Repeat([]byte("abc"), 1000)
	obj := r.store.Put("data", data)
	r.want("data", data, 0, 3000, 0)
	r.calls()
	c, err := r.Open(t.Context(), "lake", origin.ReadRequest{Path: "data", Length: 3000, ETag: obj.ETag}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Body.Close()
	r.wantCalls("the client named the ETag it wants", "")
	r.want("data", data, 0, 3000, 0)
	r.wantCalls("the client named none", "stat:1")
}

func TestOverwriteDuringAReadStartsOnceMore(t *testing.T) {
	r := newRig(t, 1)
	old, new := lakeFile(t, 4, 1, 50_000), lakeFile(t, 4, 1, 60_000)
	r.store.Put("f", old)
	r.list("")
	r.want("f", old, 0, 0, 48<<10)
	r.store.Put("f", new) // the sidecar believes the listing for another ten seconds
	r.want("f", new, 1000, 100_000, 0)
	got, _, err := r.read("f", 0, 0, 48<<10)
	if err != nil || !bytes.Equal(got, new[len(new)-48<<10:]) {
		t.Errorf("after the change was seen, the old tail was served (%v)", err)
	}
}

func TestRangesAndEmptyObjects(t *testing.T) {
	r := newRig(t, 1)
	r.store.Put("empty", nil)
	r.store.Put("f", []byte("0123456789"))
	r.want("empty", nil, 0, origin.WholeRange, 0)
	for range 2 {
		var e *origin.Error
		if _, _, err := r.read("f", 10, 5, 0); !errors.Is(err, origin.ErrInvalidRange) || !errors.As(err, &e) || e.Size != 10 {
			t.Errorf("a range past the end: %v", err)
		}
	}
	r.want("f", []byte("0123456789"), 8, 100, 0)
	r.want("f", []byte("0123456789"), 0, 0, 100)
	if _, _, err := r.read("f", 0, 0, 0); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("an empty range: %v", err)
	}
	if _, err := r.Open(t.Context(), "pond", origin.ReadRequest{Path: "f", Length: 1}, nil); !errors.Is(err, origin.ErrUnknownMount) || !strings.Contains(err.Error(), "lake") {
		t.Errorf("unknown mount: %v", err)
	}
}

func TestCheckSeesTheObjectAndEndsTheRead(t *testing.T) {
	r := newRig(t, 1)
	r.store.Put("f", []byte("0123456789"))
	stop := errors.New("precondition failed")
	_, err := r.Open(t.Context(), "lake", origin.ReadRequest{Path: "f", Length: 5}, func(o *origin.Object) error {
		if o.Size != 10 {
			t.Errorf("size %d", o.Size)
		}
		return stop
	})
	if err != stop {
		t.Errorf("got %v", err)
	}
}

func TestObjectsWithoutAVersionAreServedAndNotCached(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 4, 1, 50_000)
	r.store.Put("f", data)
	r.store.HideVersions(true)
	for range 2 {
		r.want("f", data, 1000, 500_000, 0)
	}
	if n := strings.Count(r.calls(), "read:"); n == 0 {
		t.Error("an object that cannot be named was served from the cache")
	}
}

func TestWithoutRunMemoryReadsGoOn(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) { o.FillSpan, o.RunMemory = 1<<20, 1<<20 })
	data := lakeFile(t, 4, 1, 100_000)
	r.store.Put("a", data)
	r.store.Put("b", data)
	// The first reader's run takes all the memory for as long as its client takes.
	slow, err := r.Open(t.Context(), "lake", origin.ReadRequest{Path: "a", Length: origin.WholeRange}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.want("b", data, 0, 0, 48<<10)
	r.want("b", data, 0, origin.WholeRange, 0)
	got, err := io.ReadAll(slow.Body)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("the slow reader got %d bytes, %v", len(got), err)
	}
	slow.Body.Close()
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"Bad Name": mem.New("x")}, FillSpan: -1})
	for _, want := range []string{"Bad Name", "page cache", "fill span"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}
