package cache

import (
	"context"
	"fmt"

	"github.com/alio-lake/alio/origin"
)

// AheadOutcome is what became of a page that Ahead was to fetch.
type AheadOutcome uint8

// The outcomes.
const (
	// AheadLeft: it was not asked for, since somebody else fetches or has just fetched it, or the call ended before.
	AheadLeft AheadOutcome = iota
	// AheadLanded: it was read from the origin, and is in the cache.
	AheadLanded
	// AheadLost: it was asked for, and did not come.
	AheadLost
)

// Ahead fetches pages of an object that nobody has asked for yet: the first run of neighbours in the range that are neither resident nor on their way, in
// one request of at most FillSpan bytes. It never fetches what another fetches, and whoever comes to want one of its pages waits for this fill. It
// returns when the pages have come; if ctx ends before, they come only if somebody waits for them.
//
// claim is asked for each page of the run before anything is sent; false ends the run before that page. ended is told once of each page that was claimed.
// next is where the run ended: to fetch more of the range, call again from there; it is the range's end when there is nothing left.
func (c *Cache) Ahead(ctx context.Context, req Request, claim func(*Page) bool, ended func(*Page, AheadOutcome)) (next int64, err error) {
	if err := c.check(req); err != nil {
		return req.Offset, err
	}
	run, next, err := c.aheadRun(req, claim)
	if err != nil || len(run) == 0 {
		return next, err
	}
	f := c.newAheadFill(req, run)
	if err := c.fills.boardAhead(run, f); err != nil {
		f.cancel()
		for i := range run {
			ended(run[i].told(), AheadLeft)
		}
		return next, origin.NewError(origin.ErrUnavailable, "read", req.Object.Path, err)
	}
	if len(f.flights) == 0 {
		f.cancel()
	} else {
		go c.run(f)
	}
	return next, c.followAhead(ctx, f, run, ended)
}

// told is the page as Ahead's callbacks see it.
func (w *want) told() *Page {
	return &Page{Start: w.page.start, End: w.page.end, Key: w.page.key, Class: w.page.class}
}

// aheadRun finds the pages of a run that can be claimed.
func (c *Cache) aheadRun(req Request, claim func(*Page) bool) (run []want, next int64, err error) {
	geo := newGeometry(req.Object, req.Layout)
	end := req.Offset + req.Length
	for at, floor := req.Offset, int64(0); at < end && len(run) < maxWindow; {
		pg, err := geo.pageAt(at, floor)
		if err != nil {
			return run, end, err
		}
		w := want{page: pg}
		missing := !c.resident(pg.key, false) && !c.fills.flies(&pg.key)
		switch {
		case len(run) > 0 && (!missing || pg.end-run[0].page.start > c.fillSpan || !claim(w.told())):
			return run, at, nil
		case len(run) > 0 || missing && claim(w.told()):
			run = append(run, w)
		}
		at, floor = pg.end, pg.end
	}
	return run, end, nil
}

func (c *Cache) newAheadFill(req Request, run []want) *fill {
	f := c.newFill(&Reader{geo: geometry{obj: req.Object}, src: req.Source, from: run[0].page.start, to: run[len(run)-1].page.end})
	f.ahead = true
	return f
}

// flies reports whether a page is on its way.
func (t *table) flies(k *Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.mu.flights[*k]
	return ok
}

// boardAhead gives new flights of f to a run's first pages, up to one that is on its way by now.
func (t *table) boardAhead(run []want, f *fill) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return ErrClosed
	}
	for i := range run {
		if _, ok := t.mu.flights[run[i].page.key]; ok {
			break
		}
		fl := t.newFlightLocked(run[i].page, false, f)
		fl.refs++
		f.refs++
		run[i].flight = fl
	}
	t.enterLocked(f)
	return nil
}

// followAhead waits for the flights of a run and tells what became of them.
func (c *Cache) followAhead(ctx context.Context, f *fill, run []want, ended func(*Page, AheadOutcome)) (err error) {
	for i := range run {
		w := &run[i]
		if w.flight == nil {
			ended(w.told(), AheadLeft)
			continue
		}
		_, state, failure := c.fills.take(ctx, w.flight)
		outcome := AheadLeft
		switch state {
		case flying: // ctx has ended
			outcome, err = c.fills.leaveAhead(w.flight), ctx.Err()
		case landed:
			outcome = AheadLanded
		case failed:
			if err == nil {
				err = failure
			}
			if c.fills.asked(f) {
				outcome = AheadLost
			}
		}
		w.flight = nil
		ended(w.told(), outcome)
	}
	if err != nil {
		err = fmt.Errorf("fetch ahead: %w", err)
	}
	return err
}

// leaveAhead leaves a flight that has not ended, and tells what is to be thought of it: if others wait for it, it is theirs and comes.
func (t *table) leaveAhead(fl *flight) AheadOutcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	others := fl.refs > 1
	asked := fl.fill.asked
	t.leaveLocked(fl)
	switch {
	case !asked:
		return AheadLeft
	case others, fl.state == landed:
		return AheadLanded
	}
	return AheadLost
}

// asked reports whether a fill got as far as to ask the origin.
func (t *table) asked(f *fill) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.asked
}

// ask notes that a fill ahead asks the origin from now on.
func (t *table) ask(f *fill) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.asked = true
}

// unbroken keeps the missing pages before the first gap, which pages that came meanwhile have left: those beyond are given up, so that no page travels
// twice. Whoever waits for one plans anew.
func (c *Cache) unbroken(missing []*flight) []*flight {
	for i := 1; i < len(missing); i++ {
		if missing[i].page.start != missing[i-1].page.end {
			for _, fl := range missing[i:] {
				c.fills.miss(fl)
			}
			return missing[:i]
		}
	}
	return missing
}
