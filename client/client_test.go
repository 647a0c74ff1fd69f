package client

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestReadsAreTheObject: random ranges of objects of all kinds of page sizes, whose pages lie on disk, in memory or nowhere, mapped or not,
// are the object's bytes, and what lies on disk is read there.
func TestReadsAreTheObject(t *testing.T) {
	s := seed(t)
	for _, mapped := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(s, 1))
		r := newRig(t, func(o *Options) { o.Mmap = mapped })
		for i, page := range []int{1000, 4096, 65536, 65537, 300_000, 1 << 20} {
			o := r.object(strings.Repeat("x", i+1), 5*page/2+rng.IntN(3), page)
			var placed []int
			for p := range o.pages() {
				if rng.IntN(4) > 0 && i+p > 0 { // one page is read from the sidecar, whatever the dice say
					placed = append(placed, p)
				}
			}
			seg := r.store(o, placed...)
			if mapped {
				r.seal(seg)
			}
			f := r.open(strings.Repeat("x", i+1))
			if f.Size() != int64(len(o.data)) || f.Version() != o.version {
				t.Fatalf("%+v", f.Object())
			}
			r.randomReads(f, o, rng, 100)
			r.want(f, o, 0, len(o.data))
			r.want(f, o, 0, len(o.data)+1)
			need(t, f.Close())
			if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrClosed) {
				t.Fatalf("a read of a closed file: %v", err)
			}
		}
		if r.local() == 0 || r.remote() == 0 {
			t.Fatalf("read locally %v, from the sidecar %v", r.local(), r.remote())
		}
		if got := r.metric("alio_client_mapped_bytes"); (got > 0) != mapped {
			t.Fatalf("%v bytes are mapped", got)
		}
		for _, result := range []string{"corrupt", "failing", "slow", "busy"} {
			if n := r.metric("alio_client_page_reads_total", "result="+result); n != 0 {
				t.Errorf("%v pages %s", n, result)
			}
		}
	}
}

// TestWarmReadAsksNobody: once a file is open and its pages are on disk, no read and no further open makes a call while it is fresh.
func TestWarmReadAsksNobody(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 500_000, 65536)
	r.storeAll(o)
	f := r.open("a")
	rng := rand.New(rand.NewPCG(seed(t), 2))
	r.randomReads(f, o, rng, 50)
	r.randomReads(r.open("a", OpenOptions{ETag: o.etag}), o, rng, 50)
	if r.count("open") != 1 || r.count("read") != 0 || r.count("status") != 1 {
		t.Fatalf("calls: %v", r.calls)
	}
	if r.remote() != 0 {
		t.Fatalf("%v bytes from the sidecar", r.remote())
	}
}

// TestFreshness: an Open asks again when what was told is not fresh any more, at once where it is not fresh at all, never where it is for
// ever; an ETag that the view has confirms it unless it is not fresh at all.
func TestFreshness(t *testing.T) {
	for _, c := range []struct {
		fresh time.Duration
		etag  bool
		calls int
	}{{0, false, 3}, {0, true, 3}, {time.Microsecond, false, 3}, {time.Microsecond, true, 1}, {time.Minute, false, 1}, {-1, false, 1}} {
		r := newRig(t)
		o := r.object("a", 1000, 1000)
		o.fresh = c.fresh
		r.storeAll(o)
		var options OpenOptions
		if c.etag {
			options.ETag = o.etag
		}
		var files []*File
		for range 3 {
			f := r.open("a", options)
			r.want(f, o, 0, 1000)
			files = append(files, f)
		}
		if r.count("open") != c.calls {
			t.Errorf("%+v: %d calls", c, r.count("open"))
		}
		if files[0].v != files[2].v {
			t.Errorf("%+v: two views of one version", c)
		}
		r.open("a", OpenOptions{ETag: `"another"`}) // the caller knows better
		if r.count("open") != c.calls+1 {
			t.Errorf("%+v: another ETag was not asked about", c)
		}
	}
}

// TestFreshFromTheQuestion: an answer that was long on its way is not fresh for longer.
func TestFreshFromTheQuestion(t *testing.T) {
	got := &opened{fresh: time.Minute, table: &table{}}
	if newView(&Target{}, answer{opened: got, sent: time.Now().Add(-time.Hour)}).isFresh() || !newView(&Target{}, answer{opened: got, sent: time.Now()}).isFresh() {
		t.Fatal("freshness does not count from when the question was sent")
	}
}

