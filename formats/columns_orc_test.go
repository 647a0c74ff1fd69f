package formats

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/orc"
)

// byTool are the extents of a file's columns by Apache's tool: of column i those of its data, of n+i its row index, of 2n+i its bloom filter.
func byTool(t *testing.T, name string, n int) map[int][]Extent {
	text, err := os.ReadFile("testdata/orc/" + name + ".meta")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int][]Extent{}
	last := -1
	for line := range strings.Lines(string(text)) {
		var column int
		var section string
		var start, length int64
		if got, _ := fmt.Sscanf(line, "Stream: column %d section %s start: %d length %d", &column, &section, &start, &length); got != 4 || length == 0 {
			continue
		}
		switch {
		case strings.HasPrefix(section, "BLOOM"):
			column += 2 * n
		case section == "ROW_INDEX":
			column += n
		}
		if all := out[column]; last == column && all[len(all)-1].End == start {
			all[len(all)-1].End = start + length
		} else {
			out[column] = append(all, Extent{start, start + length})
		}
		last = column
	}
	return out
}

// Every stream that Apache's tool finds in the files of all writers lies in the extents of its column, and nothing else does; and columns of one name are one, in all files.
func TestReadColumnsFindsWhatORCToolsFind(t *testing.T) {
	same := map[string][]uint64{}
	for name, o := range orcFiles(t) {
		c, err := columnsIn(o.size, o)
		if name == "spark_lzo.orc" {
			if !errors.Is(err, ErrUnknownFormat) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n := len(c.names) / 3
		want := byTool(t, name, n)
		for i, hash := range c.names {
			if got := c.Extents(func(h uint64) bool { return h == hash }); !slices.Equal(got, want[i]) {
				t.Errorf("%s: column %d of %d lies at %v, want %v", name, i, n, got, want[i])
			}
			if len(want[i]) > 0 {
				if got := c.Shares(want[i], nil); len(got) != 1 || got[hash] != 1 {
					t.Errorf("%s: column %d: shares %v of its own ranges", name, i, got)
				}
			}
		}
		if sorted := slices.Sorted(slices.Values(c.names)); len(slices.Compact(sorted)) != len(c.names) {
			t.Errorf("%s: two columns have one name", name)
		}
		if n > 3 && name != "pyarrow_large.orc" && name != "pyarrow_zstd.orc" { // those of a writer have one schema
			writer, _, _ := strings.Cut(name, "_")
			if same[writer] != nil && !slices.Equal(same[writer], c.names) {
				t.Errorf("%s: names %v, before %v", name, c.names, same[writer])
			}
			same[writer] = c.names
		}
		if len(c.Footers(0, 9)) > 0 || c.More(o) != c || c.Tells(0, o.size) {
			t.Errorf("%s: something is lacking, although all is at hand", name)
		}
		if end := c.DataEnd(); len(want) > 0 && (end <= 0 || end >= o.size) || c.MemoryBytes() < 8*len(c.names) {
			t.Errorf("%s: data ends at %d of %d, %d bytes", name, end, o.size, c.MemoryBytes())
		}
	}
	if len(same) != 3 {
		t.Errorf("names of %d writers", len(same))
	}
}

// The columns of a stripe become known when its footer is at hand; until then it says where that lies. Read are pages of the layout alone.
func TestORCColumnsBecomeKnownByStripe(t *testing.T) {
	o := orcFiles(t)["pyarrow_large.orc"]
	pages, err := derived(t, o)
	if err != nil {
		t.Fatal(err)
	}
	const footer, next = 180361, 180466 // of the first stripe, and where the second begins
	o.reads = nil
	o.have = func(start, _ int64) bool { return start != footer }
	c, err := ReadColumns("f", o.size, o)
	if err != nil {
		t.Fatal(err)
	}
	all := c.Extents(func(uint64) bool { return true })
	if lacking := c.Footers(0, 9); len(all) != 1 || all[0].Start != next || !slices.Equal(lacking, []Extent{{footer, next}}) || len(c.Footers(next, 9)) != 0 {
		t.Fatalf("columns at %v, lacking %v", all, lacking)
	}
	for _, q := range []struct {
		start, end int64
		want       bool
	}{{0, footer, false}, {footer, next, true}, {footer + 1, next + 1, true}, {0, next - 1, false}, {next, o.size, false}, {0, o.size, true}} {
		if got := c.Tells(q.start, q.end); got != q.want {
			t.Errorf("[%d, %d) tells more: %t", q.start, q.end, got)
		}
	}
	if c.More(o) != c {
		t.Error("there is more, although nothing more is at hand")
	}
	o.have = nil
	more := c.More(o)
	if all := more.Extents(func(uint64) bool { return true }); len(all) != 2 || all[0].Start != 3 || len(more.Footers(0, 9)) != 0 || more.DataEnd() != c.DataEnd() {
		t.Errorf("then columns at %v", all)
	}
	if len(c.Footers(0, 9)) != 1 || !slices.Equal(c.Extents(func(uint64) bool { return true }), all) {
		t.Error("what was known before has changed")
	}
	for _, r := range o.reads {
		if !slices.ContainsFunc(pages, func(p page) bool { return p.start == r[0] && p.end == r[1] }) {
			t.Errorf("read [%d, %d), which is no page", r[0], r[1])
		}
	}
}

// orcType is a type of a footer: its kind, and what it holds, by name where there are names.
func orcType(kind uint64, packed bool, children []uint64, names ...string) message {
	m := message{}.number(1, kind)
	var list message
	for _, c := range children {
		if list = append(list, message{}.number(2, c)[1:]...); !packed {
			m = m.number(2, c)
		}
	}
	if packed {
		m = m.bytes(2, list)
	}
	for _, name := range names {
		m = m.bytes(3, []byte(name))
	}
	return m
}

// namesOf reads the columns' names of types.
func namesOf(types ...message) (names []uint64, err error) {
	var footer message
	for _, m := range types {
		footer = footer.bytes(4, m)
	}
	ps, _ := orc.ReadPostscript(append(message{}.number(1, 1).number(2, 0).bytes(8000, []byte("ORC")), 12))
	err = ps.ReadColumnNames(footer, func(_ int, name uint64) { names = append(names, name) })
	return names, err
}

// Nested columns are known by the names that lead to them, in whatever order they come, and what is in lists, maps and unions by its place.
func TestORCColumnNames(t *testing.T) {
	const long, list, tree, record, union = 4, 10, 11, 12, 13
	one, err := namesOf(orcType(record, true, []uint64{1, 2, 5, 8}, "a", "b", "c", "d"), orcType(long, true, nil),
		orcType(record, true, []uint64{3, 4}, "a", "x"), orcType(long, true, nil), orcType(long, true, nil), // b.a, b.x
		orcType(tree, true, []uint64{6, 7}), orcType(long, true, nil), orcType(long, true, nil),
		orcType(list, true, []uint64{9}), orcType(union, true, []uint64{10}), orcType(long, true, nil))
	if err != nil || len(one) != 11 {
		t.Fatal(one, err)
	}
	if sorted := slices.Sorted(slices.Values(one)); len(slices.Compact(sorted)) != len(one) {
		t.Errorf("two columns have one name: %v", one)
	}
	other, err := namesOf(orcType(record, false, []uint64{1, 4, 5, 8}, "b", "a", "d", "c"), orcType(record, false, []uint64{2, 3}, "x", "a"), orcType(long, false, nil), orcType(long, false, nil),
		orcType(long, false, nil), orcType(list, false, []uint64{6}), orcType(union, false, []uint64{7}), orcType(long, false, nil),
		orcType(tree, false, []uint64{9, 10}), orcType(long, false, nil), orcType(long, false, nil))
	if want := []int{0, 2, 4, 3, 1, 8, 9, 10, 5, 6, 7}; err != nil || len(other) != len(want) {
		t.Fatal(other, err)
	} else {
		for i, j := range want {
			if other[i] != one[j] {
				t.Errorf("column %d is not the other file's %d", i, j)
			}
		}
	}
	if orphan, err := namesOf(orcType(record, true, []uint64{1}, "a"), orcType(long, true, nil), orcType(record, true, []uint64{3}, "b"), orcType(long, true, nil)); err != nil || orphan[2] != 0 || orphan[3] != 0 || orphan[1] == 0 {
		t.Errorf("a column that nobody holds: %v, %v", orphan, err)
	}
	for what, types := range map[string][]message{
		"itself": {orcType(record, true, []uint64{0}, "a")}, "one before it": {orcType(record, true, []uint64{1}, "a"), orcType(list, true, []uint64{0})},
		"an earlier one that nobody held": {orcType(record, true, []uint64{2}, "a"), orcType(long, true, nil), orcType(list, true, []uint64{1})},
		"one that is not there":           {orcType(record, true, []uint64{1 << 40}, "a")}, "one twice": {orcType(record, true, []uint64{1, 1}, "a", "b"), orcType(long, true, nil)},
		"half a number": {message{}.number(1, 12).bytes(2, []byte{0x80})},
	} {
		if _, err := namesOf(types...); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a column that holds %s: %v", what, err)
		}
	}
	if _, err := namesOf(slices.Repeat([]message{orcType(long, true, nil)}, orc.MaxColumns+1)...); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many columns: %v", err)
	}
}

