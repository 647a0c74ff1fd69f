package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/peers"
)

// makePeers makes the half that asks other sidecars; the sidecar is made with it.
func (p *parts) makePeers() error {
	c := &p.cfg.Peers
	if !c.On() || p.fleet == nil {
		return nil
	}
	self, _ := p.cfg.Affinity.Member()
	var err error
	if p.identity, err = peers.NewIdentity(c.TLS.CertFile, c.TLS.KeyFile, c.CAFile); err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	rate := int64(c.PullRate)
	if rate == 0 {
		rate = -1 // none: to the package 0 is the default
	}
	p.peers, err = peers.New(peers.Options{Self: self, Source: p.fleet.node, Identity: p.identity, InFlight: int64(c.InFlight), PullRate: rate,
		Patience: c.Patience.Std(), Timeout: c.Timeout.Std(), Registerer: p.registry, Logger: p.log.With().Str("part", "peers").Logger()})
	return err
}

// asked are the peers as the sidecar asks them.
func (p *parts) asked() sidecar.Peers {
	if p.peers == nil { // a nil *peers.Peers in the interface would not be nil
		return nil
	}
	return p.peers
}

// makePeerDoor makes the half that answers.
func (p *parts) makePeerDoor() (err error) {
	if p.peers == nil {
		return nil
	}
	p.peerDoor, err = peers.NewServer(peers.ServerOptions{Sidecar: p.sidecar, Pages: p.cache, Source: p.fleet.node, Identity: p.identity, Since: p.peers.Since, Registerer: p.registry,
		Logger: p.log.With().Str("part", "peers").Logger()})
	return err
}

// runPeers follows the fleet's epochs, passes news on and pulls what this sidecar newly owns, until ctx ends.
func (p *parts) runPeers(ctx context.Context, workers *sync.WaitGroup) {
	if p.peers != nil {
		workers.Go(func() { _ = p.peers.Run(ctx, p.sidecar) }) // it never fails
	}
}

func (p *parts) closePeers() {
	if p.peers != nil {
		p.peers.Close()
	}
	if p.peerDoor != nil {
		p.peerDoor.Close()
	}
}

// peersStatus is what /status says of peers.
type peersStatus struct {
	LeftAlone   map[string]string `json:"left_alone"`            // members that are not asked now, and what they fail with
	Certificate []string          `json:"certificate_names"`     // of this sidecar
	Fault       string            `json:"certificate,omitempty"` // why files that have changed are not in force
	Pull        peers.Pull        `json:"pull"`                  // of what this sidecar newly owns, with no reader waiting
	Given       int64             `json:"given_bytes"`           // that others have pulled from this one so
	GivenAgo    float64           `json:"given_seconds_ago"`     // when they last did; since the start, if never
}

func (p *parts) peersStatus() *peersStatus {
	if p.peers == nil {
		return nil
	}
	st := &peersStatus{LeftAlone: p.peers.Trouble(), Certificate: p.identity.Names(), Pull: p.peers.Pull()}
	bytes, ago := p.peerDoor.Given()
	st.Given, st.GivenAgo = bytes, ago.Seconds()
	if err := p.identity.Fault(); err != nil {
		st.Fault = err.Error()
	}
	return st
}
