//go:build counts

package itest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// trinoCounts is a Trino whose catalogs reach a store in four ways: straight, by the bridge, by the sidecar's S3 door, and by the bridge with the door behind it. Tables lie
// below zero/, where nothing that may change is believed, and below second/, where it is for a second.
type trinoCounts struct {
	*bridgeStage
	door *s3proxy.Proxy

	stock map[string]*stockRun // by query
}

// stockRun is the first run of a query by the stock connector.
type stockRun struct {
	rows  []string
	asked int64 // bytes
	data  int   // requests
}

var countedWays = []string{"stock", "alio", "door", "both"}

func startTrinoCounts(ctx context.Context, t *testing.T) *trinoCounts {
	t.Helper()
	s := &trinoCounts{bridgeStage: &bridgeStage{s3: harness.S3(t)}, stock: map[string]*stockRun{}}
	var err error
	s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.s3.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = s.origin.Close() }) // never fails
	socket := filepath.Join(t.TempDir(), "alio.sock")
	s.alio = harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.s3.Bucket, Region: s.s3.Region,
		AccessKey: s.s3.AccessKey, SecretKey: s.s3.SecretKey, Socket: socket, ExtraYAML: "freshness:\n  rules:\n" + secondRules})
	s.door, err = s3proxy.Start(s3proxy.Options{Target: s.alio.Door})
	need(t, err)
	t.Cleanup(func() { _ = s.door.Close() })
	_, plugins, err := harness.TrinoBridge(ctx, t.Logf)
	need(t, err)
	s.trino, err = harness.StartTrino(ctx, harness.TrinoOptions{Dir: t.TempDir(), Catalogs: s.catalogs(socket), Plugins: plugins, Logf: t.Logf})
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of Trino's log:\n%s", s.trino.Output())
		}
		s.trino.Stop()
	})
	return s
}

