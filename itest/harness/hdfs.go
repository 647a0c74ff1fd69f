package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// HDFSOptions say how StartHDFS starts a file system. The zero value is one NameNode and one DataNode.
type HDFSOptions struct {
	Dir         string // absolute; data, configuration, output. "": a new temporary folder, removed by Stop
	DataNodes   int    // 0: 1. It is the default replication too, up to 2
	HA          bool   // two NameNodes with shared edits, the first one active; Do "failover N" changes that
	BlockSize   int64  // bytes, a multiple of 512 and at least 1024; 0: 1 MiB
	Permissions bool   // whether permissions are checked; the superuser is HDFSUser
	Kerberos    bool   // a KDC, and servers that ask for tickets
	// With Kerberos: hadoop.rpc.protection and dfs.data.transfer.protection; "": authentication.
	RPCProtection, DataProtection string
	AES                           bool          // data that is encrypted is by AES, else by DIGEST-MD5's own RC4
	TicketLife                    time.Duration // of Kerberos tickets; 0: an hour
	Deadline                      time.Duration // until ready; 0: 3 minutes (10 s are usual on 2 idle cores)
	Logf                          Logf          // progress; nil: Stderr
}

// HDFSUser is who the NameNode runs as: its superuser, and the owner of what Do makes.
const HDFSUser = "hdfs"

// HDFSNameservice is the name of a file system of two NameNodes.
const HDFSNameservice = "alio"

// HDFS is a running Hadoop file system 3.4.1: real NameNodes and DataNodes, all in one process of about 350 MB, on loopback ports
// of their own that stay the same when a server is stopped and started. All methods may be called in parallel.
type HDFS struct {
	NameNodes []string // host:port of RPC, by number
	HTTP      []string // host:port of the NameNodes' HTTP (WebHDFS), by number
	DataNodes []string // host:port of data transfer, by number
	URI       string   // hdfs://host:port, or hdfs://HDFSNameservice
	ConfDir   string   // core-site.xml and hdfs-site.xml for clients
	Dir       string
	BlockSize int64

	// With Kerberos: the KDC, krb5.conf, and a plain user's principal with its keytab. The servers are ServerPrincipal.
	KDC                                          *KDC
	Krb5Conf, Keytab, Principal, ServerPrincipal string

	proc   *Process
	ctl    *control
	ports  map[string][]*Port
	ownDir bool
	stop   sync.Once
}

// NewHDFS starts a file system for one test and stops it when the test ends, with the end of its output in the test's log if the
// test failed. The options' Dir and Logf are the test's.
func NewHDFS(t testing.TB, o HDFSOptions) *HDFS {
	t.Helper()
	o.Dir, o.Logf = t.TempDir(), t.Logf
	h, err := StartHDFS(context.Background(), o)
	if err != nil {
		t.Fatalf("HDFS for the test: %v", err)
	}
	t.Cleanup(func() {
		h.Stop()
		if t.Failed() {
			t.Logf("end of the file system's output:\n%s", h.Output())
		}
	})
	return h
}

// StartHDFS fetches Hadoop if need be (90 MB), starts a file system and returns when it takes writes. The caller must Stop it. ctx
// bounds the start only.
func StartHDFS(ctx context.Context, o HDFSOptions) (*HDFS, error) {
	o = o.withDefaults()
	java, classPath, err := hdfsProgram(ctx, o.Logf)
	if err != nil {
		return nil, err
	}
	h := &HDFS{Dir: o.Dir, BlockSize: o.BlockSize, ports: map[string][]*Port{}}
	if h.Dir == "" {
		if h.Dir, err = os.MkdirTemp("", "alio-hdfs-"); err != nil {
			return nil, err
		}
		h.ownDir = true
	}
	if err := h.prepare(ctx, o); err != nil {
		h.Stop()
		return nil, err
	}
	if err := h.start(ctx, java, classPath, o); err != nil {
		h.Stop()
		return nil, err
	}
	return h, nil
}

// prepare does what comes before the servers: ports, tickets, configuration.
func (h *HDFS) prepare(ctx context.Context, o HDFSOptions) error {
	if err := h.pickPorts(o); err != nil {
		return err
	}
	if o.Kerberos {
		if err := h.startKDC(ctx, o); err != nil {
			return err
		}
	}
	return h.configure(o)
}

// startKDC starts a KDC with the servers' principals and that of a plain user, "alio".
func (h *HDFS) startKDC(ctx context.Context, o HDFSOptions) (err error) {
	if h.KDC, err = StartKDC(ctx, filepath.Join(h.Dir, "kdc"), o.TicketLife, o.Logf); err != nil {
		return err
	}
	h.Krb5Conf, h.Principal, h.ServerPrincipal = h.KDC.Krb5Conf, "alio@"+KDCRealm, HDFSUser+"/localhost@"+KDCRealm
	if _, err = h.KDC.Keytab(ctx, "server", h.ServerPrincipal, "HTTP/localhost@"+KDCRealm); err != nil {
		return err
	}
	h.Keytab, err = h.KDC.Keytab(ctx, "alio", h.Principal)
	return err
}

