package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// The peers, as -peers and reports name them.
const (
	peerPread = "pread"
	peerLocal = "alio-local"
	peerS3    = "alio-s3"
	peerDisk  = "alio-s3-disk"
	peerGRPC  = "alio-grpc"
	peerNginx = "nginx"
	peerFloor = "http-floor"
	// comes with http-floor, and is not asked for by name
	peerFloorChecked = "http-floor-checked"
	peerCopy         = "tcp-copy"
	peerAlluxio      = "alluxio"
	peerJava         = "alio-java"
	peerJavaMapped   = "alio-java-mapped"
	peerChannel      = "java-channel"
)

var allPeers = []string{peerPread, peerLocal, peerS3, peerDisk, peerGRPC, peerNginx, peerFloor, peerCopy, peerJava, peerJavaMapped, peerChannel, peerAlluxio}

// peer is one of those that are compared, in one or several set-ups of which the best is taken for each cell.
type peer struct {
	name      string
	what      string // a line for the report
	inProcess bool   // its processor time holds the reader's own
	setups    []setup
}

// setup measures one run of a cell.
type setup struct {
	name string // "" where there is only one
	run  trial
	more func(context.Context) (trial, error) // starts another process of the same; nil: one is enough
}

type trial func(ctx context.Context, cell load.Cell) (sample, error)

// sample is one run.
type sample struct{ p50, p99, gb, cpu float64 } // us, us, GB/s, seconds a GB

// field is everything that was started.
type field struct {
	peers  []peer
	closes []func() error
}

func (f *field) add(p peer)             { f.peers = append(f.peers, p) }
func (f *field) onClose(c func() error) { f.closes = append(f.closes, c) }
func (f *field) close() error {
	var errs []error
	for _, c := range slices.Backward(f.closes) {
		errs = append(errs, c())
	}
	f.closes = nil
	return errors.Join(errs...)
}

// cellResult is what one cell came to for one peer: medians of rounds.
type cellResult struct {
	bytes, readers int
	peer           string
	setup          string
	sample
	all []sample
}

// measure chooses each peer's best set-up for each cell, and then goes round and round.
func measure(ctx context.Context, o options, data load.Data, f *field) ([]*cellResult, error) {
	var cells []*cellResult
	chosen := map[*cellResult]setup{}
	started := processes{count: o.processes, of: map[string][]trial{}}
	for _, bytes := range o.bytes {
		for _, readers := range o.readers {
			for _, p := range f.peers {
				s, err := choose(ctx, o, p, cellOf(o, data, bytes, readers, 0))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", p.name, err)
				}
				c := &cellResult{bytes: bytes, readers: readers, peer: p.name, setup: s.name}
				cells, chosen[c] = append(cells, c), s
				if err := started.start(ctx, p.name, s); err != nil {
					return nil, fmt.Errorf("%s: %w", p.name, err)
				}
			}
		}
	}
	for round := range o.rounds {
		progress("round %d of %d", round+1, o.rounds)
		for i := range cells {
			c := cells[(i+round)%len(cells)] // no peer always comes after the same other one
			s, err := started.run(c.peer, chosen[c], round)(ctx, cellOf(o, data, c.bytes, c.readers, round+1))
			if err != nil {
				return nil, fmt.Errorf("%s, %d bytes, %d readers: %w", c.peer, c.bytes, c.readers, err)
			}
			c.all = append(c.all, s)
		}
	}
	for _, c := range cells {
		c.sample = medians(c.all)
	}
	return cells, nil
}

// processes holds, for each server that is measured, several processes of it, and rounds go from one to the next: where the kernel happened to put a
// process's memory moves its figures by a tenth, for as long as it lives.
type processes struct {
	count int
	of    map[string][]trial
}

func (p *processes) start(ctx context.Context, peer string, s setup) error {
	name := peer + " " + s.name
	for s.more != nil && len(p.of[name]) < p.count-1 {
		progress("process %d of %s", len(p.of[name])+2, name)
		r, err := s.more(ctx)
		if err != nil {
			return err
		}
		p.of[name] = append(p.of[name], r)
	}
	return nil
}

// run is the process whose turn it is in a round.
func (p *processes) run(peer string, s setup, round int) trial {
	more := p.of[peer+" "+s.name]
	if i := round % (len(more) + 1); i > 0 {
		return more[i-1]
	}
	return s.run
}

func cellOf(o options, data load.Data, bytes, readers, round int) load.Cell {
	return load.Cell{Data: data, Bytes: bytes, Readers: readers, Access: load.Uniform, Duration: o.duration, Seed: o.seed + uint64(round)}
}

// chooseRuns is how often each set-up is tried, in turns: one run beside a busy neighbour says little, the best of two says what the set-up can do.
const chooseRuns = 2

// choose runs each set-up, for half the time of a run: with one reader the least median counts, else the most throughput.
func choose(ctx context.Context, o options, p peer, cell load.Cell) (setup, error) {
	if len(p.setups) == 1 {
		return p.setups[0], nil
	}
	cell.Duration = max(o.duration/2, 10*time.Millisecond)
	best := make([]sample, len(p.setups))
	for run := range chooseRuns {
		for i, s := range p.setups {
			got, err := s.run(ctx, cell)
			if err != nil {
				return setup{}, fmt.Errorf("%s: %w", s.name, err)
			}
			if run == 0 || better(cell, got, best[i]) {
				best[i] = got
			}
		}
	}
	at := 0
	for i, s := range p.setups {
		progress("  %s, %d KiB, %d readers, %s: p50 %.1f us, %.2f GB/s, CPU %.2f s/GB", p.name, cell.Bytes>>10, cell.Readers, s.name, best[i].p50, best[i].gb, best[i].cpu)
		if better(cell, best[i], best[at]) {
			at = i
		}
	}
	return p.setups[at], nil
}

func better(cell load.Cell, a, b sample) bool {
	if cell.Readers == 1 {
		return a.p50 < b.p50
	}
	return a.gb > b.gb
}

func medians(all []sample) sample {
	of := func(f func(sample) float64) float64 {
		var v []float64
		for _, s := range all {
			v = append(v, f(s))
		}
		slices.Sort(v)
		if len(v) == 0 {
			return 0
		}
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	return sample{
		p50: of(func(s sample) float64 { return s.p50 }), p99: of(func(s sample) float64 { return s.p99 }),
		gb: of(func(s sample) float64 { return s.gb }), cpu: of(func(s sample) float64 { return s.cpu }),
	}
}

// byReaders measures with Readers of this process; cpu tells the serving processes' time.
func byReaders(dial func(maxBytes int) (load.Reader, error), cpu func() (time.Duration, error)) trial {
	return func(ctx context.Context, cell load.Cell) (sample, error) {
		var at [2]time.Duration
		cell.Dial = func() (load.Reader, error) { return dial(cell.Bytes) }
		cell.Around = func(done bool) (err error) {
			i := 0
			if done {
				i = 1
			}
			at[i], err = cpu()
			return err
		}
		runtime.GC()
		r, err := load.Measure(ctx, cell)
		if err != nil {
			return sample{}, err
		}
		us := func(d time.Duration) float64 { return float64(d) / 1e3 }
		return sample{us(r.Latencies.Quantile(.5)), us(r.Latencies.Quantile(.99)), r.GBPerSecond(), (at[1] - at[0]).Seconds() / (float64(r.Bytes) / 1e9)}, nil
	}
}

// ownCPU is this process's time.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
