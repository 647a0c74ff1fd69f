package sidecar_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// orcFile is as much of an ORC file as a reader needs to find its columns: stripes of random bytes, each a row index of a page for every column, and then their
// data; their footers; the file's footer with the columns' names.
type orcFile struct {
	data    []byte
	stripes []orcStripe
}

type orcStripe struct {
	index, footer formats.Extent
	columns       []formats.Extent
}

func field(b []byte, id protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, id, protowire.VarintType), uint64(v))
}

func text(b []byte, id protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, id, protowire.BytesType), v)
}

func newORCFile(stripes, columns, size int) (f orcFile) {
	rng := rand.New(rand.NewPCG(1, 1))
	random := func(n int) formats.Extent {
		at := int64(len(f.data))
		for range n {
			f.data = append(f.data, byte(rng.Uint32()))
		}
		return formats.Extent{Start: at, End: at + int64(n)}
	}
	const index = 1000
	f.data = []byte("ORC")
	var footer []byte
	for range stripes {
		s := orcStripe{index: random(index * columns)}
		var own []byte
		for c := range columns {
			own = text(own, 1, field(field(field(nil, 1, 6), 2, c+1), 3, index))
		}
		for c := range columns {
			s.columns = append(s.columns, random(size))
			own = text(own, 1, field(field(field(nil, 1, 1), 2, c+1), 3, size))
		}
		s.footer = formats.Extent{Start: int64(len(f.data)), End: int64(len(f.data) + len(own))}
		f.data = append(f.data, own...)
		footer = text(footer, 3, field(field(field(field(nil, 1, int(s.index.Start)), 2, index*columns), 3, size*columns), 4, len(own)))
		f.stripes = append(f.stripes, s)
	}
	root := field(nil, 1, 12)
	for c := range columns {
		root = text(field(root, 2, c+1), 3, fmt.Append(nil, "column ", c))
	}
	footer = text(footer, 4, root)
	for range columns {
		footer = text(footer, 4, field(nil, 1, 4))
	}
	post := text(field(field(nil, 1, len(footer)), 2, 0), 8000, []byte("ORC"))
	f.data = append(append(append(f.data, footer...), post...), byte(len(post)))
	return f
}

// scanORC reads of a file what a query over some of its columns reads: its end, and of each stripe the footer, the row index, and the columns.
func (r *rig) scanORC(path string, f orcFile, index bool, columns ...int) {
	r.t.Helper()
	want := func(e formats.Extent) {
		r.t.Helper()
		r.want(path, f.data, e.Start, e.End-e.Start, 0)
		r.idle()
	}
	r.want(path, f.data, 0, 0, 16<<10)
	r.idle()
	for _, s := range f.stripes {
		want(s.footer)
		if index {
			want(s.index)
		}
		for _, c := range columns {
			want(s.columns[c])
		}
	}
}

// From the fourth ORC file of a table on, the columns that its readers read are fetched when its end has been read, and row indexes if they read those; with several
// stripes the footers that tell where the columns lie, then the columns. Nothing else is, and the reader waits for nothing but the file's end.
func TestColumnsOfORCAreFetchedAhead(t *testing.T) {
	for _, c := range []struct {
		stripes, columns, size int
		index                  bool
		first, then            int // requests of one of the first files, and of each from the fourth on
	}{
		{1, 10, 240_000, false, 1 + 3, 1 + 2}, // two of the three columns are neighbours
		{1, 10, 240_000, true, 1 + 4, 1 + 3},
		{6, 10, 300_000, false, 0, 0}, // the data of all but the last stripe is on a grid of 256 KiB
		{6, 10, 300_000, true, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d stripes, index %t", c.stripes, c.index), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
				file := newORCFile(c.stripes, c.columns, c.size)
				var firstBytes int64
				for i := range 8 {
					path := fmt.Sprintf("t/day=%d/f", i)
					r.store.Put(path, file.data)
					before := r.idle().Useful
					r.scanORC(path, file, c.index, 2, 3, 7)
					got, all := r.ranges(int64(len(file.data)))[path], int64(0)
					slices.SortFunc(got, func(a, b formats.Extent) int { return int(a.Start - b.Start) })
					for k, g := range got {
						if all += g.End - g.Start; k > 0 && g.Start < got[k-1].End {
							t.Errorf("file %d: fetched twice: %v", i, got)
						}
					}
					if want := map[bool]int{true: c.first, false: c.then}[i < 3]; want > 0 && len(got) != want {
						t.Errorf("file %d: %d requests, want %d: %v", i, len(got), want, got)
					}
					if i == 0 {
						firstBytes = all
					}
					if all > firstBytes {
						t.Errorf("file %d: %d bytes were fetched, of the first %d", i, all, firstBytes)
					}
					if useful := r.idle().Useful - before; i >= 3 && useful < firstBytes-64<<10-1000 {
						t.Errorf("file %d: %d bytes were there before the reader, of %d that are wanted", i, useful, firstBytes)
					}
				}
				if st := r.idle(); st.Useful == 0 || st.Useful != st.Issued || st.Wasted != 0 {
					t.Errorf("%+v: all of it should have been useful", st)
				}
			})
		})
	}
}

