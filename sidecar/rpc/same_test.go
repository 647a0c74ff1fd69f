package rpc

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// history knows the bytes of every version that ever was. Nobody can read a version before the history knows it.
type history struct {
	mu   sync.Mutex
	data map[string][]byte
}

// overwrite changes a path: to another object of one part or of many, by an append that leaves the last part open or not, or by a truncation.
func (h *history) overwrite(store *mem.Origin, path string, rng *rand.Rand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, err := store.Stat(context.Background(), path)
	data := h.data[string(old.Version)]
	if err == nil && rng.IntN(3) > 0 {
		if rng.IntN(4) == 0 {
			data = data[: len(data)/2 : len(data)/2]
			old, err = store.Truncate(path, int64(len(data)))
		} else {
			more := random(rng.Uint64(), rng.IntN(300_000))
			data = slices.Concat(data, more)
			old, err = store.Append(path, more, rng.IntN(2) == 0)
		}
		if err == nil { // else it is of one part
			h.data[string(old.Version)] = data
			return
		}
	}
	data = random(rng.Uint64(), 200_000+rng.IntN(1_800_000))
	if rng.IntN(3) == 0 {
		h.data[string(store.Put(path, data).Version)] = data
	} else {
		h.data[string(store.PutBlocks(path, data, 50_021+rng.Int64N(500_000)).Version)] = data
	}
}

func (h *history) of(version string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.data[version]
}

// opened is a file as it was told once.
type opened struct {
	file  *apiv1.OpenedFile
	pages []told
	data  []byte
}

// reader is a client that reads by places and by Read, and compares every byte with the version it was told.
type reader struct {
	r          *rig
	client     apiv1.SidecarClient
	cc         *grpc.ClientConn
	segments   *segmentReader
	h          *history
	rng        *rand.Rand
	generation uint64
	paths      []string
	old        []opened // what was opened before: its places may be void by now

	local, remote, stale, changed int
}

func (c *reader) fail(format string, args ...any) error { return fmt.Errorf(format, args...) }

// step opens a file and reads a random range of it, page by page where it can, else by Read at that version.
func (c *reader) step() error {
	path := c.paths[c.rng.IntN(len(c.paths))]
	off, n := c.rng.Int64N(1_500_000), 1+c.rng.Int64N(400_000)
	req := &apiv1.OpenRequest{Generation: c.generation, Files: []*apiv1.OpenFile{{Mount: "lake", Path: path, Ranges: []*apiv1.Range{{Offset: off, Length: n}}}}}
	reply, err := c.client.Open(ctxOf(c.r.t), req)
	if err != nil {
		return err
	}
	if c.generation = reply.Generation; reply.Forget {
		return c.fail("the sidecar forgot, and nothing but 8,192 retirements makes it")
	}
	for _, gone := range reply.Retired {
		if c.rng.IntN(2) == 0 { // else it stays open, and the sidecar punches holes into it
			c.segments.close(segfile.Name(gone.Instance, gone.Seq))
		}
	}
	f := reply.Files[0]
	if f.Error != nil {
		if codes.Code(f.Error.Code) == codes.Aborted { // overwritten between two requests to the origin
			c.changed++
			return nil
		}
		return c.fail("open: %v", f.Error)
	}
	data := c.h.of(f.Object.Version)
	if int64(len(data)) != f.Object.Size {
		return c.fail("version %q has %d bytes, not %d", f.Object.Version, len(data), f.Object.Size)
	}
	if c.old = append(c.old, opened{f, pages(c.r.t, reply, f), data}); len(c.old) > 50 {
		c.old = c.old[1:]
	}
	for _, o := range []opened{c.old[len(c.old)-1], c.old[c.rng.IntN(len(c.old))]} {
		for i := range o.pages {
			if err := c.page(o.file, &o.pages[i], o.data); err != nil {
				return err
			}
		}
	}
	return c.read(f, data, off, n)
}

