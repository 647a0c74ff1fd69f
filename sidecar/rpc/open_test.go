package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// segmentReader reads pages from segment files as a client does, by names and sums alone.
type segmentReader struct {
	dir   string
	mu    sync.Mutex
	files map[string]*os.File
}

func newSegmentReader(t testing.TB, dir string) *segmentReader {
	s := &segmentReader{dir: dir, files: map[string]*os.File{}}
	t.Cleanup(func() {
		for _, f := range s.files {
			f.Close()
		}
	})
	return s
}

func (s *segmentReader) open(name string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[name]; f != nil {
		return f, nil
	}
	var f *os.File
	err := filepath.Walk(s.dir, func(path string, _ os.FileInfo, err error) error {
		if err == nil && filepath.Base(path) == name && f == nil {
			f, err = os.Open(path)
		}
		if errors.Is(err, os.ErrNotExist) { // removed meanwhile
			err = nil
		}
		return err
	})
	if f == nil {
		return nil, errors.Join(err, fmt.Errorf("%s: %w", name, os.ErrNotExist))
	}
	s.files[name] = f
	return f, nil
}

func (s *segmentReader) close(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[name]; f != nil {
		f.Close()
		delete(s.files, name)
	}
}

// read reads n bytes from off of a page; an error where the segment is gone or the sums do not fit.
func (s *segmentReader) read(p *told, key cache.Key, off, n int) ([]byte, error) {
	f, err := s.open(segfile.Name(p.segment.Instance, p.segment.Seq))
	if err != nil {
		return nil, err
	}
	head := make([]byte, segfile.HeaderSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, err
	}
	h, err := segfile.ParseHeader(head)
	if err != nil {
		return nil, err
	}
	plan := segfile.PlanRead(segfile.Location{Key: key, Off: p.record, Length: int(p.end - p.start), Class: p.class}, off, n)
	b := make([]byte, plan.Header+plan.Data)
	if _, err := f.ReadAt(b[:plan.Header], plan.Loc.Off); err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(b[plan.Header:], plan.At); err != nil {
		return nil, err
	}
	if !plan.Check(h.Seed(), b) {
		return nil, errors.New("the sums do not fit")
	}
	return b[plan.Header+plan.Skip:][:n], nil
}

// keyOf computes a page's key from what Open told, as api/v1 says.
func keyOf(f *apiv1.OpenedFile, p *told) cache.Key {
	for _, part := range f.Parts {
		if p.start >= part.Offset && p.end <= part.Offset+part.Length {
			return segfile.PartKey(part.Key).Page(p.start-part.Offset, p.end-p.start)
		}
	}
	return cache.Key{}
}

// What Open tells is the object: its pages follow each other, lie where it says, and have the keys that a client computes.
func TestOpenTellsWherePagesLie(t *testing.T) {
	r := newRig(t)
	data := random(1, 3_000_000)
	obj := r.store.Put("t/a", data)
	reply, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "t/a"}) // reads the tail
	if got := pages(t, reply, f); f.Object.Version != string(obj.Version) || len(got) != 13 || !got[12].memory && got[12].segment == nil {
		t.Errorf("cold: %v", f)
	}
	if _, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "t/a", Length: 2_000_000}); err != nil {
		t.Fatal(err)
	}
	r.onDisk()
	reply, f = r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "t/a"})
	segments := newSegmentReader(t, r.dir)
	all := pages(t, reply, f)
	at, placed := int64(0), 0
	for i := range all {
		p := &all[i]
		if p.start != at || p.end <= p.start {
			t.Fatalf("page %d is %d to %d after %d", i, p.start, p.end, at)
		}
		at = p.end
		if p.segment == nil {
			continue
		}
		placed++
		got, err := segments.read(p, keyOf(f, p), 7, int(p.end-p.start)-7)
		if err != nil || !bytes.Equal(got, data[p.start+7:p.end]) {
			t.Errorf("page %d: %v", i, err)
		}
	}
	if at != int64(len(data)) || placed != 9 || f.FreshForUs <= 0 || f.FreshForUs > 10_000_000 {
		t.Errorf("pages to %d, %d of them on disk, fresh for %d us", at, placed, f.FreshForUs)
	}
	st, err := r.Status(ctxOf(t), &apiv1.StatusRequest{})
	if err != nil || len(st.Directories) != 1 || st.Directories[0].Path != r.dir || st.Directories[0].Number != reply.Segments[0].Directory {
		t.Errorf("%v, %v", st, err)
	}
}

