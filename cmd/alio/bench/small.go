package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// SmallOptions say what Small measures. The zero of each field is its default.
type SmallOptions struct {
	Objects  int    // default 100,000
	Bytes    int    // of one object, a multiple of 8. Default 10 KiB
	Readers  int    // at once. Default 16
	Dir      string // where a temporary folder is made. Default: the working directory
	Seed     uint64
	Self     Command // default: this binary
	Progress func(format string, args ...any)
}

func (o SmallOptions) withDefaults() SmallOptions {
	if o.Objects == 0 {
		o.Objects = 100_000
	}
	if o.Bytes == 0 {
		o.Bytes = 10 << 10
	}
	if o.Readers == 0 {
		o.Readers = 16
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	return o
}

// Validate reports every fault at once, in the words of the command's flags.
func (o SmallOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.Objects < 1 {
		errs = append(errs, fmt.Errorf("--objects: %d must be at least 1", o.Objects))
	}
	if o.Bytes < 8 || o.Bytes%8 != 0 || o.Bytes > maxRead {
		errs = append(errs, fmt.Errorf("--bytes: %d must be a multiple of 8, at most %s", o.Bytes, size(maxRead)))
	}
	if o.Readers < 1 || o.Readers > 1024 {
		errs = append(errs, fmt.Errorf("--readers: %d must be from 1 to 1024", o.Readers))
	}
	return errors.Join(errs...)
}

// SmallResult is what one way to read every object whole came to. Each has a cache of its own, empty at first.
type SmallResult struct {
	Path    string `json:"path"` // a door, or "files": a file for each page, written and read by plain calls
	Objects int    `json:"objects"`
	Bytes   int    `json:"bytes"`
	Readers int    `json:"readers"`

	Cold       float64 `json:"cold_files_per_s"` // from the origin through the door; of files: writing them and syncing the file system
	ColdAsked  int64   `json:"cold_origin_requests"`
	Warm       float64 `json:"warm_files_per_s"` // in another order
	WarmP50    float64 `json:"warm_p50_us"`
	WarmP99    float64 `json:"warm_p99_us"`
	WarmAsked  int64   `json:"warm_origin_requests"`
	Disk       int64   `json:"disk_bytes"`        // as du sees it, but for metadata
	Ratio      float64 `json:"disk_to_payload"`   // of them
	Metadata   int64   `json:"metadata_bytes"`    // as du sees it; 0 of files, where the file system has it
	Restart    float64 `json:"restart_ms"`        // from a start after kill -9 to ready; of files: a walk over all of them
	Again      float64 `json:"again_files_per_s"` // the first time after the restart
	AgainAsked int64   `json:"again_origin_requests"`
}

// Small measures, and removes what it made, also when ctx ends.
func Small(ctx context.Context, o SmallOptions) (results []SmallResult, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Self == nil {
		if o.Self, err = Self(); err != nil {
			return nil, err
		}
	}
	data := load.Data{Seed: o.Seed, Size: int64(o.Objects) * int64(o.Bytes), ObjectSize: int64(o.Bytes)}
	root, remove, err := workspace(o.Dir, CacheSize(data)+int64(o.Objects)*max(int64(o.Bytes), 4096)*2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for _, path := range []string{PathS3, PathGRPC, PathLocal} {
		r, err := o.door(ctx, data, filepath.Join(root, path), path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		results = append(results, r)
	}
	r, err := o.files(ctx, data, filepath.Join(root, "files"))
	return append(results, r), err
}

// door measures one door over a sidecar of its own, whose files are removed in the end.
func (o SmallOptions) door(ctx context.Context, data load.Data, dir, path string) (r SmallResult, err error) {
	r = SmallResult{Path: path, Objects: o.Objects, Bytes: o.Bytes, Readers: o.Readers}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return r, err
	}
	s, err := StartSidecar(ctx, o.Self, data, dir, DefaultMemory)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close(), os.RemoveAll(dir)) }()
	pass := func(seed uint64) (took passed, asked int64, err error) {
		before := s.Origin.Requests()
		took, err = o.through(ctx, s, path, seed)
		return took, s.Origin.Requests() - before, s.explainIf(err)
	}
	cold, asked, err := pass(1)
	if err != nil {
		return r, err
	}
	r.Cold, r.ColdAsked = cold.rate(), asked
	if err := s.settle(ctx); err != nil {
		return r, s.explain(err)
	}
	warm, asked, err := pass(2)
	if err != nil {
		return r, err
	}
	r.Warm, r.WarmAsked, r.WarmP50, r.WarmP99 = warm.rate(), asked, micros(warm.latencies.Quantile(.5)), micros(warm.latencies.Quantile(.99))
	r.Metadata = du(filepath.Join(s.Dir, "metadata"))
	r.Disk = du(s.Dir) - r.Metadata
	r.Ratio = float64(r.Disk) / float64(data.Size)
	ready, err := s.Restart(ctx)
	if err != nil {
		return r, err
	}
	r.Restart = millis(ready)
	again, asked, err := pass(3)
	r.Again, r.AgainAsked = again.rate(), asked
	o.Progress("%-5s cold %.0f files/s with %d origin requests, warm %.0f, %d; disk %s for %s; ready %.0f ms after kill -9, then %.0f files/s with %d origin requests", path,
		r.Cold, r.ColdAsked, r.Warm, r.WarmAsked, size(r.Disk), size(data.Size), r.Restart, r.Again, r.AgainAsked)
	return r, err
}

