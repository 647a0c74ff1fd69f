package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/metadata"
)

// MetadataOptions say what Metadata measures. The zero of each field is its default.
type MetadataOptions struct {
	Entries  []int  // objects that are known, a store for each. Default 1,000,000
	Lookups  int    // of each kind. Default 20,000
	Memory   int64  // of the store, bytes. Default 32 MiB
	Dir      string // where a temporary folder is made. Default: the working directory
	Seed     uint64
	Progress func(format string, args ...any)
}

func (o MetadataOptions) withDefaults() MetadataOptions {
	if len(o.Entries) == 0 {
		o.Entries = []int{1_000_000}
	}
	if o.Lookups == 0 {
		o.Lookups = 20_000
	}
	if o.Memory == 0 {
		o.Memory = metadata.DefaultMemory
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	return o
}

// Validate reports every fault at once, in the words of the command's flags.
func (o MetadataOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	for _, n := range o.Entries {
		if n < 1 {
			errs = append(errs, fmt.Errorf("--entries: %d must be at least 1", n))
		}
	}
	if o.Lookups < 1 {
		errs = append(errs, fmt.Errorf("--lookups: %d must be at least 1", o.Lookups))
	}
	if o.Memory < metadata.MinMemory {
		errs = append(errs, fmt.Errorf("--memory: %s must be at least %s", size(o.Memory), size(metadata.MinMemory)))
	}
	return errors.Join(errs...)
}

// MetadataResult is what a store with so many entries came to.
type MetadataResult struct {
	Entries  int     `json:"entries"`
	Memory   int64   `json:"memory_limit_bytes"`
	Written  float64 `json:"written_per_s"`             // all of them, in the order of a listing, until the last was in the files or the log
	Disk     float64 `json:"disk_bytes_per_entry"`      // as du sees it, after a restart
	RSS      int64   `json:"rss_bytes"`                 // anonymous memory that the process grew by, after all look-ups
	OpenMS   float64 `json:"open_ms"`                   // a start, with the files out of the page cache
	ColdP50  float64 `json:"cold_p50_us"`               // look-ups at random, the files out of the page cache
	ColdP99  float64 `json:"cold_p99_us"`               //
	WarmP50  float64 `json:"warm_p50_us"`               // the same again
	WarmP99  float64 `json:"warm_p99_us"`               //
	NoneP50  float64 `json:"absent_p50_us"`             // of paths that are not there
	NoneP99  float64 `json:"absent_p99_us"`             //
	Rewrites float64 `json:"rewritten_per_s"`           // a second listing of all of them
	Missing  int     `json:"missing_entries,omitempty"` // look-ups that found nothing where something was
}

// Metadata measures, and removes what it made, also when ctx ends.
func Metadata(ctx context.Context, o MetadataOptions) (results []MetadataResult, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	for _, n := range o.Entries {
		root, remove, err := workspace(o.Dir, o.size(n))
		if err != nil {
			return results, err
		}
		r, err := o.one(ctx, filepath.Join(root, "metadata"), n)
		if err := errors.Join(err, remove()); err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

// size is a limit that makes nothing go: what is measured is what an entry takes.
func (o MetadataOptions) size(n int) int64 { return max(metadata.MinSize*4, int64(n)*500) }

// path is like those of a table's data files: a thousand to a partition.
func (o MetadataOptions) path(i int) string {
	return fmt.Sprintf("warehouse/sales/year=%d/month=%02d/bucket=%05d/part-%05d-%016x.snappy.parquet", 2020+i/1000%7, i/1000%12+1, i/1000, i%1000, scramble(o.Seed, i))
}

func scramble(seed uint64, i int) uint64 {
	return rand.New(rand.NewPCG(seed, uint64(i))).Uint64()
}

// answer is what a listing tells of an object of an S3 bucket.
func (o MetadataOptions) answer(i int, sent time.Time) (string, freshness.Answer[origin.Object]) {
	rng := rand.New(rand.NewPCG(o.Seed+1, uint64(i)))
	var sum [16]byte
	for j := range sum {
		sum[j] = byte(rng.Uint32())
	}
	path, bytes := o.path(i), 1000+rng.Int64N(10<<20)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	version := fmt.Sprintf("%s/%d", etag, bytes)
	return path, freshness.Answer[origin.Object]{Sent: sent, Value: origin.Object{
		Path: path, Version: origin.Version(version), Size: bytes, ETag: etag, ModTime: time.Unix(1_780_000_000+rng.Int64N(1e7), 0).UTC(),
		Parts: []origin.Part{{ID: fmt.Sprintf("s3:%q/%q/%q@%q/%d", "https://s3.eu-west-1.amazonaws.com", "a-company-datalake", "prod/"+path, etag, bytes), Length: bytes}},
	}}
}

const benchSpace = "0123456789abcdef"

// running opens a store and returns how long that took, and what closes it.
func (o MetadataOptions) running(ctx context.Context, dir string, n int) (s *metadata.Store, took time.Duration, end func() error, err error) {
	s, err = metadata.New(metadata.Options{Dir: dir, Size: o.size(n), Memory: o.Memory, LookupDeadline: time.Minute})
	if err != nil {
		return nil, 0, nil, err
	}
	began := time.Now()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(run) }()
	s.Opened(ctx)
	return s, time.Since(began), func() error { stop(); return <-ended }, nil
}

// list gives the store what listings of everything would.
func (o MetadataOptions) list(ctx context.Context, s *metadata.Store, n int) (perSecond float64, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	wait := func() error {
		select {
		case <-tick.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	began := time.Now()
	for i := range n {
		path, a := o.answer(i, time.Now())
		for !s.Keep(benchSpace, path, a) {
			if err := wait(); err != nil {
				return 0, err
			}
		}
		if i > 0 && i%1_000_000 == 0 {
			o.Progress("  %d of %d", i, n)
		}
	}
	for s.Stats().QueueBytes > 0 {
		if err := wait(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

func (o MetadataOptions) one(ctx context.Context, dir string, n int) (r MetadataResult, err error) {
	r = MetadataResult{Entries: n, Memory: o.Memory}
	before, err := settledMemory()
	if err != nil {
		return r, err
	}
	o.Progress("writing %d entries", n)
	s, _, end, err := o.running(ctx, dir, n)
	if err != nil {
		return r, err
	}
	r.Written, err = o.list(ctx, s, n)
	if err = errors.Join(err, end()); err != nil {
		return r, err
	}
	if err := dropFiles(dir); err != nil {
		return r, err
	}
	s, open, end, err := o.running(ctx, dir, n)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, end()) }()
	r.OpenMS = millis(open)
	rng := rand.New(rand.NewPCG(o.Seed, 3))
	chosen := make([]int, o.Lookups)
	for i := range chosen {
		chosen[i] = rng.IntN(n)
	}
	r.ColdP50, r.ColdP99, r.Missing = o.look(s, chosen, "")
	r.WarmP50, r.WarmP99, _ = o.look(s, chosen, "")
	r.NoneP50, r.NoneP99, _ = o.look(s, chosen, ".absent")
	after, err := settledMemory()
	if err != nil {
		return r, err
	}
	r.RSS = after - before
	r.Disk = float64(du(dir)) / float64(n)
	o.Progress("%d entries: %.1f bytes each on disk, %.0f/s written, open %.1f ms, look-up cold %.1f us, warm %.1f us, absent %.1f us, memory %s", n, r.Disk, r.Written, r.OpenMS,
		r.ColdP50, r.WarmP50, r.NoneP50, size(r.RSS))
	r.Rewrites, err = o.list(ctx, s, n)
	runtime.KeepAlive(s)
	return r, err
}

// look times look-ups of entries with something after their paths.
func (o MetadataOptions) look(s *metadata.Store, chosen []int, suffix string) (p50, p99 float64, missing int) {
	var l load.Latencies
	for _, i := range chosen {
		path := o.path(i) + suffix
		began := time.Now()
		_, ok := s.Load(benchSpace, path)
		l.Add(time.Since(began))
		if !ok {
			missing++
		}
	}
	return micros(l.Quantile(.5)), micros(l.Quantile(.99)), missing
}

// dropFiles takes a folder's bytes out of the page cache.
func dropFiles(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
}

// WriteMetadataTable writes results as a table for people.
func WriteMetadataTable(w io.Writer, results []MetadataResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "entries\tB/entry on disk\twritten/s\tagain/s\topen ms\tcold p50 us\tp99\twarm p50 us\tp99\tabsent p50 us\tp99\tmemory\tof limit\tmissing\t")
	for _, r := range results {
		fmt.Fprintf(t, "%d\t%.1f\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t%s\t%d\t\n", r.Entries, r.Disk, r.Written, r.Rewrites, r.OpenMS, r.ColdP50, r.ColdP99,
			r.WarmP50, r.WarmP99, r.NoneP50, r.NoneP99, size(r.RSS), size(r.Memory), r.Missing)
	}
	return t.Flush()
}
