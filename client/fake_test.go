package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

// fake is a sidecar of a few lines: objects cut on a grid, real segment files, the protocol as alio.proto has it, and switches to make it go wrong.
type fake struct {
	apiv1.UnimplementedSidecarServer
	t      testing.TB
	dir    string
	id     string
	socket string
	server *grpc.Server
	done   chan struct{}

	mu       sync.Mutex
	process  uint64
	objects  map[string]*fakeObject
	segments []*fakeSegment
	lost     []*apiv1.Segment // retired; generation = base + len
	base     uint64
	calls    map[string]int
	opens    []*apiv1.OpenRequest
	touched  map[segfile.Key]uint32
	gate     chan struct{} // every call waits for it, if it is not nil
	reading  chan struct{} // Read waits for it
	mangle   func(*apiv1.OpenReply)
	fail     codes.Code // of every Read
	tired    codes.Code // of every Status
	short    bool       // Read says more bytes than it sends
	lax      bool       // Read sends the present version, whatever was asked for
	again    bool       // Put says that the file is to be opened again
	puts     []*apiv1.PutRequest
}

type fakeObject struct {
	data    []byte
	version string
	etag    string
	fresh   time.Duration
	page    int
	part    segfile.PartKey
	places  map[int]*apiv1.Extent // by page: segment (index in fake.segments) and record
	memory  map[int]bool
	granted bool // with claim, every missing page is granted
}

type fakeSegment struct {
	name apiv1.Segment
	path string
	end  int64
	gone bool
}

func newFake(t testing.TB) *fake {
	f := &fake{t: t, dir: t.TempDir(), process: 1, base: 1000, objects: map[string]*fakeObject{}, calls: map[string]int{}, touched: map[segfile.Key]uint32{}}
	short, err := os.MkdirTemp("", "al")
	need(t, err)
	t.Cleanup(func() { os.RemoveAll(short) })
	f.socket = filepath.Join(short, "s")
	need(t, os.Mkdir(filepath.Join(f.dir, "segments"), 0o750))
	f.identify("00112233445566778899aabbccddeeff")
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fake) identify(id string) {
	f.id = id
	need(f.t, os.WriteFile(filepath.Join(f.dir, identityFile), []byte(`{"format":1,"id":"`+id+`","created":"2026-01-01T00:00:00Z"}`), 0o640))
}

func (f *fake) start() {
	os.Remove(f.socket)
	l, err := net.Listen("unix", f.socket)
	need(f.t, err)
	f.server, f.done = grpc.NewServer(), make(chan struct{})
	apiv1.RegisterSidecarServer(f.server, f)
	server, done := f.server, f.done
	go func() { defer close(done); _ = server.Serve(l) }()
}

func (f *fake) stop() {
	f.mu.Lock()
	for _, gate := range []*chan struct{}{&f.gate, &f.reading} {
		if *gate != nil {
			close(*gate)
			*gate = nil
		}
	}
	f.mu.Unlock()
	f.server.Stop()
	<-f.done
}

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// object makes an object of random bytes, none of whose pages is anywhere.
func (f *fake) object(path string, size, page int) *fakeObject {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &fakeObject{data: make([]byte, size), page: page, fresh: time.Minute, version: fmt.Sprint("v", len(f.objects)), etag: `"` + path + `"`,
		places: map[int]*apiv1.Extent{}, memory: map[int]bool{}}
	rng := rand.NewChaCha8([32]byte{byte(len(f.objects)), byte(size)})
	_, _ = rng.Read(o.data)
	o.part = segfile.HashPart(path + o.version)
	f.objects[path] = o
	return o
}

func (o *fakeObject) pages() int { return (len(o.data) + o.page - 1) / o.page }

func (o *fakeObject) bounds(i int) (int, int) { return i * o.page, min((i+1)*o.page, len(o.data)) }

// segment begins a new segment file.
func (f *fake) segment() *fakeSegment {
	n := len(f.segments)
	s := &fakeSegment{name: apiv1.Segment{Directory: 7, Instance: f.process<<32 | 0xabc, Seq: uint64(n)}}
	s.path = filepath.Join(f.dir, "segments", segfile.Name(s.name.Instance, s.name.Seq))
	need(f.t, os.WriteFile(s.path, s.header().Encode(), 0o640))
	s.end = segfile.HeaderSize
	f.segments = append(f.segments, s)
	return s
}

func (s *fakeSegment) header() segfile.Header {
	return segfile.Header{Instance: s.name.Instance, Seq: s.name.Seq}
}

