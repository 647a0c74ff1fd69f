package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench"
)

// asProgram lets processes that a test starts from this binary be the program.
func asProgram(t *testing.T) {
	t.Helper()
	isolate(t)
	t.Setenv("ALIO_TEST_RUN", "1")
}

// empty fails if a benchmark has left anything.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBenchReadEndToEnd(t *testing.T) {
	asProgram(t)
	dir := t.TempDir()
	code, stdout, stderr := command(t, "bench", "read", "--bytes", "64KiB", "--readers", "2", "--access", "uniform", "--duration", "50ms", "--runs", "1",
		"--size", "1MiB", "--dir", dir, "--json")
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	var got []bench.ReadResult
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got) != len(bench.Paths) {
		t.Fatalf("%v\n%s", err, stdout)
	}
	for _, r := range got {
		if r.P50 <= 0 || r.P99 < r.P50 || r.GBPerSecond <= 0 || r.Readers != 2 || r.Ratio <= 0 {
			t.Errorf("%+v", r)
		}
	}
	empty(t, dir)
}

func TestBenchReadPrintsATable(t *testing.T) {
	asProgram(t)
	code, stdout, stderr := command(t, "bench", "read", "--paths", "pread,s3", "--bytes", "1MiB", "--readers", "1", "--access", "zipf", "--duration", "20ms", "--runs", "2",
		"--size", "1MiB", "--dir", t.TempDir())
	if code != 0 || !strings.Contains(stdout, "× pread") || strings.Count(stdout, "\n") != 3 || !strings.Contains(stderr, "warming, pass 1") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestBenchWriteEndToEnd(t *testing.T) {
	asProgram(t)
	dir := t.TempDir()
	code, stdout, stderr := command(t, "bench", "write", "--bytes", "16KiB", "--amount", "1MiB", "--runs", "1", "--dir", dir, "--json")
	var got []bench.WriteResult
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || len(got) != 5 || stderr != "" {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
	}
	empty(t, dir)
}

func TestBenchRecoverEndToEnd(t *testing.T) {
	asProgram(t)
	dir := t.TempDir()
	code, stdout, stderr := command(t, "bench", "recover", "--pages", "12000", "--files", "100", "--probes", "100", "--runs", "1", "--dir", dir, "--json")
	var got []bench.RecoverResult
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || len(got) != 5 {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
	}
	for _, r := range got {
		if r.OpenMS <= 0 || r.PerPage <= 0 || r.FirstHit < r.OpenMS || r.HitP50 <= 0 || r.Missing != 0 || (r.Store == bench.StoreAlio && !r.Cold) != (r.ReadyMS > 0) {
			t.Errorf("%+v", r)
		}
	}
	if got[0].Pages != 10000 || got[2].Pages != 12000 || got[4].Store != bench.StoreFiles {
		t.Errorf("%+v", got)
	}
	empty(t, dir)
}

func TestBenchSmallEndToEnd(t *testing.T) {
	asProgram(t)
	dir := t.TempDir()
	code, stdout, stderr := command(t, "bench", "small", "--objects", "50", "--readers", "4", "--dir", dir, "--json")
	var got []bench.SmallResult
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || len(got) != 4 {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
	}
	for _, r := range got {
		if r.Cold <= 0 || r.Warm <= 0 || r.Again <= 0 || r.Disk < 50*10240 || r.Restart <= 0 {
			t.Errorf("%+v", r)
		}
		if r.ColdAsked != 50 || r.WarmAsked != 0 {
			t.Errorf("%s: %d requests of the origin for 50 files, and %d when they were there", r.Path, r.ColdAsked, r.WarmAsked)
		}
		if door := r.Path != bench.StoreFiles; door && (r.AgainAsked != 0 || r.Metadata == 0) {
			t.Errorf("%s: after a restart the origin was asked %d times; metadata takes %d bytes", r.Path, r.AgainAsked, r.Metadata)
		}
	}
	empty(t, dir)
}

func TestBenchMetadataEndToEnd(t *testing.T) {
	asProgram(t)
	dir := t.TempDir()
	code, stdout, stderr := command(t, "bench", "metadata", "--entries", "3000", "--lookups", "200", "--dir", dir, "--json")
	var got []bench.MetadataResult
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || len(got) != 1 {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
	}
	if r := got[0]; r.Missing != 0 || r.Written <= 0 || r.Rewrites <= 0 || r.Disk <= 0 || r.OpenMS <= 0 || r.ColdP50 <= 0 || r.NoneP50 <= 0 {
		t.Errorf("%+v", r)
	}
	empty(t, dir)
}

func TestBenchCommandLines(t *testing.T) {
	isolate(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"bench"}, 0, "read ", ""},
		{[]string{"bench", "raed"}, 2, "", `did you mean "read"?`},
		{[]string{"bench", "read", "--help"}, 0, "bare preads", ""},
		{[]string{"bench", "read", "--bytes", "4KB,x", "--json"}, 2, "", `--bytes: "x" is not a size`},
		{[]string{"bench", "read", "--paths", "ftp", "--readers", "0"}, 2, "", `--paths: "ftp" is none of`},
		{[]string{"bench", "read", "--access", "lifo"}, 2, "", "zipf, uniform, both"},
		{[]string{"bench", "write", "--bytes", "2MiB", "--runs", "-1"}, 2, "", "--runs: -1"},
		{[]string{"bench", "write", "--dir", "/none/at/all"}, 1, "", "--dir: /none/at/all"},
		{[]string{"bench", "recover", "--pages", "-5"}, 2, "", "--pages: -5"},
		{[]string{"bench", "recover", "--pages", "1000000000000"}, 1, "", "name a larger disk with --dir"},
		{[]string{"bench", "small", "--objects", "-5", "--bytes", "13"}, 2, "", "--objects: -5"},
		{[]string{"bench", "metadata", "--entries", "0", "--memory", "1KiB"}, 2, "", "--entries: 0"},
		{[]string{"bench", "reopen", "x"}, 1, "", "run alio bench recover"},
		{[]string{"bench", "read", "--dir", "/none/at/all"}, 1, "", "--dir: /none/at/all"},
		{[]string{"bench", "read", "--size", "1TiB"}, 1, "", "smaller --size"},
	} {
		code, stdout, stderr := command(t, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
			t.Errorf("alio %s\nexit %d, want %d\nstdout %s\nwant %s\nstderr %s\nwant %s", strings.Join(c.args, " "), code, c.code, stdout, c.stdout, stderr, c.stderr)
		}
	}
}

// Ctrl-C in the middle: back at once, and nothing is left.
func TestBenchReadStops(t *testing.T) {
	asProgram(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var errs stopAt
	errs.word, errs.stop = "cells, about", cancel
	start := time.Now()
	code := execute(ctx, []string{"bench", "read", "--paths", "pread,s3", "--duration", "1h", "--size", "2MiB", "--dir", dir}, &strings.Builder{}, &errs)
	if code != 1 || !strings.Contains(errs.text.String(), "alio: stopped") {
		t.Errorf("exit %d\n%s", code, errs.text.String())
	}
	if took := time.Since(start); took > deadline {
		t.Errorf("it took %v to stop", took)
	}
	empty(t, dir)
}

// stopAt is a standard error that ends the command when a word is written.
type stopAt struct {
	word string
	stop func()
	text strings.Builder
}

func (s *stopAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.word) {
		s.stop()
	}
	return s.text.Write(p)
}
