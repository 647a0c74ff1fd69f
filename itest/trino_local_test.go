package itest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
)

// hudiTables are the tables of formats/testdata that Hudi's own writer has made and that both engines can read, and how many rows they show.
var hudiTables = []struct {
	name string
	rows int64
}{{"hudi_cow6", 199}, {"hudi_mor6", 200}}

// hudiColumns are the columns of these tables but for the partition's, p.
const hudiColumns = "_hoodie_commit_time varchar, _hoodie_commit_seqno varchar, _hoodie_record_key varchar, _hoodie_partition_path varchar, _hoodie_file_name varchar, " +
	"id varchar, ts bigint, v double"

// localFiles has Trino read the tables from its local file system (local.location). No sidecar has a mount of that, so Trino fills, and a file's version is its length and
// time. No server passes such reads: the JVM's recorder counts them, those of the stock connector and those of the bridge. The first run makes no more than stock, the
// second none. The proof beside it is that the files may be overwritten by zeros, length and time as before, which the stock connector fails on, while all rows still
// come from the sidecar's segments. A file of another time is read anew.
func (s *bridgeStage) localFiles(ctx context.Context, t *testing.T, queries map[string]string) {
	files := s.onDisk(ctx, t)
	past := func() (c map[string]int64) { // what was read of the files, or would be
		c = s.client(ctx, t, "filling")
		b := s.bridge(ctx, t, "filling")
		return map[string]int64{"filled": c["FilledBytes"], "bypassed": c["BypassedReads"] + c["BypassedOpens"] + b["BypassedFiles"] + b["UnmappedFiles"], "segments": c["LocalBytes"]}
	}
	want := map[string][]string{}
	meter := meterFiles(ctx, t, s.trino.PID(), filepath.Join(s.trino.Dir, "localfs", "tables"))
	for i, name := range []string{"2-columns", "q43", "q55"} {
		age(t, files, i) // so that nothing is there of the queries before
		text := strings.ReplaceAll(queries[name], "${schema}", "disk")
		meter.next(name, "stock")
		want[text] = s.rows(ctx, t, "hive", text)
		begun := past()
		meter.next(name, "cold")
		same(t, name+" on local files, cold", want[text], s.rows(ctx, t, "filling", text))
		s.settled(ctx, t)
		cold := past()
		warm := s.warmRun(ctx, t, meter, name, text, want[text], past)
		if warm["filled"] != cold["filled"] { // a column was read before the page of the file's end was put, when the file was still cut on a grid: it lies in other pages now, which have been put by this run
			meter.queries[len(meter.queries)-1].run = "again"
			s.settled(ctx, t)
			cold = past()
			warm = s.warmRun(ctx, t, meter, name, text, want[text], past)
		}
		t.Logf("%s: %d rows; cold, %d bytes were put into the sidecar; warm, %d, and %d read of segments", name, len(want[text]), cold["filled"]-begun["filled"],
			warm["filled"]-cold["filled"], warm["segments"]-cold["segments"])
		if warm["filled"] != cold["filled"] || warm["bypassed"] != begun["bypassed"] || warm["segments"] == cold["segments"] {
			t.Errorf("%s on local files: before %v, cold %v, warm %v", name, begun, cold, warm)
		}
	}
	meter.noMoreThanStock(ctx, t, 1.5) // 1.03 as a rule; more if a column is read before the page of the file's end is put, when the file is still cut on a grid
	for text, rows := range want {     // what the files are now, the last query alone has read
		same(t, "read once more", rows, s.rows(ctx, t, "filling", text))
	}
	s.settled(ctx, t)
	data, before := map[string][]byte{}, past()
	if before["filled"] < 1<<20 {
		t.Errorf("the first runs read %d bytes of the files: nothing was measured", before["filled"])
	}
	for _, file := range files {
		data[file] = spoil(t, file)
	}
	for text, rows := range want {
		same(t, "with the files overwritten by zeros", rows, s.rows(ctx, t, "filling", text))
	}
	if now := past(); now["filled"] != before["filled"] || now["bypassed"] != before["bypassed"] {
		t.Errorf("the files were overwritten by zeros, before %v, after %v", before, now)
	}
	if _, err := harness.Rows(ctx, s.db(t, "hive"), harness.In(twoColumns, "hive", "disk")); err == nil {
		t.Error("the stock connector reads files of zeros: nothing was shown")
	}
	for file, b := range data {
		need(t, os.WriteFile(file, b, 0o600))
		need(t, os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour)))
	}
	text := strings.ReplaceAll(twoColumns, "${schema}", "disk")
	same(t, "with files of another time", want[text], s.rows(ctx, t, "filling", text))
	if now := past(); now["filled"] == before["filled"] {
		t.Errorf("files of another time were not read: before %v, after %v", before, now)
	}
}

