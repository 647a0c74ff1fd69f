package itest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// prestoCluster is a coordinator with the affinity service beside it, two workers, and a sidecar beside each worker, which is a member. The nodes share their files of settings, as those of
// a fleet do, where the same path names another sidecar on each machine; here a property of each node's Java does.
type prestoCluster struct {
	prestoStage
	service  *harness.Affinity
	sidecars [2]*harness.Alio
	workers  [2]string // as members announce them
}

// clusterFreshness has the sidecars believe what they know of files for longer than the test takes.
const clusterFreshness = "freshness: {rules: [{path: \"**\", answers: [object], max_age: 1h}]}\n"

// clusterFiles is how many files the table has that they read: so many that each worker has some, whatever the hashes.
const clusterFiles = 8

// startCluster starts all of it, with a service of the given rules of load (YAML of affinity.load), and more properties of all Hive catalogs.
func startCluster(ctx context.Context, t *testing.T, jar, load string, more map[string]string) *prestoCluster {
	t.Helper()
	c := &prestoCluster{prestoStage: prestoStage{store: harness.S3(t), meta: filepath.Join(t.TempDir(), "metastore"), begun: time.Now()}}
	var err error
	c.origin, err = s3proxy.Start(s3proxy.Options{Target: c.store.Endpoint})
	need(t, err)
	t.Cleanup(func() { _ = c.origin.Close() }) // never fails
	need(t, os.MkdirAll(c.meta, 0o755))
	sockets := t.TempDir()
	c.service = harness.AffinityService(t, harness.AffinityOptions{Socket: filepath.Join(sockets, "0"), Load: load})
	var ports []*harness.Port
	for i := range c.sidecars {
		port, err := harness.PickPort()
		need(t, err)
		ports, c.workers[i] = append(ports, port), port.Addr()
		c.sidecars[i] = harness.SidecarWith(t, harness.AlioOptions{Endpoint: c.origin.URL(), Bucket: c.store.Bucket, Region: c.store.Region, AccessKey: c.store.AccessKey,
			SecretKey: c.store.SecretKey, Socket: filepath.Join(sockets, fmt.Sprint(i+1)), ExtraYAML: clusterFreshness + c.service.Member(fmt.Sprint("worker-", i+1), c.workers[i])})
	}
	stock := harness.PrestoHiveCatalog(c.meta, c.origin.URL(), c.store.AccessKey, c.store.SecretKey)
	maps.Copy(stock, more)
	through := func(affinity string) map[string]string {
		catalog, err := harness.PrestoThroughAlio(stock, filepath.Join(t.TempDir(), "core-site.xml"), map[string]string{"alio.address": "${alio.test.socket}",
			"alio.directories": "${alio.test.cache}", "alio.jmx.name": "alio", "alio.control.ms": prestoControl(), "alio.affinity": affinity})
		need(t, err)
		return catalog
	}
	alio, owning := through("false"), through("true")
	alio["hive.node-selection-strategy"] = "SOFT_AFFINITY"
	owning["connector.name"], owning["hive.node-selection-strategy"] = "alio-hive", "NO_PREFERENCE" // without the service splits would run anywhere
	carrying := maps.Clone(alio)
	carrying["connector.name"] = "alio-hive"
	anywhere := maps.Clone(alio)
	anywhere["hive.node-selection-strategy"] = "NO_PREFERENCE"
	c.presto = runPresto(ctx, t, harness.PrestoOptions{Workers: len(c.sidecars), Ports: ports, Jars: map[string][]string{"hive-hadoop2": {jar}},
		Catalogs: map[string]map[string]string{"stock": stock, "alio": alio, "carrying": carrying, "anywhere": anywhere, "owning": owning},
		NodeJVM: func(node int) []string {
			cache := ""
			if node > 0 { // the coordinator opens no file of a Hive table
				cache = c.sidecars[node-1].CacheDir
			}
			return []string{"-Dalio.test.socket=" + filepath.Join(sockets, fmt.Sprint(node)), "-Dalio.test.cache=" + cache}
		}})
	return c
}

func clusterKey(table string, i int) string { return fmt.Sprintf("%s/item/data-%d", table, i) }

// table makes a table of copies of one file, in schemas s3_<name> and s3a_<name>.
func (c *prestoCluster) table(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	data := onlyFile(t, filepath.Join(c.meta, "here", "item"))
	for i := range clusterFiles {
		key := clusterKey(name, i)
		_, err := c.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &c.store.Bucket, Key: &key, Body: bytes.NewReader(data)})
		need(t, err)
	}
	for _, scheme := range []string{"s3", "s3a"} {
		_, err := c.presto.Query(ctx, "CREATE SCHEMA stock."+scheme+"_"+name)
		need(t, err)
		need(t, harness.EnterPrestoTables(c.meta, "here", scheme+"_"+name, scheme+"://"+c.store.Bucket+"/"+name, []string{"item"}))
	}
}