// passed is a reading of every object.
type passed struct {
	objects   int
	wall      time.Duration
	latencies load.Latencies
}

func (p *passed) rate() float64 { return float64(p.objects) / p.wall.Seconds() }

// through reads every object whole through a door, in an order that the seed gives, and checks every byte.
func (o SmallOptions) through(ctx context.Context, s *Sidecar, path string, seed uint64) (passed, error) {
	if path != PathLocal {
		dial := s.DialS3
		if path == PathGRPC {
			dial = s.DialGRPC
		}
		return o.pass(ctx, s.Data, seed, func() (load.Reader, error) { return dial(o.Bytes) })
	}
	c, err := client.New(client.Options{Address: s.Socket, Directories: []string{s.Dir}})
	if err != nil {
		return passed{}, err
	}
	p, err := o.pass(ctx, s.Data, seed, func() (load.Reader, error) {
		return &openReader{ctx: ctx, client: c, data: s.Data, buf: make([]byte, o.Bytes)}, nil
	})
	return p, errors.Join(err, c.Close())
}

// openReader opens an object for each read, as whoever reads small files does.
type openReader struct {
	ctx    context.Context
	client *client.Client
	data   load.Data
	buf    []byte
	object int
}

func (r *openReader) Prepare(at int64, _ int) error {
	r.object = int(at / r.data.ObjectSize)
	return nil
}

func (r *openReader) Read() ([]byte, error) {
	f, err := r.client.Open(r.ctx, Mount, r.data.Name(r.object), client.OpenOptions{})
	if err != nil {
		return nil, err
	}
	n, err := f.ReadAt(r.buf, 0)
	if err == io.EOF && n == len(r.buf) {
		err = nil
	}
	return r.buf[:n], errors.Join(err, f.Close())
}

func (r *openReader) Close() error { return nil }

// pass lets every reader take the next object until none is left.
func (o SmallOptions) pass(ctx context.Context, data load.Data, seed uint64, dial func() (load.Reader, error)) (passed, error) {
	order := rand.New(rand.NewPCG(o.Seed, seed)).Perm(data.Objects())
	readers := make([]load.Reader, min(o.Readers, len(order)))
	defer func() {
		for _, r := range readers {
			if r != nil {
				r.Close()
			}
		}
	}()
	for i := range readers {
		var err error
		if readers[i], err = dial(); err != nil {
			return passed{}, err
		}
		if in, ok := readers[i].(load.Interrupter); ok {
			defer context.AfterFunc(ctx, in.Interrupt)()
		}
	}
	runtime.GC()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs, latencies := make([]error, len(readers)), make([]load.Latencies, len(readers))
	start := time.Now()
	for i, r := range readers {
		wg.Go(func() {
			for errs[i] == nil && ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(order) {
					return
				}
				at := int64(order[n]) * data.ObjectSize
				began := time.Now()
				errs[i] = readOne(r, data, at, int(data.ObjectSize))
				latencies[i].Add(time.Since(began))
			}
		})
	}
	wg.Wait()
	p := passed{objects: len(order), wall: time.Since(start)}
	for i := range latencies {
		p.latencies.Merge(&latencies[i])
	}
	if err := ctx.Err(); err != nil {
		return p, err
	}
	return p, errors.Join(errs...)
}

