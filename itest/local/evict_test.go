package local

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// held is what this process, sidecar and clients, makes a directory take: room of the files in it and of removed ones that are open still, as the
// kernel counts them, and its descriptors and mappings of them.
type held struct {
	bytes                 int64
	descriptors, mappings int
}

func hold(t testing.TB, dir string) (h held) {
	t.Helper()
	seen := map[uint64]bool{}
	add := func(info fs.FileInfo) {
		if st := info.Sys().(*syscall.Stat_t); !seen[st.Ino] {
			seen[st.Ino] = true
			h.bytes += st.Blocks * 512
		}
	}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil { // else it was removed meanwhile
				add(info)
			}
		}
		return nil
	})
	entries, err := os.ReadDir("/proc/self/fd")
	need(t, err)
	for _, e := range entries {
		name := "/proc/self/fd/" + e.Name()
		target, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(target, dir+"/segments/") {
			continue
		}
		h.descriptors++
		if info, err := os.Stat(name); err == nil && info.Sys().(*syscall.Stat_t).Mode&syscall.S_IFMT == syscall.S_IFREG {
			add(info)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	need(t, err)
	h.mappings = strings.Count(string(maps), dir+"/segments/")
	return h
}

// TestReadersUnderEviction: 16 readers of 20 times the data that the disk may hold, in segments of 1 MiB, with constant eviction: every byte is the
// origin's; the room that files and removed files take, the descriptors and the mappings stay within their limits at every sample. ALIO_STRESS=1
// waits for 10,000 retirements, else for some hundreds.
func TestReadersUnderEviction(t *testing.T) {
	const (
		readers  = 16
		files    = 40
		fileSize = 4 << 20
		size     = files * fileSize / 20
		open     = 6 // descriptors of each client
	)
	s, retirements := seed(t), uint64(200)
	if os.Getenv("ALIO_STRESS") != "" {
		retirements = 10_000
	}
	m := newMachine(t, size, 1<<20, freshness.Rule{Path: "**", MaxAge: freshness.Forever})
	for i := range files {
		m.put(fmt.Sprint("f", i), fileSize, uint64(i))
	}
	users := []*user{
		m.client(func(o *client.Options) { o.OpenSegments = open }),
		m.client(func(o *client.Options) { o.OpenSegments, o.Mmap = open, true }),
	}
	limit := held{bytes: size, descriptors: 3*size>>20 + 16 + 2*open, mappings: open}
	start := m.proc.moment()
	var compared atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for g := range readers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(g)))
			for m.proc.moment()-start < retirements && ctx.Err() == nil && !t.Failed() {
				n, err := readSome(m, users[g%2], rng, files)
				if err != nil {
					t.Error(err)
				}
				compared.Add(n)
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	most, samples := sample(t, m.dir, limit, ended)
	<-ended
	took, retired := ctx.Err(), m.proc.moment()-start
	local := users[0].bytes("local") + users[1].bytes("local")
	t.Logf("%d retirements; %.1f MB compared, %.1f MB read locally; most at once of %d samples: %+v, limits %+v; page reads of the first client: served %v, retired %v, corrupt %v, busy %v",
		retired, float64(compared.Load())/1e6, local/1e6, samples, most, limit, users[0].metric("alio_client_page_reads_total", "served"),
		users[0].metric("alio_client_page_reads_total", "retired"), users[0].metric("alio_client_page_reads_total", "corrupt"), users[0].metric("alio_client_page_reads_total", "busy"))
	if took != nil || retired < retirements || local < float64(compared.Load())/50 || samples < 5 {
		t.Errorf("too little was tested: %v", took)
	}
	for _, u := range users {
		need(t, u.Close())
	}
	eventually(t, "all removed segments are let go", func() bool { return m.proc.tier.Stats().Segments["unlinked"] == 0 })
	if h := hold(t, m.dir); h.bytes > size || h.mappings != 0 || h.descriptors > limit.descriptors-2*open {
		t.Errorf("in the end %+v", h)
	}
}

// readSome opens a file, one of a few hot ones as a rule, and compares a few ranges of it.
func readSome(m *machine, u *user, rng *rand.Rand, files int) (compared int64, err error) {
	file := rng.IntN(files)
	if rng.IntN(10) < 7 {
		file = 0
	}
	f, err := u.Open(context.Background(), "lake", fmt.Sprint("f", file), client.OpenOptions{})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for range 4 {
		n := 1 + rng.IntN([]int{100, 50_000, 600_000}[rng.IntN(3)])
		off := rng.Int64N(f.Size() - 1)
		if err := m.read(f, off, n); err != nil {
			return compared, err
		}
		compared += int64(n)
	}
	return compared, nil
}

// sample looks every few milliseconds what is held, until ended, and compares it with the limit. A look takes a while, in which a segment may go and
// another come, so that both are seen: the least of three looks counts.
func sample(t *testing.T, dir string, limit held, ended <-chan struct{}) (most held, samples int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return most, samples
		case <-tick.C:
		}
		h := hold(t, dir)
		for range 2 {
			again := hold(t, dir)
			h = held{min(h.bytes, again.bytes), min(h.descriptors, again.descriptors), min(h.mappings, again.mappings)}
		}
		most = held{max(most.bytes, h.bytes), max(most.descriptors, h.descriptors), max(most.mappings, h.mappings)}
		samples++
		if h.bytes > limit.bytes || h.descriptors > limit.descriptors || h.mappings > limit.mappings {
			t.Errorf("held %+v, and %+v is the limit", h, limit)
			return most, samples
		}
	}
}
