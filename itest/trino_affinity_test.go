//go:build cluster

package itest

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// trinoFleet is a Trino of a coordinator and two workers, an affinity service and a sidecar beside the coordinator, and a sidecar beside each worker, which is a member. Sections have 1 MiB, so that a file of
// some megabytes has several owners.
type trinoFleet struct {
	bridgeStage
	service  *harness.Affinity
	sidecars [2]*harness.Alio // of the workers
	workers  [2]string        // as members announce them
}

const fleetSection = 1 << 20

// fleetCatalogs are the names of the catalogs: our connectors, which also write the tables. Each catalog costs seconds of each node's start.
var fleetCatalogs = []string{"hive", "delta", "iceberg", "hudi"}

// startFleet starts all of it, with a service of the given options and the catalogs that a node has by its sidecar's socket and cache folder; nil: those of fleetCatalogs.
func startFleet(ctx context.Context, t *testing.T, o harness.AffinityOptions, catalogs func(f *trinoFleet, socket, cache string) map[string]map[string]string) *trinoFleet {
	t.Helper()
	f := &trinoFleet{bridgeStage: bridgeStage{s3: harness.S3(t)}}
	if catalogs == nil {
		catalogs = (*trinoFleet).catalogsOf
	}
	var err error
	f.origin, err = s3proxy.Start(s3proxy.Options{Target: f.s3.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = f.origin.Close() }) // never fails
	_, plugins, err := harness.TrinoBridge(ctx, t.Logf)
	need(t, err)
	f.service = harness.AffinityService(t, o)
	var ports []*harness.Port
	var nodes []map[string]map[string]string
	for i := range 1 + len(f.sidecars) { // the first is the coordinator's, which follows and owns nothing
		worker := ""
		if i > 0 {
			port, err := harness.PickPort()
			need(t, err)
			ports, worker = append(ports, port), port.Addr()
		}
		socket := filepath.Join(t.TempDir(), "alio.sock")
		a := harness.SidecarWith(t, harness.AlioOptions{Endpoint: f.origin.URL(), Bucket: f.s3.Bucket, Region: f.s3.Region, AccessKey: f.s3.AccessKey, SecretKey: f.s3.SecretKey,
			Socket: socket, ExtraYAML: clusterFreshness + f.service.Member(fmt.Sprint("node-", i), worker)})
		if i > 0 {
			f.sidecars[i-1], f.workers[i-1] = a, worker
		} else {
			f.alio = a
		}
		nodes = append(nodes, catalogs(f, socket, a.CacheDir))
	}
	t.Setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1") // three nodes on two processors: code is compiled once, and lightly
	f.trino, err = harness.StartTrino(ctx, harness.TrinoOptions{Dir: t.TempDir(), Catalogs: nodes[0], Workers: nodes[1:], Ports: ports, Plugins: plugins, Heap: "1G", Deadline: 20 * time.Minute,
		Logf: t.Logf})
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the coordinator's log:\n%s", f.trino.Output())
		}
		f.trino.Stop()
	})
	need(t, f.service.Await(ctx, len(f.sidecars)))
	return f
}

// catalogsOf are a node's.
func (f *trinoFleet) catalogsOf(socket, cache string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, name := range fleetCatalogs {
		c := harness.HiveCatalog(f.origin.URL(), f.s3.Region, f.s3.AccessKey, f.s3.SecretKey)
		switch name {
		case "hive":
			c["hive.max-split-size"], c["hive.max-initial-split-size"], c["hive.allow-register-partition-procedure"] = "1MB", "1MB", "true"
		case "delta":
			c["delta.enable-non-concurrent-writes"], c["hive.metastore.catalog.dir"] = "true", "local:///metastore-delta"
		case "iceberg":
			c["iceberg.catalog.type"], c["hive.metastore.catalog.dir"] = "TESTING_FILE_METASTORE", "local:///metastore-iceberg"
			c["iceberg.extended-statistics.collect-on-write"] = "false" // takes a function of Trino's own Iceberg plugin, which is not loaded here
			delete(c, "hive.metastore")
		}
		if name != "hive" {
			delete(c, "hive.non-managed-table-writes-enabled")
			delete(c, "hive.dynamic-filtering.wait-timeout")
		}
		maps.Copy(c, map[string]string{"connector.name": "alio_" + strings.Replace(name, "delta", "delta_lake", 1), "alio.sidecar": socket, "alio.directories": cache, "alio.deadline": "2s",
			"alio.affinity": "true"})
		all[name] = c
	}
	return all
}

