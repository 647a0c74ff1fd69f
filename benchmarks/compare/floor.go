package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

// The least that answers the very requests of the HTTP client: find the range, send a head that is mostly ready and the bytes of a flat file. No
// signature is checked, no header but Range is read, nothing is looked up or summed. What it takes, kernel and client take; no server of such answers
// through a socket can be expected to take less.
const (
	floorMap      = "head and mapping in one writev"
	floorSendfile = "head with MSG_MORE, sendfile"
)

// The same with the bytes read into memory and summed first, as the S3 door does it: what is left for the signature, the look-up and the headers. Its
// processor time beside the door's says what those cost.
const floorChecked = "pread, sum, head and bytes in one writev"

// addFloor starts a server for each way.
func addFloor(ctx context.Context, _ options, data load.Data, dir string, f *field) error {
	file := filepath.Join(dir, "flat-http")
	if err := writeFlat(file, data); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	least := peer{name: peerFloor, what: "the least HTTP that can be: finds Range, sends a head and bytes of a flat file; no signature, no look-up, no sums (best of " +
		floorMap + "; " + floorSendfile + ")"}
	checked := peer{name: peerFloorChecked, what: "the same by " + floorChecked + ": what the bytes of a checked answer cost"}
	for _, way := range []string{floorMap, floorSendfile, floorChecked} {
		const lead = "listening on "
		cmd := exec.Command(self, "floor-server", file, way, strconv.FormatInt(data.ObjectSize, 10))
		child, err := proc.Start(ctx, cmd, func(line string) bool { return strings.HasPrefix(line, lead) })
		if err != nil {
			return err
		}
		f.onClose(func() error { child.Kill(); return nil })
		address := strings.TrimPrefix(child.Ready(), lead)
		dial := func(n int) (load.Reader, error) {
			return load.DialHTTP(load.HTTPOptions{Network: "tcp", Address: address, Bucket: "lake", AccessKeyID: "none", SecretAccessKey: "none", Data: data, MaxBytes: n})
		}
		if err := readAll(ctx, dial, data); err != nil {
			return fmt.Errorf("%s, %s: %w", peerFloor, way, err)
		}
		one := setup{name: way, run: byReaders(dial, func() (time.Duration, error) { return proc.CPU(child.PID()) })}
		if way == floorChecked {
			checked.setups = append(checked.setups, one)
		} else {
			least.setups = append(least.setups, one)
		}
	}
	f.add(least)
	f.add(checked)
	return nil
}

// serveFloor is the server: arguments are the file, the way and the size of an object. It ends when it is killed.
func serveFloor(args []string) error {
	if len(args) != 3 {
		return errors.New("floor-server is started by compare itself")
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	return serveFlat(args[0], func(conn *net.TCPConn, f *os.File, mapped []byte) error {
		s := &floorConn{file: int(f.Fd()), mapped: mapped, objectSize: size, sendfile: args[1] == floorSendfile, checked: args[1] == floorChecked}
		return s.serve(conn)
	})
}

type floorConn struct {
	file       int
	mapped     []byte
	objectSize int64
	sendfile   bool
	checked    bool
	head, buf  []byte
	sum        uint32
}

func (s *floorConn) serve(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	for {
		at, n, err := s.request(in)
		if err != nil {
			return err
		}
		from := at % s.objectSize
		s.head = fmt.Appendf(s.head[:0], "HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n\r\n", n, from, from+n-1, s.objectSize)
		switch {
		case s.sendfile:
			err = s.send(raw, at, n)
		case s.checked:
			if err = s.read(at, n); err == nil {
				bufs := net.Buffers{s.head, s.buf[:n]}
				_, err = bufs.WriteTo(conn)
			}
		default:
			bufs := net.Buffers{s.head, s.mapped[at : at+n]}
			_, err = bufs.WriteTo(conn)
		}
		if err != nil {
			return err
		}
	}
}

// read reads bytes and sums them by 64 KiB, as pages are.
func (s *floorConn) read(at, n int64) error {
	if int64(len(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	if _, err := unix.Pread(s.file, s.buf[:n], at); err != nil {
		return err
	}
	for b := s.buf[:n]; len(b) > 0; b = b[min(len(b), segfile.BlockSize):] {
		s.sum += segfile.Crc(0, b[:min(len(b), segfile.BlockSize)])
	}
	return nil
}

// request reads a head and returns the place in the flat file that it asks for.
func (s *floorConn) request(in *bufio.Reader) (at, n int64, err error) {
	object := int64(-1)
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		switch {
		case len(line) == 2:
			if object < 0 || n <= 0 || at < 0 || object*s.objectSize+at > int64(len(s.mapped))-n {
				return 0, 0, errors.New("a range outside of the file")
			}
			return object*s.objectSize + at, n, nil
		case first:
			object = s.object(line)
		case bytes.HasPrefix(line, []byte("Range: bytes=")):
			a, b, _ := strings.Cut(strings.TrimSpace(string(line[len("Range: bytes="):])), "-")
			from, err1 := strconv.ParseInt(a, 10, 64)
			to, err2 := strconv.ParseInt(b, 10, 64)
			if err := errors.Join(err1, err2); err != nil {
				return 0, 0, err
			}
			at, n = from, to-from+1
		}
	}
}

// object is the number that an object's name ends with ("GET /lake/…00003 HTTP/1.1").
func (s *floorConn) object(line []byte) int64 {
	f := bytes.Fields(line)
	if len(f) != 3 {
		return -1
	}
	name := f[1]
	end := len(name)
	for end > 0 && (name[end-1] < '0' || name[end-1] > '9') {
		end--
	}
	start := end
	for start > 0 && name[start-1] >= '0' && name[start-1] <= '9' {
		start--
	}
	n, err := strconv.ParseInt(string(name[start:end]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// send sends the head, not yet on its way, and then the bytes with it.
func (s *floorConn) send(raw syscall.RawConn, at, n int64) (err error) {
	head, end := s.head, at+n
	fail := raw.Write(func(fd uintptr) bool {
		for err == nil && len(head) > 0 {
			var k int
			k, err = syscall.SendmsgN(int(fd), head, nil, nil, msgMore)
			head = head[max(k, 0):]
		}
		for err == nil && at < end {
			_, err = syscall.Sendfile(int(fd), s.file, &at, int(end-at))
		}
		if err == syscall.EAGAIN || err == syscall.EINTR {
			err = nil
			return false
		}
		return true
	})
	return errors.Join(fail, err)
}

const msgMore = 0x8000 // MSG_MORE
