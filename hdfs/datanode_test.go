package hdfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// packet is what a DataNode sends of a block: data at an offset, with a CRC32C for each chunk bytes.
func packet(offset int64, data []byte, chunk int, last bool) []byte {
	h := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uint64(offset))
	h = protowire.AppendFixed64(protowire.AppendTag(h, 2, protowire.Fixed64Type), 0)
	h = protowire.AppendVarint(protowire.AppendTag(h, 3, protowire.VarintType), protowire.EncodeBool(last))
	h = protowire.AppendFixed32(protowire.AppendTag(h, 4, protowire.Fixed32Type), uint32(len(data)))
	var sums []byte
	for rest := data; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
		sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(rest[:min(chunk, len(rest))], crc32.MakeTable(crc32.Castagnoli)))
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(sums)+len(data)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(h)))
	return append(append(append(b, h...), sums...), data...)
}

// opened is a DataNode's answer to a read: success, CRC32C for each chunk bytes.
func opened(chunk int) []byte {
	number := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	message := func(b []byte, n protowire.Number, m []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), m)
	}
	info := number(message(nil, 1, number(number(nil, 1, 2), 2, uint64(chunk))), 2, 0)
	m := message(number(nil, 1, 0), 4, info)
	return append(binary.AppendUvarint(nil, uint64(len(m))), m...)
}

// sent is a connection on which bytes have come, and then its end.
type sent struct {
	net.Conn
	r io.Reader
}

func (s sent) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s sent) Write(p []byte) (int, error)      { return len(p), nil }
func (s sent) SetReadDeadline(time.Time) error  { return nil }
func (s sent) SetWriteDeadline(time.Time) error { return nil }

// through has a dataConn ask for a block and be sent bytes; it returns what comes out.
func through(t testing.TB, b []byte) ([]byte, error) {
	t.Helper()
	d := newDataConn(&timedConn{Conn: sent{r: bytes.NewReader(b)}})
	if _, err := d.Write(opReadBlock); err != nil {
		t.Fatal(err)
	}
	return io.ReadAll(d)
}

func TestDataConnChecks(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100)
	one, two, end := packet(0, data, 512, false), packet(1000, data[:700], 512, false), packet(1700, nil, 512, true)
	all := bytes.Join([][]byte{opened(512), one, two, end}, nil)
	if got, err := through(t, all); err != nil || !bytes.Equal(got, all) {
		t.Errorf("whole packets: %d bytes of %d, %v", len(got), len(all), err)
	}
	good := len(opened(512)) + len(one)
	for at := good + 6; at < good+len(two); at++ { // every byte of the second packet but its lengths
		broken := bytes.Clone(all)
		broken[at] ^= 0x10
		got, err := through(t, broken)
		harmless := at >= good+15 && at < good+26 // the sequence number, and whether it is the last packet: no byte depends on them
		if !harmless && (err == nil || len(got) > good) {
			t.Errorf("byte %d damaged: %d bytes came through, %v; want at most the %d before it and an error", at, len(got), err, good)
		}
	}
	got, err := through(t, all[:good+len(two)-1])
	if err == nil || len(got) != good {
		t.Errorf("a connection that breaks in a packet: %d bytes, %v; want %d and an error", len(got), err, good)
	}
	swapped := bytes.Join([][]byte{opened(512), two, one}, nil)
	if got, err := through(t, swapped); err == nil || len(got) != len(opened(512))+len(two) {
		t.Errorf("packets out of order: %d bytes, %v", len(got), err)
	}
	wrong := bytes.Join([][]byte{opened(512), packet(0, data, 512, false)}, nil)
	wrong[len(wrong)-1] ^= 1
	if _, err := through(t, wrong); !errors.Is(err, errChecksum) || !strings.Contains(err.Error(), "corrupt") {
		t.Errorf("a wrong checksum: %v", err)
	}
}

// FuzzDataConn: whatever a DataNode sends, nothing panics, and no more memory is taken than packets may have.
func FuzzDataConn(f *testing.F) {
	f.Add(bytes.Join([][]byte{opened(512), packet(0, []byte("some data"), 512, false), packet(9, nil, 512, true)}, nil))
	f.Add(opened(1))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = through(t, b)
	})
}

// handshake is what a DataNode sends to agree on a SASL layer: its challenge, and its word on the client's response, with an AES cipher or without.
func handshake(challenge string, aes bool) []byte {
	var b []byte
	for _, payload := range []string{challenge, "rspauth=0"} {
		m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
		m = protowire.AppendString(protowire.AppendTag(m, 2, protowire.BytesType), payload)
		if aes && payload != challenge {
			m = protowire.AppendBytes(protowire.AppendTag(m, 4, protowire.BytesType), []byte{8, 2})
		}
		b = append(binary.AppendUvarint(b, uint64(len(m))), m...)
	}
	return b
}

// A layer that the library would read wrongly is refused before anything of it is read; what is no such layer passes, handshake and all.
func TestDataConnLayers(t *testing.T) {
	for _, c := range []struct {
		qop  string
		aes  bool
		good bool
	}{
		{`"auth"`, false, true}, {`"auth,auth-int,auth-conf"`, false, true}, {`auth`, false, true}, {`"auth-conf"`, true, true},
		{`"auth-conf"`, false, false}, {`"auth-int"`, false, false}, {`"auth-int"`, true, false}, {`"auth-int,auth"`, false, false}, {`auth-conf`, false, false},
	} {
		all := append(handshake(`realm="0",nonce="n",qop=`+c.qop+`,charset=utf-8,cipher="rc4",algorithm=md5-sess`, c.aes), "and the rest"...)
		d := newDataConn(&timedConn{Conn: sent{r: bytes.NewReader(all)}})
		if _, err := d.Write(append(bytes.Clone(opHandshake), 2, 8, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d)
		if whole := err == nil && bytes.Equal(got, all); whole != c.good || !c.good && !errors.Is(err, errLayer) {
			t.Errorf("qop=%s, AES %v: %d bytes of %d, %v", c.qop, c.aes, len(got), len(all), err)
		}
	}
}
