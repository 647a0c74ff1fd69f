package itest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// The lean real-Presto test: few tables and few queries, so that it fits into six minutes on two cores.
var (
	prestoTables  = []string{"store_sales", "date_dim", "item", "store"}
	prestoQueries = []string{"q43", "q55"} // few rows each, below their LIMIT: no ties are cut
)

// prestoDeadline bounds the whole test; a hung query fails by it instead of by the test binary's timeout, with the servers' output.
const prestoDeadline = 15 * time.Minute

// prestoStage is a Presto with tables on local disk (schema here) and on S3, behind a measuring proxy. The catalog stock is Presto's own;
// alio is the same with the bridge, over a sidecar that reads through the same proxy; carrying is that with the connector alio-hive. For each query there is a copy of the tables, so that
// nothing of it is cached anywhere before. Presto keeps one file system for each scheme and bucket, whatever catalog has made it, so
// stock reads a copy by s3 (schema s3_<query>) and alio reads the same by s3a (s3a_<query>); Delta and Hudi tables are read by s3n, too: by Presto's own file system, through
// the sidecar's S3 door.
type prestoStage struct {
	store  *harness.S3Server
	hdfs   *harness.HDFS
	origin *s3proxy.Proxy
	alio   *harness.Alio
	presto *harness.Presto
	meta   string // the metastore's folder
	socket string // the sidecar's
	shut   string // a folder that Presto may not enter
	begun  time.Time
	last   []s3proxy.Entry // what arrived at the store during the last of rows
}

// prestoMaxAge is for how long the sidecar believes what it knows of files under plain/; of those under now/ it believes nothing. All others have a UUID in their names, and are believed for ever.
const prestoMaxAge = 4 * time.Second

const prestoFreshness = `freshness:
  rules:
    - {path: "lake/plain/**", answers: [object], max_age: 4s}
    - {path: "lake/now/**", answers: [object], max_age: 0s}
` + secondRules

// prestoParts fetches what a Presto with these plugins is made of, which on a new machine may take longer than a test may, and builds the bridge.
func prestoParts(t *testing.T, plugins ...string) (jar string) {
	t.Helper()
	_, err := harness.PrestoLib(t.Context(), t.Logf)
	need(t, err)
	for _, plugin := range plugins {
		_, err := harness.PrestoPluginJars(t.Context(), plugin, t.Logf)
		need(t, err)
	}
	jar, err = harness.PrestoBridge(t.Context(), t.Logf)
	need(t, err)
	return jar
}

func startPresto(ctx context.Context, t *testing.T, jar string) *prestoStage {
	t.Helper()
	s := &prestoStage{store: harness.S3(t), hdfs: harness.NewHDFS(t, harness.HDFSOptions{BlockSize: hdfsBlock}), meta: filepath.Join(t.TempDir(), "metastore"),
		socket: filepath.Join(t.TempDir(), "alio.sock"), begun: time.Now()}
	var err error
	s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.store.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = s.origin.Close() }) // never fails
	need(t, os.MkdirAll(s.meta, 0o755))
	s.alio = harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.store.Bucket, Region: s.store.Region,
		AccessKey: s.store.AccessKey, SecretKey: s.store.SecretKey, Socket: s.socket, ExtraYAML: prestoFreshness, Mounts: s.mounts()})
	s.presto = runPresto(ctx, t, harness.PrestoOptions{Catalogs: s.catalogs(t), Heap: "1200M",
		Jars: map[string][]string{"hive-hadoop2": {jar}, "delta": {jar}, "hudi": {jar}}})
	need(t, harness.CreatePrestoTables(ctx, s.presto, "stock", "here", prestoTables, t.Logf))
	return s
}

// runPresto starts a Presto for one test.
func runPresto(ctx context.Context, t *testing.T, o harness.PrestoOptions) *harness.Presto {
	t.Helper()
	o.Dir, o.Logf = t.TempDir(), t.Logf
	p, err := harness.StartPresto(ctx, o)
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.Output())
		}
		p.Stop()
	})
	return p
}

// mounts are the sidecar's beside the bucket of the tables.
func (s *prestoStage) mounts() string {
	return fmt.Sprintf("  hdfs-lake: {uri: '%s/warehouse', hdfs: {conf_dir: '%s', user: %s}}\n", s.hdfs.URI, s.hdfs.ConfDir, harness.HDFSUser) +
		fmt.Sprintf("  %s: {uri: 's3://%s', s3: {endpoint: '%s', region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}}\n",
			shutBucket, shutBucket, s.origin.URL(), s.store.Region, s.store.AccessKey, s.store.SecretKey)
}