// store writes pages of an object into a new segment.
func (f *fake) store(o *fakeObject, pages ...int) *fakeSegment {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.segment()
	file, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	need(f.t, err)
	defer file.Close()
	for _, i := range pages {
		lo, hi := o.bounds(i)
		b := segfile.AppendRecord(nil, s.header().Seed(), s.end, o.part.Page(int64(lo), int64(hi-lo)), 0, o.data[lo:hi])
		_, err := file.Write(b)
		need(f.t, err)
		o.places[i] = &apiv1.Extent{Segments: []uint32{uint32(len(f.segments) - 1)}, Records: []uint32{uint32(s.end / segfile.Align)}}
		s.end += int64(len(b))
	}
	return s
}

func (f *fake) storeAll(o *fakeObject) *fakeSegment {
	all := make([]int, o.pages())
	for i := range all {
		all[i] = i
	}
	return f.store(o, all...)
}

// evict removes a segment: its file, and every place in it.
func (f *fake) evict(s *fakeSegment, punch bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if punch {
		need(f.t, os.Truncate(s.path, 0))
		need(f.t, os.Truncate(s.path, s.end))
	}
	need(f.t, os.Remove(s.path))
	s.gone = true
	f.lost = append(f.lost, &apiv1.Segment{Directory: s.name.Directory, Instance: s.name.Instance, Seq: s.name.Seq})
	for _, o := range f.objects {
		for i, e := range o.places {
			if f.segments[e.Segments[0]] == s {
				delete(o.places, i)
			}
		}
	}
}

// restart is another process over the same segments.
func (f *fake) restart() {
	f.stop()
	f.mu.Lock()
	f.process++
	f.base += 1 << 20
	f.lost = nil
	f.mu.Unlock()
	f.start()
}

