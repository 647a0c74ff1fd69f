package itest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// bridgeStage is a store behind the measuring proxy, a sidecar, and one Trino with a stock catalog and a bridged one of each format. Both
// read the store by the same address; the sidecar does, too.
type bridgeStage struct {
	s3     *harness.S3Server
	origin *s3proxy.Proxy
	alio   *harness.Alio
	trino  *harness.Trino
	hdfs   *harness.HDFS
}

// overMaxAge is how old an answer of the sidecar may be for the text table that is overwritten in place. All others are believed for an hour, so
// that how long a query takes does not matter.
const overMaxAge = 2 * time.Second

const bridgeFreshness = `freshness:
  rules:
    - {path: "lake/over/text/**", answers: [object], max_age: 2s}
    - {path: "**", answers: [object], max_age: 1h}
`

func TestTrinoBridge(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), trinoDeadline)
	defer cancel()
	texts, err := harness.TPCDS(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	s := startBridge(ctx, t)
	if err := harness.CreateTables(ctx, s.db(t, "hive"), "hive", s.s3.Bucket, trinoTables, t.Logf); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{"2-columns": twoColumns}
	for _, name := range trinoQueries {
		queries[name] = texts[name]
	}
	s.rows(ctx, t, "hive", "CREATE TABLE ${database}.${schema}.probe WITH (format = 'PARQUET', external_location = 's3://"+s.s3.Bucket+"/tables/probe') AS SELECT 'word' word")
	t.Run("same rows", func(t *testing.T) { s.sameRows(ctx, t, queries) })
	t.Run("delta lake", func(t *testing.T) { s.deltaLake(ctx, t) })
	t.Run("hudi", func(t *testing.T) { s.hudi(ctx, t) })
	t.Run("overwritten in place", func(t *testing.T) { s.overwritten(ctx, t) })
	t.Run("filled by Trino", func(t *testing.T) { s.filled(ctx, t, queries["q43"]) })
	t.Run("hdfs", func(t *testing.T) { s.onHDFS(ctx, t, queries["q43"]) })
	t.Run("kill -9 in a query", func(t *testing.T) {
		s.lost(ctx, t, queries["q65"], s.alio.Kill, func() error { return s.alio.Start(ctx) })
	})
	t.Run("hung in a query", func(t *testing.T) {
		s.lost(ctx, t, queries["q65"], func() { s.signal(t, syscall.SIGSTOP) }, func() error { s.signal(t, syscall.SIGCONT); return nil })
	})
}

func startBridge(ctx context.Context, t *testing.T) *bridgeStage {
	t.Helper()
	s := &bridgeStage{s3: harness.S3(t), hdfs: harness.NewHDFS(t, harness.HDFSOptions{BlockSize: 1 << 20})}
	var err error
	if s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.s3.Endpoint}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.origin.Close() }) // never fails
	socket := filepath.Join(t.TempDir(), "alio.sock")
	s.alio = harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.s3.Bucket, Region: s.s3.Region, AccessKey: s.s3.AccessKey,
		SecretKey: s.s3.SecretKey, Socket: socket, ExtraYAML: bridgeFreshness,
		Mounts: fmt.Sprintf("  warehouse: {uri: '%s/warehouse', hdfs: {conf_dir: '%s', user: %s}}\n", s.hdfs.URI, s.hdfs.ConfDir, harness.HDFSUser)})
	_, plugins, err := harness.TrinoBridge(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	s.trino, err = harness.StartTrino(ctx, harness.TrinoOptions{Dir: t.TempDir(), Catalogs: s.catalogs(socket), Plugins: plugins, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of Trino's log:\n%s", s.trino.Output())
		}
		s.trino.Stop()
	})
	return s
}

