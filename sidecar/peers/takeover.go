package peers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Taker is where pages go that are pulled with no reader waiting for them. *sidecar.Sidecar is one.
type Taker interface {
	Places() []sidecar.Place
	Take(ctx context.Context, at sidecar.Place, obj *origin.Object, pages []sidecar.HeldPage, from sidecar.Own) (came []cache.Key, bytes int64, err error)
	Lacks(obj *origin.Object, pages []sidecar.HeldPage) int64
	Has(k cache.Key) bool
	Idle(at sidecar.Place, path string) bool
	Hear(at sidecar.Place, told []sidecar.Told)
}

const (
	holdingsTimeout = 10 * time.Second
	askTries        = 5 // for what a member holds: at first it may not know of the change, or tell others
	askPause        = 250 * time.Millisecond
	mostRun         = cache.MaxPage // bytes that are asked for at once
	roomPoll        = 2 * time.Millisecond
	busyTries       = 5
	busyPause       = 50 * time.Millisecond
	agingPages      = 64 // a page is looked after when so many more have come
	goneOf, goneMax = 32, 8
)

// What becomes of pages that were to be pulled and were not, as the label "reason".
const (
	refusedNotHeld = "not_held" // the member has them no more
	refusedFailed  = "failed"   // the member failed, hung, is gone or had too much to do
	refusedFull    = "full"     // the cache evicts what was pulled just before
	refusedChanged = "changed"  // another change of the ring came, or the end of this process
)

var refusals = []string{refusedNotHeld, refusedFailed, refusedFull, refusedChanged}

// errFull ends a takeover: what was pulled does not stay.
var errFull = errors.New("the cache evicts what was pulled just before")

// Pull is how far the takeover of what this sidecar newly owns has come.
type Pull struct {
	State     string `json:"state"`   // idle: nothing is owed; asking; pulling; full: given up, the cache evicts what comes; off
	Members   int    `json:"members"` // that owe something
	Remaining struct {
		Pages int   `json:"pages"`
		Bytes int64 `json:"bytes"`
	} `json:"remaining"`
}

// takeover pulls what others hold of the sections that this sidecar owns newly, with no reader waiting.
type takeover struct {
	p    *Peers
	into Taker
	pace *rate.Limiter

	owed *owed              // Run's
	stop context.CancelFunc // ends what is under way; nil: nothing was begun
	done chan struct{}      // closed when that has ended; nil: nothing was begun

	mu struct {
		sync.Mutex
		settled *owed // what was owed when a takeover came to its end, for Run
		now     Pull
	}
}

func newTakeover(p *Peers, into Taker) *takeover {
	t := &takeover{p: p, into: into, owed: &owed{}}
	t.pace = rate.NewLimiter(rate.Limit(p.o.PullRate), int(max(p.o.PullRate/10, mostRun)))
	t.mu.now.State = "idle"
	return t
}

// changed is told of each change of the ring, by Run. What is under way goes on if the change does not touch it; else it ends, and what is owed then begins.
func (t *takeover) changed(before, now *epoch) {
	t.mu.Lock()
	if t.mu.settled == t.owed {
		t.owed, t.mu.settled = &owed{}, nil
	}
	t.mu.Unlock()
	next := t.owed.after(before, now, t.p.o.Self)
	if next.equal(t.owed) {
		return
	}
	t.owed = next
	if t.stop != nil {
		t.stop()
	}
	if next.empty() {
		return
	}
	earlier := t.done
	ctx, stop := context.WithTimeout(t.p.base, earlierFor)
	done := make(chan struct{})
	t.stop, t.done = stop, done
	started := t.p.spawn(func() {
		defer close(done)
		defer stop()
		if earlier != nil {
			<-earlier
		}
		t.run(ctx, now, next)
	})
	if !started {
		close(done)
		stop()
	}
}

// status is how far it has come.
func (t *takeover) status() Pull {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.now
}

func (t *takeover) say(state string, members int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.now.State, t.mu.now.Members = state, members
}

// remain changes what is left to be pulled.
func (t *takeover) remain(pages int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.now.Remaining.Pages += pages
	t.mu.now.Remaining.Bytes += bytes
}

// run takes over what is owed.
func (t *takeover) run(ctx context.Context, now *epoch, o *owed) {
	members := o.members()
	t.say("asking", len(members))
	runs := t.ask(ctx, now, members)
	t.say("pulling", len(members))
	t.say(t.pull(ctx, runs), 0)
	if ctx.Err() == nil {
		t.mu.Lock()
		t.mu.settled = o
		t.mu.Unlock()
	}
}

// pull pulls runs in their order, and tells how it ended.
func (t *takeover) pull(ctx context.Context, runs []run) (state string) {
	w := watch{has: t.into.Has}
	for i := range runs {
		err := ctx.Err()
		if err == nil {
			err = t.take(ctx, &runs[i], &w)
		}
		if err == nil {
			continue
		}
		reason, state := refusedChanged, "idle"
		if errors.Is(err, errFull) {
			reason, state = refusedFull, "full"
			t.p.o.Logger.Info().Int("pages_left", t.status().Remaining.Pages).
				Msg("the cache evicts what was pulled of this sidecar's new sections; the rest is read when somebody asks for it")
		}
		for j := range runs[i:] {
			t.refuse(&runs[i+j], reason)
		}
		return state
	}
	return "idle"
}

// run is pages of an object that follow one another, as hot as one another, at a member.
type run struct {
	m     *member
	at    sidecar.Place
	h     *sidecar.Holding
	pages []sidecar.HeldPage
	order int // among the member's
}

func (r *run) bytes() int64 { return r.pages[len(r.pages)-1].End - r.pages[0].Start }

