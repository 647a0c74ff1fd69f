package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
)

// originSource reads through an origin at the object's version.
type originSource struct{ o origin.Origin }

func (s originSource) Fetch(ctx context.Context, obj *origin.Object, off, n int64) (io.ReadCloser, error) {
	content, err := s.o.Read(ctx, origin.ReadRequest{Path: obj.Path, Version: obj.Version, ETag: obj.ETag, Offset: off, Length: n})
	if err != nil {
		return nil, err
	}
	if content.Object.Version != obj.Version || content.Offset != off || content.Length != n {
		content.Body.Close()
		return nil, origin.NewError(origin.ErrVersionChanged, "read", obj.Path, nil)
	}
	return content.Body, nil
}

// world is an origin whose objects are overwritten all the time, and every version that ever was.
type world struct {
	store  *mem.Origin
	faulty *origintest.Faulty
	paths  []string

	mu       sync.Mutex
	versions map[string][]byte // by path and version
}

func newWorld(seed uint64, faults bool) *world {
	w := &world{store: mem.New("world"), versions: map[string][]byte{}}
	w.faulty = origintest.NewFaulty(w.store, seed)
	if faults {
		w.faulty.Add(
			origintest.Rule{Op: origintest.OpRead, Probability: 0.05, Effect: origintest.Fail(origin.ErrThrottled)},
			origintest.Rule{Op: origintest.OpRead, Probability: 0.05, Effect: origintest.BreakBody(100_000)},
			origintest.Rule{Op: origintest.OpRead, Probability: 0.05, Effect: origintest.ShortBody(50_000)},
			origintest.Rule{Op: origintest.OpRead, Probability: 0.05, Effect: origintest.FailBody(70_000, origin.ErrVersionChanged)},
			origintest.Rule{Op: origintest.OpRead, Probability: 0.05, Effect: origintest.WrongVersion()},
		)
	}
	rnd := rand.New(rand.NewPCG(seed, 7))
	for i := range 6 {
		w.paths = append(w.paths, fmt.Sprintf([]string{"table/part-%d", "log/%d"}[i%2], i))
		w.overwrite(rnd, i)
	}
	return w
}

// overwrite changes an object. Those of odd numbers lie in blocks, and also grow, with the last block left open or not, and shrink.
func (w *world) overwrite(rnd *rand.Rand, i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	obj, err := w.store.Stat(context.Background(), w.paths[i])
	data := w.versions[obj.Path+"@"+string(obj.Version)]
	switch {
	case i%2 == 1 && err == nil && rnd.IntN(4) == 0:
		n, size := 1+rnd.IntN(len(data)), len(data)
		data = data[:n:n]
		obj, err = w.store.Truncate(obj.Path, int64(n))
		if rnd.IntN(2) == 0 && err == nil { // as long as before, with other bytes
			w.versions[obj.Path+"@"+string(obj.Version)] = data
			more := randomBytes(rnd.Uint64(), size-n)
			data = slices.Concat(data, more)
			obj, err = w.store.Append(obj.Path, more, false)
		}
	case i%2 == 1 && err == nil && rnd.IntN(3) > 0:
		more := randomBytes(rnd.Uint64(), rnd.IntN(200_000))
		data = slices.Concat(data, more)
		obj, err = w.store.Append(obj.Path, more, rnd.IntN(2) == 0)
	default:
		data, err = randomBytes(rnd.Uint64(), 1+rnd.IntN(3<<19)), nil
		if i%2 == 1 {
			obj = w.store.PutBlocks(w.paths[i], data, 30_011+rnd.Int64N(300_000))
		} else {
			obj = w.store.Put(w.paths[i], data)
		}
	}
	if err != nil {
		panic(err)
	}
	w.versions[obj.Path+"@"+string(obj.Version)] = data
}

// object is a path's present object: of one that is put as one part, as blocks or as one part, as its version decides.
func (w *world) object(path string) (*origin.Object, []byte, error) {
	obj, err := w.faulty.Stat(context.Background(), path)
	if err != nil {
		return nil, nil, err
	}
	rnd := versionRand(&obj)
	if strings.HasPrefix(path, "table/") && rnd.IntN(2) == 0 {
		parts(rnd, &obj, 5)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &obj, w.versions[obj.Path+"@"+string(obj.Version)], nil
}

func versionRand(obj *origin.Object) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, obj.Path, obj.Version)
	return rand.New(rand.NewPCG(h.Sum64(), 9))
}

// layoutOf is one of a few layouts for an object: a grid, or cuts that its version decides, with data and metadata pages.
func layoutOf(rnd *rand.Rand, obj *origin.Object) Layout {
	if rnd.IntN(3) == 0 {
		return grid{size: 32 * kib}
	}
	own := versionRand(obj)
	at := []int64{0}
	for off := int64(0); off < obj.Size; {
		off += 1 + own.Int64N(200*kib)
		at = append(at, off)
	}
	return cuts{at: at, classes: 3}
}

