package disk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// Dir is the directory of one device.
type Dir struct {
	// Path is on a local file system of its own; it is made if need be. Keys are given to devices by it: a device that gets another path gets
	// other keys.
	Path string
	// Size is Options.Size, and says too how large the device's share of the pages is.
	Size int64
	// SegmentSize is Options.SegmentSize.
	SegmentSize int64
}

// DevicesOptions configures Devices. Dirs is required; the zero of everything else means its default.
type DevicesOptions struct {
	// Dirs are the directories, one for each device.
	Dirs []Dir
	// Each is what all devices have in common. Its Dir, Size and SegmentSize are not used. WriteQueue is shared out among the devices. Metrics go
	// to its Registerer with a label device, which is the directory's path.
	Each Options
	// OpenWait is how long Open waits for a device before it goes on without it. Default 10 s.
	OpenWait time.Duration
	// CheckEvery is how often a device that is well is looked at. Default 1 s. One that is not, or is gone, is looked at or opened again after a
	// second, then ever more seldom, at least once a minute.
	CheckEvery time.Duration
	// CheckDeadline is how long such a look may take before the device counts as hung. Default 5 s.
	CheckDeadline time.Duration
}

const mostDevices = 64

func (o DevicesOptions) withDefaults() DevicesOptions {
	if o.OpenWait == 0 {
		o.OpenWait = 10 * time.Second
	}
	if o.CheckEvery == 0 {
		o.CheckEvery = time.Second
	}
	if o.CheckDeadline == 0 {
		o.CheckDeadline = 5 * time.Second
	}
	if o.Each.WriteQueue == 0 {
		o.Each.WriteQueue = Options{}.withDefaults().WriteQueue
	}
	if o.Each.FS == nil {
		o.Each.FS = vfs.OS
	}
	return o
}

// of is one device's options.
func (o DevicesOptions) of(i int) Options {
	d, e := o.Dirs[i], o.Each
	e.Dir, e.Size, e.SegmentSize = d.Path, d.Size, d.SegmentSize
	if n := int64(len(o.Dirs)); e.WriteQueue > 0 {
		e.WriteQueue = max(e.WriteQueue/n, 1)
	}
	if e.Registerer != nil {
		e.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{"device": d.Path}, e.Registerer)
	}
	return e
}

// Validate reports every fault at once.
func (o DevicesOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if len(o.Dirs) == 0 {
		bad("disk: no directory given")
	}
	if len(o.Dirs) > mostDevices {
		bad("disk: %d directories: %d are the most", len(o.Dirs), mostDevices)
	}
	seen := map[string]bool{}
	for i, d := range o.Dirs {
		if path := filepath.Clean(d.Path); d.Path != "" && seen[path] {
			bad("disk: %s is given twice: give each device a directory of its own", d.Path)
		} else {
			seen[path] = true
		}
		if err := o.of(i).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.Path, err))
		}
	}
	if o.OpenWait < 0 {
		bad("disk: open wait %v: must be above 0", o.OpenWait)
	}
	if o.CheckEvery < 0 {
		bad("disk: check every %v: must be above 0", o.CheckEvery)
	}
	if o.CheckDeadline < 0 {
		bad("disk: check deadline %v: must be above 0", o.CheckDeadline)
	}
	return errors.Join(errs...)
}

// Devices is the disk tier on several directories, one for each device; one is fine. Pages are spread over the devices by their keys. A device
// that fails, hangs, is full or gone is set aside: its share goes to the others, and it is used again when it answers again, opened anew if need
// be. No read waits for that. The order of calls is as with Tier: New, Open, Run (which blocks), Close.
type Devices struct {
	o       DevicesOptions
	devices []*device
	routes  routes
	retired *retiredLog

	stop   chan struct{} // closed by Close
	ctx    context.Context
	cancel context.CancelFunc // ends what Open has started

	mu      sync.Mutex
	opened  bool
	running bool
	workers sync.WaitGroup // the devices' goroutines

	closing  sync.Once
	closeErr error
}

var (
	_ cache.Disk    = (*Devices)(nil)
	_ cache.Places  = (*Devices)(nil)
	_ cache.Touched = (*Devices)(nil)
)

// NewDevices checks the options and registers the metrics. It touches no file and starts nothing.
func NewDevices(o DevicesOptions) (*Devices, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	x := &Devices{o: o, retired: newRetiredLog(), stop: make(chan struct{})}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	for i, dir := range o.Dirs {
		d, err := newDevice(x, uint16(i), o.of(i))
		if err != nil {
			x.unregister()
			return nil, fmt.Errorf("%s: %w", dir.Path, err)
		}
		x.devices = append(x.devices, d)
	}
	x.routes = newRoutes(o.Dirs)
	return x, nil
}

func (x *Devices) unregister() {
	for _, d := range x.devices {
		d.metrics.unregister()
	}
}

