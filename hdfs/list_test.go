package hdfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// tree is a NameNode's directories: what is below each, in HDFS's order. It answers listings a few entries at a time.
type tree struct {
	dirs  map[string][]*namenode.Status // by absolute path
	page  int
	calls int
	asked int // entries answered
}

func newTree(page int, files ...string) *tree {
	t := &tree{dirs: map[string][]*namenode.Status{"/": nil}, page: page}
	for i, f := range files {
		t.add("/"+f, &namenode.Status{Kind: namenode.File, Length: 0, FileID: uint64(i + 1), Located: true})
	}
	return t
}

func (t *tree) add(path string, s *namenode.Status) {
	dir, name := split(path)
	if dir != "/" {
		dir = strings.TrimSuffix(dir, "/")
		if _, ok := t.dirs[dir]; !ok {
			t.dirs[dir] = nil
			t.add(dir, &namenode.Status{Kind: namenode.Directory})
		}
	}
	s.Name = name
	t.dirs[dir] = append(t.dirs[dir], s)
	slices.SortFunc(t.dirs[dir], func(a, b *namenode.Status) int {
		switch {
		case signedLess(a.Name, b.Name):
			return -1
		case signedLess(b.Name, a.Name):
			return 1
		}
		return 0
	})
}

func (t *tree) list(_ context.Context, path, after string, _ bool) (*namenode.Page, error) {
	t.calls++
	all, ok := t.dirs[path]
	if !ok {
		return nil, nil
	}
	for len(all) > 0 && !signedLess(after, all[0].Name) {
		all = all[1:]
	}
	p := &namenode.Page{Entries: all[:min(len(all), t.page)]}
	p.Remaining = len(all) - len(p.Entries)
	p.Entries = slices.Clone(p.Entries)
	t.asked += len(p.Entries)
	return p, nil
}

// all walks a listing to its end.
func (t *tree) all(tb testing.TB, req origin.ListRequest) (paths, prefixes []string) {
	tb.Helper()
	o := &Origin{id: "hdfs:test"}
	for range 10_000 {
		l, err := o.list(tb.Context(), t.list, req)
		if err != nil {
			tb.Fatal(err)
		}
		if n := len(l.Entries) + len(l.CommonPrefixes); req.MaxKeys > 0 && n > req.MaxKeys {
			tb.Fatalf("%+v: a page of %d", req, n)
		}
		for _, e := range l.Entries {
			paths = append(paths, e.Path)
		}
		prefixes = append(prefixes, l.CommonPrefixes...)
		if req.Token = l.NextToken; req.Token == "" {
			return paths, prefixes
		}
	}
	tb.Fatalf("%+v: the listing does not end", req)
	return nil, nil
}

// model lists sorted paths as S3 does.
func model(files []string, req origin.ListRequest) (paths, prefixes []string) {
	for _, f := range files {
		if !strings.HasPrefix(f, req.Prefix) || f <= req.StartAfter && req.StartAfter != "" {
			continue
		}
		if i := strings.Index(f[len(req.Prefix):], req.Delimiter); req.Delimiter != "" && i >= 0 {
			p := f[:len(req.Prefix)+i+len(req.Delimiter)]
			if len(prefixes) == 0 || prefixes[len(prefixes)-1] != p {
				prefixes = append(prefixes, p)
			}
			continue
		}
		paths = append(paths, f)
	}
	return paths, prefixes
}

// randomFiles are paths of a few characters on both sides of the slash, and outside ASCII, so that beginnings are shared.
func randomFiles(rng *rand.Rand) []string {
	letters := []string{"a", "b", "-", ".", "0", "é", "日", "😀", "~", "!"}
	name := func() string {
		for {
			var s string
			for range 1 + rng.IntN(4) {
				s += letters[rng.IntN(len(letters))]
			}
			if s != "." && s != ".." {
				return s
			}
		}
	}
	files, dirs := map[string]bool{}, map[string]bool{"": true}
	for range 1 + rng.IntN(60) {
		var dir string
		for range rng.IntN(3) {
			if next := dir + name(); !files[next] {
				dir = next + "/"
				dirs[strings.TrimSuffix(dir, "/")] = true
			}
		}
		if f := dir + name(); !dirs[f] {
			files[f] = true
		}
	}
	var out []string
	for f := range files {
		out = append(out, f)
	}
	slices.Sort(out)
	return out
}

