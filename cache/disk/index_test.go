package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// TestCell packs and unpacks entries at the ends of what their fields can hold.
func TestCell(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 20))
	for _, off := range []int64{segfile.HeaderSize, indexedOff - segfile.Align} {
		for _, length := range []int{1, cache.MaxPage - 1, cache.MaxPage} {
			for _, slot := range []uint16{0, 2*maxSegments - 1, 1<<slotBits - 1} {
				for _, class := range []uint8{0, 255} {
					var k cache.Key
					binary.LittleEndian.PutUint64(k[:], rng.Uint64())
					binary.LittleEndian.PutUint64(k[8:], rng.Uint64())
					p := segfile.Location{Key: k, Off: off, Length: length, Class: class}
					e := newEntry(p, slot)
					e.meta |= touchedFlag
					for _, c := range []cell{e.cell(), newCell(&p, slot)} {
						if got := c.entry(k); got.location() != p || got.slot != slot || c.place == 0 || c.slot() != slot || c.length() != length {
							t.Fatalf("%+v in slot %d becomes %+v in %d", p, slot, got.location(), got.slot)
						}
					}
					if c := e.cell(); c.entry(k) != e || c.place&placeTouched == 0 {
						t.Fatal("the touched flag is lost")
					}
				}
			}
		}
	}
}

// TestKeysThatDifferInOneBit are pages of their own.
func TestKeysThatDifferInOneBit(t *testing.T) {
	var x index
	k := cache.HashPart("x").Page(0, 1)
	keys := []cache.Key{k}
	for bit := range 128 {
		other := k
		other[bit/8] ^= 1 << (bit % 8)
		keys = append(keys, other)
	}
	for i, k := range keys {
		if !x.insert(newEntry(segfile.Location{Key: k, Off: int64(64 + 64*i), Length: 1}, 3)) {
			t.Fatalf("key %d is taken for another", i)
		}
	}
	for i, k := range keys {
		if e, ok := x.peek(k); !ok || e.location().Off != int64(64+64*i) {
			t.Fatalf("key %d: %+v", i, e.location())
		}
	}
}

// TestHoldOfTheDead: who lets go last is told so once, also if somebody took hold in the moment when nobody did; then nobody can again.
func TestHoldOfTheDead(t *testing.T) {
	var s segment
	s.refs.Store(1)
	if !s.hold() || s.letGo() || !s.letGo() {
		t.Fatal("the last of two is not told")
	}
	for range 3 {
		if s.hold() {
			t.Fatal("a dead segment is held")
		}
	}
	s.refs.Store(0) // letGo has counted down and not yet marked it
	if !s.hold() || s.refs.CompareAndSwap(0, deadRefs) || !s.letGo() || s.hold() {
		t.Fatal("a hold between the last one's two steps goes wrong")
	}
}

// TestSlotGivenAway plays a reader that is put to sleep between reading a cell and taking hold of its segment, while the segment is evicted and its
// slot given to another.
func TestSlotGivenAway(t *testing.T) {
	var table segmentTable
	x := index{release: func(s *segment) { s.letGo() }}
	old, young := &segment{}, &segment{}
	table.add(old)
	k := worldKey(1)
	s := x.shard(&k)
	e := newEntry(worldPlace(k, 0), old.slot)
	x.insert(e)
	c, found, version, settled := s.look(&k)
	if seg := x.take(s, c, version, &table); !found || !settled || seg != old || old.refs.Load() != 2 {
		t.Fatalf("%v %v %v", found, settled, seg)
	}
	old.letGo()
	x.remove(k, old.slot, e.location().Off)
	if x.take(s, c, version, &table) != nil || old.refs.Load() != 1 {
		t.Error("taken after it was removed")
	}
	if _, _, settled := s.lookSince(&k, version); settled {
		t.Error("a look during which the page was removed is believed")
	}
	old.letGo()
	if x.take(s, c, version, &table) != nil {
		t.Error("taken after it was dead")
	}
	table.clear(old)
	if x.take(s, c, version, &table) != nil {
		t.Error("taken after its slot was empty")
	}
	table.next = old.slot
	table.add(young)
	if young.slot != old.slot || x.take(s, c, version, &table) != nil || young.refs.Load() != 1 {
		t.Error("another segment was taken for it")
	}
	for what, change := range map[string]func(){
		"insert": func() { x.insert(e) }, "move": func() { x.move(e, e.slot, e.location().Off) },
		"remove": func() { x.remove(k, e.slot, e.location().Off) }, "removeSlot": func() { x.removeSlot(9) }, "clear": x.clear,
	} {
		if what != "insert" {
			x.insert(e)
		}
		before := s.version.Load()
		if change(); s.version.Load() == before || s.version.Load()&1 != 0 {
			t.Errorf("%s leaves the version at %d, it was %d", what, s.version.Load(), before)
		}
		x.clear()
	}
}

