package itest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// A Delta table: cold no more data requests than by the stock connector. Warm, no data request, and two at most in all: for the pointer to a checkpoint, and whether there is a
// newer commit. After an insert by either connector its rows are there at once.
func (s *bridgeStage) deltaLake(ctx context.Context, t *testing.T) {
	s.rows(ctx, t, "delta", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	s.rows(ctx, t, "delta", "CREATE TABLE ${database}.${schema}.item WITH (location = 's3://"+s.s3.Bucket+"/delta/item') AS SELECT * FROM tpcds.tiny.item")
	const text = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.item"
	for _, writer := range []string{"delta", "alio_delta"} {
		want := s.deltaAsked(ctx, t, "of Trino's", text)
		s.rows(ctx, t, writer, "INSERT INTO ${database}.${schema}.item SELECT * FROM tpcds.tiny.item WHERE i_item_sk <= 10")
		rows := s.rows(ctx, t, "alio_delta", text)
		if was, is := firstColumn(t, want), firstColumn(t, rows[:1]); is != was+10 {
			t.Errorf("after %s has inserted 10 rows into %d, alio_delta counts %d", writer, was, is)
		}
	}
	need(t, harness.WriteDelta(ctx, s.s3, "delta/rs", t.Logf))
	s.rows(ctx, t, "delta", "CALL ${database}.system.register_table('${schema}', 'rs', 's3://"+s.s3.Bucket+"/delta/rs')")
	want := s.deltaAsked(ctx, t, "of delta-rs", "SELECT count(*), sum(price), max(name) FROM ${database}.${schema}.rs")
	if n := firstColumn(t, want); n != 3700 {
		t.Errorf("the table of delta-rs has 3,700 rows, and Trino counts %d", n)
	}
	if b := s.bridge(ctx, t, "alio_delta"); b["AbsentFiles"] == 0 {
		t.Errorf("the bridge of alio_delta counted %v", b)
	}
	// A mount that is not the place that the catalog says: the sidecar finds nothing there, and Trino all the same.
	for range 2 {
		same(t, "by a mount of another place", want, s.rows(ctx, t, "elsewhere", "SELECT count(*), sum(price), max(name) FROM ${database}.${schema}.rs"))
	}
	if b := s.bridge(ctx, t, "elsewhere"); b["AbsentFiles"]+b["OpenedFiles"] > 0 || b["BypassedFiles"] == 0 {
		t.Errorf("the bridge of elsewhere counted %v", b)
	}
	if c := s.client(ctx, t, "alio_delta"); c["LocalBytes"] == 0 || c["BypassedReads"] > 0 {
		t.Errorf("the client of alio_delta counted %v", c)
	}
}

// deltaAsked runs a query over a Delta table by the stock connector, by the bridge, which may know nothing of the table, and by the bridge again.
func (s *bridgeStage) deltaAsked(ctx context.Context, t *testing.T, what, text string) []string {
	t.Helper()
	want, asked, stock := s.measured(ctx, t, "delta", text)
	rows, fetched, cold := s.measured(ctx, t, "alio_delta", text)
	same(t, "Delta Lake, a table "+what, want, rows)
	s.settled(ctx, t)
	same(t, "Delta Lake, a table "+what+", again", want, s.rows(ctx, t, "alio_delta", text))
	rows, log, warm := s.measured(ctx, t, "alio_delta", text)
	same(t, "Delta Lake, a table "+what+", warm", want, rows)
	t.Logf("Delta Lake, a table %s: stock %v; cold %v, asked %d; warm %v", what, stock, cold, s3proxy.Asked(asked), warm)
	if cold.DataGETs > stock.DataGETs {
		t.Errorf("a Delta table %s: %d data GETs when cold, %d by the stock connector:\n%q\n%q", what, cold.DataGETs, stock.DataGETs, ranges(fetched), ranges(asked))
	}
	if warm.DataGETs > 0 || warm.Requests > 2 {
		t.Errorf("a warm Delta table %s: %v\n%s", what, warm, requests(log))
	}
	return want
}

// An Iceberg table, warm: no request at all; after an insert by either connector its rows are there at once.
func (s *bridgeStage) iceberg(ctx context.Context, t *testing.T) {
	s.rows(ctx, t, "iceberg", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	s.rows(ctx, t, "iceberg", "CREATE TABLE ${database}.${schema}.item WITH (location = 's3://"+s.s3.Bucket+"/iceberg/item') AS SELECT * FROM tpcds.tiny.item")
	const text = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.item"
	for _, writer := range []string{"iceberg", "alio_iceberg"} {
		want, _, stock := s.measured(ctx, t, "iceberg", text)
		rows, _, cold := s.measured(ctx, t, "alio_iceberg", text)
		same(t, "Iceberg cold", want, rows)
		s.settled(ctx, t)
		rows, _, warm := s.measured(ctx, t, "alio_iceberg", text)
		same(t, "Iceberg warm", want, rows)
		t.Logf("Iceberg: stock %v; cold %v; warm %v", stock, cold, warm)
		if warm.Requests > 0 || cold.DataGETs > stock.DataGETs {
			t.Errorf("an Iceberg table: stock %v, cold %v, warm %v", stock, cold, warm)
		}
		s.rows(ctx, t, writer, "INSERT INTO ${database}.${schema}.item SELECT * FROM tpcds.tiny.item WHERE i_item_sk <= 10")
		rows = s.rows(ctx, t, "alio_iceberg", text)
		if was, is := firstColumn(t, want), firstColumn(t, rows); is != was+10 {
			t.Errorf("after %s has inserted 10 rows into %d, alio_iceberg counts %d", writer, was, is)
		}
	}
	if c := s.client(ctx, t, "alio_iceberg"); c["LocalBytes"] == 0 || c["BypassedReads"]+c["BypassedOpens"] > 0 {
		t.Errorf("the client of alio_iceberg counted %v", c)
	}
}

// overRead compares what is fetched for the two columns of one file: by the stock connector, by Trino's own cache (fs.cache, with pages of 1 MiB), and by the bridge.
func (s *bridgeStage) overRead(ctx context.Context, t *testing.T) {
	want, asked, stock := s.measured(ctx, t, "hive", twoColumns)
	n := s3proxy.Asked(asked)
	rows, _, own := s.measured(ctx, t, "own_cache", twoColumns)
	same(t, "Trino's own cache", want, rows)
	if err := s.alio.Cold(ctx); err != nil {
		t.Fatal(err)
	}
	rows, _, bridge := s.measured(ctx, t, coldCatalog("beside"), twoColumns)
	same(t, "the bridge", want, rows)
	over := func(s s3proxy.Summary) float64 { return float64(s.BytesFetched) / float64(n) }
	t.Logf("over-read of %d bytes: stock %.3f (%v), Trino's own cache %.3f (%v), the bridge %.3f (%v)", n, over(stock), stock, over(own), own, over(bridge), bridge)
	if over(bridge) > 1.10 || over(bridge) >= over(own) {
		t.Errorf("the bridge fetched %d bytes, Trino's own cache %d", bridge.BytesFetched, own.BytesFetched)
	}
	s.settled(ctx, t)
	rows, _, warm := s.measured(ctx, t, coldCatalog("beside"), twoColumns)
	same(t, "the bridge, warm", want, rows)
	if warm.DataGETs > 0 {
		t.Errorf("the bridge, warm: %v", warm)
	}
}

// hudi reads tables that Hudi's own writer has made (formats/testdata) with both connectors: same rows, and warm no data request. Of the one whose records are merged
// on read the connectors show the base files, as Trino 476 does.
func (s *bridgeStage) hudi(ctx context.Context, t *testing.T) {
	for _, made := range hudiTables {
		s.enterHudi(ctx, t, made.name)
		text := "SELECT count(*), sum(v), max(ts), max(id), min(_hoodie_commit_time) FROM ${database}.${schema}." + made.name
		want, _, stock := s.measured(ctx, t, "hudi", text)
		if n := firstColumn(t, want); n != made.rows {
			t.Errorf("%s has %d rows, and Trino counts %v", made.name, made.rows, want)
		}
		rows, _, cold := s.measured(ctx, t, "alio_hudi", text)
		same(t, made.name, want, rows)
		s.settled(ctx, t)
		before := s.client(ctx, t, "alio_hudi")
		rows, _, warm := s.measured(ctx, t, "alio_hudi", text)
		same(t, made.name+" warm", want, rows)
		c := s.client(ctx, t, "alio_hudi")
		t.Logf("%s: %v; stock %v; cold %v; warm %v, %d bytes of segments", made.name, want, stock, cold, warm, c["LocalBytes"]-before["LocalBytes"])
		if stock.DataGETs == 0 || cold.DataGETs == 0 || cold.DataGETs > stock.DataGETs || warm.DataGETs > 0 || warm.HEADs > 0 {
			t.Errorf("%s: %d data GETs by the stock connector, %d cold; %d and %d HEADs warm", made.name, stock.DataGETs, cold.DataGETs, warm.DataGETs, warm.HEADs)
		}
		if c["LocalBytes"] == before["LocalBytes"] || c["BypassedReads"]+c["BypassedOpens"] > 0 {
			t.Errorf("%s warm: %v", made.name, c)
		}
	}
}

// enterHudi puts a table of Hudi's own writer into the store and enters it into the metastore: Trino writes none, so as a Hive table, whose entry gets Hudi's input format.
func (s *bridgeStage) enterHudi(ctx context.Context, t *testing.T, name string) {
	s.enterHudiAs(ctx, t, name, name, "hudi/"+name)
}

// enterHudiAs gives the table another name, and another folder.
func (s *bridgeStage) enterHudiAs(ctx context.Context, t *testing.T, name, as, location string) {
	t.Helper()
	need(t, harness.PutTestTable(ctx, s.s3.Client(), s.s3.Bucket, location, name))
	s.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s (%s, p varchar) WITH (format = 'PARQUET', partitioned_by = ARRAY['p'], external_location = 's3://%s/%s')",
		as, hudiColumns, s.s3.Bucket, location))
	for _, part := range []string{"p0", "p1"} {
		s.rows(ctx, t, "hive", fmt.Sprintf("CALL ${database}.system.register_partition('${schema}', '%s', ARRAY['p'], ARRAY['%s'], 's3://%s/%s/%s')", as, part, s.s3.Bucket, location, part))
	}
	entry := filepath.Join(s.trino.Dir, "localfs", "metastore", "tiny", as, ".trinoSchema")
	b, err := os.ReadFile(entry)
	need(t, err)
	var table map[string]any
	need(t, json.Unmarshal(b, &table))
	delete(table, "storageFormat")
	table["originalStorageFormat"] = map[string]string{"serde": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
		"inputFormat": "org.apache.hudi.hadoop.HoodieParquetInputFormat", "outputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"}
	b, err = json.Marshal(table)
	need(t, err)
	need(t, os.WriteFile(entry, b, 0o600))
}

