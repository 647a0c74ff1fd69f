package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/alio-lake/alio/internal/config"
)

// Mount is one origin under one name.
type Mount struct {
	// What is mounted: s3://bucket, gs://bucket, either with /prefix for a part of it, or hdfs://host:port[,host:port][/dir] with one NameNode or those of
	// a highly available cluster, or hdfs://nameservice[/dir], which hdfs.conf_dir explains.
	URI string `yaml:"uri"`
	// What clients' writes at the S3 endpoint do: read_only refuses them (403), pass_through lets them through to the origin. Empty: pass_through on
	// s3://, read_only on gs:// and hdfs://.
	Writes string `yaml:"writes"`
	// How an S3 origin is reached.
	S3 S3 `yaml:"s3"`
	// How a Google Cloud Storage origin is reached.
	GCS GCS `yaml:"gcs"`
	// How an HDFS origin is reached.
	HDFS HDFS `yaml:"hdfs"`
	// Repeated attempts after throttling, timeouts and server errors.
	Retry Retry `yaml:"retry"`
	// What this sidecar may ask of the origin.
	Limits Limits `yaml:"limits"`
}

// S3 says how an S3 origin is reached.
type S3 struct {
	// URL of the S3 service, such as https://minio.example.com:9000. Empty: AWS, in the region.
	Endpoint string `yaml:"endpoint"`
	// Region to sign for. Empty: what the AWS environment says (AWS_REGION, shared files), else us-east-1.
	Region string `yaml:"region"`
	// Put the bucket into the path instead of the host name; most servers other than AWS need it.
	PathStyle bool `yaml:"path_style"`
	// Static key. Empty: the AWS default chain (environment, shared files, web identity, container and instance roles).
	AccessKeyID config.EnvString `yaml:"access_key_id"`
	// Secret of the static key. Write ${NAME} to take it from the environment.
	SecretAccessKey config.Secret `yaml:"secret_access_key"`
	// Session token of a temporary static key. Write ${NAME} to take it from the environment.
	SessionToken config.Secret `yaml:"session_token"`
	// Send unsigned requests, for public buckets.
	Anonymous bool `yaml:"anonymous"`
}

// GCS says how a Google Cloud Storage origin is reached.
type GCS struct {
	// URL of the service, for emulators and private endpoints. Empty: what STORAGE_EMULATOR_HOST says, else https://storage.googleapis.com.
	Endpoint string `yaml:"endpoint"`
	// JSON file of credentials, of any type that Google's tools write. Empty: the application default credentials (GOOGLE_APPLICATION_CREDENTIALS,
	// gcloud's own file, the metadata server).
	CredentialsFile string `yaml:"credentials_file"`
	// Send requests without credentials, for public buckets and emulators.
	Anonymous bool `yaml:"anonymous"`
	// Project that pays for requests to a bucket whose requester pays.
	UserProject string `yaml:"user_project"`
}

// HDFS says how an HDFS origin is reached.
type HDFS struct {
	// Folder of core-site.xml and hdfs-site.xml. Empty: what HADOOP_CONF_DIR says, else none. The files are read when the origin is made: after a change
	// of them alone, restart.
	ConfDir string `yaml:"conf_dir"`
	// User to read and write as, without Kerberos. Empty: what HADOOP_USER_NAME says, else the user that the sidecar runs as.
	User string `yaml:"user"`
	// Kerberos principal, user@REALM, which keytab belongs to.
	Principal string `yaml:"principal"`
	// Keytab file of the principal. It is read again when it changes.
	Keytab string `yaml:"keytab"`
	// File of tickets that kinit keeps, instead of principal and keytab. Empty, with a configuration that asks for Kerberos: what KRB5CCNAME says.
	CredentialCache string `yaml:"credential_cache"`
	// Kerberos configuration. Empty: what KRB5_CONFIG says, else /etc/krb5.conf.
	KerberosConf string `yaml:"krb5_conf"`
	// Principal of the NameNodes, with _HOST for the host. Empty: dfs.namenode.kerberos.principal.
	ServicePrincipal string `yaml:"service_principal"`
	// authentication, integrity or privacy. Empty: dfs.data.transfer.protection.
	DataTransferProtection string `yaml:"data_transfer_protection"`
	// Reach DataNodes by name rather than by address, as dfs.client.use.datanode.hostname does too.
	UseDatanodeHostname bool `yaml:"use_datanode_hostname"`
	// Connections to the NameNode, and so reads and writes under way at once; more wait for their turn.
	Clients int `yaml:"clients"`
	// Bytes of each read held in memory until the file's blocks have been looked at again.
	Buffer config.Size `yaml:"buffer"`
}