// TestReaderMeetsADelete: a page that steps back, since one before it goes, is never missed.
func TestReaderMeetsADelete(t *testing.T) {
	var x index
	row := make([]cache.Key, 200) // they all would like to lie in the same cell
	for i := range row {
		row[i][8] = uint8(i)
		x.insert(newEntry(segfile.Location{Key: row[i], Off: 64, Length: 1}, 0))
	}
	var stop atomic.Bool
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		for i := 0; !stop.Load(); i = (i + 1) % (len(row) / 2) {
			x.remove(row[i], 0, 64)
			x.insert(newEntry(segfile.Location{Key: row[i], Off: 64, Length: 1}, 0))
		}
	}()
	missed := 0
	for i := range 20_000 {
		if !x.contains(row[len(row)/2+i%(len(row)/2)]) {
			missed++
		}
	}
	stop.Store(true)
	<-writer
	if missed > 0 {
		t.Errorf("%d look-ups missed a page that was there all the time", missed)
	}
}

// world is an index whose segments are made, evicted and given slots anew all the time, as a tier's writer does. Where a page lies in a segment
// follows from its key and the segment's number, so that a reader can tell whether it got the two together.
type world struct {
	x     index
	table segmentTable
	seq   uint64
	live  []*segment
	dead  chan *segment
	buf   map[*segment][]cache.Key
}

const worldKeys = 96

// worldKey is one of two shards' keys, so that readers and writers meet.
var worldKey = func() func(n int) cache.Key {
	keys := manyKeys("world", 1100)
	for n := range keys {
		keys[n][15] = uint8(n % 2)
	}
	return func(n int) cache.Key { return keys[n] }
}()

func worldPlace(k cache.Key, seq uint64) segfile.Location {
	at := (le.Uint64(k[:8]) ^ seq*0x9e3779b97f4a7c15) % (1 << 20)
	return segfile.Location{Key: k, Off: int64(1+at) * segfile.Align, Length: 1 + int(k[3]), Class: k[4]}
}

func (w *world) release(s *segment) {
	if s.letGo() {
		w.dead <- s
	}
}

// step makes a segment with some pages, moves a few into it and evicts the oldest segment.
func (w *world) step(t *testing.T, rng *rand.Rand) {
	w.seq++
	s := &segment{header: segfile.Header{Seq: w.seq}}
	s.set(stateSealed)
	if !w.table.add(s) {
		t.Fatal("no slot is free")
	}
	var keys []cache.Key
	for range 12 {
		k := worldKey(rng.IntN(worldKeys))
		e := newEntry(worldPlace(k, w.seq), s.slot)
		if old, ok := w.x.peek(k); ok && rng.IntN(2) == 0 {
			w.x.move(e, old.slot, old.location().Off)
			keys = append(keys, k)
		} else if w.x.insert(e) {
			keys = append(keys, k)
		}
	}
	w.buf[s] = keys
	w.live = append(w.live, s)
	if len(w.live) > 5 {
		v := w.live[0]
		w.live = w.live[1:]
		for _, k := range w.buf[v] {
			w.x.remove(k, v.slot, worldPlace(k, v.header.Seq).Off)
		}
		delete(w.buf, v)
		w.release(v)
	}
	for {
		select {
		case d := <-w.dead:
			d.set(stateUnlinked) // from here on nobody may hold it
			w.table.clear(d)
			w.table.next = d.slot // the next segment gets it: the worst case
			continue
		default:
		}
		break
	}
}