// opened are the files that each worker has opened by a catalog.
func (f *trinoFleet) opened(ctx context.Context, t *testing.T, catalog string) (n [2]int64) {
	t.Helper()
	for i, w := range f.trino.Workers {
		c, err := w.MBean(ctx, "io.alio:type=Trino,name="+catalog)
		need(t, err)
		n[i] = c["OpenedFiles"]
	}
	return n
}

// placed runs a query by a catalog of ours, and says what it cost the store, and how many files each worker has opened for it.
func (f *trinoFleet) placed(ctx context.Context, t *testing.T, what, catalog, text string, want []string) (log []s3proxy.Entry, cost s3proxy.Summary, opened [2]int64) {
	t.Helper()
	before := f.opened(ctx, t, catalog)
	begun := time.Now()
	rows, log, cost := f.measured(ctx, t, catalog, text)
	took := time.Since(begun)
	same(t, what, want, rows)
	opened = f.opened(ctx, t, catalog)
	for i := range opened {
		opened[i] -= before[i]
		settled(ctx, t, f.sidecars[i])
	}
	t.Logf("%s: workers opened %v files, %.1f s; %v", what, opened, took.Seconds(), cost)
	return log, cost, opened
}

// owners asks the service for the owner of each split of a table's files: how many each worker is to have, and whose each is.
func (f *trinoFleet) owners(ctx context.Context, t *testing.T, table string) (shares [2]int64, owner map[string]int) {
	t.Helper()
	direct := harness.S3Client(f.s3.Endpoint, f.s3.Region, f.s3.AccessKey, f.s3.SecretKey)
	files := tableFiles(ctx, t, direct, f.s3.Bucket, table)
	var splits []affinity.SplitJSON
	for _, key := range slices.Sorted(maps.Keys(files)) {
		for _, at := range splitsOf(len(files[key])) {
			splits = append(splits, affinity.SplitJSON{Mount: "lake", Path: key, Offset: int64(at)})
		}
	}
	workers, err := f.service.Owners(ctx, splits)
	need(t, err)
	owner = map[string]int{}
	for i, w := range workers {
		k := slices.Index(f.workers[:], w)
		shares[k]++
		owner[fmt.Sprint(splits[i].Path, "@", splits[i].Offset)] = k
	}
	return shares, owner
}

// splitsOf says where Trino begins the splits of a file: each megabyte, but the last two are halves of what is left.
func splitsOf(size int) (starts []int) {
	for at := 0; at < size; {
		starts = append(starts, at)
		switch left := size - at; {
		case left <= fleetSection:
			at = size
		case left <= 2*fleetSection:
			at += left / 2
		default:
			at += fleetSection
		}
	}
	return starts
}

