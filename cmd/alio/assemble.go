package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/formats"
	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/internal/vfs"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/limit"
	"github.com/alio-lake/alio/origin/meter"
	"github.com/alio-lake/alio/origin/retry"
	"github.com/alio-lake/alio/s3"
	"github.com/alio-lake/alio/s3/endpoint"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/admin"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/metadata"
	"github.com/alio-lake/alio/sidecar/rpc"
)

// parts are a sidecar put together and not yet started: no file has been touched, no socket opened.
type parts struct {
	cfg      *config.Config
	log      zerolog.Logger
	registry *prometheus.Registry
	state    *state
	mounts   map[string]origin.Origin
	tier     *disk.Devices   // nil: memory only
	metadata *metadata.Store // nil: what is known of objects is kept in memory only
	cache    *cache.Cache
	sidecar  *sidecar.Sidecar
	s3       *endpoint.Door
	tls      *tls.Config // of the S3 door; nil: plain HTTP
	rpc      *rpc.Server // nil: no gRPC door
	admin    *admin.Server

	fs          vfs.FS          // of the disk tier
	recoverWait time.Duration   // see the constant
	requests    context.Context // of requests at the S3 door; set before it serves
}

// assemble makes the parts of a configuration that has been validated. The error names every mount that cannot be made.
func assemble(cfg *config.Config, log zerolog.Logger) (*parts, error) {
	return assembleOn(cfg, log, vfs.OS, recoverWait)
}

// assembleOn is assemble with the disk tier on another file system: one that fails or hangs.
func assembleOn(cfg *config.Config, log zerolog.Logger, fsys vfs.FS, wait time.Duration) (*parts, error) {
	p := &parts{cfg: cfg, log: log, fs: fsys, recoverWait: wait, registry: prometheus.NewRegistry(), state: newState()}
	for _, step := range []func() error{p.makeProcessMetrics, p.makeMounts, p.makeTier, p.makeMetadata, p.makeCache, p.makeSidecar, p.makeS3, p.makeRPC, p.makeAdmin} {
		if err := step(); err != nil {
			return nil, errors.Join(err, p.discard())
		}
	}
	return p, nil
}

// discard gives back what assemble has made. The parts that it made hold no more than memory.
func (p *parts) discard() error {
	errs := []error{p.closeRPC()}
	if p.cache != nil {
		errs = append(errs, p.cache.Close())
	}
	if p.tier != nil {
		errs = append(errs, p.tier.Close())
	}
	return errors.Join(errs...)
}

// makeProcessMetrics registers what is known of the process: the build, Go's runtime, memory and descriptors.
func (p *parts) makeProcessMetrics() error {
	b := thisBuild()
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "alio_build_info", Help: "Always 1; the labels say what was built.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go}}, func() float64 { return 1 })
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "alio_ready", Help: "1 while /readyz says ready, else 0."}, func() float64 {
		if p.state.notReady() != nil {
			return 0
		}
		return 1
	})
	var errs []error
	for _, c := range []prometheus.Collector{info, ready, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		errs = append(errs, p.registry.Register(c))
	}
	return errors.Join(errs...)
}

func (p *parts) makeMounts() error {
	p.mounts = make(map[string]origin.Origin)
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Mounts)) {
		o, err := p.makeMount(name, p.cfg.Mounts[name])
		if err != nil {
			faults = append(faults, fmt.Errorf("mounts.%s: %w", name, err))
			continue
		}
		p.mounts[name] = o
	}
	return errors.Join(faults...)
}

// makeMount stacks what stands around an origin. From the inside: the meter, so that it counts the requests that were really made, each try
// of them; then the limit, so that a try waits for its turn and no time of waiting is taken for the origin's; outermost the retry, so
// that a try that waits before it begins again holds no slot. A Forward passes the retry by: a body can be sent once.
func (p *parts) makeMount(name string, m config.Mount) (origin.Origin, error) {
	bucket, prefix, err := config.SplitURI(m.URI)
	if err != nil {
		return nil, err
	}
	bare, err := s3.New(s3.Options{
		Bucket: bucket, Prefix: prefix, Endpoint: m.S3.Endpoint, Region: m.S3.Region, PathStyle: m.S3.PathStyle,
		AccessKeyID: string(m.S3.AccessKeyID), SecretAccessKey: m.S3.SecretAccessKey.Reveal(), SessionToken: m.S3.SessionToken.Reveal(),
		Anonymous: m.S3.Anonymous, Connections: m.Limits.Concurrency,
	})
	if err != nil {
		return nil, err
	}
	metered, err := meter.New(bare, meter.Options{Mount: name, Registerer: p.registry})
	if err != nil {
		return nil, err
	}
	limited, err := limit.New(metered, limit.Options{Concurrency: m.Limits.Concurrency, BytesPerSecond: int64(m.Limits.Bandwidth)})
	if err != nil {
		return nil, err
	}
	retries := prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_origin_retries_total", ConstLabels: prometheus.Labels{"mount": name},
		Help: "Requests to the origin that failed and were sent again."})
	if err := p.registry.Register(retries); err != nil {
		return nil, err
	}
	return retry.New(limited, retry.Options{MaxAttempts: m.Retry.Attempts, MaxElapsed: m.Retry.MaxElapsed.Std(), Observe: func(e retry.Event) {
		if !e.GaveUp {
			retries.Inc()
		}
	}})
}

