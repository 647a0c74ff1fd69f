package namenode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	pw "google.golang.org/protobuf/encoding/protowire"
)

// The messages are written and read field by field: generating Go from Hadoop's own .proto files would register the same names in the
// process's protobuf registry as the HDFS library does, which panics at start.

// The protocol names that requests carry.
const (
	clientProtocol = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
	rpcVersion     = 9
	authNone       = 0x00
	authSASL       = 0xDF // -33
)

// Call ids with a meaning of their own.
const (
	callContext = -3
	callSASL    = -33
)

func appendString(b []byte, n pw.Number, s string) []byte {
	return pw.AppendString(pw.AppendTag(b, n, pw.BytesType), s)
}

func appendBytes(b []byte, n pw.Number, s []byte) []byte {
	return pw.AppendBytes(pw.AppendTag(b, n, pw.BytesType), s)
}

func appendUint(b []byte, n pw.Number, v uint64) []byte {
	return pw.AppendVarint(pw.AppendTag(b, n, pw.VarintType), v)
}

func appendBool(b []byte, n pw.Number, v bool) []byte { return appendUint(b, n, pw.EncodeBool(v)) }

// field is one field of a message: a number for varints, bytes for everything with a length.
type field struct {
	num   pw.Number
	value uint64
	data  []byte // shared with the message
}

// each calls f with the varints and length-delimited fields of a message, in order. Others are skipped.
func each(b []byte, f func(field) error) error {
	for len(b) > 0 {
		num, typ, n := pw.ConsumeTag(b)
		if n < 0 {
			return pw.ParseError(n)
		}
		b = b[n:]
		v := field{num: num}
		known := true
		switch typ {
		case pw.VarintType:
			v.value, n = pw.ConsumeVarint(b)
		case pw.BytesType:
			v.data, n = pw.ConsumeBytes(b)
		default:
			n, known = pw.ConsumeFieldValue(num, typ, b), false
		}
		if n < 0 {
			return pw.ParseError(n)
		}
		b = b[n:]
		if known {
			if err := f(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// frame prefixes messages with their lengths, and all of them with the packet's.
func frame(messages ...[]byte) []byte {
	b := make([]byte, 4)
	for _, m := range messages {
		b = pw.AppendBytes(b, m)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// requestHeader is an RpcRequestHeaderProto. It never has a state id: an observer NameNode refuses a request without one
// (GlobalStateIdContext), instead of answering from a namespace that lags behind the active one's.
func requestHeader(call int32, clientID []byte, retry int) []byte {
	h := appendUint(nil, 1, 2) // RPC_PROTOCOL_BUFFER
	h = appendUint(h, 2, 0)    // RPC_FINAL_PACKET
	h = appendUint(h, 3, pw.EncodeZigZag(int64(call)))
	h = appendBytes(h, 4, clientID)
	if retry > 0 {
		h = appendUint(h, 5, pw.EncodeZigZag(int64(retry)))
	}
	return h
}

// request is the packet of a call.
func request(call int32, clientID []byte, retry int, method string, body []byte) []byte {
	m := appendString(nil, 1, method)
	m = appendString(m, 2, clientProtocol)
	m = appendUint(m, 3, 1)
	return frame(requestHeader(call, clientID, retry), m, body)
}

// readPacket reads one packet of at most limit bytes. Memory grows with what arrives, not with what is announced.
func readPacket(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if int64(n) > int64(limit) {
		return nil, fmt.Errorf("the NameNode's answer has %d bytes; at most %d are taken (a file of very many blocks, or no NameNode at all)", n, limit)
	}
	const step = 1 << 20
	b := make([]byte, 0, min(int(n), step))
	for len(b) < int(n) {
		k := min(int(n)-len(b), step)
		b = append(b, make([]byte, k)...)
		if _, err := io.ReadFull(r, b[len(b)-k:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// response is a packet from the NameNode, taken apart.
type response struct {
	call int32
	body []byte // of a call that succeeded
	err  *RemoteError
}

var errNoHeader = errors.New("the NameNode's answer has no call id or status")

// parseResponse takes an answer apart. It never panics, whatever the bytes.
func parseResponse(packet []byte) (response, error) {
	head, n := pw.ConsumeBytes(packet)
	if n < 0 {
		return response{}, fmt.Errorf("the NameNode's answer cannot be parsed: %w", pw.ParseError(n))
	}
	var r response
	var status uint64
	var seenCall, seenStatus bool
	remote := RemoteError{}
	err := each(head, func(f field) error {
		switch f.num {
		case 1:
			r.call, seenCall = int32(uint32(f.value)), true
		case 2:
			status, seenStatus = f.value, true
		case 4:
			remote.Class = string(f.data)
		case 5:
			remote.Message = cutTrace(string(f.data))
		case 6:
			remote.Code = int(min(f.value, 1<<16))
		}
		return nil
	})
	if err != nil {
		return response{}, fmt.Errorf("the NameNode's answer cannot be parsed: %w", err)
	}
	if !seenCall || !seenStatus {
		return response{}, errNoHeader
	}
	if status != 0 {
		remote.Fatal = status == 2
		r.err = &remote
		return r, nil
	}
	if len(packet) > n {
		if r.body, n = pw.ConsumeBytes(packet[n:]); n < 0 {
			return response{}, fmt.Errorf("the NameNode's answer cannot be parsed: %w", pw.ParseError(n))
		}
	}
	return r, nil
}
