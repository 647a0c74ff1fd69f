package disk_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/origin"
)

type pages int64

func (p pages) PageAt(off int64) (int64, int64, uint8) {
	start := off - off%int64(p)
	return start, start + int64(p), 0
}

type bytesSource struct {
	data    []byte
	fetches int
}

func (s *bytesSource) Fetch(_ context.Context, _ *origin.Object, off, n int64) (io.ReadCloser, error) {
	s.fetches++
	return io.NopCloser(bytes.NewReader(s.data[off : off+n])), nil
}

// tiers starts a cache over a disk tier in dir. The function it returns ends both, the disk after the cache.
func tiers(t *testing.T, dir string) (*cache.Cache, func()) {
	t.Helper()
	tier, err := disk.New(disk.Options{Dir: dir, Size: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := tier.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- tier.Run(ctx) }()
	c, err := cache.New(cache.Options{Disk: tier, UpOdds: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRestartOverDisk reads an object through memory and a real disk tier, restarts both, and reads it again: the same bytes, from disk, with no
// request to the origin.
func TestRestartOverDisk(t *testing.T) {
	data := make([]byte, 8<<20+77)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	obj := &origin.Object{Path: "table/file", Version: "v1", Size: int64(len(data)), Parts: []origin.Part{{ID: "file@v1", Length: int64(len(data))}}}
	src, dir := &bytesSource{data: data}, t.TempDir()
	req := cache.Request{Object: obj, Layout: pages(200_000), Source: src, Length: obj.Size}
	readAll := func(c *cache.Cache) cache.ReadStats {
		t.Helper()
		r, err := c.Open(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes of %d, equal: %v, %v", len(got), len(data), bytes.Equal(got, data), err)
		}
		return r.Stats()
	}

	c, stop := tiers(t, dir)
	if s := readAll(c); s.Origin != obj.Size || s.Fills != 1 {
		t.Errorf("first read %+v", s)
	}
	tick, deadline := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for c.Stats().MemoryPages > 0 { // each page leaves memory once the disk has it
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("pages stay in memory: %+v", c.Stats())
		}
	}
	stop()

	c, stop = tiers(t, dir)
	defer stop()
	if !c.Resident(obj, req.Layout, 0, obj.Size) {
		t.Error("after the restart the object is not resident")
	}
	if s := readAll(c); s.Disk != obj.Size || src.fetches != 1 {
		t.Errorf("second read %+v, %d requests in all", s, src.fetches)
	}
	if buf, ok := c.Lookup(context.Background(), obj, 200_000, 200_000); !ok || !bytes.Equal(buf.B, data[200_000:400_000]) {
		t.Error("Lookup does not find the second page")
	} else {
		buf.Free()
	}
}