func (p *parts) makeTier() (err error) {
	c := p.cfg.Cache
	var dirs []disk.Dir
	for _, d := range c.Dirs() {
		dirs = append(dirs, disk.Dir{Path: d.Dir, Size: int64(d.Size), SegmentSize: int64(c.SegmentSize)})
	}
	if len(dirs) == 0 {
		return nil
	}
	if _, size, inside := c.Metadata(); inside {
		dirs[0].Size -= int64(size)
	}
	p.tier, err = disk.NewDevices(disk.DevicesOptions{Dirs: dirs, OpenWait: p.recoverWait, Each: disk.Options{
		WriteQueue: int64(c.WriteQueue), ReadDeadline: c.ReadDeadline.Std(), Protected: formats.Metadata, FS: p.fs, Log: p.log, Registerer: p.registry,
	}})
	return err
}

func (p *parts) makeMetadata() (err error) {
	dir, size, _ := p.cfg.Cache.Metadata()
	if dir == "" {
		return nil
	}
	p.metadata, err = metadata.New(metadata.Options{
		Dir: dir, Size: int64(size), Memory: int64(p.cfg.Cache.MetadataMemory), LookupDeadline: p.cfg.Cache.ReadDeadline.Std(),
		Registerer: p.registry, Logger: p.log,
	})
	return err
}

func (p *parts) makeCache() (err error) {
	c := p.cfg.Cache
	o := cache.Options{
		Memory: int64(c.Memory), MetadataShare: c.MetadataShare, FillSpan: int64(c.FillSpan), FillMemory: int64(c.FillMemory),
		Metadata: formats.Metadata, ClassNames: formats.ClassNames(), Registerer: p.registry, Logger: p.log,
	}
	if p.tier != nil { // a nil *disk.Devices in the interface would not be nil
		o.Disk = p.tier
	}
	p.cache, err = cache.New(o)
	return err
}

func (p *parts) makeSidecar() (err error) {
	rules := make([]freshness.Rule, 0, len(p.cfg.Freshness.Rules))
	for i, r := range p.cfg.Freshness.Rules {
		rule := freshness.Rule{Path: r.Path, MaxAge: r.MaxAge.Std()}
		if r.MaxAge == units.Forever {
			rule.MaxAge = freshness.Forever
		}
		for _, a := range r.Answers {
			kind, err := freshness.ParseKind(a)
			if err != nil {
				return fmt.Errorf("freshness.rules[%d]: %w", i, err)
			}
			rule.Answers = append(rule.Answers, kind)
		}
		rules = append(rules, rule)
	}
	var kept sidecar.Metadata
	if p.metadata != nil { // a nil *metadata.Store in the interface would not be nil
		kept = p.metadata
	}
	p.sidecar, err = sidecar.New(sidecar.Options{
		Metadata: kept,
		Mounts:   p.mounts, Pages: p.cache, Rules: rules, MetadataMemory: int64(p.cfg.Cache.ObjectMemory), LayoutMemory: int64(p.cfg.Cache.LayoutMemory),
		FillSpan: int64(p.cfg.Cache.FillSpan), RunMemory: int64(p.cfg.Cache.FirstReadMemory), Registerer: p.registry, Logger: p.log,
	})
	return err
}

// backend is the sidecar as the S3 door wants it.
type backend struct{ *sidecar.Sidecar }

// Hit implements endpoint.Hits.
func (b backend) Hit(name []byte, r endpoint.HitRange, etag []byte) endpoint.Hit {
	h := b.Sidecar.Hit(name, r.Offset, r.Length, r.Suffix, etag)
	if h == nil {
		return nil // a nil *sidecar.Hit in the interface would not be nil
	}
	return h
}

func (p *parts) makeS3() (err error) {
	d := p.cfg.Doors.S3
	var credentials []endpoint.Credential
	for _, c := range d.Credentials {
		credentials = append(credentials, endpoint.Credential{AccessKeyID: string(c.AccessKeyID), SecretAccessKey: c.SecretAccessKey.Reveal(), Mounts: c.Mounts})
	}
	if p.tls, err = serverTLS(d.TLS, "doors.s3.tls"); err != nil {
		return err
	}
	handler, err := endpoint.New(endpoint.Options{Backend: backend{p.sidecar}, Credentials: credentials, Domain: d.Domain, Registerer: p.registry, Logger: p.log})
	if err != nil {
		return err
	}
	p.s3, err = endpoint.NewDoor(endpoint.DoorOptions{Handler: handler, TLSConfig: p.tls, ErrorLog: serverLog(p.log),
		BaseContext: func(net.Listener) context.Context { return p.requests }})
	return err
}

// serverTLS loads a certificate, if there is one.
func serverTLS(t config.TLS, key string) (*tls.Config, error) {
	if !t.On() {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

func (p *parts) makeRPC() (err error) {
	d := p.cfg.Doors.GRPC
	if !d.On() {
		return nil
	}
	var tokens []rpc.Token
	for _, t := range d.Tokens {
		tokens = append(tokens, rpc.Token{Name: t.Name, Secret: t.Token.Reveal(), Mounts: t.Mounts})
	}
	tlsConfig, err := serverTLS(d.TLS, "doors.grpc.tls")
	if err != nil {
		return err
	}
	var users []uint32
	for _, u := range d.Users {
		users = append(users, uint32(u)) // in range: Validate has looked
	}
	p.rpc, err = rpc.New(rpc.Options{
		Sidecar: p.sidecar, Cache: p.cache, Users: users, Tokens: tokens, TLS: tlsConfig, Shared: d.Shared, ClaimDeadline: d.ClaimDeadline.Std(),
		Build: thisBuild().String(), Registerer: p.registry, Logger: p.log,
	})
	return err
}

func (p *parts) makeAdmin() (err error) {
	p.admin, err = admin.New(admin.Options{
		Gatherer: p.registry, Ready: p.state.notReady, Status: p.status, Title: thisBuild().String(), Pprof: p.cfg.Admin.Pprof,
		Grace: time.Second, Logger: p.log,
	})
	return err
}
