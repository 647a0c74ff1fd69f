package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/alio-lake/alio/sidecar/admin"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/rpc"
)

// affinityParts are an affinity service put together and not yet started.
type affinityParts struct {
	cfg   *config.Config
	log   zerolog.Logger
	state *state
	fleet *fleet
	rpc   *rpc.Server // nil: no gRPC door
	admin *admin.Server
}

// affinityStatus is what its /status prints.
type affinityStatus struct {
	Build     build        `json:"build"`
	Started   time.Time    `json:"started"`
	Addresses addresses    `json:"addresses"`
	Affinity  *fleetStatus `json:"affinity"`
}

func newAffinityParts(cfg *config.Config, log zerolog.Logger) (*affinityParts, error) {
	p := &affinityParts{cfg: cfg, log: log, state: newState()}
	registry := prometheus.NewRegistry()
	err := errors.Join(registry.Register(collectors.NewGoCollector()), registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	if err != nil {
		return nil, err
	}
	if p.fleet, err = newFleet(cfg, registry, log); err != nil {
		return nil, err
	}
	if cfg.Doors.GRPC.On() {
		if p.rpc, err = newDoor(cfg.Doors.GRPC, rpc.Options{Affinity: p.fleet.service, Registerer: registry, Logger: log}); err != nil {
			return nil, err
		}
	}
	p.admin, err = admin.New(admin.Options{Gatherer: registry, Ready: p.notReady, Title: "affinity, " + thisBuild().String(), API: p.fleet.service.Handler(), Pprof: cfg.Admin.Pprof, Logger: log,
		Status: func() any {
			return affinityStatus{Build: thisBuild(), Started: p.state.started.UTC().Truncate(time.Second), Addresses: *p.state.addresses.Load(), Affinity: p.fleet.status()}
		}})
	return p, err
}

// notReady is nil while the service has an epoch to answer from.
func (p *affinityParts) notReady() error {
	if err := p.state.notReady(); err != nil {
		return err
	}
	if p.fleet.node.Epoch() == nil {
		return errors.New("there is no epoch yet")
	}
	return nil
}

// runAffinity runs the service until the context ends, and then takes it down in order.
func runAffinity(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	p, err := newAffinityParts(cfg, log)
	if err != nil {
		return err
	}
	var l listeners
	if l.admin, err = listen(ctx, cfg.Admin.Listen, "admin.listen", "--admin-listen"); err == nil {
		err = l.openGRPC(ctx, cfg.Doors.GRPC)
	}
	if err != nil {
		l.close()
		return err
	}
	at := &addresses{Admin: "http://" + l.admin.Addr().String()}
	if l.socket != nil {
		at.Socket = l.socket.Addr().String()
	}
	if l.grpc != nil {
		at.GRPC = l.grpc.Addr().String()
	}
	p.state.addresses.Store(at)
	p.state.ready()
	etcd := cfg.Affinity.Etcd.Endpoints
	if cfg.Affinity.Embedded.Listen != "" {
		etcd = []string{"embedded on " + cfg.Affinity.Embedded.Listen}
	}
	log.Info().Str("version", thisBuild().Version).Int("pid", os.Getpid()).Str("admin", at.Admin).Str("grpc_socket", at.Socket).Str("grpc", at.GRPC).Strs("etcd", etcd).Msg("ready")
	return p.run(ctx, l)
}

// run owns the listeners.
func (p *affinityParts) run(ctx context.Context, l listeners) error {
	fleetCtx, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var workers sync.WaitGroup
	p.fleet.run(fleetCtx, &workers)
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAdmin()
	served, failed := errgroup.WithContext(ctx)
	served.Go(func() error { return p.admin.Run(adminCtx, l.admin) })
	for _, ln := range []net.Listener{l.socket, l.grpc} {
		if ln != nil {
			served.Go(func() error { return p.rpc.Serve(ln) })
		}
	}
	<-failed.Done() // or ctx is
	p.state.set(shuttingDown)
	p.log.Info().Msg("shutting down; another candidate leads, and the others answer")
	leave()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.ShutdownGrace.Std())
	defer cancel()
	var err error
	if p.rpc != nil {
		err = p.rpc.Shutdown(grace)
	}
	stopAdmin()
	workers.Wait()
	if err = errors.Join(err, served.Wait()); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	p.log.Info().Msg("stopped")
	return nil
}
