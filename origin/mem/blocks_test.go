package mem_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
)

// inBlocks puts every object in blocks of odd size, finished or not.
type inBlocks struct {
	*mem.Origin
	open bool
}

func (b inBlocks) Put(path string, data []byte) origin.Object {
	half := len(data) / 2
	b.Origin.PutBlocks(path, data[:half], 40_009)
	obj, err := b.Origin.Append(path, data[half:], b.open)
	if err != nil {
		panic(err)
	}
	return obj
}

func TestConformanceInBlocks(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("open %v", open), func(t *testing.T) {
			origintest.Run(t, func(*testing.T) origintest.Fixture { return origintest.Memory(inBlocks{mem.New("conformance"), open}) })
		})
	}
}

// An object's blocks keep their ids for as long as their bytes are the same, and no longer.
func TestBlocksKeepTheirIDs(t *testing.T) {
	m := mem.New("x")
	ids := func(obj origin.Object, err error) (out []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range obj.Parts {
			out = append(out, p.ID)
		}
		return out
	}
	want := func(what string, obj origin.Object, got []string, settled int64, etag, unfinished bool, n int) {
		t.Helper()
		if obj.Settled() != settled || (obj.ETag != "") != etag || obj.Unfinished() != unfinished || len(got) != n {
			t.Errorf("%s: %+v: settled %d, unfinished %v", what, obj, obj.Settled(), obj.Unfinished())
		}
	}
	one := m.PutBlocks("p", make([]byte, 25), 10)
	first := ids(one, nil)
	want("put", one, first, 25, true, false, 3)
	two, err := m.Append("p", make([]byte, 3), true)
	open := ids(two, err)
	want("open", two, open, 20, false, true, 3)
	three, err := m.Append("p", make([]byte, 4), false)
	longer := ids(three, err)
	want("closed", three, longer, 32, true, false, 4)
	four, err := m.Truncate("p", 25)
	cut := ids(four, err)
	want("truncated", four, cut, 25, true, false, 3)
	for i := range 2 {
		if open[i] != first[i] || longer[i] != first[i] || cut[i] != first[i] {
			t.Errorf("block %d, which never changed: %q %q %q %q", i, first[i], open[i], longer[i], cut[i])
		}
	}
	if first[2] == longer[2] || first[2] == cut[2] || longer[2] == cut[2] {
		t.Errorf("block 2 has the same id with other bytes: %q %q %q", first[2], longer[2], cut[2])
	}
	m.Put("whole", []byte("x"))
	if _, err := m.Append("whole", nil, false); !errors.Is(err, origin.ErrUnsupported) {
		t.Errorf("append to an object of one part: %v", err)
	}
	if _, err := m.Truncate("none", 0); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("truncate of nothing: %v", err)
	}
	if _, err := m.Truncate("p", 26); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("truncate to more: %v", err)
	}
}