func (s *trinoCounts) catalogs(socket string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, way := range countedWays {
		endpoint := s.origin.URL()
		if way == "door" || way == "both" {
			endpoint = s.door.URL()
		}
		for _, connector := range []string{"delta_lake", "hudi", "iceberg", "hive"} {
			if connector == "hive" && way != "stock" {
				continue
			}
			c := harness.HiveCatalog(endpoint, s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
			c["connector.name"] = connector
			if connector != "hive" {
				delete(c, "hive.non-managed-table-writes-enabled")
				delete(c, "hive.dynamic-filtering.wait-timeout")
			}
			switch connector {
			case "hive":
				c["hive.allow-register-partition-procedure"] = "true"
			case "delta_lake":
				c["hive.metastore.catalog.dir"] = "local:///metastore-delta"
				c["delta.enable-non-concurrent-writes"] = "true"
				c["delta.register-table-procedure.enabled"] = "true"
			case "iceberg":
				c["iceberg.catalog.type"] = "TESTING_FILE_METASTORE"
				c["hive.metastore.catalog.dir"] = "local:///metastore-iceberg"
				delete(c, "hive.metastore")
			}
			if way == "alio" || way == "both" {
				c["connector.name"] = "alio_" + connector
				c["alio.sidecar"] = socket
				c["alio.directories"] = s.alio.CacheDir
				c["alio.deadline"] = "2s"
			}
			all[way+"_"+connector] = c
		}
	}
	all["hive"] = all["stock_hive"]
	return all
}

// What the store is asked by a query over a table in each way: of which nothing is known, and over a warm one of which nothing is known that is younger than a second. Each way
// has a copy of its own of each table.
func TestTrinoCounts(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), trinoDeadline)
	defer cancel()
	s := startTrinoCounts(ctx, t)
	for _, c := range []string{"delta_lake", "iceberg", "hive"} {
		s.rows(ctx, t, "stock_"+c, "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	}
	need(t, harness.WriteDelta(ctx, s.s3, "made/rs", t.Logf))
	s.rows(ctx, t, "stock_delta_lake", fmt.Sprintf("CREATE TABLE ${database}.${schema}.made WITH (location = 's3://%s/made/item') AS SELECT * FROM tpcds.tiny.item", s.s3.Bucket))
	for _, at := range []string{"zero", "second"} {
		for _, way := range countedWays {
			for _, table := range []string{"rs", "item"} {
				copyBelow(ctx, t, s.s3, "made/"+table+"/", at+"/"+way+"/"+table+"/")
				s.register(ctx, t, at+"_"+way+"_"+table, at+"/"+way+"/"+table)
			}
			s.counted(ctx, t, at, way, "delta_lake", "count(*), sum(price)", "rs")
			s.counted(ctx, t, at, way, "delta_lake", "count(*), sum(i_current_price)", "item")
		}
	}
	t.Run("commits", func(t *testing.T) { s.commits(ctx, t, 20) })
	hudi := hudiTables[0].name
	for _, at := range []string{"zero", "second"} {
		for _, way := range countedWays {
			s.rows(ctx, t, "stock_iceberg", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%[1]s_%[2]s_item WITH (location = 's3://%[3]s/%[1]s/%[2]s/iceberg') AS SELECT * FROM tpcds.tiny.item", at, way, s.s3.Bucket))
			s.counted(ctx, t, at, way, "iceberg", "count(*), sum(i_current_price)", "item")
			s.enterHudiAs(ctx, t, hudi, at+"_"+way+"_hudi", at+"/"+way+"/"+hudi)
			s.counted(ctx, t, at, way, "hudi", "count(*), sum(v)", "hudi")
		}
	}
}

// register enters a Delta table of another writer's into the metastore.
func (s *trinoCounts) register(ctx context.Context, t *testing.T, table, path string) {
	t.Helper()
	s.rows(ctx, t, "stock_delta_lake", fmt.Sprintf("CALL ${database}.system.register_table('${schema}', '%s', 's3://%s/%s')", table, s.s3.Bucket, path))
}

// counted runs a query three times, more than a second apart, and reports each as a line of a table, with the bytes fetched by those that the stock connector, which
// comes first, asks for. The rows are its own.
func (s *trinoCounts) counted(ctx context.Context, t *testing.T, at, way, connector, columns, table string) {
	t.Helper()
	text := fmt.Sprintf("SELECT %s FROM ${database}.${schema}.%s_%s_%s", columns, at, way, table)
	what := at + " " + connector + " " + table
	for i := range 3 {
		begun := time.Now()
		rows, log, cost := s.measured(ctx, t, way+"_"+connector, text)
		took := time.Since(begun).Seconds()
		if way == "stock" && i == 0 {
			s.stock[what] = &stockRun{rows, s3proxy.Asked(log), cost.DataGETs}
		}
		stock := s.stock[what]
		same(t, fmt.Sprintf("%s, run %d by %s", what, i, way), stock.rows, rows)
		t.Logf("| %s | %s | %d | %d | %d | %d | %d | %d | %d | %.3f | %.1f s |", what, way, i, cost.DataGETs, cost.MetadataGETs, cost.HEADs, cost.LISTs, cost.NotFound,
			cost.Requests, float64(cost.BytesFetched)/float64(stock.asked), took)
		if way != "stock" && (i == 0 && cost.DataGETs > stock.data || i == 2 && cost.DataGETs > 0) {
			t.Errorf("%s by %s, run %d: %d data GETs, and %d by the stock connector", what, way, i, cost.DataGETs, stock.data)
		}
		if i != 1 {
			t.Logf("%s", requests(log))
		}
		<-time.After(1100 * time.Millisecond)
	}
}

// commits has delta-rs commit to two tables, past the sidecar and each fifth time through its door, and Trino read them after each: at 0 it is there at once, by the bridge and
// by the door. At a second by the bridge too, since it believes only what the store says at this moment to be missing; by the door, what Trino shows was the newest within the last
// second, and the commit itself where that passed the door.
func (s *trinoCounts) commits(ctx context.Context, t *testing.T, n int) {
	delta := harness.Delta(t)
	need(t, delta.Settings(ctx, s.s3.Endpoint, s.s3.AccessKey, s.s3.SecretKey))
	need(t, delta.Settings(ctx, s.alio.Door, s.alio.AccessKey, s.alio.SecretKey))
	ended := make([]time.Time, n)
	late, through := 0, 0
	for i := range n {
		endpoint, passed := s.s3.Endpoint, i%5 == 4
		if passed {
			endpoint = s.alio.Door
			through++
		}
		if i > 0 { // so that something is believed
			s.rows(ctx, t, "door_delta_lake", "SELECT count(*) FROM ${database}.${schema}.second_commits")
		}
		for _, at := range []string{"zero", "second"} {
			need(t, delta.Write(ctx, endpoint, "s3://"+s.s3.Bucket+"/"+at+"/commits", i, 1, "one", i == 0))
			if i == 0 {
				s.register(ctx, t, at+"_commits", at+"/commits")
			}
		}
		ended[i] = time.Now()
		least, begun := 0, time.Now()
		for least < i && (passed || begun.Sub(ended[least+1]) > commitsAge) {
			least++
		}
		got := firstColumn(t, s.rows(ctx, t, "door_delta_lake", "SELECT count(*) FROM ${database}.${schema}.second_commits"))
		if got < int64(least+1) || got > int64(i+1) {
			t.Errorf("at a second: %d rows after commit %d, and commit %d was there more than a second before", got, i, least)
		}
		if got < int64(i+1) {
			late++
		}
		for _, read := range [][2]string{{"alio", "zero"}, {"door", "zero"}, {"alio", "second"}} {
			rows := s.rows(ctx, t, read[0]+"_delta_lake", "SELECT count(*) FROM ${database}.${schema}."+read[1]+"_commits")
			if got := firstColumn(t, rows); got != int64(i+1) {
				t.Errorf("at %s by %s: %d rows after commit %d", read[1], read[0], got, i)
			}
		}
	}
	t.Logf("%d commits read by Trino, %d of them by the door: at 0 each at once, by bridge and door, and at a second by the bridge; at a second by the door %d were not yet seen", n, through, late)
}
