package client

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
)

// remote fills p from off of a view's object, at its version, through the sidecar.
func (c *Client) remote(ctx context.Context, v *view, p []byte, off int64) error {
	o := &v.object
	request := &apiv1.ReadRequest{Mount: o.Mount, Path: o.Path, Version: o.Version, Etag: o.ETag, Offset: off, Length: int64(len(p)),
		Fill: v.fill.wire(), Tag: c.o.Tag}
	if v.fill != nil {
		request.Version, request.Etag = "", ""
	}
	otherWay := v.fill != nil || c.o.Fallback != nil
	err := c.control.call(ctx, methodRead, c.patient(otherWay), func(ctx context.Context, api apiv1.SidecarClient, r *reply) error {
		stream, err := api.Read(ctx, request, append(r.options(), grpc.ForceCodecV2(wire.Codec{}))...)
		if err != nil {
			return err
		}
		return receive(stream, v, p, off, r)
	})
	if err == nil {
		c.counts.remote.Add(uint64(len(p)))
	}
	return err
}

// receive takes the messages of a Read, whose bytes are copied once, to where they belong.
func receive(stream grpc.ClientStream, v *view, p []byte, off int64, r *reply) error {
	var m wire.ReadReply
	defer m.Free()
	done := 0
	for first := true; ; first = false {
		if err := stream.RecvMsg(&m); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		r.progress()
		if first {
			if err := checkRead(&m, v, int64(len(p)), off); err != nil {
				return err
			}
		}
		if m.DataLen() > len(p)-done {
			return fmt.Errorf("%w: the sidecar sent more bytes than were asked for", ErrUnavailable)
		}
		done += m.CopyData(p[done:])
	}
	if done < len(p) {
		return fmt.Errorf("%w: the sidecar sent %d of %d bytes", ErrUnavailable, done, len(p))
	}
	return nil
}

// checkRead compares the first message with what was asked for.
func checkRead(m *wire.ReadReply, v *view, length, off int64) error {
	o := m.Object
	switch {
	case o == nil:
		return fmt.Errorf("%w: the sidecar did not say what it reads", ErrUnavailable)
	case v.fill == nil && o.GetVersion() != v.object.Version || o.GetSize() != v.object.Size:
		return fmt.Errorf("%w: version %q, not %q", ErrVersionChanged, o.GetVersion(), v.object.Version)
	case m.Offset != off || m.Length != length:
		return fmt.Errorf("%w: the sidecar sends %d bytes at %d, not %d at %d", ErrUnavailable, m.Length, m.Offset, length, off)
	}
	return nil
}
