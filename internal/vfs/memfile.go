package vfs

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"syscall"
)

// memNode is a file or a directory. data is the present; synced is what the last Sync left, and since holds what was done after it.
// Mem.mu guards it all.
type memNode struct {
	dir    bool
	data   []byte
	room   int64          // preallocated bytes, if more than data takes
	holes  map[int64]bool // blocks that were punched and not written since
	synced []byte
	since  []change
}

// change is one write (data != nil), or one truncation to off.
type change struct {
	off  int64
	data []byte
}

func (n *memNode) allocated() int64 {
	if n.dir {
		return memBlock
	}
	return max(wholeBlocks(int64(len(n.data)))-memBlock*int64(len(n.holes)), n.room)
}

func wholeBlocks(size int64) int64 { return (size + memBlock - 1) / memBlock * memBlock }

func (m *Mem) info(n *memNode, name string) Info {
	return Info{Name: name, Dir: n.dir, Size: int64(len(n.data)), Allocated: n.allocated(), Device: m.device}
}

func (n *memNode) do(c change) {
	n.data = c.apply(n.data)
	for b := range n.holes {
		if c.data == nil && b*memBlock >= c.off || c.data != nil && (b+1)*memBlock > c.off && b*memBlock < c.off+int64(len(c.data)) {
			delete(n.holes, b)
		}
	}
	n.since = append(n.since, c)
}

func (c change) apply(data []byte) []byte {
	if c.data == nil {
		return resize(data, c.off)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[c.off:], c.data)
	return data
}

// resize sets the length of data; what it grows by is zeros, as in a file.
func resize(data []byte, size int64) []byte {
	old := int64(len(data))
	if size <= int64(cap(data)) {
		data = data[:size]
	} else {
		data = append(data, make([]byte, size-old)...)
	}
	if size > old {
		clear(data[old:])
	}
	return data
}

type memFile struct {
	fs     *Mem
	node   *memNode
	name   string
	write  bool
	closed bool
}

