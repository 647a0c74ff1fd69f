package config_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/freshness"
)

var update = flag.Bool("update", false, "write docs/config.md")

const referenceFile = "../../docs/config.md"

// TestReferenceIsCurrent compares docs/config.md with the structs and their comments; with -update it writes the page.
func TestReferenceIsCurrent(t *testing.T) {
	want := reference(t)
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil || string(got) != want {
		t.Errorf("docs/config.md is not what the structs say (%v): run go generate ./sidecar/config", err)
	}
}

// comments maps Type.Field to the field's comment in config.go.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"config.go", "affinity.go", "peers.go", "grpc.go", "mount.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		fieldComments(file, out)
	}
	return out
}

// fieldComments adds the comments of a file's struct fields, by type and field.
func fieldComments(file *ast.File, out map[string]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					out[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
		}
		return true
	})
}

func reference(t *testing.T) string {
	doc := comments(t)
	values := defaultsByPath()
	var b strings.Builder
	b.WriteString(head)
	section := ""
	units.Walk(reflect.TypeFor[config.Config](), func(k units.Key) {
		text := doc[k.Parent.Name()+"."+k.Field.Name]
		if text == "" {
			t.Errorf("%s.%s has no comment: the reference page needs one", k.Parent.Name(), k.Field.Name)
		}
		if !strings.Contains(k.Path, ".") {
			section = k.Path
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", section, text)
		}
		if k.Leaf {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Path, units.TypeName(k.Field.Type), values[k.Path], text)
		} else if strings.Contains(k.Path, ".") {
			fmt.Fprintf(&b, "| `%s` | %s | | %s |\n", k.Path, units.TypeName(k.Field.Type), text)
		}
	})
	b.WriteString(rulesHead)
	for i, r := range freshness.BuiltIn() {
		kinds := make([]string, len(r.Answers))
		for j, k := range r.Answers {
			kinds[j] = k.String()
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s |\n", i+1, r.Path, strings.Join(kinds, ", "), units.Duration(r.MaxAge), r.Why)
	}
	return b.String()
}

// defaultsByPath prints each leaf's default as a file would have it.
func defaultsByPath() map[string]string {
	c := config.Default()
	c.Mounts = map[string]config.Mount{"<name>": config.DefaultMount()}
	c.Freshness.Rules = make([]config.Rule, 1)
	c.Prefetch.Rules = make([]config.PrefetchRule, 1)
	c.Doors.S3.Credentials = make([]config.Credential, 1)
	out := map[string]string{}
	var collect func(path string, v reflect.Value)
	collect = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				collect(units.Join(path, units.FieldName(v.Type().Field(i))), v.Field(i))
			}
		case reflect.Map:
			collect(path+".<name>", v.MapIndex(reflect.ValueOf("<name>")))
		case reflect.Slice:
			if v.Len() > 0 {
				collect(path+"[]", v.Index(0))
			}
		default:
			if text := fmt.Sprint(v.Interface()); text != "" {
				out[path] = "`" + text + "`"
			}
		}
	}
	collect("", reflect.ValueOf(*c))
	return out
}

const head = "<!-- Written by `go generate ./sidecar/config` from the comments in sidecar/config/config.go. A test compares. -->\n\n" + `# Configuration

` + "`alio sidecar --config FILE`" + ` reads one YAML file over the defaults; flags win over the file. Every key may be left out. An unknown key,
a key given twice, a wrong type, an impossible value: each is an error that names the line and the way out, all of them at once, before
anything starts. ` + "`alio sidecar --config FILE --check`" + ` only checks, and prints what would be in force, secrets masked.

**Sizes** are bytes, or a number with a unit: ` + "`512MB`, `10GiB`" + ` (kB, MB, GB, TB count in thousands; KiB, MiB, GiB, TiB in 1024s).
**Durations** are ` + "`250ms`, `10s`, `2h`, `7d`, `0`" + ` or ` + "`forever`" + `.
**Secrets** (and the key ids beside them) may be written as ` + "`${NAME}`" + `, as a whole value, to take them from the environment. Nothing else in the
file is expanded. Secrets are never printed.

` + "```yaml" + `
mounts:
  lake:
    uri: s3://bucket/warehouse
    s3: {region: eu-west-1}
cache:
  dir: /var/cache/alio
  size: 500GiB
freshness:
  rules:
    - {path: "lake/staging/**", max_age: 0}
` + "```" + `
`

const rulesHead = `
## The built-in freshness rules

They stand after your own, and the first rule that matches decides. A confirmation dates from when the origin was asked. At 0 only requests that
overlap in time share one answer; what each choice costs is a request more or an answer that much older.

| | path | answers | max_age | why |
| --- | --- | --- | --- | --- |
`
