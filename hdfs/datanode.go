package hdfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// dataConn is a connection to a DataNode that checks what it delivers before the library sees it.
//
// The library checks the checksums of a block itself, but too late: where a large read fails in the middle, be it by a wrong checksum or by a broken
// connection, it returns the bytes that it had not checked as if all were well, and goes on behind them at the next replica (v2.4.0,
// internal/transfer/block_reader.go: "if n > 0 { return n, nil }"). So a packet is read whole and checked here; one that is wrong is a read error
// before any byte of it, which the library answers as it should, by asking another replica for those bytes.
//
// What passes in an encrypting SASL layer cannot be looked into here. There the library is asked for less than a checksum's chunk at a time, which it
// checks before it returns any of it (see loan.read). A layer whose messages the library cannot put together is refused (see readHandshake).
type dataConn struct {
	*timedConn
	in    *bufio.Reader
	state atomic.Int32 // what is read next
	// writing: a block is being written; lost: and cannot be.
	writing, lost atomic.Bool
	// remaining tells how much of a block will be read from an offset in it on; nil: all of it.
	remaining func(block uint64, off int64) int64
	out       []byte // checked, to be delivered
	buf       []byte // of the packet at hand
	layer     string // what the DataNode's challenge offers first: auth, auth-int, auth-conf

	table *crc32.Table // nil: the file has no checksums
	chunk int          // bytes to a checksum
	next  int64        // offset in the block that the next packet must have; -1 before the first
}

// The states of a dataConn.
const (
	opaque     = iota // a SASL layer, or a write's acknowledgements: passed on
	challenged        // the DataNode's challenge is next
	agreed            // the DataNode's word on what was agreed is next
	answered          // a read was asked for; its answer is next
	packets           // the answer's packets
	ended             // the last packet was delivered
)

func newDataConn(t *timedConn) *dataConn {
	return &dataConn{timedConn: t, in: bufio.NewReaderSize(t, 64<<10), next: -1}
}

// What a handshake and the request of a read (version 28, and the operation) begin with.
var (
	opHandshake = []byte{0xde, 0xad, 0xbe, 0xef}
	opReadBlock = []byte{0, 28, 81}
)

// writeIdle bounds how long a write's acknowledgements may stay away: none come while the writer has nothing to send, and DataNodes wait a minute.
const writeIdle = 70 * time.Second

// writes says that blocks are written by this connection, which its bytes do not tell where they are encrypted.
func (d *dataConn) writes() {
	d.limit = max(d.limit, writeIdle)
	d.writing.Store(true)
}

// Write tells the library of no failure once a block is being written: it would then never end the goroutines that it has for it (finish returns before it
// closes their channel). The connection is closed instead, so that no acknowledgement comes, which the library takes as it should; lost tells sooner.
func (d *dataConn) Write(p []byte) (int, error) {
	switch {
	case bytes.HasPrefix(p, opHandshake):
		d.state.Store(challenged)
	case bytes.HasPrefix(p, opReadBlock):
		d.state.Store(answered)
		if d.remaining != nil {
			_, err := d.timedConn.Write(cutRead(p, d.remaining))
			return len(p), err
		}
	}
	n, err := d.timedConn.Write(p)
	if err != nil && d.writing.Load() {
		d.lost.Store(true)
		_ = d.Conn.Close() // it is of no more use
		return len(p), nil
	}
	return n, err
}

// checked reports whether what this connection delivers is checked.
func (d *dataConn) checked() bool { return d.state.Load() >= answered }

