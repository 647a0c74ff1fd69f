package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/internal/vfs"
	"github.com/alio-lake/alio/s3/endpoint"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/admin"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/metadata"
	"github.com/alio-lake/alio/sidecar/peers"
	"github.com/alio-lake/alio/sidecar/rpc"
)

// parts are a sidecar put together and not yet started: no file has been touched, no socket opened.
type parts struct {
	cfg      *config.Config
	log      zerolog.Logger
	registry *prometheus.Registry
	state    *state
	mounts   atomic.Pointer[mounts]
	reloads  reloads
	tier     *disk.Devices   // nil: memory only
	metadata *metadata.Store // nil: what is known of objects is kept in memory only
	cache    *cache.Cache
	sidecar  *sidecar.Sidecar
	handler  *endpoint.Handler
	s3       *endpoint.Door // around handler
	tls      *tls.Config    // of the S3 door; nil: plain HTTP
	rpc      *rpc.Server    // nil: no gRPC door
	admin    *admin.Server
	fleet    *fleet // nil: the sidecar belongs to none
	identity *peers.Identity
	peers    *peers.Peers  // nil: nobody is asked but origins
	peerDoor *peers.Server // nil: nobody asks

	fs          vfs.FS          // of the disk tier
	s3Address   net.Addr        // that the S3 door listens on; set before a reload can come
	recoverWait time.Duration   // see the constant
	leave       func()          // the fleet; set before the doors serve
	requests    context.Context // of requests at the S3 door; set before it serves
}

// assemble makes the parts of a configuration that has been validated. The error names every mount that cannot be made.
func assemble(cfg *config.Config, log zerolog.Logger) (*parts, error) {
	return assembleOn(cfg, log, vfs.OS, recoverWait)
}

// assembleOn is assemble with the disk tier on another file system: one that fails or hangs.
func assembleOn(cfg *config.Config, log zerolog.Logger, fsys vfs.FS, wait time.Duration) (*parts, error) {
	p := &parts{cfg: cfg, log: log, fs: fsys, recoverWait: wait, registry: prometheus.NewRegistry(), state: newState(), reloads: reloads{now: cfg}, leave: func() {}}
	for _, step := range []func() error{p.makeProcessMetrics, p.makeMounts, p.makeTier, p.makeMetadata, p.makeCache, p.makeFleet, p.makePeers, p.makeSidecar, p.makeS3, p.makeRPC, p.makePeerDoor, p.makeAdmin} {
		if err := step(); err != nil {
			return nil, errors.Join(err, p.discard())
		}
	}
	return p, nil
}

// discard gives back what assemble has made. The parts that it made hold no more than memory.
func (p *parts) discard() error {
	errs := []error{p.closeRPC()}
	if p.sidecar != nil {
		errs = append(errs, p.sidecar.Close())
	}
	if p.cache != nil {
		errs = append(errs, p.cache.Close())
	}
	p.closePeers()
	if p.tier != nil {
		errs = append(errs, p.tier.Close())
	}
	p.closeMounts()
	return errors.Join(errs...)
}

// closeMounts closes the origins, when nobody needs them any more.
func (p *parts) closeMounts() {
	if m := p.mounts.Load(); m != nil {
		m.discard(nil)
	}
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
	m, err := makeMounts(nil, p.cfg.Mounts)
	if err != nil {
		return err
	}
	p.mounts.Store(m)
	return nil
}

// gatherer gives the process's metrics and those of the mounts that there are now.
func (p *parts) gatherer() prometheus.Gatherer {
	mounts := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return p.mounts.Load().Gather() })
	return prometheus.Gatherers{p.registry, mounts}
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
	rules, err := freshnessRules(p.cfg.Freshness)
	if err != nil {
		return err
	}
	ahead, err := prefetchSettings(p.cfg.Prefetch)
	if err != nil {
		return err
	}
	var kept sidecar.Metadata
	if p.metadata != nil { // a nil *metadata.Store in the interface would not be nil
		kept = p.metadata
	}
	p.sidecar, err = sidecar.New(sidecar.Options{
		Metadata: kept,
		Mounts:   p.mounts.Load().top, Pages: p.cache, Rules: rules, MetadataMemory: int64(p.cfg.Cache.ObjectMemory), LayoutMemory: int64(p.cfg.Cache.LayoutMemory),
		FillSpan: int64(p.cfg.Cache.FillSpan), RunMemory: int64(p.cfg.Cache.FirstReadMemory), Registerer: p.registry, Logger: p.log,
		Prefetch: ahead, Peers: p.asked(),
	})
	return err
}

// backend is the sidecar as the S3 door wants it.
type backend struct{ *sidecar.Sidecar }

var (
	_ endpoint.Hits   = backend{}
	_ endpoint.Stores = backend{}
)

// Store implements endpoint.Stores.
func (b backend) Store(mount, path string) (endpoint.Store, error) {
	st, err := b.Sidecar.Store(mount, path)
	return endpoint.Store(st), err
}

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
	if p.tls, err = serverTLS(d.TLS, "doors.s3.tls"); err != nil {
		return err
	}
	p.handler, err = endpoint.New(endpoint.Options{Backend: backend{p.sidecar}, Credentials: s3Credentials(d), Domain: d.Domain, Registerer: p.registry, Logger: p.log})
	if err != nil {
		return err
	}
	p.s3, err = endpoint.NewDoor(endpoint.DoorOptions{Handler: p.handler, TLSConfig: p.tls, ErrorLog: serverLog(p.log),
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

func (p *parts) makeFleet() (err error) {
	p.fleet, err = newFleet(p.cfg, p.registry, p.log)
	if p.fleet != nil && p.tier != nil {
		p.fleet.disk = p.diskState
	}
	return err
}

func (p *parts) makeRPC() (err error) {
	if !p.cfg.Doors.GRPC.On() {
		return nil
	}
	o := rpc.Options{Sidecar: p.sidecar, Cache: p.cache, Registerer: p.registry, Logger: p.log}
	if p.fleet != nil { // a nil *affinity.Service in the interface would not be nil
		o.Affinity = p.fleet.service
	}
	p.rpc, err = newDoor(p.cfg.Doors.GRPC, o)
	return err
}

// newDoor makes a gRPC door as it is configured.
func newDoor(d config.GRPCDoor, o rpc.Options) (_ *rpc.Server, err error) {
	if o.TLS, err = serverTLS(d.TLS, "doors.grpc.tls"); err != nil {
		return nil, err
	}
	for _, u := range d.Users {
		o.Users = append(o.Users, uint32(u)) // in range: Validate has looked
	}
	o.Tokens, o.Shared, o.ClaimDeadline, o.Build = grpcTokens(d), d.Shared, d.ClaimDeadline.Std(), thisBuild().String()
	return rpc.New(o)
}

func (p *parts) makeAdmin() (err error) {
	o := admin.Options{
		Gatherer: p.gatherer(), Ready: p.state.notReady, Status: p.status, Reload: func() (any, error) { return p.reload() },
		Mounts: func(ctx context.Context, ask bool) any { return p.mountStates(ctx, ask) }, Title: thisBuild().String(), Pprof: p.cfg.Admin.Pprof,
		Grace: time.Second, Logger: p.log,
	}
	if p.fleet != nil {
		o.API = p.fleet.service.Handler()
	}
	p.admin, err = admin.New(o)
	return err
}
