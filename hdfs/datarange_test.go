package hdfs

import (
	"bytes"
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// readRequest is what the library sends for a block: version, operation, OpReadBlockProto with a header that holds block and client.
func readRequest(block, off, length uint64) []byte {
	sub := func(b []byte, num protowire.Number, inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), inner)
	}
	number := func(b []byte, num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
	}
	extended := number(number(number(sub(nil, 1, []byte("BP-1")), 2, block), 3, 1001), 4, 1<<27)
	header := sub(sub(nil, 1, sub(nil, 1, extended)), 2, []byte("client"))
	m := number(number(number(sub(nil, 1, header), 2, off), 3, length), 4, 1)
	return append(binary.AppendUvarint(bytes.Clone(opReadBlock), uint64(len(m))), m...)
}

func TestCutRead(t *testing.T) {
	var asked [2]int64
	want := func(n int64) func(uint64, int64) int64 {
		return func(block uint64, off int64) int64 {
			asked = [2]int64{int64(block), off}
			return n
		}
	}
	whole := readRequest(77, 4096, 1<<27-4096)
	if got := cutRead(whole, want(65536)); !bytes.Equal(got, readRequest(77, 4096, 65536)) || asked != [2]int64{77, 4096} {
		t.Errorf("cut to %x, asked for %v", got, asked)
	}
	for _, n := range []int64{0, -1, 1<<27 - 4096, 1 << 40} { // none of the file's blocks, or all of it is wanted
		if got := cutRead(whole, want(n)); !bytes.Equal(got, whole) {
			t.Errorf("%d remaining: %x", n, got)
		}
	}
	for n := range whole { // torn or strange requests go as they are
		if got := cutRead(append(bytes.Clone(opReadBlock), whole[3:max(3, n)]...), want(1)); n < len(whole) && len(got) > len(whole) {
			t.Errorf("%d bytes became %d", n, len(got))
		}
	}
}
