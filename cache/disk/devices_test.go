package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// fleet is Devices on memory, each device a file system of its own whose faults the test holds.
type fleet struct {
	*Devices
	t      testing.TB
	o      DevicesOptions
	base   *vfs.Mem
	top    *vfs.Mounts
	mems   []*vfs.Mem
	faults []*vfs.Faulty
	reg    *prometheus.Registry
	cancel context.CancelFunc
	ran    chan error
}

func newFleet(t testing.TB, n int, change func(*DevicesOptions)) *fleet {
	t.Helper()
	f := &fleet{t: t, base: vfs.NewMem(), reg: prometheus.NewRegistry()}
	f.top = vfs.NewMounts(f.base)
	f.o = DevicesOptions{Each: testOptions(f.top)}
	f.o.Each.Registerer, f.o.Each.Size, f.o.Each.SegmentSize, f.o.Each.Dir = f.reg, 0, 0, ""
	for i := range n {
		dir := fmt.Sprintf("/disk%d", i)
		m := vfs.NewMem()
		need(t, m.MkdirAll(dir, 0o750))
		need(t, f.base.MkdirAll(dir, 0o750))
		f.mems, f.faults = append(f.mems, m), append(f.faults, vfs.NewFaulty(m))
		f.top.Mount(dir, f.faults[i])
		f.o.Dirs = append(f.o.Dirs, Dir{Path: dir, Size: 14 << 20, SegmentSize: 512 << 10})
	}
	if change != nil {
		change(&f.o)
	}
	return f
}

// start opens and runs them.
func (f *fleet) start() *fleet {
	f.t.Helper()
	var err error
	f.Devices, err = NewDevices(f.o)
	need(f.t, err)
	need(f.t, f.Open(context.Background()))
	f.runAll()
	return f
}

func (f *fleet) runAll() {
	ctx, cancel := context.WithCancel(context.Background())
	x, ran := f.Devices, make(chan error, 1)
	f.cancel, f.ran = cancel, ran
	go func() { ran <- x.Run(ctx) }()
	f.t.Cleanup(f.stop)
}

func (f *fleet) stop() {
	if f.ran == nil {
		return
	}
	ran := f.ran
	f.ran = nil
	err := errors.Join(f.Close(), f.Close())
	f.cancel()
	if ended := <-ran; !errors.Is(ended, errNotRunnable) { // which it is if Close was quicker
		err = errors.Join(err, ended)
	}
	need(f.t, err)
}

func (f *fleet) put(k cache.Key, data []byte) bool {
	done := make(chan bool, 1)
	if !f.Write(k, 0, data, func(ok bool) { done <- ok }) {
		return false
	}
	return <-done
}

func (f *fleet) get(k cache.Key, want []byte) error {
	b, err := f.Read(context.Background(), k, len(want), 0, len(want))
	if err != nil {
		return err
	}
	defer b.Free()
	if !bytes.Equal(b.B, want) {
		f.t.Errorf("page %x: wrong bytes", k)
	}
	return nil
}

// on returns the devices that hold a page, whether they are asked or not.
func (f *fleet) on(k cache.Key) (holders []int) {
	for i, d := range f.devices {
		if t := d.tier.Load(); t != nil && t.index.contains(k) {
			holders = append(holders, i)
		}
	}
	return holders
}

// fill stores pages first to last-1 and returns how many lie on each device.
func (f *fleet) fill(first, last uint64) []int {
	f.t.Helper()
	counts := make([]int, len(f.devices))
	for n := first; n < last; n++ {
		k, data := sizedPage(n, 9_000)
		if !f.put(k, data) {
			f.t.Fatalf("page %d was not stored: %+v", n, f.Stats())
		}
		for _, i := range f.on(k) {
			counts[i]++
		}
	}
	return counts
}

