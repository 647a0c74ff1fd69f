package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

// fillSpan is the most bytes of granted pages that are read from the origin, and held, at once.
const fillSpan = 4 << 20

// readFilled fills p from the span s of a client-filled file that was not there locally. It asks where the pages are and for the right to fill those
// that nobody has; pages that another client is filling are read from the origin without waiting for that client, which may be slow or dead:
// no read takes longer than without a cache.
func (f *File) readFilled(ctx context.Context, p []byte, s span) error {
	got, err := f.c.claim(ctx, f.v, s)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return f.readByFiller(ctx, p, s)
	}
	for _, m := range f.readLocal(ctx, p, s.from) {
		if err := f.fillSpan(ctx, p[m.from-s.from:m.to-s.from], m, got); err != nil {
			return err
		}
	}
	return nil
}

// claim asks where the pages of a span lie, and for the right to fill those that are missing.
func (c *Client) claim(ctx context.Context, v *view, s span) (*opened, error) {
	file := &apiv1.OpenFile{Mount: v.object.Mount, Path: v.object.Path, Fill: v.fill.wire(), Claim: true,
		Ranges: []*apiv1.Range{{Offset: s.from, Length: s.to - s.from}}}
	p := patience{deadline: c.o.ControlDeadline} // no origin is asked
	if _, err := c.session.current(ctx, p); err != nil {
		return nil, err
	}
	got, err := c.ask(ctx, p, []*apiv1.OpenFile{file})
	if err == nil {
		err = got[0].err
	}
	if err != nil {
		return nil, err
	}
	if got[0].object.Size != v.object.Size {
		return nil, fmt.Errorf("%w: the sidecar takes it for %d bytes, not %d", ErrInvalid, got[0].object.Size, v.object.Size)
	}
	v.update(got[0].table, got[0].told, c.views.tableLimit())
	c.views.refreshed(v)
	slices.SortFunc(got[0].granted, func(a, b grant) int { return int(min(max(a.off-b.off, -1), 1)) })
	return got[0].opened, nil
}

// fillSpan fills p from the span s: rows of granted pages by the filler, which are then put; what the sidecar has in memory by Read; the rest by the
// filler alone.
func (f *File) fillSpan(ctx context.Context, p []byte, s span, got *opened) error {
	for pos := s.from; pos < s.to; {
		row := rowAt(got.granted, pos)
		to := min(s.to, nextBound(got, pos))
		var err error
		switch {
		case len(row) > 0:
			to = min(s.to, row[len(row)-1].off+row[len(row)-1].length)
			err = f.fillRow(ctx, p[pos-s.from:to-s.from], pos, row, got)
		case within(got.memory, pos):
			if err = f.c.remote(ctx, f.v, p[pos-s.from:to-s.from], pos); err != nil && ctx.Err() == nil {
				err = f.readByFiller(ctx, p[pos-s.from:to-s.from], span{pos, to})
			}
		default:
			err = f.readByFiller(ctx, p[pos-s.from:to-s.from], span{pos, to})
		}
		if err != nil {
			return err
		}
		pos = to
	}
	return nil
}

// rowAt returns the granted page that holds pos and those that follow it without a gap, up to fillSpan bytes.
func rowAt(granted []grant, pos int64) []grant {
	i := slices.IndexFunc(granted, func(g grant) bool { return g.off <= pos && pos < g.off+g.length })
	if i < 0 {
		return nil
	}
	n, bytes := i+1, granted[i].length
	for n < len(granted) && granted[n].off == granted[n-1].off+granted[n-1].length && bytes+granted[n].length <= fillSpan {
		bytes += granted[n].length
		n++
	}
	return granted[i:n]
}

func within(list []span, pos int64) bool {
	return slices.ContainsFunc(list, func(s span) bool { return s.from <= pos && pos < s.to })
}

// nextBound is where, after pos, granted pages or pages in memory begin or end.
func nextBound(got *opened, pos int64) int64 {
	next := forever
	bound := func(from, to int64) {
		if from > pos {
			next = min(next, from)
		}
		if to > pos {
			next = min(next, to)
		}
	}
	for _, g := range got.granted {
		bound(g.off, g.off+g.length)
	}
	for _, m := range got.memory {
		bound(m.from, m.to)
	}
	return next
}