func (o HDFSOptions) withDefaults() HDFSOptions {
	if o.DataNodes == 0 {
		o.DataNodes = 1
	}
	if o.BlockSize == 0 {
		o.BlockSize = 1 << 20
	}
	if o.TicketLife == 0 {
		o.TicketLife = time.Hour
	}
	if o.RPCProtection == "" {
		o.RPCProtection = "authentication"
	}
	if o.DataProtection == "" {
		o.DataProtection = "authentication"
	}
	if o.Deadline == 0 {
		o.Deadline = 3 * time.Minute
	}
	if o.Logf == nil {
		o.Logf = Stderr
	}
	return o
}

// pickPorts picks two ports for each NameNode and three for each DataNode.
func (h *HDFS) pickPorts(o HDFSOptions) error {
	nameNodes := 1
	if o.HA {
		nameNodes = 2
	}
	for _, want := range []struct {
		kind string
		n    int
	}{{"rpc", nameNodes}, {"http", nameNodes}, {"data", o.DataNodes}, {"datahttp", o.DataNodes}, {"dataipc", o.DataNodes}} {
		for range want.n {
			p, err := PickPort()
			if err != nil {
				return err
			}
			h.ports[want.kind] = append(h.ports[want.kind], p)
		}
	}
	addresses := func(kind string) (all []string) {
		for _, p := range h.ports[kind] {
			all = append(all, p.Addr())
		}
		return all
	}
	h.NameNodes, h.HTTP, h.DataNodes = addresses("rpc"), addresses("http"), addresses("data")
	h.URI = "hdfs://" + h.NameNodes[0]
	if o.HA {
		h.URI = "hdfs://" + HDFSNameservice
	}
	return nil
}

// numbers are the ports of one kind as Hadoop's lists have them.
func (h *HDFS) numbers(kind string) string {
	var all []string
	for _, p := range h.ports[kind] {
		all = append(all, strconv.Itoa(p.Number))
	}
	return strings.Join(all, ",")
}

// start runs the program and waits for its first answer. The serial collector and the quick compiler halve memory and start time.
func (h *HDFS) start(ctx context.Context, java, classPath string, o HDFSOptions) error {
	in, toChild, err := os.Pipe()
	if err != nil {
		return err
	}
	fromChild, out, err := os.Pipe()
	if err != nil {
		closeFiles(in, toChild)
		return err
	}
	var kerberos []string
	if h.KDC != nil {
		kerberos = []string{"-Djava.security.krb5.conf=" + h.Krb5Conf}
	}
	h.proc, err = startProcess(processSpec{
		Name: "HDFS", Path: java, Dir: h.Dir, LogFile: filepath.Join(h.Dir, "hdfs.log"), Stdin: in, Stdout: out,
		Env: []string{"HADOOP_USER_NAME=" + HDFSUser},
		Args: append(kerberos, "-Xmx400m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError",
			"--add-opens", "java.base/java.lang=ALL-UNNAMED", "-Djava.net.preferIPv4Stack=true",
			"-cp", h.serverDir()+":"+classPath, "io.alio.itest.Main"),
	})
	if err != nil {
		closeFiles(toChild, fromChild)
		return err
	}
	h.ctl = newControl(toChild, fromChild)
	ctx, cancel := context.WithTimeout(ctx, o.Deadline)
	defer cancel()
	begun, shown := time.Now(), time.Now()
	err = h.proc.ready(ctx, 100*time.Millisecond, func(context.Context) error {
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			o.Logf("  HDFS is starting: %.0f s", time.Since(begun).Seconds())
		}
		select {
		case <-h.ctl.ready:
			return nil
		default:
			return errors.New("HDFS is still starting")
		}
	})
	if err == nil {
		o.Logf("  HDFS is ready after %.1f s (%d NameNodes, %d DataNodes)", time.Since(begun).Seconds(), len(h.NameNodes), len(h.DataNodes))
	}
	return err
}

// Output is the end of what the servers wrote, for a failing test.
func (h *HDFS) Output() string {
	if h.proc == nil {
		return ""
	}
	return h.proc.Tail(8000)
}

// Stop kills the servers and removes what StartHDFS made. It may be called more than once; a Do in flight then fails.
func (h *HDFS) Stop() {
	h.stop.Do(func() {
		if h.proc != nil {
			h.proc.Kill()
		}
		if h.ctl != nil {
			h.ctl.close()
		}
		if h.KDC != nil {
			h.KDC.Stop()
		}
		for _, ports := range h.ports {
			for _, p := range ports {
				p.Release()
			}
		}
		if h.ownDir {
			_ = os.RemoveAll(h.Dir)
		}
	})
}

// PID is the process's id, all servers being one process.
func (h *HDFS) PID() int { return h.proc.PID() }

// fail puts a name and the end of the output on an error of the control connection.
func (h *HDFS) fail(command string, err error) error {
	if len(command) > 100 {
		command = command[:100] + "..."
	}
	if errors.Is(err, errControlGone) {
		return fmt.Errorf("hdfs %s: %w; the end of its output:\n%s", command, err, h.proc.Tail(4000))
	}
	return fmt.Errorf("hdfs %s: %w", command, err)
}
