package config

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alio-lake/alio/internal/config"
)

// Config is everything that a sidecar can be told. The zero Config is not usable: begin with Default.
type Config struct {
	// The origins, each under the name by which clients ask for it (at the S3 endpoint: the bucket). A name such as lake/archive mounts an origin below
	// another one, or below nothing; the longest name that fits a path answers for it. A sidecar needs at least one.
	Mounts map[string]Mount `yaml:"mounts"`
	// The page cache.
	Cache Cache `yaml:"cache"`
	// How old an answer may be.
	Freshness Freshness `yaml:"freshness"`
	// What is read from origins before anybody asks for it. docs/prefetch.md says what that is worth.
	Prefetch Prefetch `yaml:"prefetch"`
	// Where clients come in.
	Doors Doors `yaml:"doors"`
	// The fleet that this sidecar belongs to.
	Affinity Affinity `yaml:"affinity"`
	// Reading from the other sidecars of the fleet.
	Peers Peers `yaml:"peers"`
	// Metrics, health and status over HTTP.
	Admin Admin `yaml:"admin"`
	// Logging, to standard error.
	Log Log `yaml:"log"`
	// How long requests under way may take to finish after SIGTERM or SIGINT; what is left then is cut off.
	ShutdownGrace config.Duration `yaml:"shutdown_grace"`
}

// Retry is how long and how often an origin is asked again.
type Retry struct {
	// Attempts in all, the first included; 1 never repeats.
	Attempts int `yaml:"attempts"`
	// Time after which no further attempt is begun.
	MaxElapsed config.Duration `yaml:"max_elapsed"`
}

// Limits bound what one sidecar asks of one origin.
type Limits struct {
	// Requests in flight at once; more wait for their turn.
	Concurrency int `yaml:"concurrency"`
	// Bytes per second read from the origin; 0 is unlimited.
	Bandwidth config.Size `yaml:"bandwidth"`
}

// Cache is the page cache.
type Cache struct {
	// Directory of the disk tier, on a local file system, used by nothing else. Empty: memory only.
	Dir string `yaml:"dir"`
	// The most that the disk tier may hold in dir, everything counted.
	Size config.Size `yaml:"size"`
	// More directories, each on a device of its own: pages spread over them by their sizes, and one that fails leaves its share to the others.
	MoreDirs []CacheDir `yaml:"more_dirs"`
	// Memory tier: pages that are not (yet) on disk, metadata pages, and those that are asked for often. Fills and the operating system's page cache come on top.
	Memory config.Size `yaml:"memory"`
	// Share of the memory tier that scans cannot take from metadata pages (footers, indexes, commits, manifests): above 0, at most 1.
	MetadataShare float64 `yaml:"metadata_share"`
	// What is kept in memory of objects' versions and of listings, apart from pages.
	ObjectMemory config.Size `yaml:"object_memory"`
	// Directory where what is known of objects is kept over restarts, and beyond object_memory, on a local file system, used by nothing else.
	// Empty: "metadata" in dir (without dir, nothing is kept). off: nothing is kept.
	MetadataDir string `yaml:"metadata_dir"`
	// The most that metadata_dir may take, everything counted; in dir, it is taken from size. 0: a 16th of size, at most 4GiB (1GiB is about 10
	// million objects); below 16MiB nothing is kept.
	MetadataSize config.Size `yaml:"metadata_size"`
	// Memory for what metadata_dir holds: blocks of its files, and what is not yet in them.
	MetadataMemory config.Size `yaml:"metadata_memory"`
	// What is kept in memory of files' layouts, apart from pages.
	LayoutMemory config.Size `yaml:"layout_memory"`
	// Size of one segment file of the disk tier; 0 follows the size (a 32nd of it, at most 64MiB, or more where that would make over 8192 segments).
	SegmentSize config.Size `yaml:"segment_size"`
	// Pages that wait to be written to disk; beyond it pages are not stored, and reads never wait for it.
	WriteQueue config.Size `yaml:"write_queue"`
	// The most that one request to an origin asks for.
	FillSpan config.Size `yaml:"fill_span"`
	// Bytes of pages on their way from the origin, all fills together; more wait for their turn.
	FillMemory config.Size `yaml:"fill_memory"`
	// Bytes of first reads (of objects not known before) held while their readers take them; beyond it a first read costs a HEAD more.
	FirstReadMemory config.Size `yaml:"first_read_memory"`
	// How long a read waits for the disk before it goes to the origin.
	ReadDeadline config.Duration `yaml:"read_deadline"`
}