// A file that is overwritten in place by one of the same length. Where Trino knows its time (Parquet), its next query has the new rows, whatever
// max_age is; where it knows nothing (text), no query that begins when the new file is older than max_age has old rows, and at max_age 0 none has at all.
func (s *bridgeStage) overwritten(ctx context.Context, t *testing.T) {
	direct := harness.S3Client(s.s3.Endpoint, s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
	put := func(key string, data []byte) {
		t.Helper()
		if _, err := direct.PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.s3.Bucket, Key: &key, Body: bytes.NewReader(data)}); err != nil {
			t.Fatal(err)
		}
	}
	var parquet [][]byte
	for _, word := range []string{"old", "new"} {
		s.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s WITH (format = 'PARQUET', external_location = 's3://%s/tables/%s') AS SELECT '%s' word",
			word, s.s3.Bucket, word, word))
		for _, data := range tableFiles(ctx, t, direct, s.s3.Bucket, word) {
			parquet = append(parquet, data)
		}
	}
	if len(parquet) != 2 || len(parquet[0]) != len(parquet[1]) {
		t.Fatalf("%d files of two tables, not two of one length", len(parquet))
	}
	put("over/parquet/data.parquet", parquet[0])
	put("over/text/data.txt", []byte("old\n"))
	put("over/now/data.txt", []byte("old\n"))
	const create = "CREATE TABLE ${database}.${schema}.over_%[1]s (word varchar) WITH (format = '%[2]s', external_location = 's3://%[3]s/over/%[1]s')"
	s.rows(ctx, t, "hive", fmt.Sprintf(create, "parquet", "PARQUET", s.s3.Bucket))
	s.rows(ctx, t, "hive", fmt.Sprintf(create, "text", "TEXTFILE", s.s3.Bucket))
	s.rows(ctx, t, "hive", fmt.Sprintf(create, "now", "TEXTFILE", s.s3.Bucket))
	const columns, words, now = "SELECT word FROM ${database}.${schema}.over_parquet", "SELECT word FROM ${database}.${schema}.over_text",
		"SELECT word FROM ${database}.${schema}.over_now"
	for _, text := range []string{columns, words, now} {
		same(t, "before the overwrite", s.rows(ctx, t, "hive", text), s.rows(ctx, t, "alio_hive", text))
	}
	<-time.After(1100 * time.Millisecond) // the store tells times in whole seconds
	put("over/parquet/data.parquet", parquet[1])
	same(t, "Parquet, right after it was overwritten", []string{`"new"`}, s.rows(ctx, t, "alio_hive", columns))
	if b := s.bridge(ctx, t, "alio_hive"); b["StaleFiles"] != 1 || b["BypassedFiles"] != 0 {
		t.Errorf("one file had changed behind the sidecar's back, and the bridge counted %v", b)
	}

	put("over/now/data.txt", []byte("new\n")) // of the same length, as the others
	same(t, "text at max_age 0, right after it was overwritten", []string{`"new"`}, s.rows(ctx, t, "alio_hive", now))

	put("over/text/data.txt", []byte("new\n"))
	at := time.Now()
	for {
		begun := time.Now()
		rows := s.rows(ctx, t, "alio_hive", words)
		if len(rows) == 1 && strings.Contains(rows[0], "new") {
			break
		}
		if begun.Sub(at) > overMaxAge {
			t.Errorf("text, %v after it was overwritten: %v; max_age is %v", begun.Sub(at), rows, overMaxAge)
			break
		}
	}
}