// DefaultMount returns a Mount with every default and no URI.
func DefaultMount() Mount {
	return Mount{
		HDFS:   HDFS{Clients: 16, Buffer: 2 * config.MiB},
		Retry:  Retry{Attempts: 6, MaxElapsed: 30 * second},
		Limits: Limits{Concurrency: 64},
	}
}

// SetDefaults makes each mount of a file start from the defaults.
func (m *Mount) SetDefaults() { *m = DefaultMount() }

// The kinds of origin, by the schemes of their URIs.
const (
	KindS3   = "s3"
	KindGCS  = "gs"
	KindHDFS = "hdfs"
)

// The values of Mount.Writes.
const (
	ReadOnly    = "read_only"
	PassThrough = "pass_through"
)

// Kind is the kind of the mount's origin, "" if its URI tells none.
func (m *Mount) Kind() string {
	scheme, _, ok := strings.Cut(m.URI, "://")
	if !ok || !slices.Contains([]string{KindS3, KindGCS, KindHDFS}, scheme) {
		return ""
	}
	return scheme
}

// WritePolicy is Writes with its default.
func (m *Mount) WritePolicy() string {
	switch {
	case m.Writes != "":
		return m.Writes
	case m.Kind() == KindS3:
		return PassThrough
	}
	return ReadOnly
}

func (c *Config) validateMounts(f *config.Faults) {
	if len(c.Mounts) == 0 {
		f.Add("mounts", "there is no mount: name at least one origin, with --mount lake=s3://bucket or under mounts: in the config file")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Mounts)) {
		m := c.Mounts[name]
		m.validate(f, "mounts."+name, name)
	}
}

// mounted tells whether anything is mounted at or below a first path component.
func mounted(mounts map[string]Mount, first string) bool {
	for name := range mounts {
		if top, _, _ := strings.Cut(name, "/"); top == first {
			return true
		}
	}
	return false
}

func (m *Mount) validate(f *config.Faults, path, name string) {
	for part := range strings.SplitSeq(name, "/") {
		if !mountName(part) {
			f.Add(path, "%q cannot be a mount's name, or a part of one: use 1 to 63 of a-z, 0-9, '-', '.', '_', with a letter or digit at each end", part)
		}
	}
	if err := checkURI(m.URI); err != nil {
		f.Add(path+".uri", "%v", err)
	}
	oneOf(f, path+".writes", m.Writes, "", ReadOnly, PassThrough)
	m.validateSections(f, path)
	if m.Retry.Attempts < 1 {
		f.Add(path+".retry.attempts", "%d is too few: 1 asks once and never again", m.Retry.Attempts)
	}
	if m.Retry.MaxElapsed == config.Forever {
		f.Add(path+".retry.max_elapsed", "forever would hold readers without end: give a duration, such as 30s")
	}
	if m.Limits.Concurrency < 1 {
		f.Add(path+".limits.concurrency", "%d is too few: the origin could never be asked; 64 is the default", m.Limits.Concurrency)
	}
}

// validateSections checks what is said of the origin's kind, and that nothing is said of another.
func (m *Mount) validateSections(f *config.Faults, path string) {
	plain := DefaultMount()
	for _, s := range []struct {
		kind, key string
		said      bool
		validate  func(*config.Faults, string)
	}{
		{KindS3, ".s3", m.S3 != plain.S3, m.S3.validate},
		{KindGCS, ".gcs", m.GCS != plain.GCS, m.GCS.validate},
		{KindHDFS, ".hdfs", m.HDFS != plain.HDFS && m.HDFS != HDFS{}, m.HDFS.validate},
	} {
		switch kind := m.Kind(); {
		case kind == s.kind, kind == "" && s.said:
			s.validate(f, path+s.key)
		case s.said:
			f.Add(path+s.key, "speaks of %s://, and the mount's uri is %q: remove one of them", s.kind, m.URI)
		}
	}
}

