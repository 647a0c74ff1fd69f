package avro_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/avro"
	"github.com/alio-lake/alio/formats/faults"
)

var plain = regexp.MustCompile(`^[0-9A-Za-z]{1,200}$`)

// spell writes what Read visits as testdata/avro/make.py writes what Apache's reader reads.
func spell(file []byte) (string, error) {
	var out strings.Builder
	err := avro.Read(file, func(v avro.Value) error {
		switch {
		case v.Path == "":
			out.WriteString("end\n")
		case v.Text == nil:
			fmt.Fprintln(&out, v.Path, v.Int)
		case plain.Match(v.Text):
			fmt.Fprintf(&out, "%s %s\n", v.Path, v.Text)
		default:
			fmt.Fprintf(&out, "%s %x\n", v.Path, sha256.Sum256(v.Text))
		}
		return nil
	})
	return out.String(), err
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// expected is what Apache's reader found, by file.
func expected(t testing.TB, list string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split("\n"+string(read(t, "../testdata/avro/"+list)), "\nfile ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		out[name] = strings.TrimSuffix(text, "\n") + "\n"
	}
	return out
}

// TestAgainstApacheReader: every value of every form is where another reader finds it, in each codec, and in what pyiceberg, Iceberg on Spark and Hudi wrote.
func TestAgainstApacheReader(t *testing.T) {
	want := expected(t, "null.txt")["null.avro"]
	for _, name := range []string{"null", "deflate", "snappy", "zstandard", "bzip2"} {
		if got, err := spell(read(t, "../testdata/avro/"+name+".avro")); err != nil || got != want {
			t.Errorf("%s: %v; %d bytes, want %d", name, err, len(got), len(want))
		}
	}
	tables := expected(t, "tables.txt")
	for name, want := range tables {
		if got, err := spell(read(t, "../testdata/avro/"+name)); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
	if len(tables) < 20 {
		t.Errorf("only %d files of tables", len(tables))
	}
}

func TestVisitEndsIt(t *testing.T) {
	stop, n := errors.New("stop"), 0
	err := avro.Read(read(t, "../testdata/avro/null.avro"), func(avro.Value) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

// container makes a file of one uncompressed block.
func container(schema string, count int64, block []byte) []byte {
	long := func(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }
	text := func(b []byte, s string) []byte { return append(long(b, int64(len(s))), s...) }
	b := []byte(avro.Magic)
	b = long(b, 1)
	b = text(text(b, "avro.schema"), schema)
	b = long(b, 0)
	sync := "0123456789abcdef"
	b = append(b, sync...)
	b = long(long(b, count), int64(len(block)))
	return append(append(b, block...), sync...)
}

// TestLies: small files that promise much, or are not what they say, end with an error of a kind and take little.
func TestLies(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 200) + `"int"` + strings.Repeat("}", 200)
	wide := `{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]}`
	for i := range 20 {
		wide = fmt.Sprintf(`{"type":"record","name":"%c","fields":[{"name":"a","type":%s},{"name":"b","type":"%c"}]}`, 'B'+i, wide, 'A'+i)
	}
	long := fmt.Sprintf(`{"type":"record","name":"A","fields":[{"name":"%s","type":"int"}]}`, strings.Repeat("x", 2000))
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"empty":           {nil, faults.ErrCorrupt},
		"no magic":        {[]byte("Obj\x02"), faults.ErrCorrupt},
		"cut":             {[]byte(avro.Magic), faults.ErrCorrupt},
		"no schema":       {container("", 1, nil), faults.ErrCorrupt},
		"schema a number": {container("7", 1, nil), faults.ErrCorrupt},
		"unknown type":    {container(`"money"`, 1, nil), faults.ErrCorrupt},
		"no type":         {container(`{"items":"int"}`, 1, nil), faults.ErrCorrupt},
		"no items":        {container(`{"type":"array"}`, 1, nil), faults.ErrCorrupt},
		"no field names":  {container(`{"type":"record","name":"A","fields":[7]}`, 1, nil), faults.ErrCorrupt},
		"negative fixed":  {container(`{"type":"fixed","name":"A","size":-1}`, 1, nil), faults.ErrCorrupt},
		"recursive":       {container(`{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}`, 1, nil), faults.ErrTooLarge},
		"deep":            {container(deep, 1, nil), faults.ErrTooLarge},
		"doubling":        {container(wide, 1, nil), faults.ErrTooLarge},
		"long names":      {container(long, 1, nil), faults.ErrTooLarge},
		"large schema":    {container(strings.Repeat(" ", 2<<20)+`"int"`, 1, nil), faults.ErrTooLarge},
		"endless nulls":   {container(`"null"`, 1<<40, nil), faults.ErrTooLarge},
		"negative count":  {container(`"null"`, -5, nil), faults.ErrTooLarge},
		"many nulls":      {container(`{"type":"array","items":"null"}`, 3, []byte{0xfe, 0xff, 0xff, 0xff, 0x1f, 0}), faults.ErrTooLarge},
		"min count":       {container(`{"type":"array","items":"null"}`, 1, append(bytes.Repeat([]byte{0xff}, 9), 1, 0, 0)), faults.ErrTooLarge},
		"nulls of nulls":  {container(`{"type":"array","items":{"type":"array","items":"null"}}`, 1, bytes.Repeat([]byte{0x80, 0x80, 0x10}, 50)), faults.ErrTooLarge},
		"empty records":   {container(`{"type":"record","name":"A","fields":[]}`, 5<<20, nil), faults.ErrTooLarge},
		"text too long":   {container(`"string"`, 1, []byte{0x10, 'a'}), faults.ErrCorrupt},
		"text negative":   {container(`"string"`, 1, []byte{0x0f}), faults.ErrCorrupt},
		"branch beyond":   {container(`["null"]`, 1, []byte{2}), faults.ErrCorrupt},
		"number too long": {container(`"long"`, 1, bytes.Repeat([]byte{0xff}, 12)), faults.ErrCorrupt},
		"fixed beyond":    {container(`{"type":"fixed","name":"A","size":9}`, 1, []byte("12345678")), faults.ErrCorrupt},
		"other sync":      {append(container(`"null"`, 1, nil)[:len(container(`"null"`, 1, nil))-1], 'x'), faults.ErrCorrupt},
		"more blocks cut": {append(container(`"null"`, 1, nil), 2), faults.ErrCorrupt},
		"good":            {container(`["null","int"]`, 2, []byte{0, 2, 8}), nil},
	} {
		n := 0
		got := allocated(func() {
			if err := avro.Read(c.file, func(avro.Value) error { n++; return nil }); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		})
		if limit := uint64(4<<20 + 40*len(c.file)); got > limit {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(c.file))
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDamaged: each byte of a real file in turn is another (of the compressed ones each eleventh), or the file ends there: an answer or an error of a kind.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"null", "deflate", "snappy", "zstandard"} {
		file := read(t, "../testdata/avro/"+name+".avro")
		step := 23
		if name == "null" {
			step = 3
		}
		for i := 0; i < len(file); i += step {
			damaged := bytes.Clone(file)
			damaged[i] ^= byte(1 + i%255)
			judge(t, damaged)
			if i%7 == 0 {
				judge(t, file[:i])
			}
		}
	}
}

func judge(t *testing.T, file []byte) {
	t.Helper()
	err := avro.Read(file, func(avro.Value) error { return nil })
	if err != nil && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) {
		t.Fatalf("an error of no kind: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	paths, _ := filepath.Glob("../testdata/avro/*.avro")
	for _, path := range paths {
		f.Add(read(f, path))
	}
	f.Add(container(`["null","int",{"type":"map","values":{"type":"record","name":"A","fields":[{"name":"a","type":"bytes"}]}}]`, 2, []byte{0, 2, 8}))
	f.Fuzz(func(t *testing.T, file []byte) {
		values := 0
		err := avro.Read(file, func(avro.Value) error { values++; return nil })
		if err != nil && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) {
			t.Errorf("an error of no kind: %v", err)
		}
		if values > 9<<20 {
			t.Errorf("%d values", values)
		}
	})
}
