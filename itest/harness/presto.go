package harness

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// PrestoOptions say how StartPresto starts a server. Catalogs beside tpcds are given by name with their properties.
type PrestoOptions struct {
	Dir      string                       // absolute; configuration, data, output. "": a new temporary folder, removed by Stop
	Catalogs map[string]map[string]string // by name; a catalog "tpcds" with the generator is always there
	Workers  int                          // 0: one node that is both; 1 or 2: a coordinator and so many workers, each a process
	Ports    []*Port                      // of the workers, where they must be known before; nil: any. Stop releases them
	Jars     map[string][]string          // paths of jars that are added to a plugin's folder, by the plugin's name (hive-hadoop2)
	Config   map[string]string            // more lines of every node's config.properties
	JVM      []string                     // more options of every node's Java; nil: those that make short tests cheap (PrestoTestJVM)
	NodeJVM  func(node int) []string      // more options of one node's Java, the coordinator being node 0; nil: none
	Heap     string                       // of the coordinator; "": 2G for one node, 900M with workers, which have 700M
	Deadline time.Duration                // from the start to the first query answered; 0: 8 minutes (20-60 s are usual on 2 idle cores)
	Logf     Logf                         // progress; nil: Stderr
}

// Presto is a running Presto server of one node, or of a coordinator and workers.
type Presto struct {
	URL     string // http://127.0.0.1:port of the coordinator; its web page shows the queries
	Dir     string
	Workers []string // http://127.0.0.1:port of each

	nodes  []*Process // the coordinator first
	ports  []*Port
	ownDir bool
	client *http.Client
	stop   sync.Once
	launch func(node int) (*Process, error)
}

// PrestoTestJVM costs the least in a run of a few queries on two cores: code is compiled once, and lightly. Whoever measures times
// gives options of a production server instead.
var PrestoTestJVM = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}

// prestoOpens are the packages that 0.287 reaches into by reflection, which Java 17 allows only when told to.
var prestoOpens = []string{"java.io", "java.lang", "java.lang.ref", "java.lang.reflect", "java.net", "java.nio", "java.security",
	"javax.security.auth", "javax.security.auth.login", "java.text", "java.util", "java.util.concurrent", "java.util.concurrent.atomic",
	"java.util.regex", "jdk.internal.loader", "sun.security.action"}

// PrestoOpens are Java's options that allow it.
func PrestoOpens() []string {
	args := []string{"--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED"}
	for _, pkg := range prestoOpens {
		args = append(args, "--add-opens=java.base/"+pkg+"=ALL-UNNAMED")
	}
	return args
}

// prestoConnectors are the plugins of the connectors that a catalog may name. Those of a bridge lie in the plugin's folder they wrap.
var prestoConnectors = map[string]string{"hive-hadoop2": "hive-hadoop2", "alio-hive": "hive-hadoop2", "delta": "delta", "hudi": "hudi", "tpcds": "tpcds"}