// mountName tells whether a name can serve as an S3 bucket and as a host name's label.
func mountName(name string) bool {
	edge := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if len(name) < 1 || len(name) > 63 || !edge(name[0]) || !edge(name[len(name)-1]) {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

func (s *S3) validate(f *config.Faults, path string) {
	validateEndpoint(f, path+".endpoint", s.Endpoint, "keys in access_key_id and secret_access_key")
	id, secret := s.AccessKeyID != "", s.SecretAccessKey != ""
	switch {
	case id && !secret:
		f.Add(path+".secret_access_key", "is missing beside access_key_id")
	case secret && !id:
		f.Add(path+".access_key_id", "is missing beside secret_access_key")
	case s.SessionToken != "" && !id:
		f.Add(path+".session_token", "needs access_key_id and secret_access_key beside it")
	case s.Anonymous && id:
		f.Add(path+".anonymous", "contradicts access_key_id: remove one of them")
	}
}

func (g *GCS) validate(f *config.Faults, path string) {
	validateEndpoint(f, path+".endpoint", g.Endpoint, "credentials in credentials_file")
	if g.Anonymous && g.CredentialsFile != "" {
		f.Add(path+".anonymous", "contradicts credentials_file: remove one of them")
	}
	if strings.HasPrefix(g.Endpoint, "http:") && !g.Anonymous {
		f.Add(path+".endpoint", "%q would get credentials in the clear: use https, or set anonymous, as emulators want", g.Endpoint)
	}
}

func (h *HDFS) validate(f *config.Faults, path string) {
	switch {
	case h.Principal != "" && h.Keytab == "":
		f.Add(path+".keytab", "is missing beside principal")
	case h.Keytab != "" && h.Principal == "":
		f.Add(path+".principal", "is missing beside keytab")
	case h.Keytab != "" && h.CredentialCache != "":
		f.Add(path+".credential_cache", "contradicts keytab: remove one of them")
	}
	oneOf(f, path+".data_transfer_protection", h.DataTransferProtection, "", "authentication", "integrity", "privacy")
	if h.Clients < 1 {
		f.Add(path+".clients", "%d is too few: the NameNode could never be asked; 16 is the default", h.Clients)
	}
	atLeast(f, path+".buffer", h.Buffer, 64*config.KiB, "each round of a read asks the NameNode where the blocks are")
}

// validateEndpoint checks the URL of a service, if there is one.
func validateEndpoint(f *config.Faults, path, endpoint, keys string) {
	if endpoint == "" {
		return
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		f.Add(path, "%q is no URL of a service: write http://host:port or https://host", endpoint)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		f.Add(path, "%q holds more than scheme, host and port: the bucket belongs in uri, %s", u.Redacted(), keys)
	}
}

func checkURI(uri string) error {
	m := Mount{URI: uri}
	switch m.Kind() {
	case KindS3, KindGCS:
		_, _, err := SplitURI(uri)
		return err
	case KindHDFS:
		if rest := strings.TrimPrefix(uri, "hdfs://"); rest == "" || strings.ContainsAny(rest, "?#@ ") {
			return fmt.Errorf("%q names no NameNode: write hdfs://host:port[,host:port][/dir] or hdfs://nameservice[/dir]", uri)
		}
		return nil
	}
	return fmt.Errorf("%q is no origin this build can mount: write s3://bucket[/prefix], gs://bucket[/prefix] or hdfs://host:port[/dir]", uri)
}

// SplitURI cuts an s3:// or gs:// URI into bucket and prefix; the prefix has no slash at its ends.
func SplitURI(uri string) (bucket, prefix string, err error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if bucket == "" || strings.ContainsAny(bucket, "?#@: ") {
		return "", "", fmt.Errorf("%q names no bucket: write %s://bucket or %s://bucket/prefix", uri, scheme, scheme)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	for _, part := range strings.Split(prefix, "/") {
		if prefix != "" && (part == "" || part == "." || part == "..") {
			return "", "", fmt.Errorf("%q has an empty, . or .. part in its prefix", uri)
		}
	}
	return bucket, prefix, nil
}
