package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// writable lets a node write to the store.
type writable struct {
	*origintest.Faulty
	store  *mem.Origin
	before *func() // called when a write has come to the store, before it is done
}

func (w writable) Put(_ context.Context, path string, body io.Reader, _ int64, _ origin.PutOptions) (origin.Object, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return origin.Object{}, err
	}
	if w.before != nil && *w.before != nil {
		(*w.before)()
	}
	return w.store.Put(path, data), nil
}

func (w writable) Delete(_ context.Context, path string) error {
	w.store.Delete(path)
	return nil
}

// newWriters is a fleet whose nodes write, and whose answers of all kinds may be so old.
func newWriters(t *testing.T, n int, age, patience time.Duration, before *func()) *fleet {
	store := mem.New("lake")
	f := newFleet(t, n, func(i int, o *nodeOptions) {
		o.sidecar.Rules = []freshness.Rule{{Path: "**", MaxAge: age}}
		faulty := o.sidecar.Mounts["lake"].(*origintest.Faulty)
		faulty.Origin = store
		o.sidecar.Mounts["lake"] = writable{faulty, store, before}
		o.onDemand, o.peers.Patience, o.peers.Timeout = true, patience, 2*patience
	})
	f.store = store
	return f
}

// number is a version's, which the store counts up.
func number(v origin.Version) int64 {
	n, err := strconv.ParseInt(strings.TrimPrefix(string(v), "v"), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// register is one path, as it should be.
type register struct {
	f       *fleet
	path    string
	folder  string
	written atomic.Int64 // the last version whose writer was told that it is written, or (below 0) that it deleted that one
	home    *node

	mu    sync.Mutex
	holds map[*node]bool // it has asked by itself since it wrote last: what it heard it may believe for as long as max_age says
}

// write writes or deletes through a node.
func (r *register) write(x *node, remove bool) {
	path := r.path
	if remove {
		last := r.written.Load()
		if err := x.Sidecar.Delete(context.Background(), "lake", path); err != nil {
			panic(err)
		}
		r.written.Store(-max(last, -last))
	} else {
		o, err := x.Put(context.Background(), "lake", path, strings.NewReader("some bytes"), 10, origin.PutOptions{})
		if err != nil {
			panic(err)
		}
		r.written.Store(number(o.Version))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds[x] = false
}

// asks notes that a node asks, and gives the least version that it may be told; 0: any.
func (r *register) asks(x *node) (least int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if least = r.written.Load(); r.holds[x] {
		least = 0
	}
	r.holds[x] = r.holds[x] || x != r.home // who owns the folder is told of what is written later, also when it does not own it any more
	return least
}

// read asks about the path through a node, by its status or a listing. It complains of an answer from before a write that had ended when it asked.
func (r *register) read(x *node, list bool) error {
	least, got, err := r.asks(x), int64(0), error(nil)
	if list {
		var l origin.Listing
		l, err = x.List(context.Background(), "lake", origin.ListRequest{Prefix: r.folder + "/"})
		for _, e := range l.Entries {
			got = number(e.Version)
		}
	} else {
		var o origin.Object
		if o, err = x.Stat(context.Background(), "lake", r.path); errors.Is(err, origin.ErrNotFound) {
			err = nil
		} else if err == nil {
			got = number(o.Version)
		}
	}
	switch {
	case err != nil:
		return err
	case least > 0 && got < least:
		return fmt.Errorf("%s (home %s, listing %v) is told of version %d of %s, and %d had been written", x.name, r.home.name, list, got, r.path, least)
	case least < 0 && got != 0 && got <= -least:
		return fmt.Errorf("%s (home %s, listing %v) is told of version %d of %s, which had been deleted", x.name, r.home.name, list, got, r.path)
	}
	return nil
}

// TestWritesAreSeenAtOnce: random writes, deletions, looks and listings through three sidecars, each path's one after the other and many paths at once, with answers that may be an hour old: nobody but who has
// asked by himself before is told of what was before a write that had ended. The folder's owner changes while this goes on.
func TestWritesAreSeenAtOnce(t *testing.T) {
	seed := origintest.Seed(t)
	f := newWriters(t, 3, time.Hour, 10*time.Second, nil)
	var wg sync.WaitGroup
	var asked atomic.Int64
	var moving sync.RWMutex // while the ring changes nobody asks: who is asked is then another one for each
	for i := range 40 {
		r := &register{f: f, folder: fmt.Sprintf("t%d", i), holds: map[*node]bool{}}
		r.path = r.folder + "/a.bin"
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for range 60 {
				moving.RLock()
				r.home = f.ownerOf(ring.Split{Mount: "lake", Path: r.folder + "/*"})
				x := f.nodes[rng.IntN(3)]
				var err error
				if k := rng.IntN(8); k < 3 {
					r.write(x, k == 0 && r.written.Load() != 0)
				} else {
					err = r.read(x, k == 7)
				}
				moving.RUnlock()
				asked.Add(1)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	until(t, "all know one another", func() bool {
		for _, x := range f.nodes[:2] {
			if len(*x.peers.past.Load()) == 0 {
				return false
			}
		}
		return true
	})
	for i := range 4 {
		until(t, "some more has been asked", func() bool { return asked.Load() >= int64(i+1)*400 })
		moving.Lock()
		m, seen := f.member(f.nodes[i%2]), map[*node]*[]past{}
		for _, x := range f.nodes {
			seen[x] = x.peers.past.Load()
		}
		m.Draining = !m.Draining
		f.source.apply(t, ring.Change{Update: []ring.Member{m}})
		until(t, "all have seen the change", func() bool {
			for _, x := range f.nodes {
				if x.peers.past.Load() == seen[x] {
					return false
				}
			}
			return true
		})
		moving.Unlock()
	}
	wg.Wait()
	for _, x := range f.nodes {
		if n := x.count(t, "alio_peer_fences_total", "result", "untold"); n > 0 {
			t.Errorf("%v times nobody heard of a write through %s", n, x.name)
		}
	}
	if told := f.nodes[0].count(t, "alio_peer_fences_total", "result", "told"); told == 0 {
		t.Error("nobody was told of a write")
	}
}

// TestToldAfterTheWrite: the folder's owner asks about a path while it is being written: what it hears it does not tell when the write has ended.
func TestToldAfterTheWrite(t *testing.T) {
	var during func()
	f := newWriters(t, 3, time.Hour, 10*time.Second, &during)
	path := "t/a.bin"
	for i := 0; f.ownerOf(ring.Split{Mount: "lake", Path: folderOf(path) + "/*"}) != f.nodes[0]; i++ {
		path = fmt.Sprintf("t%d/a.bin", i)
	}
	old := f.store.Put(path, []byte("old"))
	during = func() {
		o, err := f.nodes[0].Stat(context.Background(), "lake", path)
		if err != nil || o.Version != old.Version {
			t.Errorf("before the write is done the owner hears of %s: %v", o.Version, err)
		}
	}
	written, err := f.nodes[1].Put(t.Context(), "lake", path, strings.NewReader("new"), 3, origin.PutOptions{})
	need(t, err)
	for _, x := range []*node{f.nodes[2], f.nodes[0], f.nodes[1]} {
		if o, err := x.Stat(t.Context(), "lake", path); err != nil || o.Version != written.Version {
			t.Errorf("%s is told of %s after the write of %s: %v", x.name, o.Version, written.Version, err)
		}
	}
}

// deaf is a door that answers nobody who asks or tells of a path.
type deaf struct{ *Server }

func (d deaf) Fence(ctx context.Context, _ *apiv1.FenceRequest) (*apiv1.FenceReply, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (d deaf) Known(ctx context.Context, _ *apiv1.KnownRequest) (*apiv1.KnownReply, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (d deaf) Tell(ctx context.Context, _ *apiv1.TellRequest) (*apiv1.TellReply, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestDeafOwner: the folder's owner does not answer who tells of a write: the write takes a moment longer, until the owner is left alone; and nobody is told of what is older than max_age.
func TestDeafOwner(t *testing.T) {
	const age, timeout = 100 * time.Millisecond, 200 * time.Millisecond
	f := newWriters(t, 3, age, timeout/2, nil)
	f.stand(f.nodes[0], deaf{f.nodes[0].server})
	path := "t/a.bin"
	for i := 0; f.ownerOf(ring.Split{Mount: "lake", Path: folderOf(path) + "/*"}) != f.nodes[0]; i++ {
		path = fmt.Sprintf("t%d/a.bin", i)
	}
	slow := 0
	for i := range 12 {
		writer, reader := f.nodes[1+i%2], f.nodes[2-i%2]
		began := time.Now()
		o, err := writer.Put(t.Context(), "lake", path, strings.NewReader("x"), 1, origin.PutOptions{})
		need(t, err)
		if took := time.Since(began); took > timeout/2 {
			if slow++; took > 10*timeout {
				t.Errorf("a write took %v", took)
			}
		}
		written := time.Now()
		until(t, "the reader is told of the write", func() bool {
			got, err := reader.Stat(t.Context(), "lake", path)
			need(t, err)
			return number(got.Version) >= number(o.Version)
		})
		if took := time.Since(written); took > age+2*time.Second {
			t.Errorf("the reader was told %v after the write", took)
		}
	}
	if slow == 0 || slow > 10 {
		t.Errorf("%d of 12 writes waited for an owner that does not answer", slow)
	}
}