func TestOpenRanges(t *testing.T) {
	r := newRig(t)
	r.store.Put("a", random(1, 3_000_000)) // pages of 262,144
	const page = 262144
	for _, c := range []struct {
		ranges []*apiv1.Range
		want   []int64 // first and last byte's page of each extent
	}{
		{[]*apiv1.Range{{Offset: 0, Length: 1}}, []int64{0, 1}},
		{[]*apiv1.Range{{Offset: page - 1, Length: 2}}, []int64{0, 2}},
		{[]*apiv1.Range{{Offset: 5 * page, Length: page}, {Offset: 10, Length: 10}}, []int64{0, 1, 5, 6}},
		{[]*apiv1.Range{{Offset: 10, Length: 3 * page}, {Offset: page, Length: 10}, {Offset: 11, Length: 1}, {Offset: 4*page + 1, Length: 1}}, []int64{0, 5}},
		{[]*apiv1.Range{{Offset: 3_000_000, Length: 10}, {Offset: 1 << 62, Length: 1 << 62}}, nil},
	} {
		_, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a", Ranges: c.ranges})
		var got []int64
		for _, e := range f.Extents {
			n := int64(0)
			for _, k := range e.Counts {
				n += int64(k)
			}
			got = append(got, e.Offset/page, e.Offset/page+n)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%v: extents of pages %v, want %v", c.ranges, got, c.want)
		}
	}
	_, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a", Ranges: []*apiv1.Range{{Offset: -1}}})
	if codes.Code(f.Error.GetCode()) != codes.InvalidArgument {
		t.Errorf("a negative range: %v", f.Error)
	}
	reply, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a", Ranges: []*apiv1.Range{{Offset: 2_900_000}}})
	if got := pages(t, reply, f); len(got) != 2 || got[1].end != 3_000_000 {
		t.Errorf("to the end: %v", got)
	}
}

// A reply is cut where the pages are too many; ranges from there on bring the rest.
func TestALongOpenIsCutAtAPage(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.OpenPages = 5 })
	for _, path := range []string{"a", "b"} {
		r.store.Put(path, random(1, 2_000_000)) // nine pages
	}
	files := []*apiv1.OpenFile{{Mount: "lake", Path: "a"}, {Mount: "lake", Path: "b"}}
	reply, err := r.Open(ctxOf(t), &apiv1.OpenRequest{Files: files})
	check(t, err)
	if a, b := pages(t, reply, reply.Files[0]), reply.Files[1]; len(a) != 5 || len(b.Extents) != 0 || b.Object == nil || b.Error != nil {
		t.Errorf("%d pages of the first, %v", len(a), b)
	}
	end := int64(0)
	for range 2 {
		reply, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a", Ranges: []*apiv1.Range{{Offset: end}}})
		got := pages(t, reply, f)
		if got[0].start != end {
			t.Fatalf("the rest begins at %d, not at %d", got[0].start, end)
		}
		end = got[len(got)-1].end
	}
	if end != 2_000_000 {
		t.Errorf("the end is at %d", end)
	}
}

// Files of a batch are asked for at the same time.
func TestOpenOfABatchAsksInParallel(t *testing.T) {
	r := newRig(t)
	r.origin.Add(origintest.Rule{Effect: origintest.Hang()})
	var files []*apiv1.OpenFile
	for i := range 3 * openParallel {
		files = append(files, &apiv1.OpenFile{Mount: "lake", Path: fmt.Sprintf("f%d", i)})
	}
	ctx, cancel := context.WithCancel(ctxOf(t))
	done := make(chan error, 1)
	go func() {
		_, err := r.Open(ctx, &apiv1.OpenRequest{Files: files})
		done <- err
	}()
	until(t, "as many are asked for as one Open may", func() bool { return len(r.origin.Calls(origintest.OpRead)) == openParallel })
	cancel()
	wantCode(t, "an Open that was given up", <-done, codes.Canceled)
	until(t, "the call has ended", func() bool { return r.server.calls.Load() == 0 && len(r.server.helpers) == 0 })
	if n := len(r.origin.Calls(origintest.OpRead)); n != openParallel {
		t.Errorf("%d files were asked for, at most %d at a time", n, openParallel)
	}
}

