package cache

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
)

// TestTake: what was taken stays as it is whatever the Reader does, until it is freed; what was not taken goes back with the Reader.
func TestTake(t *testing.T) {
	disk := newFakeDisk() // clears what is given back
	c := newCache(t, Options{Disk: disk})
	obj, data := object("taken", 4*testPage)
	c.Offer(obj, grid{size: testPage}, 0, data[:3*testPage])
	src := &fakeSource{data: data}
	r, err := c.Open(context.Background(), Request{Object: obj, Layout: grid{size: testPage}, Source: src, Offset: 100, Length: 4*testPage - 200})
	if err != nil {
		t.Fatal(err)
	}
	few := make([]byte, 50)
	if _, err := io.ReadFull(r, few); err != nil { // the rest of the page is taken
		t.Fatal(err)
	}
	var taken []Buf
	got := bytes.Clone(few)
	for {
		b, err := r.Take()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, b)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Take(); err != io.EOF && err != os.ErrClosed {
		t.Errorf("after the end: %v", err)
	}
	if disk.onLoan != 3 {
		t.Errorf("%d loans of 3 pages on disk", disk.onLoan)
	}
	for _, b := range taken {
		got = append(got, b.B...)
	}
	if len(taken) != 4 || !bytes.Equal(got, data[100:4*testPage-100]) {
		t.Errorf("%d pieces, %s", len(taken), differ(got, data[100:4*testPage-100]))
	}
	for _, b := range taken {
		b.Free()
	}
	if disk.onLoan != 0 {
		t.Errorf("%d loans were not given back", disk.onLoan)
	}
}
