package client

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

// TestMergedIsLikeAModel: tables merged at random hold, byte by byte, what was told last of each: the new place inside of the ranges asked
// for, the old one outside of them, unless a page that was told overlaps it.
func TestMergedIsLikeAModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 5))
	const size = 60
	segs := []*segment{{}, {}, {}}
	segs[2].retired.Store(true)
	random := func() *table {
		out := &table{segments: segs}
		for off := int64(rng.IntN(5)); off < size; {
			n := min(1+rng.Int64N(6), size-off)
			if rng.IntN(3) > 0 {
				out.pages = append(out.pages, page{off: off, length: uint32(n), record: rng.Uint32N(4), segment: rng.Uint32N(3)})
			}
			off += n
		}
		return out
	}
	for range 3000 {
		old, told := random(), random()
		var ranges []span
		for range rng.IntN(3) {
			from := rng.Int64N(size)
			ranges = addSpan(ranges, span{from, from + 1 + rng.Int64N(20)})
		}
		got := old.merged(told, ranges, 1<<20)
		var want []page
		usable := func(tab *table, p page) bool { return p.record != 0 && !tab.segments[p.segment].retired.Load() }
		overlaps := func(p page, from, to int64) bool { return p.off < to && from < p.end() }
		for _, p := range told.pages {
			if usable(told, p) {
				want = append(want, p)
			}
		}
		for _, p := range old.pages {
			stays := usable(old, p) &&
				!slices.ContainsFunc(told.pages, func(q page) bool { return overlaps(q, p.off, p.end()) }) &&
				!slices.ContainsFunc(ranges, func(s span) bool { return overlaps(p, s.from, s.to) })
			if stays {
				want = append(want, p)
			}
		}
		slices.SortFunc(want, func(a, b page) int { return int(a.off - b.off) })
		if len(got.pages) != len(want) {
			t.Fatalf("%d pages, want %d", len(got.pages), len(want))
		}
		for i, p := range got.pages {
			if p.off != want[i].off || p.length != want[i].length || p.record != want[i].record || got.segments[p.segment] != segs[want[i].segment] {
				t.Fatalf("page %d is %+v, want %+v", i, p, want[i])
			}
		}
	}
	if n := len((&table{}).merged(random(), nil, 3*pageBytes).pages); n > 3 {
		t.Fatalf("%d pages, 3 are the limit", n)
	}
}

// TestFrom compares the search of a table with a walk through it.
func TestFrom(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 7))
	for range 2000 {
		tab, off := &table{}, int64(rng.IntN(3))
		length := 1 + rng.Int64N(10)
		for range rng.IntN(40) {
			if rng.IntN(10) == 0 {
				length, off = 1+rng.Int64N(10), off+rng.Int64N(10)
			}
			tab.addPage(page{off: off, length: uint32(length)}, nil)
			off += length
		}
		for at := range off + 5 {
			want := slices.IndexFunc(tab.pages, func(p page) bool { return p.end() > at })
			if want < 0 {
				want = len(tab.pages)
			}
			if got := tab.from(at); got != want {
				t.Fatalf("from(%d) of %+v is %d, want %d", at, tab.pages, got, want)
			}
		}
	}
}

// TestSpans: addSpan covers what was added, in order and in few spans; without takes away exactly.
func TestSpans(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 6))
	for range 2000 {
		var list, taken []span
		var in, out [400]bool
		for range rng.IntN(40) {
			from := rng.Int64N(380)
			s := span{from, from + 1 + rng.Int64N(9)}
			list = addSpan(list, s)
			for i := s.from; i < s.to; i++ {
				in[i] = true
			}
		}
		for from := rng.Int64N(30); from < 380; from += 1 + rng.Int64N(60) {
			s := span{from, from + 1 + rng.Int64N(20)}
			taken = missing(taken, s.from, s.to)
			for i := s.from; i < s.to; i++ {
				out[i] = true
			}
			from = s.to
		}
		if len(list) > maxSpans {
			t.Fatalf("%d spans", len(list))
		}
		contains := func(list []span, i int64) bool {
			return slices.ContainsFunc(list, func(s span) bool { return s.from <= i && i < s.to })
		}
		left := without(list, taken)
		for i := range int64(400) {
			if in[i] && !contains(list, i) {
				t.Fatalf("%d is not covered", i)
			}
			if contains(left, i) != (contains(list, i) && !out[i]) {
				t.Fatalf("%d: %v without %v is %v", i, list, taken, left)
			}
		}
		for i := 1; i < len(list); i++ {
			if list[i].from <= list[i-1].to {
				t.Fatalf("%v", list)
			}
		}
	}
}

