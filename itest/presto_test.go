package itest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
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

// The lean real-Presto test: few tables and few queries, so that it fits into six minutes on two cores.
var (
	prestoTables  = []string{"store_sales", "date_dim", "item", "store"}
	prestoQueries = []string{"q43", "q55"} // few rows each, below their LIMIT: no ties are cut
)

// prestoDeadline bounds the whole test; a hung query fails by it instead of by the test binary's timeout, with the servers' output.
const prestoDeadline = 15 * time.Minute

// prestoStage is a Presto with tables on local disk (schema here) and on S3, behind a measuring proxy. The catalog stock is Presto's own;
// alio is the same with the bridge, over a sidecar that reads through the same proxy; carrying is that with the connector alio-hive; astray has the wrong address. For each query there is a copy of the tables, so that
// nothing of it is cached anywhere before. Presto keeps one file system for each scheme and bucket, whatever catalog has made it, so
// stock reads a copy by s3 (schema s3_<query>), alio reads the same by s3a (s3a_<query>), and astray by s3n.
type prestoStage struct {
	store  *harness.S3Server
	hdfs   *harness.HDFS
	origin *s3proxy.Proxy
	alio   *harness.Alio
	presto *harness.Presto
	meta   string // the metastore's folder
	socket string // the sidecar's
}

func startPresto(ctx context.Context, t *testing.T, o harness.PrestoOptions) *prestoStage {
	t.Helper()
	jar, err := harness.PrestoBridge(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	s := &prestoStage{store: harness.S3(t), hdfs: harness.NewHDFS(t, harness.HDFSOptions{BlockSize: hdfsBlock}), meta: filepath.Join(t.TempDir(), "metastore")}
	if s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.store.Endpoint}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.origin.Close() }) // never fails
	if err := os.MkdirAll(s.meta, 0o755); err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Logf = t.TempDir(), t.Logf
	o.Catalogs = maps.Clone(o.Catalogs)
	if o.Catalogs == nil {
		o.Catalogs = map[string]map[string]string{}
	}
	s.socket = filepath.Join(t.TempDir(), "alio.sock")
	s.alio = harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.store.Bucket, Region: s.store.Region,
		AccessKey: s.store.AccessKey, SecretKey: s.store.SecretKey, Socket: s.socket,
		Mounts: fmt.Sprintf("  hdfs-lake: {uri: '%s/warehouse', hdfs: {conf_dir: '%s', user: %s}}\n", s.hdfs.URI, s.hdfs.ConfDir, harness.HDFSUser)})
	o.Catalogs["stock"] = harness.PrestoHiveCatalog(s.meta, s.origin.URL(), s.store.AccessKey, s.store.SecretKey)
	for name, address := range map[string]string{"alio": s.socket, "astray": s.socket + ".no"} {
		o.Catalogs[name], err = harness.PrestoThroughAlio(o.Catalogs["stock"], filepath.Join(t.TempDir(), "core-site.xml"),
			map[string]string{"alio.address": address, "alio.directories": s.alio.CacheDir, "alio.jmx.name": name, "alio.control.ms": prestoControl(),
				"alio.mounts": "hdfs-lake=" + s.hdfs.URI + "/warehouse"})
		if err != nil {
			t.Fatal(err)
		}
	}
	o.Catalogs["carrying"] = maps.Clone(o.Catalogs["alio"])
	o.Catalogs["carrying"]["connector.name"] = "alio-hive"
	o.Jars = map[string][]string{"hive-hadoop2": {jar}}
	if s.presto, err = harness.StartPresto(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.presto.Output())
		}
		s.presto.Stop()
	})
	if err := harness.CreatePrestoTables(ctx, s.presto, "stock", "here", prestoTables, t.Logf); err != nil {
		t.Fatal(err)
	}
	return s
}