// TestReadersTakeNoLock: readers look pages up while segments come, go and inherit the slots of those that went. What a reader gets is a page and the
// segment that it lies in, held, and a page that is never moved or removed is never missed.
func TestReadersTakeNoLock(t *testing.T) {
	s := seed(t)
	w := &world{dead: make(chan *segment, 1000), buf: map[*segment][]cache.Key{}}
	w.x.release = w.release
	fixed := &segment{header: segfile.Header{Seq: 1 << 40}}
	w.table.add(fixed)
	for n := range 40 { // they lie among the others, which move them about when they go
		k := worldKey(1000 + n)
		w.x.insert(newEntry(worldPlace(k, 1<<40), fixed.slot))
	}
	var stop atomic.Bool
	var hits, wrong, missed atomic.Int64
	var readers sync.WaitGroup
	for g := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(g)))
			for i := 0; !stop.Load(); i++ {
				k := worldKey(rng.IntN(worldKeys))
				seg, loc := w.x.acquire(k, worldPlace(k, 0).Length, &w.table)
				if seg != nil {
					hits.Add(1)
					if i%16 == 0 {
						runtime.Gosched() // hold it for a while, and let the writer go on
					}
					if loc != worldPlace(k, seg.header.Seq) || seg.is(stateUnlinked) {
						wrong.Add(1)
					}
					w.release(seg)
				}
				if k := worldKey(1000 + rng.IntN(40)); !w.x.contains(k) {
					missed.Add(1)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(s, 99))
	for range 5000 {
		w.step(t, rng)
	}
	stop.Store(true)
	readers.Wait()
	if wrong.Load() > 0 || missed.Load() > 0 || hits.Load() == 0 {
		t.Fatalf("%d hits; %d of them in the wrong segment or one that was gone; %d pages missed that were there", hits.Load(), wrong.Load(), missed.Load())
	}
	t.Logf("%d hits", hits.Load())
}

// TestReaderOfABusyShard: a shard that is always being changed is read all the same, under its lock.
func TestReaderOfABusyShard(t *testing.T) {
	var x index
	var table segmentTable
	seg := &segment{}
	table.add(seg)
	k := worldKey(1)
	x.insert(newEntry(worldPlace(k, 0), seg.slot))
	x.shard(&k).begin() // and no end
	got, loc := x.acquire(k, worldPlace(k, 0).Length, &table)
	if e, ok := x.peek(k); got != seg || loc != worldPlace(k, 0) || !ok || e.location() != loc {
		t.Fatalf("%v %+v, %v", got, loc, ok)
	}
	if got, _ := x.acquire(worldKey(3), 1, &table); got != nil {
		t.Fatal("a page that is not there was found")
	}
}

// segmentOf writes a sealed segment of pages of one byte with the given keys, and returns its name.
func segmentOf(t *testing.T, m *vfs.Mem, seq uint64, keys []cache.Key) string {
	h := segfile.Header{Instance: 5, Seq: seq}
	b := h.Encode()
	var list []segfile.Location
	for _, k := range keys {
		list = append(list, segfile.Location{Key: k, Off: int64(len(b)), Length: 1})
		b = segfile.AppendRecord(b, h.Seed(), int64(len(b)), k, 0, []byte{k[0]})
	}
	b = append(b, segfile.EncodeFooter(h, list, int64(len(b)))...)
	name := "/cache/" + segmentsDir + "/" + segfile.Name(5, seq)
	writeFile(t, m, name, 0, b)
	return name
}

// openSegments opens a directory of such segments.
func openSegments(t *testing.T, segments ...[]cache.Key) (*harness, []string) {
	m := vfs.NewMem()
	o := testOptions(m)
	o.Size, o.SegmentSize = 64<<20, 4<<20
	openTier(t, o).stop()
	var names []string
	for i, keys := range segments {
		names = append(names, segmentOf(t, m, uint64(i+1), keys))
	}
	return openTier(t, o), names
}

func manyKeys(part string, n int) []cache.Key {
	keys := make([]cache.Key, n)
	for i := range keys {
		keys[i] = cache.HashPart(part).Page(int64(i), 1)
	}
	return keys
}

