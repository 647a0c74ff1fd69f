package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/sidecar/config"
)

// recoverWait is how long clients are kept waiting for the cache directory after a start. Recovery reads indexes, 0.10-0.15 us a page, so what takes
// longer is a device that hangs: then reads go to the origin until it is back.
const recoverWait = 10 * time.Second

// runSidecar runs a sidecar until the context ends, and then takes it down in order.
func runSidecar(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	passed, err := passedListeners(os.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	l, err := openListeners(ctx, cfg, passed)
	if err != nil {
		return err
	}
	p, err := assemble(cfg, log)
	if err != nil {
		l.close()
		return err
	}
	return p.run(ctx, l)
}

// run owns the listeners. The admin server runs from the first moment to the last, so that an operator can see a start and an end.
func (p *parts) run(ctx context.Context, l listeners) error {
	p.announce(l)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAdmin()
	adminEnd := make(chan error, 1)
	go func() {
		err := p.admin.Run(adminCtx, l.admin)
		cancel() // an admin server that failed ends the process: nobody could see what it does
		adminEnd <- err
	}()
	var workers sync.WaitGroup
	tierCtx, stopTier := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTier()
	err := p.recover(ctx, tierCtx, &workers)
	if err == nil {
		err = p.serve(ctx, l.s3)
	} else {
		l.s3.Close()
	}
	err = errors.Join(err, p.closeTiers())
	stopTier()
	workers.Wait()
	stopAdmin()
	err = errors.Join(err, <-adminEnd)
	if err == nil {
		p.log.Info().Msg("stopped")
	}
	return err
}

// announce logs, before anything can fail, what an operator will want to know when it does.
func (p *parts) announce(l listeners) {
	scheme := "http://"
	if p.tls != nil {
		scheme = "https://"
	}
	p.state.addresses.Store(&addresses{S3: scheme + l.s3.Addr().String(), Admin: "http://" + l.admin.Addr().String()})
	b := thisBuild()
	p.log.Info().Str("version", b.Version).Str("commit", b.Commit).Str("go", b.Go).Int("pid", os.Getpid()).Msg("starting")
	if p.tier == nil {
		p.log.Info().Stringer("memory", p.cfg.Cache.Memory).Msg("no cache directory is set; pages are kept in memory only and are gone after a restart")
	}
	if len(p.cfg.Doors.S3.Credentials) == 0 {
		p.log.Info().Str("s3", p.state.addresses.Load().S3).Msg("the s3 door has no credentials; whoever reaches its loopback address may read and write")
	}
}

// recover opens the disk tier. Clients that come meanwhile wait in the accept queue, for recoverWait at most. The error says that the
// directory must not be used (somebody else's, locked, no right): what an operator has to set right. A device that fails is none:
// reads go to the origin.
func (p *parts) recover(ctx, tierCtx context.Context, workers *sync.WaitGroup) error {
	if p.tier == nil {
		return nil
	}
	p.state.set(recovering)
	go func() {
		p.openErr = p.tier.Open(ctx)
		close(p.opened)
	}()
	wait := time.NewTimer(p.recoverWait)
	defer wait.Stop()
	select {
	case <-p.opened:
		return p.recovered(ctx, tierCtx, workers)
	case <-ctx.Done():
		return nil
	case <-wait.C:
	}
	p.log.Warn().Str("cache_dir", p.cfg.Cache.Dir).Stringer("waited", p.recoverWait).Msg("the cache directory takes long to recover; until it has, reads go to the origin")
	workers.Go(func() {
		select {
		case <-p.opened:
			if err := p.recovered(ctx, tierCtx, workers); err != nil {
				p.log.Error().Err(err).Msg("the cache directory cannot be used; pages are kept in memory only")
			}
		case <-ctx.Done():
		}
	})
	return nil
}

// recovered starts the tier's writer once it is open.
func (p *parts) recovered(ctx, tierCtx context.Context, workers *sync.WaitGroup) error {
	switch err := p.openErr; {
	case err == nil:
	case ctx.Err() != nil:
		return nil // told to stop meanwhile
	case deviceFailed(err):
		p.log.Warn().Err(err).Str("cache_dir", p.cfg.Cache.Dir).Msg("the cache directory's device fails; pages are kept in memory only, reads go to the origin")
		return nil
	default:
		return fmt.Errorf("cache.dir: %w", err)
	}
	s := p.tier.Stats()
	p.log.Info().Str("cache_dir", p.cfg.Cache.Dir).Int("pages", s.Pages).Int64("bytes", s.Bytes).Int64("limit_bytes", s.Size).
		Int("segments", s.Recovery.Sealed+s.Recovery.Scanned).Int("segments_skipped", s.Recovery.Skipped).Dur("took_ms", s.Recovery.Took).Msg("cache directory recovered")
	if s.Recovery.Skipped > 0 {
		p.log.Warn().Int("segments", s.Recovery.Skipped).Msg("segments of a format unknown to this build were skipped; they are removed when their room is needed")
	}
	workers.Go(func() {
		if err := p.tier.Run(tierCtx); err != nil {
			p.log.Error().Err(err).Msg("the disk tier stopped; reads go to the origin")
		}
	})
	return nil
}

// deviceFailed tells a device that is broken from a directory that must not be used.
func deviceFailed(err error) bool {
	for _, broken := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENODEV, syscall.ENXIO, syscall.ENOSPC, syscall.EDQUOT, syscall.ESTALE, syscall.EUCLEAN} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}

