package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Port is a loopback TCP port that no other harness on this machine will pick while it is held, so that a server can be killed
// and started on it again. It lies below the kernel's range for outgoing connections (32768 and up by default), so no client
// socket takes it meanwhile either.
type Port struct {
	Number int
	held   *os.File
}

// lowPort and highPort bound the ports that are picked.
const lowPort, highPort = 18000, 32000

// PickPort picks and holds a free port.
func PickPort() (*Port, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("alio-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for range 200 {
		n := lowPort + rand.IntN(highPort-lowPort)
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n)); err == nil {
				_ = l.Close()
				return &Port{Number: n, held: f}, nil
			}
		}
		_ = f.Close()
	}
	return nil, errors.New("no free loopback port found in 200 tries")
}

// Addr is 127.0.0.1:port.
func (p *Port) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.Number) }

// Release lets others pick the port. It may be called more than once.
func (p *Port) Release() { _ = p.held.Close() }
