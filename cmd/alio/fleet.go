package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/affinity/membership"
	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/affinity/spread"
	"github.com/alio-lake/alio/sidecar/config"
)

// fleet is this process's part in a fleet: the node that announces, follows and leads, and the service that answers from its epoch.
type fleet struct {
	node    *membership.Node
	service *affinity.Service
	log     zerolog.Logger

	member   bool
	hotRate  float64
	counter  *affinity.Counter
	reported reported
	gatherer prometheus.Gatherer
	disk     func() membership.Disk // nil: there is no disk tier
}

// newFleet puts it together from a configuration that has been validated; nil without an affinity section. It touches no file but certificates, and starts nothing.
func newFleet(cfg *config.Config, reg *prometheus.Registry, log zerolog.Logger) (*fleet, error) {
	a := &cfg.Affinity
	if !a.On() {
		return nil, nil
	}
	o := membership.Options{Prefix: a.Etcd.Prefix, Candidate: a.Candidate, TTL: a.Lease.Std(), Absent: a.Absent.Std(), Settings: ringSettings(a.Ring), Log: log.With().Str("part", "affinity").Logger()}
	if dir := cfg.AffinityDir(); dir != "" {
		o.File = filepath.Join(dir, "epoch")
	}
	if name, ok := a.Member(); ok {
		o.Self = ring.Member{Name: name, Zone: string(a.Zone), Weight: cfg.MemberWeight(), Sidecar: string(a.Sidecar), Worker: string(a.Worker)}
	}
	o.Overload = membership.Overload{Queued: a.Load.Queued, Latency: a.Load.Latency.Std(), After: a.Load.After.Std(), Back: a.Load.Back.Std(), Share: a.Load.ExcludedShare}
	o.Hotness = membership.Hotness{Rate: a.Load.HotRate, Owners: a.Load.HotOwners, Cool: a.Load.HotCool.Std()}
	var err error
	if a.Embedded.Listen != "" {
		e := a.Embedded
		o.Connect, err = membership.EmbeddedOptions{Dir: cfg.EtcdDir(), Listen: e.Listen, CertFile: e.TLS.CertFile, KeyFile: e.TLS.KeyFile, CAFile: e.CAFile}.Connector()
	} else {
		e := a.Etcd
		o.Connect, err = membership.Etcd{Endpoints: e.Endpoints, CAFile: e.CAFile, CertFile: e.TLS.CertFile, KeyFile: e.TLS.KeyFile,
			Username: string(e.Username), Password: e.Password.Reveal()}.Connector()
	}
	if err != nil {
		return nil, err
	}
	f := &fleet{log: o.Log, member: o.Self.Name != "", hotRate: a.Load.HotRate, counter: affinity.NewCounter(), gatherer: reg}
	if f.node, err = membership.New(o); err != nil {
		return nil, err
	}
	so := affinity.Options{Source: f.node, Drain: f.node.Drain, Registerer: reg}
	if so.Spread, err = spread.New(spread.Options{Ahead: a.Load.Ahead}); err != nil {
		return nil, err
	}
	if f.member {
		so.Report = f.reported.take
	}
	if f.hotRate > 0 {
		so.Asked = f.counter.Asked
	}
	if f.service, err = affinity.New(so); err != nil {
		return nil, err
	}
	return f, f.register(reg)
}

func ringSettings(r config.Ring) ring.Settings {
	return ring.Settings{Owners: r.Owners, Bound: int(r.Bound*1000 + 0.5), SectionSize: int64(r.SectionSize), Partitions: r.Partitions, Zones: r.Zones}
}

// register adds what only the node knows to the metrics.
func (f *fleet) register(reg prometheus.Registerer) error {
	flag := func(name, help string, is func() bool) error {
		return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if is() {
				return 1
			}
			return 0
		}))
	}
	return errors.Join(
		flag("alio_affinity_announced", "1 while this process is a member in etcd, else 0.", f.node.Announced),
		flag("alio_affinity_leads", "1 while this process edits the ring, else 0.", f.node.Leads),
		flag("alio_affinity_trouble", "1 while etcd does not answer, or another member has our name; the last epoch stays in force.", func() bool { return f.node.Trouble() != nil }))
}

// run announces, follows and leads until ctx ends; then it leaves the fleet in order. Whatever is wrong with etcd, reads and answers go on.
func (f *fleet) run(ctx context.Context, workers *sync.WaitGroup) {
	if f == nil {
		return
	}
	workers.Go(func() { f.watchLoad(ctx) })
	workers.Go(func() {
		if err := f.node.Run(ctx); err != nil {
			f.log.Error().Err(err).Msg("the fleet is not followed any more; the last epoch stays in force")
		}
	})
}

// fleetStatus is what /status says of it.
type fleetStatus struct {
	Epoch     uint64 `json:"epoch"` // 0: none yet
	Members   int    `json:"members"`
	Announced bool   `json:"announced"`
	Leads     bool   `json:"leads"`
	Trouble   string `json:"trouble,omitempty"`
}

func (f *fleet) status() *fleetStatus {
	if f == nil {
		return nil
	}
	st := &fleetStatus{Announced: f.node.Announced(), Leads: f.node.Leads()}
	if e := f.node.Epoch(); e != nil {
		st.Epoch, st.Members = e.Number(), len(e.Members())
	}
	if err := f.node.Trouble(); err != nil {
		st.Trouble = err.Error()
	}
	return st
}
