package lint

import (
	"strings"
	"testing"
)

func load(t *testing.T) *Repo {
	t.Helper()
	repo, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(repo.Files) < 50 {
		t.Fatalf("only %d Go files were found: the rules would see nothing", len(repo.Files))
	}
	return repo
}

func TestRepository(t *testing.T) {
	repo := load(t)
	t.Log(Measure(repo))
	for _, rule := range Rules {
		t.Run(rule.Name, func(t *testing.T) {
			if found := rule.Run(repo); len(found) > 0 {
				t.Errorf("%s:\n%s", rule.Says, strings.Join(found, "\n"))
			}
		})
	}
}

// architecture prints the import table as ARCHITECTURE.md has it.
func architecture() string {
	var b strings.Builder
	b.WriteString("# A\n\n| package | may import of ours |\n| --- | --- |\n")
	for _, row := range Imports {
		may := row.may()
		if may == "" {
			may = "nothing"
		}
		b.WriteString("| `" + strings.Join(row.Packages, "`, `") + "` | " + may + " |\n")
	}
	return b.String()
}

const leakMain = "package x\n\nimport \"go.uber.org/goleak\"\n\nfunc TestMain(m *testing.M) { goleak.VerifyTestMain(m) }\n"

// lines returns a function of n lines.
func function(name string, n int) string {
	return "func " + name + "() {\n" + strings.Repeat("\tx()\n", n-2) + "}\n"
}

func imp(path string) string { return "package x\n\nimport _ \"" + path + "\"\n" }

const anOrigin = "package a\n\nfunc (o *O) Stat() {}\nfunc (o *O) Read() {}\nfunc (o O) List() {}\nfunc (o *O) ID() {}\n"

var good = strings.Repeat(function("short", 3), 20)