// enter takes the lock and checks that the call is allowed; on an error the lock is not held.
func (f *memFile) enter(op string, write bool) error {
	f.fs.mu.Lock()
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case write && !f.write:
		err = syscall.EBADF
	default:
		return nil
	}
	f.fs.mu.Unlock()
	return pathErr(op, f.name, err)
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.enter("read", false); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, pathErr("read", f.name, syscall.EINVAL)
	}
	if off >= int64(len(f.node.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadAtNow is ReadAt but at the end of the file, where it does as the kernel does: memory never waits.
func (f *memFile) ReadAtNow(p []byte, off int64) (int, error) {
	n, err := f.ReadAt(p, off)
	if err == io.EOF {
		return 0, ErrWouldBlock
	}
	return n, err
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.enter("write", true); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, pathErr("write", f.name, syscall.EINVAL)
	}
	if len(p) > 0 {
		if !f.fs.fits(f.node, wholeBlocks(off+int64(len(p)))) {
			return 0, pathErr("write", f.name, syscall.ENOSPC)
		}
		f.node.do(change{off, append([]byte(nil), p...)})
	}
	return len(p), nil
}

func (f *memFile) Sync() error {
	if err := f.enter("sync", false); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	for _, c := range f.node.since {
		f.node.synced = c.apply(f.node.synced)
	}
	f.node.since = nil
	return nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.enter("truncate", true); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	if size < 0 {
		return pathErr("truncate", f.name, syscall.EINVAL)
	}
	f.node.do(change{off: size})
	f.node.room = 0
	return nil
}

func (f *memFile) Preallocate(size int64) error {
	if err := f.enter("fallocate", true); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	if !f.fs.fits(f.node, wholeBlocks(size)) {
		return pathErr("fallocate", f.name, syscall.ENOSPC)
	}
	f.node.room = max(f.node.room, wholeBlocks(size))
	return nil
}

func (f *memFile) PunchHole(off, length int64) error {
	if err := f.enter("punch hole", true); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	if off < 0 || length <= 0 {
		return pathErr("punch hole", f.name, syscall.EINVAL)
	}
	size := int64(len(f.node.data))
	if off+length >= f.node.room {
		f.node.room = min(f.node.room, wholeBlocks(off))
	} else if off+length > size {
		f.node.room = min(f.node.room, wholeBlocks(size))
	}
	end := min(off+length, size)
	if end <= off {
		return nil
	}
	f.node.do(change{off, make([]byte, end-off)})
	last := end / memBlock
	if off+length >= size { // the block that the file ends in goes too
		last = wholeBlocks(end) / memBlock
	}
	for b := wholeBlocks(off) / memBlock; b < last; b++ {
		if f.node.holes == nil {
			f.node.holes = map[int64]bool{}
		}
		f.node.holes[b] = true
	}
	return nil
}

func (f *memFile) Allocated() (int64, error) {
	if err := f.enter("stat", false); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	return f.node.allocated(), nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.enter("stat", false); err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	if err := f.enter("close", false); err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	f.closed = true
	if f.fs.open[f.node]--; f.fs.open[f.node] == 0 {
		delete(f.fs.open, f.node)
	}
	return nil
}

// CrashClone is the file system as a crash at this moment could leave it. With rng nil only what was synced is kept: file contents by
// File.Sync, names by SyncDir. With rng, a random prefix of the name changes and a random part of the writes since is kept too: as on a
// real device writes may arrive in any order and tear at sectors (512 bytes), and a file may have grown without its data having
// arrived (zeros). Locks are gone and nothing is open. The original goes on unharmed.
func (m *Mem) CrashClone(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]*memNode, len(m.durable))
	for p, n := range m.durable {
		names[p] = n
	}
	if rng != nil && len(m.pending) > 0 {
		for _, op := range m.pending[:rng.IntN(len(m.pending)+1)] {
			apply(names, op)
		}
	}
	c := NewMem()
	c.kind, c.device, c.room = m.kind, m.device, m.room
	c.now, c.durable = map[string]*memNode{}, map[string]*memNode{}
	copies := map[*memNode]*memNode{}
	for _, p := range sortedKeys(names) {
		n := names[p]
		if parent := filepath.Dir(p); p != "/" && (names[parent] == nil || !names[parent].dir) {
			continue // its directory never became durable
		}
		if copies[n] == nil {
			copies[n] = n.crash(rng)
		}
		c.now[p], c.durable[p] = copies[n], copies[n]
	}
	return c
}

// Clone is the file system as it is now, synced or not: what a process that dies (kill -9) leaves to the next one.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	c.kind, c.device, c.room = m.kind, m.device, m.room
	copies := map[*memNode]*memNode{}
	for p, n := range m.now {
		if copies[n] == nil {
			data := append([]byte(nil), n.data...)
			copies[n] = &memNode{dir: n.dir, data: data, room: n.room, holes: maps.Clone(n.holes), synced: append([]byte(nil), data...)}
		}
		c.now[p], c.durable[p] = copies[n], copies[n]
	}
	return c
}

func (n *memNode) crash(rng *rand.Rand) *memNode {
	data := append([]byte(nil), n.synced...)
	if rng != nil {
		keep := []float64{0, 0.5, 0.95, 1}[rng.IntN(4)]
		for _, c := range n.since {
			data = c.tear(data, rng, keep)
		}
	}
	return &memNode{dir: n.dir, data: data, synced: append([]byte(nil), data...)}
}

// tear applies a change as a crash might: each sector of a write with the given probability, a truncation likewise.
func (c change) tear(data []byte, rng *rand.Rand, keep float64) []byte {
	const sector = 512
	if c.data == nil {
		if rng.Float64() < keep {
			return c.apply(data)
		}
		return data
	}
	if rng.Float64() < keep { // the size may arrive without the data
		if end := c.off + int64(len(c.data)); end > int64(len(data)) {
			data = resize(data, end)
		}
	}
	for at := int64(0); at < int64(len(c.data)); {
		next := min((c.off+at)/sector*sector+sector-c.off, int64(len(c.data)))
		if rng.Float64() < keep {
			data = change{c.off + at, c.data[at:next]}.apply(data)
		}
		at = next
	}
	return data
}

func sortedKeys(names map[string]*memNode) []string {
	keys := make([]string, 0, len(names))
	for p := range names {
		keys = append(keys, p)
	}
	sort.Strings(keys)
	return keys
}
