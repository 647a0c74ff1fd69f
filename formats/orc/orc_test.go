package orc_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/orc"
)

// fixtures are the files that real writers wrote, by name.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../testdata/orc/*.orc")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = file
	}
	return files
}

// TestAgainstORCTools: every stripe and every stream is where Apache's own tool says, in files of all writers and codecs.
func TestAgainstORCTools(t *testing.T) {
	stripes := 0
	for name, file := range fixtures(t) {
		got, err := describe(file)
		if lzo := name == "spark_lzo.orc"; lzo || err != nil {
			if ps, ok := orc.ReadPostscript(file); !lzo || !ok || ps.Readable() || !errors.Is(err, faults.ErrTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		meta, err := os.ReadFile("../testdata/orc/" + name + ".meta")
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for lines := bufio.NewScanner(strings.NewReader(string(meta))); lines.Scan(); {
			if line := byTools(t, lines.Text()); line != "" {
				want = append(want, line)
			}
		}
		if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
			t.Errorf("%s: got\n%s\nwant\n%s", name, a, b)
		}
		stripes += strings.Count(string(meta), "Stripe:")
	}
	if stripes < 8 {
		t.Errorf("only %d stripes seen", stripes)
	}
}

// byTools turns a line of the tool into one of describe's.
func byTools(t *testing.T, line string) string {
	var a, b, c, d, rows int
	var section string
	if n, _ := fmt.Sscanf(line, "Stripe: offset: %d data: %d rows: %d tail: %d index: %d", &a, &b, &rows, &c, &d); n == 5 {
		return fmt.Sprintf("stripe %d: index %d data %d footer %d", a, d, b, c)
	}
	if n, _ := fmt.Sscanf(line, "Stream: column %d section %s start: %d length %d", &a, &section, &b, &c); n == 4 {
		if c == 0 {
			return ""
		}
		return fmt.Sprintf("column %d [%d, %d) index %t bloom %t", a, b, b+c, section == "ROW_INDEX" || strings.HasPrefix(section, "BLOOM"), strings.HasPrefix(section, "BLOOM"))
	}
	if strings.HasPrefix(line, "Stripe") || strings.HasPrefix(line, "Stream") {
		t.Fatalf("what does %q say?", line)
	}
	return ""
}

// describe spells what the package finds in a file.
func describe(file []byte) (out []string, err error) {
	ps, ok := orc.ReadPostscript(file)
	if !ok {
		return nil, errors.New("no postscript")
	}
	end := int64(len(file)) - ps.Size
	start := end - ps.Footer
	if before := ps.Before(); before < ps.Footer || before > end {
		return nil, faults.Corrupt("%d bytes before a postscript at %d", before, end)
	}
	columns := 0
	if err := ps.ReadColumnNames(file[start:end], func(int, uint64) { columns++ }); err != nil {
		return nil, err
	}
	if columns > orc.MaxColumns {
		return nil, fmt.Errorf("%d columns", columns)
	}
	return out, ps.ReadFooter(file[start:end], func(s orc.Stripe) error {
		out = append(out, fmt.Sprintf("stripe %d: index %d data %d footer %d", s.Offset, s.Index, s.Data, s.Footer))
		at, data := s.Offset, s.Offset+s.Index+s.Data
		if at < 0 || s.Index < 0 || s.Data < 0 || s.Footer < 0 || data < 0 || data > end || s.Footer > end-data {
			return faults.Corrupt("a stripe outside the file")
		}
		return ps.ReadStripeFooter(file[data:data+s.Footer], func(st orc.Stream) error {
			if st.Length > 0 {
				out = append(out, fmt.Sprintf("column %d [%d, %d) index %t bloom %t", st.Column, at, at+st.Length, st.Index, st.Bloom))
			}
			at += st.Length
			return nil
		})
	})
}

// TestDamaged: whatever byte of a small file's end is another, or wherever it ends, there is an answer or an error of a kind.
func TestDamaged(t *testing.T) {
	for name, file := range fixtures(t) {
		for i := max(0, len(file)-700); i < len(file); i++ {
			flip := []byte{0x01, 0x80, 0xff}[i%3]
			file[i] ^= flip
			judge(t, name, file)
			file[i] ^= flip
			if i%2 == 0 {
				judge(t, name, file[:i])
			}
		}
	}
}

func judge(t *testing.T, name string, file []byte) {
	t.Helper()
	_, err := describe(file)
	if err != nil && err.Error() != "no postscript" && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) {
		t.Fatalf("%s: an error of no kind: %v", name, err)
	}
}

func FuzzFile(f *testing.F) {
	for _, file := range fixtures(f) {
		f.Add(file[max(0, len(file)-4<<10):])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		judge(t, "fuzz", file)
		// The same bytes as a stripe's footer in every codec.
		for kind := range byte(7) {
			ps, ok := orc.ReadPostscript([]byte{0x10, kind, 0x18, 0x80, 0x20, 0x82, 0xf4, 0x03, 3, 'O', 'R', 'C', 12})
			if !ok {
				t.Fatal("a postscript is none")
			}
			n := 0
			err := ps.ReadStripeFooter(file, func(orc.Stream) error { n++; return nil })
			if err == nil {
				err = ps.ReadColumnNames(file, func(int, uint64) {})
			}
			if err != nil && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) {
				t.Errorf("an error of no kind: %v", err)
			}
		}
	})
}
