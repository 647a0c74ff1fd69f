package rpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

// service is the methods of api/v1. Errors that it returns are origin's, or statuses; the interceptors make statuses of them.
type service struct {
	apiv1.UnimplementedSidecarServer
	s *Server
}

// maxTag and maxTouches are what alio.proto says of a tag, in bytes, and of touched pages.
const (
	maxTag     = 128
	maxTouches = 4096
)

// Open implements apiv1.SidecarServer.
func (v *service) Open(ctx context.Context, req *apiv1.OpenRequest) (*apiv1.OpenReply, error) {
	x := callOf(ctx)
	if err := v.s.checkBatch(req.Files, req.Tag); err != nil {
		return nil, err
	}
	if err := v.s.touch(req.Touches); err != nil {
		return nil, err
	}
	if req.Tag != "" {
		v.s.opts.Logger.Debug().Str("tag", req.Tag).Int("files", len(req.Files)).Int("local_pages", len(req.GetTouches().GetCounts())).
			Uint64("local_bytes", req.GetTouches().GetBytes()).Msg("a client opened files and told what it had read itself")
	}
	reply := &apiv1.OpenReply{Files: make([]*apiv1.OpenedFile, len(req.Files))}
	v.s.retired(req.Generation, reply) // before any place is looked up: what is retired meanwhile is told next time
	found, err := v.s.locateAll(ctx, x, req.Files)
	if err != nil {
		return nil, err
	}
	t := teller{s: v.s, x: x, reply: reply, left: v.s.opts.OpenPages}
	for i, f := range req.Files {
		if reply.Files[i], err = t.tell(ctx, f, &found[i]); err != nil {
			return nil, err
		}
	}
	v.s.metrics.opened.Add(float64(len(req.Files)))
	t.count()
	return reply, nil
}

func (s *Server) checkBatch(files []*apiv1.OpenFile, tag string) error {
	if len(files) > s.opts.OpenFiles {
		return invalid("files: %d in one request, and %d is the limit (StatusReply.max_files): send several", len(files), s.opts.OpenFiles)
	}
	return checkTag(tag)
}

func checkTag(tag string) error {
	if len(tag) > maxTag {
		return invalid("tag: %d bytes, and %d is the limit", len(tag), maxTag)
	}
	return nil
}

// touchMost is up to how many reads of one page are told to the disk tier: its policy tells no more apart.
const touchMost = 3

// touch tells the disk tier what clients have read.
func (s *Server) touch(t *apiv1.Touches) error {
	if t == nil {
		return nil
	}
	n := len(t.Keys) / len(cache.Key{})
	if len(t.Keys)%len(cache.Key{}) != 0 || n != len(t.Counts) || n > maxTouches {
		return invalid("touches: %d bytes of keys and %d counts: send 16 bytes and one count for each page, at most %d", len(t.Keys), len(t.Counts), maxTouches)
	}
	reads := uint64(0)
	for i, count := range t.Counts {
		reads += uint64(count)
		key := cache.Key(t.Keys[i*len(cache.Key{}):])
		s.opts.Sidecar.Touched(key)
		for range min(count, touchMost) {
			if s.opts.Places == nil {
				break
			}
			if _, ok := s.opts.Places.Touch(key); !ok {
				break
			}
		}
	}
	s.metrics.local.Add(float64(reads))
	s.metrics.localBytes.Add(float64(t.Bytes))
	return nil
}

// retired tells which places of a generation are void.
func (s *Server) retired(generation uint64, reply *apiv1.OpenReply) {
	if s.opts.Places == nil {
		reply.Forget = generation != 0
		return
	}
	gone, now, ok := s.opts.Places.Retired(generation)
	reply.Generation, reply.Forget = now, !ok && generation != 0
	if generation == 0 {
		return
	}
	reply.Retired = make([]*apiv1.Segment, len(gone))
	for i, id := range gone {
		reply.Retired[i] = segment(id)
	}
}

func segment(id cache.SegmentID) *apiv1.Segment {
	return &apiv1.Segment{Directory: uint32(id.Directory), Instance: id.Instance, Seq: id.Seq}
}

// located is a file of a batch: found, or what was wrong.
type located struct {
	sidecar.Located
	file  fileID // of a client's file
	err   error
	asked bool // err is the origin's own answer, asked for within the call
}

// locateAll finds the files of a batch, several at a time, since each may have to ask its origin. The error is ctx's.
func (s *Server) locateAll(ctx context.Context, x *call, files []*apiv1.OpenFile) ([]located, error) {
	found := make([]located, len(files))
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(files)) && ctx.Err() == nil; i = next.Add(1) - 1 {
			s.locate(ctx, x, files[i], &found[i])
		}
	}
	var helpers sync.WaitGroup
	for range min(len(files), openParallel) - 1 {
		select {
		case s.helpers <- struct{}{}:
			helpers.Go(func() {
				defer func() { <-s.helpers }()
				work()
			})
		default: // enough are at work; this call goes on alone
		}
	}
	work()
	helpers.Wait()
	return found, ctx.Err()
}

