//go:build cluster

package itest

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// TestTrinoCluster: a coordinator and two workers, each with a sidecar of its own, and no affinity service: Trino runs each split on any worker. So each sidecar reads
// a file of the table once, when its worker is first given it, and never again; the rows are the stock connector's all the while.
func TestTrinoCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), trinoDeadline)
	defer cancel()
	const workers, files, query = 2, 8, "SELECT count(*), sum(ss_quantity), sum(ss_net_paid) FROM ${database}.${schema}.store_sales"
	store := harness.S3(t)
	origin, err := s3proxy.Start(s3proxy.Options{Target: store.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = origin.Close() }) // never fails
	_, plugins, err := harness.TrinoBridge(ctx, t.Logf)
	need(t, err)
	var sidecars []*harness.Alio
	var nodes []map[string]map[string]string
	for range 1 + workers { // the first is the coordinator's
		socket := filepath.Join(t.TempDir(), "alio.sock")
		a := harness.SidecarWith(t, harness.AlioOptions{Endpoint: origin.URL(), Bucket: store.Bucket, Region: store.Region, AccessKey: store.AccessKey, SecretKey: store.SecretKey,
			Socket: socket, ExtraYAML: "freshness: {rules: [{path: \"**\", answers: [object], max_age: 1h}]}\n"})
		hive := harness.HiveCatalog(origin.URL(), store.Region, store.AccessKey, store.SecretKey)
		bridged := maps.Clone(hive)
		maps.Copy(bridged, map[string]string{"connector.name": "alio_hive", "alio.sidecar": socket, "alio.directories": a.CacheDir, "alio.deadline": "2s"})
		sidecars, nodes = append(sidecars, a), append(nodes, map[string]map[string]string{"hive": hive, "alio_hive": bridged})
	}
	trino, err := harness.StartTrino(ctx, harness.TrinoOptions{Dir: t.TempDir(), Catalogs: nodes[0], Workers: nodes[1:], Plugins: plugins, Heap: "1G", Logf: t.Logf})
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the coordinator's log:\n%s", trino.Output())
		}
		trino.Stop()
	})
	s := &bridgeStage{s3: store, origin: origin, trino: trino}
	s.rows(ctx, t, "hive", "CREATE SCHEMA ${database}.${schema}")
	s.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.store_sales WITH (format = 'PARQUET', bucketed_by = ARRAY['ss_item_sk'], bucket_count = %d, "+
		"external_location = 's3://%s/tables/store_sales') AS SELECT * FROM tpcds.tiny.store_sales", files, store.Bucket))
	want, _, stock := s.measured(ctx, t, "hive", query)
	t.Logf("stock: %v", stock)
	total, runs := 0, 0
	for ; total < stock.DataGETs*workers && runs < 60; runs++ {
		rows, _, sum := s.measured(ctx, t, "alio_hive", query)
		same(t, "through the sidecars", want, rows)
		total += sum.DataGETs
		t.Logf("run %d: %v", runs+1, sum)
	}
	for i, a := range sidecars[1:] {
		s.alio = a
		s.settled(ctx, t)
		c, err := trino.Workers[i].MBean(ctx, "io.alio:type=Client,name=alio_hive")
		need(t, err)
		if c["LocalBytes"]+c["SidecarBytes"] == 0 || c["BypassedReads"]+c["BypassedOpens"] > 0 {
			t.Errorf("worker %d counted %v", i+1, c)
		}
	}
	for range 3 {
		rows, _, sum := s.measured(ctx, t, "alio_hive", query)
		same(t, "with all sidecars warm", want, rows)
		if sum.DataGETs > 0 || sum.HEADs > 0 {
			t.Errorf("with all sidecars warm: %v", sum)
		}
	}
	t.Logf("%d data requests until each of %d sidecars had all %d files, after %d runs; stock makes %d each time", total, workers, files, runs, stock.DataGETs)
	if total > stock.DataGETs*workers {
		t.Errorf("%d sidecars made %d data requests for what stock makes %d", workers, total, stock.DataGETs)
	}
}
