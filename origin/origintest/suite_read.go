package origintest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/alio-lake/alio/origin"
)

func testRanges(t *testing.T, f Fixture) {
	data := random(4, 300_007)
	f.Put(t, "x", data)
	obj, err := f.Origin.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(data))
	for _, r := range []struct{ off, length, suffix, wantOff, wantLen int64 }{
		{0, origin.WholeRange, 0, 0, size},
		{0, 1, 0, 0, 1},
		{0, size, 0, 0, size},
		{0, size + 1, 0, 0, size},
		{0, math.MaxInt64, 0, 0, size},
		{17, 1000, 0, 17, 1000},
		{17, origin.WholeRange, 0, 17, size - 17},
		{17, math.MaxInt64, 0, 17, size - 17},
		{size - 1, 1, 0, size - 1, 1},
		{size - 1, origin.WholeRange, 0, size - 1, 1},
		{size - 10, 100, 0, size - 10, 10},
		{0, 0, 1, size - 1, 1},
		{0, 0, 49152, size - 49152, 49152},
		{0, 0, size, 0, size},
		{0, 0, size + 1, 0, size},
		{5, 7, math.MaxInt64, 0, size},
	} {
		for _, pinned := range []bool{false, true} {
			req := origin.ReadRequest{Path: "x", Offset: r.off, Length: r.length, Suffix: r.suffix}
			if pinned {
				req.Version, req.ETag = obj.Version, obj.ETag
			}
			c, got, err := fetch(t.Context(), f.Origin, req)
			if err != nil {
				t.Errorf("%+v: %v", req, err)
				continue
			}
			if c.Offset != r.wantOff || c.Length != r.wantLen || !bytes.Equal(got, data[r.wantOff:r.wantOff+r.wantLen]) {
				t.Errorf("%+v: answered %d+%d with %d bytes, want %d+%d and exactly those", req, c.Offset, c.Length, len(got), r.wantOff, r.wantLen)
			}
			same(t, obj, c.Object)
			if c.Object.Attributes == nil {
				t.Errorf("%+v: a Read knows the attributes: none is an empty map, not nil", req)
			}
		}
	}
}

func testBadRanges(t *testing.T, f Fixture) {
	f.Put(t, "x", random(5, 100))
	f.Put(t, "empty", nil)
	obj, err := f.Origin.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		path        string
		off, length int64
		size        int64
	}{
		{"x", 100, 1, 100}, {"x", 100, origin.WholeRange, 100}, {"x", 101, 5, 100}, {"x", math.MaxInt64 - 1, 1, 100}, {"x", math.MaxInt64, math.MaxInt64, 100},
		{"empty", 0, 1, 0}, {"empty", 1, origin.WholeRange, 0}, {"empty", 5, 5, 0},
	} {
		for _, pinned := range []bool{false, true} {
			req := origin.ReadRequest{Path: r.path, Offset: r.off, Length: r.length}
			if pinned && r.path == "x" {
				req.Version, req.ETag = obj.Version, obj.ETag
			}
			_, err := f.Origin.Read(t.Context(), req)
			wantKind(t, fmt.Sprintf("%+v", req), err, origin.ErrInvalidRange, r.path)
			var e *origin.Error
			if errors.As(err, &e) && e.Size != r.size {
				t.Errorf("%+v: the error tells the size %d, want %d", req, e.Size, r.size)
			}
		}
	}
}

func testEmpty(t *testing.T, f Fixture) {
	f.Put(t, "empty", nil)
	obj, err := f.Origin.Stat(t.Context(), "empty")
	if err != nil {
		t.Fatal(err)
	}
	checkObject(t, f.Origin, obj, "empty", 0)
	for _, req := range []origin.ReadRequest{{Path: "empty", Length: origin.WholeRange}, {Path: "empty", Suffix: 100}} {
		for _, pinned := range []bool{false, true} {
			if pinned {
				req.Version, req.ETag = obj.Version, obj.ETag
			}
			c, b, err := fetch(t.Context(), f.Origin, req)
			if err != nil || len(b) != 0 || c.Offset != 0 || c.Length != 0 {
				t.Errorf("%+v: %d+%d, %q, %v", req, c.Offset, c.Length, b, err)
				continue
			}
			same(t, obj, c.Object)
		}
	}
}

