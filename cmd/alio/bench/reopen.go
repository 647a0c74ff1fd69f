package bench

import (
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
	if o.Walk {
		read, err = r.walk(o, p)
	} else {
		var end func() error
		read, end, err = r.open(ctx, o, p)
		defer end()
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
	if err := r.hits(ctx, o, rng, read); err != nil {
		return err
	}
	after, err := settledMemory()
	r.RSSBytes = after - before
	runtime.KeepAlive(read)
	return errors.Join(err, json.NewEncoder(out).Encode(r))
}

func (r *Reopened) open(ctx context.Context, o ReopenOptions, p pages) (read func(int) error, end func() error, err error) {
	t, err := openTiers(ctx, p, []string{o.Dir}, capacityFor(o.Pages, o.Bytes))
	if err != nil {
		return nil, func() error { return nil }, err
	}
	s := t.disk.Stats()
	r.Pages, r.IndexBytes = s.Pages, s.IndexBytes
	return func(i int) error {
		there, err := t.read(ctx, i)
		if err == nil && !there {
			err = fmt.Errorf("page %d is not there any more", i)
		}
		return err
	}, t.finish, nil
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

func (r *Reopened) hits(ctx context.Context, o ReopenOptions, rng *rand.Rand, read func(int) error) error {
	all, err := timeHits(ctx, o, o.Probes, 1, rng, read)
	if err != nil {
		return err
	}
	hot, err := timeHits(ctx, o, hotPages, max(1, o.Probes/hotPages), rng, read)
	r.HitP50, r.HitP99, r.HotP50 = micros(all.Quantile(.5)), micros(all.Quantile(.99)), micros(hot.Quantile(.5))
	return err
}

// timeHits reads n pages, chosen at random among all, and then times so many passes over them: the first time brings them into the page cache.
func timeHits(ctx context.Context, o ReopenOptions, n, passes int, rng *rand.Rand, read func(int) error) (l load.Latencies, err error) {
	chosen := make([]int, n)
	for i := range chosen {
		chosen[i] = rng.IntN(o.Pages)
	}
	for pass := range passes + 1 {
		for _, i := range chosen {
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

// settledMemory is the process's anonymous memory without garbage.
func settledMemory() (int64, error) {
	runtime.GC()
	debug.FreeOSMemory()
	return procField("/proc/self/status", "RssAnon")
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