// run reads a table and says by how much each worker's counters have grown.
func (c *prestoCluster) run(ctx context.Context, t *testing.T, catalog, schema string) (rows []string, cost s3proxy.Summary, grown [2]map[string]float64) {
	t.Helper()
	const text = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.item"
	var had [2]map[string]float64
	for i := range had {
		had[i] = c.counters(ctx, t, i+1) // of a worker that has read nothing yet: none
	}
	rows, cost = c.rows(ctx, t, text, catalog, schema)
	for i := range grown {
		grown[i] = c.counters(ctx, t, i+1)
		for name := range grown[i] {
			grown[i][name] -= had[i][name]
		}
		t.Logf("    worker %d: %.0f files opened, %.0f bypassed; %.0f bytes of %.0f from segments", i+1, grown[i]["OpenedFiles"], grown[i]["BypassedFiles"],
			grown[i]["LocalBytes"], grown[i]["ReadBytes"])
	}
	return rows, cost, grown
}

// counters are a node's, of its file system and its client.
func (c *prestoCluster) counters(ctx context.Context, t *testing.T, node int) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, kind := range []string{"Client", "FileSystem"} { // both count opened files, and the latter counts those of Presto
		some, err := c.presto.MBean(ctx, node, "io.alio:type="+kind+",name=alio")
		if err != nil {
			return map[string]float64{} // the bridge comes with the first file
		}
		maps.Copy(all, some)
	}
	return all
}

// A coordinator with two workers, each with a sidecar of its own: the rows are those of the stock connector, a file's splits go to the worker that has read it
// before, and so the second run makes no data request. One worker's sidecar is lost: that worker reads by itself and the other does not. With the affinity service asked, splits run where it
// says, also when a worker is lost, and when it is back.
func TestPrestoCluster(t *testing.T) {
	jar := prestoParts(t, "hive-hadoop2", "tpcds")
	ctx, cancel := context.WithTimeout(context.Background(), prestoDeadline)
	defer cancel()
	c := startCluster(ctx, t, jar, "", nil)
	need(t, harness.CreatePrestoTables(ctx, c.presto, "stock", "here", []string{"item"}, t.Logf))
	c.table(ctx, t, "many")
	want, straight, _ := c.run(ctx, t, "stock", "s3_many")
	first, cold, placed := c.run(ctx, t, "alio", "s3a_many")
	same(t, "two workers, cold", want, first)
	if cold.DataGETs == 0 || cold.DataGETs > straight.DataGETs {
		t.Errorf("%d data GETs when cold, %d by the stock connector", cold.DataGETs, straight.DataGETs)
	}
	if placed[0]["OpenedFiles"] == 0 || placed[1]["OpenedFiles"] == 0 || placed[0]["OpenedFiles"]+placed[1]["OpenedFiles"] != clusterFiles {
		t.Errorf("the workers opened %.0f and %.0f files of %d", placed[0]["OpenedFiles"], placed[1]["OpenedFiles"], clusterFiles)
	}
	for _, catalog := range []string{"alio", "carrying"} {
		again, warm, now := c.run(ctx, t, catalog, "s3a_many")
		same(t, "two workers, repeated by "+catalog, want, again)
		if warm.DataGETs > 0 || warm.HEADs > 0 {
			t.Errorf("%d data GETs and %d HEADs when repeated by %s; there must be none", warm.DataGETs, warm.HEADs, catalog)
		}
		for i := range now {
			if now[i]["OpenedFiles"] != placed[i]["OpenedFiles"] || now[i]["LocalBytes"] == 0 || now[i]["BypassedFiles"]+now[i]["BypassedReads"] > 0 {
				t.Errorf("worker %d by %s: %v", i+1, catalog, now[i])
			}
		}
	}
	owners := c.owned(ctx, t, want)
	c.table(ctx, t, "lost")
	c.sidecars[0].Kill()
	rows, _, now := c.run(ctx, t, "alio", "s3a_lost")
	same(t, "with the sidecar of worker 1 gone", want, rows)
	if now[0]["BypassedFiles"] == 0 || now[1]["BypassedFiles"] > 0 || now[1]["OpenedFiles"] == 0 {
		t.Errorf("with the sidecar of worker 1 gone: worker 1 %v, worker 2 %v", now[0], now[1])
	}
	c.moved(ctx, t, want, owners)
}
