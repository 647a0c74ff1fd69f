package namespace_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/namespace"
)

// nest is origins in memory, each at a path, and all of them as one.
type nest struct {
	*namespace.Origin
	at map[string]*mem.Origin
}

func newNest(t testing.TB, paths ...string) nest {
	t.Helper()
	n := nest{at: map[string]*mem.Origin{}}
	mounts := map[string]origin.Origin{}
	for _, p := range paths {
		n.at[p] = mem.New("conformance")
		mounts[p] = mem.Writer{Origin: n.at[p]}
	}
	var err error
	if n.Origin, err = namespace.New(mounts); err != nil {
		t.Fatal(err)
	}
	return n
}

// ID is that of each of the origins in memory, which all have one name: the suite wants part ids to begin with it, and those of a namespace are its
// origins' own.
func (n nest) ID() string { return n.at[""].ID() }

// place finds the mount of a path as the documentation says it, without the code under test.
func (n nest) place(path string) (store *mem.Origin, inner string) {
	longest := -1
	for p, o := range n.at {
		below := p + "/"
		if p == "" {
			below = ""
		}
		if strings.HasPrefix(path, below) && len(p) > longest {
			store, inner, longest = o, path[len(below):], len(p)
		}
	}
	return store, inner
}

func (n nest) fixture() origintest.Fixture {
	return origintest.Fixture{
		Origin:  n,
		Put:     func(_ testing.TB, path string, data []byte) { o, inner := n.place(path); o.Put(inner, data) },
		Delete:  func(_ testing.TB, path string) { o, inner := n.place(path); o.Delete(inner) },
		Refuses: func(path string) bool { _, inner := n.place(path); return inner == "" },
	}
}

func TestConformance(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		// A mount point is listed even if it is empty, so every group gets mounts that it uses.
		group := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
		switch group {
		case "List", "ListPages", "ListDelimiter", "ListConfirms":
			return newNest(t, "", "b", "b/3", "c").fixture()
		case "OddKeys":
			return newNest(t, "", "a").fixture()
		}
		return newNest(t, "", "dir", "t", "t/2", "w").fixture()
	})
}

func TestConformanceOfASingleMount(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture { return newNest(t, "").fixture() })
}

func TestReadOnlyConformance(t *testing.T) {
	origintest.Run(t, func(*testing.T) origintest.Fixture {
		return origintest.Memory(mem.New("conformance"), func(o origin.Origin) origin.Origin { return namespace.NewReadOnly(o, "lake") })
	})
}

func TestPathsThatCannotBeMounts(t *testing.T) {
	_, err := namespace.New(map[string]origin.Origin{"a//b": nil, "/a": nil, "a/": nil, "a/../b": nil, ".": nil, "a": nil})
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("want five faults at once, got %v", err)
	}
	if _, err := namespace.New(nil); err == nil {
		t.Error("no mounts, and no error")
	}
}