// A file of lines on HDFS that grows between two queries: the next one, at max_age 0, has the new lines, and of the DataNodes only the last block is read again,
// since the blocks before it are the same parts as ever.
func (s *bridgeStage) appended(ctx context.Context, t *testing.T) {
	line := func(i int) string { return fmt.Sprintf("%07d %s\n", i, strings.Repeat("x", 55)) } // 64 bytes
	lines := func(from, to int) []byte {
		var b bytes.Buffer
		for i := from; i < to; i++ {
			b.WriteString(line(i))
		}
		return b.Bytes()
	}
	const blocks, first, more = 3, 3*(1<<20)/64 + 4000, 1000 // blocks that are full, lines at first, lines that come
	const path = "/warehouse/grows/lines.txt"
	if err := s.hdfs.Put(ctx, path, lines(0, first)); err != nil {
		t.Fatal(err)
	}
	s.rows(ctx, t, "hive", "CREATE TABLE ${database}.hdfs.grows (word varchar) WITH (format = 'TEXTFILE', external_location = '"+s.hdfs.URI+"/warehouse/grows')")
	const text = "SELECT count(*), count(DISTINCT word), max(word) FROM ${database}.hdfs.grows"
	meter := atHDFS(s.hdfs)
	const fetched = `alio_origin_read_bytes_total{mount="warehouse"}`
	read := func(what string, count int) cost {
		var rows []string
		had, err := s.alio.Metrics(ctx)
		need(t, err)
		c, err := meter(ctx, func() error { rows = s.rows(ctx, t, "alio_hive", text); return nil })
		need(t, err)
		has, err := s.alio.Metrics(ctx)
		need(t, err)
		c.sidecar = int64(has[fetched] - had[fetched])
		s.settled(ctx, t)
		t.Logf("%s: %v; %v", what, rows, c)
		same(t, what, []string{fmt.Sprintf("%d | %d | %q", count, count, strings.TrimSpace(line(count-1)))}, rows)
		return c
	}
	if c := read("cold", first); c.bytes < first*64 {
		t.Errorf("the DataNodes served %d of %d bytes", c.bytes, first*64)
	}
	if c := read("warm", first); c.bytes > 0 {
		t.Errorf("the DataNodes served %d bytes again", c.bytes)
	}
	for _, command := range []string{"append w " + path, "write w " + base64.StdEncoding.EncodeToString(lines(first, first+more)), "close w"} {
		if _, err := s.hdfs.Do(ctx, command); err != nil {
			t.Fatal(err)
		}
	}
	last := int64(first+more)*64 - blocks*s.hdfs.BlockSize
	const ahead = 128 << 10 // of a read that is cut short, a DataNode has sent that much more, and counts it
	if c := read("after the append", first+more); c.sidecar < more*64 || c.sidecar > last || c.bytes > last+c.reads*ahead || c.bytes >= s.hdfs.BlockSize {
		t.Errorf("the sidecar read %d bytes after the append, and the DataNodes served %d in %d reads; the last block has %d", c.sidecar, c.bytes, c.reads, last)
	}
	if c := read("warm again", first+more); c.bytes > 0 {
		t.Errorf("the DataNodes served %d bytes again", c.bytes)
	}
}