// StartPresto fetches Presto if need be, starts it and returns when it answers a query on all its nodes. The caller must Stop it.
// ctx bounds the start only. About 1 GB of memory for one node, 1.5 GB for three.
func StartPresto(ctx context.Context, o PrestoOptions) (*Presto, error) {
	if o.Logf == nil {
		o.Logf = Stderr
	}
	if o.Deadline == 0 {
		o.Deadline = 8 * time.Minute
	}
	if o.Workers < 0 || o.Workers > 2 {
		return nil, fmt.Errorf("%d Presto workers asked for: 0 to 2 are possible", o.Workers)
	}
	jdk, err := JDK()
	if err != nil {
		return nil, err
	}
	lib, err := PrestoLib(ctx, o.Logf)
	if err != nil {
		return nil, err
	}
	p := &Presto{Dir: o.Dir, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	if p.Dir == "" {
		if p.Dir, err = os.MkdirTemp("", "alio-presto-"); err != nil {
			return nil, err
		}
		p.ownDir = true
	}
	if err = p.configure(ctx, o); err == nil {
		err = p.start(ctx, filepath.Join(jdk, "bin", "java"), lib, o)
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// configure writes the files of all nodes. They share their catalogs and their plugin folder, which holds the plugins in use only:
// each one loaded costs seconds.
func (p *Presto) configure(ctx context.Context, o PrestoOptions) error {
	catalogs := map[string]map[string]string{"tpcds": {"connector.name": "tpcds"}}
	maps.Copy(catalogs, o.Catalogs)
	plugins := map[string]bool{}
	files := map[string]map[string]string{"log.properties": {"com.facebook.presto": "INFO"}}
	for name, properties := range catalogs {
		plugin, ok := prestoConnectors[properties["connector.name"]]
		if !ok {
			return fmt.Errorf("catalog %s: no plugin is kept for connector.name=%s", name, properties["connector.name"])
		}
		plugins[plugin] = true
		files["catalog/"+name+".properties"] = properties
	}
	for plugin := range plugins {
		jars, err := PrestoPluginJars(ctx, plugin, o.Logf)
		if err != nil {
			return err
		}
		for _, jar := range o.Jars[plugin] {
			jars[filepath.Base(jar)] = jar
		}
		if err := linkDir(filepath.Join(p.Dir, "plugin", plugin), jars); err != nil {
			return err
		}
	}
	port, err := PickPort()
	if err != nil {
		return err
	}
	p.ports = append([]*Port{port}, o.Ports...)
	for len(p.ports) < 1+o.Workers {
		if port, err = PickPort(); err != nil {
			return err
		}
		p.ports = append(p.ports, port)
	}
	for _, port := range p.ports[1:] {
		p.Workers = append(p.Workers, "http://"+port.Addr())
	}
	p.URL = "http://" + p.ports[0].Addr()
	for i := range p.ports {
		files[nodeName(i)+"/config.properties"] = p.config(i, o)
	}
	return writeProperties(p.Dir, files)
}

func nodeName(i int) string {
	if i == 0 {
		return "coordinator"
	}
	return fmt.Sprintf("worker%d", i)
}

// config is a node's config.properties.
func (p *Presto) config(i int, o PrestoOptions) map[string]string {
	c := map[string]string{
		"coordinator": fmt.Sprint(i == 0), "http-server.http.port": fmt.Sprint(p.ports[i].Number), "discovery.uri": p.URL,
		"plugin.dir": filepath.Join(p.Dir, "plugin"),
		// Queries of three small heaps must fit; what is left is for all else.
		"query.max-memory": "400MB", "query.max-memory-per-node": "200MB", "query.max-total-memory-per-node": "250MB",
		"memory.heap-headroom-per-node":      "150MB",
		"node-scheduler.include-coordinator": fmt.Sprint(o.Workers == 0), "node-scheduler.node-selection-hash-strategy": "CONSISTENT_HASHING",
	}
	if o.Workers == 0 {
		c["query.max-memory"], c["query.max-memory-per-node"], c["query.max-total-memory-per-node"] = "1GB", "512MB", "700MB"
		c["memory.heap-headroom-per-node"] = "300MB"
	}
	if i == 0 {
		c["discovery-server.enabled"] = "true"
	}
	maps.Copy(c, o.Config)
	return c
}

// writeProperties writes properties files below dir by their names.
func writeProperties(dir string, files map[string]map[string]string) error {
	for name, properties := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, propertiesText(properties), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// start runs all nodes without their launcher, as processes of ours, and waits for a first answer.
func (p *Presto) start(ctx context.Context, java string, lib []string, o PrestoOptions) error {
	p.launch = func(node int) (*Process, error) {
		heap := "700M"
		if node == 0 {
			heap = o.Heap
			if heap == "" && o.Workers == 0 {
				heap = "2G"
			} else if heap == "" {
				heap = "900M"
			}
		}
		return p.startNode(node, java, heap, lib, o)
	}
	for i := range p.ports {
		node, err := p.launch(i)
		if err != nil {
			return err
		}
		p.nodes = append(p.nodes, node)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Deadline)
	defer cancel()
	begun, shown := time.Now(), time.Now()
	o.Logf("starting Presto %s, %d nodes (the coordinator's log: %s)", PrestoVersion, len(p.nodes), p.nodes[0].LogFile())
	err := p.nodes[0].ready(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			o.Logf("  Presto is starting: %.0f s", time.Since(begun).Seconds())
		}
		for i, node := range p.nodes[1:] {
			select {
			case <-node.Done():
				cancel() // no later try can be any better
				return fmt.Errorf("worker %d ended; the end of its output:\n%s", i+1, node.Tail(4000))
			default:
			}
		}
		return p.started(ctx, max(1, o.Workers))
	})
	if err == nil {
		o.Logf("  Presto is ready after %.0f s", time.Since(begun).Seconds())
	}
	return err
}

func (p *Presto) startNode(i int, java, heap string, lib []string, o PrestoOptions) (*Process, error) {
	name := nodeName(i)
	dir := filepath.Join(p.Dir, name)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		return nil, err
	}
	args := []string{"-server", "-Xmx" + heap, "-XX:+ExitOnOutOfMemoryError",
		"-Djdk.attach.allowAttachSelf=true", "-Djdk.nio.maxCachedBufferSize=2000000"}
	args = append(args, PrestoOpens()...)
	args = append(args, "-Dnode.environment=test", "-Dnode.id=alio-"+name, "-Dnode.internal-address=127.0.0.1", "-Dnode.bind-ip=127.0.0.1",
		"-Dnode.data-dir="+filepath.Join(dir, "data"), "-Dconfig="+filepath.Join(dir, "config.properties"),
		"-Dlog.levels-file="+filepath.Join(p.Dir, "log.properties"), "-Dcatalog.config-dir="+filepath.Join(p.Dir, "catalog"))
	jvm := o.JVM
	if jvm == nil {
		jvm = PrestoTestJVM
	}
	args = append(args, jvm...)
	if o.NodeJVM != nil {
		args = append(args, o.NodeJVM(i)...)
	}
	args = append(args, "-cp", strings.Join(lib, ":"), "com.facebook.presto.server.PrestoServer")
	path, args, err := modesHold(java, args)
	if err != nil {
		return nil, err
	}
	return startProcess(processSpec{Name: "presto " + name, Path: path, Dir: dir, LogFile: filepath.Join(dir, "presto.log"), Args: args})
}

// modesHold is a command such that the modes of files hold for it, as they do for an engine's own user: root may read any file, unless it is
// started without the capability to.
func modesHold(path string, args []string) (string, []string, error) {
	if os.Geteuid() != 0 {
		return path, args, nil
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return "", nil, fmt.Errorf("setpriv of util-linux is not on the PATH, by which a server of root's is started without root's right to read any file: %w", err)
	}
	return setpriv, append([]string{"--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search", path}, args...), nil
}

// started says whether so many workers are known to run queries: for some seconds after the coordinator serves, queries fail with
// "No worker nodes available".
func (p *Presto) started(ctx context.Context, workers int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	active, err := p.active(ctx)
	if err == nil && active < workers {
		err = fmt.Errorf("%d of %d Presto workers are active", active, workers)
	}
	if err != nil {
		return err
	}
	rows, err := p.Query(ctx, "SELECT count(*) FROM tpcds.tiny.store")
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("a count gave %d rows", len(rows))
	}
	return err
}

// Output is the end of each node's log, for a failing test.
func (p *Presto) Output() string {
	var b strings.Builder
	for _, n := range p.nodes {
		fmt.Fprintf(&b, "%s:\n%s\n", n.name, n.Tail(8000))
	}
	return b.String()
}

// PID is the coordinator's process id.
func (p *Presto) PID() int { return p.nodes[0].PID() }

// Log is all that a node has written, the coordinator being node 0.
func (p *Presto) Log(node int) (string, error) {
	text, err := os.ReadFile(p.nodes[node].LogFile())
	return string(text), err
}

// Stop ends all nodes and removes what StartPresto made. It may be called more than once.
func (p *Presto) Stop() {
	p.stop.Do(func() {
		for _, n := range slices.Backward(p.nodes) {
			n.Kill() // a node that is asked to end waits for its coordinator, for a minute
		}
		p.client.CloseIdleConnections()
		for _, port := range p.ports {
			port.Release()
		}
		if p.ownDir {
			_ = os.RemoveAll(p.Dir)
		}
	})
}
