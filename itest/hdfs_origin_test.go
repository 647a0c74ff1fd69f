package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/hdfs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// lake is a file system and a folder of it that one test has for itself.
type lake struct {
	*harness.HDFS
	dir string
}

var lakes atomic.Int64

func newLake(h *harness.HDFS) lake {
	return lake{HDFS: h, dir: fmt.Sprintf("/lake-%d", lakes.Add(1))}
}

func (l lake) origin(t testing.TB, change ...func(*hdfs.Options)) *hdfs.Origin {
	t.Helper()
	opts := hdfs.Options{URI: l.URI + l.dir, ConfDir: l.ConfDir, User: harness.HDFSUser}
	for _, c := range change {
		c(&opts)
	}
	o, err := hdfs.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() }) // never fails
	return o
}

func (l lake) do(t testing.TB, format string, args ...any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := l.Do(ctx, fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// at is a path of the lake as a word of a command.
func (l lake) at(path string) string { return harness.HDFSArg(l.dir + "/" + path) }

func (l lake) put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := l.Put(context.Background(), l.dir+"/"+path, data); err != nil {
		t.Fatalf("put %q: %v", path, err)
	}
}

// pattern is n bytes of a seed's sequence.
func pattern(seed uint64, off, n int64) []byte {
	b := make([]byte, n)
	harness.Pattern(b, seed, off)
	return b
}

// hdfsRefuses are keys that HDFS cannot hold, or not beside the suite's others.
func hdfsRefuses(key string) bool {
	for s := range strings.SplitSeq(key, "/") {
		if s == "" || s == "." || s == ".." || strings.Contains(s, ":") {
			return true
		}
	}
	return key == "t0"
}

func (l lake) fixture(o origin.Origin) origintest.Fixture {
	return origintest.Fixture{
		Origin:  o,
		Put:     l.put,
		Delete:  func(t testing.TB, path string) { l.do(t, "delete %s", l.at(path)) },
		Refuses: hdfsRefuses,
	}
}

// written is a fixture that changes the lake through the origin itself.
func (l lake) written(o *hdfs.Origin) origintest.Fixture {
	f := l.fixture(o)
	f.Put = func(t testing.TB, path string, data []byte) {
		t.Helper()
		obj, err := o.Put(context.Background(), path, bytes.NewReader(data), int64(len(data)))
		if err != nil || obj.Size != int64(len(data)) {
			t.Fatalf("put %q: %+v, %v", path, obj, err)
		}
	}
	f.Delete = func(t testing.TB, path string) {
		t.Helper()
		if err := o.Delete(context.Background(), path); err != nil {
			t.Fatalf("delete %q: %v", path, err)
		}
	}
	return f
}

func TestHDFSOriginConformance(t *testing.T) {
	h := harness.NewHDFS(t, harness.HDFSOptions{DataNodes: 2, BlockSize: 1 << 20})
	t.Run("alone", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			l := newLake(h)
			return l.fixture(l.origin(t))
		})
	})
	t.Run("written", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			l := newLake(h)
			return l.written(l.origin(t, func(o *hdfs.Options) { o.Buffer = 100_000 }))
		})
	})
	t.Run("wrapped", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origintest.Fixture {
			l := newLake(h)
			return l.fixture(stack(t, l.origin(t)))
		})
	})
}

