package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// fieldSet is what a struct's yaml tags say.
type fieldSet struct {
	names []string
	index map[string]int
}

// FieldName returns the key that a struct's field has in a file, or "" for a field that has none.
func FieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

func fieldsOf(t reflect.Type) fieldSet {
	s := fieldSet{index: map[string]int{}}
	for i := range t.NumField() {
		if name := FieldName(t.Field(i)); name != "" {
			s.names = append(s.names, name)
			s.index[name] = i
		}
	}
	return s
}

// suggest words the hint behind "unknown key": the nearest key of the same section, or else where a key of exactly this name lives.
func suggest(root reflect.Type, path, name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", Join(path, near))
	}
	var elsewhere []string
	Walk(root, func(k Key) {
		if FieldName(k.Field) == name {
			elsewhere = append(elsewhere, k.Path)
		}
	})
	if len(elsewhere) > 0 {
		return fmt.Sprintf(`; did you mean "%s"?`, strings.Join(elsewhere, `" or "`))
	}
	sorted := slices.Sorted(slices.Values(known))
	return "; known here: " + strings.Join(sorted, ", ")
}

// Key is one key of a tree of structs. In its path, <name> and [] stand for a map's key and a list's index.
type Key struct {
	Path   string
	Parent reflect.Type // the struct that holds the field
	Field  reflect.StructField
	Leaf   bool // holds a value, and no further keys
}

// Walk calls f for every key of a tree of structs, parents first, in the order of the fields.
func Walk(t reflect.Type, f func(Key)) { walk(t, "", f) }

func walk(t reflect.Type, path string, f func(Key)) {
	for i := range t.NumField() {
		field := t.Field(i)
		if FieldName(field) == "" {
			continue
		}
		at := Join(path, FieldName(field))
		below, suffix := field.Type, ""
		switch below.Kind() {
		case reflect.Map:
			below, suffix = below.Elem(), ".<name>"
		case reflect.Slice:
			below, suffix = below.Elem(), "[]"
		}
		leaf := below.Kind() != reflect.Struct
		f(Key{Path: at, Parent: t, Field: field, Leaf: leaf})
		if !leaf {
			walk(below, at+suffix, f)
		}
	}
}

// Nearest returns the known name that a reader most likely meant by name: the one at the smallest edit distance, if that is at most a third
// of the name's length (at least 2). "" if none is near. Hyphens, underscores and case count for nothing.
func Nearest(name string, known []string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(plain(name), plain(k)); d < bestDistance && d < len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, substitutions and swaps of neighbours that turn a into b ("optimal string alignment").
// Names longer than 64 bytes are taken to be far from everything.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
