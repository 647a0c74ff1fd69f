package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/alio-lake/alio/sidecar/config"
)

// recoverWait is how long clients are kept waiting for the cache directories after a start. Recovery reads indexes, less than 0.1 us a page, so what
// takes longer is a device that hangs: then reads go to the origin until it is back.
const recoverWait = 10 * time.Second

// runSidecar runs a sidecar until the context ends, and then takes it down in order. load reads the configuration anew for a reload.
func runSidecar(ctx context.Context, cfg *config.Config, log zerolog.Logger, load func() (*config.Config, error)) error {
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
	p.reloads.load = load
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
	p.hangups(adminCtx, &workers)
	fleetCtx, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	tierCtx, stopTier := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTier()
	waitUntil := time.Now().Add(p.recoverWait)
	err := p.recover(ctx, tierCtx, &workers)
	if err == nil {
		p.runMetadata(ctx, tierCtx, &workers, waitUntil)
	}
	workers.Go(func() { _ = p.cache.Run(tierCtx) }) // closeTiers tells what is wrong
	if err == nil {
		p.fleet.run(fleetCtx, &workers)
		p.runPeers(fleetCtx, &workers)
		p.leave = leave
		err = p.serve(ctx, l)
	} else {
		l.closeDoors()
	}
	err = errors.Join(err, p.closeTiers())
	leave()
	stopTier()
	stopAdmin()
	workers.Wait()
	err = errors.Join(err, <-adminEnd)
	p.closeMounts()
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
	at := &addresses{S3: scheme + l.s3.Addr().String(), Admin: "http://" + l.admin.Addr().String()}
	if l.socket != nil {
		at.Socket = l.socket.Addr().String()
	}
	if l.grpc != nil {
		at.GRPC = l.grpc.Addr().String()
	}
	if l.peers != nil {
		at.Peers = l.peers.Addr().String()
	}
	p.state.addresses.Store(at)
	p.s3Address = l.s3.Addr()
	b := thisBuild()
	p.log.Info().Str("version", b.Version).Str("commit", b.Commit).Str("go", b.Go).Int("pid", os.Getpid()).Msg("starting")
	if p.tier == nil {
		p.log.Info().Stringer("memory", p.cfg.Cache.Memory).Msg("no cache directory is set; pages are kept in memory only and are gone after a restart")
	}
	if len(p.cfg.Doors.S3.Credentials) == 0 {
		p.log.Info().Str("s3", p.state.addresses.Load().S3).Msg("the s3 door has no credentials; whoever reaches its loopback address may read and write")
	}
}

// recover opens the disk tier. Clients that come meanwhile wait in the accept queue, for recoverWait at most. The error says that a
// directory must not be used (somebody else's, locked, no right): what an operator has to set right. A device that fails or hangs is none:
// it is used once it answers, until then the others and the origin serve.
func (p *parts) recover(ctx, tierCtx context.Context, workers *sync.WaitGroup) error {
	if p.tier == nil {
		return nil
	}
	p.state.set(recovering)
	switch err := p.tier.Open(ctx); {
	case err == nil:
	case ctx.Err() != nil:
		return nil // told to stop meanwhile
	default:
		return fmt.Errorf("cache.dir: %w", err)
	}
	for _, d := range p.tier.Devices() {
		if d.SetAside {
			p.log.Warn().Str("cache_dir", d.Dir).Msg("the cache directory's device fails or hangs; it is used once it answers, until then reads go to the origin")
			continue
		}
		r := d.Stats.Recovery
		p.log.Info().Str("cache_dir", d.Dir).Int("pages", d.Stats.Pages).Int64("bytes", d.Stats.Bytes).Int64("limit_bytes", d.Stats.Size).
			Int("segments", r.Sealed+r.Scanned).Int("segments_skipped", r.Skipped).Dur("took_ms", r.Took).Msg("cache directory recovered")
		if r.Skipped > 0 {
			p.log.Warn().Str("cache_dir", d.Dir).Int("segments", r.Skipped).Msg("segments of a format unknown to this build were skipped; they are removed when their room is needed")
		}
	}
	workers.Go(func() {
		if err := p.tier.Run(tierCtx); err != nil {
			p.log.Error().Err(err).Msg("the disk tier stopped; reads go to the origin")
		}
	})
	return nil
}

// runMetadata starts the store of metadata, and waits for what an earlier process knew, but not beyond a time. Whatever is wrong with it, reads go on.
func (p *parts) runMetadata(ctx, tierCtx context.Context, workers *sync.WaitGroup, waitUntil time.Time) {
	if p.metadata == nil {
		return
	}
	began := time.Now()
	workers.Go(func() {
		if err := p.metadata.Run(tierCtx); err != nil {
			p.log.Error().Err(err).Msg("what is known of objects is not kept over a restart, nor beyond cache.object_memory; reads are not affected")
		}
	})
	ctx, cancel := context.WithDeadline(ctx, waitUntil)
	defer cancel()
	p.metadata.Opened(ctx)
	if st := p.metadata.Stats(); st.Ready {
		p.log.Info().Int64("objects", st.Entries).Int64("bytes", st.Bytes).Int64("limit_bytes", st.Size).Dur("took_ms", time.Since(began)).
			Msg("metadata recovered")
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
	p.sidecar.Close() // prefetches first: they would begin fills
	if err := p.cache.Close(); err != nil {
		p.log.Warn().Err(err).Msg("some fills could not be ended; the process ends without them")
	}
	p.closePeers()
	if p.tier == nil {
		return nil
	}
	if err := p.tier.Close(); err != nil {
		p.log.Warn().Err(err).Msg("the cache directory was not closed cleanly; the next start recovers what was written")
	}
	return nil
}
