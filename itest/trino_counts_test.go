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
}

var countedWays = []string{"stock", "alio", "door", "both"}

func startTrinoCounts(ctx context.Context, t *testing.T) *trinoCounts {
	t.Helper()
	s := &trinoCounts{bridgeStage: &bridgeStage{s3: harness.S3(t)}}
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

// What the store is asked by a query over a warm table, of which nothing is known that is younger than a second, in each way.
func TestTrinoCounts(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), trinoDeadline)
	defer cancel()
	s := startTrinoCounts(ctx, t)
	for _, c := range []string{"delta_lake", "iceberg", "hive"} {
		s.rows(ctx, t, "stock_"+c, "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	}
	for _, at := range []string{"zero", "second"} {
		need(t, harness.WriteDelta(ctx, s.s3, at+"/rs", t.Logf))
		s.register(ctx, t, at+"_rs", at+"/rs")
		s.rows(ctx, t, "stock_delta_lake", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%[1]s WITH (location = 's3://%[2]s/%[1]s/item') AS SELECT * FROM tpcds.tiny.item", at, s.s3.Bucket))
		for _, way := range countedWays {
			s.counted(ctx, t, way, "delta_lake", "SELECT count(*), sum(price) FROM ${database}.${schema}."+at+"_rs")
			s.counted(ctx, t, way, "delta_lake", "SELECT count(*), sum(i_current_price) FROM ${database}.${schema}."+at)
		}
	}
	t.Run("commits", func(t *testing.T) { s.commits(ctx, t, 20) })
	for _, at := range []string{"zero", "second"} {
		s.rows(ctx, t, "stock_iceberg", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%[1]s WITH (location = 's3://%[2]s/%[1]s/iceberg') AS SELECT * FROM tpcds.tiny.item", at, s.s3.Bucket))
		name := hudiTables[0].name
		s.enterHudiAs(ctx, t, name, at+"_"+name, at+"/"+name)
		for _, way := range countedWays {
			s.counted(ctx, t, way, "iceberg", "SELECT count(*), sum(i_current_price) FROM ${database}.${schema}."+at)
			s.counted(ctx, t, way, "hudi", "SELECT count(*), sum(v) FROM ${database}.${schema}."+at+"_"+name)
		}
	}
}

// register enters a Delta table of another writer's into the metastore.
func (s *trinoCounts) register(ctx context.Context, t *testing.T, table, path string) {
	t.Helper()
	s.rows(ctx, t, "stock_delta_lake", fmt.Sprintf("CALL ${database}.system.register_table('${schema}', '%s', 's3://%s/%s')", table, s.s3.Bucket, path))
}

// counted runs a query three times, more than a second apart, and reports the first run and the last.
func (s *trinoCounts) counted(ctx context.Context, t *testing.T, way, connector, text string) {
	t.Helper()
	for i := range 3 {
		_, _, err := s.door.Take(ctx)
		need(t, err)
		begun := time.Now()
		rows, asked, cost := s.measured(ctx, t, way+"_"+connector, text)
		t.Logf("%s %s run %d: %v %.2f s; %v", way, connector, i, rows, time.Since(begun).Seconds(), cost)
		if i == 2 {
			t.Logf("%s\n%s", text, requests(asked))
		}
		<-time.After(1100 * time.Millisecond)
	}
}

// commits has delta-rs commit to two tables, past the sidecar, and Trino read them after each: at 0 it is there at once, by the bridge and by the door; at a second by
// the door, what Trino shows was the newest within the last second.
func (s *trinoCounts) commits(ctx context.Context, t *testing.T, n int) {
	delta := harness.Delta(t)
	need(t, delta.Settings(ctx, s.s3.Endpoint, s.s3.AccessKey, s.s3.SecretKey))
	ended := make([]time.Time, n)
	late := 0
	for i := range n {
		for _, at := range []string{"zero", "second"} {
			need(t, delta.Write(ctx, s.s3.Endpoint, "s3://"+s.s3.Bucket+"/"+at+"/commits", i, 1, "one", i == 0))
			if i == 0 {
				s.register(ctx, t, at+"_commits", at+"/commits")
			}
		}
		ended[i] = time.Now()
		for _, way := range []string{"alio", "door"} {
			rows := s.rows(ctx, t, way+"_delta_lake", "SELECT count(*) FROM ${database}.${schema}.zero_commits")
			if got := firstColumn(t, rows); got != int64(i+1) {
				t.Errorf("at 0 by %s: %d rows after commit %d", way, got, i)
			}
		}
		least, begun := 0, time.Now()
		for least < i && begun.Sub(ended[least+1]) > commitsAge {
			least++
		}
		got := firstColumn(t, s.rows(ctx, t, "door_delta_lake", "SELECT count(*) FROM ${database}.${schema}.second_commits"))
		if got < int64(least+1) || got > int64(i+1) {
			t.Errorf("at a second: %d rows after commit %d, and commit %d was there more than a second before", got, i, least)
		}
		if got < int64(i+1) {
			late++
		}
	}
	t.Logf("%d commits read by Trino: at 0 each at once, by bridge and door; at a second %d were not yet seen", n, late)
}
