package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

// gather starts the peers and fills their caches. What was started before an error is in the field.
func gather(ctx context.Context, o options, data load.Data, dir string) (*field, error) {
	f := &field{}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(o.peers, n) })
	}
	for _, step := range []struct {
		want bool
		add  func(context.Context, options, load.Data, string, *field) error
	}{
		{has(peerPread, peerLocal, peerDisk, peerJava, peerJavaMapped), addAlio},
		{has(peerS3, peerGRPC), addHotAlio},
		{has(peerNginx), addNginx},
		{has(peerFloor), addFloor},
		{has(peerCopy), addCopies},
		{has(peerChannel), addChannel},
		{has(peerAlluxio), addAlluxio},
	} {
		if !step.want {
			continue
		}
		if err := step.add(ctx, o, data, dir, f); err != nil {
			return f, err
		}
	}
	return f, nil
}

// startAlio builds this checkout's alio, starts it with so many bytes of memory, and fills its disk tier.
func startAlio(ctx context.Context, data load.Data, dir string, memory int64, f *field) (*bench.Sidecar, *bench.Places, error) {
	bin := filepath.Join(dir, "alio")
	progress("building alio")
	if _, err := output(ctx, "go", "build", "-C", "../..", "-o", bin, "./cmd/alio"); err != nil {
		return nil, nil, fmt.Errorf("build alio (run this in benchmarks/compare, or by make compare): %w", err)
	}
	home, err := os.MkdirTemp(dir, "alio-")
	if err != nil {
		return nil, nil, err
	}
	s, err := bench.StartSidecar(ctx, func(args ...string) *exec.Cmd { return exec.Command(bin, args...) }, data, home, memory)
	if err != nil {
		return nil, nil, err
	}
	f.onClose(s.Close)
	places, err := s.Warm(ctx, progress)
	return s, places, err
}

// addHotAlio adds the doors of a sidecar whose memory has room for all of the data set, and holds it.
func addHotAlio(ctx context.Context, o options, data load.Data, dir string, f *field) error {
	s, err := startHotAlio(ctx, data, dir, f)
	if err != nil {
		return err
	}
	cpu := func() (time.Duration, error) { return proc.CPU(s.PID()) }
	if slices.Contains(o.peers, peerS3) {
		more := func(ctx context.Context) (trial, error) {
			s, err := startHotAlio(ctx, data, dir, f)
			if err != nil {
				return nil, err
			}
			return byReaders(s.DialS3, func() (time.Duration, error) { return proc.CPU(s.PID()) }), nil
		}
		f.add(peer{name: peerS3, what: "Alio's S3 door on TCP, signatures checked, pages from the memory tier",
			setups: []setup{{run: byReaders(s.DialS3, cpu), more: more}}})
	}
	if slices.Contains(o.peers, peerGRPC) {
		f.add(peer{name: peerGRPC, what: "Alio's gRPC door on a Unix socket, pages from the memory tier", setups: []setup{{run: byReaders(s.DialGRPC, cpu)}}})
	}
	return nil
}

// startHotAlio starts a sidecar and makes its memory tier hold all of the data set.
func startHotAlio(ctx context.Context, data load.Data, dir string, f *field) (*bench.Sidecar, error) {
	s, _, err := startAlio(ctx, data, dir, 2*data.Size, f)
	if err != nil {
		return nil, err
	}
	return s, s.MoveUp(ctx, progress)
}

// addAlio adds the paths of a sidecar with next to no memory: pages come from segments, in the page cache, and their sums are checked.
func addAlio(ctx context.Context, o options, data load.Data, dir string, f *field) error {
	s, places, err := startAlio(ctx, data, dir, minMemory, f)
	if err != nil {
		return err
	}
	cpu := func() (time.Duration, error) { return proc.CPU(s.PID()) }
	if slices.Contains(o.peers, peerPread) {
		f.add(peer{name: peerPread, inProcess: true, what: "bare preads of Alio's own segment files: no header, no sum, no look-up",
			setups: []setup{{run: byReaders(places.Dial, ownCPU)}}})
	}
	if slices.Contains(o.peers, peerLocal) {
		l, err := s.OpenLocal(ctx)
		if err != nil {
			return err
		}
		f.onClose(l.Close)
		f.add(peer{name: peerLocal, inProcess: true, what: "Alio's Go client: reads the segments itself and checks their sums",
			setups: []setup{{run: byReaders(func(n int) (load.Reader, error) { return l.Dial(n), nil }, ownCPU)}}})
	}
	if slices.Contains(o.peers, peerDisk) {
		f.add(peer{name: peerDisk, what: "the S3 door with next to no memory: pages from segments, their sums checked", setups: []setup{{run: byReaders(s.DialS3, cpu)}}})
	}
	if slices.Contains(o.peers, peerJava) || slices.Contains(o.peers, peerJavaMapped) {
		return addJava(ctx, o, data, dir, s, f)
	}
	return nil
}

// minMemory is the least that a sidecar accepts.
const minMemory = 1 << 20

// serveOrigin serves the data set over HTTP to a peer that fills its cache from it.
func serveOrigin(data load.Data, f *field) (address string, o *load.Origin, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	o = &load.Origin{Data: data, Bucket: bench.Mount}
	srv := &http.Server{Handler: o, ReadHeaderTimeout: time.Minute}
	go srv.Serve(ln) // ends with Close
	f.onClose(srv.Close)
	return ln.Addr().String(), o, nil
}

// dialHTTP makes the reader of every HTTP server: the requests are signed for all of them, whether they look at it or not.
func dialHTTP(address string, data load.Data) func(int) (load.Reader, error) {
	return func(n int) (load.Reader, error) {
		return load.DialHTTP(load.HTTPOptions{Network: "tcp", Address: address, Bucket: bench.Mount, Data: data, MaxBytes: n,
			AccessKeyID: bench.AccessKeyID, SecretAccessKey: bench.SecretAccessKey})
	}
}

// readAll reads the data set through a Reader and compares every byte.
func readAll(ctx context.Context, dial func(int) (load.Reader, error), data load.Data) (err error) {
	const step = 1 << 20
	r, err := dial(step)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for at := int64(0); at < data.Size; at += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := int(min(step, data.Size-at))
		if err := r.Prepare(at, n); err != nil {
			return err
		}
		b, err := r.Read()
		if err != nil {
			return err
		}
		if err := data.Check(b, at); err != nil {
			return err
		}
	}
	return nil
}

// cacheDir is where downloads are kept: $ALIO_CACHE/compare, by default $HOME/.cache/alio/compare.
func cacheDir() (string, error) {
	dir := os.Getenv("ALIO_CACHE")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for downloads: set ALIO_CACHE: %w", err)
		}
		dir = filepath.Join(home, ".cache", "alio")
	}
	dir, err := filepath.Abs(filepath.Join(dir, "compare"))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// output runs a command and returns what it printed, trimmed.
func output(ctx context.Context, name string, args ...string) (string, error) {
	b, err := proc.Run(ctx, exec.Command(name, args...))
	return strings.TrimSpace(string(b)), err
}
