package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

// fillSpan is the most bytes of granted pages that are read from the origin, and held, at once: an engine's largest reads (8 MiB) with the pages at
// their ends. A file up to that size that is read whole is all there for the next reader.
const fillSpan = 12 << 20

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
	f.c.put(f.v, row, b, got)
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
func (c *Client) put(v *view, row []grant, b []byte, got *opened) {
	if c.puts.Add(int64(len(b))) > c.o.PutMemory || c.closed() {
		c.puts.Add(-int64(len(b)))
		c.counts.putsDropped.Add(uint64(len(row)))
		return
	}
	c.background.Go(func() {
		defer c.puts.Add(-int64(len(b)))
		c.putRow(v, row, b, got)
	})
}

// putRow puts the pages of a row. The file's end goes first, where the row holds it: it may tell the sidecar how the file is cut. What is cut in
// another way than it was claimed, whoever put the end, is claimed anew, once, and put from the same bytes: else the next reader would have to read
// it again.
func (c *Client) putRow(v *view, row []grant, b []byte, claim *opened) {
	status, err := c.session.current(c.alive, patience{deadline: c.o.ControlDeadline, optional: true})
	if err != nil {
		c.counts.putsDropped.Add(uint64(len(row)))
		return
	}
	whole := span{row[0].off, row[0].off + int64(len(b))}
	left, anew, outside := row, false, false // outside: something was granted that b does not hold whole
	endFirst := len(row) > 1 && whole.to == v.object.Size
	if last := len(row) - 1; endFirst {
		left = append([]grant{row[last]}, row[:last]...)
	}
	for len(left) > 0 {
		some := left[:fitting(left, status.maxPut)]
		if endFirst {
			some, endFirst = left[:1], false
		}
		left = left[len(some):]
		done := c.putSome(v, some, b, whole.from, claim)
		switch {
		case done == putAll:
		case done != putLost && !anew:
			anew = true
			claim, left = c.claimAnew(v, whole, claim, left)
			outside = len(left) < len(claim.granted)
			if done == putRefused && len(left) == 0 {
				c.counts.putsDropped.Add(uint64(len(some)))
			}
		default:
			if done != putCutOtherwise {
				c.counts.putsDropped.Add(uint64(len(some)))
			}
			c.counts.putsDropped.Add(uint64(len(left)))
			c.giveBack(v, claim.token)
			return
		}
	}
	if outside {
		c.giveBack(v, claim.token)
	}
	v.missing(whole) // they have places soon
}

// fitting is how many of the first pages go into one Put, at least one.
func fitting(pages []grant, most int64) (n int) {
	for size := int64(0); n < len(pages) && (n == 0 || size+pages[n].length <= most); n++ {
		size += pages[n].length
	}
	return n
}

// claimAnew claims what the sidecar lacks of a row, as it is cut now. What was granted whole within the row is left to be put.
func (c *Client) claimAnew(v *view, whole span, old *opened, before []grant) (claim *opened, left []grant) {
	c.release(v, old.token) // first: what is still claimed would not be granted
	claim, err := c.claim(c.alive, v, whole)
	if err != nil {
		c.counts.putsDropped.Add(uint64(len(before)))
		return &opened{}, nil
	}
	for _, g := range claim.granted {
		if g.off >= whole.from && g.off+g.length <= whole.to {
			left = append(left, g)
		}
	}
	return claim, left
}

// putDone is what became of pages that were put.
type putDone int

const (
	putAll          putDone = iota
	putCutOtherwise         // they were stored, and the rest of the file is cut in another way than it was claimed
	putRefused              // they were not: they are cut in another way, as a rule
	putLost
)

// putSome makes one Put, of pages that lie in b, which holds the file's bytes from base. Without pages it ends the claim.
func (c *Client) putSome(v *view, pages []grant, b []byte, base int64, claim *opened) putDone {
	m := &apiv1.PutRequest{Mount: v.object.Mount, Path: v.object.Path, Fill: v.fill.wire(), Token: claim.token}
	for _, g := range pages {
		m.Pages = append(m.Pages, putPage(g, b[g.off-base:][:g.length]))
	}
	got, err := c.putCall(m, min(claim.until, maxPutWait))
	switch {
	case errors.Is(err, ErrInvalid):
		return putRefused
	case err != nil:
		return putLost
	case got.GetOpenAgain():
		return putCutOtherwise
	}
	return putAll
}

func (c *Client) putCall(m *apiv1.PutRequest, deadline time.Duration) (got *apiv1.PutReply, err error) {
	err = c.control.call(c.alive, methodPut, patience{deadline: deadline, optional: true}, func(ctx context.Context, api apiv1.SidecarClient, r *reply) (err error) {
		got, err = api.Put(ctx, m, r.options()...)
		return err
	})
	c.counts.putsStored.Add(uint64(got.GetStored()))
	return got, err
}

// giveBack is release in the background.
func (c *Client) giveBack(v *view, token []byte) {
	if !c.closed() {
		c.background.Go(func() { c.release(v, token) })
	}
}

// release gives up what is left of a claim, so that others may fill it at once. Where that cannot be told, the claim runs out.
func (c *Client) release(v *view, token []byte) {
	if len(token) > 0 {
		_, _ = c.putCall(&apiv1.PutRequest{Mount: v.object.Mount, Path: v.object.Path, Fill: v.fill.wire(), Token: token}, maxPutWait)
	}
}

func putPage(g grant, data []byte) *apiv1.PutPage {
	p := &apiv1.PutPage{Offset: g.off, Key: g.key[:], Data: data}
	seed := segfile.Crc(0, g.key[:])
	for lo := 0; lo < len(data); lo += segfile.BlockSize {
		p.Crc32C = append(p.Crc32C, segfile.Crc(seed, data[lo:min(lo+segfile.BlockSize, len(data))]))
	}
	return p
}
