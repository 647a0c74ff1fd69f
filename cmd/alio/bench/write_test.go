package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteOptionsTellEveryFault(t *testing.T) {
	if err := (WriteOptions{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := WriteOptions{Bytes: []int{0, 2 << 20}, Amount: -1, Runs: -1}.Validate()
	for _, want := range []string{"--bytes: 0 ", "--bytes: 2097152", "--amount: -1", "--runs: -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
	if err := (WriteOptions{Bytes: []int{4096}, Amount: 4095}).Validate(); err == nil || !strings.Contains(err.Error(), "more than --amount") {
		t.Errorf("%v", err)
	}
}

func TestWriteMeasuresEveryStore(t *testing.T) {
	dir := t.TempDir()
	var lines []string
	got, err := Write(t.Context(), WriteOptions{Bytes: []int{64 << 10}, Amount: 1 << 20, Runs: 2, Dirs: []string{dir}, Progress: func(f string, _ ...any) { lines = append(lines, f) }})
	if err != nil {
		t.Fatal(err)
	}
	var stores []string
	for _, r := range got {
		stores = append(stores, r.Store)
		if r.Bytes != 64<<10 || r.Pages != 16 || r.PagesPerSecond <= 0 || r.GBPerSecond <= 0 || r.Runs != 2 || r.Amplification < 0 {
			t.Errorf("%+v", r)
		}
	}
	if strings.Join(stores, "|") != "alio|alio|alio, full|sequential|files" || got[0].Dirs != 1 || got[1].Dirs != 2 || len(lines) != 5 {
		t.Errorf("%v, %d lines of progress", stores, len(lines))
	}
	nothing(t, dir)
	var out bytes.Buffer
	if err := WriteWriteTable(&out, got); err != nil || strings.Count(out.String(), "\n") != 6 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if b, err := json.Marshal(got[0]); err != nil || !strings.Contains(string(b), `"write_amplification":`) {
		t.Errorf("%s, %v", b, err)
	}
}

func nothing(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A tier at its limit must have evicted, and what it still has must be right.
func TestChurnKeepsToTheLimit(t *testing.T) {
	dir := t.TempDir()
	p := newPages("write", 64<<10)
	s := writeSample{pages: 600} // 38 MiB through 24 MiB
	if err := churn(t.Context(), p, []string{dir}, &s, 1); err != nil {
		t.Fatal(err)
	}
	var total int64
	names, err := filepath.Glob(filepath.Join(dir, "cache", "segments", "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 24<<20 || total < 8<<20 {
		t.Errorf("%d bytes of segments are left of a tier of 24 MiB", total)
	}
}

func TestTiersNoticeWrongPages(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	to, err := openTiers(t.Context(), newPages("write", 4096), dirs, capacityFor(64, 4096)*2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		if err := to.put(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		if there, err := to.read(t.Context(), i); err != nil || !there {
			t.Fatalf("page %d: %v, %v", i, there, err)
		}
	}
	if there, err := to.read(t.Context(), 64); err != nil || there {
		t.Errorf("a page that was not put: %v, %v", there, err)
	}
	to.pages.from[0] ^= 1 // what is compared with
	if _, err := to.read(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "wrong bytes") {
		t.Errorf("got %v", err)
	}
	for _, d := range to.disk.Devices() {
		if d.Stats.Pages == 0 || d.Stats.Pages == 64 {
			t.Errorf("%s has %d of 64 pages", d.Dir, d.Stats.Pages)
		}
	}
	if err := to.finish(); err != nil {
		t.Error(err)
	}
}

func TestWriteStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := Write(ctx, WriteOptions{Bytes: []int{64 << 10, 1 << 20}, Amount: 1 << 20, Runs: 1, Dirs: []string{dir}, Progress: func(string, ...any) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	nothing(t, dir)
}

func TestRecoverOptionsTellEveryFault(t *testing.T) {
	if err := (RecoverOptions{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := RecoverOptions{Pages: -1, Bytes: 2 << 20, Files: -1, Probes: -1, Runs: -1}.Validate()
	for _, want := range []string{"--pages: -1", "--bytes: 2097152", "--files: -1", "--probes: -1", "--runs: -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
}

func TestReopenRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, text := range []string{"", "{}", "[]", `{"pages":1}`} {
		if err := Reopen(t.Context(), text, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "alio bench recover") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := Reopen(t.Context(), `{"pages":1,"bytes":1024,"dir":"/proc/none"}`, &bytes.Buffer{}); err == nil {
		t.Error("a directory that cannot be opened is no error")
	}
}

// Both kinds of store, in this process: pages that are there are found, pages that are not are errors.
func TestReopenReadsWhatWasWritten(t *testing.T) {
	root := t.TempDir()
	o := RecoverOptions{Bytes: 1024}.withDefaults()
	if err := o.make(t.Context(), filepath.Join(root, "tier"), 300); err != nil {
		t.Fatal(err)
	}
	if err := dropPages(filepath.Join(root, "tier", "segments")); err != nil {
		t.Error(err)
	}
	f, err := newFiles(newPages("recover", 1024), mkdir(t, root, "files"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := f.put(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []ReopenOptions{{Dir: filepath.Join(root, "tier")}, {Dir: filepath.Join(root, "files"), Walk: true}} {
		c.Pages, c.Bytes, c.Probes, c.Started = 300, 1024, 50, 1
		text, _ := json.Marshal(c)
		var out bytes.Buffer
		if err := Reopen(t.Context(), string(text), &out); err != nil {
			t.Fatal(err)
		}
		var r Reopened
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Pages != 300 || r.OpenMS <= 0 || r.HitP50 <= 0 || r.FirstHitMS < 1e9 {
			t.Errorf("%v\n%s", err, out.String())
		}
		c.Pages = 100_000 // more than there are
		text, _ = json.Marshal(c)
		if err := Reopen(t.Context(), string(text), &out); err == nil || !strings.Contains(err.Error(), "not there any more") {
			t.Errorf("pages that are not there: %v", err)
		}
	}
}

func mkdir(t *testing.T, root, name string) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