// With alio.fill=CLIENT Trino reads the store, in no more requests than without the sidecar, which asks it for nothing; the second run makes no data request.
func (s *bridgeStage) filled(ctx context.Context, t *testing.T, text string) {
	want := s.rows(ctx, t, "hive", text)
	m, err := s.alio.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := m[`alio_origin_read_bytes_total{mount="lake"}`]
	_, asked, stock := s.measured(ctx, t, "hive", text)
	rows, fetched, cold := s.measured(ctx, t, "filling", text)
	same(t, "filled by Trino", want, rows)
	s.settled(ctx, t)
	rows, _, warm := s.measured(ctx, t, "filling", text)
	same(t, "filled by Trino, warm", want, rows)
	c := s.client(ctx, t, "filling")
	t.Logf("filled by Trino: stock %v, cold %v, warm %v; %d pages stored", stock, cold, warm, c["StoredPages"])
	if cold.DataGETs == 0 || cold.DataGETs > stock.DataGETs || cold.HEADs > stock.HEADs {
		t.Errorf("filled by Trino: %d data GETs and %d HEADs, %d and %d by the stock connector:\n%q\n%q", cold.DataGETs, cold.HEADs, stock.DataGETs, stock.HEADs, ranges(fetched), ranges(asked))
	}
	if warm.DataGETs > 0 || warm.HEADs > 0 || c["StoredPages"] == 0 || c["DroppedPages"] > 0 {
		t.Errorf("filled by Trino, warm: %v; %v", warm, c)
	}
	if m, err = s.alio.Metrics(ctx); err != nil || m[`alio_origin_read_bytes_total{mount="lake"}`] != read {
		t.Errorf("the sidecar read the store itself: %v", err)
	}
}