// TestListAgainstModel lists random trees in every way and compares with what S3 would list.
func TestListAgainstModel(t *testing.T) {
	seed := origintest.Seed(t)
	for i := range 1000 {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		files := randomFiles(rng)
		any := files[rng.IntN(len(files))]
		reqs := []origin.ListRequest{
			{}, {Delimiter: "/"}, {StartAfter: any}, {StartAfter: any[:rng.IntN(len(any)+1)], Delimiter: "/"}, {Prefix: any[:rng.IntN(len(any)+1)]},
			{Prefix: any[:rng.IntN(len(any)+1)], Delimiter: "/"}, {Prefix: any[:rng.IntN(len(any)+1)], StartAfter: files[rng.IntN(len(files))], Delimiter: "-"},
			{Prefix: any + "/"}, {StartAfter: any + "/"}, {StartAfter: "~"}, {Prefix: any[:rng.IntN(len(any)+1)], StartAfter: files[rng.IntN(len(files))]},
		}
		for _, req := range reqs {
			if !validUTF8(req.Prefix) || !validUTF8(req.StartAfter) {
				continue
			}
			req.MaxKeys = rng.IntN(5) // 0: all at once
			tr := newTree(1+rng.IntN(6), files...)
			paths, prefixes := tr.all(t, req)
			wantPaths, wantPrefixes := model(files, req)
			if !slices.Equal(paths, wantPaths) || !slices.Equal(prefixes, wantPrefixes) {
				t.Fatalf("tree %d, pages of %d: %q\n%+v lists\n%q %q, want\n%q %q", i, tr.page, files, req, paths, prefixes, wantPaths, wantPrefixes)
			}
		}
	}
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

// TestListLargeDirectory goes through a directory of 100,000 files in pages of 1000: what is asked of the NameNode stays in proportion.
func TestListLargeDirectory(t *testing.T) {
	const n = 100_000
	tr := newTree(1000)
	for i := range n {
		tr.dirs["/"] = append(tr.dirs["/"], &namenode.Status{Kind: namenode.File, Name: fmt.Sprintf("part-%06d.parquet", i), FileID: 1, Located: true})
	}
	paths, _ := tr.all(t, origin.ListRequest{})
	if len(paths) != n || !slices.IsSorted(paths) {
		t.Errorf("%d paths, sorted %v", len(paths), slices.IsSorted(paths))
	}
	t.Logf("%d entries in pages of 1000: %d calls, %d entries answered", n, tr.calls, tr.asked)
	if tr.calls > 1000 {
		t.Errorf("%d calls for 100 pages", tr.calls)
	}
}

// TestListManyOutsideASCII bounds memory where HDFS's order is not S3's.
func TestListManyOutsideASCII(t *testing.T) {
	tr := newTree(1000)
	for i := range maxWaiting + 1 {
		tr.dirs["/"] = append(tr.dirs["/"], &namenode.Status{Kind: namenode.File, Name: fmt.Sprintf("日%06d", i), FileID: 1, Located: true})
	}
	o := &Origin{id: "hdfs:test"}
	if _, err := o.list(t.Context(), tr.list, origin.ListRequest{}); !errors.Is(err, origin.ErrUnsupported) || !strings.Contains(err.Error(), "narrower prefix") {
		t.Errorf("%v", err)
	}
	if _, err := o.list(t.Context(), tr.list, origin.ListRequest{Prefix: "日0000"}); err != nil {
		t.Errorf("with a prefix: %v", err)
	}
}

func TestBefore(t *testing.T) {
	for _, s := range []string{"a", "b/1", "\x00", "é", "0", "a\x00", "日", "\x80"} {
		if b := before(s); !signedLess(b, s) {
			t.Errorf("before(%q) is %q, which HDFS lists after it", s, b)
		}
	}
	if c := cmp.Compare(before(""), ""); c != 0 {
		t.Error("before the beginning there is nothing")
	}
}
