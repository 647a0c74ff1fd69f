package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

// fewPages is the small cache that a large one's hits are compared with.
const fewPages = 10_000

// RecoverOptions say what Recover measures. The zero of each field is its default.
type RecoverOptions struct {
	Pages    int    // in the large cache. Default 1,000,000
	Bytes    int    // of one page. Default 1 KiB
	Files    int    // of the walk beside it, a file for each page. Default a tenth of Pages, at most 100,000
	Probes   int    // hits that are timed after each start. Default 20,000
	Runs     int    // starts of each kind, of which medians are taken. Default 3
	Dir      string // where a temporary folder is made. Default: the working directory
	Seed     uint64
	Self     Command // default: this binary
	Progress func(format string, args ...any)
}

func (o RecoverOptions) withDefaults() RecoverOptions {
	if o.Pages == 0 {
		o.Pages = 1_000_000
	}
	if o.Bytes == 0 {
		o.Bytes = 1 << 10
	}
	if o.Files == 0 {
		o.Files = min(max(o.Pages/10, 1), 100_000)
	}
	if o.Probes == 0 {
		o.Probes = 20_000
	}
	if o.Runs == 0 {
		o.Runs = 3
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	return o
}

// Validate reports every fault at once, in the words of the command's flags.
func (o RecoverOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	least := func(flag string, n, min int) {
		if n < min {
			errs = append(errs, fmt.Errorf("%s: %d must be at least %d", flag, n, min))
		}
	}
	least("--pages", o.Pages, 1)
	least("--bytes", o.Bytes, 1)
	least("--files", o.Files, 1)
	least("--probes", o.Probes, 1)
	least("--runs", o.Runs, 1)
	if o.Bytes > segfile.MaxPage {
		errs = append(errs, fmt.Errorf("--bytes: %d must be at most 1 MiB", o.Bytes))
	}
	return errors.Join(errs...)
}

// RecoverResult is what starts on one store came to: medians over them. Each start is a process of its own.
type RecoverResult struct {
	Store    string  `json:"store"` // "alio": the disk tier; "files": a walk over a file for each page
	Pages    int     `json:"pages"`
	Bytes    int     `json:"bytes"` // of a page
	Cold     bool    `json:"cold"`  // the segments' bytes were not in the page cache
	OpenMS   float64 `json:"open_ms"`
	PerPage  float64 `json:"us_per_page"`             // of opening or walking
	Index    float64 `json:"index_bytes_per_page"`    // as the tier counts its index
	RSS      float64 `json:"rss_bytes_per_page"`      // what the process's anonymous memory grew by
	FirstHit float64 `json:"first_hit_ms"`            // from the start of the process to the first page, checked
	HitP50   float64 `json:"hit_p50_us"`              // hits all over the cache, warm
	HitP99   float64 `json:"hit_p99_us"`              //
	HotP50   float64 `json:"hot_hit_p50_us"`          // hits of 100 pages that lie all over the cache, again and again
	Bare     float64 `json:"bare_p50_us"`             // bare preads of the bytes of those all over
	BareHot  float64 `json:"bare_hot_p50_us"`         // and of the 100 pages
	ReadyMS  float64 `json:"sidecar_ready_ms"`        // "alio sidecar" on this directory, from its start to ready; 0: not measured
	Missing  int     `json:"missing_pages,omitempty"` // that were written and not found
	Runs     int     `json:"runs"`
}

// Recover measures, and removes what it made, also when ctx ends.
func Recover(ctx context.Context, o RecoverOptions) (results []RecoverResult, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Self == nil {
		if o.Self, err = Self(); err != nil {
			return nil, err
		}
	}
	need := capacityFor(o.Pages, o.Bytes) + capacityFor(fewPages, o.Bytes) + int64(o.Files)*max(int64(o.Bytes), 4096)*2
	root, remove, err := workspace(o.Dir, need)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	few := min(fewPages, o.Pages)
	for _, n := range []int{few, o.Pages} {
		dir := filepath.Join(root, "pages-"+strconv.Itoa(n))
		if err := o.make(ctx, dir, n); err != nil {
			return nil, err
		}
		for _, cold := range []bool{false, true} {
			r, err := o.starts(ctx, dir, n, cold)
			if err != nil {
				return nil, err
			}
			results = append(results, r)
		}
		if n == o.Pages {
			break
		}
	}
	walk, err := o.walks(ctx, filepath.Join(root, "files"))
	return append(results, walk), err
}

// make fills a cache directory with n pages and seals it.
func (o RecoverOptions) make(ctx context.Context, dir string, n int) error {
	o.Progress("writing %d pages of %s", n, size(int64(o.Bytes)))
	t, err := openTiers(ctx, newPages("recover", o.Bytes), []string{dir}, capacityFor(n, o.Bytes))
	if err != nil {
		return err
	}
	for i := 0; i < n && err == nil; i++ {
		err = t.put(ctx, i)
		if every := max(n/10, 1_000_000); i > 0 && i%every == 0 {
			o.Progress("  %d of %d", i, n)
		}
	}
	return errors.Join(err, t.wait(ctx), t.finish())
}

// starts opens the directory in fresh processes.
func (o RecoverOptions) starts(ctx context.Context, dir string, n int, cold bool) (RecoverResult, error) {
	var all []Reopened
	var ready []float64
	for run := range o.Runs {
		if cold {
			if err := dropPages(filepath.Join(dir, "segments")); err != nil {
				return RecoverResult{}, err
			}
		}
		r, err := o.reopen(ctx, ReopenOptions{Dir: dir, Pages: n, Bytes: o.Bytes, Probes: o.Probes, Seed: o.Seed + uint64(run)})
		if err != nil {
			return RecoverResult{}, err
		}
		all = append(all, r)
		if !cold {
			ms, err := o.sidecarReady(ctx, dir, n)
			if err != nil {
				return RecoverResult{}, err
			}
			ready = append(ready, ms)
		}
	}
	of := func(f func(Reopened) float64) float64 { return medianOf(all, f) }
	res := RecoverResult{
		Store: StoreAlio, Pages: n, Bytes: o.Bytes, Cold: cold, Runs: o.Runs, Missing: n - all[0].Pages,
		OpenMS: of(func(r Reopened) float64 { return r.OpenMS }), FirstHit: of(func(r Reopened) float64 { return r.FirstHitMS }),
		Index: of(func(r Reopened) float64 { return float64(r.IndexBytes) }) / float64(n), RSS: of(func(r Reopened) float64 { return float64(r.RSSBytes) }) / float64(n),
		HitP50: of(func(r Reopened) float64 { return r.HitP50 }), HitP99: of(func(r Reopened) float64 { return r.HitP99 }),
		HotP50: of(func(r Reopened) float64 { return r.HotP50 }),
		Bare:   of(func(r Reopened) float64 { return r.BareP50 }), BareHot: of(func(r Reopened) float64 { return r.BareHotP50 }),
		ReadyMS: medianOf(ready, func(f float64) float64 { return f }),
	}
	res.PerPage = res.OpenMS * 1000 / float64(n)
	o.Progress("%d pages, cold %v: open %.1f ms (%.3f us a page), first hit %.1f ms, hits p50 %.1f us (bare pread %.1f), of 100 pages %.2f us (%.2f), index %.1f bytes a page", n, cold,
		res.OpenMS, res.PerPage, res.FirstHit, res.HitP50, res.Bare, res.HotP50, res.BareHot, res.Index)
	return res, nil
}

// reopen runs Reopen in a process of its own.
func (o RecoverOptions) reopen(ctx context.Context, r ReopenOptions) (out Reopened, err error) {
	r.Started = time.Now().UnixNano()
	text, err := json.Marshal(r)
	if err != nil {
		return out, err
	}
	b, err := proc.Run(ctx, o.Self("bench", "reopen", string(text)))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("the process that opened the cache again answered %q: %w", b, err)
	}
	return out, nil
}

