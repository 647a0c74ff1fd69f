package lint

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

func checkPackageDocs(r *Repo) []string {
	var found []string
	for dir, files := range r.packages() {
		product := slices.DeleteFunc(slices.Clone(files), func(f *File) bool { return f.Test })
		if len(product) == 0 {
			continue
		}
		name := product[0].AST.Name.Name
		want := "Package " + name + " "
		good := slices.ContainsFunc(product, func(f *File) bool {
			text := f.AST.Doc.Text()
			begins := strings.HasPrefix(text, want) || name == "main" && strings.HasPrefix(text, "Command ")
			return begins && strings.Count(strings.TrimSpace(text), "\n") >= 1
		})
		if !good {
			found = append(found, fmt.Sprintf("%s: no file opens with a paragraph %q of more than one line", dir, want+"…"))
		}
	}
	return found
}

// wellKnown methods say what they do by their names.
var wellKnown = []string{"Error", "String", "Unwrap", "Len", "Less", "Swap"}

func checkNames(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		if f.Test || f.Generated || f.AST.Name.Name == "main" {
			continue
		}
		for _, decl := range f.AST.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(wellKnown, d.Name.Name)) {
					found = append(found, f.at(d, "%s is exported and has no comment", d.Name.Name))
				}
			case *ast.GenDecl:
				found = append(found, undocumented(f, d)...)
			}
		}
	}
	return found
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func undocumented(f *File, d *ast.GenDecl) []string {
	var found []string
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				found = append(found, f.at(s, "%s is exported and has no comment", s.Name.Name))
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					found = append(found, f.at(s, "%s is exported and has no comment", name.Name))
				}
			}
		}
	}
	return found
}

// contracts are the packages whose exported interfaces others implement.
var contracts = []string{"origin", "cache", "formats", "s3/endpoint", "sidecar", "affinity/ring"}

const (
	maxMethods     = 5
	backendPackage = "s3/endpoint"
	backendName    = "Backend"
)

func checkInterfaces(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		if f.Test || !slices.Contains(contracts, f.Dir) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			i, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			methods := i.Methods.NumFields()
			if methods > maxMethods {
				found = append(found, f.at(spec, "%s has %d methods, and %d is the limit: split it by who calls it", spec.Name.Name, methods, maxMethods))
			}
			if f.Dir == backendPackage && spec.Name.Name == backendName && methods < maxMethods {
				found = append(found, f.at(spec, "%s has %d methods, and the design has %d", backendName, methods, maxMethods))
			}
			return true
		})
	}
	return found
}

// marks are what unfinished business is marked with; they are put together here so that this file does not hold them.
var marks = []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}

func checkMarkers(r *Repo) []string {
	var found []string
	for _, f := range r.Files {
		for _, group := range f.AST.Comments {
			for _, c := range group.List {
				for _, m := range marks {
					if hasWord(c.Text, m) {
						found = append(found, f.at(c, "the comment says %s: do it, or open an issue", m))
					}
				}
			}
		}
	}
	for name, text := range r.Texts {
		if strings.HasSuffix(name, ".md") {
			continue // prose may speak of such marks
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, m := range marks {
				if hasWord(line, m) {
					found = append(found, fmt.Sprintf("%s:%d: the line says %s: do it, or open an issue", name, i+1, m))
				}
			}
		}
	}
	return found
}

// hasWord finds m where no letter touches it.
func hasWord(text, m string) bool {
	letter := func(i int) bool {
		return i >= 0 && i < len(text) && (text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z')
	}
	for at := 0; ; {
		i := strings.Index(text[at:], m)
		if i < 0 {
			return false
		}
		if i += at; !letter(i-1) && !letter(i+len(m)) {
			return true
		}
		at = i + 1
	}
}
