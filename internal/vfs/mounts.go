package vfs

import (
	"io"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"syscall"
)

// Mounts is several file systems under one root, each with the whole path as its name for a file. What was opened before an Unmount stays open, as
// with `umount -l`. It is safe for parallel use, and for tests.
type Mounts struct {
	base FS

	mu sync.Mutex
	at map[string]FS // by cleaned path; replaced, never changed
}

// NewMounts starts with base alone.
func NewMounts(base FS) *Mounts { return &Mounts{base: base, at: map[string]FS{}} }

// Mount puts a file system at dir, in the place of what was there. The file system must have that directory.
func (m *Mounts) Mount(dir string, fsys FS) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = maps.Clone(m.at)
	m.at[clean(dir)] = fsys
}

// Unmount takes it away: what lies below is visible again.
func (m *Mounts) Unmount(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = maps.Clone(m.at)
	delete(m.at, clean(dir))
}

// of finds the file system of a path.
func (m *Mounts) of(name string) FS {
	m.mu.Lock()
	at := m.at
	m.mu.Unlock()
	path := clean(name)
	found, best := m.base, ""
	for dir, fsys := range at {
		if (path == dir || strings.HasPrefix(path, dir+"/")) && len(dir) > len(best) {
			found, best = fsys, dir
		}
	}
	return found
}

// Create implements FS.
func (m *Mounts) Create(name string, perm fs.FileMode) (File, error) {
	return m.of(name).Create(name, perm)
}

// Open implements FS.
func (m *Mounts) Open(name string, write bool) (File, error) { return m.of(name).Open(name, write) }

// ReadDir implements FS.
func (m *Mounts) ReadDir(name string) ([]Info, error) { return m.of(name).ReadDir(name) }

// Remove implements FS.
func (m *Mounts) Remove(name string) error { return m.of(name).Remove(name) }

// Rename implements FS, within one file system.
func (m *Mounts) Rename(oldName, newName string) error {
	from := m.of(oldName)
	if from != m.of(newName) {
		return pathErr("rename", oldName, syscall.EXDEV)
	}
	return from.Rename(oldName, newName)
}

// MkdirAll implements FS.
func (m *Mounts) MkdirAll(name string, perm fs.FileMode) error {
	return m.of(name).MkdirAll(name, perm)
}

// SyncDir implements FS.
func (m *Mounts) SyncDir(name string) error { return m.of(name).SyncDir(name) }

// Stat implements FS.
func (m *Mounts) Stat(name string) (Info, error) { return m.of(name).Stat(name) }

// Lock implements FS.
func (m *Mounts) Lock(name string) (io.Closer, error) { return m.of(name).Lock(name) }

// Usage implements FS.
func (m *Mounts) Usage(name string) (Usage, error) { return m.of(name).Usage(name) }
