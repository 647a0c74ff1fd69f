package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

type leaf struct {
	Name  string    `yaml:"name"`
	Count int       `yaml:"count"`
	Share float64   `yaml:"share"`
	On    bool      `yaml:"on"`
	Room  Size      `yaml:"room"`
	Wait  Duration  `yaml:"wait"`
	Key   Secret    `yaml:"key"`
	ID    EnvString `yaml:"id"`
	Tags  []string  `yaml:"tags"`
}

func (l *leaf) SetDefaults() { l.Count = 7 }

type tree struct {
	A     leaf            `yaml:"a"`
	Items []leaf          `yaml:"items"`
	Named map[string]leaf `yaml:"named"`
	Limit int             `yaml:"limit"`
}

func env(name string) (string, bool) {
	v, ok := map[string]string{"KEY": "s3cret", "EMPTY": ""}[name]
	return v, ok
}

func TestDecodeEverything(t *testing.T) {
	text := `
a: &base
  name: 2024
  count: -3
  share: 0.25
  on: true
  room: 10GiB
  wait: 10s
  key: ${KEY}
  id: ${KEY}
  tags: [x, no]
items:
  - name: first
  - *base
named:
  lake: {wait: forever, key: plain}
`
	out := tree{Limit: 5}
	if _, err := Decode("f.yaml", []byte(text), &out, env); err != nil {
		t.Fatal(err)
	}
	a := leaf{Name: "2024", Count: -3, Share: .25, On: true, Room: 10 * GiB, Wait: Duration(10 * time.Second), Key: "s3cret", ID: "s3cret", Tags: []string{"x", "no"}}
	want := tree{A: a, Items: []leaf{{Name: "first", Count: 7}, a}, Named: map[string]leaf{"lake": {Count: 7, Wait: Forever, Key: "plain"}}, Limit: 5}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("got\n%+v\nwant\n%+v", out, want)
	}
}

func TestDecodeNothingKeepsDefaults(t *testing.T) {
	for _, text := range []string{"", "# a comment\n", "---\n", "a:\nitems:\nnamed:\n", "null\n"} {
		out := tree{A: leaf{Count: 1}, Limit: 5}
		if _, err := Decode("f.yaml", []byte(text), &out, env); err != nil || !reflect.DeepEqual(out, tree{A: leaf{Count: 1}, Limit: 5}) {
			t.Errorf("%q: %+v, %v", text, out, err)
		}
	}
}

func TestEveryFaultIsToldAtOnce(t *testing.T) {
	text := `a:
  nmae: x
  count: many
  share: lots
  on: yes
  room: 10 gigs
  wait: -1s
  key: ${MISSING}
  tags: x
items: {a: 1}
named:
  lake:
    roam: 1
    name: [a]
    count: 99999999999999999999
  lake: {}
limit:
wiat: 3
zzz: 1
`
	var out tree
	_, err := Decode("f.yaml", []byte(text), &out, env)
	want := []string{
		`f.yaml:2: a.nmae: unknown key; did you mean "a.name"?`,
		`f.yaml:3: a.count: wants a whole number, not "many"`,
		`f.yaml:4: a.share: wants a number, not "lots"`,
		`f.yaml:5: a.on: wants true or false, not "yes"`,
		`f.yaml:6: a.room: "10 gigs" is not a size: write bytes or a number with a unit, such as 512MB or 10GiB`,
		`f.yaml:7: a.wait: "-1s" is negative`,
		`f.yaml:8: a.key: the environment variable MISSING is not set: export it, or write the value here`,
		`f.yaml:9: a.tags: wants a list, not the value "x": write [a, b], or one "- item" per line`,
		`f.yaml:10: items: wants a list, not keys below it: write [a, b], or one "- item" per line`,
		`f.yaml:13: named.lake.roam: unknown key; did you mean "named.lake.room"?`,
		`f.yaml:14: named.lake.name: wants text, not a list`,
		`f.yaml:15: named.lake.count: wants a whole number, not "99999999999999999999"`,
		`f.yaml:16: named.lake: given twice (first in line 12): keep one`,
		`f.yaml:17: limit: has no value: give it one, or remove the line`,
		`f.yaml:18: wiat: unknown key; known here: a, items, limit, named`,
		`f.yaml:19: zzz: unknown key; known here: a, items, limit, named`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestSingleFaults(t *testing.T) {
	for text, want := range map[string]string{
		"a:\n\tname: x\n":                "f.yaml:2: not YAML: found character that cannot start any token",
		"a: [":                           "not YAML:",
		"[1]\n":                          "f.yaml:1: wants keys below it, not a list",
		"limit: 1\n---\nlimit: 2\n":      "f.yaml:2: a second document starts here",
		"limit: 1\n---\na: [\n":          "not YAML:",
		"wait: 10s\n":                    `did you mean "a.wait" or "items[].wait" or "named.<name>.wait"?`,
		"a: {key: '${KEY'}\n":            "a.key: starts like an environment reference but is none",
		"a: {key: '${KEY}x'}\n":          "a.key: starts like an environment reference but is none",
		"a: {key: '${EMPTY}'}\n":         "a.key: the environment variable EMPTY is not set",
		"a: {<<: {name: x}}\n":           "a.<<: merge keys are not supported",
		"a: {on: 1}\n":                   `a.on: wants true or false, not "1"`,
		"a: {on: 't'}\n":                 `a.on: wants true or false, not "t"`,
		"a: {on: !!bool ''}\n":           `a.on: wants true or false, not ""`,
		"? [x]\n: 1\n":                   "has a key that is no plain name",
		"named: &n {lake: *n}\n":         "named.lake.lake: unknown key",
		"a: {room: [1]}\n":               "a.room: wants a size, not a list",
		"a: {key: {x: 1}}\n":             "a.key: wants a secret, not keys below it",
		"a: {share: .inf, count: 1.5}\n": `a.count: wants a whole number, not "1.5"`,
	} {
		var out tree
		_, err := Decode("f.yaml", []byte(text), &out, env)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestFaultsShowNoSecret(t *testing.T) {
	var out tree
	_, err := Decode("f.yaml", []byte("a: {key: '${hunter2'}\n"), &out, env)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want a fault without the value", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "a: {name: x}", "a: &b [*b]", "? {a: b}\n: c", "items: [{}, null, [1]]", "a:\n  on: !!bool maybe\n", "named: {x: {tags: [[]]}}", "--- !!binary x\n", "\x00", "a: *b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out tree
		src, err := Decode("f", []byte(text), &out, env)
		if src == nil {
			t.Fatal("no source")
		}
		if _, isFaults := err.(Faults); err != nil && !isFaults {
			t.Fatalf("the error is a %T", err)
		}
	})
}
