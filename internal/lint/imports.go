package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Allowance is a row of the import table: packages, and what of ours they may import. "x/*" is everything below x.
type Allowance struct {
	Packages []string
	May      []string
}

// all stands for everything but what nothing may import.
const all = "everything"

// Imports is who may import whom. A package has the row that names it most closely. Test files may besides import what testHelpers
// and testParts list, and every package itself (its tests in package x_test). ARCHITECTURE.md shows the same table.
var Imports = []Allowance{
	{[]string{"internal/*"}, []string{"internal/*"}},
	{[]string{"origin", "origin/*"}, []string{"origin", "origin/*", "internal/*"}},
	{[]string{"s3"}, []string{"origin", "internal/*"}},
	{[]string{"gcs"}, []string{"origin", "internal/*"}},
	{[]string{"hdfs"}, []string{"hdfs/namenode", "origin", "internal/*"}},
	{[]string{"hdfs/namenode"}, []string{"internal/*"}},
	{[]string{"s3/endpoint"}, []string{"origin", "internal/*"}},
	{[]string{"cache/policy"}, nil},
	{[]string{"cache/segfile"}, []string{"internal/*"}},
	{[]string{"cache"}, []string{"cache/policy", "cache/segfile", "origin", "internal/*"}},
	{[]string{"cache/disk"}, []string{"cache", "cache/segfile", "internal/*"}},
	{[]string{"formats", "formats/*"}, []string{"formats", "formats/*"}},
	{[]string{"affinity/ring"}, nil},
	{[]string{"affinity/ring/engines"}, []string{"affinity/ring"}},
	{[]string{"affinity/membership"}, []string{"affinity/ring", "internal/*"}},
	{[]string{"affinity/spread"}, []string{"affinity/ring"}},
	{[]string{"affinity", "affinity/follow"}, []string{"affinity/ring", "affinity/spread", "api/*"}},
	{[]string{"sidecar"}, []string{"cache", "formats", "origin", "sidecar/freshness", "sidecar/prefetch"}},
	{[]string{"sidecar/namespace"}, []string{"origin", "internal/*"}},
	{[]string{"sidecar/freshness"}, []string{"formats", "internal/*"}},
	{[]string{"sidecar/prefetch"}, []string{"formats", "internal/*"}},
	{[]string{"sidecar/admin"}, []string{"internal/*"}},
	{[]string{"sidecar/metadata"}, []string{"origin", "sidecar/freshness"}},
	{[]string{"sidecar/rpc"}, []string{"api/*", "cache", "cache/segfile", "formats", "origin", "sidecar", "sidecar/freshness", "internal/*"}},
	{[]string{"sidecar/peers"}, []string{"affinity/ring", "api/*", "cache", "cache/segfile", "origin", "sidecar", "sidecar/freshness"}},
	{[]string{"client"}, []string{"api/*", "cache/segfile", "internal/*"}},
	{[]string{"client/fleet"}, []string{"client", "affinity/follow", "affinity/ring", "api/*"}},
	{[]string{"api/*"}, nil},
	{[]string{"api/wire"}, []string{"api/v1"}},
	{[]string{"sidecar/config"}, []string{"internal/*", "sidecar/freshness"}},
	{[]string{"cmd/alio", "cmd/alio/*"}, []string{all}},
	{[]string{"itest", "benchmarks"}, []string{all, "itest", "itest/*", "benchmarks", "benchmarks/*"}},
}

// private may be imported by nothing outside themselves.
var private = []string{"itest", "benchmarks"}

// testHelpers is what any package's tests may import: fakes and suites that hold no product code, and the contracts they speak of.
var testHelpers = []string{"origin", "origin/*", "internal/*"}

// testParts is what a package's tests put together besides, where a fake would have to be the part itself.
var testParts = map[string][]string{
	"sidecar/rpc":   {"cache/disk"},       // clients read the segments that it writes
	"affinity":      {"affinity/follow"},  // who watches it
	"sidecar/peers": {"formats"},          // what classes are called
	"cache":         {"cache/disk"},       // the example of embedded use
	"sidecar":       {"sidecar/metadata"}, // what is known after a restart is what it has written
}

func matches(pattern, dir string) bool {
	if below, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(dir, below+"/")
	}
	return pattern == dir
}

// rowOf finds the row that names a package most closely; for itest and benchmarks, those below count too.
func rowOf(dir string) (Allowance, bool) {
	for _, p := range private {
		if strings.HasPrefix(dir, p+"/") {
			dir = p
		}
	}
	best, length := Allowance{}, -1
	for _, row := range Imports {
		for _, p := range row.Packages {
			if matches(p, dir) && len(p) > length {
				best, length = row, len(p)
			}
		}
	}
	return best, length >= 0
}