// locate finds one file. A panic is the error of that file.
func (s *Server) locate(ctx context.Context, x *call, f *apiv1.OpenFile, to *located) {
	defer func() {
		if p := recover(); p != nil {
			to.err = s.panicked(methods[x.method], p)
		}
	}()
	if f.GetFill() == nil {
		if to.err = x.id.mayRead(f.GetMount(), f.GetPath()); to.err == nil {
			begun := time.Now()
			to.Located, to.err = s.opts.Sidecar.LocateWhole(ctx, f.GetMount(), f.GetPath(), f.GetEtag(), wholeFile(f.GetRanges()))
			to.asked = errors.Is(to.err, origin.ErrNotFound) && !to.Located.Asked.Before(begun)
		}
		return
	}
	to.file, to.Located, to.err = s.locateClient(ctx, x.id, f.Mount, f.Path, f.Fill)
}

// wholeFile is the length of a file that the client says it will read from the first byte on; 0 if it says something else.
func wholeFile(ranges []*apiv1.Range) int64 {
	if len(ranges) != 1 || ranges[0].GetOffset() != 0 {
		return 0
	}
	return max(0, ranges[0].GetLength())
}

// mayRead holds a path to the client's grants.
func (id *identity) mayRead(mount, path string) error {
	if !id.grants.Path(mount, path) {
		return id.denied(mount)
	}
	return nil
}

// locateClient finds a file that clients fill, in the client's trust domain. Within its own domain a client sees only what it has put itself, so
// its grants do not matter there.
func (s *Server) locateClient(ctx context.Context, id *identity, mount, path string, fill *apiv1.ClientFill) (fileID, sidecar.Located, error) {
	file := fileID{domain: id.domain, mount: mount, path: path, kind: fill.Kind, version: fill.Version, size: fill.Size}
	if err := checkFill(path, fill); err != nil {
		return file, sidecar.Located{}, err
	}
	if id.shared {
		if err := id.mayRead(mount, path); err != nil {
			return file, sidecar.Located{}, err
		}
	}
	found, err := s.opts.Sidecar.LocateClient(ctx, sidecar.ClientFile{
		Domain: id.domain, Mount: mount, Path: path, Kind: fill.Kind, Version: fill.Version, Size: fill.Size})
	return file, found, err
}

func checkFill(path string, fill *apiv1.ClientFill) error {
	kind := len(fill.Kind) >= 1 && len(fill.Kind) <= 32
	for _, c := range fill.Kind {
		kind = kind && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '+')
	}
	switch {
	case path == "":
		return invalid("path: is empty")
	case !kind:
		return invalid("fill.kind: %.64q: use 1 to 32 of a-z, 0-9, '-', '+', such as \"etag\"", fill.Kind)
	case len(fill.Version) < 1 || len(fill.Version) > 1024:
		return invalid("fill.version: %d bytes: use 1 to 1024", len(fill.Version))
	case fill.Size < 0:
		return invalid("fill.size: %d is negative", fill.Size)
	}
	return nil
}

// spans makes ordered, disjoint spans within an object of the ranges that a client asks for.
func spans(ranges []*apiv1.Range, size int64) ([]span, error) {
	if len(ranges) == 0 {
		return []span{{0, size}}, nil
	}
	out := make([]span, 0, len(ranges))
	for i, r := range ranges {
		off, n := r.GetOffset(), r.GetLength()
		if off < 0 || n < 0 {
			return nil, origin.NewError(origin.ErrInvalid, "open", "", fmt.Errorf("ranges[%d]: %d bytes at %d is negative", i, n, off))
		}
		if n == 0 || n > math.MaxInt64-off {
			n = math.MaxInt64 - off
		}
		if off < size {
			out = append(out, span{off, min(off+n, size)})
		}
	}
	slices.SortFunc(out, func(a, b span) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
	return out, nil
}

// walk calls visit for each page of the spans, in order and once, until it returns false. Spans may overlap and are ordered by their starts.
func walk(ctx context.Context, view *cache.View, in []span, visit func(cache.Page) bool) error {
	done := int64(0) // where the last page ended
	n := 0
	for _, s := range in {
		for at := max(s.start, done); at < s.end; at = done {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			page, err := view.PageAt(at)
			if err != nil {
				return err
			}
			if page.End <= at {
				return status.Errorf(codes.Internal, "the layout has a page at %d that ends at %d", page.Start, page.End)
			}
			if !visit(page) {
				return nil
			}
			done = page.End
		}
	}
	return nil
}
