package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// closeWait is how long Run waits, once it has been told to end, for what waits to be written and for the files to be closed.
	closeWait = 10 * time.Second
	// letGoWait is how long files of a store that was given up may take to be closed before they are removed as they are.
	letGoWait = 2 * time.Second
	// retryWait is how long after a failure to remove them it is tried again.
	retryWait = time.Second
	// longestWait is how long at most a store waits before it is begun anew; the first time it is retryWait, and twice as long each time.
	longestWait = time.Minute
	// mostLeft is how often files may be left open that way before the store stays away for good: each time costs their memory.
	mostLeft = 3
)

// Run opens the directory and writes what is kept, until the context ends; then it writes what waits, and closes. An error says why nothing is kept
// any more; everything but keeping goes on without it.
func (s *Store) Run(ctx context.Context) error {
	s.blocks = pebble.NewCache(s.opts.Memory * 3 / 4)
	ended := make(chan error, 1)
	go func() {
		err := s.live(ctx)
		if err == nil {
			s.blocks.Unref()
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return s.end(err)
	case <-ctx.Done():
	}
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case err := <-ended:
		return s.end(err)
	case <-late.C:
		return s.end(fmt.Errorf("metadata store: %s was not closed within %v: its device hangs", s.opts.Dir, closeWait))
	}
}

func (s *Store) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.trees, s.pending = closed, nil, newBatch()
	s.openOnce()
	return err
}

// openOnce lets those go on who wait for the directory to be opened. The store is locked.
func (s *Store) openOnce() {
	select {
	case <-s.opened:
	default:
		close(s.opened)
	}
}

