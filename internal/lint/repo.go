package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of this repository's module.
const Module = "github.com/alio-lake/alio"

// File is one Go file.
type File struct {
	Path      string // from the repository's root, with slashes
	Dir       string // path.Dir of Path, "." for the root
	Test      bool
	Generated bool
	Source    []byte
	AST       *ast.File

	fset    *token.FileSet
	imports map[string]string // import path by local name
}

// Repo is the source that rules look at.
type Repo struct {
	Files []*File           // Go, in the order of their paths
	Texts map[string][]byte // other texts that rules read: scripts, build files, Markdown
}

// textNames are the files beside Go that rules look at, by their last extension or whole name.
var textNames = []string{".sh", ".py", ".java", ".proto", ".yaml", ".yml", ".service", ".md", "Makefile", "Dockerfile", "run"}

// skipped folders hold no source of ours, or text that is wrong on purpose.
var skipped = []string{".git", "bin", "dist", "target", "testdata", "node_modules", "__pycache__"}

// Load reads the module at root. Folders with a go.mod of their own are other modules, and are left out.
func Load(root string) (*Repo, error) {
	texts := map[string][]byte{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, statErr := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (slices.Contains(skipped, d.Name()) || statErr == nil) {
				return fs.SkipDir
			}
			return nil
		}
		ext, base := path.Ext(d.Name()), d.Name()
		if !d.Type().IsRegular() || ext != ".go" && !slices.Contains(textNames, ext) && !slices.Contains(textNames, base) {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		texts[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return Parse(texts)
}

// Parse makes a Repo of texts by path; those that end in .go are parsed.
func Parse(texts map[string][]byte) (*Repo, error) {
	r := &Repo{Texts: map[string][]byte{}}
	for name, source := range texts {
		if !strings.HasSuffix(name, ".go") {
			r.Texts[name] = source
			continue
		}
		f := &File{Path: name, Dir: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"), Source: source, fset: token.NewFileSet()}
		var err error
		if f.AST, err = parser.ParseFile(f.fset, name, source, parser.ParseComments); err != nil {
			return nil, err
		}
		f.Generated = ast.IsGenerated(f.AST)
		f.imports = importsOf(f.AST)
		r.Files = append(r.Files, f)
	}
	slices.SortFunc(r.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	return r, nil
}

// importsOf maps the name that code uses to the import path. Without types, the name of an unnamed import is taken to be its last
// element, or the one before a version.
func importsOf(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil && spec.Name.Name != "_" && spec.Name.Name != "." {
			name = spec.Name.Name
		}
		if _, taken := out[name]; taken || (spec.Name != nil && spec.Name.Name == "_") {
			name = p
		}
		out[name] = p
	}
	return out
}

// at words a finding at a node.
func (f *File) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.Path, f.fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...))
}

func (f *File) lines(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// uses calls found for every selector pkg.Name of an import path.
func (f *File) uses(found func(importPath, name string, n ast.Node)) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && f.imports[x.Name] != "" {
				found(f.imports[x.Name], sel.Sel.Name, sel)
			}
		}
		return true
	})
}

// packages groups the files by folder.
func (r *Repo) packages() map[string][]*File {
	out := map[string][]*File{}
	for _, f := range r.Files {
		out[f.Dir] = append(out[f.Dir], f)
	}
	return out
}
