package bench

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// ReopenOptions say what Reopen opens; Recover hands them from process to process.
type ReopenOptions struct {
	Dir     string `json:"dir"`
	Pages   int    `json:"pages"`
	Bytes   int    `json:"bytes"`
	Probes  int    `json:"probes"`
	Seed    uint64 `json:"seed"`
	Started int64  `json:"started"` // when the process was started, nanoseconds since 1970
	Walk    bool   `json:"walk"`    // a file for each page
}

// Reopened is what one start came to.
type Reopened struct {
	Pages      int     `json:"pages"`
	OpenMS     float64 `json:"open_ms"`
	IndexBytes int64   `json:"index_bytes"`
	RSSBytes   int64   `json:"rss_bytes"`
	FirstHitMS float64 `json:"first_hit_ms"`
	HitP50     float64 `json:"hit_p50_us"`
	HitP99     float64 `json:"hit_p99_us"`
	HotP50     float64 `json:"hot_hit_p50_us"`
	BareP50    float64 `json:"bare_p50_us"`     // the hits' bytes by bare preads, compared like theirs
	BareHotP50 float64 `json:"bare_hot_p50_us"` // those of the hot ones
}

// Reopen is the whole life of a process that starts on a full cache: open, first hit, more hits. It writes a Reopened as JSON.
func Reopen(ctx context.Context, options string, out io.Writer) error {
	var o ReopenOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil || o.Pages < 1 || o.Bytes < 1 {
		return errors.Join(fmt.Errorf("%q are not the options of a benchmark's process: run alio bench recover", options), err)
	}
	p := newPages("recover", o.Bytes)
	before, err := settledMemory()
	if err != nil {
		return err
	}
	var r Reopened
	start := time.Now()
	var read func(i int) error
	var t *tiers
	if o.Walk {
		read, err = r.walk(o, p)
	} else {
		t, read, err = r.open(ctx, o, p)
	}
	if t != nil {
		defer t.finish()
	}
	if err != nil {
		return err
	}
	r.OpenMS = millis(time.Since(start))
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	if err := read(rng.IntN(o.Pages)); err != nil {
		return fmt.Errorf("the first hit: %w", err)
	}
	r.FirstHitMS = millis(time.Since(time.Unix(0, o.Started)))
	if err := r.hits(ctx, o, rng, t, read); err != nil {
		return err
	}
	after, err := settledMemory()
	r.RSSBytes = after - before
	runtime.KeepAlive(read)
	return errors.Join(err, json.NewEncoder(out).Encode(r))
}

func (r *Reopened) open(ctx context.Context, o ReopenOptions, p pages) (*tiers, func(int) error, error) {
	t, err := openTiers(ctx, p, []string{o.Dir}, capacityFor(o.Pages, o.Bytes))
	if err != nil {
		return nil, nil, err
	}
	s := t.disk.Stats()
	r.Pages, r.IndexBytes = s.Pages, s.IndexBytes
	return t, func(i int) error {
		there, err := t.read(ctx, i)
		if err == nil && !there {
			err = fmt.Errorf("page %d is not there any more", i)
		}
		return err
	}, nil
}

// walk looks at every file and keeps its size by name, as a cache of files does.
func (r *Reopened) walk(o ReopenOptions, p pages) (read func(int) error, err error) {
	known := map[[16]byte]int64{}
	err = filepath.WalkDir(o.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var k [16]byte
		_, err = hex.Decode(k[:], []byte(d.Name()))
		known[k] = info.Size()
		return err
	})
	r.Pages = len(known)
	f := &files{p, o.Dir}
	return func(i int) error {
		if known[p.key(i)] != int64(p.bytes) {
			return fmt.Errorf("file %d is not there any more", i)
		}
		b, err := os.ReadFile(f.path(i))
		if err == nil && string(b) != string(p.data(i)) {
			err = fmt.Errorf("file %d came back with wrong bytes", i)
		}
		return err
	}, err
}

// hotPages is how many pages a hot working set has. Whatever the cache holds, they and all that finds them stay in a processor's caches.
const hotPages = 100

// hits times hits all over the cache and those of the hot ones, and beside both bare preads of the same bytes: how those grow with the cache is the
// kernel's and the memory's doing. t is nil where there are no segments.
func (r *Reopened) hits(ctx context.Context, o ReopenOptions, rng *rand.Rand, t *tiers, read func(int) error) error {
	for _, of := range []struct {
		pages, passes int
		hit, bare     *float64
		p99           *float64
	}{{o.Probes, 1, &r.HitP50, &r.BareP50, &r.HitP99}, {hotPages, max(1, o.Probes/hotPages), &r.HotP50, &r.BareHotP50, nil}} {
		chosen := make([]int, of.pages)
		for i := range chosen {
			chosen[i] = rng.IntN(o.Pages)
		}
		l, err := timeHits(ctx, len(chosen), of.passes, func(i int) error { return read(chosen[i]) })
		if err != nil {
			return err
		}
		*of.hit = micros(l.Quantile(.5))
		if of.p99 != nil {
			*of.p99 = micros(l.Quantile(.99))
		}
		if t == nil {
			continue
		}
		bare, err := newBareReads(t, o.Dir, chosen)
		if err != nil {
			return err
		}
		l, err = timeHits(ctx, len(chosen), of.passes, bare.read)
		*of.bare = micros(l.Quantile(.5))
		if err := errors.Join(err, bare.close()); err != nil {
			return err
		}
	}
	return nil
}

// timeHits times so many passes over n pages, after one that brings them into the page cache.
func timeHits(ctx context.Context, n, passes int, read func(i int) error) (l load.Latencies, err error) {
	for pass := range passes + 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return l, err
			}
			start := time.Now()
			if err := read(i); err != nil {
				return l, err
			}
			if pass > 0 {
				l.Add(time.Since(start))
			}
		}
	}
	return l, nil
}

// bareReads reads pages where they lie by pread alone: no look-up, no header, no sums. The bytes are compared as those of hits are.
type bareReads struct {
	files map[cache.SegmentID]*os.File
	pages []barePage
	buf   []byte
}

type barePage struct {
	file *os.File
	off  int64
	want []byte
}

func newBareReads(t *tiers, dir string, chosen []int) (*bareReads, error) {
	b := &bareReads{files: map[cache.SegmentID]*os.File{}, buf: make([]byte, t.pages.bytes)}
	for _, i := range chosen {
		p, ok := t.disk.Place(t.pages.key(i))
		if !ok {
			return nil, errors.Join(fmt.Errorf("page %d is not there any more", i), b.close())
		}
		f := b.files[p.Segment]
		if f == nil {
			var err error
			if f, err = os.Open(filepath.Join(dir, "segments", segfile.Name(p.Segment.Instance, p.Segment.Seq))); err != nil {
				return nil, errors.Join(err, b.close())
			}
			b.files[p.Segment] = f
		}
		b.pages = append(b.pages, barePage{f, p.Off + int64(segfile.RecordHeaderSize(p.Length)), t.pages.data(i)})
	}
	return b, nil
}

func (b *bareReads) read(i int) error {
	p := &b.pages[i]
	if _, err := p.file.ReadAt(b.buf, p.off); err != nil {
		return err
	}
	if !bytes.Equal(b.buf, p.want) {
		return fmt.Errorf("%s has other bytes at %d", p.file.Name(), p.off)
	}
	return nil
}

func (b *bareReads) close() error {
	var errs []error
	for _, f := range b.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// settledMemory is the process's anonymous memory without garbage.
func settledMemory() (int64, error) {
	runtime.GC()
	debug.FreeOSMemory()
	return procField("/proc/self/status", "RssAnon")
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
