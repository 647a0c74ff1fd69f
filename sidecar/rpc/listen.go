package rpc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the longest path of a Unix socket, in bytes (sun_path, less its end).
const maxSocketPath = 107

// ListenUnix listens on a Unix socket at a path, for the sidecar's user and group (mode 0660); who may do what is decided by the peer's user. A socket
// that nobody listens on any more (its process was killed) is removed; one that somebody listens on, and anything that is no socket, is
// left alone and is an error. The folder must exist and be such that no other user can put a socket of his own there. The socket
// goes when the listener is closed.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, and %d is the limit of the operating system: choose a shorter one", path, len(path), maxSocketPath)
	}
	folder, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer folder.Close() // unlocks
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), ln.Close())
	}
	return ln, nil
}

// openFolder checks the socket's folder and locks it against other processes that look for a stale socket at this moment.
func openFolder(name string) (*os.File, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder %s does not exist: make it, for the user that the sidecar runs as (systemd: RuntimeDirectory=)", name)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkFolder(name, info)
	}
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func checkFolder(name string, info os.FileInfo) error {
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", name)
	case owner != 0 && owner != uint32(os.Geteuid()):
		return fmt.Errorf("the folder %s belongs to user %d, who could put a socket of his own there: use one of the sidecar's user (%d) or root's", name, owner, os.Geteuid())
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0:
		return fmt.Errorf("the folder %s can be written to by everybody, who could put a socket of his own there: chmod o-w it", name)
	}
	return nil
}

// removeStale removes a socket that nobody listens on. The caller holds the folder's lock.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("something that is no socket lies there: remove it, or choose another path")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		return errors.Join(errors.New("another process listens there (ss -lxp shows which): stop it, or choose another path"), c.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("whether somebody listens there cannot be told: %w", err)
}