// copyTables makes a copy of the tables (none named: all) on S3, in schemas s3_<name>, s3a_<name> and s3n_<name>.
func (s *prestoStage) copyTables(ctx context.Context, t *testing.T, name string, tables ...string) {
	t.Helper()
	if len(tables) == 0 {
		tables = prestoTables
	}
	if err := harness.PutPrestoTables(ctx, s.meta, "here", s.store.Client(), s.store.Bucket, name, tables); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"s3", "s3a", "s3n"} {
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
	_, cost, err := s.origin.Take(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("  %s.%s: %d rows, %.1f s; %v", catalog, schema, len(rows), time.Since(begun).Seconds(), cost)
	return rows, cost
}

func TestPresto(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), prestoDeadline)
	defer cancel()
	texts := prestoTexts(ctx, t)
	s := startPresto(ctx, t, harness.PrestoOptions{})
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		s.copyTables(ctx, t, name)
		t.Run(name, func(t *testing.T) { s.sameRows(ctx, t, name, texts[name]) })
	}
	t.Run("alio-hive", func(t *testing.T) { s.connector(ctx, t, texts["q43"]) })
	t.Run("hdfs", func(t *testing.T) { s.overHDFS(ctx, t, texts) })
	t.Run("overwritten in place", func(t *testing.T) { s.overwritten(ctx, t) })
	t.Run("sidecar lost in queries", func(t *testing.T) { s.midQuery(ctx, t, texts["q43"]) })
	t.Run("sick sidecar", func(t *testing.T) { s.sick(ctx, t, texts["q43"]) })
}

// generated is the query whose rows are compared with the generator's.
const generated = "q55"

