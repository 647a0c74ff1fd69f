package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/internal/vfs"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/config"
)

const (
	limitReaders     = 16
	limitConcurrency = 3
	limitObjects     = 24
	limitObjectSize  = 1 << 20
	limitDisk        = 8 << 20
	limitMemory      = 4 << 20
)

// TestLimitsHoldUnderLoad lets 16 clients read at random far more than the cache holds, while the device is well, full, hung and well again:
// every answer is right, and memory, disk, descriptors, goroutines and requests at the origin stay within what was configured at every
// moment that is looked at. ALIO_SEED replays the choices.
func TestLimitsHoldUnderLoad(t *testing.T) {
	isolate(t)
	seed := origintest.Seed(t)
	o := startOrigin(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	bodies := make([][]byte, limitObjects)
	for i := range bodies {
		bodies[i] = make([]byte, limitObjectSize)
		for j := range bodies[i] {
			bodies[i][j] = byte(rng.Uint32())
		}
		o.Put(fmt.Sprint("o", i), bodies[i])
	}
	device := vfs.NewFaulty(vfs.OS)
	p := runOn(t, o, device, func(c *config.Config) {
		c.Cache.Size, c.Cache.Memory, c.Cache.SegmentSize = limitDisk, limitMemory, 1280*units.KiB
		c.Cache.FillSpan, c.Cache.FillMemory, c.Cache.FirstReadMemory, c.Cache.WriteQueue = units.MiB, 4*units.MiB, 2*units.MiB, 4*units.MiB
		c.Cache.ReadDeadline = units.Duration(50 * time.Millisecond)
		m := c.Mounts["lake"]
		m.Limits.Concurrency = limitConcurrency
		c.Mounts["lake"] = m
	})
	base := usage{goroutines: runtime.NumGoroutine(), descriptors: descriptors(t), heap: heap()}
	for _, phase := range []string{"well", "full", "hung", "well again"} {
		end := upset(device, phase)
		n := limitLoad(t, p, o, bodies, seed, base)
		end()
		t.Logf("%s: %d reads", phase, n)
		if n < 10 {
			t.Errorf("%s: only %d reads: nothing was tested", phase, n)
		}
	}
	eventually(t, "pages on disk after all", func() bool {
		p.read(t, "o0")
		return p.tier.Stats().Pages > 0
	})
	http.DefaultClient.CloseIdleConnections()
}

// upset makes the device go wrong until the function it returns is called.
func upset(device *vfs.Faulty, phase string) (end func()) {
	hang := make(chan struct{})
	switch phase {
	case "full":
		device.Add(vfs.Rule{Op: vfs.OpWrite, Err: syscall.ENOSPC})
		device.Add(vfs.Rule{Op: vfs.OpPreallocate, Err: syscall.ENOSPC})
	case "hung":
		device.Add(vfs.Rule{Op: vfs.OpReadNow, Err: vfs.ErrWouldBlock})
		device.Add(vfs.Rule{Op: vfs.OpRead, Hang: hang})
		device.Add(vfs.Rule{Op: vfs.OpWrite, Hang: hang})
	}
	return func() {
		device.Clear()
		close(hang)
	}
}

type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

// limitLoad reads from all clients for a while, and looks at the limits meanwhile. It returns how many answers were compared.
func limitLoad(t *testing.T, p *inProcess, o *s3Origin, bodies [][]byte, seed uint64, base usage) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: limitReaders, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var reads atomic.Int64
	for i := range limitReaders {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)+10))
			for ctx.Err() == nil && !t.Failed() {
				n := rng.IntN(len(bodies))
				off := rng.IntN(limitObjectSize)
				end := min(limitObjectSize, off+1+rng.IntN(200_000))
				got, err := rangeOf(client, fmt.Sprintf("%s/lake/o%d", p.state.addresses.Load().S3, n), off, end)
				if err != nil || !bytes.Equal(got, bodies[n][off:end]) {
					t.Errorf("o%d at %d to %d: %d bytes, %v (ALIO_SEED=%d)", n, off, end, len(got), err, seed)
				}
				reads.Add(1)
			}
		})
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && !t.Failed() {
		checkLimits(t, p, o, base)
		<-tick.C
	}
	wg.Wait()
	return reads.Load()
}

func rangeOf(c *http.Client, url string, off, end int) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, end-1))
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusPartialContent {
		err = fmt.Errorf("%s: %.200s", resp.Status, b)
	}
	return b, err
}

func checkLimits(t *testing.T, p *inProcess, o *s3Origin, base usage) {
	t.Helper()
	s := p.cache.Stats()
	if s.MemoryBytes > limitMemory || s.FillMemoryBytes > s.FillMemoryLimit {
		t.Errorf("%d bytes in memory of %d, %d on their way of %d", s.MemoryBytes, limitMemory, s.FillMemoryBytes, s.FillMemoryLimit)
	}
	if du := allocated(t, p.cfg.Cache.Dir); du > limitDisk {
		t.Errorf("the directory takes %d bytes, its limit is %d", du, limitDisk)
	}
	if most := o.most.Load(); most > limitConcurrency {
		t.Errorf("%d requests at once at the origin, the limit is %d", most, limitConcurrency)
	}
	// A client has a connection with a goroutine at each end, and net/http's two; each request at the origin as much again; then the
	// disk tier's readers, and one fill for each client.
	if n := runtime.NumGoroutine() - base.goroutines; n > 8*limitReaders+8*limitConcurrency+32 {
		t.Errorf("%d goroutines more than at rest", n)
	}
	if n := descriptors(t) - base.descriptors; n > 2*limitReaders+2*limitConcurrency+40 {
		t.Errorf("%d descriptors more than at rest", n)
	}
	// The limits' sum is 16 MiB; the garbage collector lets the heap double, buffers on loan and the race detector do the rest.
	if h := heap(); h > base.heap+128<<20 {
		t.Errorf("the heap has grown by %d MiB", (h-base.heap)>>20)
	}
}

// allocated is what du counts.
func allocated(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has just been removed
		}
		var st syscall.Stat_t
		if syscall.Lstat(path, &st) == nil {
			sum += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return sum
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
