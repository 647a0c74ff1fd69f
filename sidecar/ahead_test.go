package sidecar_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/limit"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// From the fourth file of a table on, the columns that its readers read are fetched when its footer has been read, neighbours in one request, and no others.
func TestColumnsOfATableAreFetchedAhead(t *testing.T) {
	r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
	data := lakeFile(t, 10, 2, 30_000) // chunks of about 240 KB
	at := chunks(t, "f", data)
	for i := range 12 {
		path := fmt.Sprintf("t/day=%d/f", i)
		r.store.Put(path, data)
		r.scan(path, data, 2, 3, 7)
		got := r.ranges(int64(len(data)))[path]
		want := 1 + 3*2
		if i >= 3 {
			want = 1 + 2*2 // columns 2 and 3 together
		}
		if len(got) != want {
			t.Errorf("file %d: %d requests, want %d: %v", i, len(got), want, got)
		}
		for _, g := range got[1:] {
			inside := slices.ContainsFunc([]int{2, 3, 7}, func(c int) bool {
				return slices.ContainsFunc(at[c], func(e formats.Extent) bool { return g.Start == e.Start })
			})
			if !inside || g.End-g.Start > 2*(at[2][0].End-at[2][0].Start) {
				t.Errorf("file %d: [%d, %d) was fetched, which is of no column that is read", i, g.Start, g.End)
			}
		}
	}
	st := r.idle()
	if st.Issued == 0 || st.Useful != st.Issued || st.Wasted != 0 {
		t.Errorf("%+v: all of it should have been useful", st)
	}
	// Another table is another matter.
	r.store.Put("u/f", data)
	r.scan("u/f", data)
	if got := r.ranges(int64(len(data)))["u/f"]; len(got) != 1 {
		t.Errorf("of a table of which nothing is known, %v was fetched", got)
	}
}

// Where the origin is asked at every read, what was fetched ahead would be asked for once more.
func TestNothingIsFetchedAheadAtMaxAge0(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		o.Prefetch, o.Rules = prefetch.Settings{Mode: prefetch.On}, []freshness.Rule{{Path: "**", MaxAge: 0}}
	})
	data := lakeFile(t, 10, 1, 30_000)
	for i := range 6 {
		path := fmt.Sprintf("t/f%d", i)
		r.store.Put(path, data)
		r.scan(path, data, 2, 3)
	}
	r.table("delta_rs")
	if err := r.all("delta_rs/_delta_log/_last_checkpoint"); err != nil {
		t.Fatal(err)
	}
	if st := r.idle(); st.Issued != 0 {
		t.Errorf("%+v", st)
	}
}

// Files whose readers lately wanted a footer longer than the tail give it in their first read.
func TestLongFootersComeWithTheFirstRead(t *testing.T) {
	for _, how := range []string{"unknown", "listed"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
			data := lakeFile(t, 200, 12, 40)
			footer := int64(data[len(data)-8]) | int64(data[len(data)-7])<<8 | int64(data[len(data)-6])<<16
			for i := range 8 {
				path := fmt.Sprintf("t/f%d", i)
				r.store.Put(path, data)
				if how == "listed" {
					r.list("t/")
				}
				r.want(path, data, 0, 0, 48<<10)
				r.idle()
				r.want(path, data, 0, 0, footer+8)
				r.idle()
				r.want(path, data, 4, 100, 0) // a column, so that the file counts
				r.idle()
				got := r.ranges(int64(len(data)))[path]
				if want := map[bool]int{true: 3, false: 2}[i < 3]; len(got) != want {
					t.Errorf("file %d: %d requests, want %d: %v", i, len(got), want, got)
				}
			}
			if st := r.idle(); st.Issued == 0 || st.Useful*10 < st.Issued*8 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// Readers and prefetches together ask the origin for no byte twice.
func TestNoByteIsFetchedTwice(t *testing.T) {
	seed := origintest.Seed(t)
	r := newRig(t, seed, fetching(prefetch.Settings{Mode: prefetch.On}))
	r.origin.Add(origintest.Rule{Probability: 0.5, Effect: origintest.Delay(2 * time.Millisecond)})
	data := lakeFile(t, 8, 2, 20_000) // chunks of about 160 KB
	at := chunks(t, "f", data)
	const files = 20
	for i := range files {
		r.store.Put(fmt.Sprintf("t/f%d", i), data)
	}
	r.list("t/")
	var readers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			for i := range files {
				path := fmt.Sprintf("t/f%d", i)
				r.want(path, data, 0, 0, 48<<10)
				for _, c := range []int{1, 2, 5} {
					for _, e := range at[c] {
						if from := e.Start + rng.Int64N(e.End-e.Start); rng.IntN(2) == 0 {
							r.want(path, data, from, e.End-from, 0)
						}
						r.want(path, data, e.Start, e.End-e.Start, 0)
					}
				}
			}
		})
	}
	readers.Wait()
	st := r.idle()
	if st.Issued == 0 || st.Useful == 0 {
		t.Errorf("nothing was fetched ahead: %+v", st)
	}
	for path, got := range r.ranges(int64(len(data))) {
		slices.SortFunc(got, func(a, b formats.Extent) int { return int(a.Start - b.Start) })
		for i := 1; i < len(got); i++ {
			if got[i].Start < got[i-1].End {
				t.Errorf("%s: [%d, %d) and [%d, %d) were both fetched (ALIO_SEED=%d)", path, got[i-1].Start, got[i-1].End, got[i].Start, got[i].End, seed)
			}
		}
	}
	t.Logf("%+v", st)
}