// TestAFileKeepsItsVersion: after the object changes an open File goes on with its version as long as its pages are there, then fails
// with ErrVersionChanged; a new Open has the new version. Never a mixture.
func TestAFileKeepsItsVersion(t *testing.T) {
	r := newRig(t)
	old := r.object("a", 200_000, 65536)
	r.store(old, 0, 1)
	f := r.open("a")
	next := r.object("a", 200_000, 65536)
	r.storeAll(next)
	if bytes.Equal(old.data, next.data) {
		t.Fatal("the same bytes")
	}
	r.want(f, old, 0, 131072)
	p := make([]byte, 200_000)
	if n, err := f.ReadAt(p, 0); !errors.Is(err, ErrVersionChanged) || n != 131072 || !bytes.Equal(p[:n], old.data[:n]) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	r.lax = true // a sidecar that does not hold to the version: the client compares
	if _, err := f.ReadAt(p, 0); !errors.Is(err, ErrVersionChanged) {
		t.Fatal(err)
	}
	again := r.open("a") // though the old one is fresh for a minute
	r.want(again, next, 0, 200_000)
	r.want(f, old, 5, 100)
	if _, err := f.ReadAt(p, 0); !errors.Is(err, ErrVersionChanged) {
		t.Fatal(err)
	}
}

// TestErrors: each says what it is of, and is of its kind.
func TestErrors(t *testing.T) {
	r := newRig(t)
	r.object("a", 1000, 1000)
	f := r.open("a")
	for _, c := range []struct {
		err  func() error
		kind error
	}{
		{func() error { _, err := r.tryOpen("none"); return err }, ErrNotFound},
		{func() error { _, err := r.tryOpen(""); return err }, ErrInvalid},
		{func() error { _, err := r.tryOpen("a", OpenOptions{Ranges: []Range{{-1, 2}}}); return err }, ErrInvalid},
		{func() error { _, err := r.tryOpen("a", OpenOptions{Fill: &Fill{Kind: "E"}}); return err }, ErrInvalid},
		{func() error { _, err := f.ReadAt(make([]byte, 1), -1); return err }, ErrInvalid},
		{func() error { need(t, r.Client.Close()); _, err := r.tryOpen("b"); return err }, ErrClosed},
		{func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err }, ErrClosed},
	} {
		if err := c.err(); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), `"lake"`) {
			t.Errorf("%v, want %v", err, c.kind)
		}
	}
	if _, err := New(Options{Directories: []string{"x"}, OpenSegments: -1, ViewMemory: 1, Tag: strings.Repeat("x", 129)}); err == nil ||
		len(strings.Split(err.Error(), "\n")) != 5 {
		t.Fatalf("not five faults: %v", err)
	}
}

// TestOpenAll: a batch goes in as few calls as the sidecar allows, and each file has its own answer.
func TestOpenAll(t *testing.T) {
	r := newRig(t)
	var targets []Target
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		if name != "d" {
			r.storeAll(r.object(name, 1000, 300))
		}
		targets = append(targets, Target{Mount: "lake", Path: name})
	}
	for i, got := range r.OpenAll(context.Background(), targets) {
		name := targets[i].Path
		if (got.File == nil) != (name == "d") || (name == "d") != errors.Is(got.Err, ErrNotFound) {
			t.Fatalf("%s: %v", name, got.Err)
		}
		if got.File != nil {
			r.want(got.File, r.objects[name], 0, 1000)
		}
	}
	if r.count("open") != 3 || r.count("read") != 0 { // three files a call
		t.Fatalf("calls: %v", r.calls)
	}
}

// TestContext: a read that waits for the sidecar ends with its context, and with the context's error.
func TestContext(t *testing.T) {
	r := newRig(t)
	r.object("a", 1000, 1000)
	f := r.open("a")
	r.hang(true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := f.ReadAtContext(ctx, make([]byte, 10), 0)
		done <- err
	}()
	eventually(t, "the read is on its way", func() bool { return r.count("read") == 1 })
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatal(err)
	}
	r.hang(false)
	r.want(f, r.objects["a"], 0, 10)
}

// seal writes a segment's index.
func (r *rig) seal(s *fakeSegment) { sealSegment(r.t, s) }