// again reads in all places that it was told of not long ago.
func (c *reader) again() error {
	for _, o := range c.old {
		for i := range o.pages {
			if err := c.page(o.file, &o.pages[i], o.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// page reads a part of one page in its segment. A segment that is gone, or a sum that does not fit, is no answer, and allowed.
func (c *reader) page(f *apiv1.OpenedFile, p *told, data []byte) error {
	if p.segment == nil {
		return nil
	}
	length := int(p.end - p.start)
	off := c.rng.IntN(length)
	n := 1 + c.rng.IntN(length-off)
	got, err := c.segments.read(p, keyOf(f, p), off, n)
	if err != nil {
		c.stale++
		return nil
	}
	at := p.start + int64(off)
	if !bytes.Equal(got, data[at:at+int64(n)]) {
		return c.fail("%q version %s: %d bytes at %d of a segment are not its", f.Object.Path, f.Object.Version, n, at)
	}
	c.local++
	return nil
}

// read reads the range by Read: at the version that was opened, or at the present one, with either codec.
func (c *reader) read(f *apiv1.OpenedFile, data []byte, off, n int64) error {
	q := &apiv1.ReadRequest{Mount: "lake", Path: f.Object.Path, Offset: off, Length: n}
	if c.rng.IntN(2) == 0 {
		q.Version = f.Object.Version
	}
	var got []byte
	var obj *apiv1.Object
	var err error
	if c.rng.IntN(2) == 0 {
		got, obj, err = rawRead(c.r.t, c.cc, q)
	} else {
		var first *apiv1.ReadReply
		got, first, err = c.r.read(c.client, q)
		obj = first.GetObject()
	}
	if obj != nil && obj.Version != f.Object.Version {
		if q.Version != "" {
			return c.fail("pinned at %s, answered %s", q.Version, obj.Version)
		}
		data = c.h.of(obj.Version)
	}
	off = min(off, int64(len(data)))
	want := data[off:min(off+n, int64(len(data)))]
	switch code := status.Code(err); {
	case code == codes.Aborted, code == codes.OutOfRange && obj == nil:
		c.changed++
		if len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) {
			return c.fail("bytes before an abort are not those of the version")
		}
		return nil
	case err != nil:
		return c.fail("read %v: %v", q, err)
	}
	if !bytes.Equal(got, want) {
		return c.fail("%v: %d bytes, not those of version %s", q, len(got), obj.Version)
	}
	c.remote++
	return nil
}

// Random reads, by Read and in the segments themselves, of files that are overwritten all the time, through a cache that evicts all the time: every
// byte is of the version that was told. ALIO_STRESS=1 makes it long.
func TestSameBytes(t *testing.T) {
	seed := origintest.Seed(t)
	steps := 60
	if os.Getenv("ALIO_STRESS") != "" {
		steps = 5000
	}
	r := newRig(t, func(p *parts) {
		p.cache.Memory, p.cache.FillSpan, p.cache.FillMemory = 2<<20, 1<<20, 4<<20
		p.disk.Size, p.disk.SegmentSize = 12<<20, 2<<20
		p.sidecar.FillSpan, p.sidecar.RunMemory = 1<<20, 2<<20
		p.sidecar.Rules = []freshness.Rule{{Path: "**", MaxAge: 0}}
	})
	h := &history{data: map[string][]byte{}}
	paths := []string{"t/a", "t/b", "t/c", "u/d", "u/e"}
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, p := range paths {
		h.overwrite(r.store, p, rng)
	}
	var wg sync.WaitGroup
	readers := make([]*reader, 4)
	segments := newSegmentReader(t, r.dir)
	for i := range readers {
		target := "unix:" + r.socket
		cc := r.dial(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		c := &reader{r: r, client: apiv1.NewSidecarClient(cc), cc: cc, segments: segments, h: h, paths: paths, rng: rand.New(rand.NewPCG(seed, uint64(i+10)))}
		readers[i] = c
		wg.Go(func() {
			for range steps {
				if c.rng.IntN(20) == 0 {
					h.overwrite(r.store, paths[c.rng.IntN(len(paths))], c.rng)
				}
				if err := c.step(); err != nil {
					t.Errorf("%v (ALIO_SEED=%d)", err, seed)
					return
				}
			}
		})
	}
	wg.Wait()
	void := func() (n int) {
		for _, c := range readers {
			n += c.stale
		}
		return n
	}
	for i := 0; i < 100 && (i < 8 || void() == 0); i++ { // until places that were told are void
		path := fmt.Sprintf("last/%d", i)
		h.overwrite(r.store, path, rng)
		_, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: path})
		check(t, err)
		if i%4 != 3 {
			continue
		}
		for _, c := range readers {
			if err := c.again(); err != nil {
				t.Fatalf("%v (ALIO_SEED=%d)", err, seed)
			}
		}
	}
	var local, remote, stale, changed int
	for _, c := range readers {
		local, remote, stale, changed = local+c.local, remote+c.remote, stale+c.stale, changed+c.changed
	}
	t.Logf("%d pages read in segments (%d places were void), %d Reads (%d met a change), %d versions", local, stale, remote, changed, len(h.data))
	if local < steps || remote < steps/2 || stale == 0 {
		t.Errorf("only %d pages in segments and %d Reads were compared", local, remote)
	}
}
