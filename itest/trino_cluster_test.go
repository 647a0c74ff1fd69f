package itest

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
)

// cluster gives Trino two workers, each with a sidecar of its own. The coordinator, which works, too, has read the table before, in as many requests as stock, and reads
// nothing again. There is no affinity service: Trino runs each split on any node. So each worker's sidecar reads a file once, when its worker is first given it, and
// when both have all files, nothing is read again; the rows are the stock connector's all the while. One worker's sidecar is lost: that worker reads by itself, the
// other nodes do not, and no query fails.
func (s *bridgeStage) cluster(ctx context.Context, t *testing.T) {
	many := s.copies(ctx, t, "many")
	want, _, stock := s.measured(ctx, t, "hive", many)
	total := 0
	run := func(what string) int {
		t.Helper()
		rows, _, sum := s.measured(ctx, t, "cluster", many)
		same(t, what, want, rows)
		total += sum.DataGETs
		return sum.DataGETs + sum.HEADs
	}
	if first, second := run("cold"), run("repeated"); first != stock.DataGETs || second != 0 {
		t.Errorf("the coordinator alone made %d requests for data, then %d; stock makes %d", first, second, stock.DataGETs)
	}
	sidecars := s.addWorkers(ctx, t)
	nodes := append([]*harness.Trino{s.trino}, s.trino.Workers...)
	runs := 0
	for ; total < len(nodes)*stock.DataGETs && runs < 60; runs++ {
		run("on three nodes")
	}
	t.Logf("%d data GETs until each of %d sidecars had all %d files, after %d runs with two workers; stock makes %d in each", total, len(nodes), clusterFiles, runs, stock.DataGETs)
	if total != len(nodes)*stock.DataGETs {
		t.Errorf("%d data GETs for what stock reads in %d, on %d nodes", total, stock.DataGETs, len(nodes))
	}
	for _, a := range sidecars {
		settled(ctx, t, a)
	}
	before := clusterCounters(ctx, t, nodes)
	for range 2 {
		if n := run("with all sidecars warm"); n > 0 {
			t.Errorf("with all sidecars warm: %d requests", n)
		}
	}
	local := int64(0)
	for i, c := range clusterCounters(ctx, t, nodes) {
		local += c["LocalBytes"] - before[i]["LocalBytes"]
		if c["OpenedFiles"] == 0 || c["BypassedReads"]+c["BypassedOpens"] > 0 {
			t.Errorf("node %d counted %v", i, c)
		}
	}
	if local == 0 {
		t.Errorf("nothing was read of segments: before %v", before)
	}
	s.clusterLost(ctx, t, nodes, sidecars[0])
}

// clusterLost kills the sidecar of the first worker and reads a table that no node knows.
func (s *bridgeStage) clusterLost(ctx context.Context, t *testing.T, nodes []*harness.Trino, sidecar *harness.Alio) {
	t.Helper()
	lost := s.copies(ctx, t, "lost")
	want := s.rows(ctx, t, "hive", lost)
	sidecar.Kill()
	for range 20 { // until worker 1 was given a file
		same(t, "with the sidecar of worker 1 gone", want, s.rows(ctx, t, "cluster", lost))
		if c := clusterCounters(ctx, t, nodes); c[1]["BypassedOpens"] > 0 {
			break
		}
	}
	c := clusterCounters(ctx, t, nodes)
	t.Logf("opened past a sidecar: %d files by the coordinator, %d by worker 1, whose sidecar is gone, %d by worker 2", c[0]["BypassedOpens"], c[1]["BypassedOpens"], c[2]["BypassedOpens"])
	if c[1]["BypassedOpens"] == 0 {
		t.Errorf("worker 1, whose sidecar is gone, counted %v", c[1])
	}
	for _, i := range []int{0, 2} {
		if c[i]["BypassedReads"]+c[i]["BypassedOpens"] > 0 {
			t.Errorf("node %d, whose sidecar is there, counted %v", i, c[i])
		}
	}
}

// clusterCounters are those of each node's client.
func clusterCounters(ctx context.Context, t *testing.T, nodes []*harness.Trino) (all []map[string]int64) {
	t.Helper()
	for _, node := range nodes {
		c, err := node.MBean(ctx, "io.alio:type=Client,name=cluster")
		need(t, err)
		all = append(all, c)
	}
	return all
}

// addWorkers starts two sidecars and beside each a worker of Trino, with one catalog.
func (s *bridgeStage) addWorkers(ctx context.Context, t *testing.T) (sidecars []*harness.Alio) {
	t.Helper()
	stock := harness.HiveCatalog(s.origin.URL(), s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
	var catalogs []map[string]map[string]string
	for range 2 {
		socket := filepath.Join(t.TempDir(), "alio.sock")
		a := s.sidecar(t, socket)
		sidecars = append(sidecars, a)
		catalogs = append(catalogs, map[string]map[string]string{"cluster": s.bridged(stock, a, socket), "tpcds": nil})
	}
	need(t, s.trino.AddWorkers(ctx, harness.TrinoOptions{Workers: catalogs, Plugins: s.plugins, JVM: harness.TrinoTestJVM, Heap: "800M", Logf: t.Logf}))
	t.Cleanup(func() {
		for _, w := range s.trino.Workers {
			if t.Failed() {
				t.Logf("end of a worker's log:\n%s", w.Output())
			}
			w.Stop() // before its sidecar
		}
	})
	return sidecars
}

// copies makes a table of copies of one file, and is a query of it.
func (s *bridgeStage) copies(ctx context.Context, t *testing.T, table string) (query string) {
	t.Helper()
	for _, data := range tableFiles(ctx, t, s.s3.Client(), s.s3.Bucket, "item") {
		for i := range clusterFiles {
			key := fmt.Sprintf("cluster/%s/data-%d", table, i)
			_, err := s.s3.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.s3.Bucket, Key: &key, Body: bytes.NewReader(data)})
			need(t, err)
		}
	}
	s.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s (LIKE ${database}.${schema}.item) WITH (format = 'PARQUET', external_location = 's3://%s/cluster/%s')",
		table, s.s3.Bucket, table))
	return "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}." + table
}
