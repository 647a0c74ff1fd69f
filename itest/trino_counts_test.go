package itest

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

func TestScratchTrino(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), prestoDeadline)
	defer cancel()
	s := &bridgeStage{s3: harness.S3(t)}
	var err error
	s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.s3.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = s.origin.Close() })
	socket := filepath.Join(t.TempDir(), "alio.sock")
	s.alio = harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.s3.Bucket, Region: s.s3.Region,
		AccessKey: s.s3.AccessKey, SecretKey: s.s3.SecretKey, Socket: socket, ExtraYAML: `freshness:
  rules:
    - {path: "lake/one/**", answers: [listing, not_found], max_age: 1s}
    - {path: "lake/one/**/_last_checkpoint", answers: [object], max_age: 1s}
    - {path: "lake/one/**/hoodie.properties", answers: [object], max_age: 1s}
`})
	door, err := s3proxy.Start(s3proxy.Options{Target: s.alio.Door})
	need(t, err)
	t.Cleanup(func() { _ = door.Close() })
	_, plugins, err := harness.TrinoBridge(ctx, t.Logf)
	need(t, err)
	all := map[string]map[string]string{}
	for _, way := range []string{"stock", "alio", "door", "both"} {
		endpoint := s.origin.URL()
		if way == "door" || way == "both" {
			endpoint = door.URL()
		}
		plain := harness.HiveCatalog(endpoint, s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
		for _, c := range []string{"delta_lake", "hudi", "iceberg", "hive"} {
			cat := maps.Clone(plain)
			cat["connector.name"] = c
			if c != "hive" {
				delete(cat, "hive.non-managed-table-writes-enabled")
				delete(cat, "hive.dynamic-filtering.wait-timeout")
			} else {
				cat["hive.allow-register-partition-procedure"] = "true"
			}
			switch c {
			case "delta_lake":
				cat["hive.metastore.catalog.dir"] = "local:///metastore-delta"
				cat["delta.enable-non-concurrent-writes"] = "true"
				cat["delta.register-table-procedure.enabled"] = "true"
			case "iceberg":
				cat["iceberg.catalog.type"] = "TESTING_FILE_METASTORE"
				cat["hive.metastore.catalog.dir"] = "local:///metastore-iceberg"
				delete(cat, "hive.metastore")
			}
			if way == "alio" || way == "both" {
				cat["connector.name"] = "alio_" + c
				cat["alio.sidecar"] = socket
				cat["alio.directories"] = s.alio.CacheDir
				cat["alio.deadline"] = "2s"
			}
			all[way+"_"+c] = cat
		}
	}
	all["hive"] = all["stock_hive"]
	s.trino, err = harness.StartTrino(ctx, harness.TrinoOptions{Dir: t.TempDir(), Catalogs: all, Plugins: plugins, Logf: t.Logf})
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of Trino's log:\n%s", s.trino.Output())
		}
		s.trino.Stop()
	})
	show := func(what string, log []s3proxy.Entry) {
		t.Logf("  %s: %d", what, len(log))
		for _, e := range log {
			t.Logf("      %s %s ?%s %s -> %d %s", e.Method, e.Key, e.Query, e.Range, e.Status, e.Kind)
		}
	}
	run := func(way, connector, text string) {
		for i := range 3 {
			_, _, err := s.origin.Take(ctx)
			need(t, err)
			_, _, err = door.Take(ctx)
			need(t, err)
			begun := time.Now()
			rows := s.rows(ctx, t, way+"_"+connector, text)
			took := time.Since(begun)
			at, sum, err := s.origin.Take(ctx)
			need(t, err)
			asked, dsum, err := door.Take(ctx)
			need(t, err)
			t.Logf("%s %s run %d: %v %.2f s; origin %v; door %v", way, connector, i, rows, took.Seconds(), sum, dsum)
			if i == 2 {
				show("origin", at)
				show("door", asked)
			}
			<-time.After(1200 * time.Millisecond)
		}
	}
	for _, c := range []string{"delta_lake", "iceberg"} {
		s.rows(ctx, t, "stock_"+c, "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	}
	for _, at := range []string{"one", "zero"} {
		need(t, harness.WriteDelta(ctx, s.s3, at+"/rs", t.Logf))
		s.rows(ctx, t, "stock_delta_lake", fmt.Sprintf("CALL ${database}.system.register_table('${schema}', '%s_rs', 's3://%s/%s/rs')", at, s.s3.Bucket, at))
		for _, c := range []string{"delta_lake", "iceberg"} {
			s.rows(ctx, t, "stock_"+c, fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s WITH (location = 's3://%s/%s/%s/item') AS SELECT * FROM tpcds.tiny.item", at, s.s3.Bucket, at, c))
			s.rows(ctx, t, "stock_"+c, fmt.Sprintf("INSERT INTO ${database}.${schema}.%s SELECT * FROM tpcds.tiny.item WHERE i_item_sk <= 10", at))
		}
		name := hudiTables[0].name
		s.enterHudiAs(ctx, t, name, at+"_"+name, at+"/"+name)
		for _, way := range slices.Sorted(maps.Keys(map[string]bool{"stock": true, "alio": true, "door": true, "both": true})) {
			t.Logf("=== %s %s", at, way)
			run(way, "delta_lake", "SELECT count(*), sum(price) FROM ${database}.${schema}."+at+"_rs")
			for _, c := range []string{"delta_lake", "iceberg"} {
				run(way, c, "SELECT count(*), sum(i_current_price) FROM ${database}.${schema}."+at)
			}
			run(way, "hudi", "SELECT count(*), sum(v) FROM ${database}.${schema}."+at+"_"+name)
		}
	}
}