// A file's error is its own.
func TestOpenOfABatchWithErrors(t *testing.T) {
	r := newRig(t)
	var files []*apiv1.OpenFile
	const n = 40
	for i := range n {
		path := fmt.Sprintf("f%d", i)
		if i != 5 {
			r.store.Put(path, random(uint64(i), 1000+i))
		}
		files = append(files, &apiv1.OpenFile{Mount: "lake", Path: path})
	}
	files = append(files, &apiv1.OpenFile{Mount: "nowhere", Path: "x"}, &apiv1.OpenFile{Mount: "lake"},
		&apiv1.OpenFile{Mount: "any", Path: "x", Fill: &apiv1.ClientFill{Kind: "A", Version: "1"}})
	reply, err := r.Open(ctxOf(t), &apiv1.OpenRequest{Files: files})
	check(t, err)
	for i, f := range reply.Files {
		want := codes.OK
		switch i {
		case 5:
			want = codes.NotFound
		case n:
			want = codes.FailedPrecondition
		case n + 1, n + 2:
			want = codes.InvalidArgument
		}
		if got := codes.Code(f.Error.GetCode()); got != want || want == codes.OK && f.Object.Size != int64(1000+i) {
			t.Errorf("file %d: %v, want %v", i, f, want)
		}
	}
}

func TestOpenLimits(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.OpenFiles = 3 })
	for what, q := range map[string]*apiv1.OpenRequest{
		"too many files":   {Files: make([]*apiv1.OpenFile, 4)},
		"a long tag":       {Tag: string(make([]byte, 129))},
		"uneven touches":   {Touches: &apiv1.Touches{Keys: make([]byte, 17), Counts: []uint32{1}}},
		"missing counts":   {Touches: &apiv1.Touches{Keys: make([]byte, 32), Counts: []uint32{1}}},
		"too many touches": {Touches: &apiv1.Touches{Keys: make([]byte, 16*4097), Counts: make([]uint32, 4097)}},
	} {
		for i := range q.Files {
			q.Files[i] = &apiv1.OpenFile{Mount: "lake", Path: "a"}
		}
		_, err := r.Open(ctxOf(t), q)
		wantCode(t, what, err, codes.InvalidArgument)
	}
}

// fakePlaces counts touches and plays retirements.
type fakePlaces struct {
	cache.Places
	mu      sync.Mutex
	touched map[cache.Key]int
	gone    []cache.SegmentID
	now     uint64
	ok      bool
}

func (p *fakePlaces) Touch(k cache.Key) (cache.Place, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touched[k]++
	return cache.Place{}, k[0] == 1
}

func (p *fakePlaces) Retired(since uint64) ([]cache.SegmentID, uint64, bool) {
	return p.gone, p.now, p.ok
}

func TestOpenAppliesTouchesAndTellsRetirements(t *testing.T) {
	fake := &fakePlaces{touched: map[cache.Key]int{}, now: 42, ok: true, gone: []cache.SegmentID{{Instance: 1, Seq: 2, Directory: 3}}}
	r := newRig(t, func(p *parts) { p.rpc.Places = fake })
	keys := append(bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)...)
	reply, err := r.Open(ctxOf(t), &apiv1.OpenRequest{Generation: 41, Touches: &apiv1.Touches{Keys: keys, Counts: []uint32{2, 1_000_000}, Bytes: 77}})
	check(t, err)
	if fake.touched[cache.Key(keys)] != 2 || fake.touched[cache.Key(keys[16:])] != 1 {
		t.Errorf("touched %v", fake.touched)
	}
	if len(reply.Retired) != 1 || reply.Retired[0].Seq != 2 || reply.Retired[0].Directory != 3 || reply.Generation != 42 || reply.Forget {
		t.Errorf("%v", reply)
	}
	if n, b := value(t, r.server.metrics.local), value(t, r.server.metrics.localBytes); n != 1_000_002 || b != 77 {
		t.Errorf("counted %v reads of %v bytes", n, b)
	}
	for generation, forget := range map[uint64]bool{0: false, 41: true} {
		fake.ok, fake.gone = false, nil
		if reply, err = r.Open(ctxOf(t), &apiv1.OpenRequest{Generation: generation}); err != nil || reply.Forget != forget || len(reply.Retired) > 0 {
			t.Errorf("a generation of %d that is too old: %v, %v", generation, reply, err)
		}
	}
}

// The log, at level debug, tells for what a client reads.
func TestATagIsLogged(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	write := writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	})
	r := newRig(t, func(p *parts) { p.rpc.Logger = zerolog.New(write) })
	_, err := r.Open(ctxOf(t), &apiv1.OpenRequest{Tag: "query 7", Touches: &apiv1.Touches{Keys: make([]byte, 16), Counts: []uint32{1}, Bytes: 99}})
	check(t, err)
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); !strings.Contains(text, `"tag":"query 7"`) || !strings.Contains(text, `"local_bytes":99`) {
		t.Errorf("the log says %q", text)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// Place puts every page, at a length that none has.
func (p *fakePlaces) Place(cache.Key) (cache.Place, bool) { return cache.Place{Length: 1}, true }

// A place that cannot be the page's is not told.
func TestAPlaceOfAnotherLengthIsNotTold(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.Places = &fakePlaces{ok: true} })
	r.store.Put("a", random(1, 1000))
	reply, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a"})
	if list := pages(t, reply, f); len(list) != 1 || list[0].segment != nil || !list[0].memory {
		t.Errorf("%v", f)
	}
}

