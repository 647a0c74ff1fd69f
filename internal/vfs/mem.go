package vfs

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
)

// memBlock is the block size of Mem in bytes: room is taken in whole blocks.
const memBlock = 4096

// Mem is a file system in memory. It remembers what was synced, so that CrashClone can tell what a crash would leave. One lock guards
// all of it: it is for tests, not for speed. The zero Mem is not valid; use NewMem.
type Mem struct {
	mu      sync.Mutex
	now     map[string]*memNode // by cleaned path; the present
	durable map[string]*memNode // what a crash would leave of the names
	pending []nameOp            // changes of names since their directory was synced, in order
	locks   map[string]int
	open    map[*memNode]int // handles of each node
	kind    Usage
	device  uint64
	room    int64 // most bytes that files may take; 0: no limit
}

var devices atomic.Uint64

// nameOp is a change of the name space that is not durable yet: path becomes node, or vanishes (nil).
type nameOp struct {
	path string
	node *memNode
}

// NewMem makes an empty file system with a root directory.
func NewMem() *Mem {
	root := &memNode{dir: true}
	return &Mem{
		now: map[string]*memNode{"/": root}, durable: map[string]*memNode{"/": root},
		locks: map[string]int{}, open: map[*memNode]int{},
		kind: Usage{Type: "mem", Total: 1 << 40, Free: 1 << 40}, device: devices.Add(1),
	}
}

// SetRoom makes the device so small: what would take more than so many bytes in all is ENOSPC. 0 ends that.
func (m *Mem) SetRoom(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = bytes
}

// fits says whether a node may grow to so many bytes on the device; the caller holds the lock.
func (m *Mem) fits(n *memNode, bytes int64) bool {
	grow := bytes - n.allocated()
	return m.room == 0 || grow <= 0 || m.allocated()+grow <= m.room
}

// SetUsage makes Usage answer u.
func (m *Mem) SetUsage(u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kind = u
}

// Allocated is how many bytes all files take together, those that were removed but are still open included.
func (m *Mem) Allocated() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.allocated()
}

func (m *Mem) allocated() int64 {
	var sum int64
	seen := map[*memNode]bool{}
	for _, n := range m.now {
		seen[n] = true
	}
	for n := range m.open {
		seen[n] = true
	}
	for n := range seen {
		sum += n.allocated()
	}
	return sum
}

// OpenHandles is how many files are open.
func (m *Mem) OpenHandles() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := 0
	for _, n := range m.open {
		sum += n
	}
	return sum
}

func clean(name string) string { return filepath.Clean("/" + name) }

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// set changes a name; the caller holds the lock.
func (m *Mem) set(path string, n *memNode) {
	if n == nil {
		delete(m.now, path)
	} else {
		m.now[path] = n
	}
	m.pending = append(m.pending, nameOp{path, n})
}

func (m *Mem) isDir(path string) bool {
	n := m.now[path]
	return n != nil && n.dir
}

// Create implements FS.
func (m *Mem) Create(name string, _ fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path := clean(name)
	if m.now[path] != nil {
		return nil, pathErr("open", name, fs.ErrExist)
	}
	if !m.isDir(filepath.Dir(path)) {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	n := &memNode{}
	m.set(path, n)
	return m.handle(n, name, true), nil
}

// Open implements FS.
func (m *Mem) Open(name string, write bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[clean(name)]
	if n == nil {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	if n.dir {
		return nil, pathErr("open", name, syscall.EISDIR)
	}
	return m.handle(n, name, write), nil
}

func (m *Mem) handle(n *memNode, name string, write bool) *memFile {
	m.open[n]++
	return &memFile{fs: m, node: n, name: name, write: write}
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := clean(name)
	if !m.isDir(dir) {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	var infos []Info
	for p, n := range m.now {
		if p != dir && filepath.Dir(p) == dir {
			infos = append(infos, m.info(n, filepath.Base(p)))
		}
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name < infos[j].Name })
	return infos, nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	path := clean(name)
	if m.now[path] == nil {
		return pathErr("remove", name, fs.ErrNotExist)
	}
	for p := range m.now {
		if p != path && filepath.Dir(p) == path {
			return pathErr("remove", name, syscall.ENOTEMPTY)
		}
	}
	m.set(path, nil)
	return nil
}

// Rename implements FS, for files.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to := clean(oldName), clean(newName)
	n := m.now[from]
	if n == nil || !m.isDir(filepath.Dir(to)) {
		return pathErr("rename", oldName, fs.ErrNotExist)
	}
	if n.dir {
		return pathErr("rename", oldName, syscall.EISDIR)
	}
	m.set(to, n)
	m.set(from, nil)
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mkdirAll(clean(name), name)
}

func (m *Mem) mkdirAll(path, name string) error {
	if n := m.now[path]; n != nil {
		if !n.dir {
			return pathErr("mkdir", name, syscall.ENOTDIR)
		}
		return nil
	}
	if err := m.mkdirAll(filepath.Dir(path), name); err != nil {
		return err
	}
	m.set(path, &memNode{dir: true})
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := clean(name)
	if !m.isDir(dir) {
		return pathErr("sync", name, fs.ErrNotExist)
	}
	rest := m.pending[:0:0]
	for _, op := range m.pending {
		if filepath.Dir(op.path) == dir {
			apply(m.durable, op)
		} else {
			rest = append(rest, op)
		}
	}
	m.pending = rest
	return nil
}

func apply(names map[string]*memNode, op nameOp) {
	if op.node == nil {
		delete(names, op.path)
	} else {
		names[op.path] = op.node
	}
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path := clean(name)
	n := m.now[path]
	if n == nil {
		return Info{}, pathErr("stat", name, fs.ErrNotExist)
	}
	return m.info(n, filepath.Base(path)), nil
}

// Lock implements FS. Every process that uses one Mem is this process.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path := clean(name)
	if pid, held := m.locks[path]; held {
		return nil, &LockedError{Path: name, PID: pid}
	}
	if !m.isDir(filepath.Dir(path)) {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	if m.now[path] == nil {
		m.set(path, &memNode{})
	}
	m.locks[path] = os.Getpid()
	return &memLock{fs: m, path: path}, nil
}

type memLock struct {
	fs   *Mem
	path string
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		delete(l.fs.locks, l.path)
	})
	return nil
}

// Usage implements FS.
func (m *Mem) Usage(name string) (Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now[clean(name)] == nil {
		return Usage{}, pathErr("statfs", name, fs.ErrNotExist)
	}
	return m.kind, nil
}
