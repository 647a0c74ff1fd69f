package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

// Read implements apiv1.SidecarServer.
func (v *service) Read(req *apiv1.ReadRequest, stream grpc.ServerStreamingServer[apiv1.ReadReply]) error {
	ctx := stream.Context()
	x := callOf(ctx)
	x.received()
	if err := checkTag(req.Tag); err != nil {
		return err
	}
	r := origin.ReadRequest{Path: req.Path, ETag: req.Etag, Offset: req.Offset, Length: req.Length, Suffix: req.Suffix}
	if r.Length == 0 {
		r.Length = origin.WholeRange
	}
	if err := r.Validate(); err != nil {
		return err
	}
	out := &sender{s: v.s, x: x, stream: stream}
	if req.Fill != nil {
		return v.s.readClient(ctx, out, req, r)
	}
	if err := x.id.mayRead(req.Mount, req.Path); err != nil {
		return err
	}
	content, err := v.s.opts.Sidecar.Open(ctx, req.Mount, r, func(o *origin.Object) error { return pinned(req, string(o.Version)) })
	if err != nil {
		return err
	}
	defer content.Body.Close()
	if err := pinned(req, string(content.Object.Version)); err != nil {
		return err
	}
	out.reply.Object, out.reply.Offset, out.reply.Length = object(&content.Object), content.Offset, content.Length
	if content.Length == 0 {
		return out.send(cache.Buf{})
	}
	if lender, ok := content.Body.(sidecar.Lender); ok {
		return out.pages(lender)
	}
	return out.copies(content.Body, content.Length)
}

// pinned compares the version that a client reads with the one that is there.
func pinned(req *apiv1.ReadRequest, version string) error {
	if req.Version == "" || req.Version == version {
		return nil
	}
	return status.Errorf(codes.Aborted, "%q is not at version %.128q any more: open it again", req.Path, req.Version)
}

// sender sends the messages of one Read.
type sender struct {
	s      *Server
	x      *call
	stream grpc.ServerStream
	reply  wire.ReadReply
}

// pages sends what is read, a page a message, without a copy.
func (o *sender) pages(from sidecar.Lender) error {
	for {
		buf, err := from.Take()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = o.send(buf)
		}
		if err != nil {
			return err
		}
	}
}

// copyChunk is how much of an object that cannot be cached goes into one message.
const copyChunk = 256 << 10

// copies sends n bytes that cannot be lent: of an object without a version.
func (o *sender) copies(from io.Reader, n int64) error {
	pool := mem.DefaultBufferPool()
	for n > 0 {
		b := pool.Get(int(min(n, copyChunk)))
		if _, err := io.ReadFull(from, *b); err != nil {
			pool.Put(b)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return status.Errorf(codes.Unavailable, "the origin's answer ended %d bytes early", n)
			}
			return err
		}
		n -= int64(len(*b))
		if err := o.send(cache.NewBuf(*b, func() { pool.Put(b) })); err != nil {
			return err
		}
	}
	return nil
}

// send sends one message. buf is given back when gRPC has sent it.
func (o *sender) send(buf cache.Buf) error {
	if n := int64(len(buf.B)); n > 0 {
		if err := o.s.sending.Acquire(o.stream.Context(), n); err != nil {
			buf.Free()
			return err
		}
		sent := o.x.conn.lend(func() { o.s.sending.Release(n) })
		o.reply.SetData(buf.B, func() {
			sent.end()
			buf.Free()
		})
	}
	n := o.reply.DataLen()
	err := o.stream.SendMsg(&o.reply)
	o.reply.Free()
	o.reply.Object, o.reply.Offset, o.reply.Length = nil, 0, 0
	if err == nil {
		o.s.metrics.sent.Add(float64(n))
	}
	return err
}

// readClient sends resident pages of a client's file. What is not resident is the client's to read.
func (s *Server) readClient(ctx context.Context, out *sender, req *apiv1.ReadRequest, r origin.ReadRequest) error {
	_, found, err := s.locateClient(ctx, out.x.id, req.Mount, req.Path, req.Fill)
	if err != nil {
		return err
	}
	if err := pinned(req, string(found.Object.Version)); err != nil {
		return err
	}
	off, n, err := r.Resolve(found.Object.Size)
	if err != nil {
		return err
	}
	want := []span{{off, off + n}}
	var gone error
	if err := walk(ctx, found.View, want, func(p cache.Page) bool {
		if !s.opts.Cache.Has(p.Key) {
			gone = notResident(req.Path, p.Start)
		}
		return gone == nil
	}); err != nil || gone != nil {
		return errors.Join(err, gone)
	}
	out.reply.Object, out.reply.Offset, out.reply.Length = object(&found.Object), off, n
	if n == 0 {
		return out.send(cache.Buf{})
	}
	err = walk(ctx, found.View, want, func(p cache.Page) bool {
		at := max(off, p.Start)
		buf, ok := s.opts.Cache.ReadPage(ctx, &p, at-p.Start, min(off+n, p.End)-at)
		if !ok {
			gone = notResident(req.Path, p.Start)
		} else {
			gone = out.send(buf)
		}
		return gone == nil
	})
	if gone != nil {
		return gone
	}
	return err
}

func notResident(path string, at int64) error {
	return status.Errorf(codes.NotFound, "the page at %d of %q is not here: read it from the origin, and put it", at, path)
}