func testPinnedVersion(t *testing.T, f Fixture) {
	one, two, longer := random(6, 5000), random(7, 5000), random(8, 6000)
	f.Put(t, "x", one)
	old, err := f.Origin.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if old.Version == "" {
		return // nothing can be pinned
	}
	for _, next := range [][]byte{two, longer} {
		f.Put(t, "x", next)
		for _, req := range []origin.ReadRequest{
			{Path: "x", Length: 10}, {Path: "x", Length: origin.WholeRange}, {Path: "x", Offset: 100, Length: 10}, {Path: "x", Suffix: 10},
		} {
			req.Version, req.ETag = old.Version, old.ETag
			_, err := f.Origin.Read(t.Context(), req)
			wantKind(t, fmt.Sprintf("%+v after an overwrite", req), err, origin.ErrVersionChanged, "x")
			req.ETag = ""
			_, err = f.Origin.Read(t.Context(), req)
			wantKind(t, fmt.Sprintf("%+v after an overwrite", req), err, origin.ErrVersionChanged, "x")
		}
		now, b, err := fetch(t.Context(), f.Origin, origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		if err != nil || !bytes.Equal(b, next) || now.Object.Version == old.Version {
			t.Errorf("the present version: %v, version %q after %q", err, now.Object.Version, old.Version)
		}
	}
	f.Delete(t, "x")
	_, err = f.Origin.Read(t.Context(), origin.ReadRequest{Path: "x", Length: 10, Version: old.Version, ETag: old.ETag})
	wantKind(t, "a pinned read of a deleted object", err, origin.ErrNotFound, "x")
}

// testOverwriteDuringRead overwrites an object while bodies of it are open: each ends as one version or with an error, never as a mixture.
func testOverwriteDuringRead(t *testing.T, f Fixture) {
	const size = 4 << 20
	one, two := random(9, size), random(10, size)
	f.Put(t, "x", one)
	for _, pinned := range []bool{true, false} {
		req := origin.ReadRequest{Path: "x", Length: origin.WholeRange}
		obj, err := f.Origin.Stat(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if pinned {
			req.Version, req.ETag = obj.Version, obj.ETag
		}
		c, err := f.Origin.Read(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1000, size)
		if _, err := io.ReadFull(c.Body, got); err != nil {
			t.Fatal(err)
		}
		f.Put(t, "x", two)
		rest, err := io.ReadAll(c.Body)
		got = append(got, rest...)
		if !bytes.HasPrefix(one, got) || err == nil && len(got) != size {
			t.Errorf("pinned %v: %d bytes with error %v are not a beginning of the version that was opened", pinned, len(got), err)
		}
		if err := c.Body.Close(); err != nil {
			t.Error(err)
		}
		f.Put(t, "x", one)
	}
}

// testDeleteDuringRead deletes an object while a body of it is open: it ends whole or with an error.
func testDeleteDuringRead(t *testing.T, f Fixture) {
	data := random(12, 4<<20)
	f.Put(t, "x", data)
	c, err := f.Origin.Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1000, len(data))
	if _, err := io.ReadFull(c.Body, got); err != nil {
		t.Fatal(err)
	}
	f.Delete(t, "x")
	rest, err := io.ReadAll(c.Body)
	got = append(got, rest...)
	if !bytes.HasPrefix(data, got) || err == nil && len(got) != len(data) {
		t.Errorf("%d bytes with error %v are not a beginning of the object that was opened", len(got), err)
	}
	if err := c.Body.Close(); err != nil {
		t.Error(err)
	}
}

// testReborn deletes an object and writes another one of the same name and size: nothing of the first is answered any more.
func testReborn(t *testing.T, f Fixture) {
	one, two := random(13, 3000), random(14, 3000)
	f.Put(t, "x", one)
	old, err := f.Origin.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	f.Delete(t, "x")
	f.Put(t, "x", two)
	if old.Version != "" {
		_, err = f.Origin.Read(t.Context(), origin.ReadRequest{Path: "x", Version: old.Version, ETag: old.ETag, Length: 10})
		wantKind(t, "a pinned read of an object that was born again", err, origin.ErrVersionChanged, "x")
	}
	c, got, err := fetch(t.Context(), f.Origin, origin.ReadRequest{Path: "x", Length: origin.WholeRange})
	if err != nil || !bytes.Equal(got, two) || old.Version != "" && c.Object.Version == old.Version {
		t.Errorf("born again: %d bytes of version %q after %q, %v", len(got), c.Object.Version, old.Version, err)
	}
}

func testPartIDs(t *testing.T, f Fixture) {
	seen := map[string]string{}
	note := func(what, path string) {
		obj, err := f.Origin.Stat(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range obj.Parts {
			if p.ID == "" {
				continue
			}
			if before, ok := seen[p.ID]; ok {
				t.Errorf("%s and %s share the part id %q", before, what, p.ID)
			}
			seen[p.ID] = what
		}
	}
	f.Put(t, "a", []byte("one"))
	note("a, first", "a")
	f.Put(t, "a", []byte("two"))
	note("a, second", "a")
	f.Put(t, "b", []byte("one"))
	note("b with a's first bytes", "b")
	f.Put(t, "c", []byte("two"))
	note("c with a's second bytes", "c")
}

func testConcurrent(t *testing.T, f Fixture) {
	seed := Seed(t)
	const size, workers, each = 128 << 10, 8, 40
	data := random(11, size)
	f.Put(t, "x", data)
	obj, err := f.Origin.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for range each {
				off := rng.Int64N(size)
				req := origin.ReadRequest{Path: "x", Version: obj.Version, ETag: obj.ETag, Offset: off, Length: 1 + rng.Int64N(size-off)}
				_, got, err := fetch(t.Context(), f.Origin, req)
				if err != nil || !bytes.Equal(got, data[off:off+req.Length]) {
					t.Errorf("%+v: %d bytes, %v", req, len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
}
