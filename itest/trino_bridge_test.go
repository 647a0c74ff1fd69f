package itest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// bridgeStage is a store behind the measuring proxy, a sidecar, and one Trino with a stock catalog and a bridged one of each format. Both
// read the store by the same address; the sidecar does, too.
type bridgeStage struct {
	s3      *harness.S3Server
	origin  *s3proxy.Proxy
	alio    *harness.Alio
	trino   *harness.Trino
	hdfs    *harness.HDFS
	plugins map[string]string
	bad     badSidecars
}

// overMaxAge is how old an answer of the sidecar may be for the text table that is overwritten in place. Two others are asked about at each opening; all the rest are
// believed for an hour, so that how long a query takes does not matter.
const overMaxAge = 2 * time.Second

const bridgeFreshness = `freshness:
  rules:
    - {path: "lake/over/text/**", answers: [object], max_age: 2s}
    - {path: "lake/over/now/**", answers: [object], max_age: 0s}
    - {path: "warehouse/grows/**", answers: [object], max_age: 0s}
    - {path: "**", answers: [object], max_age: 1h}
`

// throughBridge are the tests of the bridge, on a stage whose Trino has its catalogs.
func (s *bridgeStage) throughBridge(ctx context.Context, t *testing.T, queries map[string]string) {
	s.rows(ctx, t, "hive", "CREATE TABLE ${database}.${schema}.probe WITH (format = 'PARQUET', external_location = 's3://"+s.s3.Bucket+"/tables/probe') AS SELECT 'word' word")
	t.Run("same rows", func(t *testing.T) { s.sameRows(ctx, t, queries) })
	t.Run("delta lake", func(t *testing.T) { s.deltaLake(ctx, t) })
	t.Run("hudi", func(t *testing.T) { s.hudi(ctx, t) })
	t.Run("orc", func(t *testing.T) { s.orc(ctx, t) })
	t.Run("overwritten in place", func(t *testing.T) { s.overwritten(ctx, t) })
	t.Run("filled by Trino", func(t *testing.T) { s.filled(ctx, t, queries["q43"]) })
	t.Run("local files", func(t *testing.T) { s.localFiles(ctx, t, queries) })
	t.Run("hdfs", func(t *testing.T) { s.onHDFS(ctx, t, queries["q43"]) })
	t.Run("iceberg", func(t *testing.T) { s.iceberg(ctx, t) })
	t.Run("over-read", func(t *testing.T) { s.overRead(ctx, t) })
	t.Run("appended on HDFS", func(t *testing.T) { s.appended(ctx, t) })
	t.Run("bad input", func(t *testing.T) { s.badInput(ctx, t, queries["q43"]) })
	t.Run("damaged", func(t *testing.T) { s.damaged(ctx, t, queries["q43"]) })
	t.Run("lost in a query", func(t *testing.T) { s.outages(ctx, t, queries["q65"]) })
}

// before starts what the bridge's catalogs name, and says what Trino must have for it.
func (s *bridgeStage) before(ctx context.Context, t *testing.T, stage *harness.Stage) (o harness.TrinoOptions, err error) {
	t.Helper()
	s.s3, s.origin = stage.S3, stage.Origin
	socket := filepath.Join(t.TempDir(), "alio.sock")
	s.alio = s.sidecar(t, socket)
	s.bad = startBadSidecars(t, s.alio.CacheDir)
	if _, s.plugins, err = harness.TrinoBridge(ctx, t.Logf); err != nil {
		return o, err
	}
	return harness.TrinoOptions{Catalogs: s.catalogs(t, socket), Plugins: s.plugins, JVM: harness.TrinoTestJVM}, nil
}

// sidecar starts one beside a node.
func (s *bridgeStage) sidecar(t *testing.T, socket string) *harness.Alio {
	t.Helper()
	return harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.s3.Bucket, Region: s.s3.Region, AccessKey: s.s3.AccessKey,
		SecretKey: s.s3.SecretKey, Socket: socket, ExtraYAML: bridgeFreshness,
		Mounts: fmt.Sprintf("  warehouse: {uri: '%s/warehouse', hdfs: {conf_dir: '%s', user: %s}}\n", s.hdfs.URI, s.hdfs.ConfDir, harness.HDFSUser) +
			fmt.Sprintf("  elsewhere: {uri: 's3://%s/elsewhere', s3: {endpoint: '%s', region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}}\n",
				s.s3.Bucket, s.origin.URL(), s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)})
}

