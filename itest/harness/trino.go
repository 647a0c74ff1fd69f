package harness

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trinodb/trino-go-client/trino"
)

// TrinoOptions say how StartTrino starts a server. Catalogs beside tpcds are given by name with their properties (HiveCatalog).
type TrinoOptions struct {
	Dir      string                       // absolute; configuration, data, metastore, output. "": a new temporary folder, removed by Stop
	Catalogs map[string]map[string]string // by name; a catalog "tpcds" with the generator is always there, unless it is given as nil
	Plugins  map[string]string            // more plugin folders, by the connector.name that each registers (TrinoBridge)
	JVM      []string                     // options of Java's collector and compiler; nil: those of a production server
	// Workers are the catalogs of each worker, which may differ from the coordinator's by what a machine has of its own: its sidecar. None: one node is coordinator
	// and worker in one.
	Workers  []map[string]map[string]string
	Ports    []*Port       // of the workers, where they must be known before; nil: any. Stop releases them
	Heap     string        // of each node; "": 2G
	Deadline time.Duration // from the start to the first query answered; 0: 8 minutes (20-60 s are usual on 2 idle cores)
	Logf     Logf          // progress; nil: Stderr
}

// TrinoTestJVM costs the least in a run of many short queries on two cores: code is compiled once, and lightly. Whoever measures times leaves it.
var TrinoTestJVM = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}

// trinoJVM is what Trino's own documentation gives a production server.
var trinoJVM = []string{"-XX:+UseG1GC", "-XX:G1HeapRegionSize=32M", "-XX:+ExplicitGCInvokesConcurrent", "-XX:ReservedCodeCacheSize=256M"}

// Trino is a running Trino server: one node that is coordinator and worker in one, or a coordinator with workers.
type Trino struct {
	URL     string // http://127.0.0.1:port; its web page shows the queries (user: any)
	Dir     string
	Workers []*Trino

	node   string // its id
	proc   *Process
	port   *Port
	ownDir bool
	stop   sync.Once
	mu     sync.Mutex
	dbs    []*sql.DB
	again  func() error // starts the node's process
}

// HiveCatalog is a Hive catalog whose store is an S3 endpoint and whose metastore is a folder on local disk. All catalogs of one
// server share the metastore, so each sees the tables of the others and differs only by its endpoint. Scans wait for their dynamic
// filters (by default they wait a second at most): which dictionaries a scan probes depends on the filters that have arrived, so
// without this the number of a query's requests varies by up to three between runs; with it, it is always the same.
func HiveCatalog(endpoint, region, access, secret string) map[string]string {
	return map[string]string{
		"connector.name":                         "hive",
		"hive.metastore":                         "file",
		"hive.metastore.catalog.dir":             "local:///metastore",
		"hive.metastore.disable-location-checks": "true",
		"hive.non-managed-table-writes-enabled":  "true",
		"hive.dynamic-filtering.wait-timeout":    "20s",
		"fs.native-s3.enabled":                   "true",
		"fs.native-local.enabled":                "true",
		"s3.endpoint":                            endpoint,
		"s3.region":                              region,
		"s3.path-style-access":                   "true",
		"s3.aws-access-key":                      access,
		"s3.aws-secret-key":                      secret,
	}
}

// StartTrino fetches Trino if need be, starts it and returns when it answers a query. The caller must Stop it. ctx bounds the
// start only. About 1.5 GB of memory.
func StartTrino(ctx context.Context, o TrinoOptions) (*Trino, error) {
	o = o.withDefaults()
	home, err := TrinoHome(ctx, o.Logf)
	if err != nil {
		return nil, err
	}
	java, err := Java(ctx, o.Logf)
	if err != nil {
		return nil, err
	}
	t := &Trino{Dir: o.Dir, node: "alio0"}
	if t.Dir == "" {
		if t.Dir, err = os.MkdirTemp("", "alio-trino-"); err != nil {
			return nil, err
		}
		t.ownDir = true
	}
	if err = t.launch(java, home, "", o); err == nil {
		err = t.join(java, home, o)
	}
	if err == nil {
		err = t.wait(ctx, o)
	}
	if err != nil {
		t.Stop()
		return nil, err
	}
	return t, nil
}

func (o TrinoOptions) withDefaults() TrinoOptions {
	if o.Logf == nil {
		o.Logf = Stderr
	}
	if o.Deadline == 0 {
		o.Deadline = 8 * time.Minute
	}
	if o.Heap == "" {
		o.Heap = "2G"
	}
	if o.JVM == nil {
		o.JVM = trinoJVM
	}
	return o
}

// AddWorkers gives a running server, which goes on working itself, workers: o.Workers, with Plugins, JVM, Heap, Deadline and Logf of o. They start at once, and it returns
// when all of them are there. Scans of a catalog run on the nodes that have it, all other work on any. May be called once; Stop ends them.
func (t *Trino) AddWorkers(ctx context.Context, o TrinoOptions) error {
	o = o.withDefaults()
	home, err := TrinoHome(ctx, o.Logf)
	if err != nil {
		return err
	}
	java, err := Java(ctx, o.Logf)
	if err == nil {
		err = t.join(java, home, o)
	}
	if err != nil {
		return err
	}
	return t.wait(ctx, o)
}

