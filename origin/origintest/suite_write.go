package origintest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/alio-lake/alio/origin"
)

// testWriter holds an origin that can be written to (origin.Writer) to that contract. An origin that cannot be passes, and so does a wrapper that says so of
// what it wraps.
func testWriter(t *testing.T, f Fixture) {
	w, ok := origin.As[origin.Writer](f.Origin)
	if !ok {
		return
	}
	const path = "w/a b+%41"
	if _, err := w.Put(t.Context(), path, bytes.NewReader(nil), 0); errors.Is(err, origin.ErrUnsupported) || errors.Is(err, origin.ErrDenied) {
		wantKind(t, "put", err, origin.Kind(err), path)
		return
	}
	for i, size := range []int{1000, 0, 3 << 20, 1000} {
		data, told := random(uint64(200+i), size), int64(size)
		if i%2 == 0 {
			told = -1
		}
		put, err := w.Put(t.Context(), path, bytes.NewReader(data), told)
		if err != nil {
			t.Fatal(err)
		}
		checkObject(t, f.Origin, put, path, size)
		checkStored(t, f.Origin, put, data)
	}
	testTornWrites(t, f.Origin, w, path)
	for range 2 { // the second one finds nothing, which is no error
		if err := w.Delete(t.Context(), path); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	_, err := f.Origin.Stat(t.Context(), path)
	wantKind(t, "stat of a deleted object", err, origin.ErrNotFound, path)
	_, err = w.Put(t.Context(), "", bytes.NewReader(nil), 0)
	wantKind(t, "put", err, origin.ErrInvalid, "")
	wantKind(t, "delete", w.Delete(t.Context(), ""), origin.ErrInvalid, "")
}

// checkStored checks that the object is there, as it was answered.
func checkStored(t *testing.T, o origin.Origin, want origin.Object, data []byte) {
	t.Helper()
	stat, err := o.Stat(t.Context(), want.Path)
	if err != nil {
		t.Fatal(err)
	}
	want.ModTime = stat.ModTime // an answer to a write may tell it more exactly
	same(t, want, stat)
	_, got, err := fetch(t.Context(), o, origin.ReadRequest{Path: want.Path, Version: want.Version, ETag: want.ETag, Length: origin.WholeRange})
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read back %d of %d bytes, %v", len(got), len(data), err)
	}
}

// testTornWrites writes bodies that are not what they were said to be, or that break: what was there before stays, and nothing new appears.
func testTornWrites(t *testing.T, o origin.Origin, w origin.Writer, path string) {
	data := random(210, 5000)
	before, err := w.Put(t.Context(), path, bytes.NewReader(data), -1)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the client went away")
	for name, c := range map[string]struct {
		body io.Reader
		size int64
	}{
		"shorter than it was said":   {bytes.NewReader(random(211, 999)), 1000},
		"nothing of what was said":   {bytes.NewReader(nil), 1000},
		"longer than it was said":    {bytes.NewReader(random(212, 1001)), 1000},
		"breaks at its first byte":   {iotest.ErrReader(broken), -1},
		"breaks in the middle":       {io.MultiReader(bytes.NewReader(random(213, 300_000)), iotest.ErrReader(broken)), -1},
		"breaks at its very end":     {io.MultiReader(bytes.NewReader(random(214, 1000)), iotest.ErrReader(broken)), -1},
		"breaks before what is said": {io.MultiReader(bytes.NewReader(random(215, 10)), iotest.ErrReader(broken)), 1000},
	} {
		if _, err := w.Put(t.Context(), path, c.body, c.size); err == nil {
			t.Errorf("a body that is %s was written", name)
		}
		if seeker, ok := c.body.(io.Seeker); ok {
			if _, err := seeker.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Put(t.Context(), "w/new", c.body, c.size); err == nil {
			t.Errorf("a body that is %s was written under a new name", name)
		}
	}
	checkStored(t, o, before, data)
	_, err = o.Stat(t.Context(), "w/new")
	wantKind(t, "stat of what was never written whole", err, origin.ErrNotFound, "w/new")
}
