package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// TestLocalReads: what a first client has the sidecar read comes to disk and is then read there, by it and by others, with no call to the sidecar
// but an Open; a client without the directory gets the same bytes from the sidecar.
func TestLocalReads(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 1))
	m := newMachine(t, 64<<20, 4<<20, freshness.Rule{Path: "**", MaxAge: freshness.Forever})
	sizes := []int{1, 1000, 256 << 10, 256<<10 + 1, 3<<20 + 77}
	u, remote := m.client(), m.client(func(o *client.Options) { o.Directories = nil })
	for i, size := range sizes {
		m.put(fmt.Sprint("f", i), size, uint64(i))
		f, err := u.Open(t.Context(), "lake", fmt.Sprint("f", i), client.OpenOptions{})
		need(t, err)
		need(t, m.read(f, 0, size))
	}
	eventually(t, "every page is on disk", func() bool { return m.proc.cache.Stats().MemoryPages == 0 })
	for i, size := range sizes {
		for _, u := range []*user{m.client(), m.client(func(o *client.Options) { o.Mmap = true }), remote} {
			f, err := u.Open(t.Context(), "lake", fmt.Sprint("f", i), client.OpenOptions{})
			need(t, err)
			for range 20 {
				off := rng.Int64N(int64(size))
				need(t, m.read(f, off, 1+rng.IntN(300_000)))
			}
			if local := u != remote; local != (u.bytes("local") > 0) || local != (u.bytes("sidecar") == 0) {
				t.Fatalf("%d bytes: %v read locally, %v from the sidecar", size, u.bytes("local"), u.bytes("sidecar"))
			}
		}
	}
	f, err := u.Open(t.Context(), "lake", "f4", client.OpenOptions{}) // it knew of no places
	need(t, err)
	eventually(t, "places are asked for", func() bool {
		before := u.bytes("sidecar")
		need(t, m.read(f, 0, sizes[4]))
		return u.bytes("sidecar") == before
	})
}

// TestVersions: a file that is overwritten while clients read it: every read is of one version, and an Open after max_age has the new one.
func TestVersions(t *testing.T) {
	s := seed(t)
	m := newMachine(t, 32<<20, 2<<20, freshness.Rule{Path: "**", MaxAge: time.Millisecond})
	var mu sync.Mutex
	versions := map[string][]byte{}
	write := func(n uint64) {
		mu.Lock()
		defer mu.Unlock()
		m.put("a", 700_000, n)
		obj, err := m.store.Stat(t.Context(), "a")
		need(t, err)
		versions[string(obj.Version)] = m.data["a"]
	}
	write(0)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); ctx.Err() == nil; n++ {
			write(n)
			<-time.After(20 * time.Millisecond)
		}
	})
	u := m.client()
	var read, changed int
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(g)))
			for ctx.Err() == nil {
				f, err := u.Open(context.Background(), "lake", "a", client.OpenOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				for range 8 {
					off, n := rng.IntN(600_000), 1+rng.IntN(100_000)
					p := make([]byte, n)
					_, err := f.ReadAt(p, int64(off))
					mu.Lock()
					want := versions[f.Version()]
					switch {
					case errors.Is(err, client.ErrVersionChanged):
						changed++
					case err != nil || string(p) != string(want[off:off+n]):
						t.Errorf("version %s: %v", f.Version(), err)
					default:
						read++
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d reads right, %d found another version; %d versions; locally %v bytes", read, changed, len(versions), u.bytes("local"))
	if read < 50 || changed == 0 || len(versions) < 10 {
		t.Error("too little was tested")
	}
}

// TestClientFilledWhole: a file that is read whole before anybody knew its footer is all there for the next reader, in one request of the origin, though it is cut along
// its columns once its end was put, and was claimed on a grid.
func TestClientFilledWhole(t *testing.T) {
	m := newMachine(t, 64<<20, 4<<20)
	data := parquettest.Arrow(t, parquettest.Spec{Columns: 6, RowGroups: 3, Rows: 9000, ValueSize: 30})
	m.data["t/whole.parquet"] = data
	layout, err := formats.Derive("t/whole.parquet", int64(len(data)), bytes.NewReader(data))
	need(t, err)
	d := &direct{m: m}
	options := client.OpenOptions{Fill: &client.Fill{Kind: "etag", Version: "1", Size: int64(len(data)), Filler: d}}
	read := func(u *user) {
		f, err := u.Open(t.Context(), "elsewhere", "t/whole.parquet", options)
		need(t, err)
		need(t, m.read(f, 0, len(data)))
		if d.reads.Load() != 1 {
			t.Fatalf("the origin was read %d times", d.reads.Load())
		}
	}
	first := m.client()
	read(first)
	t.Logf("%d bytes, %d pages", len(data), layout.Pages())
	eventually(t, "every page is put", func() bool { return first.metric("alio_client_put_pages_total", "stored") == float64(layout.Pages()) })
	eventually(t, "all is on disk", func() bool { return int(m.proc.tier.Stats().Pages) == layout.Pages() })
	read(m.client())
	if n := first.metric("alio_client_put_pages_total", "dropped"); n > 0 {
		t.Errorf("%v pages were dropped", n)
	}
}

// TestClientFilled: what one client has read from the origin with its own means, another reads from the cache; the sidecar has no such mount.
func TestClientFilled(t *testing.T) {
	m := newMachine(t, 64<<20, 4<<20)
	m.put("a", 2_000_000, 1)
	d := &direct{m: m}
	options := client.OpenOptions{Fill: &client.Fill{Kind: "etag", Version: "1", Size: 2_000_000, Filler: d}}
	first := m.client()
	f, err := first.Open(t.Context(), "elsewhere", "a", options)
	need(t, err)
	need(t, m.read(f, 300_000, 900_000))
	need(t, m.read(f, 0, 2_000_000))
	eventually(t, "all is put", func() bool { return first.metric("alio_client_put_pages_total", "stored") == 9 }) // 8 on the grid, and the tail
	// The memory holds half of them: until the disk has the others, they are with the queue that writes them, and would be asked for again.
	eventually(t, "all is on disk", func() bool { return m.proc.tier.Stats().Pages == 9 })
	asked := d.reads.Load()
	u := m.client()
	f, err = u.Open(t.Context(), "elsewhere", "a", options)
	need(t, err)
	need(t, m.read(f, 0, 2_000_000))
	if d.reads.Load() != asked {
		t.Fatalf("the origin was read %d times more", d.reads.Load()-asked)
	}
	eventually(t, "it is read locally", func() bool {
		before := u.bytes("local")
		need(t, m.read(f, 0, 2_000_000))
		return u.bytes("local") == before+2_000_000
	})
	other := options
	other.Fill = &client.Fill{Kind: "etag", Version: "2", Size: 2_000_000, Filler: d}
	f, err = u.Open(t.Context(), "elsewhere", "a", other)
	need(t, err)
	need(t, m.read(f, 0, 100))
	if d.reads.Load() == asked {
		t.Fatal("another version was served the same pages")
	}
}
