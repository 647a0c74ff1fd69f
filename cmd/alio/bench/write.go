package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// What Write writes into, as reports name it.
const (
	StoreAlio       = "alio"       // the disk tier while it has room
	StoreFull       = "alio, full" // the disk tier at its limit, a quarter of what is read by zipf: evicting, and carrying forward what is re-read
	StoreSequential = "sequential" // the same bytes by write(2) into 64 MiB files
	StoreFiles      = "files"      // a file for each page
)

// sourceData is what written pages are cut from.
var sourceData = load.Data{Seed: 1, Size: pageSource + segfile.MaxPage, ObjectSize: pageSource + segfile.MaxPage}

// mostPages bounds the pages of one run, since a file for each of them is made too.
const mostPages = 65536

// WriteOptions say what Write measures. The zero of each field is its default.
type WriteOptions struct {
	Bytes    []int    // of one page. Default 4 KiB, 16 KiB, 64 KiB, 256 KiB, 1 MiB
	Amount   int64    // bytes of pages in one run, or 65,536 pages if that is less. Default 1 GiB
	Dirs     []string // where temporary folders are made, one device each. Default: the working directory, once alone and then twice
	Runs     int      // of each cell, of which medians are taken. Default 3
	Seed     uint64
	Progress func(format string, args ...any)
}

func (o WriteOptions) withDefaults() WriteOptions {
	if len(o.Bytes) == 0 {
		o.Bytes = []int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
	}
	if o.Amount == 0 {
		o.Amount = 1 << 30
	}
	if o.Runs == 0 {
		o.Runs = 3
	}
	if len(o.Dirs) == 0 {
		o.Dirs = []string{"."}
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	return o
}

// Validate reports every fault at once, in the words of the command's flags.
func (o WriteOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	for _, n := range o.Bytes {
		if n < 1 || n > segfile.MaxPage {
			errs = append(errs, fmt.Errorf("--bytes: %d must be from 1 to 1 MiB", n))
		} else if int64(n) > o.Amount {
			errs = append(errs, fmt.Errorf("--bytes: %s is more than --amount", size(int64(n))))
		}
	}
	if o.Amount < 1 {
		errs = append(errs, fmt.Errorf("--amount: %d must be above 0", o.Amount))
	}
	if o.Runs < 1 {
		errs = append(errs, fmt.Errorf("--runs: %d must be at least 1", o.Runs))
	}
	return errors.Join(errs...)
}

// WriteResult is one cell: medians over its runs.
type WriteResult struct {
	Store          string  `json:"store"`
	Bytes          int     `json:"bytes"` // of a page
	Dirs           int     `json:"dirs"`
	Pages          int     `json:"pages"` // written in one run
	PagesPerSecond float64 `json:"pages_per_s"`
	GBPerSecond    float64 `json:"gb_per_s"` // of pages, 10^9 bytes, until all of them are durable
	// Amplification is bytes that the kernel sent to the device, or will, for each byte of a page (/proc/self/io write_bytes: data, not the file
	// system's journal and inodes). 0: this file system does not tell.
	Amplification float64 `json:"write_amplification"`
	Runs          int     `json:"runs"`
}

// writeSample is one run of one cell.
type writeSample struct {
	pages  int
	took   time.Duration
	device int64
}

// Write measures, and removes what it made, also when ctx ends.
func Write(ctx context.Context, o WriteOptions) (results []WriteResult, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	var roots []string
	for _, dir := range o.Dirs {
		root, remove, err2 := workspace(dir, 2*o.Amount+2<<30)
		if err2 != nil {
			return nil, errors.Join(err, err2)
		}
		defer func() { err = errors.Join(err, remove()) }()
		roots = append(roots, root)
	}
	if len(roots) == 1 {
		roots = append(roots, roots[0])
	}
	for _, n := range o.Bytes {
		rs, err := o.size(ctx, n, roots)
		if err != nil {
			return nil, err
		}
		results = append(results, rs...)
	}
	return results, nil
}

// size measures every store with pages of one size, round by round.
func (o WriteOptions) size(ctx context.Context, n int, roots []string) ([]WriteResult, error) {
	type cell struct {
		store string
		dirs  int
	}
	cells := []cell{{StoreAlio, 1}, {StoreAlio, len(roots)}, {StoreFull, 1}, {StoreSequential, 1}, {StoreFiles, 1}}
	samples := map[cell][]writeSample{}
	for run := range o.Runs {
		for _, c := range cells {
			s, err := o.run(ctx, c.store, n, roots[:c.dirs], uint64(run))
			if err != nil {
				return nil, fmt.Errorf("%s, pages of %s: %w", c.store, size(int64(n)), err)
			}
			samples[c] = append(samples[c], s)
		}
	}
	var results []WriteResult
	for _, c := range cells {
		r := WriteResult{Store: c.store, Bytes: n, Dirs: c.dirs, Runs: o.Runs, Pages: samples[c][0].pages}
		r.PagesPerSecond = medianOf(samples[c], func(s writeSample) float64 { return float64(s.pages) / s.took.Seconds() })
		r.GBPerSecond = r.PagesPerSecond * float64(n) / 1e9
		r.Amplification = medianOf(samples[c], func(s writeSample) float64 { return float64(s.device) / float64(s.pages*n) })
		o.Progress("%8s  %-10s × %d  %9.0f pages/s  %6.2f GB/s  amplification %.2f", size(int64(n)), r.Store, r.Dirs, r.PagesPerSecond, r.GBPerSecond, r.Amplification)
		results = append(results, r)
	}
	return results, nil
}

// run fills one store in new folders and removes them.
func (o WriteOptions) run(ctx context.Context, kind string, n int, roots []string, seed uint64) (s writeSample, err error) {
	var dirs []string
	for _, root := range roots {
		dir, err := os.MkdirTemp(root, "store-")
		if err != nil {
			return s, err
		}
		defer os.RemoveAll(dir)
		dirs = append(dirs, dir)
	}
	s.pages = int(min(o.Amount/int64(n), mostPages))
	p := newPages("write", n)
	var before, after int64
	if before, err = deviceBytes(); err != nil {
		return s, err
	}
	start := time.Now()
	if err = o.fill(ctx, kind, p, dirs, &s, seed); err != nil {
		return s, err
	}
	s.took = time.Since(start)
	after, err = deviceBytes()
	s.device = after - before
	return s, err
}

// fill puts all pages into a store and waits until they are durable.
func (o WriteOptions) fill(ctx context.Context, kind string, p pages, dirs []string, s *writeSample, seed uint64) (err error) {
	var to store
	switch kind {
	case StoreFull:
		return churn(ctx, p, dirs, s, o.Seed+seed)
	case StoreAlio:
		to, err = openTiers(ctx, p, subdirs(dirs), capacityFor(s.pages, p.bytes)*int64(len(dirs)))
	case StoreSequential:
		to = &sequential{pages: p, dir: dirs[0]}
	case StoreFiles:
		to, err = newFiles(p, dirs[0])
	}
	if err != nil {
		return err
	}
	for i := 0; i < s.pages && err == nil; i++ {
		if err = ctx.Err(); err == nil {
			err = to.put(ctx, i)
		}
	}
	if t, ok := to.(*tiers); ok {
		err = errors.Join(err, t.wait(ctx))
	}
	if err = errors.Join(err, to.finish()); err != nil {
		return err
	}
	if t, ok := to.(*tiers); ok && t.stored.Load() != int64(s.pages) {
		return fmt.Errorf("the disk tier stored %d of %d pages", t.stored.Load(), s.pages)
	}
	return nil
}

func subdirs(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = filepath.Join(d, "cache")
	}
	return out
}

