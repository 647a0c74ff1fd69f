package cache

import (
	"context"
	"errors"
	"io"
	"testing"
)

// TestHeat: a page is as hot as memory and disk have seen it asked for again; to be asked about it makes it no hotter.
func TestHeat(t *testing.T) {
	obj, data := object("o", 20*kib)
	c := newCache(t, Options{})
	layout := grid{size: 10 * kib}
	v, err := NewView(obj, layout)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.PageAt(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Heat(p.Key); ok {
		t.Error("a page that is not there has a heat")
	}
	for i, want := range []uint8{HeatNone, HeatRead, HeatOften, HeatOften} {
		mustRead(t, c, Request{Object: obj, Layout: layout, Source: &fakeSource{data: data}, Offset: 0, Length: 10}, data)
		for range 3 {
			if heat, ok := c.Heat(p.Key); !ok || heat != want {
				t.Errorf("after %d reads its heat is %d, %v", i+1, heat, ok)
			}
		}
	}
}

// TestAgain: a fill ahead whose source has not got the bytes costs a reader that has joined it nothing but a moment: the reader makes a fill of its own.
func TestAgain(t *testing.T) {
	obj, data := object("o", 20*kib)
	layout := grid{size: 10 * kib}
	c := newCache(t, Options{})
	asked, gate := make(chan struct{}), make(chan struct{})
	lost := &fakeSource{data: data, answer: func(context.Context, int64, int64) (io.ReadCloser, error) {
		close(asked)
		<-gate
		return nil, ErrAgain
	}}
	var o outcomes
	left := make(chan error, 1)
	go func() {
		_, err := c.Ahead(t.Context(), Request{Object: obj, Layout: layout, Source: lost, Offset: 0, Length: 20 * kib}, anyPage, o.ended)
		left <- err
	}()
	<-asked
	done := make(chan struct{})
	src := &fakeSource{data: data}
	go func() {
		defer close(done)
		mustRead(t, c, Request{Object: obj, Layout: layout, Source: src, Offset: 5 * kib, Length: 10 * kib}, data)
	}()
	await(t, "the reader has joined", func() bool { return c.Stats().SharedFills > 0 })
	close(gate)
	<-done
	if err := <-left; !errors.Is(err, ErrAgain) || o.n != [3]int{0, 0, 2} {
		t.Errorf("%v, outcomes %v", err, o.n)
	}
	if n, st := len(src.asked()), c.Stats(); n != 1 || st.FailedFills > 0 {
		t.Errorf("the reader asked %d times, and %d fills failed", n, st.FailedFills)
	}
}