// catalogs are a stock one and a bridged one of each format, which differ by what docs/trino.md tells an operator to add and nothing
// else, and "filling", where Trino fills the sidecar.
func (s *bridgeStage) catalogs(t *testing.T, socket string) map[string]map[string]string {
	plain := harness.HiveCatalog(s.origin.URL(), s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
	hive := maps.Clone(plain) // Hadoop's libraries, in a class loader for each catalog, take seconds: only where HDFS is read
	hive["fs.hadoop.enabled"] = "true"
	hive["hive.allow-register-partition-procedure"] = "true"
	hive["hive.orc.tiny-stripe-threshold"] = orcWhole
	hive["hive.config.resources"] = filepath.Join(s.hdfs.ConfDir, "core-site.xml") + "," + filepath.Join(s.hdfs.ConfDir, "hdfs-site.xml")
	delta := maps.Clone(plain)
	delta["connector.name"] = "delta_lake"
	delta["hive.metastore.catalog.dir"] = "local:///metastore-delta"
	delta["delta.enable-non-concurrent-writes"] = "true"
	delta["delta.register-table-procedure.enabled"] = "true"
	for _, key := range []string{"hive.non-managed-table-writes-enabled", "hive.dynamic-filtering.wait-timeout"} {
		delete(delta, key)
	}
	hudi := maps.Clone(plain)
	hudi["connector.name"] = "hudi"
	for _, key := range []string{"hive.non-managed-table-writes-enabled", "hive.dynamic-filtering.wait-timeout"} {
		delete(hudi, key)
	}
	iceberg := maps.Clone(hudi)
	iceberg["connector.name"] = "iceberg"
	iceberg["iceberg.catalog.type"] = "TESTING_FILE_METASTORE"
	iceberg["hive.metastore.catalog.dir"] = "local:///metastore-iceberg"
	delete(iceberg, "hive.metastore")
	own := maps.Clone(plain) // Trino's own cache
	maps.Copy(own, map[string]string{"fs.cache.enabled": "true", "fs.cache.directories": t.TempDir(), "fs.cache.max-sizes": "512MB"})
	bridged := func(stock map[string]string) map[string]string { return s.bridged(stock, s.alio, socket) }
	lost, filling, off := bridged(plain), bridged(plain), bridged(plain)
	lost["alio.deadline"] = "200ms" // ten times the default, for a machine that is busy
	filling["alio.fill"] = "CLIENT"
	filling["alio.mounts"] += ",local:///=files" // a name that clients share: the sidecar has no such mount
	off["alio.enabled"] = "false"
	elsewhere := bridged(delta)
	elsewhere["alio.mounts"] += ",s3://" + s.s3.Bucket + "=elsewhere"
	all := map[string]map[string]string{"hive": hive, "delta": delta, "hudi": hudi, "iceberg": iceberg, "alio_hive": bridged(hive), "alio_delta": bridged(delta),
		"alio_hudi": bridged(hudi), "alio_iceberg": bridged(iceberg), "lost": lost, "filling": filling, "off": off, "elsewhere": elsewhere, "own_cache": own, "damaged": bridged(plain),
		"cluster": bridged(plain), "jmx": {"connector.name": "jmx"}}
	for _, name := range append(trinoQueries, "2-columns", "beside") {
		all[coldCatalog(name)] = bridged(plain)
	}
	maps.Copy(all, s.bad.catalogs(bridged(plain)))
	return all
}

// bridged is a stock catalog with what docs/trino.md tells an operator to change, on a node with that sidecar.
func (s *bridgeStage) bridged(stock map[string]string, a *harness.Alio, socket string) map[string]string {
	with := maps.Clone(stock)
	with["connector.name"] = "alio_" + stock["connector.name"]
	with["alio.sidecar"] = socket
	with["alio.directories"] = a.CacheDir
	with["alio.mounts"] = s.hdfs.URI + "/warehouse=warehouse"
	with["alio.deadline"] = "2s" // what is counted must not depend on how busy the machine is
	return with
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

// settled waits until the disk tier has all pages.
func (s *bridgeStage) settled(ctx context.Context, t *testing.T) {
	t.Helper()
	settled(ctx, t, s.alio)
}

// settled waits until a sidecar's disk tier has all pages, those among them that a client is still putting.
func settled(ctx context.Context, t *testing.T, a *harness.Alio) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := a.Metrics(ctx)
		need(t, err)
		waiting := m["alio_rpc_claimed_pages"]
		for name, v := range m {
			if strings.HasPrefix(name, "alio_disk_write_queue_bytes") {
				waiting += v
			}
		}
		if waiting == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the disk tier's queue does not empty")
		case <-tick.C:
		}
	}
}