// All that is wanted of a file of several stripes is there when its reader has read the end: footers, then columns, what touches on the grid in one request. Nothing is fetched before
// three files have told what is read.
func TestStripesAreThereBeforeTheirReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no prefetch is dropped because the machine is busy
		r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
		file := newORCFile(6, 10, 300_000)
		for i := range 5 {
			path := fmt.Sprintf("t/f%d", i)
			r.store.Put(path, file.data)
			if i >= 3 {
				r.want(path, file.data, 0, 0, 16<<10)
				r.idle()
				// The end; the footers of five stripes; in each of these columns 2 and 3 as one, and 7; in the last one the same.
				if got := r.ranges(int64(len(file.data)))[path]; len(got) != 1+5+5*2+2 {
					t.Errorf("file %d: %d requests: %v", i, len(got), got)
				}
			}
			r.scanORC(path, file, false, 2, 3, 7)
			if got := r.ranges(int64(len(file.data)))[path]; i >= 3 && len(got) > 0 {
				t.Errorf("file %d: its reader had to wait for %v", i, got)
			}
			if st := r.idle(); i < 3 && st.Issued > 0 {
				t.Errorf("file %d: %+v", i, st)
			}
		}
	})
}

// Two columns in pages that touch come in one request, although there are others between them.
func TestColumnsInPagesThatTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
		file := newORCFile(2, 30, 60_000)
		for i := range 4 {
			path := fmt.Sprintf("t/f%d", i)
			r.store.Put(path, file.data)
			r.want(path, file.data, 0, 0, 16<<10)
			r.idle()
			got := r.ranges(int64(len(file.data)))[path]
			if i == 3 && len(got) != 1+1+1+2 { // the end, the first stripe's footer, two pages of it, and of the second stripe the two columns themselves
				t.Errorf("%d requests: %v", len(got), got)
			}
			r.scanORC(path, file, false, 2, 5)
			r.ranges(1)
		}
	})
}

// Columns are learnt from stripes whose footers the readers have read themselves, too: here of the first stripe alone.
func TestColumnsOfTheFirstStripe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
		file := newORCFile(6, 10, 300_000)
		first := file
		first.stripes = file.stripes[:1]
		for i := range 4 {
			path := fmt.Sprintf("t/f%d", i)
			r.store.Put(path, file.data)
			r.scanORC(path, first, false, 2, 7)
		}
		if st := r.idle(); st.Useful < 600_000 {
			t.Errorf("%+v: the columns of the first stripe were not fetched ahead", st)
		}
	})
}