// catalogs are a stock one and a bridged one of each format, which differ by what docs/trino.md tells an operator to add and nothing
// else, and "filling", where Trino fills the sidecar.
func (s *bridgeStage) catalogs(socket string) map[string]map[string]string {
	plain := harness.HiveCatalog(s.origin.URL(), s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
	hive := maps.Clone(plain) // Hadoop's libraries, in a class loader for each catalog, take seconds: only where HDFS is read
	hive["fs.hadoop.enabled"] = "true"
	hive["hive.config.resources"] = filepath.Join(s.hdfs.ConfDir, "core-site.xml") + "," + filepath.Join(s.hdfs.ConfDir, "hdfs-site.xml")
	delta := maps.Clone(plain)
	delta["connector.name"] = "delta_lake"
	delta["hive.metastore.catalog.dir"] = "local:///metastore-delta"
	delta["delta.enable-non-concurrent-writes"] = "true"
	for _, key := range []string{"hive.non-managed-table-writes-enabled", "hive.dynamic-filtering.wait-timeout"} {
		delete(delta, key)
	}
	hudi := maps.Clone(plain)
	hudi["connector.name"] = "hudi"
	for _, key := range []string{"hive.non-managed-table-writes-enabled", "hive.dynamic-filtering.wait-timeout"} {
		delete(hudi, key)
	}
	bridged := func(stock map[string]string) map[string]string {
		with := maps.Clone(stock)
		with["connector.name"] = "alio_" + stock["connector.name"]
		with["alio.sidecar"] = socket
		with["alio.directories"] = s.alio.CacheDir
		with["alio.mounts"] = s.hdfs.URI + "/warehouse=warehouse"
		with["alio.deadline"] = "2s" // what is counted must not depend on how busy the machine is
		return with
	}
	lost, filling, off := bridged(plain), bridged(plain), bridged(plain)
	lost["alio.deadline"] = "200ms" // ten times the default, for a machine that is busy
	filling["alio.fill"] = "CLIENT"
	off["alio.enabled"] = "false"
	all := map[string]map[string]string{"hive": hive, "delta": delta, "hudi": hudi, "alio_hive": bridged(hive), "alio_delta": bridged(delta), "alio_hudi": bridged(hudi),
		"lost": lost, "filling": filling, "off": off}
	for _, name := range append(trinoQueries, "2-columns") {
		all[coldCatalog(name)] = bridged(plain)
	}
	return all
}

// coldCatalog is the catalog of a query's own, whose client knows nothing before it.
func coldCatalog(query string) string { return "cold_" + strings.ReplaceAll(query, "-", "_") }

func (s *bridgeStage) db(t *testing.T, catalog string) *sql.DB {
	t.Helper()
	db, err := s.trino.DB(catalog, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// rows runs a text in a catalog; it must succeed.
func (s *bridgeStage) rows(ctx context.Context, t *testing.T, catalog, text string) []string {
	t.Helper()
	rows, err := harness.Rows(ctx, s.db(t, catalog), harness.In(text, catalog, "tiny"))
	if err != nil {
		t.Fatalf("%s in catalog %s: %v", text, catalog, err)
	}
	return rows
}

// measured is rows with what arrived at the store meanwhile, from Trino or the sidecar.
func (s *bridgeStage) measured(ctx context.Context, t *testing.T, catalog, text string) ([]string, []s3proxy.Entry, s3proxy.Summary) {
	t.Helper()
	_, _, err := s.origin.Take(ctx)
	rows := s.rows(ctx, t, catalog, text)
	entries, sum, err2 := s.origin.Take(ctx)
	if err := errors.Join(err, err2); err != nil || sum.Dropped > 0 {
		t.Fatalf("the measuring proxy: %v, %d entries dropped", err, sum.Dropped)
	}
	return rows, entries, sum
}

// client are the counters of a catalog's client, bridge those of the bridge itself.
func (s *bridgeStage) client(ctx context.Context, t *testing.T, catalog string) map[string]int64 {
	t.Helper()
	return s.bean(ctx, t, "io.alio:type=Client,name="+catalog)
}

func (s *bridgeStage) bridge(ctx context.Context, t *testing.T, catalog string) map[string]int64 {
	t.Helper()
	return s.bean(ctx, t, "io.alio:type=Trino,name="+catalog)
}

func (s *bridgeStage) bean(ctx context.Context, t *testing.T, name string) map[string]int64 {
	t.Helper()
	all, err := s.trino.MBean(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ranges are the data requests among some, for a message.
func ranges(entries []s3proxy.Entry) (out []string) {
	for _, e := range entries {
		if e.IsDataGET() {
			out = append(out, fmt.Sprintf("%s %s %d", e.Key[:min(len(e.Key), 25)], e.Range, e.Bytes))
		}
	}
	return out
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if err := harness.SameRows(want, got); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// The bridge gives the rows of the stock connector; cold it makes no more data requests and fetches at most 1.10 times what Trino asked for; repeated,
// it makes no data request and no HEAD, and its bytes come from the segments.
func (s *bridgeStage) sameRows(ctx context.Context, t *testing.T, queries map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		text, catalog := queries[name], coldCatalog(name)
		want, asked, stock := s.measured(ctx, t, "hive", text)
		if err := s.alio.Cold(ctx); err != nil {
			t.Fatal(err)
		}
		rows, fetched, cold := s.measured(ctx, t, catalog, text)
		same(t, name+" cold", want, rows)
		s.settled(ctx, t)
		before := s.client(ctx, t, catalog)
		rows, _, warm := s.measured(ctx, t, catalog, text)
		after := s.client(ctx, t, catalog)
		same(t, name+" warm", want, rows)
		n := s3proxy.Asked(asked)
		t.Logf("%s: %d rows; stock %v; cold %v, asked %d; warm %v, %d bytes of segments, %d of the sidecar", name, len(want), stock, cold, n, warm,
			after["LocalBytes"]-before["LocalBytes"], after["SidecarBytes"]-before["SidecarBytes"])
		if stock.DataGETs == 0 || cold.DataGETs == 0 || n == 0 {
			t.Errorf("%s measured nothing: %v stock, %v cold, %d bytes asked", name, stock, cold, n)
		}
		if cold.DataGETs > stock.DataGETs {
			t.Errorf("%s: %d data GETs when cold, %d by the stock connector:\n%q\n%q", name, cold.DataGETs, stock.DataGETs, ranges(fetched), ranges(asked))
		}
		if over := float64(cold.BytesFetched) / float64(n); over > 1.10 {
			t.Errorf("%s: %d bytes fetched for %d asked, %.3f times; the limit is 1.10:\n%q\n%q", name, cold.BytesFetched, n, over, ranges(fetched), ranges(asked))
		}
		if warm.DataGETs > 0 || warm.HEADs > 0 {
			t.Errorf("%s: %d data GETs and %d HEADs when warm; there must be none", name, warm.DataGETs, warm.HEADs)
		}
		if after["LocalBytes"] == before["LocalBytes"] {
			t.Errorf("%s: no byte was read from the segments when warm: %v", name, after)
		}
		if b := s.bridge(ctx, t, catalog); b["OpenedFiles"] == 0 || b["BypassedFiles"] > 0 || b["UnmappedFiles"] > 0 || after["BypassedReads"] > 0 {
			t.Errorf("%s: the sidecar was there all the time, and the bridge counted %v and %v", name, b, after)
		}
	}
	s.rows(ctx, t, "off", twoColumns) // the off switch: Trino's own connector, and no counters
	if _, err := s.trino.MBean(ctx, "io.alio:type=Client,name=off"); err == nil {
		t.Error("alio.enabled=false has a client")
	}
}

// cold empties the sidecar's cache, and has the bridge know it: what it holds of removed segments it could read still.
func (s *bridgeStage) cold(ctx context.Context, t *testing.T) {
	t.Helper()
	before := s.client(ctx, t, "lost")["Forgets"]
	if err := s.alio.Cold(ctx); err != nil {
		t.Fatal(err)
	}
	s.until(ctx, t, "forget what it knew", func() bool { return s.client(ctx, t, "lost")["Forgets"] > before })
}

// answers waits until the bridge reads through the sidecar.
func (s *bridgeStage) answers(ctx context.Context, t *testing.T) {
	t.Helper()
	before := s.client(ctx, t, "lost")["AnsweredCalls"]
	s.until(ctx, t, "come back to the sidecar", func() bool {
		c := s.client(ctx, t, "lost")
		return c["AnsweredCalls"] > before && c["BreakerOpen"] == 0
	})
}

// until reads one small file through the bridge until something is so. Reads that are made locally are told to the sidecar every other second, which is when
// the bridge learns of it.
func (s *bridgeStage) until(ctx context.Context, t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(limit) {
			t.Fatalf("the bridge did not %s: %v", what, s.client(ctx, t, "lost"))
		}
		s.rows(ctx, t, "lost", "SELECT word FROM ${database}.${schema}.probe")
		<-tick.C
	}
}

// settled waits until the disk tier has all pages.
func (s *bridgeStage) settled(ctx context.Context, t *testing.T) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := s.alio.Metrics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var queued float64
		for name, v := range m {
			if strings.HasPrefix(name, "alio_disk_write_queue_bytes") {
				queued += v
			}
		}
		if queued == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the disk tier's queue does not empty")
		case <-tick.C:
		}
	}
}

// A Delta table, warm: no data request; after an insert by either connector its rows are there at once.
func (s *bridgeStage) deltaLake(ctx context.Context, t *testing.T) {
	s.rows(ctx, t, "delta", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	s.rows(ctx, t, "delta", "CREATE TABLE ${database}.${schema}.item WITH (location = 's3://"+s.s3.Bucket+"/delta/item') AS SELECT * FROM tpcds.tiny.item")
	const text = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.item"
	for _, writer := range []string{"delta", "alio_delta"} {
		want := s.rows(ctx, t, "delta", text)
		for range 2 {
			same(t, "Delta Lake", want, s.rows(ctx, t, "alio_delta", text))
		}
		s.settled(ctx, t)
		rows, _, warm := s.measured(ctx, t, "alio_delta", text)
		same(t, "Delta Lake warm", want, rows)
		t.Logf("Delta Lake warm: %v", warm)
		if warm.DataGETs > 0 {
			t.Errorf("%d data GETs of a warm Delta table", warm.DataGETs)
		}
		s.rows(ctx, t, writer, "INSERT INTO ${database}.${schema}.item SELECT * FROM tpcds.tiny.item WHERE i_item_sk <= 10")
		rows = s.rows(ctx, t, "alio_delta", text)
		if was, is := firstColumn(t, want), firstColumn(t, rows[:1]); is != was+10 {
			t.Errorf("after %s has inserted 10 rows into %d, alio_delta counts %d", writer, was, is)
		}
	}
	if c := s.client(ctx, t, "alio_delta"); c["LocalBytes"] == 0 || c["BypassedReads"] > 0 {
		t.Errorf("the client of alio_delta counted %v", c)
	}
}

// hudi reads a copy-on-write table of Hudi with both connectors: same rows, and warm no data request. Trino writes none, so the table is made by hand: a
// timeline of one commit, one base file, which Trino has written, and an entry in the metastore with Hudi's input format.
func (s *bridgeStage) hudi(ctx context.Context, t *testing.T) {
	const instant, base = "20260101000000000", "11111111-2222-3333-4444-555555555555-0_0-0-0_20260101000000000.parquet"
	direct := harness.S3Client(s.s3.Endpoint, s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
	put := func(name string, data []byte) {
		t.Helper()
		if _, err := direct.PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.s3.Bucket, Key: aws.String("hudi/item/" + name), Body: bytes.NewReader(data)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, data := range tableFiles(ctx, t, direct, s.s3.Bucket, "item") {
		put(base, data)
	}
	put(".hoodie/hoodie.properties", []byte("hoodie.table.name=item\nhoodie.table.type=COPY_ON_WRITE\nhoodie.table.version=6\nhoodie.timeline.layout.version=1\n"+
		"hoodie.table.base.file.format=PARQUET\nhoodie.archivelog.folder=archived\n"))
	put(".hoodie/"+instant+".commit", []byte(`{"partitionToWriteStats":{"":[{"fileId":"11111111-2222-3333-4444-555555555555-0","path":"`+base+
		`","prevCommit":"null","partitionPath":""}]},"compacted":false,"extraMetadata":{},"operationType":"BULK_INSERT"}`))
	s.rows(ctx, t, "hive", "CREATE TABLE ${database}.${schema}.hudi_item (LIKE ${database}.${schema}.item) WITH (format = 'PARQUET', external_location = 's3://"+s.s3.Bucket+"/hudi/item')")
	entry := filepath.Join(s.trino.Dir, "localfs", "metastore", "tiny", "hudi_item", ".trinoSchema")
	b, err := os.ReadFile(entry)
	if err == nil {
		b = bytes.ReplaceAll(b, []byte("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"), []byte("org.apache.hudi.hadoop.HoodieParquetInputFormat"))
		err = os.WriteFile(entry, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	const text = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.hudi_item"
	want := s.rows(ctx, t, "hudi", text)
	same(t, "Hudi", want, s.rows(ctx, t, "alio_hudi", text))
	s.settled(ctx, t)
	rows, _, warm := s.measured(ctx, t, "alio_hudi", text)
	same(t, "Hudi warm", want, rows)
	c := s.client(ctx, t, "alio_hudi")
	t.Logf("Hudi: %v, warm %v; %d bytes of segments", want, warm, c["LocalBytes"])
	if warm.DataGETs > 0 || c["LocalBytes"] == 0 || c["BypassedReads"]+c["BypassedOpens"] > 0 {
		t.Errorf("a warm Hudi table: %v; %v", warm, c)
	}
}

// A file that is overwritten in place by one of the same length. Where Trino knows its time (Parquet), its next query has the new rows, whatever
// max_age is; where it knows nothing (text), no query that begins when the new file is older than max_age has old rows.
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
	const create = "CREATE TABLE ${database}.${schema}.over_%[1]s (word varchar) WITH (format = '%[2]s', external_location = 's3://%[3]s/over/%[1]s')"
	s.rows(ctx, t, "hive", fmt.Sprintf(create, "parquet", "PARQUET", s.s3.Bucket))
	s.rows(ctx, t, "hive", fmt.Sprintf(create, "text", "TEXTFILE", s.s3.Bucket))
	const columns, words = "SELECT word FROM ${database}.${schema}.over_parquet", "SELECT word FROM ${database}.${schema}.over_text"
	for _, text := range []string{columns, words} {
		same(t, "before the overwrite", s.rows(ctx, t, "hive", text), s.rows(ctx, t, "alio_hive", text))
	}
	<-time.After(1100 * time.Millisecond) // the store tells times in whole seconds
	put("over/parquet/data.parquet", parquet[1])
	same(t, "Parquet, right after it was overwritten", []string{`"new"`}, s.rows(ctx, t, "alio_hive", columns))
	if b := s.bridge(ctx, t, "alio_hive"); b["StaleFiles"] != 1 || b["BypassedFiles"] != 0 {
		t.Errorf("one file had changed behind the sidecar's back, and the bridge counted %v", b)
	}

	put("over/text/data.txt", []byte("new\n")) // of the same length
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

// With alio.fill=CLIENT Trino reads the store and the sidecar asks it for nothing; the second run makes no data request.
func (s *bridgeStage) filled(ctx context.Context, t *testing.T, text string) {
	want := s.rows(ctx, t, "hive", text)
	m, err := s.alio.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := m[`alio_origin_read_bytes_total{mount="lake"}`]
	rows, _, cold := s.measured(ctx, t, "filling", text)
	same(t, "filled by Trino", want, rows)
	for limit := time.Now().Add(time.Minute); ; { // pages are put in the background
		s.settled(ctx, t)
		rows, _, warm := s.measured(ctx, t, "filling", text)
		same(t, "filled by Trino, warm", want, rows)
		c := s.client(ctx, t, "filling")
		if warm.DataGETs == 0 && warm.HEADs == 0 && c["StoredPages"] > 0 {
			t.Logf("filled by Trino: cold %v, warm %v; %d pages stored", cold, warm, c["StoredPages"])
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("filled by Trino: still %v; %v", warm, c)
		}
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

func (s *bridgeStage) signal(t *testing.T, sig syscall.Signal) {
	if err := syscall.Kill(s.alio.PID(), sig); err != nil {
		t.Error(err)
	}
}

// lost takes the sidecar away with a read in its hands; the query ends with the right rows, by Trino's own file system, having waited for the sidecar
// no more than until its breaker opened; what went past it is counted; and when it is back, the bridge reads through it again.
func (s *bridgeStage) lost(ctx context.Context, t *testing.T, text string, take func(), giveBack func() error) {
	want := s.rows(ctx, t, "hive", text)
	s.answers(ctx, t)
	s.cold(ctx, t)
	before := s.client(ctx, t, "lost")
	held := make(chan string, 1)
	remove := s.origin.Inject(s3proxy.Rule{Fault: s3proxy.Hang(), Times: 1, Match: func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/tables/store_sales/") || !strings.Contains(r.UserAgent(), "aws-sdk-go") { // not Trino's own
			return false
		}
		select {
		case held <- r.URL.Path:
		default:
		}
		return true
	}})
	defer remove()
	type answer struct {
		rows []string
		err  error
	}
	done := make(chan answer, 1)
	db := s.db(t, "lost")
	go func() {
		rows, err := harness.Rows(ctx, db, harness.In(text, "lost", "tiny"))
		done <- answer{rows, err}
	}()
	select {
	case <-held:
	case a := <-done:
		t.Fatalf("the query ended before it read store_sales: %d rows, %v", len(a.rows), a.err)
	}
	take()
	begun := time.Now()
	a := <-done
	took := time.Since(begun)
	after := s.client(ctx, t, "lost")
	if err := giveBack(); err != nil {
		t.Fatal(err)
	}
	if a.err != nil {
		t.Fatalf("the query that lost its sidecar failed: %v", a.err)
	}
	same(t, "the query that lost its sidecar", want, a.rows)
	change := map[string]int64{}
	for k, v := range after {
		if v != before[k] {
			change[k] = v - before[k]
		}
	}
	t.Logf("the query went on for %.1f s without the sidecar: %v", took.Seconds(), change)
	if change["BypassedReads"]+change["BypassedOpens"] == 0 {
		t.Errorf("nothing was counted as bypassed: %v", change)
	}
	if late := change["LateCalls"]; late > 12 || took > 15*time.Second { // three open the breaker, trials follow at growing distances; a read may wait 30 s for the origin
		t.Errorf("%d calls waited for a sidecar that was gone, and the query %v", late, took)
	}
	s.answers(ctx, t)
	same(t, "after the sidecar came back", want, s.rows(ctx, t, "lost", text))
}
