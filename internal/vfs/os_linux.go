package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// OS is the operating system's file systems.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Create(name string, perm fs.FileMode) (File, error) {
	return openFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, perm)
}

func (osFS) Open(name string, write bool) (File, error) {
	if write {
		return openFile(name, unix.O_RDWR, 0)
	}
	return openFile(name, unix.O_RDONLY, 0)
}

// openFile never follows a link at the name's end: a cache directory holds none of ours.
func openFile(name string, flags int, perm fs.FileMode) (File, error) {
	var fd int
	err := retryInterrupted(func() (err error) {
		fd, err = unix.Open(name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(perm.Perm()))
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &osFile{fd: fd, name: name}, nil
}

func (osFS) ReadDir(name string) ([]Info, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(entries))
	for _, e := range entries {
		info, err := lstat(name+"/"+e.Name(), e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) Rename(oldName, newName string) error         { return os.Rename(oldName, newName) }
func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Stat(name string) (Info, error) {
	return lstat(name, name[strings.LastIndexByte(name, '/')+1:])
}

func lstat(path, base string) (Info, error) {
	var st unix.Stat_t
	if err := retryInterrupted(func() error { return unix.Lstat(path, &st) }); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return Info{Name: base, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR, Size: st.Size, Allocated: st.Blocks * 512, Device: uint64(st.Dev)}, nil
}

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, err
	}
	err = retryInterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &fs.PathError{Op: "flock", Path: name, Err: err}
		}
		text := make([]byte, 20)
		n, _ := f.ReadAt(text, 0)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
		return nil, &LockedError{Path: name, PID: pid}
	}
	// The pid only helps whoever is refused; a disk too full to take it does not break the lock.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// kinds are the file systems that matter here, by statfs(2)'s f_type. Remote are those whose answers may come over a network or from
// another process: NFS, SMB, 9p, FUSE (virtiofs too answers FUSE's number), AFS, Ceph, cluster file systems.
var kinds = map[uint32]struct {
	name   string
	remote bool
}{
	unix.EXT4_SUPER_MAGIC: {"ext4", false}, unix.XFS_SUPER_MAGIC: {"xfs", false}, unix.BTRFS_SUPER_MAGIC: {"btrfs", false},
	unix.TMPFS_MAGIC: {"tmpfs", false}, unix.OVERLAYFS_SUPER_MAGIC: {"overlayfs", false}, unix.F2FS_SUPER_MAGIC: {"f2fs", false},
	0x2fc12fc1:            {"zfs", false},
	unix.NFS_SUPER_MAGIC:  {"nfs", true},
	unix.SMB_SUPER_MAGIC:  {"smb", true},
	unix.SMB2_SUPER_MAGIC: {"smb2", true},
	unix.CIFS_SUPER_MAGIC: {"cifs", true},
	unix.FUSE_SUPER_MAGIC: {"fuse", true},
	unix.V9FS_MAGIC:       {"9p", true},
	unix.AFS_SUPER_MAGIC:  {"afs", true},
	unix.CODA_SUPER_MAGIC: {"coda", true},
	unix.NCP_SUPER_MAGIC:  {"ncp", true},
	unix.CEPH_SUPER_MAGIC: {"ceph", true}, unix.OCFS2_SUPER_MAGIC: {"ocfs2", true},
	0x01161970: {"gfs2", true}, 0x0bd00bd0: {"lustre", true}, 0x47504653: {"gpfs", true}, 0x19830326: {"beegfs", true},
	0x786f4256: {"vboxsf", true}, 0xbacbacbc: {"vmhgfs", true}, 0x013111a8: {"ibrix", true}, 0xaad7aaea: {"panfs", true},
}

func (osFS) Usage(name string) (Usage, error) {
	var st unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Statfs(name, &st) }); err != nil {
		return Usage{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	u := usageKind(uint32(st.Type))
	u.Total, u.Free = int64(st.Blocks)*st.Frsize, int64(st.Bavail)*st.Frsize
	return u, nil
}

func usageKind(magic uint32) Usage {
	k, known := kinds[magic]
	if !known {
		return Usage{Type: fmt.Sprintf("%#x", magic)}
	}
	return Usage{Type: k.name, Remote: k.remote}
}

// osFile works on the bare descriptor, since os.File offers no preadv2.
type osFile struct {
	fd     int
	name   string
	closed atomic.Bool
	noNow  atomic.Bool // preadv2 or RWF_NOWAIT is not supported here
}

func (f *osFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if f.closed.Load() {
		return 0, f.fail("read", fs.ErrClosed)
	}
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, f.fail("read", err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *osFile) ReadAtNow(p []byte, off int64) (int, error) {
	if f.closed.Load() {
		return 0, f.fail("read", fs.ErrClosed)
	}
	if f.noNow.Load() {
		return 0, ErrWouldBlock
	}
	n, err := preadNow(f.fd, p, off)
	switch err {
	case nil:
		if n == len(p) {
			return n, nil
		}
		// Part of it is in memory, or the file ends here: the ordinary read tells which.
		return 0, ErrWouldBlock
	case unix.EAGAIN, unix.EINTR:
		return 0, ErrWouldBlock
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
		f.noNow.Store(true)
		return 0, ErrWouldBlock
	}
	return 0, f.fail("read", err)
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	if f.closed.Load() {
		return 0, f.fail("write", fs.ErrClosed)
	}
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, f.fail("write", err)
		}
		if n == 0 {
			return done, f.fail("write", io.ErrShortWrite)
		}
		done += n
	}
	return done, nil
}

func (f *osFile) Sync() error {
	return f.do("sync", func() error { return unix.Fsync(f.fd) })
}

func (f *osFile) Truncate(size int64) error {
	return f.do("truncate", func() error { return unix.Ftruncate(f.fd, size) })
}

func (f *osFile) Preallocate(size int64) error {
	err := f.do("fallocate", func() error { return unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f *osFile) PunchHole(off, length int64) error {
	const mode = unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE
	if err := f.do("punch hole", func() error { return unix.Fallocate(f.fd, mode, off, length) }); err != nil {
		return err
	}
	// ext4 stops at the end of the file. What was preallocated beyond it goes when the file is truncated to the size it has.
	size, err := f.Size()
	if err != nil || off+length <= size {
		return err
	}
	return f.Truncate(size)
}

func (f *osFile) Allocated() (int64, error) {
	st, err := f.stat()
	return st.Blocks * 512, err
}

func (f *osFile) Size() (int64, error) {
	st, err := f.stat()
	return st.Size, err
}

func (f *osFile) stat() (st unix.Stat_t, err error) {
	err = f.do("stat", func() error { return unix.Fstat(f.fd, &st) })
	return st, err
}

func (f *osFile) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	if err := unix.Close(f.fd); err != nil {
		return f.fail("close", err)
	}
	return nil
}

func (f *osFile) do(op string, call func() error) error {
	if f.closed.Load() {
		return f.fail(op, fs.ErrClosed)
	}
	if err := retryInterrupted(call); err != nil {
		return f.fail(op, err)
	}
	return nil
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