// TestViewsAreBounded in number and in memory, and the one used last stays.
func TestViewsAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Views, o.ViewMemory = 10, 100_000 })
	for i := range 30 {
		name := fmt.Sprint(i)
		r.storeAll(r.object(name, 2000, 1000))
		r.open(name)
		r.open("0")
		if n := r.metric("alio_client_views"); n > 10 {
			t.Fatalf("%v views", n)
		}
	}
	if r.count("open") != 30 {
		t.Fatalf("%d calls: the object used last was forgotten", r.count("open"))
	}
	o := r.object("large", 6000, 2)
	r.storeAll(o)
	f := r.open("large")
	r.want(f, o, 0, 6000)
	if n := len(f.v.table.Load().pages); n != 100_000/2/pageBytes {
		t.Fatalf("%d pages of one object", n)
	}
	for i := range 30 {
		name := fmt.Sprint("more", i)
		r.storeAll(r.object(name, 2000, 5))
		r.open(name)
		if n := r.metric("alio_client_view_bytes"); n > 100_000 || n < 0 {
			t.Fatalf("%v bytes", n)
		}
	}
}

// TestRefresh: pages that come to disk after the Open are read locally soon, for one question; questions that bring nothing become rare.
func TestRefresh(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 10_000, 1000)
	f := r.open("a")
	r.want(f, o, 0, 3000)
	r.want(f, o, 5000, 1000)
	if r.count("open") != 1 {
		t.Fatal("a first miss asked")
	}
	r.store(o, 0, 1, 5)
	r.want(f, o, 0, 2000)
	r.want(f, o, 5000, 1000)
	if r.count("open") != 2 || r.count("read") != 2 || r.local() != 3000 {
		t.Fatalf("calls %v, %v bytes locally", r.calls, r.local())
	}
	r.Client.o.RefreshInterval = time.Hour
	for range 10 {
		r.want(f, o, 7000, 100)
	}
	if r.count("open") != 2 {
		t.Fatalf("calls %v", r.calls)
	}
	r.Client.o.RefreshInterval = 10 * time.Millisecond
	eventually(t, "patience grows", func() bool { r.want(f, o, 7000, 100); return f.v.patience >= 40*time.Millisecond })
	if r.local() != 3000 {
		t.Fatal("read locally what is nowhere")
	}
}

// TestLongOpen: where an answer ends early, the rest is asked for when it is read, and from there on.
func TestLongOpen(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 10_000, 1000)
	r.storeAll(o)
	first := true
	r.mangle = func(reply *apiv1.OpenReply) {
		if !first {
			return
		}
		first = false
		e := reply.Files[0].Extents[0]
		e.Counts[0], e.Placed, e.Segments, e.Records = 4, e.Placed[:4], e.Segments[:4], e.Records[:4]
	}
	f := r.open("a")
	r.want(f, o, 0, 4000)
	if r.count("open") != 1 {
		t.Fatal("asked again too early")
	}
	r.want(f, o, 3000, 7000)
	if got := r.opens[1].GetFiles()[0].GetRanges(); len(got) != 1 || got[0].GetOffset() != 4000 || got[0].GetLength() != 6000 {
		t.Fatalf("asked of %v", got)
	}
	if r.remote() != 0 {
		t.Fatalf("%v bytes from the sidecar", r.remote())
	}
}

