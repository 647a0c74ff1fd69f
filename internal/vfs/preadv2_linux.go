package vfs

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/internal/nowait"
)

// preadNow reads what is in the page cache.
func preadNow(fd int, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	iov := [1]unix.Iovec{{Base: unsafe.SliceData(p)}}
	iov[0].SetLen(len(p))
	return nowait.Preadv(fd, iov[:], off)
}
