package cache_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/origin"
)

// A storageNode keeps its blocks as files on slow disks, one for each block and generation stamp, as an HDFS DataNode does, and the blocks that
// are read again on an SSD.
type storageNode struct {
	pool string // names the node's blocks among all others: part ids begin with it
	slow string // the slow disks
	tier *disk.Tier
	hot  *cache.Cache
	reg  *prometheus.Registry
	end  func() error

	mu      sync.Mutex
	touches map[block]int
	seeks   int // of the slow disks
}

// A block is named by its id and its generation stamp: bytes that change without a new stamp would break the one rule that the cache has.
type block struct{ id, stamp int64 }

func (b block) file() string { return fmt.Sprintf("blk_%d_%d", b.id, b.stamp) }

// startNode opens the SSD and puts the cache over it.
func startNode(slow, ssd string) (*storageNode, error) {
	n := &storageNode{pool: "BP-1", slow: slow, reg: prometheus.NewRegistry(), touches: map[block]int{}}
	var err error
	if n.tier, err = disk.New(disk.Options{Dir: ssd, Size: 64 << 20, Registerer: n.reg}); err != nil {
		return nil, err
	}
	if err := n.tier.Open(context.Background()); err != nil {
		return nil, err
	}
	if n.hot, err = cache.New(cache.Options{Memory: 1 << 20, Disk: n.tier, Registerer: n.reg}); err != nil {
		return nil, fmt.Errorf("%w (and the SSD: %v)", err, n.tier.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = n.tier.Run(ctx) }) // writes what the cache offers; fails only on a hung device
	running.Go(func() { _ = n.hot.Run(ctx) })
	n.end = func() error { // the cache first: its fills write to the tier
		err := n.hot.Close()
		stop()
		running.Wait()
		if closing := n.tier.Close(); err == nil {
			err = closing
		}
		return err
	}
	return n, nil
}

// hotFrom is the read of a block from which its pages are kept. What is read once is not worth a write to the SSD.
const hotFrom = 2

// Read fills p from a block and says where the bytes came from.
func (n *storageNode) Read(ctx context.Context, b block, p []byte, off int64) (string, error) {
	info, err := os.Stat(filepath.Join(n.slow, b.file()))
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	n.touches[b]++
	hot := n.touches[b] >= hotFrom
	n.mu.Unlock()
	obj := &origin.Object{Path: b.file(), Version: origin.Version(fmt.Sprint(b.stamp)), Size: info.Size(), Parts: []origin.Part{
		{ID: fmt.Sprintf("%s/%s/%d", n.pool, b.file(), info.Size()), Length: info.Size()}, // equal ids, equal bytes, for ever
	}}
	if !hot && !n.hot.Resident(obj, grid(info.Size()), off, int64(len(p))) { // resident: hot before a restart
		body, err := n.Fetch(ctx, obj, off, int64(len(p)))
		if err != nil {
			return "", err
		}
		defer body.Close()
		_, err = io.ReadFull(body, p)
		return "slow disk", err
	}
	r, err := n.hot.Open(ctx, cache.Request{Object: obj, Layout: grid(info.Size()), Source: n, Offset: off, Length: int64(len(p))})
	if err != nil {
		return "", err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, p); err != nil {
		return "", err
	}
	switch s := r.Stats(); {
	case s.Origin > 0:
		return "slow disk, kept", nil
	case s.Memory > 0:
		return "memory", nil
	}
	return "SSD", nil
}

// Fetch is how the cache reads what it does not have.
func (n *storageNode) Fetch(_ context.Context, obj *origin.Object, off, length int64) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(n.slow, obj.Path))
	if os.IsNotExist(err) {
		return nil, origin.NewError(origin.ErrVersionChanged, "read", obj.Path, err)
	}
	if err != nil {
		return nil, origin.NewError(origin.ErrUnavailable, "read", obj.Path, err)
	}
	n.mu.Lock()
	n.seeks++
	n.mu.Unlock()
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, off, length), f}, nil
}

// grid cuts a block of so many bytes into pages of 256 KiB.
type grid int64

func (g grid) PageAt(off int64) (start, end int64, class uint8) {
	const page = 256 << 10
	start = off / page * page
	return start, min(start+page, int64(g)), 0
}

// onSSD waits until what was read is on the SSD. A node need not: what is still on its way when it closes is not kept, no more.
func (n *storageNode) onSSD() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n.tier.Stats().QueueBytes > 0 {
		<-tick.C
	}
}

// metric is the value of a counter.
func (n *storageNode) metric(name string) (sum float64) {
	families, err := n.reg.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A storage node in whose process the cache lives: it keeps the pages of hot blocks on an SSD, over restarts, and never serves a block's bytes under
// a generation stamp that they do not have.
func Example_storageNode() {
	slow, ssd, clean, err := folders()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clean()
	node, err := startNode(slow, ssd)
	if err != nil {
		fmt.Println(err)
		return
	}
	first, second := block{id: 1, stamp: 1001}, block{id: 1, stamp: 1002}
	write(slow, first, "old")
	read := func(what string, b block) {
		p := make([]byte, 600_000)
		from, err := node.Read(context.Background(), b, p, 99_999)
		fmt.Printf("%s: %s bytes from %s, error %v\n", what, p[:3], from, err)
	}
	read("first read", first)
	read("second read", first)
	node.onSSD()
	fmt.Printf("pages on the SSD: %d, seeks of the slow disk: %d\n", node.tier.Stats().Pages, node.seeks)

	if err := node.end(); err != nil {
		fmt.Println(err)
	}
	if node, err = startNode(slow, ssd); err != nil {
		fmt.Println(err)
		return
	}
	read("after a restart", first)
	fmt.Printf("seeks: %d, alio_disk_reads_total: %v\n", node.seeks, node.metric("alio_disk_reads_total"))

	write(slow, second, "new") // rewritten: a new generation stamp
	read("rewritten", second)
	read("and again", second)
	fmt.Println("closed:", node.end())

	// Output:
	// first read: old bytes from slow disk, error <nil>
	// second read: old bytes from slow disk, kept, error <nil>
	// pages on the SSD: 3, seeks of the slow disk: 2
	// after a restart: old bytes from SSD, error <nil>
	// seeks: 0, alio_disk_reads_total: 3
	// rewritten: new bytes from slow disk, error <nil>
	// and again: new bytes from slow disk, kept, error <nil>
	// closed: <nil>
}

// write puts a block of 1 MB on the slow disk: at every third byte it says what it is.
func write(slow string, b block, what string) {
	data := make([]byte, 0, 1_000_000)
	for len(data) < 999_999 {
		data = append(data, what...)
	}
	if err := os.WriteFile(filepath.Join(slow, b.file()), data, fs.FileMode(0o600)); err != nil {
		fmt.Println(err)
	}
}

// folders stand for a slow disk and an SSD.
func folders() (slow, ssd string, clean func(), err error) {
	dir, err := os.MkdirTemp("", "alio-example-")
	if err != nil {
		return "", "", nil, err
	}
	slow, ssd = filepath.Join(dir, "slow"), filepath.Join(dir, "ssd")
	return slow, ssd, func() { _ = os.RemoveAll(dir) }, os.Mkdir(slow, 0o700)
}
