package peers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Object implements sidecar.Peers: it asks whoever owns the path's folder.
func (p *Peers) Object(ctx context.Context, at sidecar.Place, path string) (a freshness.Answer[origin.Object], ok bool) {
	if !speakable(path) {
		return a, false
	}
	p.factOf(ctx, "object", at.Mount, folderOf(path), func(ctx context.Context, client apiv1.PeersClient) error {
		asked := time.Now()
		reply, err := client.Known(ctx, &apiv1.KnownRequest{Place: place(at), Path: path})
		if err != nil {
			return err
		}
		if reply.GetObject().GetPath() != path {
			return fmt.Errorf("%w: asked about %q, it tells of %q", errGarbage, path, reply.GetObject().GetPath())
		}
		sent, err := dated(asked, reply.Object.AgeUs)
		if err == nil {
			a, err = answerOf(reply.Object, sent)
		}
		ok = err == nil
		return err
	})
	return a, ok
}

// Listing implements sidecar.Peers: it asks whoever owns the folder.
func (p *Peers) Listing(ctx context.Context, at sidecar.Place, req origin.ListRequest) (a freshness.Answer[origin.Listing], ok bool) {
	if !speakableListing(req, &a.Value) {
		return a, false
	}
	p.factOf(ctx, "listing", at.Mount, folderOfPrefix(req.Prefix), func(ctx context.Context, client apiv1.PeersClient) error {
		asked := time.Now()
		reply, err := client.KnownList(ctx, &apiv1.KnownListRequest{Place: place(at), Asked: knownList(req, nil)})
		if err != nil {
			return err
		}
		if got := requestOf(reply.GetListing()); !reflect.DeepEqual(got, req) {
			return fmt.Errorf("%w: asked for the listing %+v, it tells of %+v", errGarbage, req, got)
		}
		a.Sent, err = dated(asked, reply.Listing.AgeUs)
		if err == nil {
			a.Value, err = listingOf(reply.Listing)
		}
		ok = err == nil
		return err
	})
	return a, ok
}

// factOf asks the owner of a folder one question, and where that one knows nothing, who owned it before.
func (p *Peers) factOf(ctx context.Context, about, mount, folder string, ask func(context.Context, apiv1.PeersClient) error) {
	home, _ := p.home(mount, folder)
	if !p.fact(ctx, about, home, ask) {
		return
	}
	if len(*p.past.Load()) > 0 {
		p.fact(ctx, about, p.homeBefore(home, mount, folder), ask)
	}
}

// fact asks a member (nil: there is nobody to ask) one question, and waits for the answer no longer than such answers nearly always take. It tells whether the member answered that it knows nothing.
func (p *Peers) fact(ctx context.Context, about string, m *member, ask func(context.Context, apiv1.PeersClient) error) (knowsNothing bool) {
	if m == nil || p.base.Err() != nil || !m.begin() {
		return false
	}
	begun := time.Now()
	patience := m.facts.hedge()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := m.client()
	if err == nil {
		err = kind(ask(ctx, client))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errLate
	}
	result := factFailed
	switch {
	case err == nil:
		result = factKnown
	case errors.Is(err, errMiss):
		result = factUnknown
	}
	if err == nil || errors.Is(err, errMiss) || errors.Is(err, errLate) {
		m.facts.saw(time.Since(begun))
	}
	p.metrics.facts.WithLabelValues(about, result).Inc()
	if result == factFailed && !errors.Is(err, errBusy) && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("peer %s at %s: %w", m.name, m.address, err)
	}
	if m.end(err) {
		p.gaveUp(m, err)
	}
	return result == factUnknown
}

// tellable tells whether an answer about a folder may be told onwards: see Peers.Since.
func (s *Server) tellable(mount, folder string, sent time.Time) bool {
	if s.o.Since == nil {
		return true
	}
	since, ok := s.o.Since(mount, folder)
	return ok && !sent.Before(since)
}

// Known implements apiv1.PeersServer.
func (s *Server) Known(_ context.Context, req *apiv1.KnownRequest) (*apiv1.KnownReply, error) {
	a, ok := s.o.Sidecar.HeardObject(placeOf(req.Place), req.Path)
	if !ok || !speakableObject(&a.Value) || !s.tellable(req.Place.GetMount(), folderOf(req.Path), a.Sent) {
		return nil, status.Error(codes.NotFound, "nothing was heard of it")
	}
	k := &apiv1.KnownObject{Path: req.Path, Absent: true}
	if a.Err == nil {
		k = known(req.Path, &a.Value)
	}
	k.AgeUs = ageOf(a.Sent)
	return &apiv1.KnownReply{Object: k}, nil
}

// KnownList implements apiv1.PeersServer.
func (s *Server) KnownList(_ context.Context, req *apiv1.KnownListRequest) (*apiv1.KnownListReply, error) {
	asked := requestOf(req.Asked)
	a, ok := s.o.Sidecar.HeardListing(placeOf(req.Place), asked)
	if !ok || !speakableListing(asked, &a.Value) || !s.tellable(req.Place.GetMount(), folderOfPrefix(asked.Prefix), a.Sent) {
		return nil, status.Error(codes.NotFound, "nothing was heard of it")
	}
	k := knownList(asked, &a.Value)
	k.AgeUs = ageOf(a.Sent)
	return &apiv1.KnownListReply{Listing: k}, nil
}