func (s *Store) live(ctx context.Context) error {
	lock, err := s.lockDir()
	if err != nil {
		return err
	}
	defer lock.Close()
	wait := retryWait
	for left := 0; left < mostLeft; wait = min(2*wait, longestWait) {
		gone := make(chan struct{})
		ts, err := s.openTrees(gone)
		if err != nil {
			s.metrics.fault(faultOpen)
			s.log.Warn().Err(err).Str("metadata_dir", s.opts.Dir).Msg("what was kept of objects cannot be opened and is removed; first reads ask the origin again")
		} else {
			s.install(ts, gone)
			if s.write(ctx, ts, gone) {
				return s.closeTrees()
			}
		}
		closed, err := s.clear(ctx)
		if err != nil {
			return err
		}
		if !closed {
			left++
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	return fmt.Errorf("metadata store: the device of %s hung %d times with files open: restart the sidecar once it is well", s.opts.Dir, mostLeft)
}

// lockDir makes the directory ours.
func (s *Store) lockDir() (io.Closer, error) {
	fs, dir := s.opts.FS, s.opts.Dir
	if err := fs.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("metadata store: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("metadata store: %s cannot be locked, as when another process uses it: stop that, or give this one a directory of its own: %w", dir, err)
	}
	return lock, nil
}

// install begins to use trees. gone is closed when they are given up.
func (s *Store) install(ts *trees, gone chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.using, s.cleared, s.hopeless = ts.all(), false, false
	s.openOnce()
	if s.state == broken && s.waiting != nil { // a fence came meanwhile and was not written in time
		close(gone)
		return
	}
	s.state, s.trees, s.gone = open, ts, gone
}

// ending is what trees call that are of no use any more: it ends the use of those that close gone, and not of others that came after them.
func (s *Store) ending(gone chan struct{}) func(kind string, err error) {
	return func(kind string, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone == gone {
			s.breakLocked(kind, err)
		}
	}
}

// openTrees opens the two youngest generations, and removes what else is there.
func (s *Store) openTrees(gone chan struct{}) (ts *trees, err error) {
	broken := s.ending(gone)
	numbers, err := s.generations()
	if err != nil {
		return nil, err
	}
	ts = &trees{}
	number, life := uint64(1), uint64(0)
	if n := len(numbers); n > 0 {
		number = numbers[n-1]
		if n > 1 {
			if ts.old, err = s.openTree(s.dirOf(numbers[n-2]), numbers[n-2], broken); err != nil {
				return nil, err
			}
			life = ts.old.life
		}
	}
	if ts.young, err = s.makeTree(number, broken); err == nil {
		life = max(life, ts.young.life) + 1
		ts.young.life = life
		err = ts.young.db.Set(lifeKey, number64(life), pebble.Sync)
	}
	if err != nil {
		for _, t := range []*tree{ts.young, ts.old} {
			if t != nil {
				err = errors.Join(err, t.close())
			}
		}
		return nil, err
	}
	return ts, nil
}

// makeTree opens a generation that may not be there yet. Its folder outlives the machine before anything that lies in it is relied on.
func (s *Store) makeTree(number uint64, broken func(string, error)) (*tree, error) {
	if err := s.opts.FS.MkdirAll(s.dirOf(number), 0o750); err != nil {
		return nil, err
	}
	if err := s.syncDir(); err != nil {
		return nil, err
	}
	return s.openTree(s.dirOf(number), number, broken)
}

func (s *Store) dirOf(number uint64) string {
	return s.opts.FS.PathJoin(s.opts.Dir, fmt.Sprintf("%s%08d", formatName, number))
}

func (s *Store) syncDir() error {
	d, err := s.opts.FS.OpenDir(s.opts.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// generations lists the numbers of the two youngest generations, the older one first, and removes all else that a store may have left.
func (s *Store) generations() ([]uint64, error) {
	names, err := s.opts.FS.List(s.opts.Dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	var doomed []string
	for _, name := range names {
		switch n, ok := numberOf(name); {
		case ok:
			numbers = append(numbers, n)
		case strings.HasPrefix(name, otherFormat), strings.HasPrefix(name, trashName):
			doomed = append(doomed, name)
		}
	}
	slices.Sort(numbers)
	for len(numbers) > 2 {
		doomed = append(doomed, s.opts.FS.PathBase(s.dirOf(numbers[0])))
		numbers = numbers[1:]
	}
	return numbers, s.remove(doomed)
}

// remove takes folders away, each whole or not at all: one that were half gone could be opened, without its fences.
func (s *Store) remove(names []string) error {
	fs := s.opts.FS
	var trash []string
	for _, name := range names {
		to := name
		if !strings.HasPrefix(name, trashName) {
			to = trashName + name
			if err := fs.RemoveAll(fs.PathJoin(s.opts.Dir, to)); err != nil {
				return err
			}
			if err := fs.Rename(fs.PathJoin(s.opts.Dir, name), fs.PathJoin(s.opts.Dir, to)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		trash = append(trash, to)
	}
	if len(trash) == 0 {
		return nil
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	var errs []error
	for _, name := range trash {
		errs = append(errs, fs.RemoveAll(fs.PathJoin(s.opts.Dir, name)))
	}
	return errors.Join(errs...)
}

// clear removes every generation, so that no later process believes them, and lets go those who wait for fences: nothing is left that they could
// be overtaken by. It tries until it can, or ctx ends. closed: the files that were in use are closed.
func (s *Store) clear(ctx context.Context) (closed bool, err error) {
	s.mu.Lock()
	s.state, s.trees = broken, nil
	using := s.using
	s.using = nil
	s.mu.Unlock()
	closed = s.letGo(using)
	for {
		err := s.removeAll()
		if err == nil {
			break
		}
		s.log.Warn().Err(err).Str("metadata_dir", s.opts.Dir).Msg("what was given up cannot be removed yet; it is tried again until it can")
		select {
		case <-ctx.Done():
			return closed, fmt.Errorf("metadata store: %s holds what was given up, and it cannot be removed: remove it by hand: %w", s.opts.Dir, err)
		case <-time.After(retryWait):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, done := range s.waiting {
		close(done)
	}
	s.waiting, s.cleared = nil, true
	return closed, nil
}

func (s *Store) removeAll() error {
	names, err := s.opts.FS.List(s.opts.Dir)
	if err != nil {
		return err
	}
	return s.remove(slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, otherFormat) && !strings.HasPrefix(name, trashName)
	}))
}

// letGo closes trees that were given up. Those that cannot be closed soon, since a device hangs or Pebble stopped in the middle of something, stay
// as they are: false.
func (s *Store) letGo(using []*tree) bool {
	shut := make(chan struct{})
	go func() {
		for _, t := range using {
			_ = t.close() // it was given up
		}
		close(shut)
	}()
	late := time.NewTimer(letGoWait)
	defer late.Stop()
	select {
	case <-shut:
		return true
	case <-late.C:
		return false
	}
}

// closeTrees closes what is in use, once everything is written.
func (s *Store) closeTrees() error {
	s.mu.Lock()
	using := s.using
	s.trees, s.using = nil, nil
	s.mu.Unlock()
	var errs []error
	for _, t := range using {
		errs = append(errs, t.close())
	}
	s.drops.Wait()
	return errors.Join(errs...)
}