// fillRow reads whole pages from the origin, hands p what it wants of them, and puts them.
func (f *File) fillRow(ctx context.Context, p []byte, off int64, row []grant, got *opened) error {
	last := row[len(row)-1]
	b := make([]byte, last.off+last.length-row[0].off)
	if err := f.readByFiller(ctx, b, span{row[0].off, last.off + last.length}); err != nil {
		f.c.giveBack(f.v, got.token)
		return err
	}
	copy(p, b[off-row[0].off:])
	f.c.put(f.v, row, b, got.token, got.until)
	return nil
}

func (f *File) readByFiller(ctx context.Context, p []byte, s span) error {
	if err := readOrigin(ctx, f.fill.Filler, f.v.object, p, s.from); err != nil {
		return fmt.Errorf("by the filler: %w", err)
	}
	f.c.counts.filled.Add(uint64(len(p)))
	return nil
}

// maxPutWait is the longest that a Put may take.
const maxPutWait = 5 * time.Second

// put gives the sidecar pages, in the background: the reader has its bytes already. What does not fit PutMemory is dropped; the claim on it runs
// out, since giving it back would take it from what is still on its way.
func (c *Client) put(v *view, row []grant, b []byte, token []byte, until time.Duration) {
	if c.puts.Add(int64(len(b))) > c.o.PutMemory || c.closed() {
		c.puts.Add(-int64(len(b)))
		c.counts.putsDropped.Add(uint64(len(row)))
		return
	}
	c.background.Go(func() {
		defer c.puts.Add(-int64(len(b)))
		status, err := c.session.current(c.alive, patience{deadline: c.o.ControlDeadline, optional: true})
		if err != nil {
			return
		}
		deadline := min(until, maxPutWait)
		for i, at := 0, row[0].off; i < len(row); {
			m := &apiv1.PutRequest{Mount: v.object.Mount, Path: v.object.Path, Fill: v.fill.wire(), Token: token}
			for size := int64(0); i < len(row) && (size == 0 || size+row[i].length <= status.maxPut); i++ {
				m.Pages = append(m.Pages, putPage(row[i], b[row[i].off-at:][:row[i].length]))
				size += row[i].length
			}
			if !c.putSome(m, deadline) {
				if i < len(row) {
					c.counts.putsDropped.Add(uint64(len(row) - i))
					c.giveBack(v, token)
				}
				return
			}
		}
		v.missing(span{row[0].off, row[0].off + int64(len(b))}) // they have places soon
	})
}

// putSome makes one Put. false: the rest of the claim is of no use any more.
func (c *Client) putSome(m *apiv1.PutRequest, deadline time.Duration) bool {
	var got *apiv1.PutReply
	err := c.control.call(c.alive, methodPut, patience{deadline: deadline, optional: true}, func(ctx context.Context, api apiv1.SidecarClient, r *reply) (err error) {
		got, err = api.Put(ctx, m, r.options()...)
		return err
	})
	c.counts.putsStored.Add(uint64(got.GetStored()))
	if err != nil {
		c.counts.putsDropped.Add(uint64(len(m.GetPages())))
	}
	return err == nil && !got.GetOpenAgain()
}

// giveBack gives up what is left of a claim, so that others may fill it at once.
func (c *Client) giveBack(v *view, token []byte) {
	if c.closed() {
		return
	}
	c.background.Go(func() {
		c.putSome(&apiv1.PutRequest{Mount: v.object.Mount, Path: v.object.Path, Fill: v.fill.wire(), Token: token}, maxPutWait)
	})
}

func putPage(g grant, data []byte) *apiv1.PutPage {
	p := &apiv1.PutPage{Offset: g.off, Key: g.key[:], Data: data}
	seed := segfile.Crc(0, g.key[:])
	for lo := 0; lo < len(data); lo += segfile.BlockSize {
		p.Crc32C = append(p.Crc32C, segfile.Crc(seed, data[lo:min(lo+segfile.BlockSize, len(data))]))
	}
	return p
}