// Open opens all directories at once. It returns an error, with everything closed, if one must not be used: somebody else's, locked, no
// right to it, not a local file system. A device that fails or does not answer in OpenWait is none: it is set aside and opened later, by Run.
func (x *Devices) Open(ctx context.Context) error {
	results := make(chan error, len(x.devices))
	x.mu.Lock()
	again := x.opened || x.ctx.Err() != nil
	x.opened = true
	if !again {
		for _, d := range x.devices {
			x.workers.Go(func() { results <- d.firstOpen(x.ctx) })
		}
	}
	x.mu.Unlock()
	if again {
		return errors.New("disk: Open was called twice or after Close")
	}
	wait := time.NewTimer(x.o.OpenWait)
	defer wait.Stop()
	var faults []error
	for range x.devices {
		select {
		case err := <-results:
			if err != nil && !sick(err) {
				faults = append(faults, err)
			}
			continue
		case <-ctx.Done():
			faults = append(faults, fmt.Errorf("disk: opening the cache directories: %w", ctx.Err()))
		case <-wait.C:
			x.o.Each.Log.Warn().Dur("waited_ms", x.o.OpenWait).Msg("a cache directory takes long to open; it is used when it has, until then the others and the origin serve")
		}
		break
	}
	if len(faults) > 0 {
		_ = x.Close()
		return errors.Join(faults...)
	}
	return nil
}

// Run writes what is queued, and looks after the devices, until ctx ends or Close is called, and returns nil then. It returns an error if a
// device hangs so that its writer cannot be stopped.
func (x *Devices) Run(ctx context.Context) error {
	x.mu.Lock()
	if !x.opened || x.running || x.ctx.Err() != nil {
		x.mu.Unlock()
		return errNotRunnable
	}
	x.running = true
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, d := range x.devices {
		x.workers.Go(func() { d.run(ctx) })
	}
	x.mu.Unlock()
	tick := time.NewTicker(x.o.CheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, d := range x.devices {
				d.supervise()
			}
			continue
		case <-ctx.Done():
		case <-x.stop:
		}
		break
	}
	cancel()
	var errs []error
	for _, d := range x.devices {
		errs = append(errs, d.waitRun())
	}
	return errors.Join(errs...)
}

// Close stops the writers, drops what is still queued, seals the active segments and unlocks the directories, of all devices at once. It is safe
// twice, and after a failed Open. A device that hangs is given up after 10 s with an error; what is left to do there is done when it answers.
func (x *Devices) Close() error {
	x.closing.Do(func() { x.closeErr = x.close() })
	return x.closeErr
}

func (x *Devices) close() error {
	x.mu.Lock()
	x.cancel()
	close(x.stop)
	x.mu.Unlock()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	errs := make([]error, len(x.devices))
	var wg sync.WaitGroup
	for i, d := range x.devices {
		wg.Go(func() { errs[i] = d.close() })
	}
	wg.Wait()
	x.unregister()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.workers.Wait()
	}()
	select { // what has ended at this moment counts
	case <-ended:
		return errors.Join(errs...)
	default:
	}
	select {
	case <-ended:
	case <-timer.C:
		errs = append(errs, x.hanging())
	}
	return errors.Join(errs...)
}

// hanging names the devices in which somebody still waits.
func (x *Devices) hanging() error {
	var errs []error
	for _, d := range x.devices {
		d.mu.Lock()
		old := len(pending(d.old)) > 0
		d.mu.Unlock()
		select {
		case <-d.first:
			if !old && d.since.Load() == 0 {
				continue
			}
		default:
		}
		errs = append(errs, fmt.Errorf("disk: %s: the device has not answered for %v", d.o.Dir, closeWait))
	}
	return errors.Join(errs...)
}

// DeviceStats is one device's state.
type DeviceStats struct {
	Dir      string
	SetAside bool // it fails, hangs or is gone, and is not asked
	Paused   bool // it takes no pages
	Stats    Stats
}

// Stats returns the sums over the devices; SetAside if all are. Recovery.Took is the longest.
func (x *Devices) Stats() Stats {
	sum := Stats{SetAside: true, Segments: map[string]int{}}
	for _, d := range x.Devices() {
		s := d.Stats
		sum.Pages, sum.IndexBytes, sum.Bytes = sum.Pages+s.Pages, sum.IndexBytes+s.IndexBytes, sum.Bytes+s.Bytes
		sum.LiveBytes, sum.Size, sum.QueueBytes = sum.LiveBytes+s.LiveBytes, sum.Size+s.Size, sum.QueueBytes+s.QueueBytes
		for state, n := range s.Segments {
			sum.Segments[state] += n
		}
		sum.SetAside = sum.SetAside && d.SetAside
		sum.Recovery.Took = max(sum.Recovery.Took, s.Recovery.Took)
		sum.Recovery.Pages += s.Recovery.Pages
		sum.Recovery.Sealed += s.Recovery.Sealed
		sum.Recovery.Scanned += s.Recovery.Scanned
		sum.Recovery.Skipped += s.Recovery.Skipped
		sum.Recovery.Discarded += s.Recovery.Discarded
	}
	return sum
}

// Devices returns the state of each device, in the order of the options.
func (x *Devices) Devices() []DeviceStats {
	all := make([]DeviceStats, len(x.devices))
	for i, d := range x.devices {
		t := d.tier.Load()
		all[i] = DeviceStats{Dir: d.o.Dir, SetAside: d.aside(), Paused: !d.writable(t)}
		if t != nil {
			all[i].Stats = t.Stats()
		} else {
			all[i].Stats = emptyStats(d.o.Size)
		}
		all[i].Stats.SetAside = all[i].SetAside
	}
	return all
}

func emptyStats(size int64) Stats {
	s := Stats{Size: size, Segments: map[string]int{}}
	for _, name := range stateNames {
		s.Segments[name] = 0
	}
	return s
}
