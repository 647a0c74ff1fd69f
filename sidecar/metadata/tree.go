package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Names in a store's directory: a generation's folder, with its number after it, and what is to be removed. The first holds the format's version:
// generations of another are removed.
const (
	formatName  = "generation-1-"
	otherFormat = "generation-"
	trashName   = "trash-"
	lockName    = "LOCK"
)

// spaceBytes is how long a space is. Keys that are shorter are the tree's own.
const spaceBytes = 16

var (
	lifeKey  = []byte("life")  // the number of the last process that wrote
	countKey = []byte("count") // how many entries there are
)

// tree is one generation.
type tree struct {
	number uint64
	dir    string
	db     *pebble.DB
	count  int64 // of entries; the writer's
	life   uint64

	using sync.RWMutex // held for reading by whoever looks something up; whoever closes holds it for good
	size  atomic.Int64 // on disk, as last seen
}

// fatal is what a tree's logger panics with where Pebble cannot go on, in a goroutine of ours.
type fatal struct{ text string }

// logger takes what Pebble tells. Its messages are for its authors; what concerns an operator comes as an error or an event.
type logger struct {
	opening atomic.Bool // no other goroutine than that of openTree runs yet
	broken  func(kind string, err error)
}

func (l *logger) Infof(string, ...any)  {}
func (l *logger) Errorf(string, ...any) {}

// Fatalf must not return. In a goroutine of ours it panics, and openTree or the writer recover. In one of Pebble's nothing could: that
// goroutine stops here, with whatever it holds, and the store goes on without its trees.
func (l *logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l.opening.Load() || strings.Contains(format, "fatal commit error") {
		panic(fatal{text})
	}
	l.broken(faultWrite, errors.New(text))
	stopHere()
}

// stopHere never returns.
func stopHere() { select {} }

// openTree opens a generation, which it makes if need be. broken is called at most a few times, from anywhere, when it has become of no use.
func (s *Store) openTree(dir string, number uint64, broken func(kind string, err error)) (t *tree, err error) {
	t = &tree{number: number, dir: dir}
	log := &logger{broken: broken}
	log.opening.Store(true)
	defer log.opening.Store(false)
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("%v", p)
		}
	}()
	if t.db, err = pebble.Open(dir, s.treeOptions(log)); err != nil {
		return nil, err
	}
	t.life, err = t.number64(lifeKey)
	count, err2 := t.number64(countKey)
	t.count = int64(count)
	if err = errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, t.db.Close())
	}
	t.measure()
	return t, nil
}

func (s *Store) treeOptions(log *logger) *pebble.Options {
	file := min(max(s.opts.Size/512, 256<<10), 8<<20)
	o := &pebble.Options{
		FS: noPreallocation{s.opts.FS}, Cache: s.blocks, Logger: log, FormatMajorVersion: pebble.FormatNewest,
		MemTableSize: uint64(s.opts.memtable()), MemTableStopWritesThreshold: 2, LBaseMaxBytes: s.opts.Size / 32,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 }, DisableTableStats: true, MaxOpenFiles: 256,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.broken(faultWrite, err) },
			DataCorruption:  func(i pebble.DataCorruptionInfo) { log.broken(faultDamage, i.Details) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 8 << 10
		o.TargetFileSizes[i] = file
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return o
}

// get returns a copy of what is under a key, nil if nothing is.
func (t *tree) get(key []byte) ([]byte, error) {
	v, closer, err := t.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append(make([]byte, 0, len(v)), v...), nil
}

func (t *tree) number64(key []byte) (uint64, error) {
	v, err := t.get(key)
	if err != nil || v == nil {
		return 0, err
	}
	n, read := binary.Uvarint(v)
	if read <= 0 {
		return 0, fmt.Errorf("%s is %x", key, v)
	}
	return n, nil
}

func number64(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// measure notes what the tree takes on disk.
func (t *tree) measure() { t.size.Store(int64(t.db.Metrics().DiskSpaceUsage())) }

// close waits for those who look something up.
func (t *tree) close() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	t.using.Lock() // for good: nobody uses it any more
	return t.db.Close()
}

// numberOf parses a generation's name.
func numberOf(name string) (uint64, bool) {
	text, ok := strings.CutPrefix(name, formatName)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// noPreallocation keeps Pebble from taking room for a log before it is written: du would show it.
type noPreallocation struct{ vfs.FS }

func (f noPreallocation) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return plain(f.FS.Create(name, c))
}

func (f noPreallocation) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return plain(f.FS.ReuseForWrite(old, name, c))
}

func (f noPreallocation) Unwrap() vfs.FS { return f.FS }

type plainFile struct{ vfs.File }

func (plainFile) Preallocate(int64, int64) error { return nil }

func plain(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return plainFile{f}, nil
}