// A reader that wants pages on both sides of one that is being fetched ahead does not have that one travel again.
func TestAReaderFillsAroundAPrefetch(t *testing.T) {
	r, o := newHoldingRig(t)
	data := lakeFile(t, 10, 1, 30_000)
	at := chunks(t, "f", data)
	remove := o.hold(t, "t/f3", at[5][0].Start)
	for i := range 4 {
		path := fmt.Sprintf("t/f%d", i)
		r.store.Put(path, data)
		if i < 3 {
			r.scan(path, data, 5)
		}
	}
	r.want("t/f3", data, 0, 0, 48<<10)
	remove.reached(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.want("t/f3", data, at[4][0].Start, at[6][0].End-at[4][0].Start, 0)
	}()
	eventually(t, "the reader asks for both neighbours", func() bool {
		n := 0
		for _, c := range r.origin.Calls("") {
			if c.Path == "t/f3" {
				n++
			}
		}
		return n == 4
	})
	remove.release()
	<-done
	got := r.ranges(int64(len(data)))["t/f3"]
	slices.SortFunc(got, func(a, b formats.Extent) int { return int(a.Start - b.Start) })
	for i := 1; i < len(got); i++ {
		if got[i].Start < got[i-1].End {
			t.Errorf("fetched twice: %v", got)
		}
	}
	if st := r.idle(); st.Wasted != 0 || st.Useful != at[5][0].End-at[5][0].Start {
		t.Errorf("%+v", st)
	}
}

// Whatever is fetched ahead, and however it fails: the same bytes as without it.
func TestSameBytesWithPrefetches(t *testing.T) {
	seed := origintest.Seed(t)
	for _, maxAge := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
		t.Run(maxAge.String(), func(t *testing.T) {
			r := newRig(t, seed, func(o *sidecar.Options, c *cache.Options) {
				o.FillSpan, o.RunMemory, o.LayoutMemory, o.MetadataMemory = 1<<20, 2<<20, 64<<10, 256<<10
				o.Rules = []freshness.Rule{{Path: "**", MaxAge: maxAge}}
				o.Prefetch = prefetch.Settings{Mode: prefetch.On, Ahead: 2 << 20}
				c.Memory, c.FillSpan, c.FillMemory = 4<<20, 1<<20, 2<<20
			})
			r.origin.Add(faults()...)
			bodies := [][]byte{lakeFile(t, 6, 2, 20_000), lakeFile(t, 3, 1, 90_000), lakeFile(t, 150, 10, 30)}
			h := newHistory()
			var paths []string
			for i := range 12 {
				paths = append(paths, fmt.Sprintf("t/f%d", i))
			}
			watched := make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				defer close(watched)
				for ctx.Err() == nil {
					if st := r.Status().Prefetch; st.Issued != st.Useful+st.Wasted+st.Pending || st.Pending > 2<<20+1<<20 {
						t.Errorf("the account does not add up, or goes beyond its limit: %+v", st)
						return
					}
				}
			}()
			scanned := make(chan struct{})
			go func() {
				defer close(scanned)
				rng := rand.New(rand.NewPCG(seed, 77))
				for ctx.Err() == nil && !t.Failed() {
					r.scanOnce(h, paths[rng.IntN(len(paths))], maxAge, seed)
				}
			}()
			hammer(t, r, h, paths, seed, maxAge, func(rng *rand.Rand, p string) { h.write(r.store, p, bodies[rng.IntN(len(bodies))]) })
			eventually(t, "something is fetched ahead", func() bool { return t.Failed() || r.Status().Prefetch.Issued > 0 })
			stop()
			<-watched
			<-scanned
			st := r.idle()
			t.Logf("%+v", st)
		})
	}
}

