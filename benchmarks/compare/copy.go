package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

// A bare TCP copy: a request is a place and a length in 16 bytes, the answer those bytes of a file. No HTTP, no look-up, no sum, no signature: the
// floor of anything that sends bytes through a socket. Three ways to send; the best of them counts.
const (
	copyMap      = "write from a mapping"
	copyRead     = "pread and write"
	copySendfile = "sendfile"
)

const requestSize = 16

// addCopies starts a server for each way.
func addCopies(ctx context.Context, _ options, data load.Data, dir string, f *field) error {
	file := filepath.Join(dir, "flat")
	if err := writeFlat(file, data); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := peer{name: peerCopy, what: "a bare TCP copy: 16 bytes ask, the bytes come; no HTTP, no look-up, no sums (best of " + strings.Join([]string{copyMap, copyRead, copySendfile}, ", ") + ")"}
	for _, way := range []string{copyMap, copyRead, copySendfile} {
		const lead = "listening on "
		child, err := proc.Start(ctx, exec.Command(self, "copy-server", file, way), func(line string) bool { return strings.HasPrefix(line, lead) })
		if err != nil {
			return err
		}
		f.onClose(func() error { child.Kill(); return nil })
		address := strings.TrimPrefix(child.Ready(), lead)
		dial := func(n int) (load.Reader, error) { return dialCopy(address, n) }
		if err := readAll(ctx, dial, data); err != nil {
			return fmt.Errorf("%s, %s: %w", peerCopy, way, err)
		}
		p.setups = append(p.setups, setup{name: way, run: byReaders(dial, func() (time.Duration, error) { return proc.CPU(child.PID()) })})
	}
	f.add(p)
	return nil
}

// writeFlat writes the data set into one file.
func writeFlat(file string, data load.Data) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	b := make([]byte, 1<<20)
	for at := int64(0); at < data.Size; at += int64(len(b)) {
		b = b[:min(int64(len(b)), data.Size-at)]
		data.Fill(b, at)
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// serveCopies is the server: arguments are the file and the way. It ends when it is killed.
func serveCopies(args []string) error {
	if len(args) != 2 {
		return errors.New("copy-server is started by compare itself")
	}
	return serveFlat(args[0], func(conn *net.TCPConn, _ *os.File, mapped []byte) error {
		return copyTo(conn, args[0], mapped, args[1])
	})
}

// serveFlat opens and maps a data set's file, listens, tells the parent where, and serves each connection. It ends when it is killed.
func serveFlat(name string, serve func(conn *net.TCPConn, f *os.File, mapped []byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mapped, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening on "+ln.Addr().String())
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_ = serve(conn.(*net.TCPConn), f, mapped) // a client that left
		}()
	}
}

func copyTo(conn *net.TCPConn, name string, mapped []byte, way string) error {
	f, err := os.Open(name) // a file offset of its own, for sendfile
	if err != nil {
		return err
	}
	defer f.Close()
	var request [requestSize]byte
	var buf []byte
	for {
		if _, err := io.ReadFull(conn, request[:]); err != nil {
			return err
		}
		at, n := int64(binary.LittleEndian.Uint64(request[:])), int64(binary.LittleEndian.Uint64(request[8:]))
		if at < 0 || n <= 0 || at > int64(len(mapped))-n {
			return errors.New("a range outside of the file")
		}
		switch way {
		case copyMap:
			_, err = conn.Write(mapped[at : at+n])
		case copyRead:
			if int64(len(buf)) < n {
				buf = make([]byte, n)
			}
			if _, err = f.ReadAt(buf[:n], at); err == nil {
				_, err = conn.Write(buf[:n])
			}
		default:
			if _, err = f.Seek(at, io.SeekStart); err == nil {
				_, err = io.CopyN(conn, f, n) // sendfile(2), by net.TCPConn.ReadFrom
			}
		}
		if err != nil {
			return err
		}
	}
}

// copyReader is the client.
type copyReader struct {
	conn    net.Conn
	request [requestSize]byte
	buf     []byte
	n       int
}

func dialCopy(address string, maxBytes int) (load.Reader, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &copyReader{conn: conn, buf: make([]byte, maxBytes)}, nil
}

func (r *copyReader) Prepare(at int64, n int) error {
	binary.LittleEndian.PutUint64(r.request[:], uint64(at))
	binary.LittleEndian.PutUint64(r.request[8:], uint64(n))
	r.n = n
	return nil
}

func (r *copyReader) Read() ([]byte, error) {
	if _, err := r.conn.Write(r.request[:]); err != nil {
		return nil, err
	}
	_, err := io.ReadFull(r.conn, r.buf[:r.n])
	return r.buf[:r.n], err
}

func (r *copyReader) Interrupt() { _ = r.conn.SetDeadline(time.Unix(1, 0)) }

func (r *copyReader) Close() error { return r.conn.Close() }
