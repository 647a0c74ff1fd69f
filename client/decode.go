package client

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache/segfile"
)

// opened is what an OpenedFile says, checked.
type opened struct {
	object  Object
	fresh   time.Duration // below 0: for ever
	parts   []part        // those that have a key
	settled int64         // where these end: what follows is still being written, and is read from the sidecar
	table   *table
	told    []span  // of the object, of whose pages the extents tell
	memory  []span  // pages that the sidecar has in memory only
	granted []grant // pages that this client may fill
	token   []byte
	until   time.Duration // of the claim, from now
}

// grant is a page that the client may fill.
type grant struct {
	off, length int64
	key         segfile.Key
}

// decodeFile reads an answer for one file. segments are OpenReply.segments, nil where one cannot be read here. What makes no sense is an error that
// says so: then nothing of the answer is used.
func decodeFile(f *apiv1.OpenedFile, mount string, segments []*segment) (*opened, error) {
	obj := f.GetObject()
	if obj == nil || obj.GetSize() < 0 || f.GetFreshForUs() < -1 {
		return nil, errors.New("no object, or one of negative size or freshness")
	}
	o := &opened{
		object: Object{Mount: mount, Path: obj.GetPath(), Version: obj.GetVersion(), ETag: obj.GetEtag(), Size: obj.GetSize()},
		fresh:  time.Duration(f.GetFreshForUs()), table: &table{},
	}
	if obj.GetModifiedMs() != 0 {
		o.object.Modified = time.UnixMilli(obj.GetModifiedMs())
	}
	if o.fresh > 0 {
		o.fresh = time.Duration(min(f.GetFreshForUs(), math.MaxInt64/1000)) * time.Microsecond
	}
	if err := o.decodeParts(f.GetParts()); err != nil {
		return nil, err
	}
	d := extentDecoder{o: o, told: segments, number: map[*segment]uint32{}}
	for _, e := range f.GetExtents() {
		if err := d.extent(e); err != nil {
			return nil, fmt.Errorf("extent at %d: %w", e.GetOffset(), err)
		}
	}
	if c := f.GetClaim(); c != nil {
		o.token, o.until = c.GetToken(), time.Duration(c.GetDeadlineMs())*time.Millisecond
	}
	return o, nil
}

func (o *opened) decodeParts(parts []*apiv1.Part) error {
	end := int64(0)
	for _, p := range parts {
		open := len(p.GetKey()) == 0 // it is still being written: no page of it is anywhere
		if p.GetOffset() != end || p.GetLength() < 0 || p.GetLength() > o.object.Size-end || !open && len(p.GetKey()) != len(segfile.PartKey{}) {
			return fmt.Errorf("part at %d of %d bytes with a key of %d", p.GetOffset(), p.GetLength(), len(p.GetKey()))
		}
		if !open && o.settled < end {
			return fmt.Errorf("part at %d has a key, and one before it has none", p.GetOffset())
		}
		end += p.GetLength()
		if !open {
			o.parts = append(o.parts, part{off: p.GetOffset(), length: p.GetLength(), key: segfile.PartKey(p.GetKey())})
			o.settled = end
		}
	}
	if len(parts) > 0 && end != o.object.Size {
		return fmt.Errorf("parts end at %d, the object at %d", end, o.object.Size)
	}
	return nil
}

// pageKey is the key of a page, which must lie within one part.
func (o *opened) pageKey(off, length int64) (segfile.Key, error) {
	i := sort.Search(len(o.parts), func(i int) bool { return o.parts[i].off+o.parts[i].length > off })
	if i == len(o.parts) || off < o.parts[i].off || off+length > o.parts[i].off+o.parts[i].length {
		return segfile.Key{}, fmt.Errorf("page at %d of %d bytes lies in no part", off, length)
	}
	return o.parts[i].key.Page(off-o.parts[i].off, length), nil
}

// extentDecoder turns extents into pages.
type extentDecoder struct {
	o      *opened
	told   []*segment
	number map[*segment]uint32 // in the table
}

func (d *extentDecoder) extent(e *apiv1.Extent) error {
	if n := len(e.GetLengths()); n != len(e.GetCounts()) || n != len(e.GetClasses()) {
		return errors.New("runs of different number")
	}
	if err := d.covers(e); err != nil {
		return err
	}
	if n := len(e.GetPlaced()); n != len(e.GetSegments()) || n != len(e.GetRecords()) {
		return errors.New("places of different number")
	}
	err := walk(e, e.GetPlaced(), func(i int, off, length int64) error {
		return d.place(off, length, e.GetSegments()[i], e.GetRecords()[i])
	})
	if err != nil {
		return err
	}
	err = walk(e, e.GetMemory(), func(_ int, off, length int64) error {
		d.o.memory = append(d.o.memory, span{off, off + length})
		return nil
	})
	if err != nil {
		return err
	}
	return walk(e, e.GetGranted(), func(_ int, off, length int64) error {
		key, err := d.o.pageKey(off, length)
		d.o.granted = append(d.o.granted, grant{off, length, key})
		return err
	})
}

// covers adds up the extent's pages.
func (d *extentDecoder) covers(e *apiv1.Extent) error {
	off, size := e.GetOffset(), d.o.object.Size
	for i, n := range e.GetLengths() {
		if n < 1 || n > segfile.MaxPage || off < 0 || off > size || int64(e.GetCounts()[i]) > (size-off)/int64(n) {
			return fmt.Errorf("%d pages of %d bytes at %d, in an object of %d", e.GetCounts()[i], n, off, size)
		}
		off += int64(e.GetCounts()[i]) * int64(n)
	}
	told := d.o.told
	if n := len(told); n > 0 && e.GetOffset() < told[n-1].to {
		return fmt.Errorf("it begins before the last one's end at %d", told[n-1].to)
	}
	if off > e.GetOffset() {
		d.o.told = missing(told, e.GetOffset(), off)
	}
	return nil
}

func (d *extentDecoder) place(off, length int64, segment, record uint32) error {
	if int64(segment) >= int64(len(d.told)) || record == 0 {
		return fmt.Errorf("page at %d lies in segment %d of %d, record %d", off, segment, len(d.told), record)
	}
	key, err := d.o.pageKey(off, length)
	if err != nil {
		return err
	}
	seg := d.told[segment]
	if seg == nil {
		return nil
	}
	n, ok := d.number[seg]
	if !ok {
		n = uint32(len(d.o.table.segments))
		d.number[seg] = n
		d.o.table.segments = append(d.o.table.segments, seg)
	}
	d.o.table.addPage(page{off: off, key: key, length: uint32(length), record: record, segment: n}, nil)
	return nil
}

// walk calls visit for each page of a list of steps, with its position in the list and its bounds in the object. The work is that of the list and the
// runs, however many pages the runs hold; covers has checked these.
func walk(e *apiv1.Extent, steps []uint32, visit func(i int, off, length int64) error) error {
	run, number := 0, int64(0)            // the page we are at
	first, off := int64(0), e.GetOffset() // of the run
	for i, step := range steps {
		if i > 0 && step == 0 {
			return errors.New("a page is listed twice")
		}
		number += int64(step)
		for run < len(e.GetLengths()) && number-first >= int64(e.GetCounts()[run]) {
			first += int64(e.GetCounts()[run])
			off += int64(e.GetCounts()[run]) * int64(e.GetLengths()[run])
			run++
		}
		if run == len(e.GetLengths()) {
			return fmt.Errorf("page %d is in no run", number)
		}
		length := int64(e.GetLengths()[run])
		if err := visit(i, off+(number-first)*length, length); err != nil {
			return err
		}
	}
	return nil
}
