package glob

import "testing"

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"lake/*", "lake/a", true}, {"lake/*", "lake/a/b", false}, {"lake/**", "lake/a/b", true},
		{"**/x", "x", true}, {"**/x", "a/b/x", true}, {"**/x", "a/yx", false}, {"a?c", "abc", true}, {"a?c", "a/c", false},
		{"a.c", "abc", false}, {"a/**/z", "a/z", true}, {"a/**/z", "a/b/c/z", true}, {"lake/(x", "lake/(x", true}, {"**", "a\nb", true},
	} {
		if got := Compile(c.pattern)(c.path); got != c.want {
			t.Errorf("pattern %q on %q: %v", c.pattern, c.path, got)
		}
	}
}
