package origintest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

// Fixture is an empty origin under test and the means to change what is behind it.
type Fixture struct {
	Origin origin.Origin
	// Put stores data under path, in place of what is there.
	Put func(t testing.TB, path string, data []byte)
	// Delete removes path.
	Delete func(t testing.TB, path string)
	// Refuses reports keys that the system behind the origin cannot hold at all (a server that keeps keys as files has no "a//b"); nil: none.
	// The suite then leaves them out.
	Refuses func(path string) bool
}

// Run holds an origin to its contract. start is called once for every group of tests and must return an empty origin each time.
func Run(t *testing.T, start func(t *testing.T) Fixture) {
	for _, g := range []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"Stat", testStat},
		{"NotFound", testNotFound},
		{"Ranges", testRanges},
		{"BadRanges", testBadRanges},
		{"Invalid", testInvalid},
		{"Empty", testEmpty},
		{"PinnedVersion", testPinnedVersion},
		{"OverwriteDuringRead", testOverwriteDuringRead},
		{"DeleteDuringRead", testDeleteDuringRead},
		{"Reborn", testReborn},
		{"PartIDs", testPartIDs},
		{"List", testList},
		{"ListPages", testListPages},
		{"ListDelimiter", testListDelimiter},
		{"ListOrder", testListOrder},
		{"ListConfirms", testListConfirms},
		{"OddKeys", testOddKeys},
		{"Concurrent", testConcurrent},
		{"Context", testContext},
		{"CloseEarly", testCloseEarly},
		{"Writer", testWriter},
	} {
		t.Run(g.name, func(t *testing.T) { g.run(t, start(t)) })
	}
}

// random returns n bytes that a seed decides.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = rng.Read(b) // never fails
	return b
}

// fetch reads all that the origin answers to req.
func fetch(ctx context.Context, o origin.Origin, req origin.ReadRequest) (origin.Content, []byte, error) {
	c, err := o.Read(ctx, req)
	if err != nil {
		return c, nil, err
	}
	b, err := io.ReadAll(c.Body)
	return c, b, errors.Join(err, c.Body.Close())
}

// wantKind checks that err is an *origin.Error of a kind that names the path.
func wantKind(t *testing.T, what string, err, kind error, path string) {
	t.Helper()
	var e *origin.Error
	switch {
	case !errors.Is(err, kind):
		t.Errorf("%s: error %v, want one that is %q", what, err, kind)
	case !errors.As(err, &e):
		t.Errorf("%s: error %v is no *origin.Error", what, err)
	case e.Path != path || e.Op == "":
		t.Errorf("%s: the error speaks of %s %q, not of %q", what, e.Op, e.Path, path)
	}
}

// checkObject checks what must hold of every answered object.
func checkObject(t *testing.T, o origin.Origin, obj origin.Object, path string, size int) {
	t.Helper()
	if obj.Path != path || obj.Size != int64(size) {
		t.Errorf("the object is %q of %d bytes, want %q of %d", obj.Path, obj.Size, path, size)
	}
	if d := time.Since(obj.ModTime); d < -time.Hour || d > time.Hour {
		t.Errorf("%q was modified at %v, which is not now", path, obj.ModTime)
	}
	if obj.Version == "" {
		if len(obj.Parts) != 0 {
			t.Errorf("%q has no version and yet parts, which could be cached: %+v", path, obj.Parts)
		}
		return
	}
	if len(obj.Parts) == 0 && size > 0 {
		t.Errorf("%q has no parts", path)
	}
	end, open := int64(0), false
	for _, p := range obj.Parts {
		if p.Offset != end || p.Length < 0 || p.ID != "" && (!strings.HasPrefix(p.ID, o.ID()) || len(p.ID) == len(o.ID())) {
			t.Errorf("part %+v of %q: want offset %d and an id that begins with %q and says more", p, path, end, o.ID())
		}
		if open && p.ID != "" {
			t.Errorf("part %+v of %q follows one that has no id", p, path)
		}
		open = p.ID == ""
		end += p.Length
	}
	if open && obj.ETag != "" {
		t.Errorf("%q is still being written, and has the ETag %s", path, obj.ETag)
	}
	if end != obj.Size {
		t.Errorf("the parts of %q end at %d of %d bytes", path, end, obj.Size)
	}
}

// same checks that two answers speak of one version of one object.
func same(t *testing.T, a, b origin.Object) {
	t.Helper()
	if a.Path != b.Path || a.Version != b.Version || a.Size != b.Size || a.ETag != b.ETag || !a.ModTime.Equal(b.ModTime) || len(a.Parts) != len(b.Parts) {
		t.Errorf("two answers differ:\n%+v\n%+v", a, b)
		return
	}
	for i := range a.Parts {
		if a.Parts[i] != b.Parts[i] {
			t.Errorf("two answers' parts differ:\n%+v\n%+v", a.Parts[i], b.Parts[i])
		}
	}
}

