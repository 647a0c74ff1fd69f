package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"slices"
	"strings"
)

// Measure counts what the size budget speaks of. Generated files do not count.
func Measure(r *Repo) Sizes {
	var s Sizes
	for _, f := range r.Files {
		if f.Generated {
			continue
		}
		s.Files++
		if n := fileLines(f); n > s.LongestFile {
			s.LongestFile, s.LongestFileName = n, f.Path
		}
		for _, d := range functions(f) {
			s.Functions++
			n := f.lines(d)
			if n > FunctionLines {
				s.LongFunctions++
			}
			if n > s.LongestFunction {
				s.LongestFunction, s.LongestFunctionName = n, f.Path+" "+d.Name.Name
			}
		}
	}
	return s
}

func fileLines(f *File) int { return bytes.Count(f.Source, []byte("\n")) }

func functions(f *File) []*ast.FuncDecl {
	var out []*ast.FuncDecl
	for _, d := range f.AST.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			out = append(out, fn)
		}
	}
	return out
}

func checkSize(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		if f.Generated {
			continue
		}
		if n := fileLines(f); n > FileLines {
			found = append(found, fmt.Sprintf("%s: %d lines, and %d is the limit: split it by idea", f.Path, n, FileLines))
		}
		for _, d := range functions(f) {
			if n := f.lines(d); n > FunctionLimit {
				found = append(found, f.at(d, "%s has %d lines, and %d is the limit", d.Name.Name, n, FunctionLimit))
			}
		}
	}
	if s := Measure(r); float64(s.LongFunctions) > LongShare*float64(s.Functions) {
		found = append(found, fmt.Sprintf("%d of %d functions are longer than %d lines, and %.0f %% is the limit", s.LongFunctions, s.Functions, FunctionLines, 100*LongShare))
	}
	return found
}

func checkSleep(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		if !f.Test {
			continue
		}
		f.uses(func(importPath, name string, n ast.Node) {
			if importPath == "time" && name == "Sleep" {
				found = append(found, f.at(n, "a test sleeps: use testing/synctest, or poll the condition to a deadline"))
			}
		})
	}
	return found
}

func checkSkip(r *Repo) []string {
	receivers := []string{"t", "b", "f", "tb", "rt", "st"}
	var found []string
	for _, f := range r.Files {
		if !f.Test && !isPrivate(f.Dir) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(receivers, x.Name) {
				found = append(found, f.at(n, "a test is skipped: a test that should run must run, or fail and say what it lacks"))
			}
			return true
		})
	}
	return found
}

// fileCalls are what os and the system packages offer to reach files; "" as the only name bans the whole package.
var fileCalls = map[string][]string{
	"io/ioutil": {""},
	"syscall": {"Open", "Openat", "Creat", "Read", "Write", "Pread", "Pwrite", "Close", "Fsync", "Fdatasync", "Ftruncate", "Truncate", "Unlink", "Unlinkat", "Rename",
		"Renameat", "Mkdir", "Mkdirat", "Rmdir", "Fallocate", "Flock", "Stat", "Fstat", "Lstat", "Statfs", "Link", "Symlink"},
	"os": {"Open", "OpenFile", "Create", "CreateTemp", "OpenRoot", "OpenInRoot", "NewFile", "ReadFile", "WriteFile", "Remove", "RemoveAll", "Rename", "Mkdir", "MkdirAll",
		"MkdirTemp", "Stat", "Lstat", "ReadDir", "Truncate", "Link", "Symlink", "Readlink", "Chmod", "Chown", "Chtimes", "CopyFS", "DirFS"},
}

func checkVFS(r *Repo) []string {
	calls := map[string][]string{}
	for path, names := range fileCalls {
		calls[path] = names
	}
	calls["golang.org/x/sys/unix"] = append([]string{"Preadv", "Preadv2", "Pwritev", "Pwritev2", "Renameat2", "SyncFileRange", "Fstatfs", "Fadvise", "OpenatE"}, calls["syscall"]...)
	var found []string
	for _, f := range r.Files {
		if f.Test || f.Dir != "cache" && !strings.HasPrefix(f.Dir, "cache/") {
			continue
		}
		f.uses(func(importPath, name string, n ast.Node) {
			if names := calls[importPath]; slices.Contains(names, name) || slices.Contains(names, "") {
				found = append(found, f.at(n, "%s.%s reaches a file past internal/vfs, where no test can fail or crash it", importPath, name))
			}
		})
	}
	return found
}

// startsGoroutine finds go statements and calls x.Go(…), as of errgroup.Group and sync.WaitGroup.
func startsGoroutine(f *File) (where ast.Node) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			where = n
		case *ast.CallExpr:
			if sel, ok := x.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" && len(x.Args) == 1 {
				where = n
			}
		}
		return where == nil
	})
	return where
}

func checkLeaks(r *Repo) []string {
	var found []string
	for dir, files := range r.packages() {
		checked, started := false, ""
		for _, f := range files {
			if f.Test {
				f.uses(func(importPath, name string, _ ast.Node) {
					checked = checked || importPath == "go.uber.org/goleak" && name == "VerifyTestMain"
				})
			} else if n := startsGoroutine(f); n != nil {
				started = f.at(n, "%s starts a goroutine, and no TestMain of it calls goleak.VerifyTestMain", dir)
			}
		}
		if started != "" && !checked {
			found = append(found, started)
		}
	}
	return found
}

func checkRegisterer(r *Repo) []string {
	const prom = "github.com/prometheus/client_golang/prometheus"
	var found []string
	for _, f := range r.Files {
		f.uses(func(importPath, name string, n ast.Node) {
			global := []string{"MustRegister", "Register", "Unregister", "DefaultRegisterer", "DefaultGatherer"}
			if importPath == prom && slices.Contains(global, name) || importPath == prom+"/promauto" && name != "With" ||
				importPath == prom+"/promhttp" && name == "Handler" {
				found = append(found, f.at(n, "%s uses the global registry: take a Registerer in Options", name))
			}
		})
	}
	return found
}

func checkFormat(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		if pretty, err := format.Source(f.Source); err != nil || !bytes.Equal(pretty, f.Source) {
			found = append(found, f.Path+": is not formatted: run gofmt -w "+f.Path)
		}
	}
	return found
}