// violations are small texts, one file each, that break a rule, beside neighbours that are right.
var violations = []struct {
	rule, path, text string
	want             string // in the one finding; "" for none
}{
	{"imports", "s3/a.go", imp(Module + "/cache"), "s3 may not import cache"},
	{"imports", "s3/a.go", imp(Module + "/origin"), ""},
	{"imports", "s3/a.go", imp(Module + "/origin/retry"), "s3 may not import origin/retry"},
	{"imports", "s3/a_test.go", imp(Module + "/origin/origintest"), ""},
	{"imports", "s3/endpoint/a.go", imp(Module + "/s3"), "s3/endpoint may not import s3"},
	{"imports", "cache/policy/a.go", imp(Module + "/internal/vfs"), "may not import"},
	{"imports", "cache/a.go", imp(Module + "/formats"), "cache may not import formats"},
	{"imports", "cache/a.go", imp(Module + "/cache/disk"), "cache may not import cache/disk"},
	{"imports", "formats/parquet/a.go", imp(Module + "/origin"), "may not import origin"},
	{"imports", "formats/a.go", imp(Module + "/formats/parquet"), ""},
	{"imports", "sidecar/a.go", imp(Module + "/cache/disk"), "sidecar may not import cache/disk"},
	{"imports", "sidecar/a.go", imp(Module + "/s3"), "sidecar may not import s3"},
	{"imports", "cmd/alio/a.go", imp(Module + "/s3"), ""},
	{"imports", "cmd/alio/a.go", imp(Module + "/itest/harness"), "may not import itest/harness"},
	{"imports", "itest/trino/a.go", imp(Module + "/itest/harness"), ""},
	{"imports", "formats/parquet/a.go", imp(Module + "/formats/parquet/parquettest"), "is for tests"},
	{"imports", "formats/parquet/a_test.go", imp(Module + "/formats/parquet/parquettest"), ""},
	{"imports", "newcomer/a.go", imp("fmt"), "no row of the import table"},
	{"libraries", "cache/a.go", imp("github.com/aws/aws-sdk-go-v2/aws"), "does not belong here"},
	{"libraries", "s3/a.go", imp("github.com/aws/aws-sdk-go-v2/aws"), ""},
	{"libraries", "formats/parquet/a.go", imp("github.com/apache/arrow/go/v15/parquet"), "does not belong here"},
	{"libraries", "formats/parquet/a_test.go", imp("github.com/apache/arrow/go/v15/parquet"), ""},
	{"architecture", "ARCHITECTURE.md", strings.Replace(architecture(), "`s3` | `origin`", "`s3` | `cache`", 1), "imports.go"},
	{"architecture", "ARCHITECTURE.md", architecture(), ""},
	{"architecture", "README.md", "", "ARCHITECTURE.md: is missing"},
	{"architecture", "ARCHITECTURE.md", "# none", "has no table"},
	{"package-docs", "a/a.go", "// Package a is\n// two lines.\npackage a\n", ""},
	{"package-docs", "a/a.go", "// Package a is one line.\npackage a\n", "no file opens with"},
	{"package-docs", "a/a.go", "package a\n", "no file opens with"},
	{"package-docs", "cmd/x/a.go", "// Package main is\n// two lines.\npackage main\n", ""},
	{"package-docs", "cmd/x/a.go", "// Main is\n// two lines.\npackage main\n", "no file opens with"},
	{"package-docs", "cmd/x/a.go", "// Command x is\n// two lines.\npackage main\n", ""},
	{"names", "a/a.go", "package a\n\nfunc F() {}\n", "F is exported"},
	{"names", "a/a.go", "package a\n\ntype T struct{}\n", "T is exported"},
	{"names", "a/a.go", "package a\n\nvar V = 1\n", "V is exported"},
	{"names", "a/a.go", "package a\n\n// T is.\ntype T[K any] struct{}\n\nfunc (t *T[K]) M() {}\n", "M is exported"},
	{"names", "a/a.go", "package a\n\ntype t struct{}\n\nfunc (t) M() {}\n", ""},
	{"names", "a/a.go", "package a\n\n// F does.\nfunc F() {}\n\n// All.\nconst (\n\tA = 1\n)\n\nconst B = 2 // bytes\n", ""},
	{"names", "a/a_test.go", "package a\n\nfunc TestF() {}\n", ""},
	{"size", "a/a.go", "package a\n" + strings.Repeat("//\n", 500), "501 lines"},
	{"size", "a/a.go", "package a\n" + strings.Repeat("//\n", 499), ""},
	{"size", "a/a.go", "package a\n\n" + good + function("long", 81), "long has 81 lines"},
	{"size", "a/a.go", "package a\n\n" + good + function("long", 80), ""},
	{"size", "a/a.go", "package a\n\n" + function("a", 41) + function("b", 3), "1 of 2 functions"},
	{"size", "a/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage a\n\n" + function("long", 90), ""},
	{"sleep", "a/a_test.go", "package a\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "a test sleeps"},
	{"sleep", "a/a_test.go", "package a\n\nimport zz \"time\"\n\nvar f = zz.Sleep\n", "a test sleeps"},
	{"sleep", "a/a.go", "package a\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", ""},
	{"skip", "a/a_test.go", "package a\n\nfunc f() { t.Skipf(\"\") }\n", "is skipped"},
	{"skip", "itest/harness/a.go", "package a\n\nfunc f() { tb.Skip() }\n", "is skipped"},
	{"skip", "a/a_test.go", "package a\n\nfunc f() { reader.Skip(3) }\n", ""},
	{"vfs", "cache/disk/a.go", "package a\n\nimport \"os\"\n\nvar f = os.Open\n", "past internal/vfs"},
	{"vfs", "cache/a.go", "package a\n\nimport \"golang.org/x/sys/unix\"\n\nvar f = unix.Preadv2\n", "past internal/vfs"},
	{"vfs", "cache/a.go", "package a\n\nimport \"io/ioutil\"\n\nvar f = ioutil.Anything\n", "past internal/vfs"},
	{"vfs", "cache/a.go", "package a\n\nimport \"os\"\n\nvar f = os.Getpid\n", ""},
	{"vfs", "internal/vfs/a.go", "package a\n\nimport \"os\"\n\nvar f = os.Open\n", ""},
	{"leaks", "a/a.go", "package a\n\nfunc f() { go f() }\n", "starts a goroutine"},
	{"leaks", "a/a.go", "package a\n\nfunc f() { wg.Go(f) }\n", "starts a goroutine"},
	{"leaks", "a/a_test.go", "package a\n\nfunc f() { go f() }\n", ""},
	{"markers", "a/a.go", "package a\n\n// " + marks[0] + ": later\n", "do it"},
	{"markers", "a/run.sh", "echo # " + marks[1] + "\n", "do it"},
	{"markers", "a/a.go", "package a\n\n// " + marks[0] + "S is a name, mktemp x." + marks[2] + "XX\n", ""},
	{"markers", "a.md", marks[0], ""},
	{"interfaces", "cache/a.go", "package a\n\ntype I interface {\n\tA()\n\tB()\n\tC()\n\tD()\n\tE()\n\tF()\n}\n", "I has 6 methods"},
	{"interfaces", "s3/endpoint/a.go", "package a\n\ntype Backend interface{ A() }\n", "the design has 5"},
	{"interfaces", "cache/a.go", "package a\n\ntype I interface{ A() }\n", ""},
	{"conformance", "gcs/a.go", anOrigin, "gcs: O is an origin"},
	{"conformance", "gcs/a.go", strings.Replace(anOrigin, "func (o *O) ID() {}\n", "", 1), ""},
	{"registerer", "a/a.go", "package a\n\nimport \"github.com/prometheus/client_golang/prometheus\"\n\nfunc f() { prometheus.MustRegister(nil) }\n", "global registry"},
	{"registerer", "a/a.go", "package a\n\nimport \"github.com/prometheus/client_golang/prometheus/promauto\"\n\nvar x = promauto.NewCounter\n", "global registry"},
	{"registerer", "a/a.go", "package a\n\nimport \"github.com/prometheus/client_golang/prometheus/promauto\"\n\nvar x = promauto.With\n", ""},
	{"format", "a/a.go", "package  a\n", "is not formatted"},
	{"format", "a/a.go", "package a\n", ""},
}

// TestRulesFindViolations shows each rule failing on a small text, and passing on its neighbour that is right.
func TestRulesFindViolations(t *testing.T) {
	for _, c := range violations {
		expect(t, c.rule, map[string][]byte{c.path: []byte(c.text)}, c.want)
	}
	for _, test := range []string{"gcs/a_test.go", "itest/gcs_test.go"} {
		text := "package x\n\nimport (\n\t_ \"" + Module + "/gcs\"\n\t_ \"" + Module + "/origin/origintest\"\n)\n"
		expect(t, "conformance", map[string][]byte{"gcs/a.go": []byte(anOrigin), test: []byte(text)}, "")
	}
	expect(t, "leaks", map[string][]byte{"a/a.go": []byte("package a\n\nfunc f() { go f() }\n"), "a/main_test.go": []byte(leakMain)}, "")
}

// expect runs one rule, which must find want and nothing else.
func expect(t *testing.T, name string, texts map[string][]byte, want string) {
	t.Helper()
	repo, err := Parse(texts)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, rule := range Rules {
		if rule.Name != name {
			continue
		}
		found := strings.Join(rule.Run(repo), "\n")
		if (want == "") != (found == "") || !strings.Contains(found, want) {
			t.Errorf("%s on\n%s\nfound %q, want %q", name, texts, found, want)
		}
		return
	}
	t.Errorf("there is no rule %q", name)
}

// TestEveryRuleIsShownToFail keeps the table above complete.
func TestEveryRuleIsShownToFail(t *testing.T) {
	repo, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range repo.Files {
		if f.Path != "lint_test.go" {
			continue
		}
		for _, rule := range Rules {
			if strings.Count(string(f.Source), `{"`+rule.Name+`", "`) < 2 {
				t.Errorf("rule %s is not shown to fail and to pass", rule.Name)
			}
		}
	}
}