// runsOf cuts an object's pages into runs.
func runsOf(m *member, at sidecar.Place, h *sidecar.Holding, order int) (runs []run) {
	rest := h.Pages
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && rest[n].Start == rest[n-1].End && rest[n].End-rest[0].Start <= mostRun {
			n++
		}
		runs = append(runs, run{m, at, h, rest[:n], order + len(runs)})
		rest = rest[n:]
	}
	return runs
}

// ask asks members what they hold, some at a time, and brings their answers into the order in which they are pulled: the hottest first, and of equal ones in the members' orders.
func (t *takeover) ask(ctx context.Context, now *epoch, members map[string]*owed) (runs []run) {
	places := t.into.Places()
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for name, share := range members {
		slot, ok := now.Find(name)
		if !ok {
			continue
		}
		m := t.p.find(now.Members()[slot])
		if m == nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			some := t.askOne(ctx, m, holdingsRequest(now, share, places, max(mostHeld/len(members), 256)), places)
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, some...)
		})
	}
	wg.Wait()
	slices.SortStableFunc(runs, func(a, b run) int {
		if d := int(b.pages[0].Heat) - int(a.pages[0].Heat); d != 0 {
			return d
		}
		return a.order - b.order
	})
	for i := range runs {
		t.remain(len(runs[i].pages), runs[i].bytes())
	}
	return runs
}

func holdingsRequest(now *epoch, share *owed, places []sidecar.Place, most int) *apiv1.HoldingsRequest {
	req := &apiv1.HoldingsRequest{SectionSize: now.Settings().SectionSize, Partitions: int64(share.table), Wanted: share.bits(), Most: int64(most)}
	for k := range share.keys {
		req.Keys = append(req.Keys, k)
	}
	for _, at := range places {
		req.Places = append(req.Places, place(at))
	}
	return req
}

// askOne asks one member, again where it does not answer at first.
func (t *takeover) askOne(ctx context.Context, m *member, req *apiv1.HoldingsRequest, places []sidecar.Place) (runs []run) {
	pause := askPause
	for range askTries {
		runs = nil
		err := t.p.holdings(ctx, m, req, places, func(at sidecar.Place, h sidecar.Holding) {
			runs = append(runs, runsOf(m, at, &h, len(runs))...)
		})
		if err == nil || unknown(err) || errors.Is(err, errGarbage) || sleep(ctx, pause) != nil {
			break
		}
		pause *= 2
	}
	return runs
}

// take pulls one run. It is nil where the next one may be tried.
func (t *takeover) take(ctx context.Context, r *run, w *watch) error {
	n := t.into.Lacks(&r.h.Object, r.pages)
	if n == 0 {
		t.remain(-len(r.pages), -r.bytes())
		return nil
	}
	var why *cause // of this try
	from := func(ctx context.Context, off, n int64) (b body, err error) {
		if b, err = t.p.only(ctx, r.m, r.at, &r.h.Object, off, n, why); err != nil {
			why.is(err)
			return nil, cache.ErrAgain
		}
		return b, nil
	}
	pause := busyPause
	for try := 0; ; try++ {
		if err := t.room(ctx, r, n); err != nil {
			return err
		}
		why = &cause{}
		came, bytes, err := t.into.Take(ctx, r.at, &r.h.Object, r.pages, from)
		t.p.metrics.pulledBytes.Add(float64(bytes))
		t.p.metrics.pulledPages.Add(float64(len(came)))
		full := !w.came(came)
		switch {
		case full:
			return errFull
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			t.into.Hear(r.at, []sidecar.Told{{Path: r.h.Object.Path, Answer: freshness.Answer[origin.Object]{Value: r.h.Object, Sent: r.h.Sent}}})
			t.remain(-len(r.pages), -r.bytes())
			return nil
		case errors.Is(why.was(), errBusy) && try < busyTries:
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			pause *= 2
			continue
		case errors.Is(why.was(), errMiss):
			t.refuse(r, refusedNotHeld)
		default:
			t.refuse(r, refusedFailed)
		}
		return nil
	}
}

// refuse counts a run that is not pulled.
func (t *takeover) refuse(r *run, reason string) {
	t.p.metrics.pullRefused.WithLabelValues(reason).Add(float64(len(r.pages)))
	t.remain(-len(r.pages), -r.bytes())
}

// room waits until n bytes more may be pulled: within the rate, and while readers leave room. What is pulled with a reader waiting goes first: it is of the same rate, and half of what may
// pass at once is always left to it.
func (t *takeover) room(ctx context.Context, r *run, n int64) error {
	if err := t.pace.WaitN(ctx, int(n)); err != nil {
		return err
	}
	for {
		pull := t.p.pull
		if t.p.reading.Load() <= t.p.o.InFlight/2 && t.into.Idle(r.at, r.h.Object.Path) && pull.Tokens() >= float64(pull.Burst()/2) && pull.AllowN(time.Now(), int(n)) {
			return nil
		}
		if err := sleep(ctx, roomPoll); err != nil {
			return err
		}
	}
}

// watch looks after pages that were pulled, when some more have come: whether the cache keeps them.
type watch struct {
	has   func(cache.Key) bool
	aging []cache.Key
	gone  []bool // of the last goneOf that were looked for
}

// came takes pages that were pulled; false: too many of those before are gone, so others are worth more than they.
func (w *watch) came(keys []cache.Key) bool {
	w.aging = append(w.aging, keys...)
	for len(w.aging) > agingPages {
		w.gone = append(w.gone, !w.has(w.aging[0]))
		w.aging = w.aging[1:]
	}
	w.gone = w.gone[max(0, len(w.gone)-goneOf):]
	n := 0
	for _, g := range w.gone {
		if g {
			n++
		}
	}
	return n < goneMax
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