// scanOnce reads a file's end and then its first two columns, each of whatever version is there by then.
func (r *rig) scanOnce(h *history, path string, maxAge time.Duration, seed uint64) {
	read := func(req origin.ReadRequest) (version []byte) {
		asked := time.Now()
		c, err := r.Open(r.t.Context(), "lake", req, nil)
		if err != nil {
			return nil
		}
		defer c.Body.Close()
		got, err := io.ReadAll(c.Body)
		if err != nil {
			return nil
		}
		if err := h.check(c, got, asked, maxAge); err != nil {
			r.t.Errorf("%+v: %v (ALIO_SEED=%d)", req, err, seed)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.data[c.Object.Version]
	}
	data := read(origin.ReadRequest{Path: path, Suffix: 48 << 10})
	columns, err := formats.ReadColumns(path, int64(len(data)), bytes.NewReader(data))
	if err != nil {
		return
	}
	n := 0
	for _, e := range columns.Extents(func(uint64) bool { n++; return n <= 2 }) {
		read(origin.ReadRequest{Path: path, Offset: e.Start, Length: e.End - e.Start})
	}
}

// What a table's metadata names is fetched when it has been read: for nobody's question that would have to be asked again.
func TestMetadataIsFetchedAhead(t *testing.T) {
	aged := []freshness.Rule{{Path: "**/_last_checkpoint", Answers: []freshness.Kind{freshness.Object}, MaxAge: 0},
		{Path: "**", Answers: []freshness.Kind{freshness.NotFound}, MaxAge: time.Hour}}
	for _, c := range []struct {
		name, table, list, read string
		rules                   []freshness.Rule
		want                    string // what is asked besides
		then                    []string
	}{
		{"a pointer leads to its checkpoint; nothing speculative at 0", "delta_rs", "", "_delta_log/_last_checkpoint", nil,
			"00000000000000000004.checkpoint.parquet", []string{"_delta_log/00000000000000000004.checkpoint.parquet"}},
		{"commits one after the other, as far as there are any", "delta_rs", "", "_delta_log/_last_checkpoint", aged,
			"00000000000000000004.checkpoint.parquet 00000000000000000005.json 00000000000000000006.json 00000000000000000007.json",
			[]string{"_delta_log/00000000000000000005.json", "_delta_log/00000000000000000006.json", "_delta_log/00000000000000000007.json"}},
		{"metadata, manifest list, manifests", "iceberg_hadoop", "", "metadata/v3.metadata.json", nil,
			"2a0005f4-3c37-45fc-abe3-77ebf660e31a-m0.avro 5ad65307-cc15-434a-8b32-78b44bd54a15-m0.avro snap-6747222143982828748-1-2a0005f4-3c37-45fc-abe3-77ebf660e31a.avro",
			[]string{"metadata/snap-6747222143982828748-1-2a0005f4-3c37-45fc-abe3-77ebf660e31a.avro", "metadata/5ad65307-cc15-434a-8b32-78b44bd54a15-m0.avro"}},
		{"the slice of a base file", "hudi_mor9", "hudi_mor9/p1/", "p1/5b9ab970-e9dd-439d-83a8-2e1860140dc3-0_0-0-0_20261128062445408.parquet", nil,
			".5b9ab970-e9dd-439d-83a8-2e1860140dc3-0_20261128062451231.log.1_0-0-0 .5b9ab970-e9dd-439d-83a8-2e1860140dc3-0_20261128062501938.log.1_0-0-0",
			[]string{"p1/.5b9ab970-e9dd-439d-83a8-2e1860140dc3-0_20261128062451231.log.1_0-0-0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
				o.Prefetch, o.Rules = prefetch.Settings{Mode: prefetch.Metadata}, c.rules
			})
			r.table(c.table)
			if c.list != "" {
				r.list(c.list)
				r.origin.Forget()
			}
			if err := r.all(c.table + "/" + c.read); err != nil {
				t.Fatal(err)
			}
			r.idle()
			want := strings.Split(c.want+" "+filepath.Base(c.read), " ")
			slices.Sort(want)
			if got := r.asked(); got != strings.Join(want, " ") {
				t.Errorf("asked for %s, want %s", got, want)
			}
			for _, path := range c.then {
				if err := r.all(c.table + "/" + path); err != nil && origin.Kind(err) != origin.ErrNotFound {
					t.Fatal(err)
				}
			}
			r.wantCalls("what was fetched ahead", "")
			if st := r.idle(); st.Useful == 0 || st.Wasted != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A rule turns it off, and so does a reload; then nothing more is asked for than readers want.
func TestPrefetchIsOffByRule(t *testing.T) {
	r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On, Rules: []prefetch.Rule{{Path: "lake/quiet/**", Mode: prefetch.Off}, {Path: "lake/plain/**", Mode: prefetch.Metadata}}}))
	data := lakeFile(t, 10, 1, 30_000)
	scan := func(table string, from, to int) {
		for i := from; i < to; i++ {
			path := fmt.Sprintf("%s/f%d", table, i)
			r.store.Put(path, data)
			r.scan(path, data, 2, 3)
		}
	}
	scan("quiet", 0, 6)
	scan("plain", 0, 6)
	if st := r.idle(); st.Issued != 0 || st.Tables != 0 {
		t.Errorf("where a rule turns it off: %+v", st)
	}
	scan("loud", 0, 6)
	before := r.idle()
	if before.Issued == 0 {
		t.Error("nothing was fetched where it is on")
	}
	if err := r.SetPrefetch(prefetch.Settings{}); err != nil {
		t.Fatal(err)
	}
	scan("loud", 6, 9)
	if st := r.idle(); st.Issued != before.Issued {
		t.Errorf("after it was turned off: %+v, before %+v", st, before)
	}
	if err := r.SetPrefetch(prefetch.Settings{Mode: 7}); err == nil {
		t.Error("a mode that does not exist was taken")
	}
}

