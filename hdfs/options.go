package hdfs

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Options name a directory of an HDFS cluster and say how it is reached.
type Options struct {
	// URI is what is mounted: hdfs://host:port[,host:port …][/dir], hdfs://nameservice[/dir] or hdfs:///dir. Several hosts are the NameNodes of one
	// highly available cluster; a nameservice is looked up in the Hadoop configuration, and no host is its fs.defaultFS. A host without a port has
	// the port 8020.
	URI string
	// ConfDir holds core-site.xml and hdfs-site.xml; "" is HADOOP_CONF_DIR, or none. What they say of authentication and data transfer counts
	// unless an option below says otherwise.
	ConfDir string
	// User is who reads and writes by SIMPLE authentication; "" is HADOOP_USER_NAME, or the process's user. Unused with Kerberos.
	User string

	// Principal (user@REALM) and Keytab log in to Kerberos; CredentialCache is a file that kinit keeps, instead of them; all three "" with a
	// configuration that asks for Kerberos: the cache that KRB5CCNAME names, or that of the process's user. One of them given asks for Kerberos
	// whatever the configuration says.
	Principal, Keytab, CredentialCache string
	// KerberosConf is krb5.conf; "" is what KRB5_CONFIG says, or /etc/krb5.conf.
	KerberosConf string
	// ServicePrincipal is the NameNodes' own, _HOST standing for the host; "" is dfs.namenode.kerberos.principal.
	ServicePrincipal string
	// DataTransferProtection is the least that is taken, "authentication", "integrity" or "privacy"; "" is dfs.data.transfer.protection. Data that
	// DataNodes sign, or encrypt by other than AES, cannot be read.
	DataTransferProtection string
	// UseDatanodeHostname reaches DataNodes by name rather than by address; so does dfs.client.use.datanode.hostname.
	UseDatanodeHostname bool

	// Clients bounds how many reads and writes are under way at once; more wait. Default 16. Each is a connection to the NameNode, which the HDFS
	// library uses once a second for as long as it is kept: ClientIdle after its last use, default 30 s.
	Clients    int
	ClientIdle time.Duration
	// Buffer is how many bytes are read between two looks at the file's blocks, and held in memory, for each read. Default 2 MiB.
	Buffer int
	// DialTimeout bounds connecting to a NameNode or DataNode (default 5 s), CallTimeout one call of one NameNode (default 20 s), FailoverTimeout
	// a call as a whole while the NameNodes of a pair change roles (default 45 s), StallTimeout how long a DataNode may deliver or take nothing
	// before the next replica is asked (default 20 s).
	DialTimeout, CallTimeout, FailoverTimeout, StallTimeout time.Duration
}

// Validate reports every fault at once. It reads no files.
func (o Options) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("hdfs: "+format, args...)) }
	if _, err := parseURI(o.URI); err != nil {
		errs = append(errs, err)
	}
	if (o.Principal == "") != (o.Keytab == "") {
		fault("a principal and its keytab come together: one of them is missing")
	}
	if o.Keytab != "" && o.CredentialCache != "" {
		fault("there are two ways to log in: give a keytab or a credential cache, not both")
	}
	if _, realm, ok := strings.Cut(o.Principal, "@"); o.Principal != "" && (!ok || realm == "") {
		fault("the principal %q has no realm; want user@REALM", o.Principal)
	}
	switch o.DataTransferProtection {
	case "", "authentication", "integrity", "privacy":
	default:
		fault(`the data transfer protection %q is unknown; want "authentication", "integrity" or "privacy"`, o.DataTransferProtection)
	}
	if o.Clients < 0 {
		fault("Clients is %d; want a positive number, or 0 for the default", o.Clients)
	}
	if o.Buffer < 0 {
		fault("Buffer is %d bytes; want a positive number, or 0 for the default", o.Buffer)
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"ClientIdle", o.ClientIdle}, {"DialTimeout", o.DialTimeout}, {"CallTimeout", o.CallTimeout}, {"FailoverTimeout", o.FailoverTimeout}, {"StallTimeout", o.StallTimeout}} {
		if d.v < 0 {
			fault("%s is %v; want a positive time, or 0 for the default", d.name, d.v)
		}
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.Clients == 0 {
		o.Clients = 16
	}
	if o.Buffer == 0 {
		o.Buffer = 2 << 20
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.ClientIdle, 30 * time.Second}, {&o.DialTimeout, 5 * time.Second}, {&o.CallTimeout, 20 * time.Second}, {&o.FailoverTimeout, 45 * time.Second}, {&o.StallTimeout, 20 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	return o
}

// place is a mount URI taken apart.
type place struct {
	authority string // "" for fs.defaultFS
	dir       string // "" or "/a/b"
}

func parseURI(s string) (place, error) {
	rest, ok := strings.CutPrefix(s, "hdfs://")
	if !ok {
		why := "want hdfs://host:port[,host:port][/dir] or hdfs://nameservice[/dir]"
		switch {
		case strings.HasPrefix(s, "viewfs:"):
			why = "a viewfs is a table that lives in clients: mount each HDFS cluster that it names on its own"
		case strings.HasPrefix(s, "webhdfs:"), strings.HasPrefix(s, "swebhdfs:"):
			why = "HDFS is read by its own protocol: mount hdfs:// with the NameNode's RPC port (8020 or 9000, not its HTTP port)"
		}
		return place{}, fmt.Errorf("hdfs: %q cannot be mounted: %s", s, why)
	}
	p := place{authority: rest}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		p.authority, p.dir = rest[:i], strings.TrimRight(rest[i:], "/")
	}
	if strings.ContainsAny(p.authority, "@?#") {
		return place{}, fmt.Errorf("hdfs: %q names no host; want hdfs://host:port[,host:port][/dir], and the user in its own option", s)
	}
	if p.dir != "" {
		if why := unnameable(p.dir[1:]); why != "" {
			return place{}, fmt.Errorf("hdfs: the directory of %q cannot be mounted: %s", s, why)
		}
	}
	return p, nil
}

// withPort is addr with HDFS's port if it has none.
func withPort(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.Trim(addr, "[]"), "8020"
	}
	if host == "" || port == "" {
		return "", fmt.Errorf("hdfs: %q is no address of a NameNode; want host:port", addr)
	}
	return net.JoinHostPort(host, port), nil
}
