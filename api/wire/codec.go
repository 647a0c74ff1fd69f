// Package wire sends and receives the messages of api/v1 whose bulk is a page's bytes without copying them: ReadReply stands for
// apiv1.ReadReply, and Codec writes and reads its protobuf form by hand, so that a peer with plain generated code never sees a
// difference. It knows gRPC and protobuf only. Start at Codec; the server forces it by grpc.ForceServerCodecV2, a client by
// grpc.ForceCodecV2.
package wire

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// The fields of apiv1.ReadReply, as api/v1/alio.proto numbers them.
const (
	fieldObject = 1
	fieldOffset = 2
	fieldLength = 3
	fieldData   = 15
)

// errTruncated says that a message ends in the middle of a field.
var errTruncated = errors.New("the message ends within a field")

// ReadReply is apiv1.ReadReply with its data left where it lies. It serves one goroutine.
type ReadReply struct {
	Object *apiv1.Object // in the first message only
	Offset int64
	Length int64

	// to be sent
	data []byte
	free func()
	// received
	body mem.BufferSlice // the whole message, one reference of it
	skip int             // bytes of body before the data
	n    int             // bytes of data
}

// SetData makes b, which must not change any more, the data of a reply to be sent. free (may be nil) is called at most once, when gRPC has sent
// the bytes or has given up, on a goroutine of its own; it must not block. What is queued on a connection when that breaks gRPC forgets: free is
// then never called, and b is the garbage collector's. A reply that is never sent is given up by Free.
func (r *ReadReply) SetData(b []byte, free func()) {
	r.Free()
	r.data, r.free, r.n = b, free, len(b)
}

// DataLen is how many bytes of data there are.
func (r *ReadReply) DataLen() int { return r.n }

// CopyData copies the data of a received reply from its beginning into dst and returns how many bytes that were, at most len(dst).
func (r *ReadReply) CopyData(dst []byte) int {
	dst = dst[:min(len(dst), r.n)]
	done, skip := 0, r.skip
	for _, b := range r.body {
		p := b.ReadOnlyData()
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		done += copy(dst[done:], p[skip:])
		skip = 0
		if done == len(dst) {
			break
		}
	}
	return done
}

// Free gives the data up. It may be called twice, and must be called once for each received reply; receiving into the same ReadReply
// frees what it held.
func (r *ReadReply) Free() {
	if r.free != nil {
		r.free()
	}
	for _, b := range r.body {
		b.Free()
	}
	clear(r.body)
	r.data, r.free, r.body, r.skip, r.n = nil, nil, r.body[:0], 0, 0
}

// Codec is gRPC's codec for protobuf, but for ReadReply. It is stateless and safe for parallel use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is protobuf's: what is on the wire is protobuf.
func (Codec) Name() string { return grpcproto.Name }

func plain() encoding.CodecV2 { return encoding.GetCodecV2(grpcproto.Name) }

// Tracked is a message to be sent, and what to call when gRPC has sent it or has given up: as SetData's free is.
type Tracked struct {
	Message proto.Message
	Done    func()
}

// Marshal implements encoding.CodecV2. A ReadReply's data passes to gRPC; the ReadReply is empty afterwards and may be used again.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *ReadReply:
		return m.marshal()
	case *Tracked:
		return m.marshal()
	}
	return plain().Marshal(v)
}

func (t *Tracked) marshal() (mem.BufferSlice, error) {
	out, err := plain().Marshal(t.Message)
	if err != nil || len(out) != 1 || mem.IsBelowBufferPoolingThreshold(cap(out[0].ReadOnlyData())) {
		t.Done()
		return out, err
	}
	whole := out[0]
	s := &sent{data: whole.ReadOnlyData(), free: func() { whole.Free(); t.Done() }}
	s.buffers[0] = mem.NewBuffer(&s.data, s)
	return s.buffers[:1], nil
}

// sent is one message on its way: all that it needs, in one allocation.
type sent struct {
	data    []byte
	free    func()
	head    [64]byte
	buffers [2]mem.Buffer
}

// Get implements mem.BufferPool; gRPC takes nothing from here.
func (s *sent) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put implements mem.BufferPool: gRPC returns the data.
func (s *sent) Put(*[]byte) {
	if s.free != nil {
		s.free()
	}
}

func (r *ReadReply) marshal() (mem.BufferSlice, error) {
	s := &sent{data: r.data, free: r.free}
	obj, off, length := r.Object, r.Offset, r.Length
	*r = ReadReply{body: r.body}
	head, err := appendHead(s.head[:0], obj, off, length)
	if err != nil {
		s.Put(nil)
		return nil, err
	}
	if len(s.data) > 0 {
		head = protowire.AppendTag(head, fieldData, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(len(s.data)))
	}
	if mem.IsBelowBufferPoolingThreshold(cap(s.data)) { // gRPC would never say that it is done with so few
		head = append(head, s.data...)
		s.Put(nil)
		s.buffers[0] = mem.SliceBuffer(head)
		return s.buffers[:1], nil
	}
	s.buffers[0], s.buffers[1] = mem.SliceBuffer(head), mem.NewBuffer(&s.data, s)
	return s.buffers[:], nil
}

// appendHead appends all fields but the data.
func appendHead(b []byte, obj *apiv1.Object, off, length int64) ([]byte, error) {
	if obj != nil {
		size := proto.Size(obj)
		b = protowire.AppendTag(b, fieldObject, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(size))
		var err error
		if b, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(b, obj); err != nil {
			return nil, err
		}
	}
	if off != 0 {
		b = protowire.AppendTag(b, fieldOffset, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(off))
	}
	if length != 0 {
		b = protowire.AppendTag(b, fieldLength, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(length))
	}
	return b, nil
}

// Unmarshal implements encoding.CodecV2. A ReadReply refers to what was received until it is freed.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*ReadReply)
	if !ok {
		return plain().Unmarshal(data, v)
	}
	r.Free()
	r.Object, r.Offset, r.Length = nil, 0, 0
	if err := r.parse(data); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	data.Ref()
	r.body = append(r.body, data...)
	return nil
}
