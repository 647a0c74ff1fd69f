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

func TestScratchCounts(t *testing.T) {
	jar := prestoParts(t, "hive-hadoop2", "delta", "hudi", "tpcds")
	ctx, cancel := context.WithTimeout(context.Background(), prestoDeadline)
	defer cancel()
	s := &prestoStage{store: harness.S3(t), meta: filepath.Join(t.TempDir(), "metastore"), socket: filepath.Join(t.TempDir(), "alio.sock"), begun: time.Now()}
	var err error
	s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.store.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = s.origin.Close() })
	s.alio = harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.store.Bucket, Region: s.store.Region,
		AccessKey: s.store.AccessKey, SecretKey: s.store.SecretKey, Socket: s.socket, ExtraYAML: `freshness:
  rules:
    - {path: "lake/one/**", answers: [listing, not_found], max_age: 1s}
    - {path: "lake/one/**/{_last_checkpoint,hoodie.properties}", answers: [object], max_age: 1s}
`})
	door, err := s3proxy.Start(s3proxy.Options{Target: s.alio.Door})
	need(t, err)
	t.Cleanup(func() { _ = door.Close() })
	stock := harness.PrestoHiveCatalog(s.meta, s.origin.URL(), s.store.AccessKey, s.store.SecretKey)
	through := harness.PrestoHiveCatalog(s.meta, door.URL(), s.store.AccessKey, s.store.SecretKey)
	all := map[string]map[string]string{"stock": stock}
	for _, c := range []string{"delta", "hudi"} {
		all["stock_"+c] = prestoConnector(stock, c)
		all["door_"+c] = prestoConnector(through, c)
		catalog, err := harness.PrestoThroughAlio(stock, filepath.Join(t.TempDir(), "core-site.xml"), map[string]string{"alio.address": s.socket, "alio.directories": s.alio.CacheDir, "alio.jmx.name": c})
		need(t, err)
		all["alio_"+c] = prestoConnector(catalog, c)
	}
	for _, n := range []string{"stock_hudi", "door_hudi"} {
		all[n]["hive.copy-on-first-write-configuration-enabled"] = "false"
	}
	s.presto = runPresto(ctx, t, harness.PrestoOptions{Catalogs: all, Heap: "1200M", Jars: map[string][]string{"delta": {jar}, "hudi": {jar}}})
	schemes := map[string]string{"stock": "s3", "alio": "s3a", "door": "s3n"}
	for _, at := range []string{"one", "zero"} {
		need(t, harness.WriteDelta(ctx, s.store, at+"/t", t.Logf))
	}
	show := func(what string, log []s3proxy.Entry) {
		t.Logf("  %s: %d", what, len(log))
		counts := map[string]int{}
		var order []string
		for _, e := range log {
			k := fmt.Sprintf("%s %s ?%s %s -> %d %s", e.Method, e.Key, e.Query, e.Range, e.Status, e.Kind)
			if counts[k] == 0 {
				order = append(order, k)
			}
			counts[k]++
		}
		for _, k := range order {
			t.Logf("      %d x %s", counts[k], k)
		}
	}
	run := func(way, connector, text, schema string) {
		for i := range 3 {
			_, _, err := s.origin.Take(ctx)
			need(t, err)
			_, _, err = door.Take(ctx)
			need(t, err)
			begun := time.Now()
			rows, err := s.presto.Query(ctx, harness.In(text, way+"_"+connector, schema))
			took := time.Since(begun)
			if err != nil {
				t.Errorf("%s: %v", way, err)
				return
			}
			at, sum, err := s.origin.Take(ctx)
			need(t, err)
			asked, dsum, err := door.Take(ctx)
			need(t, err)
			t.Logf("%s %s %s run %d: %v %.2f s; origin %v; door %v", way, connector, schema, i, rows, took.Seconds(), sum, dsum)
			if i == 2 {
				show("origin", at)
				show("door", asked)
			}
			<-time.After(1500 * time.Millisecond)
		}
	}
	const text = `SELECT count(*), sum(price), max(name), min(id) FROM ${database}."$path$"."${schema}"`
	for _, at := range []string{"one", "zero"} {
		for _, way := range slices.Sorted(maps.Keys(schemes)) {
			run(way, "delta", text, schemes[way]+"://"+s.store.Bucket+"/"+at+"/t")
		}
	}
	_, err = s.presto.Query(ctx, "CREATE SCHEMA stock.here")
	need(t, err)
	_, err = s.presto.Query(ctx, "CREATE TABLE stock.here.hudi ("+hudiColumns+", p varchar) WITH (partitioned_by = ARRAY['p'])")
	need(t, err)
	_, err = s.presto.Query(ctx, "INSERT INTO stock.here.hudi SELECT '', '', '', '', '', '', BIGINT '0', DOUBLE '0', p FROM (VALUES 'p0', 'p1') t (p)")
	need(t, err)
	for _, at := range []string{"one", "zero"} {
		name := hudiTables[0].name
		need(t, harness.PutTestTable(ctx, s.store.Client(), s.store.Bucket, at+"/"+name, name))
		for _, way := range slices.Sorted(maps.Keys(schemes)) {
			_, err := s.presto.Query(ctx, "CREATE SCHEMA stock."+schemes[way]+"_"+at)
			need(t, err)
			need(t, harness.EnterHudiTable(s.meta, "here/hudi", schemes[way]+"_"+at+"/"+name, schemes[way]+"://"+s.store.Bucket+"/"+at+"/"+name))
			run(way, "hudi", "SELECT count(*), sum(v), max(ts), max(id), min(_hoodie_commit_time) FROM ${database}.${schema}."+name, schemes[way]+"_"+at)
		}
	}
}
