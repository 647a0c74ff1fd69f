package sidecar_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
)

// What is taken from a first read and from pages is the object, stays so after the body was closed, and gives the run's memory back.
func TestTakeFromRunsAndPages(t *testing.T) {
	r := newRig(t, origintest.Seed(t), func(o *sidecar.Options, c *cache.Options) {
		o.FillSpan, o.RunMemory, c.FillSpan = 3<<20, 3<<20, 3<<20 // so that one run is all that fits
	})
	data := bytes.Repeat([]byte("0123456789abcdefg"), 400_000) // 6.8 MB: a run of 3 MiB, then pages
	obj := r.store.Put("a", data)
	for round := range 3 {
		c, err := r.Open(t.Context(), "lake", origin.ReadRequest{Path: "a", Length: origin.WholeRange}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		var held []cache.Buf
		first := make([]byte, 10)
		if _, err := io.ReadFull(c.Body, first); err != nil {
			t.Fatal(err)
		}
		for {
			b, err := c.Body.(sidecar.Lender).Take()
			if err == io.EOF {
				break
			}
			if err != nil || len(b.B) == 0 || len(b.B) > cache.MaxPage {
				t.Fatalf("%d bytes, %v", len(b.B), err)
			}
			held = append(held, b)
		}
		c.Body.Close()
		got = append(got, first...)
		for _, b := range held {
			got = append(got, b.B...)
			b.Free()
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("round %d: %d bytes, and they differ", round, len(got))
		}
		obj = r.store.Put("a", data) // not known again, so that the next round needs the run's memory
		if err := r.Invalidate("lake", "a", false); err != nil {
			t.Fatal(err)
		}
	}
	if calls := r.calls(); calls != "read:9" { // each round a run and two windows; a Stat would say that no memory was left for a run
		t.Errorf("origin saw %s", calls)
	}
	if n, err := r.Fill(t.Context(), "lake", &obj, 0, 1000); err != nil || n == 0 {
		t.Errorf("fill: %d, %v", n, err)
	}
}

func TestFillReadsWhatIsMissing(t *testing.T) {
	r := newRig(t, origintest.Seed(t))
	obj := r.store.Put("a", make([]byte, 1<<20))
	for _, want := range []string{"read:1", ""} {
		if _, err := r.Fill(t.Context(), "lake", &obj, 0, 300_000); err != nil {
			t.Fatal(err)
		}
		r.wantCalls("fill", want)
	}
	if _, err := r.Fill(t.Context(), "sea", &obj, 0, 1); !errors.Is(err, origin.ErrUnknownMount) {
		t.Errorf("%v", err)
	}
	r.store.Put("a", make([]byte, 1<<20))
	if _, err := r.Fill(t.Context(), "lake", &obj, 600_000, 1); !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("%v", err)
	}
}
