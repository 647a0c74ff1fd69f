package harness

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// serverDir holds the configuration of the servers, apart from that of clients.
func (h *HDFS) serverDir() string { return filepath.Join(h.Dir, "server") }

// configure writes the servers' configuration and that of clients.
func (h *HDFS) configure(o HDFSOptions) error {
	h.ConfDir = filepath.Join(h.Dir, "conf")
	for _, d := range []string{h.ConfDir, h.serverDir()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	core := map[string]string{"fs.defaultFS": h.URI}
	site := h.clientSite(o)
	server := h.serverSite(o)
	if o.Kerberos {
		maps.Copy(core, map[string]string{"hadoop.security.authentication": "kerberos", "hadoop.rpc.protection": o.RPCProtection})
		maps.Copy(site, h.kerberosSite(o))
		maps.Copy(server, h.kerberosServerSite())
		if o.AES {
			server["dfs.encrypt.data.transfer.cipher.suites"] = "AES/CTR/NoPadding"
		}
	}
	maps.Copy(server, core)
	maps.Copy(server, site)
	for path, properties := range map[string]map[string]string{
		filepath.Join(h.ConfDir, "core-site.xml"):     core,
		filepath.Join(h.ConfDir, "hdfs-site.xml"):     site,
		filepath.Join(h.serverDir(), "hdfs-site.xml"): server,
	} {
		if err := os.WriteFile(path, siteXML(properties), 0o644); err != nil {
			return err
		}
	}
	log4j := "log4j.rootLogger=WARN, err\nlog4j.appender.err=org.apache.log4j.ConsoleAppender\nlog4j.appender.err.target=System.err\n" +
		"log4j.appender.err.layout=org.apache.log4j.PatternLayout\nlog4j.appender.err.layout.ConversionPattern=%d{HH:mm:ss,SSS} %p %c{1}: %m%n\n"
	return os.WriteFile(filepath.Join(h.serverDir(), "log4j.properties"), []byte(log4j), 0o644)
}

// clientSite is what clients must know: how to find the NameNodes.
func (h *HDFS) clientSite(o HDFSOptions) map[string]string {
	site := map[string]string{
		"dfs.replication": strconv.Itoa(min(o.DataNodes, 2)),
		"dfs.blocksize":   strconv.FormatInt(o.BlockSize, 10),
	}
	if !o.HA {
		site["dfs.namenode.rpc-address"] = h.NameNodes[0]
		site["dfs.namenode.http-address"] = h.HTTP[0]
		return site
	}
	site["dfs.nameservices"] = HDFSNameservice
	site["dfs.client.failover.proxy.provider."+HDFSNameservice] = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
	var ids []string
	for i := range h.NameNodes {
		id := fmt.Sprintf("nn%d", i+1)
		ids = append(ids, id)
		site["dfs.namenode.rpc-address."+HDFSNameservice+"."+id] = h.NameNodes[i]
		site["dfs.namenode.http-address."+HDFSNameservice+"."+id] = h.HTTP[i]
	}
	site["dfs.ha.namenodes."+HDFSNameservice] = strings.Join(ids, ",")
	return site
}

// serverSite is what the servers are started with. Heartbeats come each second, since a truncated block is recovered by the next
// one; access times stay off, as on most clusters.
func (h *HDFS) serverSite(o HDFSOptions) map[string]string {
	return map[string]string{
		"alio.dir":                 filepath.Join(h.Dir, "cluster"),
		"alio.defaultfs":           h.URI,
		"alio.nameservice":         HDFSNameservice,
		"alio.namenode.rpc.ports":  h.numbers("rpc"),
		"alio.namenode.http.ports": h.numbers("http"),
		"alio.datanode.ports":      h.numbers("data"),
		"alio.datanode.http.ports": h.numbers("datahttp"),
		"alio.datanode.ipc.ports":  h.numbers("dataipc"),

		"hadoop.tmp.dir":                                            filepath.Join(h.Dir, "tmp"),
		"hdfs.minidfs.basedir":                                      filepath.Join(h.Dir, "cluster"),
		"dfs.permissions.enabled":                                   strconv.FormatBool(o.Permissions),
		"dfs.namenode.fs-limits.min-block-size":                     "1024",
		"dfs.namenode.access.time.precision":                        "0",
		"dfs.namenode.handler.count":                                "10",
		"dfs.heartbeat.interval":                                    "1",
		"dfs.ha.tail-edits.period":                                  "1",
		"dfs.client.block.write.replace-datanode-on-failure.enable": "false",
		"dfs.client.block.write.locateFollowingBlock.retries":       "10",
		"dfs.client.retry.window.base":                              "100",
		"hadoop.http.authentication.signature.secret.file":          filepath.Join(h.Dir, "nosecret"),
		"hadoop.security.key.provider.path":                         "jceks://file" + filepath.Join(h.Dir, "keys.jceks"),
	}
}

// kerberosSite is what clients must know of the servers' Kerberos.
func (h *HDFS) kerberosSite(o HDFSOptions) map[string]string {
	return map[string]string{
		"dfs.namenode.kerberos.principal": h.ServerPrincipal,
		"dfs.datanode.kerberos.principal": h.ServerPrincipal,
		"dfs.data.transfer.protection":    o.DataProtection,
	}
}

// kerberosServerSite is the servers' own part. Their ports are no privileged ones, which Hadoop allows in tests only.
func (h *HDFS) kerberosServerSite() map[string]string {
	keytab := filepath.Join(h.KDC.Dir, "server.keytab")
	return map[string]string{
		"alio.principal":                                  h.ServerPrincipal,
		"alio.keytab":                                     keytab,
		"dfs.namenode.keytab.file":                        keytab,
		"dfs.datanode.keytab.file":                        keytab,
		"dfs.web.authentication.kerberos.keytab":          keytab,
		"dfs.web.authentication.kerberos.principal":       "HTTP/localhost@" + KDCRealm,
		"dfs.namenode.kerberos.internal.spnego.principal": "HTTP/localhost@" + KDCRealm,
		"hadoop.http.authentication.type":                 "kerberos",
		"hadoop.http.authentication.kerberos.principal":   "HTTP/localhost@" + KDCRealm,
		"hadoop.http.authentication.kerberos.keytab":      keytab,
		"dfs.block.access.token.enable":                   "true",
		"ignore.secure.ports.for.testing":                 "true",
	}
}

// siteXML is a configuration file as Hadoop reads it.
func siteXML(properties map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString("<?xml version=\"1.0\"?>\n<configuration>\n")
	for _, k := range slices.Sorted(maps.Keys(properties)) {
		b.WriteString("  <property><name>" + k + "</name><value>")
		_ = xml.EscapeText(&b, []byte(properties[k])) // into memory
		b.WriteString("</value></property>\n")
	}
	b.WriteString("</configuration>\n")
	return b.Bytes()
}
