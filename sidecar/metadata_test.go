package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/metadata"
)

// metadataStore runs a store until the test ends, or stop is called.
func metadataStore(t testing.TB, dir string) *runningStore {
	t.Helper()
	s, err := metadata.New(metadata.Options{Dir: dir, Size: 256 << 20, LookupDeadline: time.Minute, FenceDeadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &runningStore{Store: s}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	s.Opened(t.Context())
	return r
}

type runningStore struct {
	*metadata.Store
	stop func()
}

// rooted is an origin of a folder.
type rooted struct {
	origin.Origin
	root string
}

func (r rooted) Root() string { return r.root }

// After a restart, what never changes is served without asking, and what may have changed is confirmed by a Stat, not read again.
func TestWhatIsKnownOutlivesARestart(t *testing.T) {
	const never, may = "t/part-6f1c2d3e-0000-4000-8000-0123456789ab.bin", "t/plain.bin"
	dir, store := t.TempDir(), mem.New("lake")
	data := make([]byte, 100_000)
	store.Put(never, data)
	store.Put(may, data)
	pages, err := cache.New(cache.Options{Memory: 64 << 20}) // pages outlive a restart, as they do on disk
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	// life is one process; between reports what it asked of the origin.
	life := func(root string, do func(s *sidecar.Sidecar)) (stats, reads int) {
		t.Helper()
		kept := metadataStore(t, dir)
		defer kept.stop()
		o := origintest.NewFaulty(store, 1)
		s, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": rooted{o, root}}, Pages: pages, Metadata: kept})
		if err != nil {
			t.Fatal(err)
		}
		if do != nil {
			do(s)
		}
		for _, path := range []string{never, may} {
			c, err := s.Open(t.Context(), "lake", origin.ReadRequest{Path: path, Length: 1000}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c.Body); err != nil {
				t.Fatal(err)
			}
			c.Body.Close()
		}
		return len(o.Calls(origintest.OpStat)), len(o.Calls(origintest.OpRead))
	}
	if stats, reads := life("", nil); reads == 0 {
		t.Fatalf("%d stats, %d reads in the first life", stats, reads)
	}
	if stats, reads := life("", nil); stats != 1 || reads != 0 {
		t.Errorf("%d stats, %d reads after a restart, want 1 and 0", stats, reads)
	}
	if stats, reads := life("another/folder", nil); stats+reads != 2 {
		t.Errorf("%d stats, %d reads over another folder: what is known of the first one must not be believed", stats, reads)
	}
	fence := func(s *sidecar.Sidecar) {
		if err := s.Invalidate("lake", "t/", true); err != nil {
			t.Error(err)
		}
	}
	if stats, reads := life("", fence); stats+reads != 2 {
		t.Errorf("%d stats, %d reads after a fence", stats, reads)
	}
}

// endless is a bucket with a folder of n objects, which it makes up.
type endless struct {
	*mem.Origin
	n int
}

func (e *endless) List(_ context.Context, req origin.ListRequest) (origin.Listing, error) {
	first := 0
	if req.Token != "" {
		fmt.Sscan(req.Token, &first)
	}
	var l origin.Listing
	for i := first; i < min(first+1000, e.n); i++ {
		l.Entries = append(l.Entries, origin.Entry{Object: e.object(i)})
	}
	if first+1000 < e.n {
		l.NextToken = fmt.Sprint(first + 1000)
	}
	return l, nil
}

func (e *endless) object(i int) origin.Object {
	path, etag := fmt.Sprintf("big/part-%08d.parquet", i), fmt.Sprintf(`"%032x"`, i*7919)
	return origin.Object{Path: path, Version: origin.Version(etag + "/10240"), Size: 10240, ETag: etag, ModTime: time.Unix(1_790_000_000, 0).UTC(),
		Parts: []origin.Part{{ID: fmt.Sprintf("s3:%q/%q/%q@%q/10240", "https://s3.example.com", "bucket", path, etag), Length: 10240}}}
}

// A directory with very many entries is listed through the sidecar: what readers have asked for before stays in memory, memory stays within its
// limits, and what was listed is known without asking.
func TestAListingOfVeryManyKeepsWhatIsHot(t *testing.T) {
	const hot = 5_000
	listed := 25_000
	if os.Getenv("ALIO_LONG") != "" {
		listed = 250_000
	}
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("store ", stored), func(t *testing.T) {
			o := &endless{mem.New("lake"), listed}
			counted := origintest.NewFaulty(o, 1)
			opts := sidecar.Options{Mounts: map[string]origin.Origin{"lake": counted}, MetadataMemory: 16 << 20,
				Rules: []freshness.Rule{{Path: "**", Answers: []freshness.Kind{freshness.Object}, MaxAge: time.Hour}}}
			if stored {
				opts.Metadata = metadataStore(t, t.TempDir())
			}
			pages, err := cache.New(cache.Options{Memory: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer pages.Close()
			opts.Pages = pages
			s, err := sidecar.New(opts)
			if err != nil {
				t.Fatal(err)
			}
			name := func(i int) string { return fmt.Sprintf("hot/%06d", i) }
			for i := range hot {
				o.Put(name(i), []byte("x"))
				stat(t, s, name(i))
			}
			before, began := heap(), time.Now()
			peak := listAll(t, s, listed)
			t.Logf("%d entries in %v; heap %d MiB before, %d MiB at most on the way", listed, time.Since(began).Round(time.Millisecond), before>>20, peak>>20)
			counted.Forget()
			for i := range hot {
				stat(t, s, name(i))
			}
			for i := listed - 2_500; i < listed; i++ {
				if got := stat(t, s, o.object(i).Path); got.Version != o.object(i).Version {
					t.Fatalf("%s has version %s", o.object(i).Path, got.Version)
				}
			}
			if asked := len(counted.Calls(origintest.OpStat)); asked > 0 && stored {
				t.Errorf("the origin was asked %d times for what was read or listed before", asked)
			} else if hotAsked := countHot(counted.Calls(origintest.OpStat)); hotAsked > 0 {
				t.Errorf("the origin was asked %d times for what was read before", hotAsked)
			}
			st := s.Status()
			if st.ObjectBytes > opts.MetadataMemory*5/8 || st.ListingBytes > opts.MetadataMemory/4 {
				t.Errorf("%d bytes of objects, %d of listings in memory; the limit of all is %d", st.ObjectBytes, st.ListingBytes, opts.MetadataMemory)
			}
		})
	}
}

func countHot(calls []origintest.Call) (n int) {
	for _, c := range calls {
		if len(c.Path) > 4 && c.Path[:4] == "hot/" {
			n++
		}
	}
	return n
}

func stat(t *testing.T, s *sidecar.Sidecar, path string) origin.Object {
	t.Helper()
	// As a read does it, which needs no attributes.
	found, err := s.Locate(t.Context(), "lake", path, "")
	if err != nil {
		t.Fatal(err)
	}
	return found.Object
}

// listAll lists page by page and returns the largest heap on the way.
func listAll(t *testing.T, s *sidecar.Sidecar, n int) (peak uint64) {
	t.Helper()
	token, seen := "", 0
	for {
		l, err := s.List(t.Context(), "lake", origin.ListRequest{Prefix: "big/", Token: token})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(l.Entries)
		if seen%25_000 == 0 {
			peak = max(peak, heap())
		}
		if token = l.NextToken; token == "" {
			break
		}
	}
	if seen != n {
		t.Fatalf("%d entries listed, want %d", seen, n)
	}
	return peak
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
