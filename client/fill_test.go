package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

func (r *rig) fill(path string, o *fakeObject) (OpenOptions, *direct) {
	d := &direct{f: r.fake}
	return OpenOptions{Fill: &Fill{Kind: "etag", Version: o.version, Size: int64(len(o.data)), Filler: d}}, d
}

func (r *rig) putPages() (n int) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	for _, p := range r.fake.puts {
		n += len(p.GetPages())
	}
	return n
}

// TestFill: missing pages that are granted are read whole and in one request by the filler, served, and put with right keys and sums (the fake
// checks them); what the sidecar has by then is read from it, what lies in segments there.
func TestFill(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 500_000, 100_000)
	o.granted = true
	options, d := r.fill("a", o)
	f := r.open("a", options)
	r.want(f, o, 150_000, 200_000) // pages 1 to 3
	if d.reads.Load() != 1 || d.bytes.Load() != 300_000 {
		t.Fatalf("%d requests, %d bytes", d.reads.Load(), d.bytes.Load())
	}
	eventually(t, "they are put", func() bool { return r.putPages() == 3 && r.metric("alio_client_put_pages_total", "result=stored") == 3 })
	r.store(o, 2) // the sidecar has written it to disk
	r.want(f, o, 100_000, 300_000)
	if d.reads.Load() != 1 || r.local() != 100_000 || r.remote() != 200_000 {
		t.Fatalf("%d requests, locally %v, from the sidecar %v", d.reads.Load(), r.local(), r.remote())
	}
	r.want(f, o, 0, 500_000)
	if d.reads.Load() != 3 { // page 0, and page 4
		t.Fatalf("%d requests", d.reads.Load())
	}
	r.want(f, o, 499_990, 100)
}

// TestFillOfWhatOthersFill: pages that are not granted are read by the filler without waiting, and not put; so is everything while the
// sidecar is dead, even from the first Open on, and nothing is lost when it refuses a Put.
func TestFillOfWhatOthersFill(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 5000, 1000)
	options, d := r.fill("a", o)
	f := r.open("a", options)
	r.want(f, o, 500, 3000)
	if d.reads.Load() != 1 || d.bytes.Load() != 3000 || r.putPages() != 0 {
		t.Fatalf("%d requests, %d bytes, %d put", d.reads.Load(), d.bytes.Load(), r.putPages())
	}
	r.fake.stop()
	r.want(f, o, 0, 5000)
	other := r.object("b", 3000, 1000)
	options, _ = r.fill("b", other)
	r.want(r.open("b", options), other, 0, 3000)
	if n := r.metric("alio_client_read_bytes_total", "source=filler"); n != 11_000 {
		t.Fatalf("%v bytes by the filler", n)
	}
}

// TestFillGivesBack: where the filler fails, the claim is given up at once, and the error is the filler's. Where there is no memory for a Put, the
// reader has its bytes all the same.
func TestFillGivesBack(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PutMemory = 1500 })
	o := r.object("a", 5000, 1000)
	o.granted = true
	options, _ := r.fill("a", o)
	why := errors.New("no credentials")
	options.Fill.Filler = brokenFiller{why}
	f := r.open("a", options)
	if _, err := f.ReadAt(make([]byte, 10), 0); !errors.Is(err, why) {
		t.Fatal(err)
	}
	eventually(t, "the claim is given back", func() bool {
		r.fake.mu.Lock()
		defer r.fake.mu.Unlock()
		return len(r.fake.puts) == 1 && len(r.fake.puts[0].GetPages()) == 0 && string(r.fake.puts[0].GetToken()) == "token"
	})
	options, _ = r.fill("a", o)
	r.want(r.open("a", options), o, 0, 5000)
	if n := r.metric("alio_client_put_pages_total", "result=dropped"); n != 5 || r.putPages() != 0 {
		t.Fatalf("%v dropped, %d put", n, r.putPages())
	}
}

type brokenFiller struct{ err error }

func (f brokenFiller) ReadAt(context.Context, Object, []byte, int64) (int, error) { return 0, f.err }

// TestShortFiller: a filler that reads too little is an error, not zeros.
func TestShortFiller(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 5000, 1000)
	o.granted = true
	options, _ := r.fill("a", o)
	options.Fill.Filler = brokenFiller{}
	if _, err := r.open("a", options).ReadAt(make([]byte, 10), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}

// TestPutsEnd where the sidecar says, again and again, that the file is cut otherwise now: what is left is claimed anew once, and then given back. The
// file's end went first.
func TestPutsEnd(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 3<<20, 400_000)
	o.granted = true
	r.again = true
	options, _ := r.fill("a", o)
	r.want(r.open("a", options), o, 0, 3<<20)
	eventually(t, "the rest is given back", func() bool {
		r.fake.mu.Lock()
		defer r.fake.mu.Unlock()
		n := len(r.fake.puts)
		return n == 4 && len(r.fake.puts[n-1].GetPages()) == 0
	})
	if p := r.fake.puts[0].GetPages(); len(p) != 1 || p[0].GetOffset()+int64(len(p[0].GetData())) != 3<<20 {
		t.Fatalf("first came %d pages, at %d", len(p), p[0].GetOffset())
	}
	if n := r.metric("alio_client_put_pages_total", "result=stored") + r.metric("alio_client_put_pages_total", "result=dropped"); n != float64(o.pages()) {
		t.Fatalf("%v pages are accounted for, of %d", n, o.pages())
	}
}

// TestPutsAreCut to what the sidecar takes in one call.
func TestPutsAreCut(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 3<<20, 400_000)
	o.granted = true
	options, _ := r.fill("a", o)
	r.want(r.open("a", options), o, 0, 3<<20)
	eventually(t, "all are put", func() bool { return r.putPages() == o.pages() })
	for _, p := range r.fake.puts {
		size := 0
		for _, page := range p.GetPages() {
			size += len(page.GetData())
		}
		if size > 1<<20 || len(p.GetToken()) == 0 {
			t.Fatalf("a Put of %d bytes", size)
		}
	}
	// Sums and keys are those of the format: the fake compares them; here, that it would notice.
	p := putPage(grant{0, 10, o.part.Page(0, 10)}, o.data[:10])
	p.Data = bytes.Clone(p.Data)
	p.Data[0]++
	if _, err := r.Put(context.Background(), &apiv1.PutRequest{Path: "a", Pages: []*apiv1.PutPage{p}}); err == nil {
		t.Fatal("the fake takes anything")
	}
}
