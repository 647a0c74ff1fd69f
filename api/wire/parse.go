package wire

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// parse reads a message's fields. It follows protobuf's rules: any order, the last of a field that comes twice (messages are merged), unknown
// fields ignored.
func (r *ReadReply) parse(data mem.BufferSlice) error {
	in := data.Reader()
	defer in.Close()
	total := in.Remaining()
	for in.Remaining() > 0 {
		num, typ, err := tag(in)
		if err != nil {
			return err
		}
		switch {
		case num == fieldObject && typ == protowire.BytesType:
			err = r.parseObject(in)
		case num == fieldOffset && typ == protowire.VarintType:
			err = varint(in, &r.Offset)
		case num == fieldLength && typ == protowire.VarintType:
			err = varint(in, &r.Length)
		case num == fieldData && typ == protowire.BytesType:
			if r.n, err = length(in); err == nil {
				r.skip = total - in.Remaining()
				_, err = in.Discard(r.n)
			}
		default:
			err = skip(in, num, typ)
		}
		if err != nil {
			r.skip, r.n = 0, 0
			return err
		}
	}
	return nil
}

func (r *ReadReply) parseObject(in *mem.Reader) error {
	n, err := length(in)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return errTruncated
	}
	if r.Object == nil {
		r.Object = &apiv1.Object{}
	}
	return proto.UnmarshalOptions{Merge: true}.Unmarshal(b, r.Object)
}

func tag(in *mem.Reader) (protowire.Number, protowire.Type, error) {
	v, err := uvarint(in)
	if err != nil {
		return 0, 0, err
	}
	num, typ := protowire.DecodeTag(v)
	if num < protowire.MinValidNumber || num > protowire.MaxValidNumber {
		return 0, 0, fmt.Errorf("field number %d", num)
	}
	return num, typ, nil
}

// uvarint reads at most 10 bytes, of which the last may hold one bit.
func uvarint(in *mem.Reader) (v uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return 0, errTruncated
		}
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errors.New("a number is longer than 64 bits")
}

func varint(in *mem.Reader, to *int64) error {
	v, err := uvarint(in)
	*to = int64(v)
	return err
}

// length reads how long a field is, and checks that the message holds as much.
func length(in *mem.Reader) (int, error) {
	v, err := uvarint(in)
	if err == nil && v > uint64(in.Remaining()) {
		err = errTruncated
	}
	return int(v), err
}

// skip passes a field by that is not known here.
func skip(in *mem.Reader, num protowire.Number, typ protowire.Type) error {
	n := 0
	switch typ {
	case protowire.VarintType:
		_, err := uvarint(in)
		return err
	case protowire.Fixed32Type:
		n = 4
	case protowire.Fixed64Type:
		n = 8
	case protowire.BytesType:
		var err error
		if n, err = length(in); err != nil {
			return err
		}
	default: // groups, which proto3 does not have
		return fmt.Errorf("field %d has wire type %d", num, typ)
	}
	if n > in.Remaining() {
		return errTruncated
	}
	_, err := in.Discard(n)
	return err
}
