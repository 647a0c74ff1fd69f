package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Logf takes progress, one line without its line feed each time. It may be called from several goroutines.
type Logf func(format string, args ...any)

// Stderr is the Logf of commands: lines on standard error.
func Stderr(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// CacheDir is where everything that is fetched or built lies: $ALIO_CACHE, by default $HOME/.cache/alio. It is made if need be.
func CacheDir() (string, error) {
	dir := os.Getenv("ALIO_CACHE")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no cache directory: set ALIO_CACHE to a folder for downloads: %w", err)
		}
		dir = filepath.Join(home, ".cache", "alio")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache directory (set ALIO_CACHE to another): %w", err)
	}
	return dir, nil
}

// RepoRoot finds the checkout: the nearest folder, from the working directory up, whose go.mod is Alio's.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module github.com/alio-lake/alio\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside a checkout of github.com/alio-lake/alio: run this from the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// lockCache takes the lock of one thing that is fetched or built under the cache directory, so that two processes never make it
// at once, and says what it waits for. The lock is the kernel's (flock), so it ends with its holder however that one ends.
func lockCache(ctx context.Context, name string, logf Logf) (unlock func(), err error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "locks", name+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if n%50 == 0 { // at once, then each ten seconds
			logf("waiting for another process that prepares %s (lock %s)", name, path)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("waiting for lock %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// writeAtomic writes a small file so that a reader sees all of it or none.
func writeAtomic(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