// sidecarReady starts "alio sidecar" on the directory, over an origin that is asked nothing, and returns the milliseconds until it was ready.
func (o RecoverOptions) sidecarReady(ctx context.Context, dir string, n int) (float64, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	go srv.Serve(ln) // ends with Close
	defer srv.Close()
	args := []string{"--log-format", "json", "--mount", Mount + "=s3://" + Mount, "--s3-endpoint", "http://" + ln.Addr().String(), "--s3-path-style", "--s3-anonymous",
		"--s3-region", "us-east-1", "--s3-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--cache-dir", dir, "--cache-size", strconv.FormatInt(capacityFor(n, o.Bytes), 10)}
	start := time.Now()
	c, _, err := startSidecar(ctx, o.Self, args...)
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	c.Kill()
	return float64(took) / float64(time.Millisecond), nil
}

// walks measures what a cache with a file for each page does at a start: walk its folders and look at every file.
func (o RecoverOptions) walks(ctx context.Context, dir string) (RecoverResult, error) {
	o.Progress("writing %d files of %s, to walk them", o.Files, size(int64(o.Bytes)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return RecoverResult{}, err
	}
	f, err := newFiles(newPages("recover", o.Bytes), dir)
	for i := 0; i < o.Files && err == nil; i++ {
		if err = ctx.Err(); err == nil {
			err = f.put(ctx, i)
		}
	}
	if err == nil {
		err = f.finish()
	}
	var all []Reopened
	for run := 0; run < o.Runs && err == nil; run++ {
		var r Reopened
		r, err = o.reopen(ctx, ReopenOptions{Dir: dir, Pages: o.Files, Bytes: o.Bytes, Probes: o.Probes, Seed: o.Seed + uint64(run), Walk: true})
		all = append(all, r)
	}
	if err != nil {
		return RecoverResult{}, err
	}
	of := func(f func(Reopened) float64) float64 { return medianOf(all, f) }
	r := RecoverResult{
		Store: StoreFiles, Pages: o.Files, Bytes: o.Bytes, Runs: o.Runs, Missing: o.Files - all[0].Pages, OpenMS: of(func(r Reopened) float64 { return r.OpenMS }),
		FirstHit: of(func(r Reopened) float64 { return r.FirstHitMS }), RSS: of(func(r Reopened) float64 { return float64(r.RSSBytes) }) / float64(o.Files),
		HitP50: of(func(r Reopened) float64 { return r.HitP50 }), HitP99: of(func(r Reopened) float64 { return r.HitP99 }),
		HotP50: of(func(r Reopened) float64 { return r.HotP50 }),
	}
	r.PerPage = r.OpenMS * 1000 / float64(o.Files)
	o.Progress("%d files: walk %.1f ms (%.2f us a page)", o.Files, r.OpenMS, r.PerPage)
	return r, nil
}

// dropPages takes the segments' bytes out of the page cache. They were synced when they were sealed.
func dropPages(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
		if err != nil {
			return fmt.Errorf("drop %s from the page cache: %w", name, err)
		}
	}
	return nil
}

// WriteRecoverTable writes results as a table for people.
func WriteRecoverTable(w io.Writer, results []RecoverResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "store\tpages\tpage\tpage cache\topen ms\tus/page\tindex B/page\tRSS B/page\tfirst hit ms\thit p50 us\tpread p50 us\thit p99 us\thot p50 us\thot pread p50 us\tsidecar ready ms\t")
	bare := func(us float64) string {
		if us == 0 {
			return "-" // there is nothing to read bare
		}
		return fmt.Sprintf("%.2f", us)
	}
	for _, r := range results {
		state := "warm"
		if r.Cold {
			state = "cold"
		}
		ready := "-"
		if r.ReadyMS > 0 {
			ready = fmt.Sprintf("%.0f", r.ReadyMS)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%.1f\t%.3f\t%.1f\t%.1f\t%.1f\t%.2f\t%s\t%.1f\t%.2f\t%s\t%s\t\n", r.Store, r.Pages, size(int64(r.Bytes)), state, r.OpenMS, r.PerPage, r.Index, r.RSS,
			r.FirstHit, r.HitP50, bare(r.Bare), r.HitP99, r.HotP50, bare(r.BareHot), ready)
	}
	return t.Flush()
}
