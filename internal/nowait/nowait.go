// Package nowait makes system calls that never wait for anybody: reads and writes of non-blocking sockets, reads of what is in the page cache.
// Go's scheduler is told of a system call before and after, so that another thread can take over if it blocks; and its watcher, which looks
// every 20 us, takes a call that has not returned by then for one that blocks, and hands its work to a thread that must be woken for it. A
// send of 64 KiB through loopback takes about as long. So short calls are made without a word here; long ones, which would keep a processor from the
// garbage collector, are not. Linux only. Start at Preadv.
package nowait

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// short is up to how many bytes a call may move without the scheduler's knowledge: a page with what goes before it, some 100 us, as long as a copy of as much
// by the program itself would take.
const short = 1<<20 + 64<<10

// Read reads from a non-blocking descriptor. The error is an Errno: EAGAIN if there is nothing to read.
func Read(fd int, p []byte) (int, error) {
	if raceDetector || len(p) > short {
		return syscall.Read(fd, p)
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return result(n, errno)
}

// Writev writes to a non-blocking descriptor what fits. The error is an Errno: EAGAIN if nothing does.
func Writev(fd int, iov []unix.Iovec) (int, error) {
	written()
	return vectored(unix.SYS_WRITEV, fd, iov, 0, 0)
}

// Preadv reads from a file at off what is in the page cache (RWF_NOWAIT). The error is an Errno: EAGAIN if the first byte is not there, EOPNOTSUPP where
// the file system knows no such reads. It is unix.Preadv2 but for an allocation a call.
func Preadv(fd int, iov []unix.Iovec, off int64) (int, error) {
	return vectored(unix.SYS_PREADV2, fd, iov, off, unix.RWF_NOWAIT)
}

func vectored(call uintptr, fd int, iov []unix.Iovec, off int64, flags uintptr) (int, error) {
	total := uint64(0)
	for i := range iov {
		total += uint64(iov[i].Len)
	}
	base := unsafe.Pointer(unsafe.SliceData(iov))
	// An offset goes in two halves, low first; on 64-bit kernels the low half is all of it and the high half is ignored. writev ignores both.
	var n uintptr
	var errno syscall.Errno
	if total > short {
		n, _, errno = unix.Syscall6(call, uintptr(fd), uintptr(base), uintptr(len(iov)), uintptr(off), uintptr(uint64(off)>>32), flags)
	} else {
		n, _, errno = unix.RawSyscall6(call, uintptr(fd), uintptr(base), uintptr(len(iov)), uintptr(off), uintptr(uint64(off)>>32), flags)
	}
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
