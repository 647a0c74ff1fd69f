package peers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

const (
	tellEvery   = 50 * time.Millisecond // how often news is passed on
	tellTimeout = time.Second
	tellAtOnce  = 2000  // answers in one message
	maxWaiting  = 20000 // answers that wait for one member; beyond it they are dropped
	tickHolds   = time.Minute
	driftShare  = 1000 // two clocks differ in speed by less than one part in so many
)

// clock counts from the start of the process, by no time of day.
type clock struct {
	process uint64
	start   time.Time
}

func newClock() clock {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return clock{process: binary.LittleEndian.Uint64(random[:]), start: time.Now()}
}

func (c *clock) now() time.Duration { return time.Since(c.start) }

// tick is the last that a member has said of its clock, and when that came here. What is told later, it is told with the time that has passed since the tick
// came. The member adds that to its own tick: since the tick was on its way for a while, it takes the answer for older than it is, never for younger.
type tick struct {
	process uint64
	us      int64
	came    time.Time // zero: none came yet
}

// since is how long after the tick an answer was sent for (below 0: before it), less what the clocks may differ in speed.
func (t tick) since(sent time.Time) int64 {
	d := sent.Sub(t.came)
	return (d - max(d, -d)/driftShare).Microseconds() - 1
}

// news is what waits to be told to a member.
type news struct {
	mu       sync.Mutex
	waiting  []told
	listings []toldListing
	telling  bool
}

type told struct {
	at   sidecar.Place
	what sidecar.Told
}

type toldListing struct {
	at   sidecar.Place
	req  origin.ListRequest
	l    origin.Listing
	sent time.Time
}

// Tell implements sidecar.Peers: whoever owns a path's folder is told.
func (p *Peers) Tell(at sidecar.Place, all []sidecar.Told) {
	homes := map[string]*member{}
	for _, t := range all {
		folder := folderOf(t.Path)
		m, seen := homes[folder]
		if !seen {
			var why relation
			if m, why = p.home(at.Mount, folder); why == earlier {
				m = nil
			}
			homes[folder] = m
		}
		if m == nil || !speakable(t.Path) || !speakableObject(&t.Answer.Value) {
			continue
		}
		m.news.mu.Lock()
		if len(m.news.waiting) < maxWaiting {
			m.news.waiting = append(m.news.waiting, told{at, t})
		} else {
			p.metrics.untold.Inc()
		}
		m.news.mu.Unlock()
	}
}

// TellListing implements sidecar.Peers.
func (p *Peers) TellListing(at sidecar.Place, req origin.ListRequest, l origin.Listing, sent time.Time) {
	m, why := p.home(at.Mount, folderOfPrefix(req.Prefix))
	if m == nil || why == earlier || !speakableListing(req, &l) {
		return
	}
	m.news.mu.Lock()
	defer m.news.mu.Unlock()
	if len(m.news.listings) < 64 {
		m.news.listings = append(m.news.listings, toldListing{at, req, l, sent})
	} else {
		p.metrics.untold.Inc()
	}
}

// tellAll begins to tell each member what waits for it.
func (p *Peers) tellAll(ctx context.Context, tellers *sync.WaitGroup) {
	p.members.Lock()
	defer p.members.Unlock()
	for _, m := range p.members.all {
		m.news.mu.Lock()
		if waits := len(m.news.waiting) + len(m.news.listings); waits > 0 && !m.news.telling {
			m.news.telling = true
			tellers.Go(func() {
				p.tellMember(ctx, m)
				m.news.mu.Lock()
				m.news.telling = false
				m.news.mu.Unlock()
			})
		}
		m.news.mu.Unlock()
	}
}

// tellMember tells one member what waits, in one message. What it does not take is dropped: it costs the member a question to the origin later.
func (p *Peers) tellMember(ctx context.Context, m *member) {
	m.news.mu.Lock()
	n := min(len(m.news.waiting), tellAtOnce)
	objects := m.news.waiting[:n:n]
	m.news.waiting = append([]told(nil), m.news.waiting[n:]...)
	listings := m.news.listings
	m.news.listings = nil
	m.news.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if !m.begin() {
		p.metrics.untold.Add(float64(len(objects) + len(listings)))
		return
	}
	taken, err := p.tellThis(ctx, m, objects, listings)
	if taken {
		p.metrics.told.Add(float64(len(objects) + len(listings)))
	} else {
		p.metrics.untold.Add(float64(len(objects) + len(listings)))
	}
	if m.end(kind(err)) {
		p.gaveUp(m, err)
	}
}

