package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// door is one way in for clients: a server and what it listens on.
type door struct {
	name  string
	serve func() error // blocks until shut, and returns nil then
	shut  func(ctx context.Context) error
}

// doors lists the doors that have a listener.
func (p *parts) doors(l listeners) []door {
	all := []door{{"S3 endpoint on " + l.s3.Addr().String(), func() error {
		if err := p.s3.Serve(l.s3); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, p.s3.Shutdown}}
	for _, ln := range []net.Listener{l.socket, l.grpc} {
		if ln != nil {
			all = append(all, door{"gRPC on " + ln.Addr().String(), func() error { return p.rpc.Serve(ln) }, p.rpc.Shutdown})
		}
	}
	if l.peers != nil {
		all = append(all, door{"door for peers on " + l.peers.Addr().String(), func() error { return p.peerDoor.Serve(l.peers) }, p.peerDoor.Shutdown})
	}
	return all
}

// serve runs the doors until the context ends or one of them fails, and then lets requests under way finish.
func (p *parts) serve(ctx context.Context, l listeners) error {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	p.requests = requests
	all := p.doors(l)
	served, failed := errgroup.WithContext(ctx)
	for _, d := range all {
		served.Go(func() error {
			if err := d.serve(); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
			return nil
		})
	}
	if ctx.Err() == nil {
		p.state.ready()
		at := p.state.addresses.Load()
		p.log.Info().Str("s3", at.S3).Str("admin", at.Admin).Str("grpc_socket", at.Socket).Str("grpc", at.GRPC).Strs("mounts", p.sidecar.Mounts()).Msg("ready")
		p.notify("READY=1")
	}
	<-failed.Done() // or ctx is
	p.state.set(shuttingDown)
	p.leave() // at once: nobody else should be sent here
	p.notify("STOPPING=1")
	p.log.Info().Stringer("grace", p.cfg.ShutdownGrace).Msg("shutting down; requests under way may finish")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.ShutdownGrace.Std())
	defer cancel()
	p.shut(grace, all, cutOff)
	err := served.Wait()
	p.flush(grace)
	return err
}

// shut shuts all doors at once, and cuts off what has not finished when the grace ends.
func (p *parts) shut(grace context.Context, all []door, cutOff func()) {
	var ending errgroup.Group
	for _, d := range all {
		ending.Go(func() error { return d.shut(grace) })
	}
	if err := ending.Wait(); err == nil && grace.Err() == nil {
		return
	}
	p.log.Warn().Stringer("grace", p.cfg.ShutdownGrace).Msg("some requests did not finish in time and were cut off; their clients will ask again")
	cutOff()
	if err := errors.Join(p.s3.Close(), p.closeRPC()); err != nil {
		p.log.Debug().Err(err).Msg("closing connections that were to be cut off")
	}
}

func (p *parts) closeRPC() error {
	if p.rpc == nil {
		return nil
	}
	return p.rpc.Close()
}

func (p *parts) notify(what string) {
	if err := notifyManager(what); err != nil {
		p.log.Warn().Err(err).Msg("the service manager could not be told; it may take this process for hung")
	}
}
