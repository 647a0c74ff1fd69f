package origintest

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/alio-lake/alio/origin"
)

// listAll walks a listing to its end and checks every page.
func listAll(t *testing.T, o origin.Origin, req origin.ListRequest) (paths, prefixes []string) {
	t.Helper()
	for page := 0; ; page++ {
		l, err := o.List(t.Context(), req)
		if err != nil {
			t.Fatalf("%+v: %v", req, err)
		}
		if n := len(l.Entries) + len(l.CommonPrefixes); req.MaxKeys > 0 && n > req.MaxKeys {
			t.Fatalf("%+v: a page of %d", req, n)
		}
		for _, e := range l.Entries {
			paths = append(paths, e.Path)
			if e.Attributes != nil {
				t.Errorf("%q: a listing does not know the attributes: want nil", e.Path)
			}
		}
		prefixes = append(prefixes, l.CommonPrefixes...)
		if l.NextToken == "" {
			break
		}
		if page > 1000 {
			t.Fatalf("%+v: the listing does not end", req)
		}
		req.Token = l.NextToken
	}
	if !slices.IsSorted(paths) || !slices.IsSorted(prefixes) {
		t.Errorf("%+v: not in the order of the bytes: %q %q", req, paths, prefixes)
	}
	return paths, prefixes
}

func wantPaths(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// tree is what the listing tests list, in order.
var tree = []string{"a", "b/1", "b/2", "b/3/x", "b/3/y", "b/4", "c/1", "d"}

func putTree(t *testing.T, f Fixture) {
	for i, p := range tree {
		f.Put(t, p, random(uint64(20+i), 10+i))
	}
}

func testList(t *testing.T, f Fixture) {
	got, prefixes := listAll(t, f.Origin, origin.ListRequest{})
	if len(got)+len(prefixes) != 0 {
		t.Errorf("an empty origin lists %q %q", got, prefixes)
	}
	putTree(t, f)
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "", tree},
		{"b/", "", tree[1:6]},
		{"b", "", tree[1:6]},
		{"b/3/", "", tree[3:5]},
		{"b/3", "", tree[3:5]},
		{"d", "", tree[7:]},
		{"absent/", "", nil},
		{"", "b/2", tree[3:]},
		{"", "b/20", tree[3:]},
		{"", "d", nil},
		{"b/", "b/3/x", tree[4:6]},
		{"b/", "a", tree[1:6]},
		{"b/", "c", nil},
	} {
		got, prefixes := listAll(t, f.Origin, origin.ListRequest{Prefix: c.prefix, StartAfter: c.after})
		wantPaths(t, "prefix "+c.prefix+" after "+c.after, got, c.want)
		wantPaths(t, "prefixes without a delimiter", prefixes, nil)
	}
	f.Delete(t, "d")
	got, _ = listAll(t, f.Origin, origin.ListRequest{})
	wantPaths(t, "after a delete", got, tree[:7])
}

func testListPages(t *testing.T, f Fixture) {
	putTree(t, f)
	for keys := 1; keys <= len(tree)+1; keys++ {
		got, _ := listAll(t, f.Origin, origin.ListRequest{MaxKeys: keys})
		wantPaths(t, "in pages", got, tree)
		got, _ = listAll(t, f.Origin, origin.ListRequest{MaxKeys: keys, Prefix: "b/", StartAfter: "b/1"})
		wantPaths(t, "in pages, from a start", got, tree[2:6])
		got, prefixes := listAll(t, f.Origin, origin.ListRequest{MaxKeys: keys, Delimiter: "/"})
		wantPaths(t, "in pages, folded", got, []string{"a", "d"})
		wantPaths(t, "in pages, folded", prefixes, []string{"b/", "c/"})
	}
	l, err := f.Origin.List(t.Context(), origin.ListRequest{MaxKeys: len(tree)})
	if err != nil || l.NextToken != "" {
		t.Errorf("a page that holds all names a next one: %q, %v", l.NextToken, err)
	}
}

func testListDelimiter(t *testing.T, f Fixture) {
	putTree(t, f)
	for _, c := range []struct {
		prefix, delimiter string
		paths, prefixes   []string
	}{
		{"", "/", []string{"a", "d"}, []string{"b/", "c/"}},
		{"b/", "/", []string{"b/1", "b/2", "b/4"}, []string{"b/3/"}},
		{"b", "/", nil, []string{"b/"}},
		{"b/3/", "/", []string{"b/3/x", "b/3/y"}, nil},
		{"absent/", "/", nil, nil},
	} {
		paths, prefixes := listAll(t, f.Origin, origin.ListRequest{Prefix: c.prefix, Delimiter: c.delimiter})
		wantPaths(t, "below "+c.prefix, paths, c.paths)
		wantPaths(t, "folded below "+c.prefix, prefixes, c.prefixes)
	}
}

