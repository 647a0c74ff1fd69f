package local

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// TestSidecarThatDies: readers go on while the sidecar is killed and started anew over its disk, three times: no read fails (they have a fallback),
// every byte is right, what is open is read locally while the sidecar is away, and each new process is used again.
func TestSidecarThatDies(t *testing.T) {
	s := seed(t)
	m := newMachine(t, 64<<20, 2<<20, freshness.Rule{Path: "**", MaxAge: freshness.Forever})
	const files = 8
	for i := range files {
		m.put(fmt.Sprint("f", i), 2<<20, uint64(i))
	}
	d := &direct{m: m}
	u := m.client(func(o *client.Options) { o.Fallback, o.ControlDeadline = d, 2*time.Second })
	opened := make([]*client.File, files)
	open := func() {
		for i := range opened {
			f, err := u.Open(t.Context(), "lake", fmt.Sprint("f", i), client.OpenOptions{Size: 2 << 20})
			need(t, err)
			need(t, m.read(f, 0, 2<<20))
			opened[i] = f
		}
	}
	open()
	eventually(t, "every page is on disk", func() bool { return m.proc.cache.Stats().MemoryPages == 0 })
	eventually(t, "every place is known", func() bool {
		before := u.bytes("local")
		open()
		return u.bytes("local") == before+files*2<<20
	})
	var stop atomic.Bool
	var reads atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(g)))
			for !stop.Load() && !t.Failed() {
				f := opened[rng.IntN(files)]
				if err := m.read(f, rng.Int64N(f.Size()), 1+rng.IntN(200_000)); err != nil {
					t.Error(err)
				}
				reads.Add(1)
			}
		})
	}
	more := func(n int64) {
		from := reads.Load()
		eventually(t, "readers go on", func() bool { return reads.Load() > from+n || t.Failed() })
	}
	rng := rand.New(rand.NewPCG(s, 99))
	for range 3 {
		more(50 + rng.Int64N(100))
		m.kill()
		local := u.bytes("local")
		more(50)
		if u.bytes("local") == local {
			t.Error("nothing was read locally while the sidecar was away")
		}
		m.start()
		if got := m.proc.tier.Stats().Pages; got < files*8 {
			t.Errorf("the disk tier kept %d pages", got)
		}
		eventually(t, "the new process is used", func() bool {
			f, err := u.Open(t.Context(), "lake", "f0", client.OpenOptions{ETag: "\"other\""}) // not what is known: the sidecar is asked
			return err == nil && m.read(f, 0, 100) == nil && u.metric("alio_client_breaker_open", "") == 0
		})
	}
	stop.Store(true)
	wg.Wait()
	eventually(t, "everything is read locally again", func() bool {
		before := u.bytes("local")
		open()
		return u.bytes("local") == before+files*2<<20
	})
	t.Logf("%d reads, %d by the fallback, places forgotten %v times", reads.Load(), d.reads.Load(), u.metric("alio_client_forgets_total", ""))
	if u.metric("alio_client_forgets_total", "") < 3 {
		t.Error("a restart was not noticed")
	}
}