func isPrivate(dir string) bool {
	return slices.ContainsFunc(private, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") })
}

func (a Allowance) allows(dir string) bool {
	return slices.ContainsFunc(a.May, func(p string) bool { return matches(p, dir) || p == all && !isPrivate(dir) })
}

func checkImports(r *Repo) []string {
	var found []string
	for dir, files := range r.packages() {
		if dir == "." {
			continue // no product package lives there
		}
		row, ok := rowOf(dir)
		if !ok {
			found = append(found, fmt.Sprintf("%s: no row of the import table names this package: add it to internal/lint/imports.go and ARCHITECTURE.md", dir))
			continue
		}
		for _, f := range files {
			for _, spec := range f.AST.Imports {
				target, ours := trimModule(strings.Trim(spec.Path.Value, `"`))
				if ours && strings.HasSuffix(target, "test") && !f.Test && !strings.HasSuffix(dir, "test") && !isPrivate(dir) {
					found = append(found, f.at(spec, "%s is for tests, and %s is product code", target, dir))
				}
				if !ours || target == dir || row.allows(target) || f.Test && (Allowance{May: append(slices.Clone(testHelpers), testParts[dir]...)}).allows(target) {
					continue
				}
				found = append(found, f.at(spec, "%s may not import %s", dir, target))
			}
		}
	}
	return found
}

// library says where an import path, or what lies below it, may be used.
type library struct {
	path   string
	in     []string // packages
	inTest bool     // and in any test
}

var libraries = []library{
	{"github.com/aws/", []string{"s3", "s3/*"}, true},
	{"cloud.google.com/", []string{"gcs"}, false},
	{"google.golang.org/api/", []string{"gcs"}, false},
	{"github.com/colinmarc/hdfs/", []string{"hdfs"}, true},
	{"github.com/jcmturner/", []string{"hdfs", "hdfs/*"}, true},
	{"github.com/apache/arrow/", []string{"formats/parquet/parquettest"}, true},
	{"github.com/xitongsys/", []string{"formats/parquet/parquettest"}, true},
	{"github.com/trinodb/", nil, false},
	{"github.com/spf13/", []string{"cmd/alio"}, false},
	{"gopkg.in/yaml.v3", []string{"internal/config"}, false},
	{"github.com/cockroachdb/", []string{"sidecar/metadata"}, false},
	{"go.uber.org/goleak", nil, true},
	{"go.etcd.io/", []string{"affinity/membership"}, true},
}

func checkLibraries(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		if f.Dir == "." || isPrivate(f.Dir) {
			continue
		}
		for _, spec := range f.AST.Imports {
			for _, lib := range libraries {
				if strings.HasPrefix(strings.Trim(spec.Path.Value, `"`), lib.path) && !(lib.inTest && f.Test) && !(Allowance{May: lib.in}).allows(f.Dir) {
					found = append(found, f.at(spec, "%s does not belong here: only in %v", lib.path, lib.in))
				}
			}
		}
	}
	return found
}

var quoted = regexp.MustCompile("`([^`]+)`")

// checkArchitecture compares the table of ARCHITECTURE.md ("| `package` | may import |" below its heading) with Imports, row by row.
func checkArchitecture(r *Repo) []string {
	const file = "ARCHITECTURE.md"
	text, ok := r.Texts[file]
	if !ok {
		return []string{file + ": is missing"}
	}
	_, table, ok := strings.Cut(string(text), "may import of ours |")
	if !ok {
		return []string{file + `: has no table with the heading "| package | may import of ours |"`}
	}
	var shown []string
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 2 {
			if !strings.HasPrefix(line, "|") {
				break
			}
			continue
		}
		if !strings.Contains(cells[0], "`") {
			continue
		}
		shown = append(shown, names(cells[0])+" -> "+mayOf(cells[1]))
	}
	var held []string
	for _, row := range Imports {
		held = append(held, "`"+strings.Join(row.Packages, "`, `")+"` -> "+row.may())
	}
	return differences(file, shown, held)
}

func names(cell string) string {
	var out []string
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		out = append(out, "`"+m[1]+"`")
	}
	return strings.Join(out, ", ")
}

// mayOf reads the second cell: "nothing", "everything …", or names.
func mayOf(cell string) string {
	if strings.HasPrefix(cell, all) {
		return all
	}
	return names(cell)
}

func (a Allowance) may() string {
	switch {
	case slices.Contains(a.May, all):
		return all
	case len(a.May) == 0:
		return ""
	}
	return "`" + strings.Join(a.May, "`, `") + "`"
}

func differences(file string, shown, held []string) []string {
	var found []string
	for _, s := range shown {
		if !slices.Contains(held, s) {
			found = append(found, fmt.Sprintf("%s: shows %s, which internal/lint/imports.go does not have", file, s))
		}
	}
	for _, h := range held {
		if !slices.Contains(shown, h) {
			found = append(found, fmt.Sprintf("%s: does not show %s of internal/lint/imports.go", file, h))
		}
	}
	return found
}