// catalogs are those of the stage, and those of the bad settings (presto_sick_test.go).
func (s *prestoStage) catalogs(t *testing.T) map[string]map[string]string {
	t.Helper()
	stock := harness.PrestoHiveCatalog(s.meta, s.origin.URL(), s.store.AccessKey, s.store.SecretKey)
	stock["hive.orc.tiny-stripe-threshold"] = orcWhole
	all := map[string]map[string]string{"stock": stock}
	through := func(name, connector string, more map[string]string) {
		settings := map[string]string{"alio.address": s.socket, "alio.directories": s.alio.CacheDir, "alio.jmx.name": name, "alio.control.ms": prestoControl(),
			"alio.mounts": "hdfs-lake=" + s.hdfs.URI + "/warehouse"}
		maps.Copy(settings, more)
		catalog, err := harness.PrestoThroughAlio(stock, filepath.Join(t.TempDir(), "core-site.xml"), settings)
		need(t, err)
		all[name] = prestoConnector(catalog, connector)
	}
	through("alio", "hive-hadoop2", nil)
	all["carrying"] = prestoConnector(all["alio"], "alio-hive")
	for _, connector := range []string{"delta", "hudi"} {
		all["stock_"+connector] = prestoConnector(stock, connector)
		through(connector, connector, map[string]string{"alio.metadata": "true"})
		all["door_"+connector] = prestoConnector(harness.PrestoHiveCatalog(s.meta, s.alio.Door, s.alio.AccessKey, s.alio.SecretKey), connector)
	}
	// Hudi's library copies Hadoop's configuration, which by default is a view in 0.287 that it sees nothing in: "No FileSystem for scheme: s3". The bridge's is none.
	all["stock_hudi"]["hive.copy-on-first-write-configuration-enabled"] = "false"
	all["door_hudi"]["hive.copy-on-first-write-configuration-enabled"] = "false"
	// Presto keeps one file system of local files for all catalogs of a user: with impersonation this one's user is the query's, and the others' the process's.
	through("local", "hive-hadoop2", map[string]string{"fs.file.impl": "io.alio.presto.AlioFileSystem", "alio.local.ms": "2000"}) // and other settings have a client of their own
	all["local"]["hive.hdfs.impersonation.enabled"] = "true"
	for name, settings := range s.badSettings(t) {
		through(name, "hive-hadoop2", settings)
	}
	return all
}

// prestoConnector is a catalog with another connector, and without what that one does not know.
func prestoConnector(catalog map[string]string, connector string) map[string]string {
	c := maps.Clone(catalog)
	c["connector.name"] = connector
	if connector == "delta" || connector == "hudi" {
		delete(c, "hive.allow-drop-table")
		delete(c, "hive.orc.tiny-stripe-threshold")
	}
	return c
}

// copyTables makes a copy of the tables (none named: all) on S3, in schemas s3_<name> and s3a_<name>.
func (s *prestoStage) copyTables(ctx context.Context, t *testing.T, name string, tables ...string) {
	t.Helper()
	if len(tables) == 0 {
		tables = prestoTables
	}
	if err := harness.PutPrestoTables(ctx, s.meta, "here", s.store.Client(), s.store.Bucket, name, tables); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"s3", "s3a"} {
		if _, err := s.presto.Query(ctx, "CREATE SCHEMA stock."+scheme+"_"+name); err != nil {
			t.Fatal(err)
		}
		if err := harness.EnterPrestoTables(s.meta, "here", scheme+"_"+name, scheme+"://"+s.store.Bucket+"/"+name, tables); err != nil {
			t.Fatal(err)
		}
	}
}

