package namespace_test

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/namespace"
)

func TestOwnedConformance(t *testing.T) {
	origintest.Run(t, func(*testing.T) origintest.Fixture {
		return origintest.Memory(mem.New("conformance"), func(o origin.Origin) origin.Origin {
			return namespace.Own(mem.Writer{Origin: o.(*mem.Origin)}, func() {})
		})
	})
}

// TestOwnedIsClosedAfterItsLastUse holds an origin by a body only, then by nothing.
func TestOwnedIsClosedAfterItsLastUse(t *testing.T) {
	var closed atomic.Bool
	open := func() io.ReadCloser {
		store := mem.New("lake")
		store.Put("x", []byte("0123456789"))
		c, err := namespace.Own(store, func() { closed.Store(true) }).Read(t.Context(), origin.ReadRequest{Path: "x", Length: origin.WholeRange})
		if err != nil {
			t.Fatal(err)
		}
		return c.Body
	}
	body := open()
	for range 5 {
		runtime.GC()
		if closed.Load() {
			t.Fatal("closed while a body is open")
		}
	}
	if b, err := io.ReadAll(body); err != nil || string(b) != "0123456789" {
		t.Errorf("%q %v", b, err)
	}
	body.Close()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !closed.Load(); <-tick.C {
		if runtime.GC(); time.Now().After(end) {
			t.Fatal("nothing refers to it any more, and it is not closed")
		}
	}
}

func TestOwnedPassesWritesThrough(t *testing.T) {
	w := namespace.Own(mem.Writer{Origin: mem.New("lake")}, func() {})
	if _, err := w.Put(t.Context(), "x", strings.NewReader("one"), 3, origin.PutOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := w.Put(t.Context(), "x", strings.NewReader("two"), 3, origin.PutOptions{IfAbsent: true}); !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("put where an object is: %v", err)
	}
	if err := w.Delete(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	d := &doors{Origin: mem.New("lake")}
	req, _ := http.NewRequest(http.MethodGet, "http://door/lake/x", nil)
	if _, err := namespace.Own(d, func() {}).Forward(t.Context(), "x", req); err != nil || d.forwarded != "x" {
		t.Errorf("%q %v", d.forwarded, err)
	}
	plain := namespace.Own(mem.New("lake"), func() {})
	_, errForward := plain.Forward(t.Context(), "x", req)
	_, errPut := plain.Put(t.Context(), "x", strings.NewReader(""), 0, origin.PutOptions{})
	for _, err := range []error{errForward, errPut, plain.Delete(t.Context(), "x")} {
		if origin.Kind(err) != origin.ErrUnsupported {
			t.Error(err)
		}
	}
}
