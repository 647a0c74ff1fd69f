//go:build cluster

package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// How the hot file is read: by so many clients in a loop, while others read eight other files. hotLoad lets a section be hot, and cool, within the time of a test; the rest is as by default.
const (
	hotClients   = 8
	otherClients = 2
	hotTime      = 20 * time.Second
	hotLoad      = "{hot_rate: 4, hot_cool: 10s}"
	hotSplit     = "1MB"
	hotLook      = 250 * time.Millisecond // how often the service is asked which sections are hot
)

// hotStage is an engine of a coordinator and two workers whose tables hot, of one file, and others are there.
type hotStage struct {
	service *harness.Affinity
	origin  *s3proxy.Proxy
	rows    func(ctx context.Context, catalog, text string) ([]string, error)
	table   func(catalog, name string) string      // its full name
	bean    func(ctx context.Context) (any, error) // the coordinator's counters of placing
	tasks   string                                 // a query for each worker's splits and rows of scans, ever since
}

// shares are what each worker has done, by its node's name.
type shares map[string][2]int64 // splits, rows

// done asks the engine what its workers have done. The tasks of scans are those of stage 1, which is the last of a plain sum.
func (h *hotStage) done(ctx context.Context, t *testing.T, catalog string) shares {
	t.Helper()
	rows, err := h.rows(ctx, catalog, h.tasks)
	need(t, err)
	out := shares{}
	for _, row := range rows {
		f := strings.Split(strings.ReplaceAll(row, `"`, ""), " | ")
		var n [2]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(f[i+1], 10, 64); err != nil {
				t.Fatalf("what a worker has done: %q: %v", row, err)
			}
		}
		out[f[0]] = n
	}
	return out
}

// hotOutcome is what came of one way of placing.
type hotOutcome struct {
	splits, scanned [2]int64 // by worker, the busier one first
	hot, others     []time.Duration
	cost            s3proxy.Summary
	mostHot         int // sections with more owners, at most at once
}

// measure reads by one catalog for hotTime, everything having been read twice before.
func (h *hotStage) measure(ctx context.Context, t *testing.T, what, catalog string) (o hotOutcome) {
	t.Helper()
	const text = "SELECT count(*), sum(ss_quantity), sum(ss_net_paid) FROM "
	hot, others := text+h.table(catalog, "hot"), text+h.table(catalog, "others")
	var want [2][]string
	for range 2 {
		for i, q := range []string{hot, others} {
			rows, err := h.rows(ctx, catalog, q)
			need(t, err)
			want[i] = rows
		}
	}
	before := h.done(ctx, t, catalog)
	_, _, err := h.origin.Take(ctx)
	need(t, err)
	var mu sync.Mutex
	var all sync.WaitGroup
	var faults []error
	var over atomic.Bool
	client := func(text string, want []string, took *[]time.Duration) {
		for !over.Load() {
			begun := time.Now()
			rows, err := h.rows(ctx, catalog, text)
			if err == nil && !slices.Equal(rows, want) {
				err = fmt.Errorf("%s gave %q, and %q before", text, rows, want)
			}
			mu.Lock()
			if *took = append(*took, time.Since(begun)); err != nil {
				faults = append(faults, err)
				over.Store(true)
			}
			mu.Unlock()
		}
	}
	for range hotClients {
		all.Go(func() { client(hot, want[0], &o.hot) })
	}
	for range otherClients {
		all.Go(func() { client(others, want[1], &o.others) })
	}
	tick := time.NewTicker(hotLook)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < hotTime && !over.Load(); <-tick.C {
		n, err := h.service.HotSections(ctx)
		need(t, err)
		o.mostHot = max(o.mostHot, n)
	}
	over.Store(true)
	all.Wait()
	need(t, errors.Join(faults...))
	_, o.cost, err = h.origin.Take(ctx)
	need(t, err)
	i := 0
	for name, n := range h.done(ctx, t, catalog) {
		if i == len(o.splits) {
			t.Fatalf("more than two nodes run scans: %s", name)
		}
		o.splits[i], o.scanned[i] = n[0]-before[name][0], n[1]-before[name][1]
		i++
	}
	if o.splits[0] < o.splits[1] {
		slices.Reverse(o.splits[:])
		slices.Reverse(o.scanned[:])
	}
	slices.Sort(o.hot)
	slices.Sort(o.others)
	at := func(of []time.Duration, share float64) float64 {
		return float64(of[min(len(of)-1, int(share*float64(len(of))))].Milliseconds()) / 1000
	}
	t.Logf("RESULT | %s | %d + %d | %.2f / %.2f | %d, %d | %.2f | %d, %d | %d | %d | %d |", what, len(o.hot), len(o.others), at(o.hot, .5), at(o.hot, .95), o.splits[0], o.splits[1],
		float64(2*o.splits[0])/float64(o.splits[0]+o.splits[1]), o.scanned[0], o.scanned[1], o.cost.DataGETs, o.cost.HEADs, o.mostHot)
	return o
}