// prestoTexts are the queries with ${database} and ${schema} in them, by name.
func prestoTexts(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	all, err := harness.TPCDS(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{"two": twoColumns}
	for _, name := range prestoQueries {
		queries[name] = all[name]
	}
	return queries
}

// rows runs a query over a schema of a catalog and says what it cost the store.
func (s *prestoStage) rows(ctx context.Context, t *testing.T, text, catalog, schema string) ([]string, s3proxy.Summary) {
	t.Helper()
	if _, _, err := s.origin.Take(ctx); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	rows, err := s.presto.Query(ctx, harness.In(text, catalog, schema))
	if err != nil {
		t.Fatalf("over %s.%s: %v", catalog, schema, err)
	}
	var cost s3proxy.Summary
	if s.last, cost, err = s.origin.Take(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("  %s.%s: %d rows, %.1f s; %v", catalog, schema, len(rows), time.Since(begun).Seconds(), cost)
	return rows, cost
}

func TestPresto(t *testing.T) {
	texts := prestoTexts(t.Context(), t)
	jar := prestoParts(t, "hive-hadoop2", "delta", "hudi", "tpcds")
	ctx, cancel := context.WithTimeout(context.Background(), prestoDeadline)
	defer cancel()
	s := startPresto(ctx, t, jar)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		s.copyTables(ctx, t, name)
		t.Run(name, func(t *testing.T) { s.sameRows(ctx, t, name, texts[name]) })
	}
	t.Run("orc", func(t *testing.T) { s.orc(ctx, t) })
	t.Run("alio-hive", func(t *testing.T) { s.connector(ctx, t, texts["q43"]) })
	t.Run("local files", func(t *testing.T) { s.localFiles(ctx, t, texts) })
	t.Run("hdfs", func(t *testing.T) { s.overHDFS(ctx, t, texts) })
	t.Run("delta", func(t *testing.T) { s.deltaLake(ctx, t) })
	t.Run("hudi", func(t *testing.T) { s.hudi(ctx, t) })
	t.Run("overwritten in place", func(t *testing.T) { s.overwritten(ctx, t) })
	t.Run("sidecar lost in queries", func(t *testing.T) { s.midQuery(ctx, t, texts["q43"]) })
	t.Run("sidecar lost between queries", func(t *testing.T) { s.lostBetween(ctx, t, texts["q43"]) })
	t.Run("segments damaged and gone", func(t *testing.T) { s.damaged(ctx, t, texts["q43"]) })
	t.Run("bad settings", func(t *testing.T) { s.badInput(ctx, t) })
}

// sameRows has Presto read the Parquet tables that it wrote to local disk, and the same files on S3, with the same rows. The bridge gives
// them too; its first run makes no more data requests than the stock connector and fetches no byte twice, and repeated it makes none, and no HEAD. What is
// read then comes from segments: nothing past the sidecar, and nothing through its connection. It returns how many times what the stock connector
// asked for was fetched by the first run.
func (s *prestoStage) sameRows(ctx context.Context, t *testing.T, name, text string) (overRead float64) {
	want, _ := s.rows(ctx, t, text, "alio", "here")
	direct, straight := s.rows(ctx, t, text, "stock", "s3_"+name)
	asked := s.last
	first, cold := s.rows(ctx, t, text, "alio", "s3a_"+name)
	fetched := s.last
	before := s.counters(ctx, t, "alio")
	again, warm := s.rows(ctx, t, text, "alio", "s3a_"+name)
	after := s.counters(ctx, t, "alio")
	for which, rows := range map[string][]string{"by the stock connector": direct, "by the bridge": first, "by the bridge again": again} {
		if err := harness.SameRows(want, rows); err != nil {
			t.Errorf("from S3 %s: %v", which, err)
		}
	}
	overRead = float64(cold.BytesFetched) / float64(s3proxy.Asked(asked))
	t.Logf("  data GETs stock, cold, repeated: %d / %d / %d; %.3f times what was asked was fetched cold: %q, asked %q", straight.DataGETs, cold.DataGETs, warm.DataGETs, overRead, ranges(fetched), ranges(asked))
	if cold.DataGETs == 0 || cold.DataGETs > straight.DataGETs {
		t.Errorf("%d data GETs when cold, %d by the stock connector", cold.DataGETs, straight.DataGETs)
	}
	if once := s3proxy.Asked(fetched); cold.BytesFetched > once {
		t.Errorf("%d bytes were fetched, %d of them twice", cold.BytesFetched, cold.BytesFetched-once)
	}
	if warm.DataGETs > 0 || warm.HEADs > 0 {
		t.Errorf("%d data GETs and %d HEADs when repeated; there must be none", warm.DataGETs, warm.HEADs)
	}
	local, sent, past := after["LocalBytes"]-before["LocalBytes"], after["SidecarBytes"]-before["SidecarBytes"], after["BypassedBytes"]
	t.Logf("  repeated: %.0f bytes from segments, %.0f sent by the sidecar; %.0f past it in all", local, sent, past)
	if local == 0 || sent > local/10 || past > 0 || after["ReadBytes"]-before["ReadBytes"] != local+sent {
		t.Errorf("the repeated run read by other ways, before %v, after %v", before, after)
	}
	return overRead
}

// counters are those of a catalog's file system and of its client.
func (s *prestoStage) counters(ctx context.Context, t *testing.T, name string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, kind := range []string{"FileSystem", "Client"} {
		some, err := s.presto.MBean(ctx, 0, "io.alio:type="+kind+",name="+name)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, some)
	}
	return all
}

// connector reads by alio-hive what alio has read: the same rows, by the same pages. Tables in buckets are joined bucket by bucket, for which the
// engine asks the connector for a split's bucket.
func (s *prestoStage) connector(ctx context.Context, t *testing.T, text string) {
	want, _ := s.rows(ctx, t, text, "stock", "s3_q43")
	got, cost := s.rows(ctx, t, text, "carrying", "s3a_q43")
	if err := harness.SameRows(want, got); err != nil || cost.DataGETs > 0 || cost.HEADs > 0 {
		t.Errorf("%d data GETs and %d HEADs by alio-hive for what is cached: %v", cost.DataGETs, cost.HEADs, err)
	}
	for _, table := range []string{"one", "other"} {
		if _, err := s.presto.Query(ctx, "CREATE TABLE carrying.here.buckets_"+table+
			" WITH (bucketed_by = ARRAY['i_item_sk'], bucket_count = 3) AS SELECT * FROM stock.here.item"); err != nil {
			t.Fatal(err)
		}
	}
	join := "SELECT a.i_item_id, b.i_current_price FROM ${database}.here.buckets_one a JOIN ${database}.here.buckets_other b ON a.i_item_sk = b.i_item_sk"
	want, _ = s.rows(ctx, t, join, "stock", "here")
	got, _ = s.rows(ctx, t, join, "carrying", "here")
	if err := harness.SameRows(want, got); err != nil || len(got) != 2000 {
		t.Errorf("%d rows of tables in buckets: %v", len(got), err)
	}
}