// metric is the value of a device's metric.
func (f *fleet) metric(name string, device int, label string) float64 {
	f.t.Helper()
	families, err := f.reg.Gather()
	need(f.t, err)
	for _, fam := range families {
		for _, m := range fam.GetMetric() {
			labels := map[string]bool{}
			for _, l := range m.GetLabel() {
				labels[l.GetValue()] = true
			}
			if fam.GetName() == name && labels[f.o.Dirs[device].Path] && (label == "" || labels[label]) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	f.t.Fatalf("no metric %s of device %d", name, device)
	return 0
}

// TestOneDevice: one directory works as a Tier does, over a restart too.
func TestOneDevice(t *testing.T) {
	f := newFleet(t, 1, nil).start()
	f.fill(0, 40)
	check := func() {
		t.Helper()
		for n := range uint64(40) {
			k, data := sizedPage(n, 9_000)
			need(t, f.get(k, data))
			p, ok := f.Place(k)
			if q, again := f.Touch(k); !ok || !again || p != q || !f.Contains(k) {
				t.Fatalf("%+v %v, %+v %v", p, ok, q, again)
			}
		}
	}
	check()
	absent, other := sizedPage(99, 9_000)
	if err := f.get(absent, other); !errors.Is(err, cache.ErrAbsent) || f.Contains(absent) {
		t.Fatalf("a page that is not there: %v", err)
	}
	k, data := sizedPage(3, 9_000)
	if _, err := f.Read(t.Context(), k, 9_000, 1, 9_000); !errors.Is(err, cache.ErrAbsent) {
		t.Fatalf("a range beyond the page: %v", err)
	}
	least := 1.0 // the race detector makes sync.Pool lose buffers on purpose, so not each round counts
	for range 50 {
		least = min(least, testing.AllocsPerRun(3, func() {
			b, err := f.Read(context.Background(), k, len(data), 0, 100)
			need(t, err)
			b.Free()
		}))
	}
	if least > 0 {
		t.Errorf("%v allocations a hit", least)
	}
	if d := f.Directories(); len(d) != 1 || d[0].Path != "/disk0" || len(d[0].ID) != 32 {
		t.Fatalf("%+v", d)
	}
	if s := f.Stats(); s.Pages != 40 || s.Size != 14<<20 || s.SetAside || s.Segments["active"] != 1 {
		t.Fatalf("%+v", s)
	}
	for name, want := range map[string]float64{"alio_disk_pages": 40, "alio_disk_set_aside": 0, "alio_disk_writes_paused": 0,
		"alio_disk_size_limit_bytes": 14 << 20, "alio_disk_stored_bytes_total": 40 * 9_000} {
		if got := f.metric(name, 0, ""); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if hits, absent := f.metric("alio_disk_reads_total", 0, "hit"), f.metric("alio_disk_reads_total", 0, "absent"); hits != 240 || absent != 1 {
		t.Errorf("%v hits, %v absent", hits, absent)
	}
	f.stop()
	if n := f.mems[0].OpenHandles(); n != 0 {
		t.Fatalf("%d files are open after Close", n)
	}
	f.start()
	check()
}

// TestShares: devices get pages by their sizes; a lost one's share goes to the others and comes back; nothing else moves.
func TestShares(t *testing.T) {
	dirs := []Dir{{Path: "/a", Size: 1 << 40}, {Path: "/b", Size: 2 << 40}, {Path: "/c", Size: 4 << 40}, {Path: "/d", Size: 1 << 40}}
	r := newRoutes(dirs)
	part := cache.HashPart("p")
	const keys = 200_000
	home, lost := make([]int, 4), make([]int, 4)
	for n := range int64(keys) {
		k := part.Page(n, 1)
		order := r.of(&k)
		home[order[0]]++
		if order[0] == 2 {
			lost[order[1]]++
		}
	}
	for i, want := range []float64{1. / 8, 2. / 8, 4. / 8, 1. / 8} {
		if got := float64(home[i]) / keys; got < want*0.96 || got > want*1.04 {
			t.Errorf("device %d has %.3f of the keys, want %.3f", i, got, want)
		}
	}
	for i, want := range []float64{1. / 4, 2. / 4, 0, 1. / 4} {
		if got := float64(lost[i]) / float64(home[2]); got < want*0.95 || got > want*1.05 {
			t.Errorf("device %d gets %.3f of the lost one's keys, want %.3f", i, got, want)
		}
	}
	// Another device more, listed first: keys move to it and from nowhere to nowhere else.
	more := newRoutes(append([]Dir{{Path: "/e", Size: 1 << 40}}, dirs...))
	moved := 0
	for n := range int64(keys) {
		k := part.Page(n, 1)
		switch now, was := more.of(&k)[0], r.of(&k)[0]; {
		case now == 0:
			moved++
		case now != was+1:
			t.Fatalf("page %d moved from device %d to %d", n, was, now-1)
		}
	}
	if share := float64(moved) / keys; share < 0.96/9 || share > 1.04/9 {
		t.Errorf("%.3f of the keys moved to the new device", share)
	}
	k := part.Page(1, 1)
	if n := testing.AllocsPerRun(100, func() { r.of(&k) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRoute is what it costs to find a key's home among four devices.
func BenchmarkRoute(b *testing.B) {
	f := newFleet(b, 4, nil).start()
	part := cache.HashPart("p")
	keys := make([]cache.Key, 4096)
	for i := range keys {
		keys[i] = part.Page(int64(i), 1)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		for _, d := range f.routes.of(&keys[i&4095]) {
			if f.devices[d].writable(f.devices[d].tier.Load()) {
				break
			}
		}
		i++
	}
}

// TestPagesAwayFromHome: a page that was written while its home was lost is found there ever after, and is not written twice.
func TestPagesAwayFromHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, nil).start()
		f.top.Unmount("/disk1")
		wait(2 * time.Second)
		counts := f.fill(0, 120)
		if counts[0] < 30 || counts[1] != 0 || counts[2] < 30 {
			t.Fatalf("pages on devices: %v", counts)
		}
		f.top.Mount("/disk1", f.faults[1])
		wait(2 * time.Minute)
		f.fill(0, 120)
		if s := f.Stats(); s.Pages != 120 || s.SetAside {
			t.Fatalf("%+v", s)
		}
		duplicates := 0.0
		for i := range 3 {
			duplicates += f.metric("alio_disk_writes_total", i, "duplicate")
		}
		for n := range uint64(120) {
			k, data := sizedPage(n, 9_000)
			need(t, f.get(k, data))
		}
		if counts := f.fill(200, 320); counts[1] < 20 || duplicates != 120 {
			t.Fatalf("pages on devices: %v; %v duplicates", counts, duplicates)
		}
	})
}

// TestOpenFaults: Open fails, with everything closed, on what an operator must set right, and names all of it; it does not on a device that fails.
func TestOpenFaults(t *testing.T) {
	open := func(f *fleet) error {
		x, err := NewDevices(f.o)
		need(t, err)
		err = x.Open(t.Context())
		need(t, x.Close())
		for i, m := range f.mems {
			if n := m.OpenHandles(); n != 0 {
				t.Errorf("%d files of device %d are open", n, i)
			}
			if l, err := m.Lock(f.o.Dirs[i].Path + "/" + lockFile); err == nil {
				l.Close()
			} else if i != 1 {
				t.Error(err)
			}
		}
		return err
	}
	f := newFleet(t, 3, nil)
	writeFile(t, f.mems[0], "/disk0/photo.jpg", 0, []byte("x"))
	l, err := f.mems[1].Lock("/disk1/" + lockFile)
	need(t, err)
	defer l.Close()
	f.faults[2].Add(vfs.Rule{Op: vfs.OpMkdir, Err: syscall.EACCES})
	err = open(f)
	for _, want := range []string{"/disk0 is not a cache directory of Alio", "photo.jpg", "/disk1/LOCK is in use", "/disk2", "permission denied"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	for _, errno := range []error{syscall.EIO, syscall.EROFS, syscall.ENOSPC, syscall.ESTALE} {
		f = newFleet(t, 2, nil)
		f.faults[1].Add(vfs.Rule{Err: errno})
		if err := open(f); err != nil {
			t.Errorf("a device that answers %v: %v", errno, err)
		}
	}
	f = newFleet(t, 1, nil)
	f.mems[0].SetUsage(vfs.Usage{Type: "nfs", Remote: true})
	if err := open(f); err == nil || !strings.Contains(err.Error(), "nfs") {
		t.Errorf("a network file system: %v", err)
	}
	for _, o := range []DevicesOptions{
		{},
		{Dirs: []Dir{{Path: "/a", Size: 1 << 30}, {Path: "/b/../a/", Size: 1 << 30}}},
		{Dirs: []Dir{{Path: "/a", Size: 1 << 30}, {Path: "/b", Size: 1}}, OpenWait: -1, CheckEvery: -1, CheckDeadline: -1},
		{Dirs: make([]Dir, mostDevices+1)},
	} {
		if _, err := NewDevices(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestDevicesLifecycle: the order of calls is kept, whatever else is called is an error or does nothing.
func TestDevicesLifecycle(t *testing.T) {
	f := newFleet(t, 2, nil)
	x, err := NewDevices(f.o)
	need(t, err)
	k, data := sizedPage(1, 9_000)
	if _, err := x.Read(t.Context(), k, len(data), 0, 1); !errors.Is(err, cache.ErrSick) || x.Write(k, 0, data, nil) || x.Contains(k) {
		t.Fatalf("before Open: %v", err)
	}
	if x.Run(t.Context()) == nil {
		t.Fatal("Run before Open did not fail")
	}
	if s := x.Stats(); s.SetAside || s.Size != 28<<20 || s.Segments["active"] != 0 || len(s.Segments) != int(segStates) {
		t.Fatalf("before Open: %+v", s)
	}
	need(t, x.Open(t.Context()))
	if x.Open(t.Context()) == nil {
		t.Fatal("the second Open did not fail")
	}
	if _, err := NewDevices(f.o); err == nil {
		t.Fatal("the metrics were registered twice")
	}
	need(t, x.Close())
	need(t, x.Close())
	if x.Open(t.Context()) == nil || x.Run(t.Context()) == nil {
		t.Fatal("Open or Run after Close did not fail")
	}
	x, err = NewDevices(f.o) // the metrics are free again
	need(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	need(t, x.Open(ctx))
	cancel()
	need(t, x.Run(ctx))
	need(t, x.Close())
	x, err = NewDevices(f.o)
	need(t, err)
	if err := x.Open(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	need(t, x.Close())
}