// TestSenselessAnswers are refused whole, each with its reason, and harm nothing.
func TestSenselessAnswers(t *testing.T) {
	good := func() (*apiv1.OpenedFile, []*segment) {
		key := segfile.HashPart("x")
		return &apiv1.OpenedFile{Object: &apiv1.Object{Path: "a", Version: "v", Size: 1000}, Parts: []*apiv1.Part{{Length: 600, Key: key[:]}, {Offset: 600, Length: 400, Key: key[:]}},
			Extents: []*apiv1.Extent{{Lengths: []uint32{100}, Counts: []uint32{10}, Classes: []byte{0}, Placed: []uint32{1, 2}, Segments: []uint32{0, 0}, Records: []uint32{1, 9}}}}, []*segment{{}}
	}
	file, segs := good()
	got, err := decodeFile(file, "lake", segs)
	if err != nil || len(got.table.pages) != 2 || got.table.pages[1].off != 300 || got.table.pages[1].record != 9 {
		t.Fatalf("%+v %v", got, err)
	}
	for name, change := range map[string]func(f *apiv1.OpenedFile, e *apiv1.Extent){
		"no object":      func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Object = nil },
		"size":           func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Object.Size = -1 },
		"freshness":      func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.FreshForUs = -2 },
		"part key":       func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Parts[0].Key = []byte("x") },
		"keyless first":  func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Parts[0].Key = nil },
		"keyless page":   func(f *apiv1.OpenedFile, e *apiv1.Extent) { f.Parts[1].Key, e.Placed[1] = nil, 6 },
		"part gap":       func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Parts[1].Offset++ },
		"part length":    func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Parts[1].Length = 1 << 62 },
		"part end":       func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Parts = f.Parts[:1] },
		"no part":        func(f *apiv1.OpenedFile, _ *apiv1.Extent) { f.Parts = nil },
		"counts":         func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Counts = nil },
		"classes":        func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Classes = []byte{1, 2} },
		"records":        func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Records = e.Records[:1] },
		"segments":       func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Segments = nil },
		"segment":        func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Segments[0] = 1 },
		"record 0":       func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Records[0] = 0 },
		"step 0":         func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Placed[1] = 0 },
		"step":           func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Placed[1] = 1 << 31 },
		"offset":         func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Offset = -100 },
		"end":            func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Offset = 1 },
		"empty pages":    func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Lengths[0] = 0 },
		"huge pages":     func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Lengths[0] = 1<<20 + 1 },
		"huge counts":    func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Counts[0] = 1<<32 - 1 },
		"crosses a part": func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Lengths[0], e.Counts[0], e.Placed[1] = 250, 4, 1 },
		"overlap":        func(f *apiv1.OpenedFile, e *apiv1.Extent) { f.Extents = append(f.Extents, e) },
		"granted":        func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Granted = []uint32{10} },
		"memory":         func(_ *apiv1.OpenedFile, e *apiv1.Extent) { e.Memory = []uint32{1, 0} },
	} {
		file, segs := good()
		change(file, file.Extents[0])
		if got, err := decodeFile(file, "lake", segs); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	r, d := withFallback(t)
	o := r.object("a", 1000, 100)
	r.storeAll(o)
	r.mangle = func(reply *apiv1.OpenReply) { reply.Files[0].Extents[0].Offset = 5 }
	if _, err := r.tryOpen("a"); err == nil || !strings.Contains(err.Error(), "makes no sense") {
		t.Fatal(err)
	}
	r.want(r.open("a", OpenOptions{Size: 1000}), o, 10, 500)
	if d.reads.Load() != 1 || r.metric("alio_client_senseless_answers_total") != 2 {
		t.Fatal("not read by the fallback")
	}
}

// TestPartBeingWritten: a part without a key is read from the sidecar, at the version that was opened, and nobody asks where its pages lie.
func TestPartBeingWritten(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 1000, 100)
	r.store(o, 0, 1, 2, 3, 4)
	r.mangle = func(reply *apiv1.OpenReply) {
		for _, f := range reply.Files { // none in an Open that only tells of touches
			f.Parts = []*apiv1.Part{{Length: 500, Key: o.part[:]}, {Offset: 500, Length: 500}}
			f.Extents[0].Lengths, f.Extents[0].Counts = []uint32{100}, []uint32{5}
		}
	}
	f := r.open("a", OpenOptions{})
	if f.v.settled != 500 {
		t.Fatalf("settled %d", f.v.settled)
	}
	for range 10 {
		r.want(f, o, 600, 300)
		r.want(f, o, 400, 600)
	}
	if n := r.count("open"); n != 1 {
		t.Errorf("%d Opens, want 1", n)
	}
	if n := r.count("read"); n != 20 {
		t.Errorf("%d Reads, want 20", n)
	}
}

// FuzzDecode: no answer makes decodeFile panic, or take more than its own size times a constant; what it believes lies within the object.
func FuzzDecode(f *testing.F) {
	key := segfile.HashPart("x")
	b, err := proto.Marshal(&apiv1.OpenedFile{Object: &apiv1.Object{Size: 1000}, Parts: []*apiv1.Part{{Length: 1000, Key: key[:]}},
		Extents: []*apiv1.Extent{{Lengths: []uint32{100}, Counts: []uint32{10}, Classes: []byte{0}, Placed: []uint32{1, 2}, Segments: []uint32{0, 1}, Records: []uint32{1, 9},
			Memory: []uint32{0}, Granted: []uint32{5, 1}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var file apiv1.OpenedFile
		if proto.Unmarshal(b, &file) != nil {
			return
		}
		got, err := decodeFile(&file, "lake", []*segment{{}, nil})
		if err != nil {
			return
		}
		end := int64(0)
		for i := range got.table.pages {
			p := &got.table.pages[i]
			if p.off < end || p.end() > got.object.Size || p.length == 0 || p.record == 0 || int(p.segment) >= len(got.table.segments) {
				t.Fatalf("page %+v after %d, of %d bytes", p, end, got.object.Size)
			}
			end = p.end()
		}
	})
}