// churn uses a disk tier of a quarter of the pages as a cache: pages are drawn by zipf, those that are there are read, the others are put, until as many were
// put as other stores get: the first quarter of them fills the tier, the rest evicts. The time of the reads counts too.
func churn(ctx context.Context, p pages, dirs []string, s *writeSample, seed uint64) error {
	universe := s.pages
	data := load.Data{Size: int64(universe) * load.Unit, ObjectSize: int64(universe) * load.Unit}
	draw, err := load.NewRanges(data, load.Unit, load.Zipf, seed)
	if err != nil {
		return err
	}
	t, err := openTiers(ctx, p, subdirs(dirs[:1]), max(int64(universe)*segfile.RecordSize(p.bytes)/4, 24<<20))
	if err != nil {
		return err
	}
	t.onWay = make([]atomic.Bool, universe)
	for puts := 0; puts < s.pages && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		i := int(draw.Next() / load.Unit)
		if t.onWay[i].Load() {
			continue // as the cache has it in memory meanwhile
		}
		var there bool
		if there, err = t.read(ctx, i); err == nil && !there {
			puts++
			err = t.put(ctx, i)
		}
	}
	return errors.Join(err, t.wait(ctx), t.finish())
}

// deviceBytes is what this process has caused to be written to devices so far.
func deviceBytes() (int64, error) { return procField("/proc/self/io", "write_bytes") }

// WriteWriteTable writes results as a table for people.
func WriteWriteTable(w io.Writer, results []WriteResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "page\tstore\tdirs\tpages\tpages/s\tGB/s\tamplification\t")
	for i, r := range results {
		if i > 0 && r.Bytes != results[i-1].Bytes {
			fmt.Fprintln(t, "\t\t\t\t\t\t\t")
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.0f\t%.2f\t%.2f\t\n", size(int64(r.Bytes)), r.Store, r.Dirs, r.Pages, r.PagesPerSecond, r.GBPerSecond, r.Amplification)
	}
	return t.Flush()
}
