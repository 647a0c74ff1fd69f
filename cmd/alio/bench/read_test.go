package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

func TestReadOptionsTellEveryFault(t *testing.T) {
	if err := (ReadOptions{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := ReadOptions{
		Paths: []string{"s3", "ftp"}, Bytes: []int{4096, 13, 2 << 20}, Readers: []int{0}, Access: []load.Access{"lifo"}, Duration: time.Nanosecond, Runs: -1, Size: 5000,
	}.Validate()
	for _, want := range []string{`--paths: "ftp"`, "--bytes: 13 ", "--bytes: 2097152 ", "--readers: 0", `--access: "lifo"`, "--duration: 1ns", "--runs: -1", "--size: 5000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
	if err := (ReadOptions{Bytes: []int{1 << 20}, Size: 512 << 10}).Validate(); err == nil || !strings.Contains(err.Error(), "more than the data set has") {
		t.Errorf("reads larger than the data set: %v", err)
	}
}

// Other programs read this: the keys must not change.
func TestReadResultsAreJSON(t *testing.T) {
	var out bytes.Buffer
	results := []ReadResult{
		{Path: PathS3, Bytes: 65536, Readers: 16, P50: 50.5, P99: 99, GBPerSecond: 1.25, Allocs: 0, Access: load.Zipf, Ratio: 7, Runs: 3, ServerCPU: .5},
		{Path: PathPread, Bytes: 65536, Readers: 16},
	}
	if err := WriteJSON(&out, results); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != 2 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := map[string]any{"path": "s3", "bytes": 65536., "readers": 16., "p50_us": 50.5, "p99_us": 99., "gb_per_s": 1.25, "allocs_per_op": 0.,
		"access": "zipf", "ratio_to_pread": 7., "runs": 3., "server_cpu_s_per_gb": .5}
	for k, v := range want {
		if got[0][k] != v {
			t.Errorf("%s is %v, want %v", k, got[0][k], v)
		}
	}
	if len(got[0]) != len(want) {
		t.Errorf("keys beyond those documented: %v", got[0])
	}
	out.Reset()
	if err := WriteJSON[ReadResult](&out, nil); err != nil || out.String() != "[]\n" {
		t.Errorf("no results are %q, %v", out.String(), err)
	}
	out.Reset()
	if err := WriteReadTable(&out, results); err != nil || !strings.Contains(out.String(), "7.00") || !strings.Contains(out.String(), "64 KiB") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestMedians(t *testing.T) {
	self := func(f float64) float64 { return f }
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{1, 100, 2, 4}, 3}} {
		if got := medianOf(c.in, self); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
}

func TestRatiosAreToPread(t *testing.T) {
	rs := []ReadResult{{Path: PathS3, P50: 60}, {Path: PathPread, P50: 6}}
	setRatios(rs)
	if rs[0].Ratio != 10 || rs[1].Ratio != 1 {
		t.Errorf("%v", rs)
	}
	alone := []ReadResult{{Path: PathS3, P50: 60}}
	if setRatios(alone); alone[0].Ratio != 0 {
		t.Errorf("a ratio to nothing: %v", alone)
	}
}

// segments writes a data set into segment files, page by page, leaving out what skip says.
func segments(t *testing.T, data load.Data, pageSize int64, skip func(at int64) bool) string {
	t.Helper()
	dir := t.TempDir()
	pages := data.Size / pageSize
	for file := range int64(2) {
		h := segfile.Header{Instance: 77, Seq: uint64(file + 1)}
		b := h.Encode()
		var index []segfile.Location
		for i := file * pages / 2; i < (file+1)*pages/2; i++ {
			page := make([]byte, pageSize)
			data.Fill(page, i*pageSize)
			if !skip(i * pageSize) {
				index = append(index, segfile.Location{Off: int64(len(b)), Length: int(pageSize)})
				b = segfile.AppendRecord(b, h.Seed(), int64(len(b)), segfile.Key{byte(i)}, 0, page)
			}
		}
		if file == 0 { // one is sealed and one is not
			b = append(b, segfile.EncodeFooter(h, index, int64(len(b)))...)
		}
		if err := os.WriteFile(filepath.Join(dir, segfile.Name(h.Instance, h.Seq)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPlacesAreFoundInSegments(t *testing.T) {
	data := load.Data{Seed: 5, Size: 16 << 16, ObjectSize: 8 << 16}
	none := func(int64) bool { return false }
	p, err := scanSegments(data, segments(t, data, 1<<16, none))
	if err != nil || p.Pages() != 16 {
		t.Fatalf("%v", err)
	}
	r, err := p.Dial(3 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct {
		at int64
		n  int
	}{{0, 1 << 16}, {4096, 4096}, {1<<16 - 8, 16}, {5 << 16, 3 << 16}, {15<<16 + 4096, 1<<16 - 4096}, {7<<16 + 8, 2 << 16}} {
		if err := r.Prepare(c.at, c.n); err != nil {
			t.Fatal(err)
		}
		b, err := r.Read()
		if err != nil || len(b) != c.n || data.Check(b, c.at) != nil {
			t.Errorf("%d bytes at %d: %d bytes, %v, %v", c.n, c.at, len(b), err, data.Check(b, c.at))
		}
	}
}

func TestPlacesThatAreMissingAreFound(t *testing.T) {
	data := load.Data{Seed: 5, Size: 16 << 16, ObjectSize: 8 << 16}
	for _, missing := range []int64{0, 3, 15} {
		_, err := scanSegments(data, segments(t, data, 1<<16, func(at int64) bool { return at == missing<<16 }))
		if err == nil || !strings.Contains(err.Error(), "hold") {
			t.Errorf("page %d is missing: %v", missing, err)
		}
	}
	none := func(int64) bool { return false }
	dir := segments(t, data, 1<<16, none)
	if _, err := scanSegments(load.Data{Seed: 6, Size: data.Size, ObjectSize: data.ObjectSize}, dir); err == nil {
		t.Error("pages of another data set pass")
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	b, err := os.ReadFile(names[1])
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 1
	if err := os.WriteFile(names[1], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := scanSegments(data, dir); err == nil || !strings.Contains(err.Error(), "wrong bytes") {
		t.Errorf("a wrong bit in a segment: %v", err)
	}
}

func TestWorkspace(t *testing.T) {
	dir := t.TempDir()
	path, remove, err := workspace(dir, 1)
	if err != nil || filepath.Dir(path) != dir {
		t.Fatalf("%s, %v", path, err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, _, err := workspace(dir, 1<<62); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("a disk that is too small: %v", err)
	}
	if _, _, err := workspace(filepath.Join(dir, "none"), 1); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no such folder: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := checkMemory(1 << 62); err == nil || !strings.Contains(err.Error(), "--size") {
		t.Errorf("a machine that is too small: %v", err)
	}
	if err := checkMemory(1); err != nil {
		t.Error(err)
	}
}

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 4096: "4 KiB", 1 << 20: "1 MiB", 1<<20 + 1: "1024 KiB", 512 << 20: "512 MiB", 10 << 30: "10 GiB", 1000: "1000 bytes"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
