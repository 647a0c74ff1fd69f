package disk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// segmentFiles names the segments, oldest first.
func segmentFiles(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	infos, err := fsys.ReadDir(filepath.Join(dir, segmentsDir))
	need(t, err)
	var names []string
	for _, i := range infos {
		names = append(names, filepath.Join(dir, segmentsDir, i.Name))
	}
	slices.SortFunc(names, func(a, b string) int {
		_, x, _ := segfile.ParseName(filepath.Base(a))
		_, y, _ := segfile.ParseName(filepath.Base(b))
		return int(x) - int(y)
	})
	return names
}

func readFile(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name, false)
	need(t, err)
	defer f.Close()
	size, err := f.Size()
	need(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	need(t, err)
	return b
}

func writeFile(t testing.TB, fsys vfs.FS, name string, at int64, b []byte) {
	t.Helper()
	f, err := fsys.Open(name, true)
	if err != nil {
		f, err = fsys.Create(name, 0o640)
	}
	need(t, err)
	_, err = f.WriteAt(b, at)
	need(t, errors.Join(err, f.Close()))
}

func smallLength(n uint64) int { return 1 + 90*int(n) }

// smallSegment stores a few small pages in one sealed segment and returns its name.
func smallSegment(t *testing.T, m *vfs.Mem) (pages []uint64, name string) {
	h := openTier(t, testOptions(m))
	for n := range uint64(6) {
		k, data := sizedPage(n, smallLength(n))
		h.put(k, 0, data)
		pages = append(pages, n)
	}
	h.stop()
	names := segmentFiles(t, m, "/cache")
	if len(names) != 1 {
		t.Fatalf("%d segments", len(names))
	}
	return pages, names[0]
}

// TestEveryByteFlippedBeforeOpen damages each byte of a segment in turn, opens the directory and reads everything.
func TestEveryByteFlippedBeforeOpen(t *testing.T) {
	m := vfs.NewMem()
	pages, name := smallSegment(t, m)
	whole := readFile(t, m, name)
	rng := rand.New(rand.NewPCG(seed(t), 4))
	survived := 0
	for at := range whole {
		writeFile(t, m, name, int64(at), []byte{whole[at] ^ 1<<rng.IntN(8)})
		c := m.Clone()
		writeFile(t, m, name, int64(at), whole[at:at+1])
		h := openTier(t, testOptions(c))
		for _, n := range pages {
			k, data := sizedPage(n, smallLength(n))
			err := h.get(k, data)
			if err == nil {
				survived++
			} else if !errors.Is(err, cache.ErrAbsent) && !errors.Is(err, cache.ErrCorrupt) {
				t.Fatalf("byte %d: %v", at, err)
			}
		}
		h.stop()
	}
	// One flip costs at most the pages behind it, and as a rule only the one it hits.
	if all := len(whole) * len(pages); survived < all*7/10 {
		t.Fatalf("%d of %d pages survived", survived, all)
	}
}

