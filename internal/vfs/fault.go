package vfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"sync"
)

// Op names a call for a Rule.
type Op string

// The operations a Rule can speak of.
const (
	OpCreate      Op = "create"
	OpOpen        Op = "open"
	OpReadDir     Op = "readdir"
	OpRemove      Op = "remove"
	OpRename      Op = "rename"
	OpMkdir       Op = "mkdir"
	OpSyncDir     Op = "syncdir"
	OpStat        Op = "stat"
	OpLock        Op = "lock"
	OpUsage       Op = "usage"
	OpRead        Op = "read"
	OpReadNow     Op = "readnow"
	OpWrite       Op = "write"
	OpSync        Op = "sync"
	OpTruncate    Op = "truncate"
	OpPreallocate Op = "preallocate"
	OpPunch       Op = "punch"
	OpClose       Op = "close"
)

// Rule says which calls go wrong, and how. The effects combine: a call first waits for Hang, then fails with Err, if they are set.
type Rule struct {
	Op   Op     // "" is every operation
	Glob string // of filepath.Match, against the whole path and the last element of it; "" is every path
	From int    // the first matching call that is affected, counted from 1; 0 is 1
	For  int    // so many calls are affected; 0 is all

	Err   error           // the call fails so; wrapped in a *fs.PathError, except ErrWouldBlock
	Short int             // with Err, on write: so many bytes (at most all) are written all the same
	Flip  int64           // on read, if > 0: the bit Flip-1 of the bytes read, counted from their start, is flipped
	Hang  <-chan struct{} // the call waits until it is closed
}

// Faulty is a file system whose calls go wrong by rule. It is safe for parallel use.
type Faulty struct {
	base FS

	mu    sync.Mutex
	rules []*armed
}

type armed struct {
	Rule
	calls int
}

// NewFaulty wraps base; without rules it changes nothing.
func NewFaulty(base FS) *Faulty { return &Faulty{base: base} }

// Add arms a rule and returns what disarms it.
func (f *Faulty) Add(r Rule) (remove func()) {
	a := &armed{Rule: r}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, a)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := range f.rules {
			if f.rules[i] == a {
				f.rules = append(f.rules[:i:i], f.rules[i+1:]...)
				return
			}
		}
	}
}

// Clear disarms every rule. Calls that hang go on hanging until they are released.
func (f *Faulty) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// hit finds the first rule that affects this call, waits where it says so, and returns it; nil if there is none.
func (f *Faulty) hit(op Op, name string) *Rule {
	f.mu.Lock()
	var found *Rule
	for _, a := range f.rules {
		if (a.Op != "" && a.Op != op) || !globMatch(a.Glob, name) {
			continue
		}
		a.calls++
		from := max(a.From, 1)
		if found == nil && a.calls >= from && (a.For == 0 || a.calls < from+a.For) {
			r := a.Rule
			found = &r
		}
	}
	f.mu.Unlock()
	if found != nil && found.Hang != nil {
		<-found.Hang
	}
	return found
}

func globMatch(glob, name string) bool {
	if glob == "" {
		return true
	}
	whole, _ := filepath.Match(glob, name)
	last, _ := filepath.Match(glob, filepath.Base(name))
	return whole || last
}

// check is hit for calls whose only way to go wrong is an error.
func (f *Faulty) check(op Op, name string) error {
	return f.hit(op, name).err(op, name)
}

func (r *Rule) err(op Op, name string) error {
	if r == nil || r.Err == nil {
		return nil
	}
	if r.Err == ErrWouldBlock {
		return r.Err
	}
	return &fs.PathError{Op: string(op), Path: name, Err: r.Err}
}

// Create implements FS.
func (f *Faulty) Create(name string, perm fs.FileMode) (File, error) {
	if err := f.check(OpCreate, name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.base.Create(name, perm))
}

// Open implements FS.
func (f *Faulty) Open(name string, write bool) (File, error) {
	if err := f.check(OpOpen, name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.base.Open(name, write))
}

func (f *Faulty) wrap(name string) func(File, error) (File, error) {
	return func(file File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &faultyFile{File: file, fs: f, name: name}, nil
	}
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(name string) ([]Info, error) {
	if err := f.check(OpReadDir, name); err != nil {
		return nil, err
	}
	return f.base.ReadDir(name)
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	if err := f.check(OpRemove, name); err != nil {
		return err
	}
	return f.base.Remove(name)
}

// Rename implements FS; rules speak of the old name.
func (f *Faulty) Rename(oldName, newName string) error {
	if err := f.check(OpRename, oldName); err != nil {
		return err
	}
	return f.base.Rename(oldName, newName)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.check(OpMkdir, name); err != nil {
		return err
	}
	return f.base.MkdirAll(name, perm)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error {
	if err := f.check(OpSyncDir, name); err != nil {
		return err
	}
	return f.base.SyncDir(name)
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (Info, error) {
	if err := f.check(OpStat, name); err != nil {
		return Info{}, err
	}
	return f.base.Stat(name)
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) {
	if err := f.check(OpLock, name); err != nil {
		return nil, err
	}
	return f.base.Lock(name)
}

// Usage implements FS.
func (f *Faulty) Usage(name string) (Usage, error) {
	if err := f.check(OpUsage, name); err != nil {
		return Usage{}, err
	}
	return f.base.Usage(name)
}

type faultyFile struct {
	File
	fs   *Faulty
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	return f.read(OpRead, f.File.ReadAt, p, off)
}

func (f *faultyFile) ReadAtNow(p []byte, off int64) (int, error) {
	return f.read(OpReadNow, f.File.ReadAtNow, p, off)
}

func (f *faultyFile) read(op Op, call func([]byte, int64) (int, error), p []byte, off int64) (int, error) {
	r := f.fs.hit(op, f.name)
	if err := r.err(op, f.name); err != nil {
		return 0, err
	}
	n, err := call(p, off)
	if r != nil && r.Flip > 0 && (r.Flip-1)/8 < int64(n) {
		p[(r.Flip-1)/8] ^= 1 << ((r.Flip - 1) % 8)
	}
	return n, err
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	r := f.fs.hit(OpWrite, f.name)
	if err := r.err(OpWrite, f.name); err != nil {
		n := 0
		if k := min(r.Short, len(p)); k > 0 {
			n, _ = f.File.WriteAt(p[:k], off)
		}
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.check(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.check(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Preallocate(size int64) error {
	if err := f.fs.check(OpPreallocate, f.name); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

func (f *faultyFile) PunchHole(off, length int64) error {
	if err := f.fs.check(OpPunch, f.name); err != nil {
		return err
	}
	return f.File.PunchHole(off, length)
}

// Close closes the file whatever the rule says: a close that fails has closed all the same.
func (f *faultyFile) Close() error {
	injected := f.fs.check(OpClose, f.name)
	if err := f.File.Close(); err != nil {
		return err
	}
	return injected
}
