package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration. Line and Column start at 1; a Line of 0 means that no file's line is to blame (a
// flag, or a default).
type Fault struct {
	File    string
	Line    int
	Column  int
	Path    string // the key's full path, such as mounts.lake.s3.endpoint
	Message string
}

// Error prints the fault in one line, place first, as compilers do.
func (f Fault) Error() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "%s:%d: ", f.File, f.Line)
	} else if f.File != "" {
		fmt.Fprintf(&b, "%s: ", f.File)
	}
	if f.Path != "" {
		fmt.Fprintf(&b, "%s: ", f.Path)
	}
	b.WriteString(f.Message)
	return b.String()
}

// Faults is every fault of a configuration; as an error it prints one per line. The zero value is ready to use.
type Faults []Fault

// Add appends a fault at a path.
func (f *Faults) Add(path, format string, args ...any) {
	*f = append(*f, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Err is nil when there are no faults. The faults it returns are in the order of their lines.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	sorted := slices.Clone(f)
	slices.SortStableFunc(sorted, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return sorted
}

// Error prints one fault per line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Join joins a key's path and the name of a key below it.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
