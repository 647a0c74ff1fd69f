package vfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// preadNow is preadv2(2) with RWF_NOWAIT and one buffer. unix.Preadv2 would do, at the price of a heap-allocated vector a call.
func preadNow(fd int, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	// The offset is passed in two halves, low first; on 64-bit kernels the low half is all of it and the high half is ignored.
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1,
		uintptr(off), uintptr(uint64(off)>>32), unix.RWF_NOWAIT)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
