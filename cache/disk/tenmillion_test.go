package disk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// What is said of many small pages is shown with 40,000 in the unit tests and with ten million by hand:
//
//	ALIO_PAGES=10000000 go test -run TestRestartOfManyPages -v ./cache/disk
//	ALIO_PAGES=10000000 go test -run '^$' -bench Many -benchtime 300000x ./cache/disk
//
// ALIO_PAGES_DIR names a directory that keeps the segments (11 GB) for the next run.
const (
	manyEnv     = "ALIO_PAGES"
	manyDirEnv  = "ALIO_PAGES_DIR"
	manyChild   = "ALIO_DISK_TEST_MANY" // "<unix nanoseconds when the child was started> <pages> <directory>"
	manyLength  = 1 << 10
	manyDefault = 40_000
)

func manyPages(t testing.TB) int {
	text := os.Getenv(manyEnv)
	if text == "" {
		return manyDefault
	}
	n, err := strconv.Atoi(text)
	need(t, err)
	return n
}

var manyPart = cache.HashPart("many")

// manyPage is the n-th page: its key, and its bytes, which follow from n.
func manyPage(n uint64, b []byte) (cache.Key, []byte) {
	b = b[:manyLength]
	x := n * 0x9e3779b97f4a7c15
	for i := 0; i < len(b); i += 8 {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		binary.LittleEndian.PutUint64(b[i:], z^z>>27)
	}
	return manyPart.Page(int64(n), manyLength), b
}

// manyOptions are those of a tier with room for n pages.
func manyOptions(dir string, n int) Options {
	return Options{Dir: dir, Size: max(int64(n)*(manyLength+128)*3/2, 512<<20), SegmentSize: 64 << 20, Sync: SyncNever}
}

