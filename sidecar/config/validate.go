package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alio-lake/alio/internal/config"
)

// answers are the kinds of answer that a freshness rule can speak of; sidecar/freshness has the same names.
var answers = []string{"object", "listing", "not_found"}

// maxSegments is how many segment files the disk tier keeps at most: their descriptors stay open.
const maxSegments = 8192

// minSegment is the smallest segment that an operator may choose: the largest page and its header fit in it.
const minSegment = 2 * config.MiB

// Validate reports every fault at once, each with the path of its key, or nil.
func (c *Config) Validate() config.Faults {
	var f config.Faults
	c.validateMounts(&f)
	c.Cache.validate(&f)
	for i, r := range c.Freshness.Rules {
		r.validate(&f, fmt.Sprintf("freshness.rules[%d]", i))
	}
	c.Prefetch.validate(&f)
	c.Doors.S3.validate(&f, c.Mounts)
	if c.Admin.Listen == c.Doors.S3.Listen && !strings.HasSuffix(c.Admin.Listen, ":0") {
		f.Add("admin.listen", "is the same address as doors.s3.listen (%s): give each its own port", c.Admin.Listen)
	}
	if at := c.Doors.GRPC.Listen; at != "" && !strings.HasSuffix(at, ":0") && at == c.Doors.S3.Listen {
		f.Add("doors.grpc.listen", "is the same address as another server's (%s): give each its own port", at)
	}
	c.validatePeers(&f)
	c.validateRest(&f)
	return f
}

// ValidateAffinity is Validate for a process that is no cache and only serves affinity: of mounts, cache, freshness and the S3 endpoint nothing is asked.
func (c *Config) ValidateAffinity() config.Faults {
	var f config.Faults
	if !c.Affinity.On() {
		f.Add("affinity.embedded.listen", "is missing, and affinity.etcd.endpoints too: the service needs an etcd, inside the process or outside")
	}
	if c.Affinity.Worker != "" {
		f.Add("affinity.worker", "is set, and this process is no sidecar: members are the sidecars beside the workers")
	}
	c.validateRest(&f)
	return f
}

