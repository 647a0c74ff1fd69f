package hdfs

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// The library asks a DataNode for all of a block from where it reads on, and closes the connection when it has what it wants. By then the DataNode
// has read and sent as much as fits the sockets' buffers, some megabytes: for a read of 64 KiB many times what was asked for. So the request's
// length is cut on its way to what the loan's borrower will read.

// cutRead returns a request to read a block (version, operation, length, OpReadBlockProto) with its length cut to what remaining answers for the block
// and the offset in it, if that is less. What it does not understand it returns as it is.
func cutRead(request []byte, remaining func(block uint64, off int64) int64) []byte {
	const lead = 3 // version and operation
	size, n := binary.Uvarint(request[lead:])
	if n <= 0 || uint64(len(request)-lead-n) != size {
		return request
	}
	message := request[lead+n:]
	off, _ := varint(message, 2)
	length, ok := varint(message, 3)
	if !ok || int64(off) < 0 {
		return request
	}
	block, ok := varint(nested(message, 1, 1, 1), 2) // OpReadBlockProto.header.baseHeader.block.blockId
	if !ok {
		return request
	}
	want := remaining(block, int64(off))
	if want <= 0 || uint64(want) >= length {
		return request
	}
	out := make([]byte, 0, len(message))
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeField(message)
		if n < 0 {
			return request
		}
		if num == 3 && typ == protowire.VarintType {
			out = protowire.AppendVarint(protowire.AppendTag(out, 3, protowire.VarintType), uint64(want))
		} else {
			out = append(out, message[:n]...)
		}
		message = message[n:]
	}
	return append(binary.AppendUvarint(append([]byte(nil), request[:lead]...), uint64(len(out))), out...)
}

// nested is a message within messages, by field numbers.
func nested(b []byte, path ...protowire.Number) []byte {
	for _, num := range path {
		b, _ = protobytes(b, num)
	}
	return b
}
