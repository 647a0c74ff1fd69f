package origintest

import (
	"bytes"
	"errors"
	"io"
	"sync"
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
	if _, err := w.Put(t.Context(), path, bytes.NewReader(nil), 0, origin.PutOptions{}); errors.Is(err, origin.ErrUnsupported) || errors.Is(err, origin.ErrDenied) {
		wantKind(t, "put", err, origin.Kind(err), path)
		return
	}
	for i, size := range []int{1000, 0, 3 << 20, 1000} {
		data, told := random(uint64(200+i), size), int64(size)
		if i%2 == 0 {
			told = -1
		}
		put, err := w.Put(t.Context(), path, bytes.NewReader(data), told, origin.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checkObject(t, f.Origin, put, path, size)
		checkStored(t, f.Origin, put, data)
	}
	testTornWrites(t, f.Origin, w, path)
	testCreate(t, f, w)
	for range 2 { // the second one finds nothing, which is no error
		if err := w.Delete(t.Context(), path); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	_, err := f.Origin.Stat(t.Context(), path)
	wantKind(t, "stat of a deleted object", err, origin.ErrNotFound, path)
	_, err = w.Put(t.Context(), "", bytes.NewReader(nil), 0, origin.PutOptions{})
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

// testCreate writes only where nothing is: what is there stays as it is, and of several at once exactly one writes.
func testCreate(t *testing.T, f Fixture, w origin.Writer) {
	create := origin.PutOptions{IfAbsent: true}
	data := random(220, 5000)
	f.Put(t, "c/there", data)
	before, err := f.Origin.Stat(t.Context(), "c/there")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 5000, 3 << 20} {
		_, err := w.Put(t.Context(), "c/there", bytes.NewReader(random(221, size)), int64(size), create)
		wantKind(t, "put where an object is", err, origin.ErrVersionChanged, "c/there")
	}
	checkStored(t, f.Origin, before, data)
	for i, size := range []int{0, 5000} { // the second one is of a path that had an object
		put, err := w.Put(t.Context(), "c/new", bytes.NewReader(random(222, size)), -1, create)
		if err != nil {
			t.Fatalf("put %d where nothing is: %v", i, err)
		}
		checkStored(t, f.Origin, put, random(222, size))
		if err := w.Delete(t.Context(), "c/new"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = w.Put(t.Context(), "c/new", iotest.ErrReader(errors.New("the client went away")), -1, create)
	_, missing := f.Origin.Stat(t.Context(), "c/new")
	if err == nil || !errors.Is(missing, origin.ErrNotFound) {
		t.Errorf("a body that breaks was written: %v; %v", err, missing)
	}
	for round := range 3 {
		testCreateAtOnce(t, f.Origin, w, "c/race"+string(rune('0'+round)))
	}
}

// testCreateAtOnce has several write one path at once.
func testCreateAtOnce(t *testing.T, o origin.Origin, w origin.Writer, path string) {
	const writers = 4
	var all sync.WaitGroup
	var puts [writers]origin.Object
	var errs [writers]error
	begin := make(chan struct{})
	for i := range writers {
		all.Go(func() {
			<-begin
			puts[i], errs[i] = w.Put(t.Context(), path, bytes.NewReader(random(uint64(230+i), 1000+i)), -1, origin.PutOptions{IfAbsent: true})
		})
	}
	close(begin)
	all.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err != nil:
			wantKind(t, "put beside others", err, origin.ErrVersionChanged, path)
		case won >= 0:
			t.Fatalf("writers %d and %d have both written %q as new", won, i, path)
		default:
			won = i
		}
	}
	if won < 0 {
		t.Fatalf("nobody has written %q: %v", path, errs)
	}
	checkStored(t, o, puts[won], random(uint64(230+won), 1000+won))
}

// testTornWrites writes bodies that are not what they were said to be, or that break: what was there before stays, and nothing new appears.
func testTornWrites(t *testing.T, o origin.Origin, w origin.Writer, path string) {
	data := random(210, 5000)
	before, err := w.Put(t.Context(), path, bytes.NewReader(data), -1, origin.PutOptions{})
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
		if _, err := w.Put(t.Context(), path, c.body, c.size, origin.PutOptions{}); err == nil {
			t.Errorf("a body that is %s was written", name)
		}
		if seeker, ok := c.body.(io.Seeker); ok {
			if _, err := seeker.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Put(t.Context(), "w/new", c.body, c.size, origin.PutOptions{}); err == nil {
			t.Errorf("a body that is %s was written under a new name", name)
		}
	}
	checkStored(t, o, before, data)
	_, err = o.Stat(t.Context(), "w/new")
	wantKind(t, "stat of what was never written whole", err, origin.ErrNotFound, "w/new")
}