func (d *dataConn) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		var err error
		switch d.state.Load() {
		case challenged, agreed:
			err = d.readHandshake()
		case answered:
			err = d.readAnswer()
		case packets:
			err = d.readPacket()
		default:
			return d.in.Read(p)
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// largest is the most bytes that an answer or a packet may have; Hadoop's own bound of a packet is 16 MiB.
const largest = 17 << 20

// readMessage reads a message whole, for the library too.
func (d *dataConn) readMessage() (message []byte, err error) {
	n, err := binary.ReadUvarint(d.in)
	if err != nil {
		return nil, err
	}
	if n > 1<<20 {
		return nil, fmt.Errorf("the DataNode's answer has %d bytes", n)
	}
	d.out = binary.AppendUvarint(d.buf[:0], n)
	head := len(d.out)
	d.out = append(d.out, make([]byte, n)...)
	if _, err := io.ReadFull(d.in, d.out[head:]); err != nil {
		d.out = nil
		return nil, err
	}
	return d.out[head:], nil
}

// errLayer refuses a SASL layer in which data cannot be read.
var errLayer = errors.New("the DataNode signs or encrypts data by DIGEST-MD5, which the HDFS library cannot read")

// readHandshake reads the DataNode's two DataTransferEncryptorMessageProto. The library (v2.4.0) loses bytes where one read spans two messages of a
// DIGEST-MD5 layer (digestMD5PrivacyConn.Read, digestMD5IntegrityConn.Read: the count leaves out what came from the first), and DataNodes answer in
// several messages. So such a layer is refused before it begins; encryption by AES, which has no messages, and no layer at all are read.
func (d *dataConn) readHandshake() error {
	message, err := d.readMessage()
	if err != nil {
		return err
	}
	if d.state.Load() == challenged {
		challenge, _ := protobytes(message, 2)
		d.layer = firstLayer(string(challenge))
		d.state.Store(agreed)
		return nil
	}
	d.state.Store(opaque)
	status, _ := varint(message, 1)
	_, aes := protobytes(message, 4)
	if status == 0 && (d.layer == "auth-int" || d.layer == "auth-conf" && !aes) {
		d.out = nil
		return errLayer
	}
	return nil
}

// firstLayer is the first quality of protection of a DIGEST-MD5 challenge: the library takes that one.
func firstLayer(challenge string) string {
	_, after, _ := strings.Cut(challenge, "qop=")
	after = strings.TrimPrefix(after, `"`)
	if i := strings.IndexAny(after, `",`); i >= 0 {
		after = after[:i]
	}
	return after
}

// readAnswer reads a BlockOpResponseProto, which says how the packets are checked.
func (d *dataConn) readAnswer() error {
	message, err := d.readMessage()
	if err != nil {
		return err
	}
	status, _ := varint(message, 1)
	if status != 0 {
		d.state.Store(ended) // the library words the refusal
		return nil
	}
	sums, _ := protobytes(message, 4)
	sum, _ := protobytes(sums, 1)
	kind, _ := varint(sum, 1)
	chunk, ok := varint(sum, 2)
	if !ok || chunk == 0 || chunk > largest {
		d.out = nil
		return fmt.Errorf("the DataNode's answer names %d bytes to a checksum", chunk)
	}
	d.chunk = int(chunk)
	switch kind {
	case 0:
		d.table = nil
	case 1:
		d.table = crc32.IEEETable
	case 2:
		d.table = crc32.MakeTable(crc32.Castagnoli)
	default:
		d.out = nil
		return fmt.Errorf("the DataNode's checksums are of the unknown kind %d", kind)
	}
	d.state.Store(packets)
	return nil
}

var errChecksum = errors.New("the replica is corrupt: its bytes do not fit their checksum")

// readPacket reads the next packet whole and checks it: length (4 bytes, of itself, sums and data), header length (2), header, sums, data.
func (d *dataConn) readPacket() error {
	var head [6]byte
	if _, err := io.ReadFull(d.in, head[:]); err != nil {
		return err
	}
	total, header := int(binary.BigEndian.Uint32(head[:])), int(binary.BigEndian.Uint16(head[4:]))
	if total < 4 || total > largest {
		return fmt.Errorf("the DataNode's packet has %d bytes", total)
	}
	d.buf = append(d.buf[:0], head[:]...)
	size := len(head) + header + total - 4
	if cap(d.buf) < size {
		d.buf = append(make([]byte, 0, size), d.buf...)
	}
	d.buf = d.buf[:size]
	if _, err := io.ReadFull(d.in, d.buf[len(head):]); err != nil {
		return err
	}
	if err := d.check(d.buf[len(head):len(head)+header], d.buf[len(head)+header:]); err != nil {
		return err
	}
	d.out = d.buf
	return nil
}

// check compares a packet's data with its sums, and its place with where the one before it ended.
func (d *dataConn) check(header, body []byte) error {
	h := packetHeader{offset: -1, length: -1}
	if err := h.parse(header); err != nil {
		return err
	}
	if h.length < 0 || h.length > len(body) || h.offset < 0 {
		return fmt.Errorf("the DataNode's packet announces %d bytes at %d and has %d", h.length, h.offset, len(body))
	}
	sums, data := body[:len(body)-h.length], body[len(body)-h.length:]
	if d.next >= 0 && h.offset != d.next {
		return fmt.Errorf("the DataNode's packet begins at %d of the block; want %d", h.offset, d.next)
	}
	d.next = h.offset + int64(h.length)
	if h.last {
		d.state.Store(ended)
	}
	if d.table == nil {
		if len(sums) != 0 {
			return fmt.Errorf("the DataNode's packet has %d bytes of checksums; want none", len(sums))
		}
		return nil
	}
	if chunks := (len(data) + d.chunk - 1) / d.chunk; len(sums) != 4*chunks {
		return fmt.Errorf("the DataNode's packet has %d bytes of checksums for %d chunks", len(sums), chunks)
	}
	for len(data) > 0 {
		n := min(d.chunk, len(data))
		if crc32.Checksum(data[:n], d.table) != binary.BigEndian.Uint32(sums) {
			return errChecksum
		}
		data, sums = data[n:], sums[4:]
	}
	return nil
}

// packetHeader is a PacketHeaderProto.
type packetHeader struct {
	offset int64
	length int
	last   bool
}

func (h *packetHeader) parse(b []byte) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case num == 1 && typ == protowire.Fixed64Type:
			var v uint64
			if v, n = protowire.ConsumeFixed64(b); v <= math.MaxInt64 {
				h.offset = int64(v)
			}
		case num == 3 && typ == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			h.last = v != 0
		case num == 4 && typ == protowire.Fixed32Type:
			var v uint32
			if v, n = protowire.ConsumeFixed32(b); v <= largest {
				h.length = int(v)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil
}

// find is the last field num of type typ in a message, and whether there is one.
func find(b []byte, num protowire.Number, typ protowire.Type) (value []byte, ok bool) {
	for len(b) > 0 {
		got, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return value, ok
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(got, t, b); n < 0 {
			return value, ok
		}
		if got == num && t == typ {
			value, ok = b[:n], true
		}
		b = b[n:]
	}
	return value, ok
}

func varint(b []byte, num protowire.Number) (uint64, bool) {
	raw, ok := find(b, num, protowire.VarintType)
	v, _ := protowire.ConsumeVarint(raw)
	return v, ok
}

func protobytes(b []byte, num protowire.Number) ([]byte, bool) {
	raw, ok := find(b, num, protowire.BytesType)
	v, _ := protowire.ConsumeBytes(raw)
	return v, ok
}
