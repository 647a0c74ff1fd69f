package sidecar_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/meter"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"

	"github.com/prometheus/client_golang/prometheus"
)

// writing is an origin that takes writes and does not speak S3.
type writing struct {
	origin.Origin
	store  *mem.Origin
	before func() // runs when a request has arrived, before it takes effect
}

func (w *writing) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	w.before()
	return mem.Writer{Origin: w.store}.Put(ctx, path, body, size, opts)
}

func (w *writing) Delete(_ context.Context, path string) error {
	w.before()
	w.store.Delete(path)
	return nil
}

// newWritingRig has a sidecar over an origin that takes writes. Every answer is believed for ever.
func newWritingRig(t *testing.T) (*rig, *writing) {
	w := &writing{before: func() {}}
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		faulty := o.Mounts["lake"].(*origintest.Faulty)
		w.Origin, w.store = faulty, faulty.Origin.(*mem.Origin)
		o.Mounts["lake"], o.Rules = w, askOnce
	})
	return r, w
}

func TestPutAndDeleteAreSeenAtOnce(t *testing.T) {
	r, w := newWritingRig(t)
	missing := func(what string) {
		t.Helper()
		if _, err := r.Stat(t.Context(), "lake", "d/x"); !errors.Is(err, origin.ErrNotFound) {
			t.Fatalf("%s: %v", what, err)
		}
		if n := len(r.list("d/").Entries); n != 0 {
			t.Fatalf("%s: %d entries", what, n)
		}
	}
	missing("before")
	last := ""
	w.before = func() { // answers from during a write are from before it
		if last == "" {
			missing("during")
		} else {
			r.want("d/x", []byte(last), 0, origin.WholeRange, 0)
			r.list("d/")
		}
	}
	for _, data := range []string{"one", "two, longer"} {
		obj, err := r.Put(t.Context(), "lake", "d/x", strings.NewReader(data), int64(len(data)), origin.PutOptions{})
		if err != nil || obj.Size != int64(len(data)) {
			t.Fatal(obj, err)
		}
		for range 2 {
			r.says("after a put", "lake", "d/x", data)
		}
		last = data
	}
	if err := r.Delete(t.Context(), "lake", "d/x"); err != nil {
		t.Fatal(err)
	}
	missing("after a delete")
}

// A put that is refused, since an object is there, tells that what was believed is wrong: the next answer is the truth.
func TestAPutThatIsRefusedRaisesFences(t *testing.T) {
	r, w := newWritingRig(t)
	if _, err := r.Stat(t.Context(), "lake", "d/x"); !errors.Is(err, origin.ErrNotFound) {
		t.Fatal(err)
	}
	if n := len(r.list("d/").Entries); n != 0 {
		t.Fatalf("%d entries", n)
	}
	create := origin.PutOptions{IfAbsent: true}
	w.before = func() {
		if _, err := r.Stat(t.Context(), "lake", "d/x"); !errors.Is(err, origin.ErrNotFound) { // from before it comes
			t.Error(err)
		}
		r.list("d/")
		w.store.Put("d/x", []byte("theirs")) // past the sidecar
	}
	if _, err := r.Put(t.Context(), "lake", "d/x", strings.NewReader("ours"), 4, create); !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("put where an object is: %v", err)
	}
	r.says("after a put that was refused", "lake", "d/x", "theirs")
	if l := r.list("d/"); len(l.Entries) != 1 {
		t.Errorf("the listing has %d entries", len(l.Entries))
	}
	w.before = func() {}
	if _, err := r.Put(t.Context(), "lake", "d/y", strings.NewReader("ours"), 4, create); err != nil {
		t.Error(err)
	}
	r.says("after a put", "lake", "d/y", "ours")
}

// speaker is an origin that speaks S3.
type speaker struct{ *mem.Origin }

func (speaker) Forward(context.Context, string, *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestWhatTakesWrites(t *testing.T) {
	metered, err := meter.New(mem.New("pond"), meter.Options{Mount: "pond", Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	r, w := newWritingRig(t)
	if err := r.Reload(map[string]origin.Origin{"lake": w, "pond": metered, "sea": speaker{mem.New("sea")}}, nil); err != nil {
		t.Fatal(err)
	}
	for mount, want := range map[string]sidecar.Store{"lake": {Writer: true}, "pond": {}, "sea": {S3: true}} {
		if got, err := r.Store(mount, "x"); err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", mount, got, err, want)
		}
	}
	_, errStore := r.Store("none", "x")
	_, errPut := r.Put(t.Context(), "none", "x", strings.NewReader(""), 0, origin.PutOptions{})
	for _, err := range []error{errStore, errPut, r.Delete(t.Context(), "none", "x")} {
		if !errors.Is(err, origin.ErrUnknownMount) {
			t.Error(err)
		}
	}
	_, errPut = r.Put(t.Context(), "pond", "x", strings.NewReader(""), 0, origin.PutOptions{})
	req, _ := http.NewRequest(http.MethodPut, "http://door/lake/x", nil)
	_, errForward := r.Forward(t.Context(), "lake", "x", req)
	for _, err := range []error{errPut, errForward, r.Delete(t.Context(), "pond", "x")} {
		if !errors.Is(err, origin.ErrUnsupported) {
			t.Error(err)
		}
	}
}