// TestTrinoAffinity: splits run where the affinity service says, run after run, by all four connectors, and by the section of a file that they begin in. A worker and its sidecar are lost: only their share
// moves, and is all that is read from the store. Both come back, and with them their share, which their disk has.
func TestTrinoAffinity(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
	defer cancel()
	f := startFleet(ctx, t, harness.AffinityOptions{Ring: fmt.Sprintf("{partitions: 1024, section_size: %d}", fleetSection)}, nil)
	const files = 8
	f.rows(ctx, t, "hive", "CREATE SCHEMA ${database}.${schema}")
	create := func(table, with string) {
		f.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s WITH (format = 'PARQUET', %sexternal_location = 's3://%s/tables/%s') AS SELECT * FROM tpcds.tiny.store_sales",
			table, with, f.s3.Bucket, table))
	}
	create("many", fmt.Sprintf("bucketed_by = ARRAY['ss_item_sk'], bucket_count = %d, ", files))
	create("large", "")
	text := func(table string) string {
		return "SELECT count(*), sum(ss_quantity), sum(ss_net_paid) FROM ${database}.${schema}." + table
	}
	want := f.rows(ctx, t, "hive", "SELECT count(*), sum(ss_quantity), sum(ss_net_paid) FROM tpcds.tiny.store_sales")

	shares, owner := f.owners(ctx, t, "many")
	for run := range 4 {
		_, cost, opened := f.placed(ctx, t, fmt.Sprint("many files, run ", run+1), "hive", text("many"), want)
		if opened != shares || run == 0 == (cost.DataGETs == 0) || cost.HEADs > 0 {
			t.Errorf("run %d: the workers own %v splits and have opened %v; %v", run+1, shares, opened, cost)
		}
	}
	large, _ := f.owners(ctx, t, "large")
	for run := range 3 {
		_, cost, opened := f.placed(ctx, t, fmt.Sprint("one file of several sections, run ", run+1), "hive", text("large"), want)
		if opened != large || min(large[0], large[1]) == 0 || run > 0 && cost.DataGETs+cost.HEADs > 0 {
			t.Errorf("run %d: the workers own %v sections and have opened %v; %v", run+1, large, opened, cost)
		}
	}
	f.formats(ctx, t)

	// Worker 1 and its sidecar are lost, and come back.
	f.sidecars[0].Kill()
	f.trino.Workers[0].Kill()
	need(t, f.trino.AwaitWorkers(ctx, 1))
	need(t, f.service.Await(ctx, 1))
	begun := time.Now()
	rows, log, cost := f.measured(ctx, t, "hive", text("many"))
	same(t, "with worker 1 gone", want, rows)
	fetched := map[string]bool{}
	for _, e := range log {
		if e.IsDataGET() {
			fetched[e.Key] = true
		}
	}
	for key := range fetched {
		if owner[key+"@0"] != 0 {
			t.Errorf("worker 2 owned %s before, and fetched it again", key)
		}
	}
	t.Logf("with worker 1 gone: %d files fetched of the %d that it owned, %.1f s; %v", len(fetched), shares[0], time.Since(begun).Seconds(), cost)
	if int64(len(fetched)) != shares[0] {
		t.Errorf("worker 1 owned %d files, and %d were fetched", shares[0], len(fetched))
	}
	need(t, f.sidecars[0].Start(ctx))
	need(t, f.trino.Workers[0].Again())
	need(t, f.trino.AwaitWorkers(ctx, 2))
	need(t, f.service.Await(ctx, 2))
	rows, _, cost = f.measured(ctx, t, "hive", text("many"))
	same(t, "with worker 1 back", want, rows)
	opened := f.opened(ctx, t, "hive")
	c, err := f.trino.Workers[0].MBean(ctx, "io.alio:type=Client,name=hive")
	need(t, err)
	t.Logf("with worker 1 back: it opened %d files, %d bytes from segments, %d of the sidecar; %v", opened[0], c["LocalBytes"], c["SidecarBytes"], cost)
	if opened[0] != shares[0] || cost.DataGETs > 0 || c["LocalBytes"] == 0 || c["BypassedReads"]+c["BypassedOpens"] > 0 {
		t.Errorf("with worker 1 back: %d files of %d; %v; %v", opened[0], shares[0], cost, c)
	}
	bean, err := f.trino.MBean(ctx, "io.alio:type=Affinity,name=hive")
	need(t, err)
	t.Logf("the coordinator: %v", bean)
	if bean["AskedSplits"] == 0 || bean["LeftSplits"] > 0 || bean["SlowestMicros"] > 100_000 {
		t.Errorf("the coordinator counted %v", bean)
	}
}

// formats reads a table of each other format twice: the second run makes no data request, and the coordinator placed all of its splits.
func (f *trinoFleet) formats(ctx context.Context, t *testing.T) {
	f.rows(ctx, t, "delta", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	f.rows(ctx, t, "delta", "CREATE TABLE ${database}.${schema}.item WITH (location = 's3://"+f.s3.Bucket+"/delta/item') AS SELECT * FROM tpcds.tiny.item")
	f.rows(ctx, t, "iceberg", "CREATE SCHEMA IF NOT EXISTS ${database}.${schema}")
	f.rows(ctx, t, "iceberg", "CREATE TABLE ${database}.${schema}.item WITH (location = 's3://"+f.s3.Bucket+"/iceberg/item') AS SELECT * FROM tpcds.tiny.item")
	f.enterHudi(ctx, t, hudiTables[0].name)
	const items = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.item"
	for catalog, text := range map[string]string{"delta": items, "iceberg": items, "hudi": "SELECT count(*), sum(v), max(ts) FROM ${database}.${schema}." + hudiTables[0].name} {
		var want []string
		if text == items {
			want = f.rows(ctx, t, catalog, "SELECT count(*), sum(i_current_price), max(i_item_id) FROM tpcds.tiny.item")
		} else if want = f.rows(ctx, t, catalog, text); firstColumn(t, want) != hudiTables[0].rows {
			t.Errorf("%v of a table with %d rows", want, hudiTables[0].rows)
		}
		var before [2]int64
		for run := range 3 {
			_, cost, opened := f.placed(ctx, t, fmt.Sprint(catalog, ", run ", run+1), catalog, text, want)
			if run > 0 && (opened != before || cost.DataGETs > 0) {
				t.Errorf("%s, run %d: the workers opened %v files, and %v before; %v", catalog, run+1, opened, before, cost)
			}
			before = opened
		}
		bean, err := f.trino.MBean(ctx, "io.alio:type=Affinity,name="+catalog)
		need(t, err)
		t.Logf("%s: the coordinator: %v", catalog, bean)
		if bean["AskedSplits"]+bean["WatchedSplits"] == 0 || bean["LeftSplits"] > 0 {
			t.Errorf("%s: the coordinator counted %v", catalog, bean)
		}
	}
}