func TestPathsWithoutAMount(t *testing.T) {
	n := newNest(t, "a/b", "c")
	n.at["a/b"].Put("x", []byte("one"))
	for _, path := range []string{"a", "a/", "a/x", "a/bx", "d", "c/", "a/b/"} {
		_, err := n.Stat(t.Context(), path)
		if !errors.Is(err, origin.ErrNotFound) || !strings.Contains(err.Error(), "mount") {
			t.Errorf("stat %q: %v", path, err)
		}
		if _, err := n.Put(t.Context(), path, strings.NewReader("x"), 1, origin.PutOptions{}); !errors.Is(err, origin.ErrInvalid) {
			t.Errorf("put %q: %v", path, err)
		}
	}
	if obj, err := n.Stat(t.Context(), "a/b/x"); err != nil || obj.Path != "a/b/x" {
		t.Errorf("%+v, %v", obj, err)
	}
	l, err := n.List(t.Context(), origin.ListRequest{Prefix: "a/", Delimiter: "/"})
	if err != nil || len(l.Entries) != 0 || len(l.CommonPrefixes) != 1 || l.CommonPrefixes[0] != "a/b/" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestErrorsSpeakOfTheOuterPath(t *testing.T) {
	faulty := origintest.NewFaulty(mem.New("archive"), 1)
	n, err := namespace.New(map[string]origin.Origin{"": mem.New("lake"), "archive": faulty})
	if err != nil {
		t.Fatal(err)
	}
	faulty.Add(origintest.Rule{Effect: origintest.FailAfter(origin.ErrThrottled, time.Minute)})
	_, err = n.Stat(t.Context(), "archive/x")
	var e *origin.Error
	if !errors.As(err, &e) || e.Path != "archive/x" || !errors.Is(err, origin.ErrThrottled) || origin.RetryAfter(err) != time.Minute {
		t.Errorf("%v", err)
	}
	if _, err := n.List(t.Context(), origin.ListRequest{Prefix: "ar"}); !errors.As(err, &e) || e.Path != "ar" || !errors.Is(err, origin.ErrThrottled) {
		t.Errorf("a listing that needs an origin which fails: %v", err)
	}
	l, err := n.List(t.Context(), origin.ListRequest{Prefix: "ar", Delimiter: "/"})
	if err != nil || len(l.CommonPrefixes) != 1 {
		t.Errorf("a folded listing asks nothing of a mount point: %+v, %v", l, err)
	}
}

// doors is an origin that takes writes both ways.
type doors struct {
	*mem.Origin
	forwarded string
}

func (d *doors) Forward(_ context.Context, path string, _ *http.Request) (*http.Response, error) {
	d.forwarded = path
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

func TestWritesGoToTheOriginThatHoldsThePath(t *testing.T) {
	root, archive := &doors{Origin: mem.New("lake")}, mem.Writer{Origin: mem.New("archive")}
	n, err := namespace.New(map[string]origin.Origin{"": root, "archive": archive, "kept": namespace.NewReadOnly(mem.Writer{Origin: mem.New("kept")}, "lake/kept")})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPut, "http://door/lake/x", nil)
	if _, err := n.Forward(t.Context(), "x", req); err != nil || root.forwarded != "x" {
		t.Errorf("forward: %q %v", root.forwarded, err)
	}
	if _, err := n.Forward(t.Context(), "archive/x", req); !errors.Is(err, origin.ErrUnsupported) {
		t.Errorf("forward to an origin that does not speak S3: %v", err)
	}
	if _, err := n.Forward(t.Context(), "", req); !errors.Is(err, origin.ErrUnsupported) || !strings.Contains(err.Error(), "archive") {
		t.Errorf("forward of the whole: %v", err)
	}
	obj, err := n.Put(t.Context(), "archive/x", strings.NewReader("one"), 3, origin.PutOptions{})
	if err != nil || obj.Path != "archive/x" {
		t.Errorf("put: %+v %v", obj, err)
	}
	if _, err := archive.Stat(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	_, err = n.Put(t.Context(), "archive/x", strings.NewReader("two"), 3, origin.PutOptions{IfAbsent: true})
	var e *origin.Error
	if !errors.Is(err, origin.ErrVersionChanged) || !errors.As(err, &e) || e.Path != "archive/x" {
		t.Errorf("put where an object is: %v", err)
	}
	if _, err := n.Put(t.Context(), "x", strings.NewReader("one"), 3, origin.PutOptions{}); !errors.Is(err, origin.ErrUnsupported) {
		t.Errorf("put to an origin that only speaks S3: %v", err)
	}
	if err := n.Delete(t.Context(), "archive/x"); err != nil {
		t.Error(err)
	}
	if _, err := n.Stat(t.Context(), "archive/x"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("after a delete: %v", err)
	}
	_, errPut := n.Put(t.Context(), "kept/x", strings.NewReader("one"), 3, origin.PutOptions{})
	for _, err := range []error{errPut, n.Delete(t.Context(), "kept/x")} {
		if !errors.Is(err, origin.ErrDenied) || !strings.Contains(err.Error(), "mounts.lake/kept.writes") {
			t.Errorf("a write to a read-only mount: %v", err)
		}
	}
}

func TestReadOnlyForwardsReads(t *testing.T) {
	d := &doors{Origin: mem.New("lake")}
	r := namespace.NewReadOnly(d, "lake")
	get, _ := http.NewRequest(http.MethodGet, "http://door/lake/x", nil)
	put, _ := http.NewRequest(http.MethodPut, "http://door/lake/x", nil)
	if _, err := r.Forward(t.Context(), "x", get); err != nil || d.forwarded != "x" {
		t.Errorf("%q %v", d.forwarded, err)
	}
	if _, err := r.Forward(t.Context(), "y", put); !errors.Is(err, origin.ErrDenied) || d.forwarded == "y" {
		t.Errorf("%q %v", d.forwarded, err)
	}
	if _, err := namespace.NewReadOnly(mem.New("lake"), "lake").Forward(t.Context(), "x", get); !errors.Is(err, origin.ErrUnsupported) {
		t.Error(err)
	}
}
