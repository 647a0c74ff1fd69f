package consistency

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	library "github.com/colinmarc/hdfs/v2"

	"github.com/alio-lake/alio/hdfs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin/origintest"
)

// newHDFS starts a file system and an origin of its root.
func newHDFS(t *testing.T, o harness.HDFSOptions) (*harness.HDFS, *hdfs.Origin) {
	t.Helper()
	fs := harness.NewHDFS(t, o)
	or, err := hdfs.New(hdfs.Options{URI: fs.URI, ConfDir: fs.ConfDir, User: harness.HDFSUser})
	must(t, err)
	t.Cleanup(func() { or.Close() })
	return fs, or
}

// soak is how many operations ALIO_SOAK asks for, or what is asked otherwise.
func soak(t *testing.T, otherwise int) int {
	s := os.Getenv("ALIO_SOAK")
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("ALIO_SOAK=%s: want the number of operations", s)
	}
	return n
}

// A real HDFS whose files are created, appended to (by Hadoop's client and by the Go library), flushed, truncated, overwritten,
// concatenated, renamed, put and given false times all the time: every read through a sidecar is exactly one version, and not older
// than max_age allows. ALIO_SOAK=10000 makes it long.
func TestHDFS(t *testing.T) {
	seed, ops := origintest.Seed(t), soak(t, 300)
	folders := 12
	if ops > 1000 {
		folders = 20
	}
	fs, or := newHDFS(t, harness.HDFSOptions{BlockSize: hdfsBlock})
	h, s := newHistory(), &seeds{}
	var writers []writer
	var all []*hdfsWriter
	for i := range folders {
		// One for each writer: what a client remembers of the NameNode is not guarded against a second goroutine.
		goFS, err := library.NewClient(library.ClientOptions{Addresses: fs.NameNodes, User: harness.HDFSUser})
		must(t, err)
		defer goFS.Close()
		w := newHDFSWriter(h, s, fs, goFS, or, fmt.Sprintf("lake/%02d", i))
		writers, all = append(writers, w), append(all, w)
	}
	begun := time.Now()
	n := plan{seed: seed, ops: ops, readers: 4, span: 6 * hdfsBlock}.run(t, h, writers, sidecars(t, or, 0, 200*time.Millisecond))
	by := map[string]int{}
	for _, w := range all {
		for name, k := range w.count {
			by[name] += k
		}
	}
	t.Logf("%d operations on %d files in %.0f s (%v); %s", n, 3*folders, time.Since(begun).Seconds(), by, h.report())
	if n != int64(ops) || h.overlapping.Load() == 0 {
		t.Errorf("%d of %d operations, %d reads beside a write", n, ops, h.overlapping.Load())
	}
	if by["given up"] > max(2, ops/50) {
		t.Errorf("%d of %d operations failed at the file system", by["given up"], ops)
	}
	for _, o := range hdfsOps {
		if by[o.name] == 0 {
			t.Errorf("no %s in %v", o.name, slices.Sorted(maps.Keys(by)))
		}
	}
}
