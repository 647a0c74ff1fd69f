package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
)

// flags are what the command line may say; each wins over the file.
type flags struct {
	config      string
	mounts      []string
	cacheDirs   []string
	cacheSize   units.Size
	memory      units.Size
	s3Listen    string
	adminListen string
	grpcSocket  string
	grpcListen  string
	endpoint    string
	region      string
	pathStyle   bool
	anonymous   bool
	logLevel    string
	logFormat   string
	check       bool
}

func (f *flags) register(set *pflag.FlagSet) {
	d := config.Default()
	f.cacheSize, f.memory = d.Cache.Size, d.Cache.Memory
	set.StringVar(&f.config, "config", "", "YAML `file` (docs/config.md lists every key); flags win over it")
	set.StringArrayVar(&f.mounts, "mount", nil, "serve an origin under a name: `NAME=URI` with s3://bucket[/prefix], gs://bucket[/prefix], hdfs://host:port[,host:port][/dir] or hdfs://nameservice[/dir]; NAME may be lake/archive, below another mount; may be repeated")
	set.StringArrayVar(&f.cacheDirs, "cache-dir", nil, "`directory` of the disk tier, on a local file system; repeat it, one device each; none: memory only")
	set.Var(&f.cacheSize, "cache-size", "the most that each --cache-dir may hold")
	set.Var(&f.memory, "memory", "size of the memory tier")
	set.StringVar(&f.s3Listen, "s3-listen", d.Doors.S3.Listen, "`address` of the S3 endpoint")
	set.StringVar(&f.adminListen, "admin-listen", d.Admin.Listen, "`address` of /metrics, /healthz, /readyz and /status")
	set.StringVar(&f.grpcSocket, "grpc-socket", "", "`path` of a Unix socket for clients that read segments themselves; none: off")
	set.StringVar(&f.grpcListen, "grpc-listen", "", "`address` of the same for TCP, where clients show tokens (doors.grpc in the config file); none: off")
	set.StringVar(&f.endpoint, "s3-endpoint", "", "`URL` of the S3 service behind the mounts; none: AWS")
	set.StringVar(&f.region, "s3-region", "", "region of the S3 service behind the mounts")
	set.BoolVar(&f.pathStyle, "s3-path-style", false, "put the bucket into the path (most servers other than AWS)")
	set.BoolVar(&f.anonymous, "s3-anonymous", false, "send unsigned requests (public buckets)")
	set.StringVar(&f.logLevel, "log-level", d.Log.Level, "debug, info, warn or error")
	set.StringVar(&f.logFormat, "log-format", "", "json or console (default console on a terminal, else json)")
	set.BoolVar(&f.check, "check", false, "check the configuration, print what would be in force with secrets masked, and exit")
	set.SortFlags = false
}

// load makes the configuration: defaults, then the file, then the flags that were given. The error names everything that is wrong.
func (f *flags) load(set *pflag.FlagSet) (*config.Config, error) {
	cfg, src := config.Default(), &units.Source{}
	if f.config != "" {
		var err error
		if cfg, src, err = config.Load(f.config); err != nil {
			return nil, err
		}
	}
	byFlag, err := f.applyMounts(cfg)
	if err != nil {
		return nil, err
	}
	f.applyS3(cfg, byFlag, set)
	f.applyRest(cfg, set)
	if err := src.Locate(cfg.Validate()).Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// applyMounts adds the mounts of the command line, or points mounts of the file elsewhere, and returns their names.
func (f *flags) applyMounts(cfg *config.Config) (map[string]bool, error) {
	byFlag := map[string]bool{}
	var faults []error
	for _, text := range f.mounts {
		name, uri, ok := strings.Cut(text, "=")
		if !ok || name == "" || uri == "" {
			faults = append(faults, fmt.Errorf("--mount %q: write NAME=s3://bucket, NAME=gs://bucket or NAME=hdfs://host:port, each with a /folder if only that is meant", text))
			continue
		}
		if byFlag[name] {
			faults = append(faults, fmt.Errorf("--mount %s: given twice: give each mount its own name", name))
			continue
		}
		byFlag[name] = true
		m, inFile := cfg.Mounts[name]
		if !inFile {
			m = config.DefaultMount()
		}
		m.URI = uri
		if cfg.Mounts == nil {
			cfg.Mounts = map[string]config.Mount{}
		}
		cfg.Mounts[name] = m
	}
	if len(faults) > 0 {
		return nil, usageError{errors.Join(faults...), "alio sidecar"}
	}
	return byFlag, nil
}

// applyS3 lets the --s3-… flags speak for every mount of the command line, and for those mounts of the file that say nothing of where
// their S3 service is: the file's own endpoint is never mixed with a flag's style or region.
func (f *flags) applyS3(cfg *config.Config, byFlag map[string]bool, set *pflag.FlagSet) {
	for name, m := range cfg.Mounts {
		own := !byFlag[name]
		if m.Kind() != config.KindS3 || own && m.S3.Endpoint != "" {
			continue
		}
		if set.Changed("s3-endpoint") {
			m.S3.Endpoint = f.endpoint
		}
		if set.Changed("s3-region") && (!own || m.S3.Region == "") {
			m.S3.Region = f.region
		}
		if set.Changed("s3-path-style") {
			m.S3.PathStyle = f.pathStyle
		}
		if set.Changed("s3-anonymous") && (!own || m.S3.AccessKeyID == "") {
			m.S3.Anonymous = f.anonymous
		}
		cfg.Mounts[name] = m
	}
}

func (f *flags) applyRest(cfg *config.Config, set *pflag.FlagSet) {
	for name, apply := range map[string]func(){
		"cache-dir":    func() { f.applyDirs(&cfg.Cache) },
		"cache-size":   func() { cfg.Cache.Size = f.cacheSize },
		"memory":       func() { cfg.Cache.Memory = f.memory },
		"s3-listen":    func() { cfg.Doors.S3.Listen = f.s3Listen },
		"grpc-socket":  func() { cfg.Doors.GRPC.Socket = f.grpcSocket },
		"grpc-listen":  func() { cfg.Doors.GRPC.Listen = f.grpcListen },
		"admin-listen": func() { cfg.Admin.Listen = f.adminListen },
		"log-level":    func() { cfg.Log.Level = f.logLevel },
		"log-format":   func() { cfg.Log.Format = f.logFormat },
	} {
		if set.Changed(name) {
			apply()
		}
	}
}

// applyDirs puts the directories of the command line in the place of the file's.
func (f *flags) applyDirs(c *config.Cache) {
	c.Dir, c.MoreDirs = f.cacheDirs[0], nil
	for _, dir := range f.cacheDirs[1:] {
		c.MoreDirs = append(c.MoreDirs, config.CacheDir{Dir: dir})
	}
}
