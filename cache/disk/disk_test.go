package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// onBoth runs a test in memory and on the real file system.
func onBoth(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("mem", func(t *testing.T) { test(t, testOptions(vfs.NewMem())) })
	t.Run("os", func(t *testing.T) {
		o := testOptions(vfs.OS)
		o.Dir = filepath.Join(t.TempDir(), "cache")
		test(t, o)
	})
}

func TestWriteReadReopen(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r := prometheus.NewRegistry()
		o.Registerer = r
		h := openTier(t, o)
		const pages = 40
		for n := range uint64(pages) {
			k, data := testPage(n)
			if err := h.get(k, data); !errors.Is(err, cache.ErrAbsent) || h.Contains(k) {
				t.Fatalf("page %d before it was written: %v", n, err)
			}
			if !h.put(k, uint8(n%3), data) {
				t.Fatalf("page %d was not stored", n)
			}
			if !h.put(k, uint8(n%3), data) {
				t.Fatalf("page %d again: not stored", n)
			}
		}
		check := func(h *harness) {
			t.Helper()
			for n := range uint64(pages) {
				k, data := testPage(n)
				need(t, h.get(k, data))
				if !h.Contains(k) {
					t.Fatal("Contains is false")
				}
				for _, r := range [][2]int{{0, 1}, {len(data) - 1, 1}, {len(data) / 2, len(data) - len(data)/2}, {len(data) / 3, min(10, len(data)-len(data)/3)}} {
					need(t, h.getPart(k, data, r[0], r[1]))
				}
				if _, err := h.Read(context.Background(), k, len(data)+1, 0, 1); !errors.Is(err, cache.ErrAbsent) {
					t.Fatalf("a page of another length: %v", err)
				}
			}
		}
		check(h)
		if s, d := counter(t, r, "alio_disk_writes_total", "stored"), counter(t, r, "alio_disk_writes_total", "duplicate"); s != pages || d != pages {
			t.Fatalf("%v stored, %v duplicates", s, d)
		}
		h.stop()
		h = openTier(t, o) // registers in the same registry
		check(h)
		if s := h.Stats(); s.Pages != pages || s.Recovery.Pages != pages || s.Recovery.Scanned != 0 || s.Recovery.Sealed < 3 || s.Segments["active"] != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestReadArguments(t *testing.T) {
	h := openTier(t, testOptions(vfs.NewMem()))
	k, data := testPage(2)
	h.put(k, 0, data)
	for _, a := range [][3]int{{4096, -1, 1}, {4096, 0, 0}, {4096, 0, 4097}, {4096, 4096, 1}, {4096, 1, 4096}, {0, 0, 0}, {-1, 0, 1}, {cache.MaxPage + 1, 0, 1}, {4096, 1 << 62, 1 << 62}} {
		if _, err := h.Read(context.Background(), k, a[0], a[1], a[2]); !errors.Is(err, cache.ErrAbsent) {
			t.Errorf("%v: %v", a, err)
		}
	}
	if h.Write(k, 0, nil, nil) || h.Write(k, 0, make([]byte, cache.MaxPage+1), nil) {
		t.Error("a page without bytes, or with too many, was taken")
	}
}

func TestLifecycle(t *testing.T) {
	o := testOptions(vfs.NewMem())
	k, data := testPage(2)
	tier, err := New(o)
	need(t, err)
	h := &harness{Tier: tier, t: t}
	if err := h.get(k, data); !errors.Is(err, cache.ErrSick) || tier.Write(k, 0, data, nil) {
		t.Fatalf("before Open: %v", err)
	}
	if err := tier.Run(context.Background()); err == nil {
		t.Fatal("Run before Open did not fail")
	}
	need(t, tier.Open(context.Background()))
	if err := tier.Open(context.Background()); err == nil {
		t.Fatal("the second Open did not fail")
	}
	dropped := make(chan bool, 1)
	if !tier.Write(k, 0, data, func(ok bool) { dropped <- ok }) {
		t.Fatal("a write between Open and Run was shed")
	}
	need(t, tier.Close())
	need(t, tier.Close())
	if <-dropped {
		t.Fatal("a page that was dropped by Close is said to be stored")
	}
	if err := h.get(k, data); !errors.Is(err, cache.ErrSick) || tier.Write(k, 0, data, nil) {
		t.Fatalf("after Close: %v", err)
	}
	if err := tier.Open(context.Background()); err == nil {
		t.Fatal("Open after Close did not fail")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tier, err = New(o)
	need(t, err)
	need(t, tier.Open(context.Background()))
	need(t, tier.Run(ctx))
	need(t, tier.Close())
}

func TestOpenHeedsContext(t *testing.T) {
	m := vfs.NewMem()
	o := testOptions(m)
	h := openTier(t, o)
	k, data := testPage(4)
	h.put(k, 0, data)
	h.stop()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tier, err := New(o)
	need(t, err)
	if err := tier.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Open answered %v", err)
	}
	need(t, tier.Close())
	if n := m.OpenHandles(); n != 0 {
		t.Fatalf("%d files are open", n)
	}
	need(t, openTier(t, o).get(k, data)) // it is unlocked, and nothing was lost
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := Options{SegmentSize: 1, Size: 1 << 30, WriteQueue: -1, ReadDeadline: -1, Readers: -1, FailAfter: -1, Sync: 9}.Validate()
	for _, want := range []string{"no directory", "segment size 1", "write queue", "read deadline", "readers", "fail after", "sync mode"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	for _, o := range []Options{{Dir: "/d", Size: 1 << 20}, {Dir: "/d"}, {Dir: "/d", Size: 1 << 30, SegmentSize: 4 << 10}} {
		if err := o.Validate(); err == nil {
			t.Errorf("%d of %d bytes: no error", o.Size, o.SegmentSize)
		}
	}
	err = Options{Dir: "/d", Size: 1 << 20}.Validate()
	t.Log(err)
}

func TestDefaultSizes(t *testing.T) {
	for size, want := range map[int64]int64{
		8 << 20: autoSegmentMin, 64 << 20: 2 << 20, 10 << 30: 64 << 20, 512 << 30: 64 << 20, 4 << 40: 513 << 20,
	} {
		o := Options{Dir: "/d", Size: size}
		need(t, o.Validate())
		o = o.withDefaults()
		if o.SegmentSize != want || o.Size/o.SegmentSize > maxSegments {
			t.Errorf("size %d: segments of %d, want %d", size, o.SegmentSize, want)
		}
	}
}

// TestSmallestSizeWorks opens a tier of the least size that Validate accepts, and stores pages in it.
func TestSmallestSizeWorks(t *testing.T) {
	for _, segment := range []int64{4 << 10, 64 << 10, 1 << 20, autoSegmentMin} {
		o := Options{Dir: "/cache", SegmentSize: segment, FS: vfs.NewMem()}
		o.Size = o.smallestSize()
		need(t, o.Validate())
		h := openTier(t, o)
		for n := range uint64(200) {
			k, data := sizedPage(n, 3000)
			if !h.put(k, 0, data) {
				t.Fatalf("segments of %d: page %d was not stored", segment, n)
			}
			need(t, h.get(k, data))
		}
		h.stop()
	}
}

func TestDirectoryErrors(t *testing.T) {
	fail := func(t *testing.T, o Options, want ...string) {
		t.Helper()
		tier, err := New(o)
		need(t, err)
		err = tier.Open(context.Background())
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("no %q in: %v", w, err)
			}
		}
		need(t, tier.Close())
	}
	onBoth(t, func(t *testing.T, o Options) {
		h := openTier(t, o)
		fail(t, o, o.Dir, "in use by another process (pid ", "directory of its own")
		h.stop()
		openTier(t, o).stop()

		need(t, o.FS.Remove(filepath.Join(o.Dir, identityFile)))
		fail(t, o, o.Dir, "not a cache directory of Alio", segmentsDir, identityFile, "empty directory")

		o.Dir = filepath.Join(o.Dir, "other")
		need(t, o.FS.MkdirAll(filepath.Join(o.Dir, lostFound), 0o750))
		openTier(t, o).stop()
	})
	m := vfs.NewMem()
	m.SetUsage(vfs.Usage{Type: "nfs", Remote: true})
	fail(t, testOptions(m), "/cache", "nfs", "local disk")
}