// TestEveryByteFlippedUnderAnOpenTier damages a page while the tier is open: every byte of what surrounds it and of its header, and bytes of
// each of its blocks. A read that touches the byte fails and drops the page; one that does not may go on.
func TestEveryByteFlippedUnderAnOpenTier(t *testing.T) {
	m := vfs.NewMem()
	h := openTier(t, testOptions(m))
	k, data := sizedPage(1, 150_000)
	rng := rand.New(rand.NewPCG(seed(t), 5))
	served := 0
	at := func() (segfile.Location, string) {
		e, ok := h.index.peek(k)
		if !ok {
			t.Fatal("the page is not there")
		}
		return e.location(), h.table.get(e.slot).path
	}
	flip := func(loc segfile.Location, name string, off int64) {
		f, err := m.Open(name, true)
		need(t, err)
		var b [1]byte
		_, err = f.ReadAt(b[:], loc.Off+off)
		need(t, err)
		b[0] ^= 1 << rng.IntN(8)
		_, err = f.WriteAt(b[:], loc.Off+off)
		need(t, errors.Join(err, f.Close()))
	}
	var offsets []int64
	hs := int64(segfile.RecordHeaderSize(len(data)))
	for i := range hs {
		offsets = append(offsets, i)
	}
	for _, i := range []int64{0, 1, segfile.BlockSize - 1, segfile.BlockSize, 2*segfile.BlockSize - 1, 2 * segfile.BlockSize, 149_999} {
		offsets = append(offsets, hs+i)
	}
	for range 100 {
		offsets = append(offsets, hs+rng.Int64N(150_000))
	}
	for _, off := range offsets {
		if !h.Contains(k) && !h.put(k, 0, data) {
			t.Fatal("the page cannot be stored again after it was dropped")
		}
		loc, name := at()
		flip(loc, name, off)
		first := rng.IntN(len(data))
		n := 1 + rng.IntN(len(data)-first)
		err := h.getPart(k, data, first, n)
		touched := off < hs || off >= hs+int64(first) && off < hs+int64(first+n)
		if err == nil {
			served++
			if touched {
				t.Fatalf("byte %d is wrong, and bytes %d+%d were served", off, first, n)
			}
		} else if !errors.Is(err, cache.ErrCorrupt) || h.Contains(k) {
			t.Fatalf("%v, still there: %v", err, h.Contains(k))
		}
		if err == nil { // start over with a whole one
			seg, l := h.index.acquire(k, len(data), &h.table)
			h.drop(seg, l)
			h.release(seg)
		}
	}
	if served == 0 {
		t.Error("no read missed the damage: sub-range reads check more than they need")
	}
}

// TestUnknownFormat: segments of another version are skipped, counted, count against the limit, and are the first to go.
func TestUnknownFormat(t *testing.T) {
	m := vfs.NewMem()
	o := testOptions(m)
	h := openTier(t, o)
	for n := range uint64(150) {
		k, data := sizedPage(n, 60_000)
		h.put(k, 0, data)
	}
	h.stop()
	names := segmentFiles(t, m, "/cache")
	future := names[len(names)/2:]
	for _, name := range future {
		writeFile(t, m, name, 8, []byte{2})
	}
	r := prometheus.NewRegistry()
	o.Registerer = r
	before := m.Allocated()
	h = openTier(t, o)
	st := h.Stats()
	if st.Recovery.Skipped != len(future) || st.Segments["unknown"] != len(future) || st.Bytes < before-8192 {
		t.Fatalf("%+v, %d of another format", st, len(future))
	}
	if got := counter(t, r, "alio_disk_segments_skipped_total", ""); got != float64(len(future)) {
		t.Fatalf("%v counted", got)
	}
	oldPages := st.Pages
	for n := uint64(1000); h.Stats().Segments["unknown"] > 0; n++ {
		if n > 2000 {
			t.Fatal("the room is not reclaimed")
		}
		k, data := sizedPage(n, 60_000)
		if !h.put(k, 0, data) {
			t.Fatal("not stored")
		}
		if m.Allocated() > o.Size {
			t.Fatal("the limit was passed")
		}
	}
	kept := 0
	for n := range uint64(150) {
		if k, _ := sizedPage(n, 60_000); h.Contains(k) {
			kept++
		}
	}
	if kept < oldPages {
		t.Errorf("%d of %d readable pages are left: they went before the unreadable ones", kept, oldPages)
	}
}

