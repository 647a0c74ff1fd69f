package lint

import (
	"fmt"
	"sort"
	"strings"
)

// Rule is one house rule: what it says, and a check that words what breaks it, file and line first.
type Rule struct {
	Name  string
	Says  string
	Check func(*Repo) []string
}

// Rules are all of them.
var Rules = []Rule{
	{"imports", "packages import only what the table in imports.go allows", checkImports},
	{"libraries", "heavy libraries stay in the packages that are there to wrap them", checkLibraries},
	{"architecture", "ARCHITECTURE.md shows the table of imports.go", checkArchitecture},
	{"package-docs", "every package opens with a paragraph: what it is, what it is not, where to start", checkPackageDocs},
	{"names", "exported names are documented", checkNames},
	{"size", "files have at most 500 lines, functions at most 80, nine in ten at most 40", checkSize},
	{"sleep", "tests do not sleep", checkSleep},
	{"skip", "tests are not skipped", checkSkip},
	{"vfs", "cache/** reaches files only through internal/vfs", checkVFS},
	{"leaks", "a package that starts goroutines checks in its TestMain that none is left", checkLeaks},
	{"markers", "no unfinished business in the source", checkMarkers},
	{"interfaces", "interfaces at contracts have at most 5 methods, endpoint.Backend exactly 5", checkInterfaces},
	{"conformance", "every origin, and what wraps one, runs the suite of origin/origintest", checkConformance},
	{"registerer", "metrics go to a Registerer that was handed in", checkRegisterer},
	{"format", "Go source is formatted", checkFormat},
}

// Run applies a rule and sorts what it found.
func (r Rule) Run(repo *Repo) []string {
	found := r.Check(repo)
	sort.Strings(found)
	return found
}

// Sizes are the numbers of the size budget.
type Sizes struct {
	Files, Functions    int
	LongestFile         int
	LongestFileName     string
	LongestFunction     int
	LongestFunctionName string
	LongFunctions       int // longer than FunctionLines
}

// The size budget, in lines.
const (
	FileLines     = 500
	FunctionLines = 40
	FunctionLimit = 80
	LongShare     = 0.10 // of functions may be longer than FunctionLines
)

// String prints the numbers in one line.
func (s Sizes) String() string {
	return fmt.Sprintf("%d files, the longest %s with %d lines; %d functions, the longest %s with %d lines, %.1f %% over %d lines",
		s.Files, s.LongestFileName, s.LongestFile, s.Functions, s.LongestFunctionName, s.LongestFunction,
		100*float64(s.LongFunctions)/float64(max(1, s.Functions)), FunctionLines)
}

func trimModule(importPath string) (string, bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}
