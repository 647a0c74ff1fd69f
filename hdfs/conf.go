package hdfs

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/colinmarc/hdfs/v2/hadoopconf"
)

// cluster is what the options and the Hadoop configuration say together.
type cluster struct {
	nameNodes  []string // of one nameservice, sorted
	dir        string   // "" or "/a/b"
	user       string   // SIMPLE
	kerberos   bool
	service    string // the NameNodes' principal
	protection string // of data transfer, "" for none
	byHostname bool
	skipSASL   bool // DataNodes on privileged ports take no SASL
}

// resolve reads the Hadoop configuration.
func resolve(o Options) (cluster, error) {
	p, err := parseURI(o.URI)
	if err != nil {
		return cluster{}, err
	}
	conf, err := load(o.ConfDir)
	if err != nil {
		return cluster{}, err
	}
	c := cluster{dir: p.dir, service: o.ServicePrincipal, protection: o.DataTransferProtection,
		byHostname: o.UseDatanodeHostname || conf.get("dfs.client.use.datanode.hostname") == "true"}
	if c.nameNodes, err = conf.nameNodes(p.authority); err != nil {
		return cluster{}, err
	}
	c.kerberos = strings.EqualFold(conf.get("hadoop.security.authentication"), "kerberos") || o.Keytab != "" || o.CredentialCache != ""
	if c.service == "" {
		c.service = conf.get("dfs.namenode.kerberos.principal")
	}
	if c.kerberos && c.service == "" {
		return cluster{}, fmt.Errorf("hdfs: Kerberos needs the NameNodes' principal: set dfs.namenode.kerberos.principal in hdfs-site.xml, or the option")
	}
	if c.protection == "" {
		c.protection = conf.protection()
	}
	c.skipSASL = c.protection != "" && conf.get("dfs.encrypt.data.transfer") != "true"
	if c.user, err = simpleUser(o.User); err != nil && !c.kerberos {
		return cluster{}, err
	}
	return c, nil
}

func simpleUser(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if name = os.Getenv("HADOOP_USER_NAME"); name != "" {
		return name, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("hdfs: the process's user has no name: set the user to read as: %w", err)
	}
	return u.Username, nil
}

type conf map[string]string

// load reads core-site.xml and hdfs-site.xml of a directory; "" is HADOOP_CONF_DIR, or none at all.
func load(dir string) (conf, error) {
	named := dir != ""
	if !named {
		if dir = os.Getenv("HADOOP_CONF_DIR"); dir == "" {
			return nil, nil
		}
	}
	c, err := hadoopconf.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("hdfs: the Hadoop configuration in %s cannot be read: %w", dir, err)
	}
	if c == nil && named {
		return nil, fmt.Errorf("hdfs: %s has no core-site.xml and no hdfs-site.xml", dir)
	}
	return conf(c), nil
}

// get is a property, with other properties in place of ${name}.
func (c conf) get(key string) string {
	v := strings.TrimSpace(c[key])
	for range 20 { // Hadoop's own bound
		i := strings.Index(v, "${")
		if i < 0 {
			break
		}
		n := strings.IndexByte(v[i:], '}')
		if n < 0 {
			break
		}
		v = v[:i] + strings.TrimSpace(c[v[i+2:i+n]]) + v[i+n+1:]
	}
	return v
}

func (c conf) list(key string) []string {
	return strings.FieldsFunc(c.get(key), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// nameNodes are the addresses behind the authority of a mount URI.
func (c conf) nameNodes(authority string) ([]string, error) {
	if authority == "" {
		fs := c.get("fs.defaultFS")
		if fs == "" {
			fs = c.get("fs.default.name")
		}
		if fs == "" {
			return nil, fmt.Errorf("hdfs: the URI names no host, and the Hadoop configuration no fs.defaultFS")
		}
		p, err := parseURI(fs)
		if err != nil {
			return nil, fmt.Errorf("fs.defaultFS: %w", err)
		}
		if authority = p.authority; authority == "" {
			return nil, fmt.Errorf("hdfs: fs.defaultFS %q names no host", fs)
		}
	}
	addrs := c.service(authority)
	if addrs == nil {
		addrs = strings.Split(authority, ",")
	}
	for i, a := range addrs {
		var err error
		if addrs[i], err = withPort(strings.ToLower(a)); err != nil {
			return nil, err
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs), nil
}

// service are the addresses of a nameservice's NameNodes, nil if the configuration has none of that name.
func (c conf) service(name string) []string {
	var addrs []string
	for _, nn := range c.list("dfs.ha.namenodes." + name) {
		if a := c.get("dfs.namenode.rpc-address." + name + "." + nn); a != "" {
			addrs = append(addrs, a)
		}
	}
	if addrs != nil {
		return addrs
	}
	if a := c.get("dfs.namenode.rpc-address." + name); a != "" { // federation without a second NameNode
		return []string{a}
	}
	return nil
}

// protection is the least that dfs.data.transfer.protection is content with: DataNodes choose among what it names.
func (c conf) protection() string {
	if c.get("dfs.encrypt.data.transfer") == "true" {
		return "privacy"
	}
	allowed := c.list("dfs.data.transfer.protection")
	for _, p := range []string{"authentication", "integrity", "privacy"} {
		if slices.ContainsFunc(allowed, func(s string) bool { return strings.EqualFold(s, p) }) {
			return p
		}
	}
	return ""
}