// TestTornTail cuts and damages an unsealed segment: what lies before the damage is read, the rest is cut off, the segment sealed.
func TestTornTail(t *testing.T) {
	m := vfs.NewMem()
	h := openTier(t, testOptions(m))
	var keys []cache.Key
	var datas [][]byte
	for n := range uint64(6) {
		k, data := sizedPage(n, 50_000)
		h.put(k, 0, data)
		keys, datas = append(keys, k), append(datas, data)
	}
	killed := m.Clone() // as kill -9 leaves it
	name := segmentFiles(t, killed, "/cache")[0]
	end := int64(segfile.HeaderSize)
	for range keys {
		end += segfile.RecordSize(50_000)
	}
	for _, c := range []struct {
		what  string
		at    int64
		bytes []byte
		cut   int64
		left  int
	}{
		{"nothing", 0, nil, 0, 6},
		{"cut in the last page", 0, nil, end - 1000, 5},
		{"cut in the last header", 0, nil, end - segfile.RecordSize(50_000) + 10, 5},
		{"garbage behind the end", end, bytes.Repeat([]byte{7}, 3000), 0, 6},
		{"zeros behind the end", end + 100_000, []byte{0}, 0, 6},
		{"zeros for the last page's data", end - 5000, make([]byte, 4000), 0, 5},
		{"a bit in the third page", segfile.HeaderSize + 2*segfile.RecordSize(50_000) + 500, []byte{^datas[2][500-64]}, 0, 2},
		{"cut to the header", 0, nil, segfile.HeaderSize, 0},
		{"cut to nothing", 0, nil, 1, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			crashed := killed.Clone()
			if c.bytes != nil {
				writeFile(t, crashed, name, c.at, c.bytes)
			}
			if c.cut > 0 {
				f, err := crashed.Open(name, true)
				need(t, err)
				need(t, errors.Join(f.Truncate(c.cut), f.Close()))
			}
			for restart := range 2 { // the second finds a sealed segment
				h := openTier(t, testOptions(crashed))
				for i, k := range keys {
					if err := h.get(k, datas[i]); (err == nil) != (i < c.left) {
						t.Errorf("page %d: %v", i, err)
					}
				}
				if r := h.Stats().Recovery; c.left > 0 && (r.Scanned != 1-restart || r.Sealed != restart) {
					t.Errorf("start %d: %+v", restart, r)
				}
				h.stop()
			}
		})
	}
}

// TestSealedSurvivesPowerLoss: what was sealed is there after a crash that keeps only what was synced.
func TestSealedSurvivesPowerLoss(t *testing.T) {
	m := vfs.NewMem()
	h := openTier(t, testOptions(m))
	for n := range uint64(60) {
		k, data := sizedPage(n, 50_000)
		h.put(k, 0, data)
	}
	sealed := h.Stats().Segments["sealed"]
	crashed := m.CrashClone(nil)
	h = openTier(t, testOptions(crashed))
	there := 0
	for n := range uint64(60) {
		k, data := sizedPage(n, 50_000)
		if h.get(k, data) == nil {
			there++
		}
	}
	if perSegment := (512 << 10) / 51_000; sealed < 3 || there < sealed*(perSegment-1) {
		t.Fatalf("%d pages are there, %d segments were sealed", there, sealed)
	}
}

// TestIndexStandsForData crashes while a segment is being sealed: an index that reached the device must stand for data that did.
func TestIndexStandsForData(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 8))
	for from := 1; from <= 3; from++ {
		synctest.Test(t, func(t *testing.T) {
			h, ff, m, _ := faultyTier(t, nil)
			release := make(chan struct{})
			ff.Add(vfs.Rule{Op: vfs.OpSync, Glob: "*.seg", Hang: release, From: from})
			for n := range uint64(25) {
				k, data := sizedPage(n, 50_000)
				h.Write(k, 0, data, nil)
			}
			synctest.Wait()
			for range 60 {
				c := openTier(t, testOptions(m.CrashClone(rng)))
				for n := range uint64(25) {
					k, data := sizedPage(n, 50_000)
					if err := c.get(k, data); err != nil && !errors.Is(err, cache.ErrAbsent) {
						t.Fatalf("sync %d hung: page %d: %v", from, n, err)
					}
				}
				c.stop()
			}
			close(release)
		})
	}
}