// testListOrder has names whose order by bytes is not the order of a walk of directories.
func testListOrder(t *testing.T, f Fixture) {
	want := []string{"t-1/x", "t.x", "t/1", "t/2/y", "t/20", "t0", "t0/z", "tA", "ta", "t\u00e9", "t\U0001F600"}
	want = slices.DeleteFunc(want, func(p string) bool { return f.Refuses != nil && f.Refuses(p) })
	sort.Strings(want)
	for i := range want {
		f.Put(t, want[len(want)-1-i], []byte("x"))
	}
	for _, keys := range []int{0, 1, 3} {
		got, _ := listAll(t, f.Origin, origin.ListRequest{MaxKeys: keys})
		wantPaths(t, "order", got, want)
	}
}

// testListConfirms checks that a listing tells the same version that a Stat tells: it is how one LIST confirms all it names.
func testListConfirms(t *testing.T, f Fixture) {
	putTree(t, f)
	f.Put(t, "b/2", []byte("overwritten"))
	l, err := f.Origin.List(t.Context(), origin.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Entries {
		obj, err := f.Origin.Stat(t.Context(), e.Path)
		if err != nil {
			t.Fatal(err)
		}
		checkObject(t, f.Origin, e.Object, obj.Path, int(obj.Size))
		e.ModTime = obj.ModTime // S3 tells a listing milliseconds, a Stat whole seconds
		same(t, e.Object, obj)
	}
}

// oddKeys are keys in which some layer has a syntax of its own.
var oddKeys = []string{
	"sp ace", " leading", "trailing ", "per%cent", "per%20cent", "per%2Fcent", "plus+plus", "a+b c%2B", "ünïcode/日本語", "emoji/😀",
	"a//b", "/lead", "trail/", "q?x=y", "hash#tag", "amp&amp;<x>\"'", "semi;colon:at@eq=,$!", "(paren)[br]{ce}*", "back\\slash", "til~de^|`",
	"tab\tand\nline", "bell\x07", "dt=2024-01-01 00%3A00%3A00/part-0.parquet", "..hidden/...", "a/./b", "a/../b", ".", "..", strings.Repeat("long/", 40) + "x",
}

func testOddKeys(t *testing.T, f Fixture) {
	var keys []string
	data := map[string][]byte{}
	for i, k := range oddKeys {
		if f.Refuses != nil && f.Refuses(k) {
			continue
		}
		data[k] = random(uint64(100+i), 50+i)
		f.Put(t, k, data[k])
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		obj, err := f.Origin.Stat(t.Context(), k)
		if err != nil {
			t.Errorf("stat %q: %v", k, err)
			continue
		}
		checkObject(t, f.Origin, obj, k, len(data[k]))
		c, b, err := fetch(t.Context(), f.Origin, origin.ReadRequest{Path: k, Version: obj.Version, ETag: obj.ETag, Length: origin.WholeRange})
		if err != nil || !bytes.Equal(b, data[k]) || c.Object.Path != k {
			t.Errorf("read %q: %d bytes of %q, %v", k, len(b), c.Object.Path, err)
		}
		below, _ := listAll(t, f.Origin, origin.ListRequest{Prefix: k})
		wantPaths(t, "prefix "+k, below, slices.DeleteFunc(slices.Clone(keys), func(p string) bool { return !strings.HasPrefix(p, k) }))
	}
	for _, max := range []int{0, 1} {
		got, _ := listAll(t, f.Origin, origin.ListRequest{MaxKeys: max})
		wantPaths(t, "all", got, keys)
	}
	for i, k := range keys {
		got, _ := listAll(t, f.Origin, origin.ListRequest{StartAfter: k})
		wantPaths(t, "after "+k, got, keys[i+1:])
	}
	_, folded := listAll(t, f.Origin, origin.ListRequest{Delimiter: "/"})
	for _, p := range folded {
		inside, _ := listAll(t, f.Origin, origin.ListRequest{Prefix: p})
		if len(inside) == 0 {
			t.Errorf("the common prefix %q holds nothing", p)
		}
	}
}
