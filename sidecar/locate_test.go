package sidecar_test

import (
	"testing"

	"github.com/alio-lake/alio/origin"
)

// A client that is about to read a whole file has it read in one request; what it was wrong about costs no more than without.
func TestLocateWhole(t *testing.T) {
	data := lakeFile(t, 4, 2, 10_000) // 640 KB
	size := int64(len(data))
	for _, c := range []struct {
		name         string
		listed       bool
		whole        int64
		first, other string // calls of LocateWhole, and of reading all afterwards
	}{
		{"nothing known", false, size, "read:1", ""},
		{"listed", true, size, "read:1", ""},
		{"said nothing", false, 0, "read:1", "read:1"},
		{"listed, said nothing", true, 0, "read:1", "read:1"},
		{"listed, taken for larger", true, size + 1, "read:1", "read:1"},
		{"nothing known, taken for smaller", false, size - 100_000, "read:1", ""},
		{"nothing known, larger than one read may be", false, 1 << 40, "read:1", "read:1"},
		{"listed, larger than one read may be", true, 1 << 40, "read:1", "read:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 1, forever)
			r.store.Put("f.parquet", data)
			if c.listed {
				r.list("")
				r.calls()
			}
			found, err := r.LocateWhole(t.Context(), "lake", "f.parquet", "", c.whole)
			if err != nil || found.Object.Size != size || found.View == nil {
				t.Fatalf("%+v, %v", found, err)
			}
			r.wantCalls("LocateWhole", c.first)
			r.want("f.parquet", data, 0, origin.WholeRange, 0)
			r.wantCalls("reading all afterwards", c.other)
			if _, err := r.LocateWhole(t.Context(), "lake", "f.parquet", "", c.whole); err != nil {
				t.Fatal(err)
			}
			r.wantCalls("LocateWhole again", "")
		})
	}
}