func (p *Peers) tellThis(ctx context.Context, m *member, objects []told, listings []toldListing) (taken bool, err error) {
	client, err := m.client()
	if err != nil {
		return false, err
	}
	for range 2 {
		t, err := m.ticked(ctx, client)
		if err != nil {
			return false, err
		}
		reply, err := client.Tell(ctx, &apiv1.TellRequest{Process: t.process, NowUs: t.us, News: compose(t, objects, listings)})
		if err != nil {
			return false, err
		}
		m.keep(reply)
		if reply.Taken {
			return true, nil
		}
	}
	return false, nil
}

// ticked is a tick of the member that is not too old, asked for if need be.
func (m *member) ticked(ctx context.Context, client apiv1.PeersClient) (tick, error) {
	m.mu.Lock()
	t := m.mu.tick
	m.mu.Unlock()
	if !t.came.IsZero() && time.Since(t.came) < tickHolds {
		return t, nil
	}
	reply, err := client.Tell(ctx, &apiv1.TellRequest{})
	if err != nil {
		return tick{}, err
	}
	return m.keep(reply), nil
}

func (m *member) keep(reply *apiv1.TellReply) tick {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.tick = tick{process: reply.Process, us: reply.NowUs, came: time.Now()}
	return m.mu.tick
}

// compose puts news on the wire, by place.
func compose(t tick, objects []told, listings []toldListing) []*apiv1.News {
	byPlace := map[sidecar.Place]*apiv1.News{}
	var out []*apiv1.News
	of := func(at sidecar.Place) *apiv1.News {
		n := byPlace[at]
		if n == nil {
			n = &apiv1.News{Place: place(at)}
			byPlace[at] = n
			out = append(out, n)
		}
		return n
	}
	for i := range objects {
		o := &objects[i]
		k := &apiv1.KnownObject{Path: o.what.Path, Absent: true}
		if o.what.Answer.Err == nil {
			k = known(o.what.Path, &o.what.Answer.Value)
		}
		k.SinceUs = t.since(o.what.Answer.Sent)
		n := of(o.at)
		n.Objects = append(n.Objects, k)
	}
	for i := range listings {
		k := knownList(listings[i].req, &listings[i].l)
		k.SinceUs = t.since(listings[i].sent)
		n := of(listings[i].at)
		n.Listings = append(n.Listings, k)
	}
	return out
}

// Tell implements apiv1.PeersServer.
func (s *Server) Tell(_ context.Context, req *apiv1.TellRequest) (*apiv1.TellReply, error) {
	reply := &apiv1.TellReply{Process: s.clock.process, Taken: req.Process == s.clock.process}
	if reply.Taken {
		for _, n := range req.News {
			s.hear(time.Duration(req.NowUs)*time.Microsecond, n)
		}
	}
	reply.NowUs = s.clock.now().Microseconds()
	return reply, nil
}

// hear takes news that counts from a time of this clock. What makes no sense is passed over.
func (s *Server) hear(tick time.Duration, n *apiv1.News) {
	at, now := placeOf(n.Place), time.Now()
	sentAt := func(since int64) time.Time {
		sent := s.clock.start.Add(tick + time.Duration(since)*time.Microsecond)
		if sent.After(now) {
			return now
		}
		return sent
	}
	var all []sidecar.Told
	for _, k := range n.Objects {
		if a, err := answerOf(k, sentAt(k.SinceUs)); err == nil && k.Path != "" {
			all = append(all, sidecar.Told{Path: k.Path, Answer: a})
		}
	}
	s.o.Sidecar.Hear(at, all)
	for _, k := range n.Listings {
		if l, err := listingOf(k); err == nil {
			s.o.Sidecar.HearListing(at, requestOf(k), freshness.Answer[origin.Listing]{Value: l, Sent: sentAt(k.SinceUs)})
		}
	}
}
