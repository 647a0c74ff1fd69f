package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

// The paths that bytes can take to a reader, as reports name them.
const (
	PathPread = "pread" // bare preads of the segment files
	PathLocal = "local" // the Go client: segments read by the caller itself, sums checked
	PathGRPC  = "grpc"  // Read of the gRPC door, on its Unix socket
	PathS3    = "s3"    // signed ranged GETs of the S3 door, on loopback TCP
)

// objectSize is what the data set is cut into, as files of a table are.
const objectSize = 64 << 20

// maxRead is the longest read that is measured; the doors' messages hold no more.
const maxRead = 1 << 20

// ReadOptions say what Read measures: every path, size, number of readers and access, each Runs times. The zero of each field is its default.
type ReadOptions struct {
	Paths    []string      // default: all four
	Bytes    []int         // of one read. Default 4 KiB, 16 KiB, 64 KiB, 256 KiB, 1 MiB
	Readers  []int         // at once, each on a connection of its own. Default 1, 16, 64
	Access   []load.Access // default: zipf and uniform
	Duration time.Duration // of one run of one cell. Default 2 s
	Runs     int           // of each cell, of which medians are taken. Default 3
	Size     int64         // of the data set in bytes, a multiple of 4 KiB. Default 512 MiB
	Dir      string        // where a temporary folder is made. Default: the working directory
	Seed     uint64        // equal seeds read equal ranges
	Self     Command       // default: this binary
	Progress func(format string, args ...any)
}

// Paths are all that can be measured.
var Paths = []string{PathPread, PathLocal, PathGRPC, PathS3}