// CacheDir is one more directory of the disk tier.
type CacheDir struct {
	// Directory on a local file system, used by nothing else.
	Dir string `yaml:"dir"`
	// The most that it may hold on disk, everything counted. 0: as cache.size.
	Size config.Size `yaml:"size"`
}

// Dirs are all directories of the disk tier with their sizes; none: memory only.
func (c *Cache) Dirs() []CacheDir {
	if c.Dir == "" {
		return nil
	}
	dirs := []CacheDir{{c.Dir, c.Size}}
	for _, d := range c.MoreDirs {
		if d.Size == 0 {
			d.Size = c.Size
		}
		dirs = append(dirs, d)
	}
	return dirs
}

// Off as Cache.MetadataDir: nothing is kept; as Prefetch.Mode: nothing is fetched.
const Off = "off"

// leastMetadata is the least that a store of metadata works with.
const leastMetadata = 16 * config.MiB

// Metadata tells where metadata is kept and how much it may take; "": nowhere. inside: that is a part of what Dir may take.
func (c *Cache) Metadata() (dir string, size config.Size, inside bool) {
	dir, size = c.MetadataDir, c.MetadataSize
	if size == 0 {
		size = min(c.Size/16, 4*config.GiB)
	}
	if inside = dir == ""; inside && c.Dir != "" {
		dir = filepath.Join(c.Dir, metadataName)
	}
	if dir == "" || dir == Off || size < leastMetadata {
		return "", 0, false
	}
	return dir, size, inside
}

// metadataName is the folder of metadata in the first directory of the disk tier, which knows it.
const metadataName = "metadata"

// Freshness holds the operator's rules.
type Freshness struct {
	// Tried in order, the first match wins; after them come the built-in rules, listed at the end of this page.
	Rules []Rule `yaml:"rules"`
}

// Rule gives some answers about some paths their greatest age.
type Rule struct {
	// Glob over mount/path: * and ? stay within one path component, ** crosses them. "lake/sales/**" is all below it.
	Path string `yaml:"path"`
	// Which answers: object (a version), listing, not_found. Empty: all three.
	Answers []string `yaml:"answers"`
	// How old the last confirmation may be: 0 asks the origin every time, forever never again.
	MaxAge config.Duration `yaml:"max_age"`
}

// Prefetch says what is read before anybody asks for it.
type Prefetch struct {
	// off, metadata (what a table's metadata names: checkpoints, commits, manifest lists, manifests, the logs of a file slice), or on (besides, columns that the
	// table's readers lately used, and the indexes before a footer). For paths for which no rule says otherwise.
	Mode string `yaml:"mode"`
	// Tried in order, the first match wins.
	Rules []PrefetchRule `yaml:"rules"`
	// Requests at once, to all origins together; to each of them they also never take more than half of limits.concurrency.
	Requests int `yaml:"requests"`
	// Bytes that were fetched, or are being fetched, and that no reader has come for yet.
	Ahead config.Size `yaml:"ahead"`
	// Bytes per second; 0 is unlimited.
	Bandwidth config.Size `yaml:"bandwidth"`
}

// PrefetchRule gives some paths their mode.
type PrefetchRule struct {
	// Glob over mount/path, as in freshness.rules.
	Path string `yaml:"path"`
	// off, metadata or on.
	Mode string `yaml:"mode"`
}

// Doors are the ways in for clients.
type Doors struct {
	// The S3 endpoint.
	S3 S3Door `yaml:"s3"`
	// The gRPC door.
	GRPC GRPCDoor `yaml:"grpc"`
}