// TestDamagedIdentity: a directory that is ours stays ours, whatever its identity file holds.
func TestDamagedIdentity(t *testing.T) {
	for _, text := range []string{"", "{", "{}", strings.Repeat("x", 5000), `{"format":9,"id":"00112233445566778899aabbccddeeff"}`} {
		m := vfs.NewMem()
		h := openTier(t, testOptions(m))
		k, data := testPage(4)
		h.put(k, 0, data)
		h.stop()
		f, err := m.Open("/cache/"+identityFile, true)
		need(t, err)
		need(t, f.Truncate(0))
		_, err = f.WriteAt([]byte(text), 0)
		need(t, err)
		need(t, f.Close())
		need(t, openTier(t, testOptions(m)).get(k, data))
	}
}

func TestPermissions(t *testing.T) {
	o := testOptions(vfs.OS)
	o.Dir = filepath.Join(t.TempDir(), "cache")
	h := openTier(t, o)
	k, data := testPage(4)
	h.put(k, 0, data)
	files := 0
	need(t, filepath.Walk(o.Dir, func(path string, info os.FileInfo, err error) error {
		need(t, err)
		files++
		if info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	}))
	if files < 5 {
		t.Fatalf("%d files", files)
	}
}

func TestMetricsExistFromTheStart(t *testing.T) {
	r := prometheus.NewRegistry()
	o := testOptions(vfs.NewMem())
	o.Registerer = r
	h := openTier(t, o)
	for name, labels := range map[string][]string{
		"alio_disk_pages": {""}, "alio_disk_bytes": {""}, "alio_disk_size_limit_bytes": {""}, "alio_disk_recovery_seconds": {""},
		"alio_disk_writes_total":        {"stored", "shed", "failed", "duplicate"},
		"alio_disk_reads_total":         {"hit", "absent", "corrupt", "sick"},
		"alio_disk_written_bytes_total": {""}, "alio_disk_evicted_bytes_total": {""}, "alio_disk_carried_bytes_total": {""},
		"alio_disk_segments":               {"active", "sealed", "abandoned", "unknown", "unlinked"},
		"alio_disk_segments_skipped_total": {""},
		"alio_disk_index_bytes":            {""}, "alio_disk_write_queue_bytes": {""}, "alio_disk_set_aside": {""},
	} {
		for _, l := range labels {
			counter(t, r, name, l)
		}
	}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "WrapRegistererWith") {
		t.Errorf("a second tier in one registry: %v", err)
	}
	if got := counter(t, r, "alio_disk_size_limit_bytes", ""); got != float64(o.Size) {
		t.Errorf("limit %v", got)
	}
	_ = h
}

func TestIndexMemory(t *testing.T) {
	var x index
	const pages = 100_000
	for n := range uint64(pages) {
		k := cache.HashPart("p").Page(int64(n), 1)
		x.insert(newEntry(segfile.Location{Key: k, Off: 64, Length: 1}, 0))
		if n > 20_000 && n%5_000 == 0 {
			if count, b := x.sizes(); float64(b)/float64(count) > 48 {
				t.Fatalf("%d pages take %d bytes: %.1f a page", count, b, float64(b)/float64(count))
			}
		}
	}
	n, b := x.sizes()
	t.Logf("%d pages: %.1f bytes a page", n, float64(b)/float64(n))
}