func stat(t testing.TB, o origin.Origin, path string) origin.Object {
	t.Helper()
	obj, err := o.Stat(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

// wantBytes reads a whole file at a version and compares.
func wantBytes(t testing.TB, o origin.Origin, obj origin.Object, want []byte) {
	t.Helper()
	c, got, err := readAll(o, origin.ReadRequest{Path: obj.Path, Version: obj.Version, Length: origin.WholeRange})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q at %s: %d bytes of %d, %v", obj.Path, c.Object.Version, len(got), len(want), err)
	}
}

// TestHDFSVersions goes through what changes a file on HDFS: every change that may change a byte changes the version, and what cannot does not; parts
// that a change has not touched keep their ids.
func TestHDFSVersions(t *testing.T) {
	l := newLake(harness.NewHDFS(t, harness.HDFSOptions{BlockSize: 1 << 16}))
	o := l.origin(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	f := l.at("f")
	l.do(t, "create a %s", f)
	l.do(t, "fill a 1 0 150000") // two blocks and a piece
	l.do(t, "close a")
	closed := stat(t, o, "f")
	if len(closed.Parts) != 3 || closed.Parts[2].ID == "" || closed.Size != 150000 {
		t.Fatalf("closed: %+v", closed)
	}
	wantBytes(t, o, closed, pattern(1, 0, 150000))

	same := func(what string) {
		t.Helper()
		if now := stat(t, o, "f"); now.Version != closed.Version {
			t.Errorf("%s changed the version from %q to %q", what, closed.Version, now.Version)
		}
	}
	l.do(t, "settimes %s 1000000000000 1000000000000", f)
	same("setting times")
	l.do(t, "setrep %s 2", f)
	same("setting the replication")
	l.do(t, "chmod %s 600", f)
	same("setting permissions")

	seen := map[origin.Version]string{closed.Version: "closed"}
	changed := func(what string, size int64, open bool) origin.Object {
		t.Helper()
		now := stat(t, o, "f")
		if was, ok := seen[now.Version]; ok {
			t.Errorf("%s has the version of %q", what, was)
		}
		seen[now.Version] = what
		last := now.Parts[len(now.Parts)-1]
		if now.Size != size || (last.ID == "") != open {
			t.Errorf("%s: %d bytes, parts %+v; want %d, open %v", what, now.Size, now.Parts, size, open)
		}
		return now
	}
	l.do(t, "append a %s", f)
	l.do(t, "fill a 1 150000 1000")
	l.do(t, "hflush a")
	open := changed("appended and flushed", 151000, true)
	if open.Parts[0] != closed.Parts[0] || open.Parts[1] != closed.Parts[1] {
		t.Errorf("an append changed earlier parts: %+v, %+v", closed.Parts, open.Parts)
	}
	wantBytes(t, o, open, pattern(1, 0, 151000))
	if _, _, err := readAll(o, origin.ReadRequest{Path: "f", Version: closed.Version, Length: 10}); !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("a read of the version before: %v", err)
	}
	l.do(t, "fill a 1 151000 1000")
	l.do(t, "hsyncu a")
	synced := changed("synced with the length", 152000, true)
	wantBytes(t, o, synced, pattern(1, 0, 152000))
	l.do(t, "close a")
	wantBytes(t, o, changed("closed again", 152000, false), pattern(1, 0, 152000))

	l.do(t, "truncate %s 140000", f)
	// Until the block is recovered the NameNode tells the length, stamp and bytes of before, as it did while they were appended; they still are what
	// DataNodes answer.
	delete(seen, synced.Version)
	wantBytes(t, o, changed("being truncated", 152000, true), pattern(1, 0, 152000))
	if err := l.Settled(ctx, l.dir+"/f"); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, o, changed("truncated", 140000, false), pattern(1, 0, 140000))
	l.do(t, "truncate %s 131072", f)
	wantBytes(t, o, changed("truncated at a block's end", 131072, false), pattern(1, 0, 131072))
	l.do(t, "append a %s", f)
	l.do(t, "fill a 2 0 500")
	l.do(t, "close a")
	wantBytes(t, o, changed("appended behind full blocks", 131572, false), append(pattern(1, 0, 131072), pattern(2, 0, 500)...))
	l.put(t, "g", pattern(3, 0, 700))
	g := stat(t, o, "g")
	l.do(t, "concat %s %s", f, l.at("g"))
	joined := changed("concatenated", 132272, false)
	if joined.Parts[len(joined.Parts)-1].ID != g.Parts[0].ID {
		t.Errorf("a concat renamed a block: %+v, %+v", g.Parts, joined.Parts)
	}
	wantBytes(t, o, joined, append(append(pattern(1, 0, 131072), pattern(2, 0, 500)...), pattern(3, 0, 700)...))
	closed = joined
	l.do(t, "rename %s %s", f, l.at("other"))
	l.do(t, "rename %s %s", l.at("other"), f)
	same("renaming there and back")
	l.do(t, "namenode restart 0")
	l.do(t, "datanode restart 0")
	same("a restart")
	l.put(t, "f", pattern(4, 0, 132272))
	wantBytes(t, o, changed("overwritten", 132272, false), pattern(4, 0, 132272))
}
