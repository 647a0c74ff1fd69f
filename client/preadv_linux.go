package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/internal/nowait"
)

var errWouldBlock = errors.New("bytes are not in the page cache")

// segmentFile is an open segment file. All but Close may be called in parallel. Tests put others in its place.
type segmentFile interface {
	// readNow fills the pieces, of want bytes in all, which follow one another in the file from off, if that needs no wait for the device. Else,
	// and at the end of the file, errWouldBlock, and the pieces hold nothing of use.
	readNow(pieces []unix.Iovec, want int, off int64) error
	io.ReaderAt // fewer bytes come with an error, io.EOF at the end of the file
	stat() (size int64, unlinked bool, err error)
	mmap(size int) ([]byte, error)
	io.Closer
}

type osSegment struct {
	fd    int
	noNow atomic.Bool // preadv2 or RWF_NOWAIT is not supported here
}

// openSegmentFile opens a regular file and nothing else: no link is followed, and a FIFO of that name would not block.
func openSegmentFile(path string) (segmentFile, error) {
	fd, err := ignoringInterrupt(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	})
	if err == unix.ELOOP {
		err = fmt.Errorf("%w: it is a link", errForeign)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		if err == nil {
			err = fmt.Errorf("%w: it is no regular file", errForeign)
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &osSegment{fd: fd}, nil
}

func ignoringInterrupt(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

func (f *osSegment) readNow(pieces []unix.Iovec, want int, off int64) error {
	if f.noNow.Load() {
		return errWouldBlock
	}
	n, err := nowait.Preadv(f.fd, pieces, off)
	switch err {
	case nil:
		if n == want {
			return nil
		}
		return errWouldBlock
	case unix.EAGAIN, unix.EINTR:
		return errWouldBlock
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
		f.noNow.Store(true)
		return errWouldBlock
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (f *osSegment) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := ignoringInterrupt(func() (int, error) { return unix.Pread(f.fd, p[done:], off+int64(done)) })
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *osSegment) stat() (size int64, unlinked bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, false, err
	}
	return st.Size, st.Nlink == 0, nil
}

func (f *osSegment) mmap(size int) ([]byte, error) {
	return unix.Mmap(f.fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

// Close implements io.Closer.
func (f *osSegment) Close() error { return unix.Close(f.fd) }
