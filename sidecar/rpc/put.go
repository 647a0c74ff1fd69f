package rpc

import (
	"context"
	"math"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/sidecar"
)

// Put implements apiv1.SidecarServer. Everything is checked before anything is stored.
//
// Once the pages that tell the layout were put, the file's pages may have other bounds than those that were claimed. A page with the old bounds would be
// right, since its key names its bytes, but nobody would ever ask for it; so it is refused, and the client, which has its bytes already, opens
// the file again before it fills more.
func (v *service) Put(ctx context.Context, req *apiv1.PutRequest) (reply *apiv1.PutReply, err error) {
	s := v.s
	defer func() {
		if err != nil {
			s.metrics.put[putRefused].Add(float64(len(req.Pages)))
		}
	}()
	if req.Fill == nil {
		return nil, invalid("fill: is missing: it says of which file, kind and version the pages are")
	}
	if err := s.checkSizes(req.Pages); err != nil {
		return nil, err
	}
	file, found, err := s.locateClient(ctx, callOf(ctx).id, req.Mount, req.Path, req.Fill)
	if err != nil {
		return nil, err
	}
	keys, err := checkPages(&found, req.Pages)
	if err != nil {
		return nil, err
	}
	claim, err := s.claims.check(req.Token, file, keys)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		s.claims.end(claim)
		return &apiv1.PutReply{}, nil
	}
	pages, err := checkBounds(found.View, req.Pages)
	if err != nil {
		return nil, err
	}
	stored := s.store(&found, pages, req.Pages)
	s.claims.release(claim, keys)
	again, err := s.openAgain(ctx, callOf(ctx).id, req, claim)
	return &apiv1.PutReply{Stored: stored, OpenAgain: again}, err
}

// checkSizes looks at what can be said without knowing the file.
func (s *Server) checkSizes(pages []*apiv1.PutPage) error {
	total := 0
	seen := make(map[int64]int, len(pages))
	for i, p := range pages {
		n := len(p.GetData())
		if n == 0 || n > cache.MaxPage {
			return invalid("pages[%d].data: %d bytes: a page has 1 to %d", i, n, cache.MaxPage)
		}
		if other, ok := seen[p.Offset]; ok {
			return invalid("pages[%d].offset: %d is that of pages[%d], too", i, p.Offset, other)
		}
		seen[p.Offset] = i
		total += n
	}
	if total > s.opts.PutBytes {
		return invalid("pages: %d bytes in one request, and %d is the limit (StatusReply.max_put_bytes): send several", total, s.opts.PutBytes)
	}
	return nil
}

// checkPages checks every page against the object and against its own key and sums, and returns the keys.
func checkPages(found *sidecar.Located, pages []*apiv1.PutPage) ([]cache.Key, error) {
	keys := make([]cache.Key, len(pages))
	obj := &found.Object
	for i, p := range pages {
		n := int64(len(p.Data))
		if p.Offset < 0 || p.Offset > math.MaxInt64-n || p.Offset+n > obj.Size {
			return nil, status.Errorf(codes.OutOfRange, "pages[%d]: %d bytes at %d are not within the object's %d (fill.size)", i, n, p.Offset, obj.Size)
		}
		keys[i] = found.View.Parts()[0].Page(p.Offset, n) // a client's file is one part
		if len(p.Key) != len(keys[i]) || cache.Key(p.Key) != keys[i] {
			return nil, invalid("pages[%d].key: is not that of %d bytes at %d of this file: hash the key of its part as api/v1 says", i, n, p.Offset)
		}
		if err := checkSums(i, p); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func checkSums(i int, p *apiv1.PutPage) error {
	blocks := (len(p.Data) + segfile.BlockSize - 1) / segfile.BlockSize
	if len(p.Crc32C) != blocks {
		return invalid("pages[%d].crc32c: %d sums, and %d bytes have %d (one for each 64 KiB)", i, len(p.Crc32C), len(p.Data), blocks)
	}
	seed := segfile.Crc(0, p.Key)
	for b := range blocks {
		data := p.Data[b*segfile.BlockSize : min((b+1)*segfile.BlockSize, len(p.Data))]
		if segfile.Crc(seed, data) != p.Crc32C[b] {
			return invalid("pages[%d].crc32c[%d]: the bytes have another sum: they changed on the way, or the key was left out of it", i, b)
		}
	}
	return nil
}

// checkBounds compares pages with how the file is cut now, and returns them.
func checkBounds(view *cache.View, pages []*apiv1.PutPage) ([]cache.Page, error) {
	out := make([]cache.Page, len(pages))
	for i, p := range pages {
		var err error
		if out[i], err = view.PageAt(p.Offset); err != nil {
			return nil, err
		}
		if out[i].Start != p.Offset || out[i].End != p.Offset+int64(len(p.Data)) {
			return nil, precondition("pages[%d]: %d bytes at %d were a page, and the file is cut in another way since its layout is known: open it again", i, len(p.Data), p.Offset)
		}
	}
	return out, nil
}

// cut is the layout of one page: what cache.Offer stores.
type cut cache.Page

// PageAt implements cache.Layout.
func (c cut) PageAt(int64) (start, end int64, class uint8) { return c.Start, c.End, c.Class }

func (s *Server) store(found *sidecar.Located, pages []cache.Page, data []*apiv1.PutPage) (stored uint32) {
	for i := range pages {
		if s.opts.Cache.Has(pages[i].Key) {
			s.metrics.put[putPresent].Inc()
			continue
		}
		s.opts.Cache.Offer(found.View.Object(), cut(pages[i]), pages[i].Start, data[i].Data)
		s.metrics.put[putStored].Inc()
		s.metrics.putBytes.Add(float64(len(data[i].Data)))
		stored++
	}
	return stored
}

// openAgain tells whether what a claim still grants has other bounds, now that more is known of the file.
func (s *Server) openAgain(ctx context.Context, id *identity, req *apiv1.PutRequest, c *claim) (bool, error) {
	left := s.claims.left(c)
	if len(left) == 0 {
		return false, nil
	}
	_, found, err := s.locateClient(ctx, id, req.Mount, req.Path, req.Fill)
	if err != nil {
		return false, err
	}
	for _, want := range left {
		page, err := found.View.PageAt(want.start)
		if err != nil || page.Start != want.start || page.End != want.end {
			return true, nil
		}
	}
	return false, nil
}
