package namespace_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// model is the namespace as one flat map: the paths that can be seen, and the mount points, which are listed whether they hold anything or not.
type model struct {
	paths  map[string]int64 // by size
	points []string         // "archive/"
}

// list answers all of a listing, by the words of origin.ListRequest.
func (m *model) list(req origin.ListRequest) (names []string) {
	seen := map[string]bool{}
	add := func(name string, greatest string) {
		if !strings.HasPrefix(name, req.Prefix) || greatest <= req.StartAfter {
			return
		}
		if req.Delimiter != "" {
			if before, _, found := strings.Cut(name[len(req.Prefix):], req.Delimiter); found {
				name = req.Prefix + before + req.Delimiter + " (folded)"
			}
		}
		seen[name] = true
	}
	for p := range m.paths {
		add(p, p)
	}
	for _, p := range m.points { // a mount point can only be seen folded
		if strings.HasPrefix(p, req.Prefix) && req.Delimiter != "" && strings.Contains(p[len(req.Prefix):], req.Delimiter) {
			add(p, strings.TrimSuffix(p, "/")+"/\xff") // its last name may be any below it
		}
	}
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// walk lists all pages.
func walk(t *testing.T, o origin.Origin, req origin.ListRequest) (names []string, sizes map[string]int64) {
	t.Helper()
	sizes = map[string]int64{}
	for range 10_000 {
		l, err := o.List(t.Context(), req)
		if err != nil {
			t.Fatalf("%+v: %v", req, err)
		}
		if n := len(l.Entries) + len(l.CommonPrefixes); req.MaxKeys > 0 && n > req.MaxKeys {
			t.Fatalf("%+v: a page of %d", req, n)
		}
		var page []string
		for _, e := range l.Entries {
			page = append(page, e.Path)
			sizes[e.Path] = e.Size
		}
		for _, p := range l.CommonPrefixes {
			page = append(page, p+" (folded)")
		}
		sort.Strings(page)
		names = append(names, page...)
		if req.Token = l.NextToken; l.NextToken == "" {
			return names, sizes
		}
	}
	t.Fatalf("%+v: the listing does not end", req)
	return nil, nil
}

// letters make few enough names that they meet the mounts' paths, and neighbours of the slash in the order of bytes.
var letters = []string{"a", "b", "-", ".", "0", "/", "/", "/"}

func word(rng *rand.Rand, most int) string {
	var b strings.Builder
	for range rng.IntN(most + 1) {
		b.WriteString(letters[rng.IntN(len(letters))])
	}
	return b.String()
}

// mountPaths draws some mounts; the one at the top is left out at times.
func mountPaths(rng *rand.Rand) []string {
	paths := map[string]bool{}
	for range 1 + rng.IntN(4) {
		p := strings.Trim(word(rng, 5), "/")
		if !strings.Contains(p, "//") && !slices.ContainsFunc(strings.Split(p, "/"), func(c string) bool { return c == "." || c == ".." }) {
			paths[p] = true
		}
	}
	if rng.IntN(4) > 0 || len(paths) == 0 {
		paths[""] = true
	}
	var out []string
	for p := range paths {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

func TestAgainstAFlatMap(t *testing.T) {
	seed := origintest.Seed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range 300 {
		n := newNest(t, mountPaths(rng)...)
		m := fill(rng, n)
		for range 40 {
			req := origin.ListRequest{Prefix: word(rng, 4), Delimiter: []string{"", "/", "/", "-", "a", "a/", "/b"}[rng.IntN(7)], MaxKeys: rng.IntN(5)}
			if rng.IntN(2) == 0 {
				req.StartAfter = word(rng, 6)
			}
			got, sizes := walk(t, n, req)
			if want := m.list(req); !slices.Equal(got, want) {
				t.Fatalf("round %d, mounts %q, %+v:\n got %q\nwant %q", round, keys(n.at), req, got, want)
			}
			for p, size := range sizes {
				if size != m.paths[p] {
					t.Fatalf("round %d: %q has %d bytes in the listing, want %d", round, p, size, m.paths[p])
				}
			}
		}
		for range 40 {
			path := word(rng, 7)
			obj, err := n.Stat(t.Context(), path)
			size, there := m.paths[path]
			if (err == nil) != there || there && (obj.Size != size || obj.Path != path) {
				t.Fatalf("round %d, mounts %q: stat %q: %+v %v, want %d bytes: %v", round, keys(n.at), path, obj, err, size, there)
			}
		}
	}
}

// fill puts objects into every origin, hidden ones too, each of another size.
func fill(rng *rand.Rand, n nest) *model {
	m := &model{paths: map[string]int64{}}
	size := int64(0)
	for _, at := range keys(n.at) {
		below := at + "/"
		if at == "" {
			below = ""
		} else {
			m.points = append(m.points, below)
		}
		for range rng.IntN(25) {
			inner := word(rng, 6)
			if inner == "" {
				continue
			}
			size++
			n.at[at].Put(inner, make([]byte, size))
			if store, _ := n.place(below + inner); store == n.at[at] {
				if _, left := n.place(below + inner); left != "" {
					m.paths[below+inner] = size
				}
			}
		}
	}
	return m
}

func keys[T any](m map[string]T) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// TestPagesOfAnOriginThatAnswersFewer has origins whose pages are shorter than asked for, as S3 may.
func TestPagesOfAnOriginThatAnswersFewer(t *testing.T) {
	n := newNest(t, "", "m")
	for i := range 3000 {
		n.at[""].Put(fmt.Sprintf("a%04d", i), nil)
		n.at["m"].Put(fmt.Sprintf("%04d", i), nil)
		n.at[""].Put(fmt.Sprintf("m/hidden%04d", i), nil)
		n.at[""].Put(fmt.Sprintf("z%04d", i), nil)
	}
	for _, keys := range []int{0, 700, 5000} {
		if names, _ := walk(t, n, origin.ListRequest{MaxKeys: keys}); len(names) != 9000 || !slices.IsSorted(names) {
			t.Errorf("%d names in pages of %d", len(names), keys)
		}
	}
}
