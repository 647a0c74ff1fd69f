package sidecar_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// forwarding is an origin that takes writes.
type forwarding struct {
	origin.Origin
	store  *mem.Origin
	before func() // runs when a request has arrived, before it takes effect
}

func (f *forwarding) Unwrap() origin.Origin { return f.Origin }

func (f *forwarding) Forward(_ context.Context, path string, r *http.Request) (*http.Response, error) {
	if f.before != nil {
		f.before()
	}
	switch r.Method {
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		f.store.Put(path, data)
	case http.MethodDelete:
		f.store.Delete(path)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestWritesThroughTheDoorAreSeenAtOnce(t *testing.T) {
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		f := o.Mounts["lake"].(*origintest.Faulty)
		o.Mounts["lake"] = &forwarding{Origin: f, store: f.Origin.(*mem.Origin)}
		o.Rules = []freshness.Rule{{Path: "**", MaxAge: freshness.Forever}}
	})
	send := func(method, path, data string) {
		t.Helper()
		req, _ := http.NewRequest(method, "http://door/lake/"+path, strings.NewReader(data))
		resp, err := r.Forward(t.Context(), "lake", path, req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := len(r.list("d/").Entries); n != 0 {
		t.Fatalf("%d entries", n)
	}
	if _, err := r.Stat(t.Context(), "lake", "d/x"); !errors.Is(err, origin.ErrNotFound) {
		t.Fatal(err)
	}
	for _, data := range []string{"one", "two, longer"} {
		send(http.MethodPut, "d/x", data)
		r.want("d/x", []byte(data), 0, origin.WholeRange, 0)
		if l := r.list("d/"); len(l.Entries) != 1 || l.Entries[0].Size != int64(len(data)) {
			t.Errorf("listing after a write: %+v", l.Entries)
		}
	}
	send(http.MethodDelete, "d/x", "")
	if _, err := r.Stat(t.Context(), "lake", "d/x"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("after a delete: %v", err)
	}
	if n := len(r.list("d/").Entries); n != 0 {
		t.Errorf("after a delete the listing has %d entries", n)
	}
}

// Answers that come while a write is under way may be from before it: they must not outlive it.
func TestAnswersFromDuringAWriteAreDropped(t *testing.T) {
	var f *forwarding
	r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
		faulty := o.Mounts["lake"].(*origintest.Faulty)
		f = &forwarding{Origin: faulty, store: faulty.Origin.(*mem.Origin)}
		o.Mounts["lake"] = f
		o.Rules = []freshness.Rule{{Path: "**", MaxAge: freshness.Forever}}
	})
	r.store.Put("d/x", []byte("old"))
	f.before = func() {
		r.want("d/x", []byte("old"), 0, origin.WholeRange, 0)
		r.list("d/")
	}
	req, _ := http.NewRequest(http.MethodPut, "http://door/lake/d/x", strings.NewReader("the new one"))
	resp, err := r.Forward(t.Context(), "lake", "d/x", req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.want("d/x", []byte("the new one"), 0, origin.WholeRange, 0)
	if l := r.list("d/"); l.Entries[0].Size != int64(len("the new one")) {
		t.Errorf("the listing from during the write was kept: %+v", l.Entries)
	}
}

// slowFences is a metadata store whose fences take their time.
type slowFences struct {
	raised, durable chan struct{} // told when one is raised; it is durable once this is closed
	quick           bool          // those on one path are durable at once, only those below a prefix are not
}

func (s *slowFences) Load(string, string) (a freshness.Answer[origin.Object], ok bool) {
	return a, false
}

func (s *slowFences) Keep(string, string, freshness.Answer[origin.Object]) bool { return true }

func (s *slowFences) Forget(string, string) func() {
	if s.quick {
		return func() {}
	}
	return s.ForgetBelow("", "")
}

func (s *slowFences) ForgetBelow(string, string) func() {
	s.raised <- struct{}{}
	return func() { <-s.durable }
}

// A write is not sent before its fence outlives the process, and a call to Invalidate does not return before.
func TestAWriteWaitsForItsFence(t *testing.T) {
	for name, do := range map[string]func(*rig) error{
		"forward": func(r *rig) error {
			req, _ := http.NewRequest(http.MethodPut, "http://door/lake/d/x", strings.NewReader("data"))
			resp, err := r.Forward(t.Context(), "lake", "d/x", req)
			if err == nil {
				resp.Body.Close()
			}
			return err
		},
		"invalidate": func(r *rig) error { return r.Invalidate("lake", "d/", false) },
		"below":      func(r *rig) error { return r.Invalidate("lake", "d/", true) },
	} {
		t.Run(name, func(t *testing.T) {
			fences := &slowFences{raised: make(chan struct{}, 10), durable: make(chan struct{}), quick: name == "below"}
			sent := make(chan struct{}, 1)
			r := newRig(t, 1, func(o *sidecar.Options, _ *cache.Options) {
				o.Metadata = fences
				faulty := o.Mounts["lake"].(*origintest.Faulty)
				o.Mounts["lake"] = &forwarding{Origin: faulty, store: faulty.Origin.(*mem.Origin), before: func() { sent <- struct{}{} }}
			})
			done := make(chan error, 1)
			go func() { done <- do(r) }()
			select {
			case <-fences.raised:
			case <-time.After(30 * time.Second):
				t.Fatal("no fence was raised")
			}
			select {
			case <-sent:
				t.Fatal("the write was sent before its fence was durable")
			case err := <-done:
				t.Fatalf("it returned before its fence was durable: %v", err)
			case <-time.After(50 * time.Millisecond): // long enough for a write that does not wait
			}
			close(fences.durable)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	}
}