// allowed are the ways a read may fail here: those that were injected, a version that is gone, and the reader's own leaving.
func allowed(err error) bool {
	for _, kind := range []error{origin.ErrThrottled, origin.ErrUnavailable, origin.ErrVersionChanged, context.Canceled} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// oneRead reads a random range in a random way and compares every byte it got.
func (w *world) oneRead(c *Cache, rnd *rand.Rand) error {
	obj, data, err := w.object(w.paths[rnd.IntN(len(w.paths))])
	if err != nil {
		return err
	}
	off := rnd.Int64N(obj.Size)
	n := 1 + rnd.Int64N(obj.Size-off)
	if rnd.IntN(2) == 0 {
		n = min(n, 1+rnd.Int64N(64*kib))
	}
	req := Request{Object: obj, Layout: layoutOf(rnd, obj), Source: originSource{w.faulty}, Offset: off, Length: n}
	if rnd.IntN(10) == 0 {
		c.Offer(obj, req.Layout, off, bytes.Clone(data[off:off+n]))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rnd.IntN(10) == 0 {
		go cancel()
	}
	r, err := c.Open(ctx, req)
	if off+n > obj.Settled() {
		if r != nil || !errors.Is(err, origin.ErrUnsupported) {
			return fmt.Errorf("bytes that may still change were read: %v", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := drain(r, rnd, n)
	want := data[off : off+n]
	if len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) {
		return fmt.Errorf("WRONG BYTES in %s@%s, range %d+%d: %s", obj.Path, obj.Version, off, n, differ(got, want[:min(len(got), len(want))]))
	}
	if err == nil && len(got) < len(want) {
		return fmt.Errorf("SHORT answer of %d bytes without an error, want %d", len(got), len(want))
	}
	return err
}

var errLeft = errors.New("left early")

// drain reads by Next, Read or WriteTo, and sometimes not to the end.
func drain(r *Reader, rnd *rand.Rand, n int64) ([]byte, error) {
	var out bytes.Buffer
	switch rnd.IntN(4) {
	case 0:
		_, err := r.WriteTo(&out)
		return out.Bytes(), err
	case 1:
		buf := make([]byte, 1+rnd.IntN(100*kib))
		for {
			k, err := r.Read(buf)
			out.Write(buf[:k])
			if err == io.EOF {
				return out.Bytes(), nil
			}
			if err != nil {
				return out.Bytes(), err
			}
		}
	case 2:
		_, err := io.CopyN(&out, r, rnd.Int64N(n)+1)
		if err == nil && int64(out.Len()) < n {
			err = errLeft
		}
		return out.Bytes(), err
	}
	for {
		piece, err := r.Next()
		out.Write(piece)
		if err == io.EOF {
			return out.Bytes(), nil
		}
		if err != nil {
			return out.Bytes(), err
		}
	}
}

// unwellDisk makes a disk that loses pages, fails reads and sheds writes.
func unwellDisk(rnd *rand.Rand) *fakeDisk {
	d := newFakeDisk()
	d.held = rnd.IntN(2) == 0
	own := rand.New(rand.NewPCG(rnd.Uint64(), 1))
	d.shed = func() bool { return own.IntN(3) == 0 }
	d.fail = func(k Key) error {
		switch own.IntN(12) {
		case 0:
			return ErrCorrupt
		case 1:
			return ErrSick
		case 2:
			delete(d.pages, k)
		}
		return nil
	}
	return d
}

// TestSameBytes reads at random, through random tiers with tiny limits, from an origin that fails and whose objects are overwritten
// meanwhile: every byte that comes is of the version that was asked for, and every limit holds.
func TestSameBytes(t *testing.T) {
	seed := origintest.Seed(t)
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, uint64(round)))
			o := Options{Memory: minMemory << rnd.IntN(3), FillSpan: MaxPage << rnd.IntN(2), Metadata: isMeta, UpOdds: 1 + rnd.IntN(3)}
			o.FillMemory = o.FillSpan << rnd.IntN(2)
			var disk *fakeDisk
			if round%2 == 1 {
				disk = unwellDisk(rnd)
				o.Disk = disk
			}
			w := newWorld(rnd.Uint64(), round > 1)
			c := newCache(t, o)
			w.hammer(t, c, disk, rnd, round > 1)
			s := c.Stats()
			t.Logf("%+v", s)
			if s.MemoryServed == 0 || s.OriginServed == 0 || disk != nil && s.DiskServed == 0 {
				t.Error("a tier served nothing: this run tested less than it should")
			}
			if disk != nil && disk.onLoan != 0 {
				t.Errorf("%d loans were not given back", disk.onLoan)
			}
		})
	}
}

// hammer runs readers, each of which overwrites an object now and then and looks at the limits, then checks that nothing is left over.
func (w *world) hammer(t *testing.T, c *Cache, disk *fakeDisk, rnd *rand.Rand, faults bool) {
	var readers sync.WaitGroup
	for range 6 {
		own := rand.New(rand.NewPCG(rnd.Uint64(), 2))
		readers.Go(func() {
			for range 25 {
				switch err := w.oneRead(c, own); {
				case err == nil || errors.Is(err, errLeft):
				case !allowed(err):
					t.Error(err)
				case !faults && !errors.Is(err, origin.ErrVersionChanged) && !errors.Is(err, context.Canceled):
					t.Errorf("nothing was injected: %v", err)
				}
				if s := c.Stats(); s.MemoryBytes > s.MemoryLimit || s.FillMemoryBytes > s.FillMemoryLimit || s.FillMemoryBytes < 0 {
					t.Errorf("a limit does not hold: %+v", s)
				}
				if own.IntN(4) == 0 {
					w.overwrite(own, own.IntN(len(w.paths)))
				}
				if disk != nil && own.IntN(4) == 0 {
					disk.flush()
				}
			}
		})
	}
	readers.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.FillMemoryBytes != 0 || s.FillsInFlight != 0 {
		t.Errorf("left over: %+v", s)
	}
}