// launch starts one node. It is a worker of the coordinator at that URL, or with "" itself the coordinator.
func (t *Trino) launch(java, home, coordinator string, o TrinoOptions) (err error) {
	if t.port == nil {
		if t.port, err = PickPort(); err != nil {
			return err
		}
	}
	t.URL = "http://" + t.port.Addr()
	if err := t.configure(home, coordinator, o); err != nil {
		return err
	}
	t.again = func() error { return t.start(java, home, o) }
	return t.again()
}

// join starts the workers, all at once.
func (t *Trino) join(java, home string, o TrinoOptions) error {
	for i, catalogs := range o.Workers {
		w := &Trino{Dir: filepath.Join(t.Dir, fmt.Sprint("worker", i+1)), node: fmt.Sprint("alio", i+1)}
		t.Workers = append(t.Workers, w)
		if i < len(o.Ports) {
			w.port = o.Ports[i]
		}
		own := o
		own.Catalogs = catalogs
		if err := w.launch(java, home, t.URL, own); err != nil {
			return err
		}
	}
	return nil
}

// configure writes the server's files. Its plugin folder holds links to the plugins in use only: each one loaded costs seconds.
func (t *Trino) configure(home, coordinator string, o TrinoOptions) error {
	for _, d := range []string{"etc/catalog", "data", "localfs", "plugin"} {
		if err := os.MkdirAll(filepath.Join(t.Dir, d), 0o755); err != nil {
			return err
		}
	}
	all := map[string]map[string]string{"tpcds": {"connector.name": "tpcds"}}
	maps.Copy(all, o.Catalogs)
	maps.DeleteFunc(all, func(_ string, c map[string]string) bool { return c == nil })
	plugins := map[string]string{}
	for _, name := range trinoPlugins {
		plugins[strings.ReplaceAll(name, "-", "_")] = filepath.Join(home, "plugin", name)
	}
	maps.Copy(plugins, o.Plugins)
	files := map[string]map[string]string{
		"etc/config.properties": t.config(coordinator, len(o.Workers) > 0),
		"etc/log.properties":    {"io.trino": "INFO"},
	}
	for name, properties := range all {
		properties = maps.Clone(properties)
		plugin, ok := plugins[properties["connector.name"]]
		if !ok {
			return fmt.Errorf("catalog %s: no plugin is kept for connector.name=%s", name, properties["connector.name"])
		}
		if properties["fs.native-local.enabled"] == "true" {
			properties["local.location"] = filepath.Join(t.Dir, "localfs")
		}
		files["etc/catalog/"+name+".properties"] = properties
		link := filepath.Join(t.Dir, "plugin", filepath.Base(plugin))
		if err := os.Symlink(plugin, link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	for name, properties := range files {
		if err := os.WriteFile(filepath.Join(t.Dir, name), propertiesText(properties), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// config are the server's own properties. In a cluster the coordinator runs no scans, and each node gets by with a heap of 1 GB.
func (t *Trino) config(coordinator string, cluster bool) map[string]string {
	all := map[string]string{
		"coordinator": "true", "node-scheduler.include-coordinator": strconv.FormatBool(!cluster), "discovery.uri": t.URL,
		"http-server.http.port": fmt.Sprint(t.port.Number), "catalog.management": "static",
		"query.max-memory": "1GB", "query.max-memory-per-node": "512MB", "memory.heap-headroom-per-node": "512MB",
		"plugin.dir": filepath.Join(t.Dir, "plugin"), "catalog.config-dir": filepath.Join(t.Dir, "etc/catalog"),
	}
	if cluster {
		maps.Copy(all, map[string]string{"query.max-memory": "400MB", "query.max-memory-per-node": "250MB", "memory.heap-headroom-per-node": "250MB"})
	}
	if coordinator != "" {
		all["coordinator"], all["discovery.uri"] = "false", coordinator
		delete(all, "node-scheduler.include-coordinator")
	}
	return all
}

func propertiesText(p map[string]string) []byte {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, p[k])
	}
	return []byte(b.String())
}

// start runs the server without its launcher, as one process of ours.
func (t *Trino) start(java, home string, o TrinoOptions) (err error) {
	etc := filepath.Join(t.Dir, "etc")
	path, args, err := modesHold(java, append(slices.Clone(o.JVM), "-server", "-Xmx"+o.Heap, "-XX:+ExitOnOutOfMemoryError", "-XX:PerMethodRecompilationCutoff=10000",
		"-XX:PerBytecodeRecompilationCutoff=10000", "-Djdk.attach.allowAttachSelf=true", "-Djdk.nio.maxCachedBufferSize=2000000",
		"--enable-native-access=ALL-UNNAMED",
		"-Dnode.environment=test", "-Dnode.id="+t.node, "-Dnode.internal-address=127.0.0.1", "-Dnode.bind-ip=127.0.0.1",
		"-Dnode.data-dir="+filepath.Join(t.Dir, "data"),
		"-Dconfig="+filepath.Join(etc, "config.properties"), "-Dlog.levels-file="+filepath.Join(etc, "log.properties"),
		"-cp", filepath.Join(home, "lib", "*"), "io.trino.server.TrinoServer"))
	if err != nil {
		return err
	}
	t.proc, err = startProcess(processSpec{Name: "trino " + t.node, Path: path, Dir: t.Dir, LogFile: filepath.Join(t.Dir, "trino.log"), Args: args})
	return err
}

// wait returns when the coordinator answers a first query, with all its workers there.
func (t *Trino) wait(ctx context.Context, o TrinoOptions) error {
	ctx, cancel := context.WithTimeout(ctx, o.Deadline)
	defer cancel()
	begun, shown := time.Now(), time.Now()
	o.Logf("starting Trino 476, with %d workers (the coordinator's log: %s)", len(t.Workers), t.proc.LogFile())
	err := t.proc.ready(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			o.Logf("  Trino is starting: %.0f s", time.Since(begun).Seconds())
		}
		for _, w := range t.Workers {
			select {
			case <-w.proc.Done():
				t.proc.Kill() // what cannot be whole need not start
				return fmt.Errorf("worker %s ended: %s", w.node, w.Output())
			default:
			}
		}
		return t.started(ctx)
	})
	if err == nil {
		o.Logf("  Trino is ready after %.0f s", time.Since(begun).Seconds())
	}
	return err
}

// started says whether the server runs queries. "starting":false alone is not enough: for some seconds after it queries fail
// with "No nodes available", until the node has announced itself.
func (t *Trino) started(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL+"/v1/info", nil)
	if err != nil {
		return err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var info struct {
		Starting *bool `json:"starting"`
	}
	if err := json.NewDecoder(res.Body).Decode(&info); err != nil {
		return err
	}
	if info.Starting == nil || *info.Starting {
		return errors.New("Trino is still starting")
	}
	db, err := t.DB("tpcds", "tiny")
	if err != nil {
		return err
	}
	if len(t.Workers) > 0 {
		rows, err := Rows(ctx, db, "SELECT node_id FROM system.runtime.nodes WHERE state = 'active' AND NOT coordinator")
		if err == nil && len(rows) < len(t.Workers) {
			err = fmt.Errorf("%d of %d workers are there", len(rows), len(t.Workers))
		}
		if err != nil {
			return err
		}
	}
	rows, err := Rows(ctx, db, "SELECT count(*) FROM store")
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("a count gave %d rows", len(rows))
	}
	return err
}