// evened checks what ours promises: the hot section has more owners while it is hot, and both workers do their part; the store is asked for it once more at most, by the second owner; and the owners are lost again.
func (h *hotStage) evened(ctx context.Context, t *testing.T, o hotOutcome, files int) {
	t.Helper()
	counted, err := h.bean(ctx)
	need(t, err)
	t.Logf("RESULT the coordinator: %v", counted)
	if o.mostHot == 0 {
		t.Error("no section had more owners")
	}
	if o.splits[1]*3 < o.splits[0] { // three to two where the service is asked, all to the first where it answers too late
		t.Errorf("the workers ran %v splits", o.splits)
	}
	if o.cost.DataGETs > files*hotGETs {
		t.Errorf("%d data GETs for files that were read twice before; the second worker should read each of %d once", o.cost.DataGETs, files)
	}
	begun, left := time.Now(), 1
	for tick := time.NewTicker(hotLook); left > 0 && time.Since(begun) < time.Minute; <-tick.C {
		var err error
		left, err = h.service.HotSections(ctx)
		need(t, err)
	}
	t.Logf("RESULT the hot section had more owners for %.0f s after the last query", time.Since(begun).Seconds())
	if left > 0 {
		t.Errorf("%d sections have more owners a minute after the last query", left)
	}
}

// hotGETs is the most data requests that reading a file of some megabytes takes.
const hotGETs = 12

// TestTrinoHotFile reads one hot file by Trino with its own affinity, without any, and with ours. It prints a table for the results.
func TestTrinoHotFile(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	f := startFleet(ctx, t, harness.AffinityOptions{Load: hotLoad}, (*trinoFleet).hotCatalogs)
	f.rows(ctx, t, "hive", "CREATE SCHEMA ${database}.${schema}")
	for table, with := range map[string]string{"hot": "", "others": "bucketed_by = ARRAY['ss_item_sk'], bucket_count = 8, "} {
		f.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s WITH (format = 'PARQUET', %sexternal_location = 's3://%s/tables/%s') AS SELECT * FROM tpcds.tiny.store_sales",
			table, with, f.s3.Bucket, table))
	}
	h := &hotStage{service: f.service, origin: f.origin, table: func(catalog, name string) string { return catalog + ".tiny." + name },
		tasks: "SELECT node_id, sum(completed_splits), sum(raw_input_rows) FROM system.runtime.tasks WHERE stage_id LIKE '%.1' AND node_id <> 'alio0' GROUP BY node_id"}
	h.bean = func(ctx context.Context) (any, error) { return f.trino.MBean(ctx, "io.alio:type=Affinity,name=hive") }
	h.rows = func(ctx context.Context, catalog, text string) ([]string, error) {
		db, err := f.trino.DB(catalog, "tiny")
		if err != nil {
			return nil, err
		}
		defer db.Close()
		return harness.Rows(ctx, db, text)
	}
	h.measure(ctx, t, "(warm-up of Java: not a result)", "anywhere")
	h.measure(ctx, t, "Trino, no affinity (two sidecars)", "anywhere")
	h.measure(ctx, t, "Trino's own cache and affinity, two hosts (default)", "own")
	h.measure(ctx, t, "the same, one host", "own_one")
	h.evened(ctx, t, h.measure(ctx, t, "Trino with `alio.affinity`", "hive"), 9)
}