// manyDirectory makes a directory of n pages in sealed segments, without the detour through a tier; or takes the one that was kept.
func manyDirectory(t testing.TB, n int) string {
	dir := filepath.Join(t.TempDir(), "cache")
	if keep := os.Getenv(manyDirEnv); keep != "" {
		dir = filepath.Join(keep, strconv.Itoa(n))
		if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
			return dir
		}
	}
	o := manyOptions(dir, n)
	need(t, vfs.OS.MkdirAll(filepath.Join(dir, segmentsDir), 0o750))
	tier, err := New(o)
	need(t, err)
	need(t, tier.writeIdentity(false))
	perSegment := int((o.SegmentSize - segfile.HeaderSize - segfile.TrailerSize) / (segfile.RecordSize(manyLength) + segfile.EntrySize))
	var wg sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := worker; s*perSegment < n; s += runtime.GOMAXPROCS(0) {
				h := segfile.Header{Instance: 77, Seq: uint64(s + 1)}
				if err := writeSegment(tier.segmentPath(h.Instance, h.Seq), h, s*perSegment, min((s+1)*perSegment, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if os.Getenv(manyDirEnv) != "" && !t.Failed() {
		need(t, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o640))
	}
	return dir
}

// writeSegment writes a sealed segment of the pages from begin to end.
func writeSegment(path string, h segfile.Header, begin, end int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	_, _ = w.Write(h.Encode()) // the first error stays and comes out of Flush
	at, seed := int64(segfile.HeaderSize), h.Seed()
	var list []segfile.Location
	var record []byte
	data := make([]byte, manyLength)
	for n := begin; n < end; n++ {
		k, data := manyPage(uint64(n), data)
		list = append(list, segfile.Location{Key: k, Off: at, Length: manyLength})
		record = segfile.AppendRecord(record[:0], seed, at, k, 0, data)
		_, _ = w.Write(record)
		at += int64(len(record))
	}
	_, _ = w.Write(segfile.EncodeFooter(h, list, at))
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// TestRestartOfManyPages starts a process on a full directory and asks it how long it took from its very start to the first page, how much memory
// a page costs, and whether random pages are right.
func TestRestartOfManyPages(t *testing.T) {
	if text := os.Getenv(manyChild); text != "" {
		restartChild(t, text)
		return
	}
	n := manyPages(t)
	dir := manyDirectory(t, n)
	for round := range 3 {
		got := startChild(t, n, dir)
		perPage, cpu := float64(got["open_ns"])/float64(n), float64(got["cpu_ns"])/float64(n)
		index := float64(got["index_bytes"]) / float64(n)
		t.Logf("start %d: %d pages; %.1f ns a page to open (%.1f of processor time); first hit %.3f s after the process was started (%.3f s of it before Open); "+
			"memory: %.1f bytes a page of index, %.1f of the process", round, got["pages"], perPage, cpu, float64(got["first_ns"])/1e9,
			float64(got["before_ns"])/1e9, index, float64(got["rss_bytes"])/float64(n))
		if got["pages"] != int64(n) || got["wrong"] != 0 || got["right"] < 2000 {
			t.Fatalf("%+v", got)
		}
		if index > 48 {
			t.Errorf("the index takes %.1f bytes a page", index)
		}
		if n >= 1_000_000 && cpu > 200 { // 0.1 us on two cores; what the clock says depends on who else is on the machine
			t.Errorf("a page takes %.0f ns of processor time", cpu)
		}
	}
}

func startChild(t *testing.T, n int, dir string) map[string]int64 {
	cmd := exec.Command(os.Args[0], "-test.run=^TestRestartOfManyPages$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", manyChild, time.Now().UnixNano(), n, dir))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := map[string]int64{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok && name == strings.ToLower(name) {
			if v, err := strconv.ParseInt(value, 10, 64); err == nil {
				got[name] = v
			}
		}
	}
	return got
}

// restartChild is the process that starts.
func restartChild(t *testing.T, text string) {
	entered := time.Now().UnixNano()
	var began int64
	var n int
	var dir string
	_, err := fmt.Sscan(text, &began, &n, &dir)
	need(t, err)
	rss := residentBytes(t)
	opened := time.Now()
	tier, err := New(manyOptions(dir, n))
	need(t, err)
	cpu := processorTime(t)
	need(t, tier.Open(context.Background()))
	took := time.Since(opened)
	cpu = processorTime(t) - cpu
	rng := rand.New(rand.NewPCG(seed(t), 11))
	h := &harness{Tier: tier, t: t}
	right, first := 0, int64(0)
	b := make([]byte, manyLength)
	for range 2000 {
		k, want := manyPage(rng.Uint64N(uint64(n)), b)
		need(t, h.get(k, want))
		if right++; right == 1 {
			first = time.Now().UnixNano() - began
		}
	}
	wrong := 0
	if t.Failed() { // get compares
		wrong = 1
	}
	s := tier.Stats()
	for name, v := range map[string]int64{
		"pages": int64(s.Pages), "open_ns": took.Nanoseconds(), "before_ns": entered - began, "first_ns": first, "cpu_ns": cpu.Nanoseconds(), "index_bytes": s.IndexBytes,
		"rss_bytes": residentBytes(t) - rss, "right": int64(right), "wrong": int64(wrong),
	} {
		fmt.Printf("%s=%d\n", name, v)
	}
	need(t, tier.Close())
}

// processorTime is what the process has used of it.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	need(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentBytes is the process's resident memory.
func residentBytes(t testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	need(t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	need(t, err)
	return pages * int64(os.Getpagesize())
}

// openMany opens a directory of n pages, whose writer is not started, and reads every file so that it is in the page cache.
func openMany(b *testing.B, n int) *Tier {
	dir := manyDirectory(b, n)
	tier, err := New(manyOptions(dir, n))
	need(b, err)
	need(b, tier.Open(context.Background()))
	b.Cleanup(func() { need(b, tier.Close()) })
	buf := make([]byte, 4<<20)
	for _, s := range tier.segments {
		for off := int64(0); off < s.size; off += int64(len(buf)) {
			_, _ = s.file.ReadAt(buf, off) // its end is short
		}
	}
	return tier
}

// BenchmarkHitAmongMany reads random pages of 1 KiB from a tier of ten thousand and from one of many, in turns, and beside each a pread of another
// random page of the same tier. It prints the medians, and how much longer a hit takes among many.
func BenchmarkHitAmongMany(b *testing.B) {
	sizes := []int{10_000, manyPages(b)}
	var tiers []*Tier
	for _, n := range sizes {
		tiers = append(tiers, openMany(b, n))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var hits, preads, looks [2][]time.Duration
	p := make([]byte, manyLength)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for i, tier := range tiers {
			k1, _ := manyPage(rng.Uint64N(uint64(sizes[i])), p)
			k2, _ := manyPage(rng.Uint64N(uint64(sizes[i])), p)
			k3, _ := manyPage(rng.Uint64N(uint64(sizes[i])), p)
			e, _ := tier.index.peek(k2)
			f, at := tier.table.get(e.slot).file, e.location().Off+segfile.HeaderSize
			t0 := time.Now()
			_, err := f.ReadAt(p, at)
			t1 := time.Now()
			need(b, err)
			buf, err := tier.Read(context.Background(), k1, manyLength, 0, manyLength)
			if err != nil {
				b.Fatal(err)
			}
			buf.Free()
			t2 := time.Now()
			seg, _ := tier.index.acquire(k3, manyLength, &tier.table)
			tier.release(seg)
			t3 := time.Now()
			preads[i], hits[i], looks[i] = append(preads[i], t1.Sub(t0)), append(hits[i], t2.Sub(t1)), append(looks[i], t3.Sub(t2))
		}
	}
	b.StopTimer()
	for what, d := range map[string][2][]time.Duration{"hit": hits, "pread": preads, "look": looks} {
		few, many := median(d[0]), median(d[1])
		b.ReportMetric(float64(few), what+"-ns-10k")
		b.ReportMetric(float64(many), what+"-ns-many")
		b.ReportMetric(float64(many)/float64(few), what+"-ratio")
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