// files measures a file for each page: what a cache of files does, without whatever else it would do.
func (o SmallOptions) files(ctx context.Context, data load.Data, dir string) (r SmallResult, err error) {
	r = SmallResult{Path: StoreFiles, Objects: o.Objects, Bytes: o.Bytes, Readers: o.Readers, ColdAsked: int64(o.Objects)}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return r, err
	}
	f, err := newFiles(newPages("small", o.Bytes), dir)
	if err != nil {
		return r, err
	}
	plain := func(write bool) func() (load.Reader, error) {
		return func() (load.Reader, error) {
			return &fileReader{files: f, data: data, write: write, buf: make([]byte, o.Bytes)}, nil
		}
	}
	start := time.Now()
	if _, err := o.pass(ctx, data, 1, plain(true)); err != nil {
		return r, err
	}
	if err := f.finish(); err != nil {
		return r, err
	}
	r.Cold = float64(o.Objects) / time.Since(start).Seconds()
	warm, err := o.pass(ctx, data, 2, plain(false))
	if err != nil {
		return r, err
	}
	r.Warm, r.WarmP50, r.WarmP99 = warm.rate(), micros(warm.latencies.Quantile(.5)), micros(warm.latencies.Quantile(.99))
	r.Disk = du(dir)
	r.Ratio = float64(r.Disk) / float64(data.Size)
	start = time.Now()
	if _, err := (&Reopened{}).walk(ReopenOptions{Dir: dir, Pages: o.Objects}, f.pages); err != nil {
		return r, err
	}
	r.Restart = millis(time.Since(start))
	again, err := o.pass(ctx, data, 3, plain(false))
	r.Again = again.rate()
	o.Progress("files cold %.0f files/s, warm %.0f; disk %s for %s; walk %.0f ms", r.Cold, r.Warm, size(r.Disk), size(data.Size), r.Restart)
	return r, err
}

// fileReader writes or reads a file for each page.
type fileReader struct {
	files *files
	data  load.Data
	write bool
	buf   []byte
	at    int64
}

func (r *fileReader) Prepare(at int64, _ int) error {
	r.at = at
	if r.write {
		r.data.Fill(r.buf, at)
	}
	return nil
}

func (r *fileReader) Read() ([]byte, error) {
	name := r.files.path(int(r.at / r.data.ObjectSize))
	if r.write {
		return r.buf, os.WriteFile(name, r.buf, 0o600)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	n, err := f.ReadAt(r.buf, 0)
	return r.buf[:n], errors.Join(err, f.Close())
}

func (r *fileReader) Close() error { return nil }

// du is what a folder takes on disk; what vanishes meanwhile counts nothing.
func du(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}

// WriteSmallTable writes results as a table for people.
func WriteSmallTable(w io.Writer, results []SmallResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "path\tobjects\tbytes\treaders\tcold files/s\torigin requests\twarm files/s\tp50 us\tp99 us\torigin requests\tdisk / payload\tmetadata B/file\trestart ms\tthen files/s\torigin requests\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%.0f\t%d\t%.0f\t%.1f\t%.1f\t%d\t%.3f\t%.0f\t%.0f\t%.0f\t%d\t\n", r.Path, r.Objects, size(int64(r.Bytes)), r.Readers, r.Cold, r.ColdAsked,
			r.Warm, r.WarmP50, r.WarmP99, r.WarmAsked, r.Ratio, float64(r.Metadata)/float64(r.Objects), r.Restart, r.Again, r.AgainAsked)
	}
	return t.Flush()
}