// TestIndexThatLies: an index whose sums are right but whose entries cannot be is not believed; the records are scanned.
func TestIndexThatLies(t *testing.T) {
	h := segfile.Header{Instance: 3, Seq: 4}
	k, data := sizedPage(1, 500)
	whole := segfile.AppendRecord(h.Encode(), h.Seed(), segfile.HeaderSize, k, 2, data)
	end := int64(len(whole))
	truth := segfile.Location{Key: k, Off: segfile.HeaderSize, Length: 500, Class: 2}
	for name, lie := range map[string]segfile.Location{
		"beyond the records": {Key: k, Off: end, Length: 500}, "far outside": {Key: k, Off: 1 << 37, Length: 500}, "no bytes": {Key: k, Off: segfile.HeaderSize},
		"too long": {Key: k, Off: segfile.HeaderSize, Length: cache.MaxPage + 1}, "in the header": {Key: k, Length: 500},
	} {
		b := append(bytes.Clone(whole), segfile.EncodeFooter(h, []segfile.Location{lie}, end)...)
		c, err := openBytes(b)
		if err != nil || c.sealed || len(c.pages) != 1 || c.pages[0] != truth {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	b := append(bytes.Clone(whole), segfile.EncodeFooter(h, []segfile.Location{truth}, end)...)
	le.PutUint32(b[len(b)-segfile.TrailerSize+12:], 1<<31) // so many entries
	le.PutUint32(b[len(b)-4:], segfile.Crc(h.Seed(), b[len(b)-segfile.TrailerSize:len(b)-4]))
	if c, err := openBytes(b); err != nil || c.sealed || len(c.pages) != 1 {
		t.Errorf("a huge count: %+v, %v", c, err)
	}
}

// TestNamesAreNeverReused: over restarts, also after everything was lost, new segments have new names, and greater numbers than those there.
func TestNamesAreNeverReused(t *testing.T) {
	m := vfs.NewMem()
	seen := map[string]bool{}
	for round := range uint64(6) {
		h := openTier(t, testOptions(m))
		before := segmentFiles(t, m, "/cache")
		k, data := sizedPage(round, 50_000)
		h.put(k, 0, data)
		after := segmentFiles(t, m, "/cache")
		for _, name := range before {
			after = slices.DeleteFunc(after, func(n string) bool { return n == name })
		}
		if len(after) != 1 || seen[after[0]] {
			t.Fatalf("new: %v, seen before: %v", after, seen)
		}
		seen[after[0]] = true
		if len(before) > 0 {
			_, old, _ := segfile.ParseName(filepath.Base(before[len(before)-1]))
			if _, seq, _ := segfile.ParseName(filepath.Base(after[0])); seq <= old {
				t.Errorf("%d follows %d", seq, old)
			}
		}
		h.stop()
		if round == 3 {
			for _, name := range segmentFiles(t, m, "/cache") {
				need(t, m.Remove(name))
			}
		}
	}
}

// TestForgedRecord: what looks like a record is not taken for one where it does not belong, even if the index points at it: bytes of a page
// that are a whole record for another key, another key's record, a record copied within its segment.
func TestForgedRecord(t *testing.T) {
	victim, truth := sizedPage(1, 1000)
	forger := segfile.Header{Instance: 1, Seq: 1}
	inPage := int64(segfile.HeaderSize + segfile.RecordHeaderSize(4096))
	page := make([]byte, 4096)
	copy(page, segfile.AppendRecord(nil, forger.Seed(), inPage, victim, 0, bytes.Repeat([]byte("evil"), 250)))

	m := vfs.NewMem()
	h := openTier(t, testOptions(m))
	h.put(cache.HashPart("forgery").Page(0, 4096), 0, page)
	other, data := sizedPage(2, 1000)
	h.put(other, 0, data)
	e, _ := h.index.peek(other)
	name := segmentFiles(t, m, "/cache")[0]
	genuine := e.location()
	file := readFile(t, m, name)
	copied := int64(400 << 10)
	writeFile(t, m, name, copied, file[genuine.Off:genuine.End()])

	for what, c := range map[string]struct {
		key  cache.Key
		data []byte
		off  int64
	}{
		"in a page": {victim, truth, inPage}, "of another key": {victim, truth, genuine.Off}, "copied": {other, data, copied},
	} {
		if seg, loc := h.index.acquire(c.key, 1000, &h.table); seg != nil {
			h.drop(seg, loc)
			h.release(seg)
		}
		h.index.insert(newEntry(segfile.Location{Key: c.key, Off: c.off, Length: 1000}, e.slot))
		if err := h.get(c.key, c.data); !errors.Is(err, cache.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
