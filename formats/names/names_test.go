package names_test

import (
	"testing"

	"github.com/alio-lake/alio/formats/names"
)

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		path, root, rest string
		ok               bool
	}{
		{"t/x/a", "t", "a", true}, {"x/a/b", "", "a/b", true}, {"t/x", "t", "", true}, {"t/x/", "t", "", true}, {"x", "", "", true},
		{"t/x/u/x/a", "t/x/u", "a", true}, {"t/xx/a", "", "", false}, {"t/yx/a", "", "", false}, {"", "", "", false}, {"/x/a", "", "a", true},
	} {
		if root, rest, ok := names.Below(c.path, "x"); root != c.root || rest != c.rest || ok != c.ok {
			t.Errorf("%q: %q, %q, %t", c.path, root, rest, ok)
		}
	}
}

func TestUUID(t *testing.T) {
	const id = "0f1e2d3c-4b5a-6978-8796-A5B4C3D2E1F0"
	for s, want := range map[string]bool{id: true, "a" + id: true, "part-0-" + id + "-c000.parquet": true, id[1:]: false, "": false,
		"0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fg": false, "0f1e2d3c-4b5a-6978-87960a5b4c3d2e1f0": false} {
		if names.HasUUID(s) != want || names.IsUUID(s) != (want && len(s) == len(id)) {
			t.Errorf("%q", s)
		}
	}
}

func TestNumber(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "00000000000000000012": 12, "9223372036854775807": 1<<63 - 1, "9223372036854775808": -1,
		"99999999999999999999": -1, "": -1, "-1": -1, "1x": -1, "+1": -1} {
		if n, ok := names.Number(s); ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d, %t", s, n, ok)
		}
	}
}

func TestPlain(t *testing.T) {
	for path, want := range map[string]bool{"a": true, "a/b": true, "..a/b..": true, "": false, "/a": false, "a/": false, "a//b": false, "a/../b": false, "./a": false} {
		if names.Plain(path) != want {
			t.Errorf("%q", path)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	path := "lake/t/_delta_log/_sidecars/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.parquet"
	if n := testing.AllocsPerRun(10, func() { names.Below(path, "_delta_log"); names.HasUUID(path); names.Plain(path) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
