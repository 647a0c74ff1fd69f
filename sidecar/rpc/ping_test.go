package rpc

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// The Java client asks for a sign of life after each 128 KiB that it has sent without hearing anything, by a PING, so several while it puts pages. A server that
// takes these for abuse, as gRPC's own defaults do, closes the connection under all its calls.
func TestPingsAreNoReasonToHangUp(t *testing.T) {
	r := newRig(t)
	c, err := net.Dial("unix", r.socket)
	check(t, err)
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	const settings, ping, goAway = 4, 6, 7
	frame := func(kind, flags byte, payload ...byte) []byte {
		return append([]byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, 0}, payload...)
	}
	_, err = c.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settings, 0)...))
	check(t, err)
	for i := range byte(20) {
		_, err = c.Write(frame(ping, 0, 0, 0, 0, 0, 0, 0, 0, i))
		check(t, err)
		for answered := false; !answered; {
			var head [9]byte
			_, err = io.ReadFull(c, head[:])
			check(t, err)
			payload := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
			_, err = io.ReadFull(c, payload)
			check(t, err)
			if head[3] == goAway {
				t.Fatalf("the door hung up after %d pings: %q", i+1, payload)
			}
			answered = head[3] == ping && head[4] == 1
		}
	}
}