func (f *fake) enter(ctx context.Context, name string) error {
	f.mu.Lock()
	f.calls[name]++
	gate := f.gate
	if name == "read" && gate == nil {
		gate = f.reading
	}
	f.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

// hang makes every call wait, or lets them go.
func (f *fake) hang(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if on {
		f.gate = make(chan struct{})
	} else {
		close(f.gate)
		f.gate = nil
	}
}

func (f *fake) Status(ctx context.Context, _ *apiv1.StatusRequest) (*apiv1.StatusReply, error) {
	if err := f.enter(ctx, "status"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tired != 0 {
		return nil, status.Error(f.tired, "as the test wants it")
	}
	return &apiv1.StatusReply{Process: f.process, MaxFiles: 3, MaxPutBytes: 1 << 20,
		Directories: []*apiv1.Directory{{Number: 7, Id: f.id, Path: "/elsewhere"}}}, nil
}

func (f *fake) Open(ctx context.Context, r *apiv1.OpenRequest) (*apiv1.OpenReply, error) {
	if err := f.enter(ctx, "open"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens = append(f.opens, r)
	for i, n := range r.GetTouches().GetCounts() {
		f.touched[segfile.Key(r.GetTouches().GetKeys()[16*i:])] += n
	}
	out := &apiv1.OpenReply{Generation: f.base + uint64(len(f.lost))}
	switch g := r.GetGeneration(); {
	case g == 0:
	case g < f.base || g > out.Generation:
		out.Forget = true
	default:
		out.Retired = f.lost[g-f.base:]
	}
	if len(r.GetFiles()) > 3 {
		return nil, status.Error(codes.InvalidArgument, "too many files")
	}
	number := map[uint32]uint32{}
	for _, file := range r.GetFiles() {
		out.Files = append(out.Files, f.open(file, out, number))
	}
	if f.mangle != nil {
		f.mangle(out)
	}
	return out, nil
}

func (f *fake) open(file *apiv1.OpenFile, out *apiv1.OpenReply, number map[uint32]uint32) *apiv1.OpenedFile {
	o := f.objects[file.GetPath()]
	if o == nil {
		return &apiv1.OpenedFile{Error: &apiv1.Error{Code: int32(codes.NotFound), Message: "no " + file.GetPath()}}
	}
	size := int64(len(o.data))
	got := &apiv1.OpenedFile{Object: o.object(file.GetPath()), FreshForUs: o.fresh.Microseconds(), Parts: []*apiv1.Part{{Length: size, Key: o.part[:]}}}
	if o.fresh < 0 {
		got.FreshForUs = -1
	}
	ranges := file.GetRanges()
	if len(ranges) == 0 {
		ranges = []*apiv1.Range{{Length: size}}
	}
	for _, r := range ranges {
		if size == 0 || r.GetOffset() >= size {
			continue
		}
		to := size
		if r.GetLength() > 0 {
			to = min(to, r.GetOffset()+r.GetLength())
		}
		got.Extents = append(got.Extents, f.extent(o, int(r.GetOffset())/o.page, (int(to)-1)/o.page, file.GetClaim() && o.granted, out, number))
	}
	if file.GetClaim() && o.granted {
		got.Claim = &apiv1.Claim{Token: []byte("token"), DeadlineMs: 1000}
	}
	return got
}

func (o *fakeObject) object(path string) *apiv1.Object {
	return &apiv1.Object{Path: path, Version: o.version, Etag: o.etag, Size: int64(len(o.data)), ModifiedMs: 1}
}

func (f *fake) extent(o *fakeObject, from, to int, grant bool, out *apiv1.OpenReply, number map[uint32]uint32) *apiv1.Extent {
	lo, _ := o.bounds(from)
	e := &apiv1.Extent{Offset: int64(lo)}
	last := [3]int{}
	step := func(list *[]uint32, which, i int) {
		*list = append(*list, uint32(i-from-last[which]))
		last[which] = i - from
	}
	for i := from; i <= to; i++ {
		lo, hi := o.bounds(i)
		if n := len(e.Lengths); n > 0 && e.Lengths[n-1] == uint32(hi-lo) {
			e.Counts[n-1]++
		} else {
			e.Lengths, e.Counts, e.Classes = append(e.Lengths, uint32(hi-lo)), append(e.Counts, 1), append(e.Classes, 0)
		}
		if p := o.places[i]; p != nil {
			n, ok := number[p.Segments[0]]
			if !ok {
				n = uint32(len(out.Segments))
				number[p.Segments[0]] = n
				s := &f.segments[p.Segments[0]].name
				out.Segments = append(out.Segments, &apiv1.Segment{Directory: s.Directory, Instance: s.Instance, Seq: s.Seq})
			}
			step(&e.Placed, 0, i)
			e.Segments, e.Records = append(e.Segments, n), append(e.Records, p.Records[0])
		} else if o.memory[i] {
			step(&e.Memory, 1, i)
		} else if grant {
			step(&e.Granted, 2, i)
		}
	}
	return e
}

func (f *fake) Read(r *apiv1.ReadRequest, s grpc.ServerStreamingServer[apiv1.ReadReply]) error {
	if err := f.enter(s.Context(), "read"); err != nil {
		return err
	}
	f.mu.Lock()
	o := f.objects[r.GetPath()]
	f.mu.Unlock()
	switch {
	case f.fail != 0:
		return status.Error(f.fail, "as the test wants it")
	case o == nil:
		return status.Error(codes.NotFound, "no such object")
	case !f.lax && r.GetFill() == nil && r.GetVersion() != "" && r.GetVersion() != o.version:
		return status.Error(codes.Aborted, "changed")
	case r.GetOffset() >= int64(len(o.data)):
		return status.Error(codes.OutOfRange, "beyond the end")
	}
	b := o.data[r.GetOffset():]
	if r.GetLength() > 0 {
		b = b[:min(r.GetLength(), int64(len(b)))]
	}
	first := &apiv1.ReadReply{Object: o.object(r.GetPath()), Offset: r.GetOffset(), Length: int64(len(b))}
	if f.short {
		b = b[:len(b)-1]
	}
	for len(b) > 0 {
		n := min(len(b), 100_000)
		first.Data = b[:n]
		if err := s.Send(first); err != nil {
			return err
		}
		first, b = &apiv1.ReadReply{}, b[n:]
	}
	return nil
}

func (f *fake) Put(ctx context.Context, r *apiv1.PutRequest) (*apiv1.PutReply, error) {
	if err := f.enter(ctx, "put"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts = append(f.puts, r)
	for _, p := range r.GetPages() {
		o := f.objects[r.GetPath()]
		data := o.data[p.GetOffset():][:len(p.GetData())]
		key := o.part.Page(p.GetOffset(), int64(len(data)))
		if !bytes.Equal(data, p.GetData()) || !bytes.Equal(key[:], p.GetKey()) {
			return nil, status.Error(codes.InvalidArgument, "not the page "+hex.EncodeToString(key[:]))
		}
		for i, sum := range p.GetCrc32C() {
			if sum != segfile.Crc(segfile.Crc(0, key[:]), data[i<<16:min((i+1)<<16, len(data))]) {
				return nil, status.Error(codes.InvalidArgument, "sum")
			}
		}
		o.memory[int(p.GetOffset())/o.page] = true
	}
	return &apiv1.PutReply{Stored: uint32(len(r.GetPages())), OpenAgain: f.again}, nil
}

// sealSegment writes a segment's index (of no pages: clients do not look at it).
func sealSegment(t testing.TB, s *fakeSegment) {
	file, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	need(t, err)
	_, err = file.Write(segfile.EncodeFooter(s.header(), nil, s.end))
	need(t, err)
	need(t, file.Close())
}