// validateRest looks at what all kinds of process have.
func (c *Config) validateRest(f *config.Faults) {
	c.Doors.GRPC.validate(f)
	c.validateAffinity(f)
	if wide := validateListen(f, "admin.listen", c.Admin.Listen); wide && c.Admin.Pprof {
		f.Add("admin.pprof", "shows the memory of the process, and %s is reachable from other machines: turn it off, or listen on %s", c.Admin.Listen, DefaultAdminListen)
	}
	if at := c.Doors.GRPC.Listen; at != "" && !strings.HasSuffix(at, ":0") && at == c.Admin.Listen {
		f.Add("doors.grpc.listen", "is the same address as another server's (%s): give each its own port", at)
	}
	oneOf(f, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(f, "log.format", c.Log.Format, "", "json", "console")
	if c.ShutdownGrace == config.Forever {
		f.Add("shutdown_grace", "forever would never stop: give a duration, such as 10s")
	}
}

func oneOf(f *config.Faults, path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	names := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
	f.Add(path, "%q is unknown: want one of %s", value, strings.Join(names, ", "))
}

func (c *Cache) validate(f *config.Faults) {
	if c.Dir != "" {
		c.validateDisk(f)
	} else if len(c.MoreDirs) > 0 {
		f.Add("cache.dir", "is missing, and cache.more_dirs is not: the first directory belongs here")
	}
	atLeast(f, "cache.memory", c.Memory, config.MiB, "a page can be that large")
	if !(c.MetadataShare > 0 && c.MetadataShare <= 1) {
		f.Add("cache.metadata_share", "%v is no share: want more than 0 and at most 1, such as 0.5", c.MetadataShare)
	}
	atLeast(f, "cache.object_memory", c.ObjectMemory, config.MiB, "versions of objects have to be kept somewhere")
	c.validateMetadata(f)
	atLeast(f, "cache.layout_memory", c.LayoutMemory, config.MiB, "one wide file's layout can take that much")
	atLeast(f, "cache.fill_span", c.FillSpan, config.MiB, "a page can be that large")
	if c.FillMemory < c.FillSpan {
		f.Add("cache.fill_memory", "%s is less than one fill of cache.fill_span (%s)", c.FillMemory, c.FillSpan)
	}
	if c.FirstReadMemory < c.FillSpan {
		f.Add("cache.first_read_memory", "%s is less than one read of cache.fill_span (%s)", c.FirstReadMemory, c.FillSpan)
	}
}

func (c *Cache) validateMetadata(f *config.Faults) {
	if c.MetadataDir == Off {
		return
	}
	if strings.HasPrefix(c.MetadataDir, "~") {
		f.Add("cache.metadata_dir", "%q starts with ~, which only a shell expands: write the whole path", c.MetadataDir)
	}
	for _, d := range c.Dirs() {
		if rel, err := filepath.Rel(d.Dir, c.MetadataDir); err == nil && c.MetadataDir != "" && filepath.IsLocal(rel) {
			f.Add("cache.metadata_dir", "%q lies in the cache directory %s: leave it empty, which gives it a place there, or give it one outside", c.MetadataDir, d.Dir)
		}
	}
	if c.MetadataSize != 0 {
		atLeast(f, "cache.metadata_size", c.MetadataSize, leastMetadata, "the store needs room for two generations; metadata_dir: off keeps nothing")
	}
	if _, size, inside := c.Metadata(); inside && size > c.Size/2 {
		f.Add("cache.metadata_size", "%s is more than half of cache.size (%s), from which it is taken: make it smaller, or give it a metadata_dir outside of cache.dir", size, c.Size)
	}
	atLeast(f, "cache.metadata_memory", c.MetadataMemory, 4*config.MiB, "the store works with blocks of several kilobytes")
}

func (c *Cache) validateDisk(f *config.Faults) {
	if c.SegmentSize != 0 {
		atLeast(f, "cache.segment_size", c.SegmentSize, minSegment, "a segment has to hold pages of up to 1MiB")
	}
	seen := map[string]string{}
	for i, d := range c.Dirs() {
		path, size := "cache.dir", "cache.size"
		if i > 0 {
			path = fmt.Sprintf("cache.more_dirs[%d].dir", i-1)
			size = fmt.Sprintf("cache.more_dirs[%d].size", i-1)
		}
		clean := filepath.Clean(d.Dir)
		switch {
		case d.Dir == "":
			f.Add(path, "is missing: give a directory on a local file system")
		case strings.HasPrefix(d.Dir, "~"):
			f.Add(path, "%q starts with ~, which only a shell expands: write the whole path", d.Dir)
		case seen[clean] != "":
			f.Add(path, "%q is %s already: give each a directory of its own, on a device of its own", d.Dir, seen[clean])
		}
		seen[clean] = path
		c.validateSize(f, size, d.Size)
	}
	atLeast(f, "cache.write_queue", c.WriteQueue, config.MiB, "a page can be that large")
	if c.ReadDeadline < millisecond || c.ReadDeadline > 60*second {
		f.Add("cache.read_deadline", "%s is outside 1ms to 1m: it is how long a reader waits for a sick disk", c.ReadDeadline)
	}
}

func (c *Cache) validateSize(f *config.Faults, path string, size config.Size) {
	least := 5 * max(c.SegmentSize, minSegment) // the disk tier needs four, and room for its own files
	switch {
	case size < least:
		f.Add(path, "%s is too small: give at least %s (five segments), or make cache.segment_size smaller", size, least)
	case c.SegmentSize != 0 && size/c.SegmentSize > maxSegments:
		f.Add("cache.segment_size", "%s makes %d segments of a cache of %s, and %d is the limit: use %s, or 0", c.SegmentSize, size/c.SegmentSize, size, maxSegments, (size/maxSegments/config.MiB+1)*config.MiB)
	}
}

func atLeast(f *config.Faults, path string, got, least config.Size, why string) {
	if got < least {
		f.Add(path, "%s is too little: give at least %s, since %s", got, least, why)
	}
}

func validateGlob(f *config.Faults, path, glob string) {
	if glob == "" {
		f.Add(path, "is missing: give a glob over mount/path, such as lake/sales/**")
	} else if strings.HasPrefix(glob, "/") {
		f.Add(path, "%q starts with a slash: it begins with the mount's name, such as lake/sales/**", glob)
	}
}

// prefetchModes are the values of a mode; sidecar/prefetch has the same names.
var prefetchModes = []string{Off, "metadata", "on"}

func (p *Prefetch) validate(f *config.Faults) {
	oneOf(f, "prefetch.mode", p.Mode, prefetchModes...)
	for i, r := range p.Rules {
		path := fmt.Sprintf("prefetch.rules[%d]", i)
		validateGlob(f, path+".path", r.Path)
		oneOf(f, path+".mode", r.Mode, prefetchModes...)
	}
	if p.Requests < 1 {
		f.Add("prefetch.requests", "%d is too few: to fetch nothing ahead, set prefetch.mode to off; 4 is the default", p.Requests)
	}
	atLeast(f, "prefetch.ahead", p.Ahead, config.MiB, "a page can be that large")
}

func (r *Rule) validate(f *config.Faults, path string) {
	validateGlob(f, path+".path", r.Path)
	for i, a := range r.Answers {
		oneOf(f, fmt.Sprintf("%s.answers[%d]", path, i), a, answers...)
	}
}

func (d *S3Door) validate(f *config.Faults, mounts map[string]Mount) {
	const path = "doors.s3"
	wide := validateListen(f, path+".listen", d.Listen)
	if wide && (!d.TLS.On() || len(d.Credentials) == 0) {
		f.Add(path+".listen", "%s is reachable from other machines, which needs doors.s3.tls and doors.s3.credentials: set both, or listen on %s", d.Listen, DefaultS3Listen)
	}
	if d.TLS.On() && (d.TLS.CertFile == "" || d.TLS.KeyFile == "") {
		f.Add(path+".tls", "needs both cert_file and key_file")
	}
	if strings.ContainsAny(d.Domain, "/:@ *") || strings.HasPrefix(d.Domain, ".") {
		f.Add(path+".domain", "%q is no domain: write a host name such as s3.example.com, without scheme, port or leading dot", d.Domain)
	}
	seen := map[config.EnvString]bool{}
	for i, c := range d.Credentials {
		at := fmt.Sprintf("%s.credentials[%d]", path, i)
		if c.AccessKeyID == "" {
			f.Add(at+".access_key_id", "is missing")
		} else if strings.ContainsAny(string(c.AccessKeyID), ", \t/") {
			f.Add(at+".access_key_id", "%q holds a space, comma or slash, which no signature can carry", c.AccessKeyID)
		} else if seen[c.AccessKeyID] {
			f.Add(at+".access_key_id", "%q is given twice: each key has one entry, which lists all its mounts", c.AccessKeyID)
		}
		seen[c.AccessKeyID] = true
		if c.SecretAccessKey == "" {
			f.Add(at+".secret_access_key", "is missing")
		}
		for j, m := range c.Mounts {
			name, folder, _ := strings.Cut(m, "/")
			if !mounted(mounts, name) {
				f.Add(fmt.Sprintf("%s.mounts[%d]", at, j), "there is no mount %q", name)
			} else if strings.HasPrefix(folder, "/") || strings.Contains(folder, "//") {
				f.Add(fmt.Sprintf("%s.mounts[%d]", at, j), "%q has an empty part: write mount or mount/folder", m)
			}
		}
	}
}

// validateListen checks a listen address and tells whether other machines can reach it.
func validateListen(f *config.Faults, path, address string) (wide bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		f.Add(path, "%q is no address: write host:port, such as 127.0.0.1:9480", address)
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		f.Add(path, "%q has no port between 0 and 65535 in it", address)
	}
	return !isLoopback(host)
}

// isLoopback knows addresses and the name localhost; any other name may resolve to anything, so it counts as wide.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
