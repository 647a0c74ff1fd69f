package cache

import (
	"bytes"
	"context"
	"slices"
	"testing"
)

// placedDisk is a fakeDisk that clients may read, and counts what it is told of.
type placedDisk struct {
	*fakeDisk
	Places
	touched []Key
}

func (d *placedDisk) Touch(k Key) (Place, bool) {
	d.touched = append(d.touched, k)
	return Place{}, true
}

// loaded is a die that falls on what it is told to, and notes how many sides it was asked for.
type loaded struct {
	falls func(n int64) int64
	sides []int64
}

func (l *loaded) throw(n int64) int64 {
	l.sides = append(l.sides, n)
	return l.falls(n)
}

func lowest(int64) int64    { return 0 }
func highest(n int64) int64 { return n - 1 }

// upRig is a cache over a disk that holds all of an object, with a die.
func upRig(t *testing.T, o Options, pages int) (*Cache, *placedDisk, *loaded, Request, []byte) {
	t.Helper()
	disk, die := &placedDisk{fakeDisk: newFakeDisk()}, &loaded{falls: lowest}
	obj, data := object("hot", pages*testPage)
	o.Disk = disk
	c := newCache(t, o)
	c.die = die.throw
	req := Request{Object: obj, Layout: grid{size: testPage}, Source: &fakeSource{}, Length: testPage}
	c.Offer(obj, req.Layout, 0, data)
	return c, disk, die, req, data
}

// TestPagesMoveUp: the die decides, by the part of the page that is read; what moves up lies in memory, whole, and on disk.
func TestPagesMoveUp(t *testing.T) {
	c, disk, die, req, data := upRig(t, Options{UpOdds: 5}, 2)
	req.Offset, req.Length = 10, 100
	die.falls = highest
	for range 3 {
		if s := mustRead(t, c, req, data); s.Disk != 100 {
			t.Errorf("the die fell high: %+v", s)
		}
	}
	if want := []int64{5 * testPage, 5 * testPage, 5 * testPage}; !slices.Equal(die.sides, want) {
		t.Errorf("dice of %v sides, want %v", die.sides, want)
	}
	die.falls = func(int64) int64 { return req.Length } // the first face that does not win
	if s := mustRead(t, c, req, data); s.Disk != 100 || c.Stats().MemoryPages != 0 {
		t.Errorf("%+v, %+v", s, c.Stats())
	}
	die.falls = func(int64) int64 { return req.Length - 1 } // the last one that does
	if s := mustRead(t, c, req, data); s.Disk != 100 || c.Stats().MemoryPages != 1 {
		t.Errorf("%+v, %+v", s, c.Stats())
	}
	req.Offset, req.Length = 0, testPage
	reads := disk.reads
	if s := mustRead(t, c, req, data); s.Memory != testPage || disk.reads != reads {
		t.Errorf("after it moved up: %+v, %d reads of the disk", s, disk.reads-reads)
	}
	if len(disk.pages) != 2 || disk.onLoan != 0 {
		t.Errorf("%d pages on disk, %d loans", len(disk.pages), disk.onLoan)
	}
}

// TestReadPageMovesUp: the short way does the same, and allocates nothing from then on.
func TestReadPageMovesUp(t *testing.T) {
	c, _, _, req, data := upRig(t, Options{}, 1)
	c.upOdds = DefaultUpOdds
	v, err := NewView(req.Object, req.Layout)
	if err != nil {
		t.Fatal(err)
	}
	pg, err := v.PageAt(0)
	if err != nil {
		t.Fatal(err)
	}
	read := func() {
		buf, ok := c.ReadPage(context.Background(), &pg, 7, 20)
		if !ok || !bytes.Equal(buf.B, data[7:27]) {
			t.Fatal("other bytes")
		}
		buf.Free()
	}
	read()
	if s := c.Stats(); s.MemoryPages != 1 || s.DiskServed != 20 {
		t.Errorf("%+v", s)
	}
	c.die = highest
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s := c.Stats(); s.DiskServed != 20 {
		t.Errorf("%+v", s)
	}
}

// TestFullMemoryTakesLess: where a page must go for another, the die has eight times as many sides.
func TestFullMemoryTakesLess(t *testing.T) {
	const pages = 2 * minMemory / testPage
	c, _, die, req, data := upRig(t, Options{UpOdds: 1, Memory: minMemory}, pages)
	for i := range int64(pages) {
		req.Offset = i * testPage
		mustRead(t, c, req, data)
	}
	if first, last := die.sides[0], die.sides[len(die.sides)-1]; first != testPage || last != 8*testPage {
		t.Errorf("%d sides at first, %d at last", first, last)
	}
	if s := c.Stats(); s.MemoryBytes > s.MemoryLimit || s.MemoryPages < pages/3 {
		t.Errorf("%+v", s)
	}
	geo := newGeometry(req.Object, req.Layout)
	for i := range int64(pages) { // what goes makes room
		k, _ := geo.exact(i*testPage, testPage)
		c.mem.remove(k)
	}
	die.sides, req.Offset = nil, 0
	mustRead(t, c, req, data)
	if die.sides[0] != testPage {
		t.Errorf("%d sides once there is room again", die.sides[0])
	}
}

// TestHotPagesAreTouched: the disk hears of pages that memory serves, or it would take them for cold.
func TestHotPagesAreTouched(t *testing.T) {
	c, disk, die, req, data := upRig(t, Options{UpOdds: 1}, 1)
	mustRead(t, c, req, data)
	if len(disk.touched) != 0 {
		t.Errorf("a read of the disk was told to it: %v", disk.touched)
	}
	die.sides = nil
	mustRead(t, c, req, data)
	if len(disk.touched) != 1 || !disk.Contains(disk.touched[0]) || die.sides[0] != touchOdds {
		t.Errorf("touched %v, dice of %v sides", disk.touched, die.sides)
	}
	die.falls = highest
	mustRead(t, c, req, data)
	if len(disk.touched) != 1 {
		t.Errorf("touched %v", disk.touched)
	}
}