// serve runs the S3 door until the context ends, and then lets requests under way finish.
func (p *parts) serve(ctx context.Context, ln net.Listener) error {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	srv := p.server(requests)
	served := make(chan error, 1)
	go func() {
		if p.tls != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	if ctx.Err() == nil {
		p.state.ready()
		at := p.state.addresses.Load()
		p.log.Info().Str("s3", at.S3).Str("admin", at.Admin).Strs("mounts", p.sidecar.Mounts()).Msg("ready")
		p.notify("READY=1")
	}
	select {
	case err := <-served:
		return fmt.Errorf("S3 endpoint on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	p.state.set(shuttingDown)
	p.notify("STOPPING=1")
	p.log.Info().Stringer("grace", p.cfg.ShutdownGrace).Msg("shutting down; requests under way may finish")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.ShutdownGrace.Std())
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		p.log.Warn().Stringer("grace", p.cfg.ShutdownGrace).Msg("some requests did not finish in time and were cut off; their clients will ask again")
		cutOff()
		srv.Close()
	}
	<-served
	p.flush(grace)
	return nil
}

func (p *parts) server(requests context.Context) *http.Server {
	return &http.Server{
		Handler:           p.door,
		TLSConfig:         p.tls,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 30 * time.Second,
		// Longer than clients keep idle connections (the AWS SDKs: 60 s, Go: 90 s), so that it is they who close: a request sent on
		// a connection that is being closed fails.
		IdleTimeout:    5 * time.Minute,
		MaxHeaderBytes: 256 << 10,
		ErrorLog:       serverLog(p.log),
	}
}

func (p *parts) notify(what string) {
	if err := notifyManager(what); err != nil {
		p.log.Warn().Err(err).Msg("the service manager could not be told; it may take this process for hung")
	}
}

// flush waits until the disk tier has written what was queued, within what is left of the grace: what is dropped costs a request later.
func (p *parts) flush(ctx context.Context) {
	if p.tier == nil {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.tier.Stats().QueueBytes > 0 && !p.tier.Stats().SetAside {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// closeTiers ends fills, then seals the disk tier. Errors here cost warmth only, so they are logged and the exit is clean.
func (p *parts) closeTiers() error {
	if err := p.cache.Close(); err != nil {
		p.log.Warn().Err(err).Msg("some fills could not be ended; the process ends without them")
	}
	if p.tier == nil {
		return nil
	}
	select {
	case <-p.opened:
	case <-time.After(p.recoverWait): // it hangs in the device; the lock goes with the process
		p.log.Warn().Str("cache_dir", p.cfg.Cache.Dir).Msg("the cache directory is still being recovered; the process ends without it")
		return nil
	}
	if err := p.tier.Close(); err != nil {
		p.log.Warn().Err(err).Msg("the cache directory was not closed cleanly; the next start recovers what was written")
	}
	return nil
}