func testStat(t *testing.T, f Fixture) {
	data := random(1, 1000)
	f.Put(t, "dir/file", data)
	obj, err := f.Origin.Stat(t.Context(), "dir/file")
	if err != nil {
		t.Fatal(err)
	}
	checkObject(t, f.Origin, obj, "dir/file", len(data))
	if obj.Attributes == nil {
		t.Error("a Stat knows the attributes: none is an empty map, not nil")
	}
	again, err := f.Origin.Stat(t.Context(), "dir/file")
	if err != nil {
		t.Fatal(err)
	}
	same(t, obj, again)
	if id := f.Origin.ID(); id == "" || f.Origin.ID() != id {
		t.Errorf("the id %q is empty or moves", id)
	}
}

func testNotFound(t *testing.T, f Fixture) {
	f.Put(t, "dir/file", []byte("x"))
	for _, path := range []string{"absent", "dir/absent", "dir/file2", "dir/fil"} {
		_, err := f.Origin.Stat(t.Context(), path)
		wantKind(t, "stat", err, origin.ErrNotFound, path)
		_, err = f.Origin.Read(t.Context(), origin.ReadRequest{Path: path, Length: 10})
		wantKind(t, "read", err, origin.ErrNotFound, path)
		_, err = f.Origin.Read(t.Context(), origin.ReadRequest{Path: path, Suffix: 10})
		wantKind(t, "suffix read", err, origin.ErrNotFound, path)
	}
	f.Delete(t, "dir/file")
	_, err := f.Origin.Stat(t.Context(), "dir/file")
	wantKind(t, "stat of a deleted object", err, origin.ErrNotFound, "dir/file")
}

func testInvalid(t *testing.T, f Fixture) {
	f.Put(t, "x", []byte("0123456789"))
	for _, req := range []origin.ReadRequest{{Path: "x"}, {Path: "x", Length: -2}, {Path: "x", Offset: -1, Length: 1}, {Path: "x", Suffix: -1, Length: 1}, {Length: 1}} {
		_, err := f.Origin.Read(t.Context(), req)
		wantKind(t, "read", err, origin.ErrInvalid, req.Path)
	}
	_, err := f.Origin.Stat(t.Context(), "")
	wantKind(t, "stat", err, origin.ErrInvalid, "")
	_, err = f.Origin.List(t.Context(), origin.ListRequest{Prefix: "x", MaxKeys: -1})
	wantKind(t, "list", err, origin.ErrInvalid, "x")
}

func testContext(t *testing.T, f Fixture) {
	data := random(2, 16<<20)
	f.Put(t, "x", data)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Origin.Stat(done, "x")
	_, err2 := f.Origin.Read(done, origin.ReadRequest{Path: "x", Length: 1})
	_, err3 := f.Origin.List(done, origin.ListRequest{})
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := f.Origin.Read(ctx, origin.ReadRequest{Path: "x", Length: origin.WholeRange})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Body.Close()
	head := make([]byte, 100)
	if _, err := io.ReadFull(c.Body, head); err != nil || !bytes.Equal(head, data[:100]) {
		t.Fatalf("the first bytes: %v", err)
	}
	cancel()
	rest, err := io.ReadAll(c.Body)
	if !errors.Is(err, context.Canceled) || !bytes.HasPrefix(data[100:], rest) {
		t.Errorf("a body whose context has ended: %d bytes, %v", len(rest), err)
	}
}

func testCloseEarly(t *testing.T, f Fixture) {
	f.Put(t, "x", random(3, 1<<20))
	for range 3 {
		c, err := f.Origin.Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.Body, make([]byte, 10)); err != nil {
			t.Error(err)
		}
		if err := c.Body.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n, err := c.Body.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("a read after close: %d, %v; want an error that is not io.EOF", n, err)
		}
	}
	if _, b, err := fetch(t.Context(), f.Origin, origin.ReadRequest{Path: "x", Length: origin.WholeRange}); err != nil || len(b) != 1<<20 {
		t.Errorf("after bodies closed early: %d bytes, %v", len(b), err)
	}
}

// Store is what a Fixture needs of an origin in memory (mem.Origin has it).
type Store interface {
	origin.Origin
	Put(path string, data []byte) origin.Object
	Delete(path string) bool
}

// Memory is the Fixture of an origin in memory, read through the wrappers given, innermost first.
func Memory(s Store, wrap ...func(origin.Origin) origin.Origin) Fixture {
	f := Fixture{
		Origin: s,
		Put:    func(_ testing.TB, path string, data []byte) { s.Put(path, data) },
		Delete: func(_ testing.TB, path string) { s.Delete(path) },
	}
	for _, w := range wrap {
		f.Origin = w(f.Origin)
	}
	return f
}