// warmRun runs a query once more, and returns what past says then.
func (s *bridgeStage) warmRun(ctx context.Context, t *testing.T, meter *fileMeter, name, text string, want []string, past func() map[string]int64) map[string]int64 {
	t.Helper()
	meter.next(name, "warm")
	same(t, name+" on local files, warm", want, s.rows(ctx, t, "filling", text))
	return past()
}

// onDisk copies the tables' files below Trino's local.location and enters them in schema disk.
func (s *bridgeStage) onDisk(ctx context.Context, t *testing.T) (files []string) {
	t.Helper()
	s.rows(ctx, t, "hive", "CREATE SCHEMA ${database}.disk")
	for _, table := range trinoTables {
		for key, data := range tableFiles(ctx, t, s.s3.Client(), s.s3.Bucket, table) {
			file := filepath.Join(s.trino.Dir, "localfs", key)
			need(t, os.MkdirAll(filepath.Dir(file), 0o755))
			need(t, os.WriteFile(file, data, 0o600))
			files = append(files, file)
		}
		s.rows(ctx, t, "hive", "CREATE TABLE ${database}.disk."+table+" (LIKE ${database}.${schema}."+table+") WITH (format = 'PARQUET', external_location = 'local:///tables/"+table+"')")
	}
	return files
}

// age gives files a time of their own for each i: they are other versions then.
func age(t *testing.T, files []string, i int) {
	t.Helper()
	for _, file := range files {
		need(t, os.Chtimes(file, time.Time{}, time.Now().Add(-time.Duration(i+2)*time.Hour)))
	}
}

// fileMeter counts what an engine reads of local files, query by query.
type fileMeter struct {
	dir     string
	reads   *harness.FileReads
	queries []meteredQuery
}

type meteredQuery struct {
	name, run string
	from      time.Time
}

// meterFiles begins to count the reads that a process makes of files below a folder.
func meterFiles(ctx context.Context, t *testing.T, pid int, dir string) *fileMeter {
	t.Helper()
	reads, err := harness.RecordFileReads(ctx, pid, t.TempDir())
	need(t, err)
	return &fileMeter{dir: dir, reads: reads}
}

// next says which run of which query comes now.
func (m *fileMeter) next(name, run string) {
	m.queries = append(m.queries, meteredQuery{name, run, time.Now()})
}

// noMoreThanStock ends the count: of each query, the run "cold" may have made no more reads than "stock", of over times the bytes at most, and "warm" none.
func (m *fileMeter) noMoreThanStock(ctx context.Context, t *testing.T, over float64) {
	t.Helper()
	end := time.Now()
	all, err := m.reads.Stop(ctx)
	need(t, err)
	stock, bytes := 0, int64(0)
	for i, q := range m.queries {
		to := end
		if i+1 < len(m.queries) {
			to = m.queries[i+1].from
		}
		n, b := harness.ReadsOf(all, m.dir, q.from, to)
		t.Logf("%s, %s: %d reads of the files, %d bytes", q.name, q.run, n, b)
		switch {
		case q.run == "stock":
			stock, bytes = n, b
			if n == 0 || b == 0 {
				t.Errorf("%s: the stock connector has read nothing: nothing was measured", q.name)
			}
		case q.run == "cold" && (n > stock || float64(b) > over*float64(bytes)):
			t.Errorf("%s: %d reads of %d bytes of the files when cold, %d of %d by the stock connector", q.name, n, b, stock, bytes)
		case q.run == "warm" && n > 0:
			t.Errorf("%s: %d reads of the files when warm; there must be none", q.name, n)
		}
	}
}