// sameRows has Presto read the Parquet tables that it wrote to local disk, and the same files on S3, with the same rows. The bridge gives
// them too; its first run makes no more data requests than the stock connector, and repeated it makes none, and no HEAD. What is
// read then comes from segments: nothing past the sidecar, and nothing through its connection.
func (s *prestoStage) sameRows(ctx context.Context, t *testing.T, name, text string) {
	want, _ := s.rows(ctx, t, text, "alio", "here")
	if name == generated { // which takes Presto as long as all the others
		made, _ := s.rows(ctx, t, text, "tpcds", "tiny")
		if err := harness.SameRows(made, want); err != nil {
			t.Errorf("from local disk: %v", err)
		}
	}
	direct, straight := s.rows(ctx, t, text, "stock", "s3_"+name)
	first, cold := s.rows(ctx, t, text, "alio", "s3a_"+name)
	before := s.counters(ctx, t, "alio")
	again, warm := s.rows(ctx, t, text, "alio", "s3a_"+name)
	after := s.counters(ctx, t, "alio")
	for which, rows := range map[string][]string{"by the stock connector": direct, "by the bridge": first, "by the bridge again": again} {
		if err := harness.SameRows(want, rows); err != nil {
			t.Errorf("from S3 %s: %v", which, err)
		}
	}
	if cold.DataGETs == 0 || cold.DataGETs > straight.DataGETs {
		t.Errorf("%d data GETs when cold, %d by the stock connector", cold.DataGETs, straight.DataGETs)
	}
	if warm.DataGETs > 0 || warm.HEADs > 0 {
		t.Errorf("%d data GETs and %d HEADs when repeated; there must be none", warm.DataGETs, warm.HEADs)
	}
	local, sent, past := after["LocalBytes"]-before["LocalBytes"], after["SidecarBytes"]-before["SidecarBytes"], after["BypassedBytes"]
	t.Logf("  repeated: %.0f bytes from segments, %.0f sent by the sidecar; %.0f past it in all", local, sent, past)
	if local == 0 || sent > local/10 || past > 0 || after["ReadBytes"]-before["ReadBytes"] != local+sent {
		t.Errorf("the repeated run read by other ways, before %v, after %v", before, after)
	}
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

// sick runs a query while the sidecar is not where the bridge looks for it, is hung, and is dead: the rows are the same each time, read by
// Presto's own file system, and the counters and one warning tell of it. Alive again, it serves again.
func (s *prestoStage) sick(ctx context.Context, t *testing.T, text string) {
	want, _ := s.rows(ctx, t, text, "stock", "s3_q43")
	same := func(what, catalog, schema string, past bool) {
		t.Helper()
		before := map[string]float64{}
		if catalog == "alio" { // the other was not used before, and counts from its first use
			before = s.counters(ctx, t, catalog)
		}
		got, _ := s.rows(ctx, t, text, catalog, schema)
		after := s.counters(ctx, t, catalog)
		if err := harness.SameRows(want, got); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		bypassed := after["BypassedFiles"] + after["BypassedReads"] - before["BypassedFiles"] - before["BypassedReads"]
		if past != (bypassed > 0) {
			t.Errorf("%s: %.0f files and reads were bypassed", what, bypassed)
		}
	}
	same("the wrong address", "astray", "s3n_q43", true)
	if log := s.presto.Output(); strings.Count(log, s.socket+".no") == 0 {
		t.Error("no warning names the wrong address")
	}
	s.copyTables(ctx, t, "sick") // nothing of this was opened before, so that the sidecar is asked
	if err := syscall.Kill(s.alio.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	same("a hung sidecar", "alio", "s3a_sick", true)
	s.alio.Kill()
	same("a dead sidecar", "alio", "s3a_q43", false)
	if err := s.alio.Start(ctx); err != nil {
		t.Fatal(err)
	}
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

// overwritten has an object replaced between queries, under a name that the sidecar believes for ten seconds. alio-hive carries the
// version of its listing, so it shows the new rows at once, even of the same length in the same second. Without it, rows are no older
// than those ten seconds, and at once new if length or second differ; no query fails.
func (s *prestoStage) overwritten(ctx context.Context, t *testing.T) {
	contents, rows := map[string][]byte{}, map[string][]string{"x1": {"1"}, "x2": {"2"}, "x3": {"3", "4"}}
	for name, values := range rows {
		if _, err := s.presto.Query(ctx, "CREATE TABLE stock.here."+name+" AS SELECT CAST(x AS bigint) x FROM (VALUES "+strings.Join(values, ", ")+") t(x)"); err != nil {
			t.Fatal(err)
		}
		contents[name] = onlyFile(t, filepath.Join(s.meta, "here", name))
	}
	if len(contents["x1"]) != len(contents["x2"]) || len(contents["x1"]) == len(contents["x3"]) {
		t.Fatalf("files of %d, %d and %d bytes", len(contents["x1"]), len(contents["x2"]), len(contents["x3"]))
	}
	if _, err := s.presto.Query(ctx, "CREATE SCHEMA stock.s3a_plain"); err != nil {
		t.Fatal(err)
	}
	if err := harness.EnterPrestoTables(s.meta, "here", "s3a_plain", "s3a://"+s.store.Bucket+"/plain", []string{"x1"}); err != nil {
		t.Fatal(err)
	}
	query := func(catalog string) []string {
		got, _ := s.rows(ctx, t, "SELECT x FROM ${database}.${schema}.x1", catalog, "s3a_plain")
		return got
	}
	put := func(name string) {
		_, err := s.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.store.Bucket, Key: aws.String("plain/x1/data"), Body: bytes.NewReader(contents[name])})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"x1", "x2", "x1", "x3", "x2"} {
		put(name)
		if err := harness.SameRows(rows[name], query("carrying")); err != nil {
			t.Errorf("alio-hive, now that %s is there: %v", name, err)
		}
	}
	put("x3")
	if err := harness.SameRows(rows["x3"], query("alio")); err != nil {
		t.Errorf("without alio-hive, of another length: %v", err)
	}
	put("x1")
	query("alio")
	put("x2")
	begun, tick := time.Now(), time.NewTicker(500*time.Millisecond)
	defer tick.Stop()
	for harness.SameRows(rows["x2"], query("alio")) != nil {
		if time.Since(begun) > 15*time.Second {
			t.Fatalf("without alio-hive the old rows are shown after %v", time.Since(begun))
		}
		<-tick.C
	}
	t.Logf("without alio-hive, of the same length: new rows after %.1f s", time.Since(begun).Seconds())
}

// onlyFile is the content of the one data file in a table's folder.
func onlyFile(t *testing.T, dir string) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "[^._]*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d data files in %s (%v)", len(found), dir, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}