// S3Door is the S3 endpoint.
type S3Door struct {
	// Host and port. Anything wider than loopback needs tls and credentials.
	Listen string `yaml:"listen"`
	// Domain for virtual-host style: a request to <mount>.<domain> means that mount. Empty: path style only.
	Domain string `yaml:"domain"`
	// Certificate to serve HTTPS with.
	TLS TLS `yaml:"tls"`
	// Who may read what. Empty: anyone who reaches the (loopback) address, any key accepted.
	Credentials []Credential `yaml:"credentials"`
}

// TLS is a certificate on disk.
type TLS struct {
	// PEM file with the certificate and its chain. Read at start: restart the sidecar after renewing it.
	CertFile string `yaml:"cert_file"`
	// PEM file with the private key.
	KeyFile string `yaml:"key_file"`
}

// On tells whether TLS is configured.
func (t TLS) On() bool { return t.CertFile != "" || t.KeyFile != "" }

// Credential is one client's key at the S3 endpoint.
type Credential struct {
	// The key's id.
	AccessKeyID config.EnvString `yaml:"access_key_id"`
	// The key's secret. Write ${NAME} to take it from the environment.
	SecretAccessKey config.Secret `yaml:"secret_access_key"`
	// What this key may read and write: "mount", or "mount/folder" for what lies below a folder. Empty: everything.
	Mounts []string `yaml:"mounts"`
}

// Admin is the HTTP server for operators.
type Admin struct {
	// Host and port for /metrics, /healthz, /readyz, /status. It has no authentication: keep it on loopback or behind a network policy.
	Listen string `yaml:"listen"`
	// Serve /debug/pprof/, which shows memory and can slow the process down.
	Pprof bool `yaml:"pprof"`
}

// Log says what is logged and how.
type Log struct {
	// debug, info, warn or error.
	Level string `yaml:"level"`
	// json, console, or empty for console on a terminal and json elsewhere.
	Format string `yaml:"format"`
}

// Defaults that other packages or texts refer to.
const (
	DefaultS3Listen    = "127.0.0.1:9480"
	DefaultAdminListen = "127.0.0.1:9481"

	DefaultAffinityListen = "127.0.0.1:9483" // the admin server of alio affinity
	DefaultEtcdListen     = "127.0.0.1:2379" // the embedded etcd of alio affinity
)

// Default returns a Config with every default and no mounts.
func Default() *Config {
	return &Config{
		Cache: Cache{
			Size:            10 * config.GiB,
			Memory:          256 * config.MiB,
			MetadataShare:   0.5,
			ObjectMemory:    64 * config.MiB,
			MetadataMemory:  32 * config.MiB,
			LayoutMemory:    32 * config.MiB,
			WriteQueue:      64 * config.MiB,
			FillSpan:        16 * config.MiB,
			FillMemory:      64 * config.MiB,
			FirstReadMemory: 64 * config.MiB,
			ReadDeadline:    500 * millisecond,
		},
		Prefetch: Prefetch{Mode: Off, Requests: 4, Ahead: 64 * config.MiB},
		Doors:    Doors{S3: S3Door{Listen: DefaultS3Listen}, GRPC: GRPCDoor{ClaimDeadline: 10 * second}},
		Affinity: Affinity{Candidate: true, Lease: 10 * second, Absent: 7200 * second, Etcd: Etcd{Prefix: "/alio/affinity/"},
			Ring: Ring{Owners: 3, Bound: 0.05, SectionSize: 256 * config.MiB, Partitions: 4096},
			Load: LoadRules{After: 10 * second, Back: 30 * second, ExcludedShare: 0.34, Ahead: 64, HotRate: 50, HotOwners: 8, HotCool: 60 * second}},
		Peers:         Peers{InFlight: 64 * config.MiB, PullRate: 64 * config.MiB, Patience: 5 * millisecond, Timeout: second},
		Admin:         Admin{Listen: DefaultAdminListen},
		Log:           Log{Level: "info"},
		ShutdownGrace: 10 * second,
	}
}

const (
	millisecond = config.Duration(1e6)
	second      = config.Duration(1e9)
)

// Load reads a file over the defaults. The Source names lines for faults that Validate finds; it is nil only if the file could not be read.
func Load(file string) (*Config, *config.Source, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("config file: %w", err)
	}
	c := Default()
	src, err := config.Decode(file, data, c, nil)
	return c, src, err
}
