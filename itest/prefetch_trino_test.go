//go:build bench

package itest

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// prefetchTrino is a Trino that reads a store of s3proxy.DefaultLatency straight, and by the bridge and by the S3 door of two sidecars, of which one fetches ahead. Each
// measurement has a table of its own, a copy, of which nobody has read anything yet.
type prefetchTrino struct {
	*bridgeStage
	sidecars map[string]*harness.Alio // by mode
	copies   int
}

var prefetchModes = []string{"off", "on"}

func startPrefetchTrino(ctx context.Context, t *testing.T) *prefetchTrino {
	t.Helper()
	s := &prefetchTrino{bridgeStage: &bridgeStage{s3: harness.S3(t)}, sidecars: map[string]*harness.Alio{}}
	var err error
	s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.s3.Endpoint, Latency: s3proxy.DefaultLatency, Jitter: harness.LatencyJitter, Seed: 1})
	need(t, err)
	t.Cleanup(func() { _ = s.origin.Close() }) // never fails
	all := map[string]map[string]string{}
	add := func(way, endpoint string, more map[string]string) {
		for connector, short := range map[string]string{"hive": "hive", "delta_lake": "delta"} {
			c := harness.HiveCatalog(endpoint, s.s3.Region, s.s3.AccessKey, s.s3.SecretKey)
			c["connector.name"] = connector
			if connector == "delta_lake" {
				delete(c, "hive.non-managed-table-writes-enabled")
				delete(c, "hive.dynamic-filtering.wait-timeout")
				c["hive.metastore.catalog.dir"] = "local:///metastore-delta"
				c["delta.enable-non-concurrent-writes"] = "true"
				c["delta.register-table-procedure.enabled"] = "true"
			}
			for k, v := range more {
				c[k] = v
			}
			if more != nil {
				c["connector.name"] = "alio_" + connector
			}
			all[way+"_"+short] = c
		}
	}
	add("writing", s.s3.Endpoint, nil)
	add("stock", s.origin.URL(), nil)
	for _, mode := range prefetchModes {
		socket := filepath.Join(t.TempDir(), "alio.sock")
		a := harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.origin.URL(), Bucket: s.s3.Bucket, Region: s.s3.Region, AccessKey: s.s3.AccessKey,
			SecretKey: s.s3.SecretKey, Socket: socket, ExtraYAML: "prefetch:\n  mode: " + mode + "\n"})
		s.sidecars[mode] = a
		add("door_"+mode, a.Door, nil)
		add("bridge_"+mode, s.origin.URL(), map[string]string{"alio.sidecar": socket, "alio.directories": a.CacheDir, "alio.deadline": "2s"})
	}
	_, plugins, err := harness.TrinoBridge(ctx, t.Logf)
	need(t, err)
	s.trino, err = harness.StartTrino(ctx, harness.TrinoOptions{Dir: t.TempDir(), Catalogs: all, Plugins: plugins, Logf: t.Logf})
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of Trino's log:\n%s", s.trino.Output())
		}
		s.trino.Stop()
	})
	return s
}

