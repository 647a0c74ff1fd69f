// Package vfs is the seam through which everything in cache/** touches files. OS is the operating system (Linux); Mem is an in-memory
// file system that can be cloned as a crash would leave it; Faulty wraps either and injects errors by rule; Mounts puts several under one root.
// It is not a general file abstraction: it has what a log of immutable segments needs and no more. Start at FS, then File.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ErrWouldBlock is what File.ReadAtNow answers when the bytes are not all in memory, or when it cannot know.
var ErrWouldBlock = errors.New("bytes are not in the page cache")

// FS opens and manages files. All methods may be called in parallel. Names are paths as the operating system has them; errors are
// *fs.PathError or wrap one, so errors.Is works with fs.ErrNotExist, fs.ErrExist and the errno of the syscall.
type FS interface {
	// Create makes a file that must not exist, opened for reading and writing.
	Create(name string, perm fs.FileMode) (File, error)
	// Open opens a file that exists, for reading, or for reading and writing.
	Open(name string, write bool) (File, error)
	// ReadDir lists a directory in the order of names. An entry that vanishes meanwhile is left out.
	ReadDir(name string) ([]Info, error)
	Remove(name string) error
	// Rename replaces newName if it exists.
	Rename(oldName, newName string) error
	// MkdirAll makes a directory and its parents; one that exists is no error.
	MkdirAll(name string, perm fs.FileMode) error
	// SyncDir makes the directory's entries durable.
	SyncDir(name string) error
	Stat(name string) (Info, error)
	// Lock takes the exclusive lock of a file, which it makes if need be, and writes the process id into it. A lock that is held is
	// a *LockedError. The lock ends with Close, or with the process.
	Lock(name string) (io.Closer, error)
	// Usage tells what kind of file system holds name, and its room.
	Usage(name string) (Usage, error)
}

// File is an open file. All methods but Close may be called in parallel; the caller sees to it that nothing runs when Close is called.
// After Close every call answers fs.ErrClosed.
type File interface {
	// ReadAt reads len(p) bytes at off; fewer come with an error, which is io.EOF at the end of the file.
	io.ReaderAt
	// ReadAtNow is ReadAt if that needs no wait for a device; else ErrWouldBlock, and p holds nothing of use.
	ReadAtNow(p []byte, off int64) (int, error)
	// WriteAt writes all of p at off, or says how much it wrote and why not all.
	io.WriterAt
	// Sync returns once what was written before is on stable storage.
	Sync() error
	// Truncate sets the size, and frees what was preallocated beyond it.
	Truncate(size int64) error
	// Preallocate makes room for size bytes without changing the file's size. Where the file system cannot, it does nothing.
	Preallocate(size int64) error
	// PunchHole gives the bytes' room back, and beyond the file's end all that was preallocated; they read as zeros. The size stays.
	// errors.ErrUnsupported where it cannot be done.
	PunchHole(off, length int64) error
	// Allocated is how many bytes of the device the file holds, which may differ from its size in both directions.
	Allocated() (int64, error)
	Size() (int64, error)
	io.Closer
}

// Info is what a directory tells of an entry.
type Info struct {
	Name      string // without the directory
	Dir       bool
	Size      int64  // bytes
	Allocated int64  // bytes of the device that it holds
	Device    uint64 // the file system that it is on, as stat(2) numbers them: another one under the same path means that something was (un)mounted
}

// Usage is a file system's kind and room.
type Usage struct {
	Type   string // "ext4", "xfs", "nfs", …, or the magic number in hex
	Remote bool   // a network, cluster or FUSE file system: what it answers may come from elsewhere, or hang with it
	Total  int64  // bytes
	Free   int64  // bytes that an ordinary user may still take
}

// LockedError says that another open file description, as a rule another process, holds the lock.
type LockedError struct {
	Path string
	PID  int // of the holder, 0 if it did not say
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Path)
	}
	return fmt.Sprintf("%s is in use by another process (pid %d)", e.Path, e.PID)
}
