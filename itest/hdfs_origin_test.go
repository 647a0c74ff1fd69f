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
		obj, err := o.Put(context.Background(), path, bytes.NewReader(data), int64(len(data)), origin.PutOptions{})
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

// history is a file that changes, and the versions that it has had.
type history struct {
	lake
	t    *testing.T
	o    origin.Origin
	seen map[origin.Version]string
}

// changed checks that what happened to the file f gave it a version that it never had, and a length; open: its last block has no id.
func (h history) changed(what string, size int64, open bool) origin.Object {
	h.t.Helper()
	now := stat(h.t, h.o, "f")
	if was, ok := h.seen[now.Version]; ok {
		h.t.Errorf("%s has the version of %q", what, was)
	}
	h.seen[now.Version] = what
	if now.Size != size || now.Unfinished() != open || (now.ETag == "") != open {
		h.t.Errorf("%s: %+v; want %d bytes, open %v", what, now, size, open)
	}
	return now
}

// same checks that it did not.
func (h history) same(what string, before origin.Object) {
	h.t.Helper()
	if now := stat(h.t, h.o, "f"); now.Version != before.Version {
		h.t.Errorf("%s changed the version from %q to %q", what, before.Version, now.Version)
	}
}

// TestHDFSVersions goes through what changes a file on HDFS: every change that may change a byte changes the version, and what cannot does not; parts
// that a change has not touched keep their ids.
func TestHDFSVersions(t *testing.T) {
	l := newLake(harness.NewHDFS(t, harness.HDFSOptions{BlockSize: 1 << 16}))
	h := history{l, t, l.origin(t), map[origin.Version]string{}}
	f := l.at("f")
	l.do(t, "create a %s", f)
	l.do(t, "fill a 1 0 150000") // two blocks and a piece
	l.do(t, "close a")
	closed := h.changed("closed", 150000, false)
	if len(closed.Parts) != 3 {
		t.Fatalf("closed: %+v", closed)
	}
	wantBytes(t, h.o, closed, pattern(1, 0, 150000))
	l.do(t, "settimes %s 1000000000000 1000000000000", f)
	h.same("setting times", closed)
	l.do(t, "setrep %s 2", f)
	h.same("setting the replication", closed)
	l.do(t, "chmod %s 600", f)
	h.same("setting permissions", closed)
	h.appendAndTruncate(closed)
	joined := h.concatenate()
	l.do(t, "rename %s %s", f, l.at("other"))
	l.do(t, "rename %s %s", l.at("other"), f)
	h.same("renaming there and back", joined)
	l.do(t, "namenode restart 0")
	l.do(t, "datanode restart 0")
	h.same("a restart", joined)
	l.put(t, "f", pattern(4, 0, 132272))
	wantBytes(t, h.o, h.changed("overwritten", 132272, false), pattern(4, 0, 132272))
}

func (h history) appendAndTruncate(closed origin.Object) {
	t, f := h.t, h.at("f")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h.do(t, "append a %s", f)
	h.do(t, "fill a 1 150000 1000")
	h.do(t, "hflush a")
	open := h.changed("appended and flushed", 151000, true)
	if open.Parts[0] != closed.Parts[0] || open.Parts[1] != closed.Parts[1] {
		t.Errorf("an append changed earlier parts: %+v, %+v", closed.Parts, open.Parts)
	}
	wantBytes(t, h.o, open, pattern(1, 0, 151000))
	if _, _, err := readAll(h.o, origin.ReadRequest{Path: "f", Version: closed.Version, Length: 10}); !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("a read of the version before: %v", err)
	}
	h.do(t, "fill a 1 151000 1000")
	h.do(t, "hsyncu a")
	synced := h.changed("synced with the length", 152000, true)
	wantBytes(t, h.o, synced, pattern(1, 0, 152000))
	h.do(t, "close a")
	wantBytes(t, h.o, h.changed("closed again", 152000, false), pattern(1, 0, 152000))

	h.do(t, "truncate %s 140000", f)
	// Until the block is recovered the NameNode tells the length, stamp and bytes of before, as it did while they were appended; they still are what
	// DataNodes answer.
	delete(h.seen, synced.Version)
	wantBytes(t, h.o, h.changed("being truncated", 152000, true), pattern(1, 0, 152000))
	if err := h.Settled(ctx, h.dir+"/f"); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, h.o, h.changed("truncated", 140000, false), pattern(1, 0, 140000))
	h.do(t, "append a %s", f)
	h.do(t, "fill a 2 140000 12000")
	h.do(t, "close a")
	grown := h.changed("grown to the length of before, but for the stamp the same", 152000, false)
	wantBytes(t, h.o, grown, append(pattern(1, 0, 140000), pattern(2, 140000, 12000)...))
	h.do(t, "truncate %s 131072", f)
	wantBytes(t, h.o, h.changed("truncated at a block's end", 131072, false), pattern(1, 0, 131072))
}

func (h history) concatenate() origin.Object {
	t, f := h.t, h.at("f")
	h.do(t, "append a %s", f)
	h.do(t, "fill a 2 0 500")
	h.do(t, "close a")
	wantBytes(t, h.o, h.changed("appended behind full blocks", 131572, false), append(pattern(1, 0, 131072), pattern(2, 0, 500)...))
	h.put(t, "g", pattern(3, 0, 700))
	g := stat(t, h.o, "g")
	h.do(t, "concat %s %s", f, h.at("g"))
	joined := h.changed("concatenated", 132272, false)
	if joined.Parts[len(joined.Parts)-1].ID != g.Parts[0].ID {
		t.Errorf("a concat renamed a block: %+v, %+v", g.Parts, joined.Parts)
	}
	wantBytes(t, h.o, joined, append(append(pattern(1, 0, 131072), pattern(2, 0, 500)...), pattern(3, 0, 700)...))
	return joined
}