func (o ReadOptions) withDefaults() ReadOptions {
	if len(o.Paths) == 0 {
		o.Paths = Paths
	}
	if len(o.Bytes) == 0 {
		o.Bytes = []int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
	}
	if len(o.Readers) == 0 {
		o.Readers = []int{1, 16, 64}
	}
	if len(o.Access) == 0 {
		o.Access = []load.Access{load.Zipf, load.Uniform}
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if o.Runs == 0 {
		o.Runs = 3
	}
	if o.Size == 0 {
		o.Size = 512 << 20
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	return o
}

func (o ReadOptions) data() load.Data {
	return load.Data{Seed: o.Seed, Size: o.Size, ObjectSize: min(objectSize, o.Size)}
}

// Validate reports every fault at once, in the words of the command's flags.
func (o ReadOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	for _, p := range o.Paths {
		if !slices.Contains(Paths, p) {
			bad("--paths: %q is none of %s", p, strings.Join(Paths, ", "))
		}
	}
	for _, n := range o.Bytes {
		if n < 8 || n > maxRead || n%8 != 0 {
			bad("--bytes: %d must be a multiple of 8, at most %s", n, size(maxRead))
		} else if int64(n) > o.Size {
			bad("--bytes: %s is more than the data set has: make --size larger", size(int64(n)))
		}
	}
	for _, n := range o.Readers {
		if n < 1 || n > 1024 {
			bad("--readers: %d must be from 1 to 1024", n)
		}
	}
	for _, a := range o.Access {
		if a != load.Zipf && a != load.Uniform {
			bad("--access: %q is none of zipf, uniform, both", a)
		}
	}
	if o.Duration < time.Millisecond {
		bad("--duration: %v is too short: give at least 1ms", o.Duration)
	}
	if o.Runs < 1 {
		bad("--runs: %d must be at least 1", o.Runs)
	}
	if o.Size < 1<<20 || o.Size%load.Unit != 0 {
		bad("--size: %d bytes must be a multiple of %s, at least 1 MiB", o.Size, size(load.Unit))
	}
	return errors.Join(errs...)
}

// ReadResult is one cell: medians over its runs. Times are microseconds, from the request to the last byte of the answer.
type ReadResult struct {
	Path        string      `json:"path"`
	Bytes       int         `json:"bytes"`
	Readers     int         `json:"readers"`
	P50         float64     `json:"p50_us"`
	P99         float64     `json:"p99_us"`
	GBPerSecond float64     `json:"gb_per_s"`      // all readers together, 10^9 bytes
	Allocs      float64     `json:"allocs_per_op"` // of the serving process for s3 and grpc, of the reading one for pread and local
	Access      load.Access `json:"access"`
	Ratio       float64     `json:"ratio_to_pread,omitempty"` // of p50; 0: pread was not measured
	Runs        int         `json:"runs"`
	ServerCPU   float64     `json:"server_cpu_s_per_gb"` // the sidecar's, counted in steps of 10 ms
}

// Read measures. It starts a sidecar, warms it, and takes everything away again, also when ctx ends, which makes it return at once.
func Read(ctx context.Context, o ReadOptions) (results []ReadResult, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Self == nil {
		if o.Self, err = Self(); err != nil {
			return nil, err
		}
	}
	if err := checkMemory(o.Size + o.Size/4 + 256<<20); err != nil {
		return nil, err
	}
	data := o.data()
	dir, remove, err := workspace(o.Dir, CacheSize(data))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	s, err := StartSidecar(ctx, o.Self, data, dir, DefaultMemory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	o.Progress("%s of made-up bytes in %d objects; sidecar %d, files in %s", size(data.Size), data.Objects(), s.PID(), dir)
	places, err := s.Warm(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	return o.measure(ctx, s, places)
}

// measure runs every cell. The runs of a cell go round the paths, so that whatever else the machine does meets all of them.
func (o ReadOptions) measure(ctx context.Context, s *Sidecar, places *Places) (results []ReadResult, err error) {
	cells := len(o.Access) * len(o.Bytes) * len(o.Readers)
	o.Progress("%d pages are on disk; %d cells, about %v", places.Pages(), cells*len(o.Paths), time.Duration(cells*len(o.Paths)*o.Runs)*o.Duration)
	doors, err := openDoors(ctx, s, places, o.Paths)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, doors.close()) }()
	asked := s.Origin.Requests()
	for _, access := range o.Access {
		for _, n := range o.Bytes {
			for _, readers := range o.Readers {
				cell := load.Cell{Data: s.Data, Bytes: n, Readers: readers, Access: access, Duration: o.Duration}
				rs, err := o.cell(ctx, s, doors, cell)
				if err != nil {
					return nil, err
				}
				for _, r := range rs {
					o.Progress("%-7s %8s × %-3d %-5s p50 %9.1f us  p99 %9.1f us  %6.2f GB/s  %.2f allocs", r.Access, size(int64(n)), readers, r.Path, r.P50, r.P99, r.GBPerSecond, r.Allocs)
				}
				results = append(results, rs...)
			}
		}
	}
	if more := s.Origin.Requests() - asked; more > 0 {
		o.Progress("note: the origin was asked %d times while reads were timed, so not all of them were hits", more)
	}
	remote, err := doors.remote()
	if remote > 0 {
		o.Progress("note: %s of local reads did not come from segment files but from the sidecar", size(remote))
	}
	return results, err
}

// sample is one run of one cell.
type sample struct{ p50, p99, gb, allocs, cpu float64 }

func (o ReadOptions) cell(ctx context.Context, s *Sidecar, doors *doors, cell load.Cell) ([]ReadResult, error) {
	samples := map[string][]sample{}
	for run := range o.Runs {
		for _, path := range o.Paths {
			cell.Seed = o.Seed + uint64(run)
			one, err := runPath(ctx, s, doors, path, cell)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, %d readers: %w", path, size(int64(cell.Bytes)), cell.Readers, s.explain(err))
			}
			samples[path] = append(samples[path], one)
		}
	}
	var results []ReadResult
	for _, path := range o.Paths {
		of := func(f func(sample) float64) float64 { return medianOf(samples[path], f) }
		results = append(results, ReadResult{
			Path: path, Bytes: cell.Bytes, Readers: cell.Readers, Access: cell.Access, Runs: o.Runs,
			P50: of(func(s sample) float64 { return s.p50 }), P99: of(func(s sample) float64 { return s.p99 }), GBPerSecond: of(func(s sample) float64 { return s.gb }),
			Allocs: of(func(s sample) float64 { return s.allocs }), ServerCPU: of(func(s sample) float64 { return s.cpu }),
		})
	}
	setRatios(results)
	return results, nil
}

// setRatios compares the results of one cell with its pread.
func setRatios(results []ReadResult) {
	for _, r := range results {
		if r.Path == PathPread && r.P50 > 0 {
			for i := range results {
				results[i].Ratio = results[i].P50 / r.P50
			}
		}
	}
}

func runPath(ctx context.Context, s *Sidecar, doors *doors, path string, cell load.Cell) (sample, error) {
	d := doors.of(path)
	cell.Dial = func() (load.Reader, error) { return d.dial(cell.Bytes) }
	var mallocs [2]float64
	var cost float64
	var cpu [2]time.Duration
	cell.Around = func(done bool) (err error) {
		i := 0
		if done {
			i = 1
		}
		if d.served {
			if mallocs[i], cost, err = s.Mallocs(ctx); err != nil {
				return err
			}
		}
		cpu[i], err = proc.CPU(s.PID())
		return err
	}
	runtime.GC() // so that the collector does not meet one path and spare another
	r, err := load.Measure(ctx, cell)
	if err != nil {
		return sample{}, err
	}
	allocs := float64(r.Mallocs)
	if d.served {
		allocs = mallocs[1] - mallocs[0] - 2*cost // the two askings of the end
	}
	return sample{
		p50: micros(r.Latencies.Quantile(.5)), p99: micros(r.Latencies.Quantile(.99)), gb: r.GBPerSecond(),
		allocs: max(allocs, 0) / float64(r.Reads), cpu: (cpu[1] - cpu[0]).Seconds() / (float64(r.Bytes) / 1e9),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// medianOf is the median of what f tells of each; of an even number the mean of the middle two.
func medianOf[T any](all []T, f func(T) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = f(v)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