// TestStartKeepsOneOfEach: keys that are in several segments, or several times in one, are one page each, counted once.
func TestStartKeepsOneOfEach(t *testing.T) {
	a, b := manyKeys("a", 9000), manyKeys("b", 3000)
	h, _ := openSegments(t, a, slices.Concat(b, a[:4000]), slices.Concat(b, b), nil)
	st := h.Stats()
	if st.Pages != len(a)+len(b) || st.Recovery.Pages != st.Pages || st.LiveBytes != int64(st.Pages)*segfile.RecordSize(1) {
		t.Fatalf("%+v", st)
	}
	checkLive(t, h.Tier)
	for _, k := range slices.Concat(a, b) {
		if err := h.get(k, []byte{k[0]}); err != nil {
			t.Fatalf("%x: %v", k, err)
		}
	}
}

// TestStartWithKeysOfOneShard: keys are hashes, but an index can say what it likes.
func TestStartWithKeysOfOneShard(t *testing.T) {
	keys := manyKeys("a", 3000)
	for i := range keys {
		keys[i][15] = 7
		if i%2 == 0 {
			copy(keys[i][:8], bytes.Repeat([]byte{255}, 8)) // all with one home, at the table's end
			keys[i][8], keys[i][9] = byte(i), byte(i>>8)
		}
	}
	h, _ := openSegments(t, keys[:2000], keys[2000:])
	if st := h.Stats(); st.Pages != len(keys) {
		t.Fatalf("%+v", st)
	}
	for i, k := range keys {
		if i%13 == 0 {
			need(t, h.get(k, []byte{k[0]}))
		}
	}
}

// TestDamagedIndexIsNotBelieved: of an index that is damaged far behind, what was read before is taken back; its pages come from a scan.
func TestDamagedIndexIsNotBelieved(t *testing.T) {
	a, b := manyKeys("a", 9000), manyKeys("b", 9000)
	h, names := openSegments(t, a, b)
	m := h.o.FS.(*vfs.Mem)
	h.stop()
	file := readFile(t, m, names[0])
	line := len(file) - segfile.TrailerSize - segfile.EntrySize // the last one, of a key of its own
	file[line] ^= 1
	first := len(file) - segfile.TrailerSize - 9000*segfile.EntrySize
	file[first] ^= 1 // and the first: a key that is nowhere
	writeFile(t, m, names[0], 0, file)
	h = openTier(t, h.o)
	if st := h.Stats(); st.Recovery.Scanned != 1 || st.Recovery.Sealed != 1 || st.Pages != 18_000 {
		t.Fatalf("%+v", st)
	}
	checkLive(t, h.Tier)
	for _, k := range slices.Concat(a, b) {
		need(t, h.get(k, []byte{k[0]}))
	}
	lie := a[0]
	lie[0] ^= 1
	if h.Contains(lie) {
		t.Error("a line of the damaged index is believed")
	}
}

// TestSegmentTooLarge: a cell points 4 GiB far, so a larger segment is as good as one of another format.
func TestSegmentTooLarge(t *testing.T) {
	b := segfile.Header{Seq: 1}.Encode()
	if _, err := inspect(bytes.NewReader(b), maxSegmentSize+1); !errors.Is(err, segfile.ErrUnknownFormat) {
		t.Error(err)
	}
	if _, err := inspect(bytes.NewReader(b), segfile.HeaderSize); err != nil {
		t.Error(err)
	}
}

// TestContainsWhileOpening: whoever asks too early gets an answer.
func TestContainsWhileOpening(t *testing.T) {
	keys := manyKeys("a", 9000)
	h, _ := openSegments(t, keys)
	o := h.o
	h.stop()
	tier, err := New(o)
	need(t, err)
	opened := make(chan error, 1)
	go func() { opened <- tier.Open(context.Background()) }()
	for i := 0; ; i = (i + 1) % len(keys) {
		tier.Contains(keys[i])
		if _, err := tier.Read(context.Background(), keys[i], 1, 0, 1); err != nil && !errors.Is(err, cache.ErrSick) {
			t.Error(err)
		}
		select {
		case err := <-opened:
			need(t, err)
			if !tier.Contains(keys[i]) {
				t.Error("a page is missing")
			}
			need(t, tier.Close())
			return
		default:
		}
	}
}