// typedORC is a file of 1 MiB with two columns and these stripes; each has its footer.
func typedORC(stripes [][4]int64, footers ...[]byte) *object {
	const end = 1 << 20
	o := sealedORC(end, stripes)
	tail := o.blobs[end]
	types := message{}.bytes(4, orcType(12, true, []uint64{1, 2}, "a", "b")).bytes(4, orcType(4, true, nil)).bytes(4, orcType(4, true, nil))
	ps := tail[len(tail)-1-int(tail[len(tail)-1]):]
	footer := append(slices.Clone(tail[:len(tail)-len(ps)]), types...)
	post := message{}.number(1, uint64(len(footer))).number(2, 0).bytes(8000, []byte(orc.Magic))
	tail = append(append(footer, post...), byte(len(post)))
	o.blobs, o.size = map[int64][]byte{end: tail}, end+int64(len(tail))
	for i, f := range footers {
		o.blobs[stripes[i][0]+stripes[i][1]+stripes[i][2]] = f
	}
	return o
}

// What a footer and a stripe's footer must not say; the latter costs the columns of the one stripe.
func TestORCColumnsOfWhatIsWrong(t *testing.T) {
	for name, stripes := range map[string][][4]int64{"overlap": {{3, 10, 10, 10}, {20, 10, 10, 10}}, "outside": {{3, 10, 1 << 20, 10}}, "negative": {{3, -10, 10, 10}}} {
		if _, err := ReadColumns("f", typedORC(stripes).size, typedORC(stripes)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o := typedORC(slices.Repeat([][4]int64{{3, 0, 0, 0}}, maxColumnStripes+1)); true {
		if _, err := ReadColumns("f", o.size, o); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too many stripes: %v", err)
		}
	}
	good := stripeFooter([3]int64{rowIndex, 1, 50}, [3]int64{bloom, 2, 50}, [3]int64{present, 1, 10}, [3]int64{data, 1, 200}, [3]int64{data, 2, 90})
	for name, bad := range map[string][]byte{"good": good, "garbage": []byte("garbage, and more of it"), "too short": stripeFooter([3]int64{rowIndex, 1, 100}, [3]int64{data, 1, 10}), "nothing": {},
		"too long": stripeFooter([3]int64{data, 1, 10_000}), "of other columns": stripeFooter([3]int64{rowIndex, 7, 100}, [3]int64{data, 9, 300})} {
		stripes := [][4]int64{{500, 100, 300, int64(len(bad))}, {1<<20 - 1000, 100, 300, int64(len(good))}}
		o := typedORC(stripes, bad, good)
		c, err := ReadColumns("f", o.size, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		all := c.Extents(func(uint64) bool { return true })
		if want := map[bool]int{true: 2, false: 1}[name == "good"]; len(all) != want || len(c.Footers(0, 9)) != 0 {
			t.Errorf("%s: columns at %v, lacking %v", name, all, c.Footers(0, 9))
		}
		checkColumns(t, o)
	}
}
