package lint

import (
	"fmt"
	"go/ast"
	"slices"
)

const suite = "origin/origintest"

// originMethods make a type an origin.Origin, by name: the rules see syntax only.
var originMethods = []string{"Stat", "Read", "List", "ID"}

// checkConformance finds packages that hold an origin, and of which no test runs the suite: one in the package, or anywhere else that imports both
// (an origin of a real system is tested beside the server, in itest).
func checkConformance(r *Repo) []string {
	var found []string
	for dir, files := range r.packages() {
		if name := originType(files); name != "" && dir != suite && !isPrivate(dir) && !runsSuite(r, dir) {
			found = append(found, fmt.Sprintf("%s: %s is an origin, and no test of it runs %s", dir, name, suite))
		}
	}
	return found
}

// originType names a type of the package that has all the methods of an origin, outside tests.
func originType(files []*File) string {
	methods := map[string][]string{}
	for _, f := range files {
		if f.Test {
			continue
		}
		for _, d := range functions(f) {
			if d.Recv != nil {
				name := receiver(d)
				methods[name] = append(methods[name], d.Name.Name)
			}
		}
	}
	for name, has := range methods {
		if !slices.ContainsFunc(originMethods, func(m string) bool { return !slices.Contains(has, m) }) {
			return name
		}
	}
	return ""
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func runsSuite(r *Repo, dir string) bool {
	return slices.ContainsFunc(r.Files, func(f *File) bool {
		return f.Test && f.importsOurs(suite) && (f.Dir == dir || f.importsOurs(dir))
	})
}

func (f *File) importsOurs(dir string) bool {
	for _, p := range f.imports {
		if p == Module+"/"+dir {
			return true
		}
	}
	return false
}
