package itest

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
)

// localFiles has Presto read tables of local files by the bridge before fs.file.impl. No sidecar has a mount of these, so Presto fills, and a file's version is its
// length and time. No server passes such reads: the JVM's recorder counts them, those of the stock connector and those of the bridge. The first run makes no more than
// stock, the second none. The proof beside it is that the files may be overwritten by zeros, length and time as before, which the stock connector fails on, while all rows
// still come from the sidecar's segments. A file of another time is read anew.
func (s *prestoStage) localFiles(ctx context.Context, t *testing.T, texts map[string]string) {
	run := func(name string, want []string) map[string]float64 {
		t.Helper()
		rows, _ := s.rows(ctx, t, texts[name], "local", "here")
		same(t, name+" on local files", want, rows)
		settled(ctx, t, s.alio)
		return s.counters(ctx, t, "local")
	}
	want, last := map[string][]string{}, map[string]float64{}
	s.dropSums(t)
	meter := meterFiles(ctx, t, s.presto.PID(), filepath.Join(s.meta, "here"))
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		age(t, s.localTables(t), i) // so that nothing is there of the queries before
		meter.next(name, "stock")
		want[name], _ = s.rows(ctx, t, texts[name], "stock", "here")
		meter.next(name, "cold")
		cold := run(name, want[name])
		meter.next(name, "warm")
		warm := run(name, want[name])
		change := func(counter string) float64 { return warm[counter] - cold[counter] }
		t.Logf("  %s: cold, %.0f bytes were read of the files; repeated, %.0f, and %.0f of segments", name, cold["FilledBytes"]-last["FilledBytes"], change("FilledBytes"), change("LocalBytes"))
		if change("FilledBytes")+change("BypassedReads")+change("BypassedFiles") > 0 || change("OpenedFiles") == 0 || change("LocalBytes") == 0 || change("LocalBytes") != change("ReadBytes") {
			t.Errorf("%s on local files, repeated: before %v, after %v", name, cold, warm)
		}
		last = warm
	}
	meter.noMoreThanStock(ctx, t, 2) // 1.1 to 1.3: Presto asks for 16 KiB of a file's end, of which a page has 64
	if last["FilledBytes"] < 1<<19 {
		t.Errorf("the first runs read %.0f bytes of the files: nothing was measured", last["FilledBytes"])
	}
	for name, rows := range want { // what the files are now, the last query alone has read
		last = run(name, rows)
	}
	restore := s.zeroed(t)
	for name, rows := range want {
		if now := run(name, rows); now["FilledBytes"] != last["FilledBytes"] || now["BypassedFiles"] != last["BypassedFiles"] {
			t.Errorf("%s, the files overwritten by zeros: before %v, after %v", name, last, now)
		}
	}
	if _, err := s.presto.Query(ctx, harness.In(texts["two"], "stock", "here")); err == nil {
		t.Error("the stock connector reads files of zeros: nothing was shown")
	}
	restore()
	if now := run("two", want["two"]); now["FilledBytes"] == last["FilledBytes"] {
		t.Errorf("files of another time were not read: before %v, after %v", last, now)
	}
}

// dropSums removes the files of sums that Hadoop's local file system writes beside each file. Where they are, it reads in pieces of 16 KiB, whoever asks; without them a
// read of Presto's is one read of the file.
func (s *prestoStage) dropSums(t *testing.T) {
	t.Helper()
	sums, err := filepath.Glob(filepath.Join(s.meta, "here", "*", ".[^.]*.crc"))
	need(t, err)
	for _, file := range sums {
		need(t, os.Remove(file))
	}
	t.Logf("  %d files of sums removed", len(sums))
}

// localTables are the tables' local files.
func (s *prestoStage) localTables(t *testing.T) (all []string) {
	t.Helper()
	for _, table := range prestoTables {
		files, err := filepath.Glob(filepath.Join(s.meta, "here", table, "[^._]*"))
		need(t, err)
		all = append(all, files...)
	}
	return all
}

// zeroed overwrites the tables' local files by zeros, length and time as before. Restore brings their bytes back, an hour older.
func (s *prestoStage) zeroed(t *testing.T) (restore func()) {
	t.Helper()
	data := map[string][]byte{}
	for _, file := range s.localTables(t) {
		data[file] = spoil(t, file)
	}
	return func() {
		for file, b := range data {
			need(t, os.WriteFile(file, b, 0o600))
			need(t, os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour)))
		}
	}
}

// spoil overwrites a file by zeros, length and time as before, and returns what it held.
func spoil(t *testing.T, file string) []byte {
	t.Helper()
	info, err := os.Stat(file)
	need(t, err)
	data, err := os.ReadFile(file)
	need(t, err)
	need(t, os.WriteFile(file, make([]byte, len(data)), 0o600))
	need(t, os.Chtimes(file, info.ModTime(), info.ModTime()))
	return data
}
