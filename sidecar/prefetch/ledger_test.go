package prefetch

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func newClock() *clock {
	c := &clock{}
	c.at.Store(int64(time.Hour))
	return c
}

func key(n int) Key {
	var k Key
	k[0], k[8], k[9] = byte(n), byte(n>>8), byte(n)
	return k
}

// heard counts what an owner is told, in bytes.
type heard struct{ used, lost atomic.Int64 }

func (h *heard) Used(start, end int64) { h.used.Add(end - start) }
func (h *heard) Lost(start, end int64) { h.lost.Add(end - start) }

func (a Account) wasted() (sum int64) {
	for _, n := range a.Wasted {
		sum += n
	}
	return sum
}

// Whatever happens to pages in whatever order: issued = useful + wasted + pending, and what is claimed or pending stays within the limit.
func TestTheAccountAlwaysAddsUp(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("ALIO_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("ALIO_SEED=%d replays this run", seed)
	const limit = 20_000
	c := newClock()
	l, owner := NewLedger(c.now), &heard{}
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			for range 20_000 {
				k := key(rng.IntN(300))
				switch rng.IntN(9) {
				case 0, 1:
					l.Claim(k, owner, 0, 1+rng.Int64N(500), limit)
				case 2, 3:
					l.Came(k)
				case 4:
					l.Left(k)
				case 5:
					l.Failed(k, Waste(rng.IntN(int(wastes))))
				case 6:
					l.Touch(k, rng.IntN(4) > 0)
				case 7:
					c.advance(Residency / 100)
				default:
					l.Waste(1, Cut)
				}
				if a := l.Account(); a.Issued != a.Useful+a.wasted()+a.Pending || a.Pending < 0 || a.Pending > limit {
					t.Errorf("%+v (ALIO_SEED=%d)", a, seed)
					return
				}
			}
		})
	}
	group.Wait()
	a := l.Account()
	if a.Useful == 0 || a.Wasted[Untouched] == 0 || a.Wasted[Evicted] == 0 {
		t.Errorf("%+v: nothing was tested", a)
	}
	for i := range 300 { // what is claimed comes to an end, and then nothing is watched
		l.Left(key(i))
	}
	c.advance(2 * Residency)
	if a := l.Account(); a.Pending != 0 || l.Watched() != 0 || l.Watches(ptr(key(7))) {
		t.Errorf("%+v, %d pages watched long after", a, l.Watched())
	}
	if owner.used.Load() == 0 || owner.lost.Load() == 0 {
		t.Errorf("the owner heard of %d bytes used, %d lost", owner.used.Load(), owner.lost.Load())
	}
}

func ptr(k Key) *Key { return &k }

func TestAPageThatIsTouchedOnItsWayIsUsefulWhenItComes(t *testing.T) {
	c := newClock()
	l, owner := NewLedger(c.now), &heard{}
	l.Claim(key(1), owner, 10, 30, 100)
	l.Touch(key(1), false)
	if a := l.Account(); a != (Account{}) {
		t.Errorf("%+v before it came", a)
	}
	l.Came(key(1))
	l.Touch(key(1), true)
	if a := l.Account(); a.Issued != 20 || a.Useful != 20 || owner.used.Load() != 20 {
		t.Errorf("%+v, the owner heard of %d", a, owner.used.Load())
	}
}

func TestTheLedgerIsBounded(t *testing.T) {
	c := newClock()
	l := NewLedger(c.now)
	if ok, full := l.Claim(key(1), nil, 0, 60, 100); !ok || full {
		t.Errorf("the first claim: %v, %v", ok, full)
	}
	if ok, full := l.Claim(key(1), nil, 0, 60, 100); ok || full {
		t.Errorf("the same page again: %v, %v", ok, full)
	}
	if ok, full := l.Claim(key(2), nil, 0, 60, 100); ok || !full {
		t.Errorf("beyond the limit: %v, %v", ok, full)
	}
	for i := range 3 * maxPages {
		var k Key
		k[0], k[1], k[2], k[9] = byte(i), byte(i>>8), byte(i>>16), byte(i)
		l.Add(k, nil, 0, 1)
	}
	if n := l.Watched(); n > maxPages {
		t.Errorf("%d pages are watched", n)
	}
	if a := l.Account(); a.Issued != a.Useful+a.wasted()+a.Pending {
		t.Errorf("%+v", a)
	}
}
