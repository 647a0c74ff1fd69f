package rpc

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
)

// prefetchSpan is about how much one prefetch reads: the workers share a large file.
const prefetchSpan = 8 << 20

// Prefetch implements apiv1.SidecarServer. It waits for what has to be known of the files, and not for their pages.
func (v *service) Prefetch(ctx context.Context, req *apiv1.PrefetchRequest) (*apiv1.PrefetchReply, error) {
	x := callOf(ctx)
	if err := v.s.checkBatch(req.Files, req.Tag); err != nil {
		return nil, err
	}
	for i, f := range req.Files {
		if f.GetFill() != nil {
			return nil, invalid("files[%d].fill: the sidecar cannot read what clients read with their own credentials", i)
		}
	}
	found, err := v.s.locateAll(ctx, x, req.Files)
	if err != nil {
		return nil, err
	}
	reply := &apiv1.PrefetchReply{Errors: make([]*apiv1.Error, len(req.Files))}
	left := v.s.opts.OpenPages
	for i, f := range req.Files {
		bytes, err := v.s.enqueue(ctx, f, &found[i], &left)
		reply.Bytes += uint64(bytes)
		if reply.Errors[i] = (&apiv1.Error{}); err != nil {
			reply.Errors[i] = fileError(ctx, err)
		}
	}
	return reply, ctx.Err()
}

// enqueue queues what is missing of one file.
func (s *Server) enqueue(ctx context.Context, f *apiv1.OpenFile, found *located, left *int) (bytes int64, err error) {
	if found.err != nil || found.View == nil {
		return 0, found.err
	}
	in, err := spans(f.GetRanges(), found.Object.Settled())
	if err != nil {
		return 0, err
	}
	job := prefetch{mount: f.GetMount(), obj: found.View.Object()}
	var full error
	add := func() bool {
		if len(job.pages) > 0 {
			n, err := s.prefetch.add(job)
			bytes += n
			full = err
		}
		job.pages = nil
		return full == nil
	}
	err = walk(ctx, found.View, in, func(p cache.Page) bool {
		if *left == 0 {
			full = status.Errorf(codes.ResourceExhausted, "more than %d pages in one request: ask for the rest of the ranges in another", s.opts.OpenPages)
			return false
		}
		*left--
		if s.opts.Cache.Has(p.Key) {
			return add()
		}
		if len(job.pages) > 0 && (p.Start != job.end || p.End-job.start > prefetchSpan) && !add() {
			return false
		}
		if len(job.pages) == 0 {
			job.start = p.Start
		}
		job.pages, job.end = append(job.pages, p), p.End
		return true
	})
	if err == nil && full == nil {
		add()
	}
	if err == nil {
		err = full
	}
	return bytes, err
}

// prefetch is a range of missing pages to be read.
type prefetch struct {
	mount      string
	obj        *origin.Object
	start, end int64
	pages      []cache.Page
}

// prefetcher reads ranges that nobody waits for: a few at a time, each page once.
type prefetcher struct {
	s    *Server
	ctx  context.Context // of every read
	quit context.CancelFunc

	mu      sync.Mutex
	queue   []prefetch
	pages   map[cache.Key]struct{} // queued or being read
	bytes   int64                  // of these
	workers int
	running sync.WaitGroup
}

func newPrefetcher(s *Server) *prefetcher {
	p := &prefetcher{s: s, pages: map[cache.Key]struct{}{}}
	p.ctx, p.quit = context.WithCancel(context.Background())
	return p
}

// add queues the pages of a range that are not queued yet, and returns how many bytes they have. It starts a worker if there is one to spare.
func (p *prefetcher) add(job prefetch) (bytes int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return 0, status.Error(codes.Unavailable, "the sidecar is stopping")
	}
	pages := job.pages[:0:0]
	for _, pg := range job.pages {
		if _, queued := p.pages[pg.Key]; !queued {
			pages = append(pages, pg)
			bytes += pg.End - pg.Start
		}
	}
	if len(pages) == 0 {
		return 0, nil
	}
	if p.bytes+bytes > p.s.opts.PrefetchBytes {
		return 0, status.Errorf(codes.ResourceExhausted, "prefetches have %d bytes still to read, and %d is the limit: ask again later", p.bytes, p.s.opts.PrefetchBytes)
	}
	for _, pg := range pages {
		p.pages[pg.Key] = struct{}{}
	}
	job.pages, job.start, job.end = pages, pages[0].Start, pages[len(pages)-1].End
	p.bytes += bytes
	p.queue = append(p.queue, job)
	if p.workers < p.s.opts.PrefetchWorkers {
		p.workers++
		p.running.Go(p.work)
	}
	return bytes, nil
}

// work reads until nothing is queued.
func (p *prefetcher) work() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.workers--
			p.mu.Unlock()
			return
		}
		job := p.queue[0]
		p.queue[0] = prefetch{}
		p.queue = p.queue[1:]
		p.mu.Unlock()
		p.s.metrics.prefetches[p.read(job)].Inc()
		p.done(job)
	}
}

// read reads a range. A failure, a changed object and a panic cost what would have been had earlier, and are counted.
func (p *prefetcher) read(job prefetch) (outcome string) {
	defer func() {
		if v := recover(); v != nil {
			p.s.panicked("prefetch", v)
			outcome = prefetchFailed
		}
	}()
	n, err := p.s.opts.Sidecar.Fill(p.ctx, job.mount, job.obj, job.start, job.end-job.start)
	p.s.metrics.prefetched.Add(float64(n))
	switch {
	case p.ctx.Err() != nil:
		return prefetchDropped
	case err != nil:
		p.s.opts.Logger.Debug().Err(err).Str("mount", job.mount).Str("path", job.obj.Path).Int64("offset", job.start).Int64("bytes", job.end-job.start).
			Msg("a prefetch failed; whoever reads the range will ask the origin")
		return prefetchFailed
	}
	return prefetchDone
}

func (p *prefetcher) done(job prefetch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pg := range job.pages {
		delete(p.pages, pg.Key)
		p.bytes -= pg.End - pg.Start
	}
}

func (p *prefetcher) waiting() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// stop drops what is queued, cancels what is being read and waits for it. It may be called twice.
func (p *prefetcher) stop() {
	p.mu.Lock()
	p.quit()
	for i := range p.queue {
		for _, pg := range p.queue[i].pages {
			delete(p.pages, pg.Key)
			p.bytes -= pg.End - pg.Start
		}
		p.s.metrics.prefetches[prefetchDropped].Inc()
	}
	p.queue = nil
	p.mu.Unlock()
	p.running.Wait()
}
