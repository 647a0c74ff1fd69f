package itest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
		// The sidecar's, not Trino's own, and not the one of the file's end, which opens the file.
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/tables/store_sales/") || !strings.Contains(r.UserAgent(), "aws-sdk-go") ||
			strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
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
	if change["BypassedReads"] == 0 || change["BypassedBytes"] == 0 {
		t.Errorf("no read was counted as bypassed: %v", change)
	}
	if late := change["LateCalls"]; late > 12 || took > 25*time.Second { // three open the breaker, trials follow at growing distances; a read may wait 30 s for the origin
		t.Errorf("%d calls waited for a sidecar that was gone, and the query %v", late, took)
	}
	s.answers(ctx, t)
	same(t, "after the sidecar came back", want, s.rows(ctx, t, "lost", text))
}
