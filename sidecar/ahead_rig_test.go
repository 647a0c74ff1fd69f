package sidecar_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// fetching turns prefetching on.
func fetching(s prefetch.Settings) func(*sidecar.Options, *cache.Options) {
	return func(o *sidecar.Options, _ *cache.Options) { o.Prefetch = s }
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// idle waits until nothing is being fetched ahead, and checks the account.
func (r *rig) idle() sidecar.PrefetchStatus {
	r.t.Helper()
	eventually(r.t, "prefetches end", func() bool { return r.Status().Prefetch.Jobs == 0 })
	st := r.Status().Prefetch
	if st.Issued != st.Useful+st.Wasted+st.Pending {
		r.t.Errorf("the account does not add up: %+v", st)
	}
	return st
}

// chunks are the extents of a file's column chunks, by column: those of lakeFile have one row group after the other.
func chunks(t *testing.T, path string, data []byte) [][]formats.Extent {
	t.Helper()
	columns, err := formats.ReadColumns(path, int64(len(data)), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var names []uint64
	columns.Extents(func(name uint64) bool { names = append(names, name); return false })
	out := make([][]formats.Extent, len(names))
	for i, name := range names {
		out[i] = columns.Extents(func(n uint64) bool { return n == name })
	}
	return out
}

// ranges are those that the origin was asked for since the last time, by path.
func (r *rig) ranges(size int64) map[string][]formats.Extent {
	out := map[string][]formats.Extent{}
	for _, c := range r.origin.Calls("") {
		if c.Op != origintest.OpRead {
			continue
		}
		if off, n, err := c.Read.Resolve(size); err == nil {
			out[c.Path] = append(out[c.Path], formats.Extent{Start: off, End: off + n})
		}
	}
	r.origin.Forget()
	return out
}

// scan reads of a file what a query over some of its columns reads.
func (r *rig) scan(path string, data []byte, columns ...int) {
	r.t.Helper()
	r.want(path, data, 0, 0, 48<<10)
	r.idle()
	at := chunks(r.t, path, data)
	for _, c := range columns {
		for _, e := range at[c] {
			r.want(path, data, e.Start, e.End-e.Start, 0)
		}
	}
}

// held stops the origin's reads that begin at one place.
type held struct {
	came, free chan struct{}
	once       sync.Once
}

func (h *held) release() { h.once.Do(func() { close(h.free) }) }

func (h *held) reached(t *testing.T) {
	t.Helper()
	select {
	case <-h.came:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody asked")
	}
}

// holding is an origin one of whose reads waits.
type holding struct {
	origin.Origin
	mu   sync.Mutex
	path string
	off  int64
	at   *held
}

func (o *holding) Unwrap() origin.Origin { return o.Origin }

func (o *holding) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	o.mu.Lock()
	at := o.at
	here := at != nil && req.Path == o.path && req.Offset == o.off && req.Suffix == 0
	o.mu.Unlock()
	c, err := o.Origin.Read(ctx, req)
	if here && err == nil {
		close(at.came)
		select {
		case <-at.free:
		case <-ctx.Done():
			c.Body.Close()
			return origin.Content{}, origin.NewError(origin.ErrUnavailable, "read", req.Path, ctx.Err())
		}
	}
	return c, err
}

// newHoldingRig is a rig that fetches ahead of its readers from an origin that can be held.
func newHoldingRig(t *testing.T) (*rig, *holding) {
	r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
	o := &holding{Origin: r.origin}
	if err := r.Reload(map[string]origin.Origin{"lake": o}, nil); err != nil {
		t.Fatal(err)
	}
	return r, o
}

// hold has reads of a path that begin at off wait.
func (o *holding) hold(t *testing.T, path string, off int64) *held {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.path, o.off, o.at = path, off, &held{came: make(chan struct{}), free: make(chan struct{})}
	t.Cleanup(o.at.release)
	return o.at
}

// table puts a table of formats/testdata into the store.
func (r *rig) table(name string) {
	r.t.Helper()
	root := "../formats/testdata/tables"
	err := filepath.WalkDir(filepath.Join(root, name), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		r.store.Put(filepath.ToSlash(rel), data)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// all reads a whole file.
func (r *rig) all(path string) error {
	c, err := r.Open(r.t.Context(), "lake", origin.ReadRequest{Path: path, Length: origin.WholeRange}, nil)
	if err != nil {
		return err
	}
	defer c.Body.Close()
	_, err = io.Copy(io.Discard, c.Body)
	return err
}

// asked names the files that the origin was asked for, sorted, each once.
func (r *rig) asked() string {
	var out []string
	for _, c := range r.origin.Calls("") {
		out = append(out, filepath.Base(c.Path))
	}
	r.origin.Forget()
	slices.Sort(out)
	return strings.Join(out, " ")
}