// TestPrefetchTrino reads a Parquet table of Hive's and a Delta table, each of files of 4 MB, by a real Trino with prefetching off and on: first a table of which nobody knows
// anything, then more files of the same table.
func TestPrefetchTrino(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	s := startPrefetchTrino(ctx, t)
	s.rows(ctx, t, "writing_hive", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	s.rows(ctx, t, "writing_delta", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	s.rows(ctx, t, "writing_hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.sales WITH (format = 'PARQUET', external_location = 's3://%s/made/hive') AS SELECT * FROM tpcds.tiny.store_sales", s.s3.Bucket))
	s.deltaTable(ctx, t)
	t.Log("\n| table | way | prefetch | s, each round | data GETs | other requests | MB fetched | useful MB | wasted MB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, format := range []string{"hive", "delta"} {
		s.compare(ctx, t, format)
	}
}

// prefetchWays are the ways to the store, by the names of their catalogs.
var prefetchWays = []struct{ way, mode string }{{"stock", ""}, {"bridge", "off"}, {"bridge", "on"}, {"door", "off"}, {"door", "on"}}

// compare reads tables of a format in rounds, each way one table in each round, in the other order in every second round. What the first round took is not told: Java
// is warm after it.
func (s *prefetchTrino) compare(ctx context.Context, t *testing.T, format string) {
	t.Helper()
	const rounds = 6
	all := make([][2]prefetchRuns, len(prefetchWays))
	for round := range 1 + rounds {
		for k := range prefetchWays {
			if round%2 == 0 {
				k = len(prefetchWays) - 1 - k
			}
			to := &all[k]
			if round == 0 {
				to = &[2]prefetchRuns{}
			}
			s.measure(ctx, t, format, prefetchWays[k].way, prefetchWays[k].mode, to)
		}
	}
	for k, w := range prefetchWays {
		for i, what := range []string{"first sight", "more files"} {
			t.Logf("| %s, %s | %s | %s | %s", format, what, w.way, w.mode, all[k][i].String())
		}
	}
}

// deltaTable has two times eight files of 4 MB, and thirteen commits with a checkpoint at the tenth; twelve of them are of a row that no query reads.
func (s *prefetchTrino) deltaTable(ctx context.Context, t *testing.T) {
	t.Helper()
	const more = " SELECT s.*, 99 k FROM tpcds.tiny.store_sales s LIMIT 1"
	s.rows(ctx, t, "writing_delta", fmt.Sprintf("CREATE TABLE ${database}.${schema}.sales WITH (location = 's3://%s/made/delta', partitioned_by = ARRAY['k'], checkpoint_interval = 10) AS "+
		"SELECT s.*, n k FROM tpcds.tiny.store_sales s CROSS JOIN (VALUES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) v (n)", s.s3.Bucket))
	for range 12 {
		s.rows(ctx, t, "writing_delta", "INSERT INTO ${database}.${schema}.sales"+more)
	}
}

const prefetchColumns = "SELECT count(*), sum(ss_quantity), sum(ss_net_paid), max(ss_sold_date_sk) FROM ${database}.${schema}."

// measure reads a copy of a table: at the first sight of it, and the files that were added then.
func (s *prefetchTrino) measure(ctx context.Context, t *testing.T, format, way, mode string, to *[2]prefetchRuns) {
	t.Helper()
	catalog := way + "_" + format
	if mode != "" {
		catalog = way + "_" + mode + "_" + format
	}
	s.copies++
	table := fmt.Sprintf("%s_%d", format, s.copies)
	s.copyTable(ctx, t, format, table)
	first, second := prefetchColumns+table, prefetchColumns+table
	if format == "delta" {
		first, second = first+" WHERE k < 8", second+" WHERE k BETWEEN 8 AND 15"
	}
	s.read(ctx, t, catalog, first, mode, &to[0])
	if format == "hive" {
		s.addFiles(ctx, t, table, 8)
	}
	s.read(ctx, t, catalog, second, mode, &to[1])
}

// prefetchRuns are what a way's rounds cost.
type prefetchRuns struct {
	seconds       []string
	data, other   []string
	bytes         int64
	useful, waste float64
}

func (r *prefetchRuns) String() string {
	n := float64(len(r.seconds)) * 1e6
	return fmt.Sprintf("%s | %s | %s | %.2f | %.2f | %.2f |", strings.Join(r.seconds, " "), strings.Join(r.data, " "), strings.Join(r.other, " "), float64(r.bytes)/n, r.useful/n, r.waste/n)
}

func (s *prefetchTrino) read(ctx context.Context, t *testing.T, catalog, text, mode string, to *prefetchRuns) {
	t.Helper()
	useful, wasted := s.fetched(ctx, t, mode)
	begun := time.Now()
	_, _, cost := s.measured(ctx, t, catalog, text)
	to.seconds = append(to.seconds, fmt.Sprintf("%.2f", time.Since(begun).Seconds()))
	to.data = append(to.data, fmt.Sprint(cost.DataGETs))
	to.other = append(to.other, fmt.Sprint(cost.Requests-cost.DataGETs))
	to.bytes += cost.BytesFetched
	afterUseful, afterWasted := s.fetched(ctx, t, mode)
	to.useful += afterUseful - useful
	to.waste += afterWasted - wasted
}

// fetched is what a sidecar has fetched ahead until now: what was read then, and what was not, or not yet.
func (s *prefetchTrino) fetched(ctx context.Context, t *testing.T, mode string) (useful, wasted float64) {
	t.Helper()
	if mode == "" {
		return 0, 0
	}
	m, err := s.sidecars[mode].Metrics(ctx)
	need(t, err)
	wasted = m["alio_prefetch_pending_bytes"]
	for name, n := range m {
		if strings.HasPrefix(name, "alio_prefetch_wasted_bytes_total") {
			wasted += n
		}
	}
	return m["alio_prefetch_useful_bytes_total"], wasted
}

// copyTable makes a table that no reader has seen.
func (s *prefetchTrino) copyTable(ctx context.Context, t *testing.T, format, table string) {
	t.Helper()
	if format == "hive" {
		s.addFiles(ctx, t, table, 8)
		s.rows(ctx, t, "writing_hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s (LIKE ${database}.${schema}.sales) WITH (format = 'PARQUET', external_location = 's3://%s/tables/%s')",
			table, s.s3.Bucket, table))
		return
	}
	copyBelow(ctx, t, s.s3, "made/delta/", "tables/"+table+"/")
	s.rows(ctx, t, "writing_delta", fmt.Sprintf("CALL ${database}.system.register_table('${schema}', '%s', 's3://%s/tables/%s')", table, s.s3.Bucket, table))
}

// addFiles adds copies of the file that sales is made of to a table of Hive's, under names of their own.
func (s *prefetchTrino) addFiles(ctx context.Context, t *testing.T, table string, count int) {
	t.Helper()
	made := s.keys(ctx, t, "made/hive/")
	for i := range count {
		for _, key := range made {
			s.copyObject(ctx, t, key, fmt.Sprintf("tables/%s/%d-%d-%s", table, time.Now().UnixNano(), i, filepath.Base(key)))
		}
	}
}

func (s *prefetchTrino) keys(ctx context.Context, t *testing.T, prefix string) (keys []string) {
	t.Helper()
	pages := awss3.NewListObjectsV2Paginator(s.s3.Client(), &awss3.ListObjectsV2Input{Bucket: &s.s3.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		need(t, err)
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

func (s *prefetchTrino) copyObject(ctx context.Context, t *testing.T, from, to string) {
	t.Helper()
	_, err := s.s3.Client().CopyObject(ctx, &awss3.CopyObjectInput{Bucket: &s.s3.Bucket, CopySource: aws.String(s.s3.Bucket + "/" + from), Key: &to})
	need(t, err)
}