// The same tables at hdfs:// locations: same rows, the second run reads nothing of the DataNodes; a file that is appended to the table's folder is seen.
func (s *bridgeStage) onHDFS(ctx context.Context, t *testing.T, text string) {
	direct := harness.S3Client(s.s3.Endpoint, s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
	s.rows(ctx, t, "hive", "CREATE SCHEMA ${database}.hdfs")
	for _, table := range trinoTables {
		for key, data := range tableFiles(ctx, t, direct, s.s3.Bucket, table) {
			if err := s.hdfs.Put(ctx, "/warehouse/"+key, data); err != nil {
				t.Fatal(err)
			}
		}
		s.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.hdfs.%s (LIKE ${database}.${schema}.%s) WITH (format = 'PARQUET', external_location = '%s/warehouse/tables/%s')",
			table, table, s.hdfs.URI, table))
	}
	want := s.rows(ctx, t, "hive", text)
	text = strings.ReplaceAll(text, "${schema}", "hdfs")
	same(t, "stock, on HDFS", want, s.rows(ctx, t, "hive", text))
	meter := atHDFS(s.hdfs)
	for _, try := range []string{"cold", "warm"} {
		c, err := meter(ctx, func() error { same(t, "on HDFS, "+try, want, s.rows(ctx, t, "alio_hive", text)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("on HDFS, %s: %v", try, c)
		if try == "cold" && c.bytes == 0 || try == "warm" && (c.bytes > 0 || c.reads > 0) {
			t.Errorf("on HDFS, %s, DataNodes served %d reads of %d bytes", try, c.reads, c.bytes)
		}
		s.settled(ctx, t)
	}
}