// What the real tier retires is told; a client that knows nothing is told nothing.
func TestRetiredSegmentsAreTold(t *testing.T) {
	r := newRig(t, func(p *parts) { p.disk.Size, p.disk.SegmentSize = 16<<20, 2<<20 })
	reply, err := r.Open(ctxOf(t), &apiv1.OpenRequest{})
	check(t, err)
	if reply.Generation == 0 || reply.Forget {
		t.Errorf("the first answer: %v", reply)
	}
	generation := reply.Generation
	for i := range 8 {
		path := fmt.Sprintf("f%d", i)
		r.store.Put(path, random(uint64(i), 3_000_000))
		_, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: path})
		check(t, err)
		r.onDisk()
	}
	reply, err = r.Open(ctxOf(t), &apiv1.OpenRequest{Generation: generation})
	check(t, err)
	if len(reply.Retired) == 0 || reply.Generation == generation || reply.Forget {
		t.Errorf("24 MB went through 16 MiB: %v", reply)
	}
	reply, err = r.Open(ctxOf(t), &apiv1.OpenRequest{Generation: 12345})
	if err != nil || !reply.Forget {
		t.Errorf("a generation of another process: %v", reply)
	}
}

func TestFreshFor(t *testing.T) {
	r := newRig(t, func(p *parts) {
		p.sidecar.Rules = []freshness.Rule{{Path: "lake/never/**", MaxAge: 0}, {Path: "lake/ever/**", MaxAge: freshness.Forever}, {Path: "**", MaxAge: time.Minute}}
	})
	for path, want := range map[string]func(int64) bool{
		"never/a": func(us int64) bool { return us == 0 }, "ever/a": func(us int64) bool { return us == -1 },
		"a": func(us int64) bool { return us > 30e6 && us <= 60e6 },
	} {
		r.store.Put(path, []byte("x"))
		if _, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: path}); !want(f.FreshForUs) {
			t.Errorf("%s: fresh for %d us", path, f.FreshForUs)
		}
	}
}

// Of a file that is being written the complete parts are told, and their pages; the part without an id has no key, no page, no claim and no prefetch, and Read
// sends its bytes at the version that was opened.
func TestOpenOfAFileBeingWritten(t *testing.T) {
	r := newRig(t)
	data := random(5, 1_050_000)
	r.store.PutBlocks("log", data[:1_000_000], 300_007)
	obj, err := r.store.Append("log", data[1_000_000:], true)
	check(t, err)
	got, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "log"})
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	r.onDisk()
	reply, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "log"})
	if f.Error != nil || f.FreshForUs != 0 || len(f.Parts) != 4 || len(f.Parts[3].Key) != 0 || len(f.Parts[2].Key) != 16 {
		t.Fatalf("%v", f)
	}
	end := int64(0)
	for _, p := range pages(t, reply, f) {
		if p.start != end || p.segment == nil {
			t.Errorf("%+v after %d", p, end)
		}
		end = p.end
	}
	if want := obj.Settled(); end != want || want != f.Parts[3].Offset {
		t.Errorf("told until %d, settled until %d, parts %v", end, want, f.Parts)
	}
	if _, only := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "log", Ranges: []*apiv1.Range{{Offset: end, Length: 10}}}); only.Error != nil || len(only.Extents) != 0 {
		t.Errorf("the last part alone: %v", only)
	}
	fetch, err := r.Prefetch(ctxOf(t), &apiv1.PrefetchRequest{Files: []*apiv1.OpenFile{{Mount: "lake", Path: "log"}}})
	if err != nil || fetch.Bytes != 0 || fetch.Errors[0].Code != 0 {
		t.Errorf("prefetch: %v, %v", fetch, err)
	}
	req := &apiv1.ReadRequest{Mount: "lake", Path: "log", Version: f.Object.Version, Offset: end - 10, Length: 20}
	if got, _, err = r.read(r, req); err != nil || !bytes.Equal(got, data[end-10:end+10]) {
		t.Errorf("%q, %v", got, err)
	}
	_, err = r.store.Append("log", []byte("more"), true)
	check(t, err)
	_, _, err = r.read(r, req)
	wantCode(t, "the file has grown", err, codes.Aborted)
	r.store.PutBlocks("empty", nil, 10)
	if _, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "empty"}); f.Error != nil || len(f.Parts) != 0 || f.Object.Version == "" {
		t.Errorf("an object without parts: %v", f)
	}
}
