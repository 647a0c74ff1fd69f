package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// store is somewhere that pages can be put, by their number. finish makes all of them durable and ends it.
type store interface {
	put(ctx context.Context, page int) error
	finish() error
}

// pages are the pages that a benchmark writes: numbers with a key and bytes each. Pages that are near each other differ; the bytes are cut from one
// buffer, since making them would cost more than writing them.
type pages struct {
	part  segfile.PartKey
	bytes int
	from  []byte
}

// pageSource is how many bytes pages are cut from.
const pageSource = 8 << 20

func newPages(name string, bytes int) pages {
	p := pages{part: segfile.HashPart("alio bench " + name), bytes: bytes, from: make([]byte, pageSource+segfile.MaxPage)}
	sourceData.Fill(p.from, 0)
	return p
}

func (p pages) key(i int) cache.Key {
	return cache.Key(p.part.Page(int64(i)*int64(p.bytes), int64(p.bytes)))
}

// data is the bytes of a page: they must not be changed.
func (p pages) data(i int) []byte {
	at := i * 64 % pageSource
	return p.from[at : at+p.bytes : at+p.bytes]
}

// tiers is the product's disk tier, on one directory or several. As a store it waits where the product would shed, since what is measured is how fast pages
// can be taken.
type tiers struct {
	pages  pages
	disk   *disk.Devices
	run    sync.WaitGroup
	stop   context.CancelFunc
	slots  chan struct{} // a token for each page that is on its way
	stored atomic.Int64
	lost   atomic.Int64
	runErr error
	done   func(bool)
	onWay  []atomic.Bool // by page, where a page may be put again; else nil
}

const (
	// writeQueue is that of each directory; half of one is used, so that none is ever full, however the keys fall.
	writeQueue = 64 << 20
	// turnedAway is how long a page that was turned away is offered again: a device may be set aside for a moment when the machine is busy.
	turnedAway = 30 * time.Second
)

// openTiers opens the disk tier on directories, which are made; capacity is of all together.
func openTiers(ctx context.Context, p pages, dirs []string, capacity int64) (*tiers, error) {
	o := disk.DevicesOptions{Each: disk.Options{FS: vfs.OS, WriteQueue: writeQueue * int64(len(dirs))}, OpenWait: time.Hour}
	for _, dir := range dirs {
		o.Dirs = append(o.Dirs, disk.Dir{Path: dir, Size: capacity / int64(len(dirs))})
	}
	d, err := disk.NewDevices(o)
	if err != nil {
		return nil, err
	}
	if err := d.Open(ctx); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &tiers{pages: p, disk: d, stop: stop, slots: make(chan struct{}, max(1, writeQueue/2/p.bytes))}
	t.done = func(stored bool) {
		if stored {
			t.stored.Add(1)
		} else {
			t.lost.Add(1)
		}
		<-t.slots
	}
	t.run.Go(func() { t.runErr = d.Run(run) })
	return t, nil
}

// capacityFor is the size of a disk tier that holds n pages without evicting any: their records and index entries, what files round up to, and the active
// segments (a 32nd of the size each, 64 MiB at most) before they are full.
func capacityFor(n, bytes int) int64 {
	need := int64(n) * (segfile.RecordSize(bytes) + segfile.EntrySize)
	return need + need/50 + min(need/6, 512<<20) + 64<<20
}

func (t *tiers) put(ctx context.Context, i int) error {
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	k, done := t.pages.key(i), t.done
	if t.onWay != nil {
		t.onWay[i].Store(true)
		done = func(stored bool) {
			t.onWay[i].Store(false)
			t.done(stored)
		}
	}
	if t.disk.Write(k, 0, t.pages.data(i), done) || t.offerAgain(ctx, func() bool { return t.disk.Write(k, 0, t.pages.data(i), done) }) {
		return nil
	}
	<-t.slots
	return errors.Join(ctx.Err(), fmt.Errorf("the disk tier turned page %d away for %v", i, turnedAway))
}

// offerAgain calls write until it is true, for as long as turnedAway says.
func (t *tiers) offerAgain(ctx context.Context, write func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(turnedAway); time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		if write() {
			return true
		}
	}
	return false
}

// read reads a page and compares it; false if it is not there, or the device is too busy to tell.
func (t *tiers) read(ctx context.Context, i int) (bool, error) {
	k := t.pages.key(i)
	b, err := t.disk.Read(ctx, k, t.pages.bytes, 0, t.pages.bytes)
	if errors.Is(err, cache.ErrAbsent) || errors.Is(err, cache.ErrSick) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read page %d: %w", i, err)
	}
	defer b.Free()
	if string(b.B) != string(t.pages.data(i)) {
		return false, fmt.Errorf("page %d came back with wrong bytes", i)
	}
	return true, nil
}

// wait returns when nothing is on its way any more.
func (t *tiers) wait(ctx context.Context) error {
	for range cap(t.slots) {
		select {
		case t.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for range cap(t.slots) {
		<-t.slots
	}
	return nil
}

// finish implements store. Closing seals the active segments, which syncs them.
func (t *tiers) finish() error {
	t.stop()
	t.run.Wait()
	return errors.Join(t.runErr, t.disk.Close())
}

// sequential writes the same bytes one after the other into files of 64 MiB, each synced when it is full. What no store can be faster than.
type sequential struct {
	pages pages
	dir   string
	file  *os.File
	size  int64
	n     int
}

const sequentialFile = 64 << 20

func (s *sequential) put(_ context.Context, i int) error {
	if s.file == nil || s.size >= sequentialFile {
		if err := s.finish(); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%06d", s.n)), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		s.file, s.size = f, 0
		s.n++
	}
	b := s.pages.data(i)
	s.size += int64(len(b))
	_, err := s.file.Write(b)
	return err
}

func (s *sequential) finish() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Sync(), s.file.Close())
	s.file = nil
	return err
}

// files is a file for each page, as caches do it that have no segments: named by key, in 256 folders. None is synced by itself; finish syncs the file
// system.
type files struct {
	pages pages
	dir   string
}

func (f *files) path(i int) string {
	k := f.pages.key(i)
	return filepath.Join(f.dir, fmt.Sprintf("%02x", k[0]), fmt.Sprintf("%x", k[:]))
}

func newFiles(p pages, dir string) (*files, error) {
	for i := range 256 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			return nil, err
		}
	}
	return &files{p, dir}, nil
}

func (f *files) put(_ context.Context, i int) error {
	return os.WriteFile(f.path(i), f.pages.data(i), 0o600)
}

func (f *files) finish() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
