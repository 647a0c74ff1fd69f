package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// doors are the ways to a warm sidecar that one Read measures.
type doors struct {
	paths  map[string]door
	closes []func() error
}

// door makes Readers of one path.
type door struct {
	dial   func(ctx context.Context, maxBytes int) (load.Reader, error)
	served bool // by the sidecar's process, whose allocations are then counted
}

// openDoors opens those of the paths.
func openDoors(_ context.Context, s *Sidecar, places *Places, paths []string) (*doors, error) {
	d := &doors{paths: map[string]door{}}
	for _, path := range paths {
		switch path {
		case PathPread:
			d.paths[path] = door{dial: func(_ context.Context, n int) (load.Reader, error) { return places.Dial(n) }}
		case PathS3:
			d.paths[path] = door{served: true, dial: func(_ context.Context, n int) (load.Reader, error) { return s.DialS3(n) }}
		default:
			return nil, errors.Join(fmt.Errorf("path %q cannot be measured", path), d.close())
		}
	}
	return d, nil
}

func (d *doors) of(path string) door { return d.paths[path] }

func (d *doors) close() error {
	var errs []error
	for _, c := range d.closes {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