// hotCatalogs are a node's: ours placed by the service and placed anywhere, and Trino's own with its file-system cache, of which each file has two preferred hosts by default.
func (f *trinoFleet) hotCatalogs(socket, cache string) map[string]map[string]string {
	stock := harness.HiveCatalog(f.origin.URL(), f.s3.Region, f.s3.AccessKey, f.s3.SecretKey)
	maps.Copy(stock, map[string]string{"hive.max-split-size": hotSplit, "hive.max-initial-split-size": hotSplit, "parquet.writer.block-size": hotSplit})
	ours := maps.Clone(stock)
	maps.Copy(ours, map[string]string{"connector.name": "alio_hive", "alio.sidecar": socket, "alio.directories": cache, "alio.deadline": "2s", "alio.affinity": "true"})
	anywhere := maps.Clone(ours)
	anywhere["alio.affinity"] = "false"
	own := func(hosts string) map[string]string {
		c := maps.Clone(stock)
		dir, err := os.MkdirTemp(cache, "own-") // the sidecar passes over what it has not made
		if err != nil {
			panic(err)
		}
		maps.Copy(c, map[string]string{"fs.cache.enabled": "true", "fs.cache.directories": dir, "fs.cache.max-sizes": "256MB", "fs.cache.preferred-hosts-count": hosts})
		return c
	}
	return map[string]map[string]string{"hive": ours, "anywhere": anywhere, "own": own("2"), "own_one": own("1")}
}

// TestPrestoHotFile reads one hot file by Presto with its own soft affinity, without any, and with ours; files are read by the bridge and cached by the sidecars in all three.
func TestPrestoHotFile(t *testing.T) {
	jar := prestoParts(t, "hive-hadoop2", "tpcds")
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	c := startCluster(ctx, t, jar, hotLoad, map[string]string{"hive.max-split-size": hotSplit, "hive.max-initial-split-size": hotSplit, "hive.parquet.optimized-writer.enabled": "true"})
	_, err := c.presto.Query(ctx, "CREATE SCHEMA stock.here")
	need(t, err)
	_, err = c.presto.QueryWith(ctx, "CREATE TABLE stock.here.store_sales AS SELECT * FROM tpcds.tiny.store_sales",
		map[string]string{"stock.parquet_writer_block_size": hotSplit, "scale_writers": "true", "task_writer_count": "1"})
	need(t, err)
	c.hotTables(ctx, t)
	h := &hotStage{service: c.service, origin: c.origin, table: func(catalog, name string) string { return catalog + ".s3a_" + name + ".store_sales" },
		tasks: "SELECT node_id, sum(completed_splits), sum(raw_input_rows) FROM system.runtime.tasks WHERE stage_id LIKE '%.1' AND node_id <> 'alio-coordinator' GROUP BY node_id"}
	h.bean = func(ctx context.Context) (any, error) {
		return c.presto.MBean(ctx, 0, "io.alio:type=Affinity,name=alio")
	}
	h.rows = func(ctx context.Context, _, text string) ([]string, error) { return c.presto.Query(ctx, text) }
	h.measure(ctx, t, "(warm-up of Java: not a result)", "anywhere")
	h.measure(ctx, t, "Presto, no affinity (two sidecars)", "anywhere")
	h.measure(ctx, t, "Presto's own soft affinity (two sidecars)", "alio")
	h.evened(ctx, t, h.measure(ctx, t, "Presto with `alio.affinity`", "owning"), 9)
}

// hotTables makes of the largest file of a table one of itself alone, and one of eight copies.
func (c *prestoCluster) hotTables(ctx context.Context, t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.meta, "here", "store_sales", "[^._]*"))
	need(t, err)
	var data []byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		need(t, err)
		if len(b) > len(data) {
			data = b
		}
	}
	t.Logf("the hot file has %d bytes", len(data))
	for name, n := range map[string]int{"hot": 1, "others": 8} {
		for i := range n {
			key := fmt.Sprintf("%s/store_sales/data-%d", name, i)
			_, err := c.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &c.store.Bucket, Key: &key, Body: bytes.NewReader(data)})
			need(t, err)
		}
		_, err := c.presto.Query(ctx, "CREATE SCHEMA stock.s3a_"+name)
		need(t, err)
		need(t, harness.EnterPrestoTables(c.meta, "here", "s3a_"+name, "s3a://"+c.store.Bucket+"/"+name, []string{"store_sales"}))
	}
}