// A reader that takes a column in pieces is seen with the first of each page alone, since the others are hits. Here it takes nothing but that; and in a page on the grid, which
// others share, it has read its own column all the same.
func TestColumnsThatAreReadInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for stripes, size := range map[int]int{1: 240_000, 3: 200_000} {
			r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
			file := newORCFile(stripes, 10, size)
			for i := range 5 {
				path := fmt.Sprintf("t/f%d", i)
				r.store.Put(path, file.data)
				r.want(path, file.data, 0, 0, 16<<10)
				r.idle()
				for _, s := range file.stripes {
					r.want(path, file.data, s.footer.Start, s.footer.End-s.footer.Start, 0)
					r.idle()
					r.want(path, file.data, s.columns[4].Start, 20_000, 0)
					r.want(path, file.data, s.columns[4].End-20_000, 20_000, 0)
				}
				if st := r.idle(); i == 4 && st.Useful < int64(2*stripes*size) || st.Wasted > 0 || st.Useful > int64(2*stripes*(size+2*formats.GridPage)) {
					t.Errorf("%d stripes: %+v", stripes, st)
				}
			}
		}
	})
}

// A page on the grid that was fetched for one column, and has others in it, does not teach that those are read: when its readers go over to other columns of a table, the old ones
// are fetched no more, and the new ones are.
func TestColumnsOfORCThatAreReadNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
		file := newORCFile(4, 30, 60_000) // four columns in a page
		n := 0
		scan := func(files int, columns ...int) (last int64) {
			for range files {
				path := fmt.Sprintf("t/f%d", n)
				n++
				r.store.Put(path, file.data)
				r.scanORC(path, file, false, columns...)
				last = 0
				for _, g := range r.ranges(int64(len(file.data)))[path] {
					last += g.End - g.Start
				}
			}
			return last
		}
		one := scan(1, 5)
		if got := scan(20, 5); got != one {
			t.Errorf("after twenty files %d bytes are fetched of each, of the first %d", got, one)
		}
		scan(14, 20)
		if got := scan(1, 20); got > one+100_000 {
			t.Errorf("after the readers went over to another column %d bytes are fetched, at first %d", got, one)
		}
		st := r.idle()
		t.Logf("%+v", st)
	})
}

// An ORC file of many stripes is fetched as far as there is room, its footers among that, and further as its reader comes nearer; and one that is left after the first stripe
// costs no more than that room.
func TestStripesAheadAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 2 << 20
		r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On, Ahead: ahead}))
		file := newORCFile(12, 4, 600_000)
		for i := range 5 {
			path := fmt.Sprintf("t/f%d", i)
			r.store.Put(path, file.data)
			r.want(path, file.data, 0, 0, 16<<10)
			for _, s := range file.stripes {
				if st := r.idle(); st.Pending > ahead {
					t.Fatalf("%+v: more than %d bytes are ahead", st, ahead)
				}
				r.want(path, file.data, s.footer.Start, s.footer.End-s.footer.Start, 0)
				r.want(path, file.data, s.columns[1].Start, 600_000, 0)
			}
		}
		st := r.idle()
		if two := int64(2 * 12 * 600_000); st.Useful < two*7/10 || st.Wasted != 0 {
			t.Errorf("%+v: want nearly all of the column of two files, %d bytes", st, two)
		}
		r.store.Put("t/left", file.data)
		r.ranges(1)
		r.want("t/left", file.data, 0, 0, 16<<10)
		r.idle()
		all := int64(0)
		for _, g := range r.ranges(int64(len(file.data)))["t/left"] {
			all += g.End - g.Start
		}
		if all > ahead+64<<10 {
			t.Errorf("%d bytes were fetched of a file that nobody reads", all)
		}
	})
}

// Damaged footers of stripes cost what they would tell, and no reader anything: the bytes are the store's.
func TestORCFootersThatMakeNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, fetching(prefetch.Settings{Mode: prefetch.On}))
		file := newORCFile(5, 6, 300_000)
		for i := range 10 {
			path := fmt.Sprintf("t/f%d", i)
			bad := file
			if i > 4 {
				bad.data = bytes.Clone(file.data)
				for k, s := range file.stripes {
					for at := s.footer.Start; at < s.footer.End; at++ {
						if (k+i)%3 > 0 {
							bad.data[at] ^= byte(0x55 + i)
						}
					}
				}
			}
			r.store.Put(path, bad.data)
			r.scanORC(path, bad, true, 1, 2)
		}
		if st := r.idle(); st.Useful == 0 {
			t.Errorf("%+v", st)
		}
	})
}