// What has become useless is given up, and what it cost is counted.
func TestPrefetchIsCancelled(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig) error
	}{
		{"invalidated", func(r *rig) error { return r.Invalidate("lake", "t/f3", false) }},
		{"invalidated below a prefix", func(r *rig) error { return r.Invalidate("lake", "t/", true) }},
		{"turned off", func(r *rig) error { return r.SetPrefetch(prefetch.Settings{}) }},
		{"the mount is gone", func(r *rig) error { return r.Reload(map[string]origin.Origin{"pond": r.store}, nil) }},
		{"shutdown", func(r *rig) error { return r.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, o := newHoldingRig(t)
			data := lakeFile(t, 10, 1, 30_000)
			at := chunks(t, "f", data)
			here := o.hold(t, "t/f3", at[5][0].Start)
			for i := range 4 {
				path := fmt.Sprintf("t/f%d", i)
				r.store.Put(path, data)
				if i < 3 {
					r.scan(path, data, 5)
				}
			}
			r.want("t/f3", data, 0, 0, 48<<10)
			here.reached(t)
			if err := c.end(r); err != nil {
				t.Fatal(err)
			}
			st := r.idle()
			if n := at[5][0].End - at[5][0].Start; st.Issued != n || st.Wasted != n {
				t.Errorf("%+v, want %d bytes issued and wasted", st, n)
			}
		})
	}
}

// Of an origin of which readers take half the slots nothing is fetched ahead; and never are more requests made at once than is allowed.
func TestReadersGoFirst(t *testing.T) {
	r := newRig(t, 1)
	data := lakeFile(t, 10, 4, 20_000)
	limited, err := limit.New(r.origin, limit.Options{Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(map[string]origin.Origin{"lake": limited}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPrefetch(prefetch.Settings{Mode: prefetch.On, Requests: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		r.store.Put(fmt.Sprintf("t/f%d", i), data)
		if i < 3 {
			r.scan(fmt.Sprintf("t/f%d", i), data, 5)
		}
	}
	// Two of four slots are taken by bodies that nobody reads on.
	for range 2 {
		c, err := limited.Read(t.Context(), origin.ReadRequest{Path: "t/f0", Length: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Body.Close()
	}
	r.origin.Forget()
	r.want("t/f3", data, 0, 0, 48<<10)
	if st := r.idle(); st.Issued != 0 {
		t.Errorf("%+v: it was in the readers' way", st)
	}
	r.wantCalls("the reader's own request", "read:1")
}

// The bytes ahead of readers stay within their limit; what there was no room for comes when readers come nearer to it.
func TestBytesAheadAreBounded(t *testing.T) {
	const ahead = 1 << 20
	r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On, Ahead: ahead}))
	data := lakeFile(t, 4, 12, 30_000) // 12 chunks of about 240 KB a column
	at := chunks(t, "f", data)
	for i := range 6 {
		path := fmt.Sprintf("t/f%d", i)
		r.store.Put(path, data)
		r.want(path, data, 0, 0, 48<<10)
		for _, e := range at[1] {
			if st := r.idle(); st.Pending > ahead {
				t.Fatalf("%+v: more than %d bytes are ahead", st, ahead)
			}
			r.want(path, data, e.Start, e.End-e.Start, 0)
		}
	}
	st := r.idle()
	if most := 3 * int64(len(data)) / 4; st.Useful < most*8/10 || st.Wasted != 0 {
		t.Errorf("%+v: want nearly all of the column of three files, %d bytes", st, most)
	}
}
