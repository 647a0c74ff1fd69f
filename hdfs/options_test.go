package hdfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestValidateReportsAll(t *testing.T) {
	err := Options{URI: "viewfs://x/", Principal: "alio", Keytab: "", CredentialCache: "c", DataTransferProtection: "none", Clients: -1, Buffer: -1, StallTimeout: -1}.Validate()
	for _, want := range []string{"viewfs", "keytab", "no realm", `"none"`, "Clients", "Buffer", "StallTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not speak of %s: %v", want, err)
		}
	}
	if err := (Options{URI: "hdfs://nn:8020/warehouse"}).Validate(); err != nil {
		t.Error(err)
	}
	for uri, says := range map[string]string{"webhdfs://nn:9870/": "RPC port", "nn:8020": "hdfs://", "": "hdfs://", "hdfs://nn/a//b": "empty", "hdfs://nn/a/../b": "..",
		"hdfs://u@nn/": "user", "hdfs://nn/.snapshot/s": "snapshot", "hdfs://nn/.reserved/raw": "reserved"} {
		if err := (Options{URI: uri}).Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want it to say %q", uri, err, says)
		}
	}
}

// site writes a configuration directory.
func site(t *testing.T, core, hdfs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, properties := range map[string]map[string]string{"core-site.xml": core, "hdfs-site.xml": hdfs} {
		text := "<configuration>"
		for k, v := range properties {
			text += "<property><name>" + k + "</name><value>" + v + "</value></property>"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"</configuration>"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestResolve(t *testing.T) {
	t.Setenv("HADOOP_CONF_DIR", "")
	t.Setenv("HADOOP_USER_NAME", "etl")
	dir := site(t, map[string]string{"fs.defaultFS": "hdfs://lake/", "domain": "example.org"}, map[string]string{
		"dfs.nameservices": "lake, cold", "dfs.ha.namenodes.lake": "nn1, nn2", "dfs.namenode.rpc-address.lake.nn1": "b.${domain}:8020",
		"dfs.namenode.rpc-address.lake.nn2": "a.example.org:8021", "dfs.namenode.rpc-address.cold": "c.example.org",
		"dfs.data.transfer.protection": "authentication,privacy", "dfs.client.use.datanode.hostname": "true"})
	for _, c := range []struct {
		uri   string
		nodes []string
		dir   string
	}{
		{"hdfs://lake/warehouse/db/", []string{"a.example.org:8021", "b.example.org:8020"}, "/warehouse/db"},
		{"hdfs:///warehouse", []string{"a.example.org:8021", "b.example.org:8020"}, "/warehouse"},
		{"hdfs://cold", []string{"c.example.org:8020"}, ""},
		{"hdfs://x,y:9000/d", []string{"x:8020", "y:9000"}, "/d"},
		{"hdfs://[::1]:9000/", []string{"[::1]:9000"}, ""},
	} {
		got, err := resolve(Options{URI: c.uri, ConfDir: dir})
		if err != nil || !slices.Equal(got.nameNodes, c.nodes) || got.dir != c.dir || got.user != "etl" || got.protection != "authentication" || !got.byHostname || got.kerberos {
			t.Errorf("%s: %+v, %v", c.uri, got, err)
		}
	}
	if _, err := resolve(Options{URI: "hdfs://lake", ConfDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "core-site.xml") {
		t.Errorf("a directory without a configuration: %v", err)
	}
	if _, err := resolve(Options{URI: "hdfs:///x"}); err == nil || !strings.Contains(err.Error(), "fs.defaultFS") {
		t.Errorf("no default: %v", err)
	}
	view := site(t, map[string]string{"fs.defaultFS": "viewfs://all/"}, nil)
	if _, err := resolve(Options{URI: "hdfs:///x", ConfDir: view}); err == nil || !strings.Contains(err.Error(), "viewfs") {
		t.Errorf("a viewfs as default: %v", err)
	}
	secure := site(t, map[string]string{"hadoop.security.authentication": "kerberos"}, nil)
	if _, err := resolve(Options{URI: "hdfs://nn/x", ConfDir: secure}); err == nil || !strings.Contains(err.Error(), "dfs.namenode.kerberos.principal") {
		t.Errorf("Kerberos without the NameNodes' principal: %v", err)
	}
}

// TestIDsNameTheClusterNotTheMount: pages of one file are shared by mounts of it, by whatever name its NameNodes are found.
func TestIDsNameTheClusterNotTheMount(t *testing.T) {
	id := func(uri, dir string) string {
		o, err := New(Options{URI: uri, ConfDir: dir, User: "x"})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		return o.ID()
	}
	conf := site(t, nil, map[string]string{"dfs.ha.namenodes.lake": "nn1,nn2", "dfs.namenode.rpc-address.lake.nn1": "a:8020", "dfs.namenode.rpc-address.lake.nn2": "b:8020"})
	if a, b := id("hdfs://lake/x", conf), id("hdfs://B:8020,a/", ""); a != b {
		t.Errorf("one cluster has the ids %s and %s", a, b)
	}
	if a, b := id("hdfs://a:8020", ""), id("hdfs://a:8021", ""); a == b {
		t.Errorf("two clusters share the id %s", a)
	}
}
