package peers

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/sidecar"
)

const (
	mostFolders = 16   // above a path, whose owners are told
	mostHomes   = 3    // of one folder: its owner, and who was it before
	mostPaths   = 1000 // in one message
)

// Fence implements sidecar.Peers: the owners of the folders are told, and who owned them within the hour, since a member that has an older epoch asks these.
func (p *Peers) Fence(at sidecar.Place, path string, below bool, folders []string) {
	if !speakable(path) || p.base.Err() != nil {
		return
	}
	told := map[*member]bool{}
	for _, folder := range folders[:min(len(folders), mostFolders)] {
		for _, m := range p.homes(ring.Split{Mount: at.Mount, Path: folder + "/*"}) {
			told[m] = true
		}
	}
	ctx, cancel := context.WithTimeout(p.base, p.o.Timeout) // a write waits for it
	defer cancel()
	req := &apiv1.FenceRequest{Place: place(at), Paths: []string{path}, Below: below}
	var wg sync.WaitGroup
	for m := range told {
		wg.Go(func() { p.fence(ctx, m, req) })
	}
	wg.Wait()
}

// fence tells one member. That it was slow with other answers is no reason not to: it gives its older answers to others all the while. Only one that did not answer this twice in a row is not
// tried again for a while, since each write would wait for it.
func (p *Peers) fence(ctx context.Context, m *member, req *apiv1.FenceRequest) {
	err := errLeft
	if m.hearing.tries() {
		var client apiv1.PeersClient
		if client, err = m.client(); err == nil {
			_, err = client.Fence(ctx, req)
		}
		m.hearing.heard(err == nil || unknown(err)) // an older build does not know of this, and is quick to say so
	}
	result := fenceTold
	if err != nil {
		result = fenceUntold
	}
	p.metrics.fences.WithLabelValues(result).Inc()
}

// hearing is whether a member answers who tells it of writes.
type hearing struct {
	mu    sync.Mutex
	fails int // in a row
	until time.Time
}

// The pause after so many failures in a row.
const (
	deafAfter = 2
	deafPause = 2 * time.Second
)

func (h *hearing) tries() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fails < deafAfter || time.Now().After(h.until)
}

func (h *hearing) heard(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails++; ok {
		h.fails = 0
	}
	h.until = time.Now().Add(deafPause)
}

// homes are the other members that may have been told of a folder, or may be asked about it: all who own it, and who was first to own it before.
func (p *Peers) homes(at ring.Split) (all []*member) {
	now := p.o.Source.Epoch()
	if now == nil {
		return nil
	}
	names := map[string]bool{p.o.Self: true}
	add := func(name string) {
		if slot, ok := now.Find(name); ok && !names[name] && len(all) < mostHomes {
			if m := p.find(now.Members()[slot]); m != nil {
				all = append(all, m)
			}
		}
		names[name] = true
	}
	if key, err := now.Key(at); err == nil {
		for _, name := range ownersOf(now, key) {
			add(name)
		}
	}
	for _, x := range *p.past.Load() {
		if key, err := x.epoch.Key(at); err == nil && time.Since(x.until) < earlierFor {
			add(firstOwner(x.epoch, key))
		}
	}
	return all
}

// Since is from when on this sidecar has been told of every write to a folder that passed a door: since it became the first to own it, the last time. What was asked of the origin before that may be from
// before a write that only somebody else was told of, and is not told onwards. false: it never was, as far as is remembered.
func (p *Peers) Since(mount, folder string) (since time.Time, ok bool) {
	at := ring.Split{Mount: mount, Path: folder + "/*"}
	mine := func(e *ring.Epoch) bool {
		if e == nil {
			return false
		}
		key, err := e.Key(at)
		return err == nil && firstOwner(e, key) == p.o.Self
	}
	all, now := *p.past.Load(), p.o.Source.Epoch()
	if ok = mine(now); now != p.noticed.Load() { // a change that Run has not seen yet
		return time.Now(), ok
	}
	for _, x := range all {
		switch is := mine(x.epoch); {
		case ok && !is:
			return x.until, true
		case is:
			ok = true
		}
	}
	if len(all) > 0 { // what was before the oldest epoch that is remembered is not known
		return all[len(all)-1].until, ok
	}
	return p.born, ok
}

// Fence implements apiv1.PeersServer.
func (s *Server) Fence(_ context.Context, req *apiv1.FenceRequest) (*apiv1.FenceReply, error) {
	if len(req.Paths) > mostPaths {
		return nil, status.Errorf(codes.InvalidArgument, "%d paths at once", len(req.Paths))
	}
	at := placeOf(req.Place)
	for _, path := range req.Paths {
		s.o.Sidecar.Fence(at, path, req.Below)
	}
	return &apiv1.FenceReply{}, nil
}