// DB opens a database/sql handle (trino-go-client) on a catalog and schema. Stop closes it; callers need not.
func (t *Trino) DB(catalog, schema string) (*sql.DB, error) {
	dsn, err := (&trino.Config{ServerURI: "http://alio@" + t.port.Addr(), Catalog: catalog, Schema: schema, Source: "alio"}).FormatDSN()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("trino", dsn)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dbs = append(t.dbs, db)
	return db, nil
}

// MBean reads the attributes of a JMX bean that are numbers.
func (t *Trino) MBean(ctx context.Context, name string) (map[string]int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL+"/v1/jmx/mbean/"+url.PathEscape(name), nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	req.Header.Set("X-Trino-User", "alio")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("MBean %s: %s", name, res.Status)
	}
	var bean struct {
		Attributes []struct {
			Name  string `json:"name"`
			Value any    `json:"value"`
		} `json:"attributes"`
	}
	if err := json.NewDecoder(res.Body).Decode(&bean); err != nil {
		return nil, fmt.Errorf("MBean %s: %w", name, err)
	}
	all := map[string]int64{}
	for _, a := range bean.Attributes {
		if v, ok := a.Value.(float64); ok {
			all[a.Name] = int64(v)
		}
	}
	return all, nil
}

// Output is the end of the server's log, for a failing test.
func (t *Trino) Output() string { return t.proc.Tail(8000) }

// Log is all that the server has written.
func (t *Trino) Log() (string, error) {
	b, err := os.ReadFile(t.proc.LogFile())
	return string(b), err
}

// PID is the node's process id.
func (t *Trino) PID() int { return t.proc.PID() }

// Stop ends the server and removes what StartTrino made. It may be called more than once.
func (t *Trino) Stop() {
	t.stop.Do(func() {
		for _, w := range t.Workers {
			w.Stop()
		}
		t.mu.Lock()
		for _, db := range t.dbs {
			_ = db.Close()
		}
		t.mu.Unlock()
		if t.proc != nil {
			t.proc.Stop(5 * time.Second)
		}
		if t.port != nil {
			t.port.Release()
		}
		if t.ownDir {
			_ = os.RemoveAll(t.Dir)
		}
	})
}
